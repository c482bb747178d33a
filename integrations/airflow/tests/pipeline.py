"""Pipelines of the tests, their DAGs as `ctct-etl schedule` writes them, and the rows that they leave."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

#: Far from being due: only runs that are started by hand.
NEVER = '{cron: "0 0 1 1 *", timezone: UTC}'

REPORTS = """
  - {report: contacts, updated_after: {days_back: 9000}}
  - {report: contact_lists, write_mode: replace}
"""


@dataclass
class Pipeline:
    """A pipeline in a folder of its own, of an API at `url`."""

    program: Path
    folder: Path
    name: str
    url: str
    token: str
    schedule: str = NEVER
    reports: str = REPORTS
    #: Most requests per day.
    daily_requests: int = 10000
    #: Lines of the DAG's settings that are other than written.
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.file.write_text(
            f"""
version: 1
name: {self.name}
schedule: {self.schedule}
source:
  account: acme
  base_url: {{env: CTCT_URL}}
  access_token: {{env: CTCT_ACCESS_TOKEN}}
  application: {self.name}
  requests_per_second: 1000
  daily_requests: {self.daily_requests}
destination: {{url: ./out}}
retry: {{attempts: 2}}
reports: {self.reports}
"""
        )

    @property
    def dag(self) -> str:
        return f"ctct_{self.name}"

    @property
    def file(self) -> Path:
        return self.folder / "pipeline.yaml"

    @property
    def environment(self) -> dict[str, str]:
        return {"CTCT_URL": self.url, "CTCT_ACCESS_TOKEN": self.token}

    def run(self, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs the program on it, without Airflow."""
        host = {"CTCT_CONFIG_DIR": str(self.folder / "config"), "CTCT_STATE_DIR": str(self.folder / "state")}
        environment = os.environ | self.environment | host | ({"CTCT_URL": url} if url else {})
        command = [str(self.program), *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    def drop_into(self, dags: Path) -> None:
        """Writes its DAG into a folder, with settings that suit a test."""
        written = self.run("schedule", "pipeline.yaml", "--target", "airflow")
        assert written.returncode == 0, written.stderr
        changed = {
            "ENVIRONMENT: dict[str, str]": json.dumps(self.environment),
            "RETRIES, RETRY_DELAY": "3, timedelta(seconds=1)",
            **self.settings,
        }
        lines = []
        for line in written.stdout.splitlines():
            name = line.split(" = ")[0]
            lines.append(f"{name} = {changed.pop(name)}" if name in changed else line)
        assert not changed, changed
        # Completely or not at all: the DAG processor looks every other second.
        waiting = self.folder / "dag.py"
        waiting.write_text("\n".join(lines) + "\n")
        waiting.rename(dags / f"{self.dag}.py")

    def rows(self) -> dict[str, list[str]]:
        """Every row of every table, without what differs from run to run, in a fixed order."""
        tables: dict[str, list[str]] = {}
        for file in sorted((self.folder / "out").glob("*/**/*.parquet")):
            table = file.relative_to(self.folder / "out").parts[0]
            if table.startswith("_"):
                continue
            rows: list[dict[str, Any]] = parquet.ParquetFile(file).read().to_pylist()
            kept = [{name: value for name, value in row.items() if name not in ("_commit", "_extracted_at")} for row in rows]
            tables.setdefault(table, []).extend(json.dumps(row, default=str, sort_keys=True) for row in kept)
        return {table: sorted(rows) for table, rows in tables.items()}
