"""Where views are made and where they look: schemas, other places, tables without files or rows, and the table of runs."""

import shutil
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pyarrow.parquet
import pytest

from program import Program, sandbox
from scripted import contact, scripted
from views_account import REPORTS, pipeline, views
from views_engines import DuckDbViews, SparkViews, Views

SCHEMA = "the shop's"
"""A schema's name that has to be quoted."""

EVERYTHING = f"""
version: 1
name: places
source:
  account: "007"
  {sandbox(60)}
destination: {{url: ./data}}
reports:
  - {{report: contacts, write_mode: append, partition_by: [{{month: created_at}}, {{bucket: {{column: contact_id, count: 3}}}}]}}
  - {{report: contact_custom_fields, write_mode: merge, history: true}}
  - {{report: email_campaigns, write_mode: merge, partition_by: {{year: created_at}}}}
  - {{report: contact_activity_details, contact_id: {{from: contacts}}, write_mode: replace}}
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program beside what it wrote."""
    program = Program(tmp_path_factory.mktemp("places"))
    program.run(EVERYTHING)
    return program


def stored(program: Program, table: str) -> int:
    """Rows in a table's files."""
    return sum(pyarrow.parquet.read_metadata(file).num_rows for file in (program.home / "data" / table).rglob("*.parquet"))


def names(sql: str, views_engine: Views) -> list[str]:
    """Views and tables that a script makes."""
    quote = '"' if views_engine.dialect == "duckdb" else "`"
    lines = [line for line in sql.splitlines() if line.startswith("CREATE") and ("VIEW" in line or "TABLE " in line)]
    return [line.split(quote)[1] for line in lines]


def test_views_in_a_schema_stay_and_do_not_mix_with_others(places: Program, views_engine: Views, request: pytest.FixtureRequest) -> None:
    sql = views(places, EVERYTHING, views_engine.dialect, "--schema", SCHEMA)
    if isinstance(views_engine, SparkViews):
        # The catalogue of tests has no name for a folder with a quote in it.
        schema = "views_that_stay"
        sql = sql.replace(f"`{SCHEMA}`", f"`{schema}`")
        request.addfinalizer(lambda: views_engine.session.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        quoted, other = f"`{schema}`", SparkViews(views_engine.session.newSession())
    else:
        quoted, other = f'"{SCHEMA}"', DuckDbViews(views_engine.connection.cursor())
    # Twice: what is there is replaced.
    views_engine.run(sql)
    views_engine.run(sql)
    for table in ["contacts", "email_campaigns", "contacts_taggings"]:
        assert other.rows(f"SELECT count(*) AS n FROM {quoted}.{table}") == [{"n": stored(places, table)}], table
    contacts = other.rows(f"SELECT account, contact_id FROM {quoted}.contacts_with_custom_fields")
    assert len(contacts) == 60
    assert {row["account"] for row in contacts} == {"007"}
    assert len(other.rows(f"SELECT * FROM {quoted}.contacts_as_of({views_engine.at(datetime(2100, 1, 1))})")) == 60
    assert other.rows(f"SELECT count(*) AS n FROM {quoted}._runs") == [{"n": 4}]
    with pytest.raises(Exception, match="contacts_current"):
        other.rows("SELECT * FROM contacts_current")


def test_views_look_where_they_are_told(places: Program, views_engine: Views, tmp_path: Path) -> None:
    moved = tmp_path / "o'hara; $lake"
    shutil.copytree(places.home / "data", moved)
    sql = views(places, EVERYTHING, views_engine.dialect, "--location", f"{moved}/", "--report", "contacts")
    views_engine.run(sql)
    (moved / "contacts").rename(moved / "gone")
    with pytest.raises(Exception, match="(?i)contacts|no files|does not exist"):
        views_engine.rows("SELECT * FROM contacts")
    (moved / "gone").rename(moved / "contacts")
    assert views_engine.rows("SELECT count(*) AS n FROM contacts") == [{"n": stored(places, "contacts")}]
    assert "vehicle_make_and_model_year" in views_engine.columns("contacts_with_custom_fields"), "names come from the destination"
    assert "engagement_per_contact" not in sql


def test_runs_are_a_table_of_their_own(places: Program, views_engine: Views) -> None:
    views_engine.run(views(places, EVERYTHING, views_engine.dialect))
    rows = views_engine.rows("SELECT account, report, exit_code, rows FROM _runs ORDER BY report")
    read = {row["report"]: row["rows"] for row in rows}
    assert {(row["account"], row["exit_code"]) for row in rows} == {("007", 0)}
    assert read.keys() == {"contacts", "contact_custom_fields", "email_campaigns", "contact_activity_details"}
    assert read["contacts"] == stored(places, "contacts")
    assert "key of the row" in views_engine.comments("_runs")["run_id"]


def test_before_the_first_run_views_are_empty_and_have_the_columns_of_later(views_engine: Views, tmp_path: Path) -> None:
    program = Program(tmp_path)
    sql = views(program, EVERYTHING, views_engine.dialect)
    views_engine.run(sql)
    before = {name: views_engine.columns(name) for name in names(sql, views_engine)}
    assert all(views_engine.rows(f"SELECT * FROM {name}") == [] for name in before)
    assert views_engine.rows(f"SELECT * FROM contacts_as_of({views_engine.at(datetime(2100, 1, 1))})") == []
    program.run(EVERYTHING)
    views_engine.run(views(program, EVERYTHING, views_engine.dialect))
    for name, columns in before.items():
        now = views_engine.columns(name)
        assert {column: now[column] for column in columns} == columns, name
        if name != "contacts_with_custom_fields":
            assert list(now) == list(columns), name


def test_an_account_without_a_row_has_views_without_one(views_engine: Views, tmp_path: Path) -> None:
    program = Program(tmp_path)
    reports = {name: REPORTS[name] for name in ["contacts", "contact_custom_fields", "email_campaigns"]}
    with scripted({"/contacts": {"contacts": []}, "/contact_custom_fields": {"custom_fields": []}, "/emails": {"campaigns": []}}) as url:
        text = pipeline(url, "append", reports)
        program.run(text, TOKEN="x")
    sql = views(program, text, views_engine.dialect)
    views_engine.run(sql)
    assert all(views_engine.rows(f"SELECT * FROM {name}") == [] for name in names(sql, views_engine) if name != "_runs")


@pytest.mark.parametrize("apart", [timedelta(seconds=1), timedelta(0)])
@pytest.mark.parametrize("mode", ["append", "history"])
def test_a_version_holds_from_the_moment_at_which_it_was_read(
    mode: str, apart: timedelta, views_engine: Views, tmp_path: Path
) -> None:
    program, answers = Program(tmp_path), {"/contact_custom_fields": {"custom_fields": []}}
    reports = {name: REPORTS[name] for name in ["contacts", "contact_custom_fields"]}
    # Near the host's clock, or the server's would not be believed.
    old = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
    new = old + apart
    with scripted(answers) as url:
        text = pipeline(url, mode, reports)
        for day, (name, moment) in enumerate([("Ann", old), ("Anna", new)], start=1):
            answers["Date"] = format_datetime(moment, usegmt=True)
            row = contact("a", f"2026-02-{day:02}T00:00:00Z", first_name=name, taggings=[f"t{day}"])
            answers["/contacts"] = {"contacts": [row]}
            program.run(text, TOKEN="x")
    views_engine.run(views(program, text, views_engine.dialect))

    def known(moment: datetime) -> tuple[list[str], list[str]]:
        people = views_engine.rows(f"SELECT first_name FROM contacts_as_of({views_engine.at(moment)})")
        tags = views_engine.rows(f"SELECT tag_id FROM contacts_taggings_as_of({views_engine.at(moment)})")
        return [row["first_name"] for row in people], [row["tag_id"] for row in tags]

    instant = timedelta(microseconds=1)
    assert known(old - instant) == ([], [])
    if apart:
        assert known(old) == (["Ann"], ["t1"])
        assert known(new - instant) == (["Ann"], ["t1"])
    # Of two versions of one moment the later one counts right after it, and there is never more than one.
    assert known(new + instant) == (["Anna"], ["t2"])
