"""What the tests of readers have in common: the program, the engines, and one account that all may read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from engines import DuckDb, Engine, Polars, PyArrow, Spark
from program import Program, Table, every_report
from views_engines import DuckDbViews, SparkViews, Views


@pytest.fixture(scope="session")
def spark_engine() -> Iterator[Spark]:
    engine = Spark()
    yield engine
    engine.session.stop()


@pytest.fixture(scope="session")
def spark(spark_engine: Spark) -> SparkSession:
    """The one Spark session of all tests: local, UTC, folders as text."""
    return spark_engine.session


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that shows timestamps in UTC."""
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'UTC'")
        yield connection


@pytest.fixture(params=["duckdb", "polars", "pyarrow", "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each reader in turn."""
    if request.param == "spark":
        return request.getfixturevalue("spark_engine")
    return {"duckdb": DuckDb, "polars": Polars, "pyarrow": PyArrow}[request.param]()


@pytest.fixture(params=["duckdb", "spark"])
def views_engine(request: pytest.FixtureRequest) -> Iterator[Views]:
    """Each engine, without any view."""
    if request.param == "duckdb":
        with duckdb.connect() as connection:
            yield DuckDbViews(connection)
    else:
        yield SparkViews(request.getfixturevalue("spark").newSession())


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """The program in an empty folder."""
    return Program(tmp_path)


@pytest.fixture
def run(program: Program) -> Callable[..., Path]:
    """`run(pipeline)` runs a pipeline's text to its end and gives the folder that it wrote."""
    return program.run


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Table]]:
    """Every report of one account, not partitioned, and the tables as the catalogue has them. Not to be changed."""
    program = Program(tmp_path_factory.mktemp("everything"))
    return program.run(every_report()), program.tables(every_report())
