"""Current state, versions as of a moment, custom fields and engagement: in each write mode and in both engines, after an
account was read three times and changed in between, against what its API said."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest

from views_account import ACCOUNT, KEEPING, MODES, Lived, Snapshot, custom_values, instant, live
from views_engines import DuckDbViews, SparkViews, Views

FIELDS = {
    "Vehicle make and model year": "vehicle_make_and_model_year", "Member since": "member_since",
    "Favourite fruit": "favourite_fruit", "Interests": "interests", "Children": "children",
    "Lifetime value": "lifetime_value", "Last visit": "last_visit", "Nickname": "nickname",
    "T-shirt size": "t_shirt_size", "Referred by": "referred_by",
}
"""Columns of the sandbox's custom fields by their labels."""

CHILDREN = {"taggings": "tag_id", "list_memberships": "list_id"}
"""Lists of ids that a contact has, and the column of the id."""

TYPES = {
    "duckdb": {
        "member_since": "DATE", "interests": "VARCHAR[]", "children": "DOUBLE", "lifetime_value": "DECIMAL(18,4)",
        "last_visit": "TIMESTAMP WITH TIME ZONE", "nickname": "VARCHAR", "favourite_fruit": "VARCHAR",
    },
    "spark": {
        "member_since": "date", "interests": "array<string>", "children": "double", "lifetime_value": "decimal(18,4)",
        "last_visit": "timestamp", "nickname": "string", "favourite_fruit": "string",
    },
}


@pytest.fixture(scope="module", params=list(MODES))
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """The account in each write mode."""
    return live(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module", params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest, lived: Lived) -> Iterator[Views]:
    """Each engine, with the views made."""
    if request.param == "duckdb":
        with duckdb.connect() as connection:
            engine: Views = DuckDbViews(connection)
            engine.run(lived.views("duckdb"))
            yield engine
    else:
        engine = SparkViews(request.getfixturevalue("spark").newSession())
        engine.run(lived.views("spark"))
        yield engine


def contacts(rows: list[dict[str, Any]]) -> list[tuple]:
    """What tells a contact's versions apart."""
    names = ["contact_id", "first_name", "email_address_permission_to_send", "updated_at", "is_deleted", "account"]
    return sorted((tuple(row[name] for name in names) for row in rows), key=repr)


def contacts_of(snapshot: Snapshot) -> list[tuple]:
    def version(contact: dict[str, Any]) -> tuple:
        permission = (contact.get("email_address") or {}).get("permission_to_send")
        changed, gone = instant(contact["updated_at"]), "deleted_at" in contact
        return contact["contact_id"], contact.get("first_name"), permission, changed, gone, ACCOUNT

    return sorted(map(version, snapshot.contacts.values()), key=repr)


def children(rows: list[dict[str, Any]], column: str) -> list[tuple]:
    return sorted((row["contact_id"], row["_ordinal"], row[column]) for row in rows)


def children_of(snapshot: Snapshot, name: str) -> list[tuple]:
    lists = ((identifier, contact[name]) for identifier, contact in snapshot.contacts.items())
    return sorted((identifier, at, value) for identifier, values in lists for at, value in enumerate(values))


def chosen(rows: list[dict[str, Any]]) -> list[tuple]:
    return sorted((row["contact_id"], row["custom_field_id"], row["_ordinal"], row["choice_id"]) for row in rows)


def chosen_of(snapshot: Snapshot) -> list[tuple]:
    return sorted(
        (identifier, value["custom_field_id"], at, choice)
        for identifier, contact in snapshot.contacts.items()
        for value in contact["custom_fields"]
        for at, choice in enumerate(value.get("choice_ids") or [])
    )


def test_the_account_changed_so_that_there_is_something_to_see(lived: Lived) -> None:
    first, last = lived.snapshots[0], lived.last
    assert contacts_of(first) != contacts_of(last)
    assert set(chosen_of(first)) - set(chosen_of(last)), "child rows went"
    assert any("deleted_at" in contact for contact in last.contacts.values())


def test_current_rows_are_those_of_the_api(lived: Lived, engine: Views) -> None:
    assert contacts(engine.rows("SELECT * FROM contacts_current")) == contacts_of(lived.last)
    campaigns = engine.rows("SELECT campaign_id, name, updated_at, is_deleted FROM email_campaigns_current")
    assert sorted((row["campaign_id"], row["name"], row["updated_at"]) for row in campaigns) == sorted(
        (row["campaign_id"], row["name"], instant(row["updated_at"])) for row in lived.last.campaigns.values()
    )
    assert not any(row["is_deleted"] for row in campaigns)


def test_current_child_rows_are_those_of_the_newest_parent(lived: Lived, engine: Views) -> None:
    for name, column in CHILDREN.items():
        rows = engine.rows(f"SELECT * FROM contacts_{name}_current")
        assert children(rows, column) == children_of(lived.last, name), name
    rows = engine.rows("SELECT * FROM contacts_custom_fields_choice_ids_current")
    assert chosen(rows) == chosen_of(lived.last)


def test_as_of_gives_what_was_known_then(lived: Lived, engine: Views) -> None:
    if lived.mode not in KEEPING:
        with pytest.raises(Exception, match="contacts_as_of"):
            engine.rows(f"SELECT * FROM contacts_as_of({engine.at(lived.last.moment)})")
        return
    for snapshot in lived.snapshots:
        moment = engine.at(snapshot.moment)
        assert contacts(engine.rows(f"SELECT * FROM contacts_as_of({moment})")) == contacts_of(snapshot)
        for name, column in CHILDREN.items():
            rows = engine.rows(f"SELECT * FROM contacts_{name}_as_of({moment})")
            assert children(rows, column) == children_of(snapshot, name), name
        rows = engine.rows(f"SELECT * FROM contacts_custom_fields_choice_ids_as_of({moment})")
        assert chosen(rows) == chosen_of(snapshot)
    before = engine.at(datetime(2020, 1, 1, tzinfo=UTC))
    assert engine.rows(f"SELECT * FROM contacts_as_of({before})") == []


def test_custom_fields_are_typed_columns(lived: Lived, engine: Views) -> None:
    columns = engine.columns("contacts_with_custom_fields")
    assert {name: columns[name] for name in TYPES[engine.dialect]} == TYPES[engine.dialect]
    rows = {row["contact_id"]: row for row in engine.rows("SELECT * FROM contacts_with_custom_fields")}
    expected = custom_values(lived.last)
    assert rows.keys() == expected.keys()
    for identifier, values in expected.items():
        for label, name in FIELDS.items():
            assert rows[identifier][name] == values.get(label), f"{name} of {identifier}"
    assert "Custom field: T-shirt size, single_select." == engine.comments("contacts_with_custom_fields")["t_shirt_size"]


def test_engagement_per_contact_counts_the_events(lived: Lived, engine: Views) -> None:
    rows = {row["contact_id"]: row for row in engine.rows("SELECT * FROM engagement_per_contact")}
    expected = {contact: events for contact, events in lived.last.events.items() if events}
    assert rows.keys() == expected.keys()
    for contact, events in expected.items():
        check(rows[contact], events, "campaign_activity_id")


def test_engagement_per_campaign_counts_the_events(lived: Lived, engine: Views) -> None:
    rows = {row["campaign_activity_id"]: row for row in engine.rows("SELECT * FROM engagement_per_campaign")}
    expected: dict[str, list[dict[str, Any]]] = {}
    for events in lived.last.events.values():
        for event in events:
            if event.get("campaign_activity_id"):
                expected.setdefault(event["campaign_activity_id"], []).append(event)
    assert rows.keys() == expected.keys()
    named = {campaign["name"]: campaign for campaign in lived.last.campaigns.values()}
    found = 0
    for campaign, events in expected.items():
        row = rows[campaign]
        check(row, events, "contact_id")
        known = named.get(row["campaign_activity_name"], {})
        assert (row["campaign_id"], row["campaign_status"]) == (known.get("campaign_id"), known.get("current_status"))
        found += bool(known)
    assert found, "names of campaigns are found"


def check(row: dict[str, Any], events: list[dict[str, Any]], other: str) -> None:
    """Compares a row of engagement with the events that it is of."""
    # An event whose key is there already is the same event to `merge` and to every view of versions.
    distinct = {(e["contact_id"], e["created_time"], e["tracking_activity_type"], e.get("campaign_activity_id")) for e in events}
    counts = Counter(kind for _, _, kind, _ in distinct)
    kinds = {"sends": "em_sends", "opens": "em_opens", "clicks": "em_clicks", "bounces": "em_bounces", "optouts": "em_optouts"}
    assert {name: row[name] for name in kinds} == {name: counts[kind] for name, kind in kinds.items()}

    def others(kind: str) -> int:
        return len({event.get(other) for event in events if event["tracking_activity_type"] == kind})

    sent, opened, clicked = others("em_sends"), others("em_opens"), others("em_clicks")
    assert (row["unique_sends"], row["unique_opens"], row["unique_clicks"]) == (sent, opened, clicked)
    assert row["open_rate"] == (pytest.approx(opened / sent) if sent else None)
    assert row["click_rate"] == (pytest.approx(clicked / sent) if sent else None)
    for word, kind in [("sent", "em_sends"), ("opened", "em_opens"), ("clicked", "em_clicks")]:
        times = [instant(event["created_time"]) for event in events if event["tracking_activity_type"] == kind]
        assert (row[f"first_{word}_at"], row[f"last_{word}_at"]) == (min(times, default=None), max(times, default=None))
    times = [instant(event["created_time"]) for event in events]
    assert (row["first_event_at"], row["last_event_at"]) == (min(times), max(times))


def test_columns_are_the_same_whatever_the_write_mode(lived: Lived, engine: Views) -> None:
    views = ["contacts_current", "contacts_taggings_current", "contacts_with_custom_fields", "contact_custom_fields_current"]
    columns = {view: [name for name in engine.columns(view) if not name.endswith("_bucket")] for view in views}
    expected = ["contact_id", "_ordinal", "tag_id", "_extra", "_extracted_at", "_commit", "account"]
    assert columns["contacts_taggings_current"] == expected
    assert columns["contacts_current"][-4:] == ["account", "_deleted_at", "_delete_reason", "is_deleted"]
    assert sorted(columns["contacts_with_custom_fields"]) == sorted([*columns["contacts_current"], *FIELDS.values()])
    assert columns["contact_custom_fields_current"][-1] == "is_deleted"
