"""Readers in a loop while runs commit: never a row twice, never rows of two commits, never a broken file, never a file of staging.

A file may vanish between a reader's listing and its opening it. The reader says so, and asking again works. `merge` replaces
files under their names: a reader that opens a file a second time in one query, as DuckDB, PyArrow and Spark do, may find the
next version where it had read the footer of the one before. It fails then, with whatever it makes of that, and gives no wrong
row; who opens each file once reads whole files alone.
"""

import io
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from engines import DuckDb, Engine, Polars, PyArrow, Spark
from program import Program
from scripted import contact_id, scripted

CONTACTS = 400
# Until both are reached the writer goes on.
COMMITS = 10
ROUNDS = {"opened once": 10, "duckdb": 10, "polars": 10, "pyarrow": 10, "spark": 6}

# How readers say that a file is no longer the one that they had listed.
GONE = ("No such file", "does not exist", "FileNotFoundError", "FileNotFoundException")

MODES = {
    # Mode and partitions -> what no two rows that a reader sees may have in common.
    "merge, partition_by: {bucket: {column: contact_id, count: 4}}": ["contact_id"],
    "replace, partition_by: {bucket: {column: contact_id, count: 4}}": ["contact_id"],
    "append": ["contact_id", "last_name"],
}


def first_name(asked: int) -> str:
    """What belongs to a last name, in a length of its own: files of two commits differ in where their columns are."""
    return "x" * (asked % 9)


class Account:
    """Contacts that have all changed whenever they are asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def contacts(self) -> dict[str, Any]:
        self.asked += 1
        changed = f"2026-01-01T{self.asked // 3600:02}:{self.asked // 60 % 60:02}:{self.asked % 60:02}Z"
        rows = [
            {"contact_id": contact_id(at), "first_name": first_name(self.asked), "last_name": str(self.asked), "updated_at": changed}
            for at in range(CONTACTS)
        ]
        return {"contacts": rows}


class OnceOpened:
    """Opens each file once: what it gets is a whole file, whatever happens to the name."""

    name = "opened once"

    def table(self, root: Path) -> pa.Table:
        files = sorted(root.rglob("*.parquet"))
        tables = [pa.parquet.read_table(io.BytesIO(file.read_bytes())) for file in files]
        if not tables:
            raise FileNotFoundError(f"{root} holds no file")
        return pa.concat_tables(tables)


class Loop(threading.Thread):
    """Reads a table again and again until told to stop; keeps what went wrong."""

    def __init__(self, engine: Engine | OnceOpened, root: Path, unique: list[str]) -> None:
        super().__init__(daemon=True)
        self.engine, self.root, self.unique = engine, root, unique
        self.stop = threading.Event()
        self.rounds = 0
        self.errors: list[str] = []
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                rows = self.engine.table(self.root)
                if "contact_id" not in rows.column_names:
                    raise FileNotFoundError("the reader listed no file, and so knows of no column")
            except Exception as error:  # noqa: BLE001 - what a reader may say is judged by the test
                self.errors.append(f"{type(error).__name__}: {error}")
                continue
            self.rounds += 1
            twice = [key for key, count in Counter(zip(*(rows[name].to_pylist() for name in self.unique))).items() if count > 1]
            mixed = [last for first, last in zip(rows["first_name"].to_pylist(), rows["last_name"].to_pylist()) if first != first_name(int(last))]
            if mixed:
                self.wrong.append(f"round {self.rounds}: {len(mixed)} of {rows.num_rows} rows are of two commits")
            if twice:
                self.wrong.append(f"round {self.rounds}: {len(twice)} of {rows.num_rows} rows twice, such as {twice[0]}")


@pytest.mark.parametrize("mode", MODES)
def test_rows_are_seen_once_while_runs_commit(mode: str, program: Program, spark_engine: Spark) -> None:
    account = Account()
    with scripted({"/contacts": account.contacts}) as base_url:
        pipeline = program.pipeline(
            f"""
            version: 1
            name: busy
            source: {{account: acme, base_url: "{base_url}", access_token: {{env: CTCT_ACCESS_TOKEN}}, requests_per_second: 1000, daily_requests: 1000000}}
            destination: {{url: ./data}}
            reports: [{{report: contacts, include_subresources: none, write_mode: {mode}}}]
            """
        )

        def commit() -> None:
            program.call("run", str(pipeline), "--quiet", CTCT_ACCESS_TOKEN="token")

        commit()
        root = program.home / "data" / "contacts"
        loops = [Loop(engine, root, MODES[mode]) for engine in (OnceOpened(), DuckDb(), Polars(), PyArrow(), spark_engine)]
        for loop in loops:
            loop.start()
        commits = 1
        while commits < COMMITS or any(loop.rounds + len(loop.errors) < ROUNDS[loop.engine.name] for loop in loops):
            assert all(loop.is_alive() for loop in loops), "a loop ended by an error of its own"
            commit()
            commits += 1
            if mode == "append" and commits % 5 == 0:
                program.call("compact", str(pipeline), "--quiet", CTCT_ACCESS_TOKEN="token")
        for loop in loops:
            loop.stop.set()
        for loop in loops:
            loop.join()
    for loop in loops:
        print(f"{mode}: {loop.engine.name} read {loop.rounds} times in {commits} commits, and {len(loop.errors)} times failed")
        assert loop.wrong == [], loop.engine.name
        if mode == "append" or loop.engine.name == "opened once":
            broken = [error for error in loop.errors if not any(words in error for words in GONE)]
            assert broken == [], f"{mode}: {loop.engine.name}"
    # Nobody writes any more: each reader sees the last commit, whole.
    for engine in (DuckDb(), Polars(), PyArrow(), spark_engine):
        rows = engine.table(root)
        assert rows.num_rows == CONTACTS * (account.asked if mode == "append" else 1), engine.name
