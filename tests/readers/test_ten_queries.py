"""The page of queries, as a reader of it would use it: its pipeline and commands, then every query in DuckDB."""

import re

import duckdb
import pytest

import pages
from program import REPOSITORY, Program

PAGE = REPOSITORY / "docs" / "how-to" / "ten-queries.md"


def test_every_query_returns_the_columns_that_the_page_says(program: Program, duck: duckdb.DuckDBPyConnection) -> None:
    pages.follow(PAGE, program)
    duck.execute((program.home / "views.sql").read_text())
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    for section in sections:
        question = section.splitlines()[0]
        [told] = re.findall(r"^Columns: (.*)\.$", section, re.MULTILINE)
        [query] = re.findall(r"^```sql\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        try:
            answer = duck.sql(query)
            rows = answer.fetchall()
        except duckdb.Error as error:
            pytest.fail(f"{question}: {error}")
        assert answer.columns == re.findall(r"`(\w+)`", told), question
        assert rows, f"{question}: no row"
        # A column without any value means that the query asks for what is not there.
        empty = [name for name, *values in zip(answer.columns, *rows) if all(value is None for value in values)]
        assert not empty, f"{question}: no value in {empty}"
    assert len(sections) == 10
