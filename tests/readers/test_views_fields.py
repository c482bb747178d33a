"""Custom fields whose labels collide, change, are empty or odd, and fields that go: what their columns are called, in each
views_engine, and that each has the values of its own field."""

from pathlib import Path
from typing import Any

import pytest

from program import Program
from scripted import contact, scripted
from views_account import REPORTS, pipeline, views
from views_engines import Views

BOTH = {name: REPORTS[name] for name in ["contacts", "contact_custom_fields"]}


class Account:
    """An account with one contact and custom fields that change; each field's value is its id."""

    def __init__(self, views_engine: Views, home: Path, mode: str = "replace") -> None:
        self.views_engine, self.program, self.mode = views_engine, Program(home), mode
        self.runs = 0

    def columns(self, fields: dict[int, Any]) -> dict[str, str]:
        """Reads these fields, labels by number of the field, and gives the number of each column's value."""
        self.runs += 1
        changed = f"2026-02-{self.runs:02}T00:00:00Z"
        definitions = [
            {"custom_field_id": self.identifier(number), "label": label, "name": "x", "type": "string", "version": 2,
             "created_at": f"2026-01-{number:02}T00:00:00Z", "updated_at": changed}
            for number, label in fields.items()
        ]
        values = [{"custom_field_id": self.identifier(number), "value": str(number)} for number in fields]
        # The list is sent in another order than the fields were created in.
        people = [contact("a", changed, custom_fields=values[::-1])]
        answers = {"/contact_custom_fields": {"custom_fields": definitions[::-1]}, "/contacts": {"contacts": people}}
        with scripted(answers) as url:
            text = pipeline(url, self.mode, BOTH)
            self.program.run(text, TOKEN="x")
        self.views_engine.run(views(self.program, text, self.views_engine.dialect))
        names = list(self.views_engine.columns("contacts_with_custom_fields"))
        names = names[names.index("is_deleted") + 1:]
        [row] = self.views_engine.rows("SELECT * FROM contacts_with_custom_fields")
        for name in names:
            assert self.views_engine.rows(f"SELECT {quoted(self.views_engine, name)} AS v FROM contacts_with_custom_fields") == [{"v": row[name]}]
        return {name: row[name] for name in names}

    @staticmethod
    def identifier(number: int) -> str:
        return f"{number:08}-4752-11e9-9c8a-fa163e6b01c1"


def quoted(views_engine: Views, name: str) -> str:
    return f'"{name}"' if views_engine.dialect == "duckdb" else f"`{name}`"


def test_labels_that_collide_are_told_apart_by_the_fields_ids(views_engine: Views, tmp_path: Path) -> None:
    account = Account(views_engine, tmp_path)
    labels = {1: "Size", 2: "SIZE", 3: "size", 4: " s-i-z-e ", 5: "Size!", 6: "First name", 7: "size_00000002", 8: "Contact ID"}
    assert account.columns(labels) == {
        "size": "1", "size_00000002": "2", "size_00000003": "3", "s_i_z_e": "4", "size_00000005": "5",
        "first_name_00000006": "6", "size_00000002_00000007": "7", "contact_id_00000008": "8",
    }


def test_odd_labels_are_columns_too(views_engine: Views, tmp_path: Path) -> None:
    account = Account(views_engine, tmp_path)
    labels = {
        1: "", 2: None, 3: "   ", 4: "x" * 200, 5: "x" * 199 + "y", 6: "select", 7: "ORDER BY", 8: "null", 9: "Größe 你好 🎉", 10: "1",
        11: "O'Brien \"says\" `hi`", 12: "_commit", 13: "a;\nb", 14: "İstanbul", 15: "ΣΊΣΥΦΟΣ", 16: "_", 17: "account", 18: "is_deleted",
    }
    found = account.columns(labels)
    assert list(found.values()) == [str(number) for number in labels], "every field has a column, in the order of creation"
    assert list(found) == [
        "custom_field_00000001", "custom_field_00000002", "custom_field_00000003", "x" * 60, "x" * 60 + "_00000005", "select", "order_by",
        "null", "größe_你好", "_1", "o_brien_says_hi", "commit", "a_b", list(found)[13], "σίσυφος", "custom_field_00000016",
        "account_00000017", "is_deleted_00000018",
    ]
    assert list(found)[13].startswith("i")


@pytest.mark.parametrize("mode", ["replace", "merge", "append", "history"])
def test_a_new_label_is_a_new_name_and_the_others_keep_theirs(mode: str, views_engine: Views, tmp_path: Path) -> None:
    account = Account(views_engine, tmp_path, mode)
    assert account.columns({1: "Colour", 2: "Size"}) == {"colour": "1", "size": "2"}
    # A new field with the label of an older one takes nothing from it.
    assert account.columns({1: "Colour", 2: "Size", 3: "Colour"}) == {"colour": "1", "size": "2", "colour_00000003": "3"}
    assert account.columns({1: "Colour", 2: "Shoe size", 3: "Colour"}) == {"colour": "1", "shoe_size": "2", "colour_00000003": "3"}


def test_a_field_that_was_deleted_has_no_column_where_definitions_are_replaced(views_engine: Views, tmp_path: Path) -> None:
    account = Account(views_engine, tmp_path, "replace")
    account.columns({1: "Colour", 2: "Size"})
    assert account.columns({2: "Size"}) == {"size": "2"}


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_field_that_was_deleted_keeps_its_column_where_definitions_are_kept(mode: str, views_engine: Views, tmp_path: Path) -> None:
    account = Account(views_engine, tmp_path, mode)
    account.columns({1: "Colour", 2: "Size"})
    # The contact has no value of it any more.
    assert account.columns({2: "Size"}) == {"colour": None, "size": "2"}
    assert account.columns({2: "Size", 3: "Colour"}) == {"colour": None, "size": "2", "colour_00000003": "3"}
