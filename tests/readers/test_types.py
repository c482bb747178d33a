"""Every table and column has the type and time zone that the catalogue says, and the same values in every reader."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from engines import TYPES, DuckDb, Engine, Polars, PyArrow, Spark, assert_alike
from program import Table


def test_every_column_has_the_type_that_the_catalogue_says(engine: Engine, everything: tuple[Path, list[Table]]) -> None:
    folder, tables = everything
    known = TYPES[engine.name]
    for table in tables:
        expected = {name: known[kind] for name, kind in table.columns.items()} | {"account": known["string"]}
        assert engine.schema(folder / table.name) == expected, table.name
    # Each type that the catalogue has now is really there to be read.
    assert {kind for table in tables for kind in table.columns.values()} >= {"string", "int64", "bool", "timestamp[us, UTC]"}


def test_every_value_is_the_same_in_all_readers(everything: tuple[Path, list[Table]], spark_engine: Spark) -> None:
    folder, tables = everything
    for table in tables:
        files = sorted((folder / table.name).rglob("*.parquet"))
        # File by file, without any of what readers do with folders.
        plain = pa.concat_tables(pa.parquet.ParquetFile(file).read() for file in files)
        plain = plain.append_column("account", pa.array(["sandbox"] * len(plain), pa.string()))
        assert len(plain) > 0 or table.name.endswith("consents"), f"{table.name} has no row to compare"
        for engine in (DuckDb(), Polars(), PyArrow(), spark_engine):
            rows = engine.table(folder / table.name)
            assert_alike(plain, rows, table.key, f"{table.name} in {engine.name}")
