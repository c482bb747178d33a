"""Folders are columns that no file repeats, and their values are what the rows had: text, whatever it looks like."""

from pathlib import Path

import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from duckdb import DuckDBPyConnection

from engines import DuckDb, Engine, Polars, PyArrow, Spark, folders
from program import Program, sandbox
from scripted import contact_id, scripted

# What a folder name has to carry, and what readers might take for something else.
VALUES = [
    "007", "1", "2026-01-01", "2026-01", "true", "null", "1e5", "-0", "a/b", "a%2Fb", "100%", "a=b", "a b", "a+b", "a:b",
    "é", "e\u0301", "日本", "שלום", "🦜", "x?y&z", "#1", "[a]*{b}", "\\", "'", '"', "~", ".hidden", "_hidden", " ",
]


def contact(at: int, title: str | None) -> dict:
    number = contact_id(at)
    return {"contact_id": number, "job_title": title, "last_name": title, "taggings": [number]}


@pytest.fixture(scope="module")
def titles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Contacts by job title, a column that each repeats as last name; the account is called 007."""
    program = Program(tmp_path_factory.mktemp("titles"))
    rows = [contact(at, title) for at, title in enumerate([*VALUES, None])]
    with scripted({"/contacts": {"contacts": rows}}) as base_url:
        return program.run(
            f"""
            version: 1
            name: titles
            source: {{account: "007", base_url: "{base_url}", access_token: {{env: CTCT_ACCESS_TOKEN}}}}
            destination: {{url: ./data}}
            reports: [{{report: contacts, write_mode: replace, partition_by: job_title}}]
            """,
            CTCT_ACCESS_TOKEN="token",
        )


def test_a_value_is_what_it_was_in_every_reader(engine: Engine, titles: Path) -> None:
    rows = engine.table(titles / "contacts")
    assert rows["account"].unique().to_pylist() == ["007"]
    titled = {row["last_name"]: row["job_title"] for row in rows.to_pylist()}
    assert titled == {value: value for value in [*VALUES, None]}
    assert rows.num_rows == len(VALUES) + 1


def test_child_rows_stand_in_their_parents_folders(engine: Engine, titles: Path) -> None:
    parents = {row["contact_id"]: row["job_title"] for row in engine.table(titles / "contacts").to_pylist()}
    children = engine.table(titles / "contacts_taggings").to_pylist()
    assert {row["contact_id"]: row["job_title"] for row in children} == parents


def test_no_file_repeats_a_column_of_its_folders(titles: Path) -> None:
    files = list((titles / "contacts").rglob("*.parquet"))
    assert len(files) == len(VALUES) + 1
    for file in files:
        assert not {"account", "job_title"} & set(pa.parquet.read_schema(file).names)


def test_readers_guess_numbers_unless_told(titles: Path, spark_engine: Spark) -> None:
    """Why `read.md` says how folders stay text: an account 007 would be the number 7."""
    root = titles / "contacts"
    guessed = {"polars": polars.scan_parquet(root, hive_partitioning=True).collect_schema()["account"] == polars.Int64}
    guessed["pyarrow"] = pa.dataset.dataset(root, partitioning="hive").schema.field("account").type == pa.int32()
    settings = spark_engine.session.conf
    settings.set("spark.sql.sources.partitionColumnTypeInference.enabled", "true")
    try:
        guessed["spark"] = dict(spark_engine.scan(root).dtypes)["account"] == "int"
    finally:
        settings.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    assert guessed == {"polars": True, "pyarrow": True, "spark": True}


LEVELS = [
    ("month: created_at", "created_at_month"),
    ("year: created_at", "created_at_year"),
    ("day: created_at", "created_at_day"),
    ("bucket: {column: contact_id, count: 16}", "contact_id_bucket"),
]


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same contacts below each kind of folder."""
    program = Program(tmp_path_factory.mktemp("levels"))
    written = {}
    for level, key in LEVELS:
        report = f"{{report: contacts, contact_status: [all], write_mode: replace, partition_by: [{{{level}}}]}}"
        written[key] = program.run(
            f"""
            version: 1
            name: levels
            source: {{account: "2026-01-01", {sandbox(120)}}}
            destination: {{url: ./{key}}}
            reports: [{report}]
            """
        )
    return written


# How each level follows from the columns, in DuckDB's words.
FOLLOWS = {
    "created_at_month": "strftime(created_at, '%Y-%m')",
    "created_at_year": "strftime(created_at, '%Y')",
    "created_at_day": "strftime(created_at, '%Y-%m-%d')",
    "contact_id_bucket": "printf('%02d', ('0x' || sha256(contact_id)[1:8])::UINTEGER % 16)",
}


@pytest.mark.parametrize("key", FOLLOWS)
def test_levels_are_text_and_follow_from_the_rows(
    key: str, engine: Engine, levels: dict[str, Path], duck: DuckDBPyConnection
) -> None:
    root = levels[key] / "contacts"
    assert folders(root) == ["account", key]
    assert engine.schema(root)[key] == engine.schema(root)["contact_id"]
    rows = engine.table(root)
    assert rows.num_rows == 120
    assert rows["account"].unique().to_pylist() == ["2026-01-01"]
    wrong = duck.sql(f"SELECT count(*) FROM rows WHERE {key} IS DISTINCT FROM {FOLLOWS[key]}").fetchall()
    assert wrong == [(0,)]


def test_the_bucket_is_the_same_in_spark(levels: dict[str, Path], spark_engine: Spark) -> None:
    rows = spark_engine.scan(levels["contact_id_bucket"] / "contacts")
    bucket = "lpad(CAST(CAST(conv(substr(sha2(contact_id, 256), 1, 8), 16, 10) AS BIGINT) % 16 AS STRING), 2, '0')"
    assert rows.where(f"contact_id_bucket <> {bucket}").count() == 0
    assert rows.select("contact_id_bucket").distinct().count() == 16


def test_all_readers_agree_on_partitioned_rows(levels: dict[str, Path], spark_engine: Spark) -> None:
    for key, folder in levels.items():
        counts = [
            engine.table(folder / "contacts").group_by(key).aggregate([("contact_id", "count")]).sort_by(key).to_pylist()
            for engine in (DuckDb(), Polars(), PyArrow(), spark_engine)
        ]
        assert counts[0] == counts[1] == counts[2] == counts[3], key
