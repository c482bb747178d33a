"""Readers with narrower tastes than DuckDB, Polars, PyArrow and Spark: fastparquet, DataFusion and hyparquet take every file of
the default settings, and with `compression: snappy` hyparquet needs no package beside it."""

import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import fastparquet
import pyarrow as pa
import pyarrow.parquet
import pytest
from datafusion import SessionContext

from program import Program, Table, sandbox

HYPARQUET = Path(__file__).parent / "hyparquet"


@pytest.fixture(scope="module")
def hyparquet() -> Callable[..., list[dict]]:
    """`hyparquet(file)` gives a file's rows; `plain` without the package that decompresses zstd."""
    if not (HYPARQUET / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HYPARQUET, check=True, timeout=300)

    def rows(file: Path, plain: bool = False) -> list[dict]:
        command = ["node", str(HYPARQUET / "rows.mjs"), str(file), *(["plain"] if plain else [])]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout)

    return rows


def told(value: object) -> object:
    """A value as JSON has it."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if isinstance(value, datetime) else value


def expected(file: Path) -> list[dict]:
    return [{name: told(value) for name, value in row.items()} for row in pa.parquet.ParquetFile(file).read().to_pylist()]


def test_every_file_is_read_by_fastparquet_and_datafusion(everything: tuple[Path, list[Table]]) -> None:
    folder, tables = everything
    for table in tables:
        for file in (folder / table.name).rglob("*.parquet"):
            plain = pa.parquet.ParquetFile(file).read()
            frame = fastparquet.ParquetFile(str(file)).to_pandas()
            assert list(frame.columns) == plain.column_names, file
            assert len(frame) == len(plain), file
            for key in table.key:
                # fastparquet shows moments in UTC without saying so.
                ours = [str(value).removesuffix("+00:00") for value in plain[key].to_pylist()]
                assert [str(value) for value in frame[key]] == ours, (file, key)
        context = SessionContext()
        context.register_parquet(
            "t", str(folder / table.name), table_partition_cols=[("account", pa.string())], file_extension=".parquet"
        )
        rows = context.sql("SELECT count(*) AS n, count(distinct account) AS a FROM t").to_pylist()[0]
        files = (folder / table.name).rglob("*.parquet")
        number = sum(pa.parquet.ParquetFile(file).metadata.num_rows for file in files)
        assert rows == {"n": number, "a": 1 if number else 0}, table.name


def test_files_are_read_by_hyparquet(everything: tuple[Path, list[Table]], hyparquet: Callable[..., list[dict]]) -> None:
    folder, _ = everything
    for name in ("contacts", "contacts_list_memberships", "contact_action_summary"):
        (file,) = (folder / name).rglob("*.parquet")
        assert hyparquet(file) == expected(file), name


@pytest.mark.parametrize("compression", ["snappy", "gzip", "none"])
def test_settings_reach_every_file_of_every_mode(
    compression: str, program: Program, hyparquet: Callable[..., list[dict]]
) -> None:
    root = program.run(
        f"""
        version: 1
        name: files
        source: {{account: acme, {sandbox(40)}}}
        destination: {{url: ./data, files: {{compression: {compression}, account_column: true}}}}
        reports:
          - {{report: contacts, write_mode: merge}}
          - {{report: contact_lists, write_mode: append}}
          - {{report: email_campaigns, write_mode: replace}}
        """
    )
    codec = {"snappy": "SNAPPY", "gzip": "GZIP", "none": "UNCOMPRESSED"}[compression]
    files = list(root.rglob("*.parquet"))
    assert any("_runs" in str(file) for file in files)
    for file in files:
        if "_ctct" in file.parts:
            continue
        metadata = pa.parquet.ParquetFile(file).metadata
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(column)
                assert chunk.compression == codec, file
                assert not any("DELTA" in encoding for encoding in chunk.encodings), file
        accounts = pa.parquet.ParquetFile(file).read(["_account"])["_account"].to_pylist()
        assert set(accounts) <= {"acme"}, file
    if compression != "gzip":
        for file in (root / "contacts").rglob("*.parquet"):
            assert hyparquet(file, plain=True) == expected(file)
