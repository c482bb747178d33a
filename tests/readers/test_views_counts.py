"""Engagement of a pipeline that reads counts instead of events: the numbers that the events give, and of periods that overlap
each campaign once."""

from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest

from program import Program, sandbox
from views_account import views
from views_engines import Views

COUNTS = ["sends", "opens", "clicks", "bounces", "optouts", "forwards", "unique_sends", "unique_opens", "unique_clicks"]
SUMMARY = {
    "sends": "em_sends", "opens": "em_opens", "clicks": "em_clicks", "bounces": "em_bounces", "optouts": "em_unsubscribes",
    "forwards": "em_forwards",
}
EVENTS = "{report: contact_activity_details, contact_id: {from: contacts}, write_mode: replace}"


def pipeline(engagement: str) -> str:
    return (
        f'version: 1\nname: counts\nsource:\n  account: "007"\n  {sandbox(80)}\ndestination: {{url: ./data}}\nreports:\n'
        f"  - {{report: contacts, contact_status: [all], write_mode: replace}}\n  - {engagement}\n"
    )


def counts(first: str, last: str, mode: str = "append") -> str:
    period = f"duration: date_range, start_date: {first}, end_date: {last}"
    return f"{{report: contact_action_summary, contact_id: {{from: contacts}}, {period}, write_mode: {mode}}}"


def read(views_engine: Views, home: Path, *texts: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Runs pipelines one after the other, makes the views of the last one, and gives both kinds of engagement."""
    home.mkdir()
    program = Program(home)
    for text in texts:
        program.run(text)
    views_engine.run(views(program, texts[-1], views_engine.dialect))
    keys = {"engagement_per_contact": "contact_id", "engagement_per_campaign": "campaign_activity_id"}
    return {view: {row[key]: row for row in views_engine.rows(f"SELECT * FROM {view}")} for view, key in keys.items()}


def test_counts_say_what_events_say(views_engine: Views, tmp_path: Path) -> None:
    events = read(views_engine, tmp_path / "events", pipeline(EVENTS))
    summary = read(views_engine, tmp_path / "counts", pipeline(counts("2010-01-01", "2026-03-01", "replace")))
    for view, rows in summary.items():
        # Who was sent nothing has no row in the counts, and an event of a page is none of an e-mail.
        told = {key: row for key, row in events[view].items() if row["sends"]}
        assert told.keys() == rows.keys(), view
        assert len(rows) > 10
        for key, row in rows.items():
            assert {name: row[name] for name in COUNTS} == {name: told[key][name] for name in COUNTS}, (view, key)
            assert row["open_rate"] == pytest.approx(told[key]["open_rate"])
            assert row["click_rate"] == pytest.approx(told[key]["click_rate"])
            assert row["last_sent_at"] == told[key]["last_sent_at"]


def test_of_periods_that_overlap_a_campaign_counts_once_as_it_was_read_last(views_engine: Views, tmp_path: Path) -> None:
    earlier, later = counts("2025-06-01", "2026-02-01"), counts("2025-10-01", "2026-03-01")
    found = read(views_engine, tmp_path / "home", pipeline(earlier), pipeline(later))
    files = pyarrow.dataset.dataset(tmp_path / "home/data/contact_action_summary", format="parquet")
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    stored = files.to_table().to_pylist()
    for row in sorted(stored, key=lambda row: (row["_commit"], row["_extracted_at"])):
        newest[row["contact_id"], row["campaign_activity_id"]] = row
    assert len(newest) < len(stored), "periods overlap"
    current = views_engine.rows("SELECT contact_id, campaign_activity_id, em_sends FROM contact_action_summary_current")
    assert {(row["contact_id"], row["campaign_activity_id"]): row["em_sends"] for row in current} == {
        key: row["em_sends"] for key, row in newest.items()
    }
    assert len(current) == len(newest), "a sum over it counts no campaign twice"
    for view, key in [("engagement_per_contact", "contact_id"), ("engagement_per_campaign", "campaign_activity_id")]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in newest.values():
            groups.setdefault(row[key], []).append(row)
        assert found[view].keys() == groups.keys()
        for name, rows in groups.items():
            sums = {column: sum(row[source] or 0 for row in rows) for column, source in SUMMARY.items()}
            assert {column: found[view][name][column] for column in SUMMARY} == sums
            assert found[view][name]["unique_opens"] == sum((row["em_opens"] or 0) > 0 for row in rows)
