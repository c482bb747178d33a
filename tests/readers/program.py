"""The program under test: runs pipelines against its embedded API and says what its tables are."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CTCT_ETL", REPOSITORY / "target/debug/ctct-etl-under-test")).absolute()
# A run takes seconds; a machine that is busy may take minutes.
GENEROUS = 300


@dataclass(frozen=True)
class Table:
    """A table as the catalogue has it: `columns` maps names to Arrow types, in the order of the files."""

    name: str
    key: list[str]
    columns: dict[str, str]


@dataclass(frozen=True)
class Program:
    """The binary with a folder of its own, where its state goes and relative paths begin."""

    home: Path

    def environment(self) -> dict[str, str]:
        state = {"CTCT_STATE_DIR": str(self.home / "state"), "CTCT_CONFIG_DIR": str(self.home / "config")}
        return {**os.environ, **state, "NO_COLOR": "1"}

    def call(self, *arguments: str, codes: tuple[int, ...] = (0,), **environment: str) -> str:
        """Runs a command to its end and returns its stdout; any other exit code than `codes` fails the test."""
        done = subprocess.run(
            [BINARY, *arguments], cwd=self.home, env=self.environment() | environment,
            capture_output=True, text=True, timeout=GENEROUS, check=False,
        )
        assert done.returncode in codes, f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def pipeline(self, text: str) -> Path:
        """Writes a pipeline's text to a file of its own."""
        file = self.home / f"pipeline-{len(list(self.home.glob('pipeline-*.yaml')))}.yaml"
        file.write_text(text)
        return file

    def run(self, text: str, *arguments: str, **environment: str) -> Path:
        """Runs a pipeline and returns its destination, which must be a folder."""
        return Path(self.summary(text, *arguments, **environment)["destination"])

    def summary(self, text: str, *arguments: str, **environment: str) -> dict:
        """Runs a pipeline and returns the run's summary."""
        file = self.pipeline(text)
        return json.loads(self.call("run", str(file), "--quiet", "--output", "json", *arguments, **environment))

    def tables(self, text: str) -> list[Table]:
        """What `schema` says of the tables that a pipeline writes."""
        tables = json.loads(self.call("schema", str(self.pipeline(text)), "--output", "json"))
        return [Table(t["table"], t["key"], {c["name"]: c["arrow"] for c in t["columns"]}) for t in tables]

    @contextmanager
    def sandbox(self, *arguments: str) -> Iterator[tuple[str, str]]:
        """Serves the embedded API for as long as the block lasts; gives its base URL and an access token."""
        server = subprocess.Popen(
            [BINARY, "sandbox", "--port", "0", "--requests-per-second", "100000", "--daily-requests", "1000000", *arguments],
            cwd=self.home, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            told = ""
            while not (found := re.search(r"Bearer (\S+)' '(http\S+/v3)/", told)):
                line = server.stdout.readline()
                assert line, f"the sandbox ended: {told}"
                told += line
            yield found[2], found[1]
        finally:
            server.kill()
            server.wait()


def after_tomorrow() -> str:
    """A day for `--today` where an account lives on between runs: what it does in days to come must be later than what
    a run has read, and a run reads up to the clock's time."""
    return str((datetime.now(UTC) + timedelta(days=2)).date())


def sandbox(contacts: int = 300, **options: object) -> str:
    """The `source` of a pipeline on the embedded API: a pace that costs no time, and dates that stay as they are."""
    settings = {"contacts": contacts, "seed": 7, "today": "2026-03-01", **options}
    pace = {"requests_per_second": 100_000, "burst": 100_000, "daily_requests": 1_000_000}
    return "sandbox: {" + ", ".join(f"{key}: {value}" for key, value in (settings | pace).items()) + "}"


# Every report that there is, over a small account whose dates do not depend on the day.
EVERY_REPORT = """
version: 1
name: everything
source:
  account: {account}
  {source}
destination: {{url: ./data}}
reports:
  - {{report: contacts, contact_status: [all], include_subresources: all, write_mode: replace{partition}}}
  - {{report: contact_lists, write_mode: replace}}
  - {{report: email_campaigns, write_mode: replace}}
  - {{report: contact_custom_fields, write_mode: replace}}
  - {{report: contact_tags, write_mode: replace}}
  - {{report: segments, write_mode: replace}}
  - {{report: account_summary, write_mode: replace}}
  - report: contact_action_summary
    contact_id: {{from: contacts}}
    duration: date_range
    start_date: 2026-02-01
    end_date: 2026-03-01
    write_mode: replace
  - {{report: contact_activity_details, contact_id: {{from: contacts}}, write_mode: replace}}
"""


def every_report(account: str = "sandbox", contacts: int = 300, partition_by: str = "") -> str:
    """A pipeline with every report."""
    partition = f", partition_by: {partition_by}" if partition_by else ""
    return EVERY_REPORT.format(account=account, source=sandbox(contacts), partition=partition)
