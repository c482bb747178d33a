"""Runs one pipeline of ctct-etl, with the retry behavior that each of its exit codes asks for.

This one file is all that Airflow (3.0 or newer) needs: put it into the folder of DAGs. `ctct-etl schedule FILE --target
airflow` prints it with the settings of a pipeline.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, BaseOperator, CronDataIntervalTimetable, DeltaDataIntervalTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowRescheduleException

# --- settings ---
DAG_ID = "ctct_demo"
DESCRIPTION = "The demo, on an embedded API."
#: The program: a path, or a name on the workers' PATH.
COMMAND = "ctct-etl"
PIPELINE = "pipelines/demo.yaml"
#: The program runs here.
FOLDER = "."
SCHEDULE = CronDataIntervalTimetable("0 6 * * *", timezone="UTC")
#: One mapped task each, with these arguments of its own: ["--account", "east"] or ["--shard", "1/4"].
PARTS: list[list[str]] = [[]]
#: Reports that the API can filter by date: a backfill reads these.
WINDOWED = ["contacts", "email_campaigns"]
#: Variables of the program, as templates: {"CTCT_ACCESS_TOKEN": "{{ conn.constant_contact.password }}"}.
ENVIRONMENT: dict[str, str] = {}
#: How often 12 and 13 are tried again, and how long after the first time; then twice as long each time.
RETRIES, RETRY_DELAY = 6, timedelta(minutes=1)
# --- end of the settings ---

#: Exit codes, as `ctct-etl --help` lists them.
DONE, QUOTA, TRANSIENT, HELD = 0, 11, 12, 13
#: Failures that need manual action: retrying would fail again.
FINAL = {
    1: "this is a bug in ctct-etl; please report it with the log above",
    2: "fix the problem named above, then clear this task",
    10: "sign the account in with `ctct-etl auth login`, then clear this task",
    14: "some reports failed and the others are committed; read why, then clear this task",
    15: "the stored state is damaged: look at `ctct-etl state`, then `ctct-etl state rebuild`",
}
#: Seconds that the program has to stop at a page; it needs 30 at most.
STOPPING = 60


class CtctEtl(BaseOperator):
    """Runs a pipeline, or a part of its accounts.

    - 0 succeeds; 12, 13 and an end by a signal are retried, up to `retries` times.
    - 11 waits for 00:00 UTC, when the daily quota is reset, in `up_for_reschedule`: no worker is held, no try is used up.
    - Everything else fails at once.

    XCom gets the list of the program's summaries, one per account, however the run ended. Each table that changed has an asset
    event with the number of its rows. A run of a backfill reads its data interval (`--from`, `--to`); every other run
    resumes where the last one stopped, whatever its interval says.
    """

    template_fields: Sequence[str] = ("environment",)
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        command: str,
        pipeline: str,
        folder: str,
        part: Sequence[str] = (),
        windowed: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.command = command
        self.pipeline = pipeline
        self.folder = folder
        self.part = part
        self.windowed = windowed
        self.environment = environment or {}
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Runs the program to its end and raises what its exit code asks for."""
        # `--over-days`: what does not fit into one day takes several, and exit code 11 ends each.
        scope = self.scope(context)
        arguments = ["run", self.pipeline, "--output", "json", "--over-days", *(self.part or []), *scope]
        code, summaries = self.run([self.command, *arguments])
        if code == DONE:
            self.announce(summaries, context)
            return summaries
        context["ti"].xcom_push(key="return_value", value=summaries)
        raise verdict(code, summaries, datetime.now(timezone.utc))

    def scope(self, context: Mapping[str, Any]) -> list[str]:
        """The data interval of a backfill. A run started by hand has none; that of a scheduled one is not asked."""
        run = context["dag_run"]
        if run.run_type != "backfill":
            return []
        if not self.windowed:
            raise AirflowFailException("none of this pipeline's reports can be filtered by date: there is no backfill")
        reports = [word for report in self.windowed for word in ("--report", report)]
        window = ["--from", stamp(run.data_interval_start), "--to", stamp(run.data_interval_end)]
        return [*reports, *window]

    def run(self, command: list[str]) -> tuple[int, list[dict[str, Any]]]:
        """The exit code and the summaries of the program. Its progress goes to the task's log."""
        self.log.info("%s", " ".join(command))
        with tempfile.TemporaryFile("w+", encoding="utf-8") as stdout:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env={**os.environ, **self.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    preexec_fn=stop_with_parent,
                )
            except OSError as error:
                raise AirflowFailException(f"{self.command} cannot be started: {error}") from error
            self._process = process
            try:
                for line in process.stderr or ():
                    self.log.info("%s", line.rstrip())
                code = process.wait()
            finally:
                self.on_kill()
                end(process)
            stdout.seek(0)
            return code, [json.loads(line) for line in stdout if line.startswith("{")]

    def on_kill(self) -> None:
        """Tells the program to stop at a page. Fetched pages are saved, and the next try resumes from them."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def announce(self, summaries: list[dict[str, Any]], context: Mapping[str, Any]) -> None:
        """An asset event for each table that changed.

        Only a task that succeeds may have events. What tries of this run before committed is not in the summary of the
        last one, so that one names every table that it read.
        """
        again = context["ti"].try_number > 1 or bool(context.get("task_reschedule_count"))
        events = context["outlet_events"][AssetAlias(f"{self.dag_id}_tables")]
        for summary in summaries:
            for table, extra in changes(summary, everything=again):
                events.add(Asset(name=f"{self.dag_id}_{table}", uri=table_uri(summary, table)), extra=extra)


def changes(summary: dict[str, Any], *, everything: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tables that a run changed, or all that it read, and what there is to say of each."""
    for report in summary["reports"]:
        for table in report["tables"]:
            merged = table.get("merged")
            rows = merged["inserted"] + merged["updated"] + merged["deleted"] if merged else table["files"]
            if rows or everything:
                extra = {"account": summary["account"], "run_id": summary["run_id"], "report": report["report"]}
                extra["commit"] = report.get("commit")
                yield table["table"], extra | {name: table[name] for name in ("rows", "files", "bytes")}


def table_uri(summary: dict[str, Any], table: str) -> str:
    """Where a table is, for all its accounts."""
    destination = summary["destination"].rstrip("/")
    place = destination if "://" in destination else f"file://{os.path.abspath(destination)}"
    return f"{place}/{table}"


def verdict(code: int, summaries: list[dict[str, Any]], now: datetime) -> Exception:
    """What an exit code other than 0 asks for."""
    if code == QUOTA:
        return AirflowRescheduleException(next_day(now))
    said = "; ".join(message for summary in summaries for message in errors(summary))
    if code in FINAL:
        return AirflowFailException(f"exit code {code}: {said + ': ' if said else ''}{FINAL[code]}")
    reason = {TRANSIENT: "stopped, or a temporary failure", HELD: "another run holds a report"}
    ended = f"signal {-code}" if code < 0 else f"exit code {code}"
    return AirflowException(f"{ended}: {said or reason.get(code, 'the log above says why')}")


def errors(summary: dict[str, Any]) -> Iterator[str]:
    """What went wrong in a run, by account and report."""
    for part in [summary, *summary["reports"]]:
        if error := part.get("error"):
            yield f"{summary['account']}: {error['message']} ({error['advice']})"


def next_day(now: datetime) -> datetime:
    """00:00 UTC and up to ten minutes, so that not every pipeline of a key starts at once."""
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(seconds=random.uniform(5, 600))


def stamp(moment: datetime) -> str:
    """A moment as the program's command line takes it."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def stop_with_parent() -> None:
    """Asks the kernel to send SIGTERM to the program when the task's process ends, even by kill -9."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def end(process: subprocess.Popen[str]) -> None:
    """Waits for a program that was asked to stop, and kills it when it does not."""
    try:
        process.communicate(timeout=STOPPING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


with DAG(
    dag_id=DAG_ID,
    description=DESCRIPTION,
    schedule=SCHEDULE,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Two runs of one pipeline would only hold each other up.
    max_active_runs=1,
    tags=["ctct-etl"],
) as dag:
    CtctEtl.partial(
        task_id="run",
        command=COMMAND,
        pipeline=PIPELINE,
        folder=FOLDER,
        windowed=WINDOWED,
        environment=ENVIRONMENT,
        outlets=[AssetAlias(f"{DAG_ID}_tables")],
        map_index_template="{{ task.part | join(' ') or 'all accounts' }}",
        retries=RETRIES,
        retry_delay=RETRY_DELAY,
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(minutes=30),
    ).expand(part=PARTS)
