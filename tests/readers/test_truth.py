"""What the API said, taken from its JSON without any code of the program, is what every reader sees."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.request import Request, urlopen

import pytest

from engines import DuckDb, Polars, PyArrow, Spark, alike
from program import Program


def columns_of(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A record's plain values under the names of their columns: nested objects joined by `_`, lists left out."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= columns_of(value, f"{prefix}{name}_")
        elif not isinstance(value, list):
            flat[prefix + name] = value
    return flat


def moment(text: str) -> datetime:
    """A timestamp of the API's; a bare date is its midnight in UTC."""
    said = datetime.fromisoformat(text)
    return said if said.tzinfo else said.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("report", "path", "key"),
    [("contacts", "contacts?status=all&limit=500", "contact_id"), ("contact_lists", "contact_lists?status=all&include_membership_count=all&limit=500", "list_id")],
)
def test_what_the_api_said_is_what_readers_see(
    report: str, path: str, key: str, program: Program, spark_engine: Spark
) -> None:
    with program.sandbox("--contacts", "200", "--seed", "11") as (base_url, token):
        folder = program.run(
            f"""
            version: 1
            name: truth
            source: {{account: truth, base_url: "{base_url}", access_token: {{env: CTCT_ACCESS_TOKEN}}}}
            destination: {{url: ./data}}
            reports: [{{report: {report}, write_mode: replace{", contact_status: [all]" if report == "contacts" else ""}}}]
            """,
            CTCT_ACCESS_TOKEN=token,
        )
        request = Request(f"{base_url}/{path}", headers={"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=60) as answer:
            body = json.load(answer)
    records = next(value for value in body.values() if isinstance(value, list))
    said = {record[key]: columns_of(record) for record in records}
    assert len(said) > 10
    for engine in (DuckDb(), Polars(), PyArrow(), spark_engine):
        rows = {row[key]: row for row in alike(engine.table(folder / report), [key]).to_pylist()}
        assert rows.keys() == said.keys()
        for name, record in said.items():
            for column, value in record.items():
                seen = rows[name][column]
                told = moment(value) if isinstance(seen, datetime) else value
                assert seen == told, f"{column} in {engine.name}"
            # What the API left out is null.
            rest = {c for c in rows[name] if c not in record and c not in ("account", "_commit", "_extracted_at")}
            assert all(rows[name][column] is None for column in rest), f"{rest} in {engine.name}"
