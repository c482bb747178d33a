"""Readers on S3: the same rows as on the local disk, by each reader's own way to the store.

DuckDB runs in an environment of its own, `tests/readers/s3`: its extension for S3 is on PyPI for an older version alone.
Spark needs `hadoop-aws`, which is not on PyPI; `.ci/readers` says so.
"""

import os
import subprocess
import uuid
from pathlib import Path

import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs
import pytest

from engines import PyArrow, assert_alike
from program import Program, sandbox

ENDPOINT = os.environ.get("CTCT_TEST_S3_MOTO", "")
KEY = "test"
#: As `.ci/stores` makes it.
BUCKET = "ctct-test"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": KEY}

pytestmark = pytest.mark.skipif(not ENDPOINT, reason="CTCT_TEST_S3_MOTO is unset")

PIPELINE = """
version: 1
name: s3
source: {{account: "007", {source}}}
destination: {destination}
reports:
  - {{report: contacts, write_mode: {mode}, partition_by: [{{month: created_at}}]}}
"""


def pipeline(destination: str, mode: str) -> str:
    return PIPELINE.format(source=sandbox(200), destination=destination, mode=mode)


@pytest.fixture(scope="module", params=["append", "merge"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, str]:
    """The contacts on the local disk, as PyArrow reads them, and the prefix of the same on S3."""
    program = Program(tmp_path_factory.mktemp("s3"))
    prefix = f"{BUCKET}/readers-{uuid.uuid4()}"
    options = f'{{endpoint: "{ENDPOINT}", allow_http: true}}'
    local = program.run(pipeline("{url: ./data}", request.param))
    on_s3 = pipeline(f'{{url: "s3://{prefix}", options: {options}}}', request.param)
    # A second run replaces or adds nothing: nothing has changed.
    for _ in range(2):
        program.call("run", str(program.pipeline(on_s3)), "--quiet", **CREDENTIALS)
    return PyArrow().table(local / "contacts"), f"{prefix}/contacts"


def alike(expected: pa.Table, found: pa.Table, reader: str) -> None:
    # When an answer came differs from run to run.
    drop = ["_extracted_at"]
    assert_alike(expected.drop_columns(drop), found.drop_columns(drop), ["contact_id"], f"{reader} on S3")


def test_pyarrow_reads_them(tables: tuple[pa.Table, str]) -> None:
    expected, prefix = tables
    store = pa.fs.S3FileSystem(access_key=KEY, secret_key=KEY, endpoint_override=ENDPOINT, scheme="http", region="us-east-1")
    keys = pa.schema([("account", pa.string()), ("created_at_month", pa.string())])
    dataset = pa.dataset.dataset(prefix, filesystem=store, format="parquet", partitioning=pa.dataset.partitioning(keys, flavor="hive"))
    alike(expected, dataset.to_table(), "PyArrow")


def test_polars_reads_them_and_skips_partitions(tables: tuple[pa.Table, str]) -> None:
    expected, prefix = tables
    options = {
        "aws_access_key_id": KEY, "aws_secret_access_key": KEY, "aws_endpoint_url": ENDPOINT,
        "aws_region": "us-east-1", "aws_allow_http": "true",
    }
    keys = {"account": polars.String, "created_at_month": polars.String}
    frame = polars.scan_parquet(f"s3://{prefix}/**/*.parquet", hive_partitioning=True, hive_schema=keys, storage_options=options)
    alike(expected, frame.collect().to_arrow(), "Polars")
    month = expected["created_at_month"][0].as_py()
    some = frame.filter(polars.col("created_at_month") == month).collect()
    assert 0 < some.height < expected.num_rows and some["created_at_month"].unique().to_list() == [month]


def test_duckdb_reads_them(tables: tuple[pa.Table, str], tmp_path: Path) -> None:
    python = os.environ.get("CTCT_DUCKDB_S3")
    if not python:
        pytest.skip("CTCT_DUCKDB_S3 is unset")
    expected, prefix = tables
    out = tmp_path / "read.parquet"
    script = Path(__file__).parent / "s3" / "read.py"
    command = [python, str(script), ENDPOINT.removeprefix("http://"), KEY, f"s3://{prefix}/**/*.parquet", str(out)]
    subprocess.run(command, check=True, timeout=300)
    alike(expected, pa.parquet.read_table(out), "DuckDB")
