"""What the tests share: the program, a sandbox, and an Airflow that runs while they do."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
# Importing Airflow writes into its home.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="ctct-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from installation import Airflow  # noqa: E402
from sandbox import Sandbox  # noqa: E402


@pytest.fixture(scope="session")
def program() -> Path:
    """The program under test: what `CTCT_ETL` names, or the one that the Rust tests have built."""
    built = HERE.parents[2] / "target" / "debug" / "ctct-etl-under-test"
    path = Path(os.environ.get("CTCT_ETL", built)).resolve()
    assert path.is_file(), f"{path} is not there: cargo build -p ctct-tests"
    return path


@pytest.fixture(scope="session")
def sandbox(program: Path) -> Iterator[Sandbox]:
    """An account of 4,000 contacts."""
    running = Sandbox(program, ["--contacts", "4000"])
    yield running
    running.stop()


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow, running."""
    installed = Airflow(tmp_path_factory.mktemp("airflow"))
    try:
        installed.start()
        yield installed
    finally:
        installed.stop()
