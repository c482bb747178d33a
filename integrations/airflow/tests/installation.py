"""An Airflow of the tests' own: scheduler with LocalExecutor, DAG processor and API server over SQLite, in one folder."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sandbox import PATIENCE

T = TypeVar("T")


class Airflow:
    """An installation, until `stop`. What its parts say is in `<home>/<part>.log`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.dags = home / "dags"
        self.dags.mkdir(parents=True)
        self.port = free_port()
        self.environment = os.environ | settings(home, self.port)
        self.parts: list[subprocess.Popen[bytes]] = []
        self._token = ""

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `airflow` to its end."""
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)

    def start(self) -> None:
        """Starts the parts and waits until the API responds."""
        migrated = self.command("db", "migrate")
        assert migrated.returncode == 0, migrated.stderr
        for part in (["api-server", "--port", str(self.port), "--workers", "1"], ["scheduler"], ["dag-processor"]):
            with open(self.home / f"{part[0]}.log", "wb") as log:
                command = [sys.executable, "-m", "airflow", *part]
                # A session of its own, so that its children end with it.
                started = subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
                )
            self.parts.append(started)
        self.wait("the API", self._sign_in)

    def _sign_in(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/auth/token", timeout=30) as answer:
                self._token = json.load(answer)["access_token"]
        except (urllib.error.URLError, OSError):
            return ""
        return self._token

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends a request to the API. The result is empty where it knows no such thing yet."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return {}
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def trigger(self, dag: str) -> str:
        """Starts a run by hand, with no logical date, and gives its id."""
        self.wait(f"the DAG {dag}", lambda: self.call("GET", f"dags/{dag}"))
        return self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"]

    def query(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """Asks the database, read only."""
        database = sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=PATIENCE)
        database.row_factory = sqlite3.Row
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def tasks(self, dag: str, kind: str = "%") -> list[sqlite3.Row]:
        """The task instances of a DAG's runs of one kind."""
        statement = """select t.state, t.try_number, t.run_id, t.map_index, t.id from task_instance t join dag_run r
            on r.dag_id = t.dag_id and r.run_id = t.run_id where t.dag_id = ? and r.run_type like ? and t.map_index >= 0"""
        return self.query(statement, dag, kind)

    def wait_for_state(self, dag: str, *states: str, kind: str = "%") -> sqlite3.Row:
        """Waits until the one task of a DAG is in one of these states, and gives it."""

        def there() -> sqlite3.Row | None:
            tasks = self.tasks(dag, kind)
            return tasks[0] if tasks and all(task["state"] in states for task in tasks) else None

        return self.wait(f"{dag} to be {' or '.join(states)}", there)

    def summaries(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """What the task of a run pushed to XCom."""
        rows = self.query("select value from xcom where dag_id = ? and run_id = ? and key = 'return_value'", dag, run_id)
        assert len(rows) == 1, [dict(row) for row in rows]
        value = json.loads(rows[0]["value"])
        return json.loads(value) if isinstance(value, str) else value

    def events(self, dag: str) -> dict[str, dict[str, Any]]:
        """The asset events of a DAG's tasks: what is said of each, by the asset's address."""
        statement = "select a.uri, e.extra from asset_event e join asset a on a.id = e.asset_id where e.source_dag_id = ?"
        return {row["uri"]: json.loads(row["extra"]) for row in self.query(statement, dag)}

    def wait(self, what: str, condition: Callable[[], T | None]) -> T:
        """Waits for a condition, and says what the installation said where it never comes."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for part in self.parts:
                assert part.poll() is None, f"{part.args} ended\n{self.said()}"
            if value := condition():
                return value
            time.sleep(0.5)
        raise AssertionError(f"waited in vain for {what}\n{self.said()}")

    def said(self) -> str:
        """The last lines of every log."""
        logs = [*self.home.glob("*.log"), *self.home.glob("logs/dag_id=*/**/*.log")]
        return "\n".join(f"== {log}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)

    def stop(self) -> None:
        """Ends everything that was started."""
        for part in self.parts:
            try:
                os.killpg(part.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        for part in self.parts:
            try:
                part.wait(timeout=30)
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(part.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def settings(home: Path, port: int) -> dict[str, str]:
    """Settings of an installation that shares nothing with another one on this host."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        # A busy machine may hold the database longer than the five seconds that SQLite waits by itself.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}?timeout=120",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__SECRET_KEY": "of-the-tests",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-of-the-tests-that-is-long-enough-for-its-use",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "CTCT_CONFIG_DIR": str(home / "config"),
        "CTCT_STATE_DIR": str(home / "state"),
        "NO_PROXY": "127.0.0.1",
    }


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
