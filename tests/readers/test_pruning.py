"""Readers leave out what cannot hold an answer: partitions by their folders, row groups by statistics and bloom filters.

What may not be read is overwritten with nonsense. A query that gives the right rows has not touched it.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from duckdb import DuckDBPyConnection
from pyspark.sql import DataFrame, SparkSession

from engines import Engine
from program import Program, Table, sandbox


def contacts(program: Program, options: str, contacts: int) -> Path:
    """Runs one report and returns the folder of its table `contacts`."""
    return program.run(
        f"""
        version: 1
        name: contacts
        source: {{{sandbox(contacts)}}}
        destination: {{url: ./data}}
        reports: [{{report: contacts, contact_status: [all], include_subresources: none, {options}}}]
        """
    ) / "contacts"


@pytest.fixture(scope="module")
def by_month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contacts(Program(tmp_path_factory.mktemp("months")), "write_mode: replace, partition_by: {month: created_at}", 300)


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file whose row groups follow each other by key."""
    return contacts(Program(tmp_path_factory.mktemp("merged")), "write_mode: merge", 25_000)


@pytest.fixture(scope="module")
def unordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file whose row groups each hold keys from all over, so that statistics tell them apart by nothing."""
    return contacts(Program(tmp_path_factory.mktemp("unordered")), "write_mode: replace", 25_000)


def spoil(file: Path, groups: set[int] | None = None) -> None:
    """Overwrites the pages of these row groups, or of all; footer, statistics and bloom filters stay."""
    metadata = pa.parquet.read_metadata(file)
    with file.open("r+b") as bytes_of:
        for group in range(metadata.num_row_groups) if groups is None else groups:
            for at in range(metadata.num_columns):
                column = metadata.row_group(group).column(at)
                bytes_of.seek(column.dictionary_page_offset or column.data_page_offset)
                bytes_of.write(b"\xff" * column.total_compressed_size)


def ids(engine: Engine, root: Path, column: str, value: str) -> list[str]:
    """The contacts whose column has this value, asked in the reader's own way."""
    match engine.name:
        case "duckdb":
            with duckdb.connect() as connection:
                where = f"SELECT contact_id FROM {engine.scan(root)} WHERE {column} = '{value}'"
                return sorted(row[0] for row in connection.sql(where).fetchall())
        case "polars":
            keys = ["account", "created_at_month"] if column == "created_at_month" else ["account"]
            rows = engine.scan(root, keys).filter(polars.col(column) == value).select("contact_id").collect()
            return sorted(rows["contact_id"].to_list())
        case "pyarrow":
            rows = engine.scan(root).to_table(columns=["contact_id"], filter=pa.dataset.field(column) == value)
            return sorted(rows["contact_id"].to_pylist())
        case _:
            return sorted(row[0] for row in engine.scan(root).where(f"{column} = '{value}'").select("contact_id").collect())


Copy = Callable[[Path], Path]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Makes a copy of a table that may be spoilt."""
    return lambda root: Path(shutil.copytree(root, tmp_path / "copy"))


def test_partitions_are_left_out(engine: Engine, by_month: Path, copy: Copy) -> None:
    month = sorted(by_month.rglob("created_at_month=*"))[3].name.partition("=")[2]
    expected = ids(engine, by_month, "created_at_month", month)
    root = copy(by_month)
    for file in root.rglob("*.parquet"):
        if month not in str(file):
            spoil(file)
    assert len(expected) > 0
    assert ids(engine, root, "created_at_month", month) == expected
    other = sorted(root.rglob("created_at_month=*"))[4].name.partition("=")[2]
    with pytest.raises(Exception):  # noqa: B017 - each reader has an error of its own
        ids(engine, root, "created_at_month", other)


def test_row_groups_are_left_out_by_their_statistics(engine: Engine, merged: Path, copy: Copy) -> None:
    root = copy(merged)
    [file] = root.rglob("*.parquet")
    keys = pa.parquet.ParquetFile(file).read_row_group(1, columns=["contact_id"])["contact_id"]
    metadata = pa.parquet.read_metadata(file)
    assert metadata.row_group(0).column(0).statistics.max < metadata.row_group(1).column(0).statistics.min
    spoil(file, set(range(metadata.num_row_groups)) - {1})
    key = keys[len(keys) // 2].as_py()
    assert ids(engine, root, "contact_id", key) == [key]


@pytest.mark.parametrize("engine", ["duckdb", "spark"], indirect=True)
def test_row_groups_are_left_out_by_their_bloom_filters(
    engine: Engine, unordered: Path, copy: Copy, duck: DuckDBPyConnection
) -> None:
    root = copy(unordered)
    [file] = root.rglob("*.parquet")
    key = told_apart(duck, file)
    # A key beside this one that is between the least and the greatest of both row groups, and that neither filter has.
    absent = next(
        near for near in (key[:-2] + f"{end:02x}" for end in range(256))
        if all(excludes for _, excludes in probed(duck, file, near))
    )
    spoil(file)
    assert ids(engine, root, "contact_id", absent) == []
    with pytest.raises(Exception):  # noqa: B017 - each reader has an error of its own
        ids(engine, root, "contact_id", key)


def probed(duck: DuckDBPyConnection, file: Path, key: str) -> list[tuple[int, bool]]:
    """Each row group, and whether its bloom filter rules the key out."""
    probe = f"SELECT row_group_id, bloom_filter_excludes FROM parquet_bloom_probe('{file}', 'contact_id', '{key}')"
    return duck.sql(probe).fetchall()


def told_apart(duck: DuckDBPyConnection, file: Path) -> str:
    """A key of the second row group that the filters of all others rule out."""
    keys = pa.parquet.ParquetFile(file).read_row_group(1, columns=["contact_id"])["contact_id"].to_pylist()
    groups = pa.parquet.read_metadata(file).num_row_groups
    alone = {(group, group != 1) for group in range(groups)}
    return next(key for key in keys if set(probed(duck, file, key)) == alone)


def test_every_id_has_a_bloom_filter_of_some_ten_bits_a_value(
    unordered: Path, everything: tuple[Path, list[Table]]
) -> None:
    folder, tables = everything
    for table in tables:
        [file] = (folder / table.name).rglob("*.parquet")
        columns = pa.parquet.read_metadata(file).row_group(0).to_dict()["columns"]
        filtered = {column["path_in_schema"] for column in columns if column.get("bloom_filter_offset")}
        keys = {key for key in table.key if key.endswith("_id") and table.columns[key] == "string"}
        assert keys <= filtered, table.name
    [file] = unordered.rglob("*.parquet")
    group = pa.parquet.read_metadata(file).row_group(0)
    assert group.column(0).bloom_filter_length * 8 < 32 * group.num_rows


def test_duckdb_tells_what_it_left_out(by_month: Path, unordered: Path, duck: DuckDBPyConnection) -> None:
    def told(root: Path, where: str) -> str:
        rows = f"read_parquet('{root}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
        return duck.sql(f"EXPLAIN ANALYZE SELECT contact_id FROM {rows} WHERE {where}").fetchall()[0][1]

    files = len(list(by_month.rglob("*.parquet")))
    months = told(by_month, "created_at_month = '2025-10'")
    assert re.search(rf"Scanning Files: +1/{files}", months), months
    [file] = unordered.rglob("*.parquet")
    groups = told(unordered, f"contact_id = '{told_apart(duck, file)}'")
    number = pa.parquet.read_metadata(file).num_row_groups
    assert number > 1
    assert re.search(rf"Row Groups Scanned: +1 / {number}", groups), groups


def test_polars_and_pyarrow_tell_what_they_left_out(by_month: Path, merged: Path) -> None:
    keys = {"account": polars.String, "created_at_month": polars.String}
    scan = polars.scan_parquet(by_month, hive_partitioning=True, hive_schema=keys)
    plan = scan.filter(polars.col("created_at_month") == "2025-10").explain()
    assert re.search(r'SELECTION: .*"created_at_month"', plan), plan

    fields = pa.schema([(key, pa.string()) for key in keys])
    table = pa.dataset.dataset(by_month, partitioning=pa.dataset.partitioning(fields, flavor="hive"))
    left = list(table.get_fragments(filter=pa.dataset.field("created_at_month") == "2025-10"))
    assert [Path(fragment.path).parent.name for fragment in left] == ["created_at_month=2025-10"]
    [fragment] = pa.dataset.dataset(merged).get_fragments()
    low = pa.dataset.field("contact_id") < "1"
    assert [group.id for group in fragment.subset(low).row_groups] == [0]


def scanned(rows: DataFrame) -> dict[str, int]:
    """Spark's metrics of the one scan of a query, which is run for them."""
    rows.collect()
    plan = rows._jdf.queryExecution().executedPlan()
    while plan.children().size() > 0 and "Scan" not in plan.nodeName():
        plan = plan.children().apply(0)
    metrics, found = plan.metrics().iterator(), {}
    while metrics.hasNext():
        entry = metrics.next()
        found[entry._1()] = entry._2().value()
    return found


def test_spark_tells_what_it_left_out(
    by_month: Path, unordered: Path, spark: SparkSession, duck: DuckDBPyConnection
) -> None:
    rows = spark.read.parquet(str(by_month)).where("created_at_month = '2025-10'")
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert re.search(r"PartitionFilters: \[.*created_at_month#\d+ = 2025-10", plan), plan
    assert scanned(rows)["numFiles"] == 1

    [file] = unordered.rglob("*.parquet")
    metadata = pa.parquet.read_metadata(file)
    key = told_apart(duck, file)
    read = {}
    for used in ("true", "false"):
        rows = spark.read.option("parquet.filter.bloom.enabled", used).parquet(str(unordered))
        read[used] = scanned(rows.where(f"contact_id = '{key}'"))["numOutputRows"]
    assert read == {"true": metadata.row_group(1).num_rows, "false": metadata.num_rows}
