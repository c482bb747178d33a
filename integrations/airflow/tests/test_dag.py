"""The DAG by itself: what it makes of exit codes and summaries, and that an empty Airflow runs it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException
from ctct_etl_dag import changes, next_day, stamp, table_uri, verdict
from installation import Airflow
from pipeline import Pipeline
from sandbox import Sandbox

NOW = datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone.utc)


def summary(**table: object) -> dict:
    merged = {"rows": 9, "files": 1, "bytes": 99} | table
    report = {"report": "contacts", "commit": 4, "tables": [{"table": "contacts", **merged}]}
    return {"account": "acme", "run_id": "r", "destination": "/data/acme/", "reports": [report]}


@pytest.mark.parametrize("code", [1, 2, 10, 14, 15])
def test_what_a_person_must_mend_is_not_tried_again(code: int) -> None:
    assert type(verdict(code, [], NOW)) is AirflowFailException


@pytest.mark.parametrize("code", [12, 13, -9, -15, 126])
def test_what_may_pass_is_tried_again(code: int) -> None:
    assert type(verdict(code, [], NOW)) is AirflowException


def test_a_day_without_quota_is_waited_out() -> None:
    error = verdict(11, [], NOW)
    assert isinstance(error, AirflowRescheduleException)
    midnight = datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert all(midnight < next_day(NOW) <= midnight + timedelta(minutes=10) for _ in range(100))
    assert midnight < error.reschedule_date <= midnight + timedelta(minutes=10)


def test_an_error_says_what_the_program_said() -> None:
    said = summary() | {"error": {"message": "no token", "advice": "sign in"}}
    assert "acme: no token (sign in)" in str(verdict(10, [said], NOW))


def test_only_tables_that_changed_have_an_event() -> None:
    merge = {"inserted": 0, "updated": 0, "unchanged": 9, "deleted": 0}
    said = list(changes(summary(), everything=False))
    assert said == [
        (
            "contacts",
            {"account": "acme", "run_id": "r", "report": "contacts", "commit": 4, "rows": 9, "files": 1, "bytes": 99},
        )
    ]
    assert not list(changes(summary(merged=merge), everything=False))
    assert not list(changes(summary(files=0, rows=0), everything=False))
    assert list(changes(summary(merged=merge | {"deleted": 1}), everything=False))
    assert list(changes(summary(files=0, rows=0), everything=True)), "what an earlier try changed is not known"


def test_a_table_has_one_address_for_all_accounts() -> None:
    assert table_uri(summary(), "contacts") == "file:///data/acme/contacts"
    assert table_uri({"destination": "s3://lake/acme"}, "contacts") == "s3://lake/acme/contacts"
    assert stamp(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-01T00:00:00Z"


def test_an_empty_airflow_runs_it(program: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    airflow = Airflow(tmp_path / "airflow")
    pipeline = Pipeline(program, tmp_path / "pipeline", "empty", sandbox.url, sandbox.token)
    pipeline.drop_into(airflow.dags)
    assert airflow.command("db", "migrate").returncode == 0
    tested = airflow.command("dags", "test", pipeline.dag)
    assert tested.returncode == 0 and "state=success" in tested.stdout + tested.stderr, tested.stdout + tested.stderr
    assert len(pipeline.rows()["contacts"]) >= 4000
    (task,) = airflow.tasks(pipeline.dag)
    (said,) = airflow.summaries(pipeline.dag, task["run_id"])
    assert said["exit_code"] == 0 and said["reports"][0]["rows"] >= 4000
    events = airflow.events(pipeline.dag)
    contacts = events[f"file://{pipeline.folder}/out/contacts"]
    assert (contacts["account"], contacts["rows"]) == ("acme", len(pipeline.rows()["contacts"]))
    assert set(events) == {f"file://{pipeline.folder}/out/{table}" for table in pipeline.rows()}
