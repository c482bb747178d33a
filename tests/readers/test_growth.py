"""Tables that are empty, that grow a column, and in every write mode: whole and alike for every reader."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from engines import TYPES, DuckDb, Engine, Polars, PyArrow, Spark, assert_alike
from program import Program, Table, after_tomorrow, every_report, sandbox


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Table]]:
    """Every report of an account that has not one contact."""
    program = Program(tmp_path_factory.mktemp("nobody"))
    return program.run(every_report(contacts=0)), program.tables(every_report())


def test_an_empty_table_is_there_with_its_whole_schema(engine: Engine, nobody: tuple[Path, list[Table]]) -> None:
    folder, tables = nobody
    empty = 0
    for table in tables:
        expected = {name: TYPES[engine.name][kind] for name, kind in table.columns.items()}
        assert engine.schema(folder / table.name) == expected | {"account": TYPES[engine.name]["string"]}, table.name
        empty += engine.table(folder / table.name).num_rows == 0
    assert empty >= 11, "contacts, their eight child tables, and two reports by contact"


def without(file: Path, *columns: str) -> None:
    """Rewrites a file as an older catalogue would have written it: without these columns."""
    rows = pa.parquet.ParquetFile(file).read()
    pa.parquet.write_table(rows.drop_columns(list(columns)), file)


@pytest.mark.parametrize("older", [0, -1], ids=["oldest first", "oldest last"])
def test_files_of_an_older_catalogue_are_read_beside_newer_ones(older: int, engine: Engine, program: Program) -> None:
    report = "{report: contacts, include_subresources: none, write_mode: replace, partition_by: {month: created_at}}"
    folder = program.run(
        f"version: 1\nname: growth\nsource: {{{sandbox(120)}}}\ndestination: {{url: ./data}}\nreports: [{report}]\n"
    )
    whole = engine.schema(folder / "contacts")
    file = sorted((folder / "contacts").rglob("*.parquet"))[older]
    rows = pa.parquet.read_metadata(file).num_rows
    without(file, "job_title", "birthday_day")
    assert engine.schema(folder / "contacts") == whole
    read = engine.table(folder / "contacts")
    assert read.num_rows == 120
    month = file.parent.name.partition("=")[2]
    old = [row for row in read.to_pylist() if row["created_at_month"] == month]
    assert len(old) == rows
    assert {(row["job_title"], row["birthday_day"]) for row in old} == {(None, None)}
    assert any(row["job_title"] for row in read.to_pylist())


MODES = {
    "append": "write_mode: append",
    "merge": "write_mode: merge",
    "history": "write_mode: merge, history: true",
    "replace": "write_mode: replace",
    "partition": "write_mode: partition, partition_by: {month: created_at}",
}


@pytest.mark.parametrize("mode", MODES)
def test_every_write_mode_reads_alike_after_two_runs(mode: str, program: Program, spark_engine: Spark) -> None:
    # A week passes between the runs: contacts come, change and go.
    today = after_tomorrow()
    for days in ("0", "7"):
        with program.sandbox("--contacts", "200", "--today", today, "--days-later", days) as (base_url, token):
            folder = program.run(
                f"""
                version: 1
                name: modes
                source: {{account: acme, base_url: "{base_url}", access_token: {{env: CTCT_ACCESS_TOKEN}}}}
                destination: {{url: ./data}}
                reports: [{{report: contacts, contact_status: [all], {MODES[mode]}}}]
                """,
                CTCT_ACCESS_TOKEN=token,
            )
    for name, by in {"contacts": ["contact_id"], "contacts_list_memberships": ["contact_id", "_ordinal"]}.items():
        root = folder / name
        tables = {engine.name: engine.table(root) for engine in (DuckDb(), Polars(), PyArrow(), spark_engine)}
        by = by + [column for column in ("_commit", "_valid_from") if column in tables["duckdb"].column_names]
        for reader, rows in tables.items():
            assert rows.num_rows > 0
            assert_alike(tables["pyarrow"], rows, by, f"{name}, {mode}, in {reader}")
    # The names below the destination that a glob of a table never meets.
    assert not [file for file in folder.glob("contacts*/**/*") if "_ctct" in file.parts or file.name.startswith((".", "_"))]
    keys = DuckDb().table(folder / "contacts")["contact_id"].to_pylist()
    repeats = len(keys) - len(set(keys))
    assert (repeats > 0) == (mode in ("append", "history")), f"{repeats} keys stand twice"


def test_no_reader_finds_what_is_not_a_table(everything: tuple[Path, list[Table]]) -> None:
    """The commit log has a folder of its own: every Parquet file outside it is a table's, or tells of a run."""
    folder, tables = everything
    found = {file.relative_to(folder).parts[0] for file in folder.rglob("*") if file.is_file()}
    assert found == {table.name for table in tables} | {"_ctct", "_runs"}
