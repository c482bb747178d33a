"""What the sandbox never does: children that go, versions that come back, labels that are an attack, values that are none."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from program import Program
from scripted import contact, scripted
from views_account import KEEPING, REPORTS, pipeline, this_second, views
from views_engines import SparkViews, Views

BOTH = {name: REPORTS[name] for name in ["contacts", "contact_custom_fields"]}


def definition(identifier: str, label: str, kind: str, day: int = 1, **more: Any) -> dict[str, Any]:
    created = f"2026-01-{day:02}T00:00:00Z"
    return {
        "custom_field_id": identifier, "label": label, "name": "x", "type": kind, "version": 2, "created_at": created,
        "updated_at": created, **more,
    }


def value(identifier: str, text: str, *choices: str) -> dict[str, Any]:
    return {"custom_field_id": identifier, "value": text} | ({"choice_ids": list(choices)} if choices else {})


STATES = [
    {"a": ("Ann", ["t1", "t2", "t3"]), "b": ("Bob", ["t1"])},
    {"a": ("Anna", ["t3"]), "b": ("Bob", ["t1"]), "c": ("Cy", [])},
    {"a": ("Ann", []), "b": ("Bob", ["t1", "t2"]), "c": ("Cy", ["t9"])},
]
"""First names and tags at three times: tags go, places in the list are given to others, a name comes back."""


@pytest.mark.parametrize("mode", ["append", "history", "merge"])
def test_children_that_went_are_gone_and_versions_come_back(mode: str, views_engine: Views, tmp_path: Path) -> None:
    program, answers, moments = Program(tmp_path), {"/contact_custom_fields": {"custom_fields": []}}, []
    with scripted(answers) as url:
        text = pipeline(url, mode, BOTH)
        for day, state in enumerate(STATES, start=1):
            rows = [
                contact(identifier, f"2026-02-{day:02}T00:00:00Z", first_name=name, taggings=tags)
                for identifier, (name, tags) in state.items()
            ]
            answers["/contacts"] = {"contacts": rows}
            program.run(text, *(["--full-refresh"] if mode == "merge" else []), TOKEN="x")
            moments.append(this_second())
    views_engine.run(views(program, text, views_engine.dialect))

    def seen(suffix: str) -> dict[str, tuple[str, list[str]]]:
        tags = views_engine.rows(f"SELECT contact_id, tag_id FROM contacts_taggings_{suffix} ORDER BY contact_id, _ordinal")
        names = views_engine.rows(f"SELECT contact_id, first_name FROM contacts_{suffix}")
        found: dict[str, tuple[str, list[str]]] = {row["contact_id"]: (row["first_name"], []) for row in names}
        assert len(found) == len(names), "exactly one version of each"
        for row in tags:
            found[row["contact_id"]][1].append(row["tag_id"])
        return found

    assert seen("current") == STATES[-1]
    if mode in KEEPING:
        for moment, state in zip(moments, STATES, strict=True):
            assert seen(f"as_of({views_engine.at(moment)})") == state


HOSTILE = [
    "'); DROP TABLE contacts; --",
    "\"; DROP VIEW contacts_current; --",
    "`; DROP TABLE contacts",
    "\\'; DROP TABLE contacts; --\\",
    "${env:HOME} ${spark.master}",
    "line\nbreak;\nSELECT 1;\n-- */ /*",
    "first_name",
    "SELECT",
    "日本 語; ü",
    "?!",
]


def test_labels_are_names_and_never_sql(views_engine: Views, tmp_path: Path) -> None:
    fields = [definition(f"{at}0000000-'\"`$;", label, "string", at) for at, label in enumerate(HOSTILE, start=1)]
    given = [value(field["custom_field_id"], f"value {at}") for at, field in enumerate(fields)]
    columns, comments = custom_columns(views_engine, Program(tmp_path), fields, [contact("a", "2026-02-01T00:00:00Z", custom_fields=given)])
    assert list(columns) == [
        "drop_table_contacts", "drop_view_contacts_current", "drop_table_contacts_30000000", "drop_table_contacts_40000000",
        "env_home_spark_master", "line_break_select_1", "first_name_70000000", "select", "日本_語_ü", "custom_field_100000000"[:21],
    ]
    assert [rows[0] for rows in columns.values()] == [f"value {at}" for at in range(len(HOSTILE))]
    said = [f"Custom field: {label}, string.".replace("\n", " ") for label in HOSTILE]
    assert [comments[name] for name in columns] == said
    assert views_engine.rows("SELECT count(*) AS n FROM contacts") == [{"n": 1}], "the tables are there as before"


VALUES = {
    "date": [("2026-02-28", date(2026, 2, 28)), ("2026-02-30", None), ("02/28/2026", None), ("infinity", None), ("2026", None), ("", None)],
    "datetime": [
        ("2026-02-28T10:00:00Z", datetime(2026, 2, 28, 10, tzinfo=UTC)),
        ("2026-02-28T10:00:00-05:00", datetime(2026, 2, 28, 15, tzinfo=UTC)),
        ("2026-02-28 10:00:00.5", datetime(2026, 2, 28, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("now", None), ("2026-02-28T25:00:00Z", None),
    ],
    "number": [("7", 7.0), (" -1.5 ", -1.5), ("1,5", None), ("nan", None), ("1e9", None), ("0x10", None)],
    "currency": [("19.99", Decimal("19.99")), ("$19.99", None), ("99999999999999999999", None), ("-3", Decimal(-3)), ("inf", None), ("", None)],
    "boolean": [("true", True), ("No", False), ("1", True), ("maybe", None), ("", None), (" FALSE ", False)],
    "string": [("x", "x"), ("", ""), ("'; --", "'; --"), ("${env:HOME}", "${env:HOME}"), ("null", "null"), ("東京", "東京")],
    "hologram": [("?", "?"), ("", ""), ("1", "1"), ("2", "2"), ("3", "3"), ("4", "4")],
}
"""For each type texts and what they are; none of them makes a view fail."""


def test_values_that_are_none_of_their_type_are_null(views_engine: Views, tmp_path: Path) -> None:
    fields = [definition(f"{at}", kind, kind, at) for at, kind in enumerate(VALUES, start=1)]
    people = [
        contact(f"{row}", "2026-02-01T00:00:00Z", custom_fields=[
            value(f"{at}", examples[row][0]) for at, examples in enumerate(VALUES.values(), start=1)
        ])
        for row in range(6)
    ]
    if isinstance(views_engine, SparkViews):
        views_engine.session.sql("SET TIME ZONE 'America/New_York'")
    else:
        views_engine.connection.sql("SET TimeZone = 'America/New_York'")
    try:
        columns, _ = custom_columns(views_engine, Program(tmp_path), fields, people)
    finally:
        if isinstance(views_engine, SparkViews):
            views_engine.session.sql("SET TIME ZONE 'UTC'")
    assert columns == {kind: [expected for _, expected in examples] for kind, examples in VALUES.items()}


def test_choices_have_the_labels_that_they_have_now(views_engine: Views, tmp_path: Path) -> None:
    choices = [{"choice_id": at, "choice_label": label} for at, label in [(1, "Red, dark"), (2, "Blue"), (3, "O'Hara; --")]]
    fields = [definition("1", "Colour", "single_select", 1, choices=choices), definition("2", "Colours", "multi_select", 2, choices=choices)]
    people = [
        contact("a", "2026-02-01T00:00:00Z", custom_fields=[value("1", "was Red", "1"), value("2", "Blue,O'Hara; --", "3", "2")]),
        contact("b", "2026-02-01T00:00:00Z", custom_fields=[value("1", "typed"), value("2", "typed, too")]),
        contact("c", "2026-02-01T00:00:00Z", custom_fields=[value("2", "gone", "99")]),
        contact("d", "2026-02-01T00:00:00Z"),
    ]
    columns, _ = custom_columns(views_engine, Program(tmp_path), fields, people)
    assert columns == {
        "colour": ["Red, dark", "typed", None, None],
        "colours": [["O'Hara; --", "Blue"], ["typed, too"], ["99"], None],
    }


def custom_columns(
    views_engine: Views, program: Program, fields: list[dict[str, Any]], people: list[dict[str, Any]]
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Reads these fields and contacts, makes the views, and gives the columns of custom fields with their comments."""
    with scripted({"/contact_custom_fields": {"custom_fields": fields}, "/contacts": {"contacts": people}}) as url:
        text = pipeline(url, "replace", BOTH)
        program.run(text, TOKEN="x")
    views_engine.run(views(program, text, views_engine.dialect))
    rows = views_engine.rows("SELECT * FROM contacts_with_custom_fields ORDER BY contact_id")
    names = list(views_engine.columns("contacts_with_custom_fields"))
    names = names[names.index("is_deleted") + 1:]
    return {name: [row[name] for row in rows] for name in names}, views_engine.comments("contacts_with_custom_fields")
