"""`schema --format ddl` is SQL that DuckDB and Spark take, over the very files of a run; and comments reach every reader."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest
from pyspark.sql import SparkSession

from program import Program

# Every write mode, every kind of folder, and an address that has to be quoted.
PIPELINE = """
version: 1
name: ddl
source:
  sandbox: {contacts: 120, seed: 7, today: 2026-03-01, requests_per_second: 100000, burst: 100000, daily_requests: 1000000}
destination: {url: "./the shop's data"}
reports:
  - report: contacts
    write_mode: merge
    history: true
    partition_by: [{year: created_at}, {bucket: {column: contact_id, count: 12}}]
  - {report: contact_lists, write_mode: merge}
  - report: email_campaigns
    partition_by: [{month: created_at}, {day: updated_at}, type]
  - {report: contact_custom_fields, write_mode: replace, partition_by: [version, {bucket: {column: type, count: 3}}]}
  - {report: contact_tags, write_mode: replace, partition_by: name}
  - {report: segments, partition_by: segment_id}
  - {report: account_summary, write_mode: replace}
  - report: contact_action_summary
    contact_id: {from: contacts}
    duration: date_range
    start_date: 2026-02-01
    end_date: 2026-03-01
  - {report: contact_activity_details, contact_id: {from: contacts}}
"""
DUCKDB = {
    "string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "float64": "DOUBLE", "bool": "BOOLEAN", "date": "DATE",
    "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE",
}
SPARK = {
    "string": "string", "int64": "bigint", "int32": "int", "float64": "double", "bool": "boolean", "date": "date",
    "timestamp[us, UTC]": "timestamp",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, str]:
    """The program beside what it wrote, and the file of the pipeline."""
    program = Program(tmp_path_factory.mktemp("shop"))
    file = program.home / "shop.yaml"
    file.write_text(PIPELINE)
    program.call("run", str(file), "--quiet")
    return program, str(file)


@pytest.fixture(scope="module")
def tables(shop: tuple[Program, str]) -> list[dict]:
    """What `schema --format json` says of the tables."""
    program, file = shop
    return json.loads(program.call("schema", file, "--format", "json"))


def columns(table: dict) -> list[dict]:
    """Columns of the files and the folders, as readers show them."""
    return table["columns"] + table["folders"]


@pytest.fixture
def database(spark: SparkSession) -> Iterator[SparkSession]:
    """A Spark session in an empty database."""
    spark.sql("CREATE DATABASE ddl")
    spark.sql("USE ddl")
    yield spark
    spark.sql("USE default")
    spark.sql("DROP DATABASE ddl CASCADE")


def rows_in(location: str) -> int:
    return sum(pyarrow.parquet.read_metadata(file).num_rows for file in Path(location).rglob("*.parquet"))


def test_duckdb_makes_the_tables_and_fills_them(
    shop: tuple[Program, str], tables: list[dict], duck: duckdb.DuckDBPyConnection
) -> None:
    program, file = shop
    ddl = program.call("schema", file, "--format", "ddl")
    # The remark behind each table is the statement that fills it.
    duck.execute(ddl.replace("\n-- INSERT", "\nINSERT"))
    for table in tables:
        name = table["table"]
        found = duck.sql(
            "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() "
            f"WHERE table_name = '{name}' ORDER BY column_index"
        ).fetchall()
        expected = [(c["name"], DUCKDB[c["arrow"]], c["nullable"], c["comment"]) for c in columns(table)]
        assert found == expected, name
        [(comment,)] = duck.sql(f"SELECT comment FROM duckdb_tables() WHERE table_name = '{name}'").fetchall()
        assert comment.startswith(table["comment"]), name
        [(rows,)] = duck.sql(f'SELECT count(*) FROM "{name}"').fetchall()
        assert rows == rows_in(table["location"]), name
    # Folders have values, of their types.
    assert duck.sql("SELECT count(*) FROM contacts WHERE created_at_year = year(created_at)").fetchall() == duck.sql(
        "SELECT count(*) FROM contacts"
    ).fetchall()
    bucket = "('0x' || sha256(contact_id)[1:8])::UINTEGER % 12"
    assert duck.sql(f"SELECT count(*) FROM contacts WHERE contact_id_bucket <> {bucket}").fetchall() == [(0,)]
    assert duck.sql("SELECT count(*) FROM email_campaigns WHERE updated_at_day <> updated_at::DATE").fetchall() == [(0,)]


def test_the_catalogues_tables_are_sql_too(program: Program, duck: duckdb.DuckDBPyConnection) -> None:
    duck.execute(program.call("schema", "--format", "ddl"))
    names = {table["table"] for table in json.loads(program.call("schema", "--format", "json"))}
    assert {name for (name,) in duck.sql("SELECT table_name FROM duckdb_tables()").fetchall()} == names


def test_spark_reads_the_tables_where_they_are(shop: tuple[Program, str], tables: list[dict], database: SparkSession) -> None:
    program, file = shop
    ddl = program.call("schema", file, "--dialect", "spark")
    for statement in filter(str.strip, ddl.split(";\n")):
        database.sql(statement)
    for table in tables:
        name = table["table"]
        read = database.table(name)
        assert read.dtypes == [(c["name"], SPARK[c["arrow"]]) for c in columns(table)], name
        told = {row.col_name: row.comment for row in database.sql(f"DESCRIBE {name}").collect()}
        assert {c["name"]: told[c["name"]] for c in columns(table)} == {c["name"]: c["comment"] for c in columns(table)}
        assert read.count() == rows_in(table["location"]), name
    whole = database.table("contacts").count()
    assert database.sql("SELECT * FROM contacts WHERE created_at_year = year(created_at)").count() == whole
    bucket = "CAST(conv(substr(sha2(contact_id, 256), 1, 8), 16, 10) AS BIGINT) % 12"
    assert database.sql(f"SELECT * FROM contacts WHERE contact_id_bucket <> {bucket}").count() == 0
    assert database.sql("SELECT * FROM email_campaigns WHERE updated_at_day <> to_date(updated_at)").count() == 0


def test_the_columns_comments_are_in_every_file(tables: list[dict]) -> None:
    for table in tables:
        expected = {c["name"]: c["comment"] for c in table["columns"]}
        for file in Path(table["location"]).rglob("*.parquet"):
            schema = pyarrow.parquet.read_schema(file)
            assert {field.name: field.metadata[b"comment"].decode() for field in schema} == expected, file


def test_spark_shows_the_comments_of_the_files(tables: list[dict], spark: SparkSession) -> None:
    for table in tables:
        schema = spark.read.option("mergeSchema", "true").parquet(table["location"]).schema
        told = {field.name: field.metadata.get("comment") for field in schema if field.name not in folders(table)}
        assert told == {c["name"]: c["comment"] for c in table["columns"]}, table["table"]


def test_duckdb_shows_the_comments_of_the_files(tables: list[dict], duck: duckdb.DuckDBPyConnection) -> None:
    key = "org.apache.spark.sql.parquet.row.metadata"
    for table in tables:
        file = next(Path(table["location"]).rglob("*.parquet"))
        [(text,)] = duck.execute(
            "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = ?", [str(file), key]
        ).fetchall()
        told = {field["name"]: field["metadata"]["comment"] for field in json.loads(text)["fields"]}
        assert told == {c["name"]: c["comment"] for c in table["columns"]}, table["table"]


def folders(table: dict) -> set[str]:
    return {folder["name"] for folder in table["folders"]}
