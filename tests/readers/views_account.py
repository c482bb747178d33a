"""An account that lives on between three runs, in each write mode, and what its API said at each of them.

What the API said is all that the tests of views are compared with: no SQL, and none of the program's files.
"""

import json
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from program import Program, after_tomorrow

MODES = {
    "append": "write_mode: append",
    "merge": "write_mode: merge",
    "history": "write_mode: merge, history: true",
    "replace": "write_mode: replace",
    "partition": "write_mode: partition, partition_by: {bucket: {column: KEY, count: 2}}",
}
"""How each report is written; `KEY` stands for the first column of its key."""

KEEPING = ["append", "history"]
"""Modes that keep what was."""

ACCOUNT = "007"
"""The account's label: a number to those who guess."""

DAYS = [0, 6, 20]
"""Days on which a run reads the account."""

CONTACTS = 80

REPORTS = {
    "contacts": ("contact_id", ""),
    "contact_custom_fields": ("custom_field_id", ""),
    "email_campaigns": ("campaign_id", ""),
    "contact_activity_details": ("contact_id", "contact_id: {from: contacts}, "),
}
"""Each report with the first column of its key and the options that it needs."""


def pipeline(base_url: str, mode: str, reports: dict[str, tuple[str, str]] = REPORTS) -> str:
    """A pipeline that writes these reports in one mode."""
    entries = [
        f"  - {{report: {name}, {options}{MODES[mode].replace('KEY', key)}}}" for name, (key, options) in reports.items()
    ]
    return "\n".join([
        "version: 1", "name: views", "source:", f"  base_url: {base_url}", f'  account: "{ACCOUNT}"',
        "  access_token: {env: TOKEN}", "  requests_per_second: 100000", "  daily_requests: 10000000",
        "destination: {url: ./data}", "reports:", *entries, "",
    ])


@dataclass
class Snapshot:
    """What the API said at one time; `moment` is the last second of the run that read it."""

    contacts: dict[str, dict[str, Any]]
    fields: list[dict[str, Any]]
    campaigns: dict[str, dict[str, Any]]
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    moment: datetime = datetime.min


@dataclass
class Lived:
    """A folder of tables after the last run, the pipeline that wrote it, and what was true at each run."""

    program: Program
    mode: str
    pipeline: str
    snapshots: list[Snapshot]

    @property
    def last(self) -> Snapshot:
        return self.snapshots[-1]

    def views(self, dialect: str, *arguments: str) -> str:
        """The SQL of the views."""
        return views(self.program, self.pipeline, dialect, *arguments)


def views(program: Program, text: str, dialect: str, *arguments: str) -> str:
    """The SQL of the views of a pipeline."""
    return program.call("views", str(program.pipeline(text)), "--dialect", dialect, *arguments, TOKEN="none")


def statements(sql: str) -> list[str]:
    """The statements of the SQL: each ends with the `;` at the end of a line, and nothing else does."""
    return [statement for statement in sql.split(";\n") if statement.strip()]


def live(home: Path, mode: str) -> Lived:
    """Runs a pipeline on each of the days."""
    program, snapshots, text, today = Program(home), [], "", after_tomorrow()
    for day in DAYS:
        account = ["--contacts", str(CONTACTS), "--seed", "7", "--today", today, "--days-later", str(day)]
        with program.sandbox(*account) as (url, token):
            text = pipeline(url, mode)
            program.run(text, TOKEN=token)
            snapshots.append(ask(url, token))
            snapshots[-1].moment = this_second()
    return Lived(program, mode, text, snapshots)


def this_second() -> datetime:
    """The second that the clock shows; returns when it is over. Rows carry the server's time, which has whole seconds."""
    now = datetime.now(UTC).replace(microsecond=0)
    while datetime.now(UTC) < now + timedelta(seconds=1):
        time.sleep(0.01)
    return now


def ask(url: str, token: str) -> Snapshot:
    """All that the API has to say."""
    def pages(path: str, rows: str) -> list[dict[str, Any]]:
        found, next_page = [], f"/v3{path}"
        while next_page:
            address = url.removesuffix("/v3") + next_page
            request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(request, timeout=120) as answer:
                page = json.load(answer)
            found += page.get(rows, [])
            next_page = ((page.get("_links") or {}).get("next") or {}).get("href")
        return found

    include = "custom_fields,list_memberships,taggings"
    contacts = pages(f"/contacts?status=all&include={include}&limit=500", "contacts")
    kinds = "em_sends,em_opens,em_clicks,em_bounces,em_optouts,em_forwards,p_contact_open,p_contact_click,p_contact_add,p_contact_update"
    events = {
        contact["contact_id"]: pages(
            f"/reports/contact_reports/{contact['contact_id']}/activity_details?tracking_activities_list={kinds}&limit=100",
            "tracking_activities",
        )
        for contact in contacts
    }
    return Snapshot(
        contacts={contact["contact_id"]: contact for contact in contacts},
        fields=pages("/contact_custom_fields?limit=100", "custom_fields"),
        campaigns={campaign["campaign_id"]: campaign for campaign in pages("/emails?limit=500", "campaigns")},
        events=events,
    )


def instant(text: str | None) -> datetime | None:
    """An instant of the API's."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def custom_values(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """For each contact the typed values of its custom fields by label."""
    fields = {entry["custom_field_id"]: entry for entry in snapshot.fields}
    return {
        identifier: {
            fields[given["custom_field_id"]]["label"]: typed(fields[given["custom_field_id"]], given)
            for given in contact["custom_fields"]
        }
        for identifier, contact in snapshot.contacts.items()
    }


def typed(entry: dict[str, Any], given: dict[str, Any]) -> Any:
    """One value as its field's type has it."""
    labels = {str(choice["choice_id"]): choice["choice_label"] for choice in entry.get("choices") or []}
    chosen = [labels[choice] for choice in given.get("choice_ids") or []]
    match entry["type"]:
        case "date":
            return date.fromisoformat(given["value"])
        case "datetime":
            return instant(given["value"])
        case "number":
            return float(given["value"])
        case "currency":
            return Decimal(given["value"])
        case "single_select":
            return chosen[0]
        case "multi_select":
            return chosen
        case _:
            return given["value"]
