"""A real scheduler runs the DAG: tasks that are killed go on, and each exit code has the retry behavior that it asks for."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from installation import Airflow, free_port
from pipeline import Pipeline
from sandbox import Gate, Sandbox

CONTACTS = "\n  - {report: contacts, updated_after: {days_back: 9000}}\n"
MERGED = "\n  - {report: contacts, write_mode: merge}\n  - {report: contact_lists, write_mode: merge}\n"


def running(pipeline: Pipeline) -> int:
    """The process of the program that runs a pipeline."""
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if str(pipeline.file).encode() in words and b"run" in words:
            return int(process.name)
    raise AssertionError(f"nobody runs {pipeline.file}")


def parent(process: int) -> int:
    """The process that started a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


@pytest.mark.parametrize("killed", ["program", "task"])
def test_a_task_that_is_killed_goes_on_where_it_was(
    killed: str, program: Path, sandbox: Sandbox, airflow: Airflow, tmp_path: Path
) -> None:
    undisturbed = Pipeline(program, tmp_path / "undisturbed", f"undisturbed_{killed}", "", sandbox.token, reports=CONTACTS)
    counting = Gate(sandbox)
    assert undisturbed.run("run", "pipeline.yaml", url=counting.url).returncode == 0
    counting.stop()

    gate = Gate(sandbox)
    gate.limit(5)
    pipeline = Pipeline(program, tmp_path / "killed", f"killed_{killed}", gate.url, sandbox.token, reports=CONTACTS)
    pipeline.drop_into(airflow.dags)
    run = airflow.trigger(pipeline.dag)
    gate.wait_until_full()
    process = running(pipeline)
    # Of a task that dies the program hears by a signal, and stops at a page.
    os.kill(process if killed == "program" else parent(process), signal.SIGKILL)
    gate.limit(None)

    task = airflow.wait_for_state(pipeline.dag, "success", "failed")
    assert (task["state"], task["try_number"] > 1) == ("success", True), airflow.said()
    (summary,) = airflow.summaries(pipeline.dag, run)
    assert summary["reports"][0]["resumed_pages"] > 0
    # Fetched pages are not requested again; those that were on their way when the end came are. Whose account a token opens is asked
    # until a first commit says it.
    paid, needed = (len([path for path in one.answered if "/account/summary" not in path]) for one in (gate, counting))
    assert needed <= paid <= needed + 2, f"{paid} requests where {needed} do"
    assert pipeline.rows() == undisturbed.rows()
    gate.stop()


def test_a_day_without_quota_is_waited_out_and_no_try_is_used_up(
    program: Path, sandbox: Sandbox, airflow: Airflow, tmp_path: Path
) -> None:
    pipeline = Pipeline(program, tmp_path / "p", "quota", sandbox.url, sandbox.token, reports=CONTACTS, daily_requests=3)
    pipeline.drop_into(airflow.dags)
    run = airflow.trigger(pipeline.dag)
    task = airflow.wait_for_state(pipeline.dag, "up_for_reschedule", "failed", "success", "up_for_retry")
    assert task["state"] == "up_for_reschedule", airflow.said()
    (again,) = airflow.query("select reschedule_date from task_reschedule where ti_id = ?", task["id"])
    at = datetime.fromisoformat(again["reschedule_date"]).replace(tzinfo=timezone.utc)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    assert midnight < at <= midnight + timedelta(minutes=10) and at > datetime.now(timezone.utc)
    (summary,) = airflow.summaries(pipeline.dag, run)
    assert (summary["exit_code"], summary["api"]["requests"]) == (11, 3)
    assert airflow.events(pipeline.dag) == {}


def test_what_may_pass_is_tried_again_as_often_as_the_settings_say(
    program: Path, sandbox: Sandbox, airflow: Airflow, tmp_path: Path
) -> None:
    nobody = sandbox.url.replace(str(sandbox.port), str(free_port()))
    settings = {"RETRIES, RETRY_DELAY": "1, timedelta(seconds=1)"}
    pipeline = Pipeline(program, tmp_path / "p", "transient", nobody, sandbox.token, settings=settings)  # words: ok
    pipeline.drop_into(airflow.dags)
    run = airflow.trigger(pipeline.dag)
    task = airflow.wait_for_state(pipeline.dag, "failed", "success")
    assert (task["state"], task["try_number"]) == ("failed", 2), airflow.said()
    (summary,) = airflow.summaries(pipeline.dag, run)
    assert summary["exit_code"] == 12


@pytest.mark.parametrize("code", [2, 10])
def test_what_a_person_must_mend_fails_at_once(
    code: int, program: Path, sandbox: Sandbox, airflow: Airflow, tmp_path: Path
) -> None:
    token = "wrong" if code == 10 else sandbox.token
    pipeline = Pipeline(program, tmp_path / "p", f"final_{code}", sandbox.url, token)
    pipeline.drop_into(airflow.dags)
    if code == 2:
        pipeline.file.write_text(pipeline.file.read_text().replace("destination:", "destinations:"))
    airflow.trigger(pipeline.dag)
    task = airflow.wait_for_state(pipeline.dag, "failed", "success")
    assert (task["state"], task["try_number"]) == ("failed", 1), airflow.said()
    assert f"exit code {code}" in airflow.said()


def test_parts_are_mapped_and_only_what_changed_has_an_event(
    program: Path, sandbox: Sandbox, airflow: Airflow, tmp_path: Path
) -> None:
    settings = {"PARTS: list[list[str]]": '[["--shard", "1/2"], ["--shard", "2/2"]]'}
    pipeline = Pipeline(program, tmp_path / "p", "parts", sandbox.url, sandbox.token, reports=MERGED, settings=settings)
    pipeline.drop_into(airflow.dags)

    def both_end(run: str) -> list[str] | None:
        states = [task["state"] for task in airflow.tasks(pipeline.dag) if task["run_id"] == run]
        return states if len(states) == 2 and set(states) <= {"success", "failed"} else None

    first = airflow.trigger(pipeline.dag)
    assert airflow.wait("both parts", lambda: both_end(first)) == ["success", "success"], airflow.said()
    tables = {f"file://{pipeline.folder}/out/{table}" for table in pipeline.rows()}
    assert set(airflow.events(pipeline.dag)) == tables

    before = airflow.query("select count(*) as n from asset_event where source_dag_id = ?", pipeline.dag)[0]["n"]
    again = airflow.trigger(pipeline.dag)
    assert airflow.wait("both parts again", lambda: both_end(again)) == ["success", "success"], airflow.said()
    after = airflow.query("select count(*) as n from asset_event where source_dag_id = ?", pipeline.dag)[0]["n"]
    assert after == before, "nothing changed, and nobody who waits for a change is woken"


def test_a_backfill_reads_its_data_interval_and_a_scheduled_run_does_not(
    program: Path, sandbox: Sandbox, airflow: Airflow, tmp_path: Path
) -> None:
    monthly = '{cron: "0 0 1 * *", timezone: UTC}'
    pipeline = Pipeline(program, tmp_path / "p", "monthly", sandbox.url, sandbox.token, schedule=monthly)
    pipeline.drop_into(airflow.dags)
    # The month that has just ended is due.
    due = airflow.wait_for_state(pipeline.dag, "success", "failed", kind="scheduled")
    assert due["state"] == "success", airflow.said()
    (live,) = airflow.summaries(pipeline.dag, due["run_id"])
    assert live["reports"][0]["window"]["before"] is None

    created = airflow.command("backfill", "create", "--dag-id", pipeline.dag, "--from-date", "2026-03-01", "--to-date", "2026-03-01")
    assert created.returncode == 0, created.stdout + created.stderr
    task = airflow.wait_for_state(pipeline.dag, "success", "failed", kind="backfill")
    assert task["state"] == "success", airflow.said()
    (summary,) = airflow.summaries(pipeline.dag, task["run_id"])
    assert [report["report"] for report in summary["reports"]] == ["contacts"], "lists cannot be filtered by date"
    assert summary["reports"][0]["window"] == {"after": "2026-03-01T00:00:00Z", "before": "2026-04-01T00:00:00Z"}
