"""The four readers behind one shape: what a table's columns are in each, and its rows as an Arrow table.

Each opens the root of a table, `<url>/<table>`, in the way that `docs/how-to/read.md` shows: folders become columns of
text, and files with fewer columns than others are read beside them.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset
import pyspark
from pyspark.sql import DataFrame, SparkSession

# The catalogue's Arrow type -> what each reader calls it.
TYPES = {
    "duckdb": {
        "string": "VARCHAR", "int64": "BIGINT", "float64": "DOUBLE", "bool": "BOOLEAN",
        "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE",
    },
    "polars": {
        "string": "String", "int64": "Int64", "float64": "Float64", "bool": "Boolean",
        "timestamp[us, UTC]": "Datetime(time_unit='us', time_zone='UTC')",
    },
    "pyarrow": {
        "string": "string", "int64": "int64", "float64": "double", "bool": "bool",
        "timestamp[us, UTC]": "timestamp[us, tz=UTC]",
    },
    "spark": {
        "string": "string", "int64": "bigint", "float64": "double", "bool": "boolean",
        "timestamp[us, UTC]": "timestamp",
    },
}


class DuckDb:
    """A connection of its own for each question, as a shell would have it."""

    name = "duckdb"
    version = duckdb.__version__

    def scan(self, root: Path | str) -> str:
        files = f"{root}/**/*.parquet"
        return f"read_parquet('{files}', hive_partitioning = true, hive_types_autocast = false, union_by_name = true)"

    def schema(self, root: Path | str) -> dict[str, str]:
        with duckdb.connect() as connection:
            return {row[0]: row[1] for row in connection.sql(f"DESCRIBE SELECT * FROM {self.scan(root)}").fetchall()}

    def table(self, root: Path | str) -> pa.Table:
        with duckdb.connect() as connection:
            connection.sql("SET TimeZone = 'UTC'")
            return connection.sql(f"SELECT * FROM {self.scan(root)}").to_arrow_table()


class Polars:
    """Lazy scans. The schema is what all files have together: Polars itself goes by the first one."""

    name = "polars"
    version = polars.__version__

    def scan(self, root: Path | str, partitions: Iterable[str] = ("account",)) -> polars.LazyFrame:
        files = sorted(Path(root).rglob("*.parquet"))
        schema: dict[str, polars.DataType] = {}
        for file in files:
            schema |= polars.read_parquet_schema(file)
        return polars.scan_parquet(
            files, hive_partitioning=True, hive_schema=dict.fromkeys(partitions, polars.String), schema=schema,
            missing_columns="insert",
        )

    def schema(self, root: Path | str) -> dict[str, str]:
        return {name: str(kind) for name, kind in self.scan(root, folders(root)).collect_schema().items()}

    def table(self, root: Path | str) -> pa.Table:
        return self.scan(root, folders(root)).collect().to_arrow()


class PyArrow:
    """Datasets. The schema is what all files have together: PyArrow itself goes by the first one."""

    name = "pyarrow"
    version = pa.__version__

    def scan(self, root: Path | str) -> pa.dataset.Dataset:
        keys = pa.schema([(name, pa.string()) for name in folders(root)])
        folder = pa.dataset.partitioning(keys, flavor="hive")
        files = pa.dataset.dataset(root, format="parquet", partitioning=folder)
        schemas = [fragment.physical_schema for fragment in files.get_fragments()]
        return files.replace_schema(pa.unify_schemas([*schemas, keys]))

    def schema(self, root: Path | str) -> dict[str, str]:
        return {field.name: str(field.type) for field in self.scan(root).schema}

    def table(self, root: Path | str) -> pa.Table:
        return self.scan(root).to_table()


class Spark:
    """One session for all tests: starting one takes seconds."""

    name = "spark"
    version = pyspark.__version__

    def __init__(self) -> None:
        # Java opens files whose names are not ASCII only if the locale has them.
        os.environ["LC_ALL"] = "C.UTF-8"
        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
        }
        builder = SparkSession.builder.master("local[2]").appName("ctct-etl")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session: SparkSession = builder.getOrCreate()

    def scan(self, root: Path | str) -> DataFrame:
        return self.session.read.option("mergeSchema", "true").parquet(str(root))

    def schema(self, root: Path | str) -> dict[str, str]:
        return dict(self.scan(root).dtypes)

    def table(self, root: Path | str) -> pa.Table:
        return self.scan(root).toArrow()


Engine = DuckDb | Polars | PyArrow | Spark


def folders(root: Path | str) -> list[str]:
    """The folder keys below the root of a table, the outermost first."""
    file = next(Path(root).rglob("*.parquet"), None)
    if file is None:
        raise FileNotFoundError(f"{root} holds no file")
    return [folder.partition("=")[0] for folder in file.relative_to(root).parts[:-1]]


def alike(table: pa.Table, by: list[str]) -> pa.Table:
    """The same rows with columns and rows in one order, and texts in one of Arrow's forms."""
    plain = {pa.large_string(): pa.string(), pa.string_view(): pa.string()}
    fields = [field.with_type(plain.get(field.type, field.type)).with_nullable(True) for field in table.schema]
    table = table.cast(pa.schema([field.remove_metadata() for field in fields]))
    table = table.select(sorted(table.column_names))
    return table.sort_by([(name, "ascending") for name in by]).combine_chunks()


def assert_alike(left: pa.Table, right: pa.Table, by: list[str], what: str) -> None:
    """Fails with the first column that differs, and with its first row that does."""
    left, right = alike(left, by), alike(right, by)
    assert left.schema.equals(right.schema), f"{what}: {left.schema}\nand {right.schema}"
    assert left.num_rows == right.num_rows, what
    for name in left.column_names:
        if not left[name].equals(right[name]):
            rows = zip(left[name].to_pylist(), right[name].to_pylist(), strict=True)
            at, pair = next((at, pair) for at, pair in enumerate(rows) if pair[0] != pair[1])
            raise AssertionError(f"{what}: {name} of row {at} is {pair[0]!r} and {pair[1]!r}")
