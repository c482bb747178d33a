"""The two engines that views are made for, behind one shape: a script that is run, and questions that are asked."""

from datetime import datetime
from typing import Any

import duckdb
from pyspark.sql import SparkSession

from views_account import statements


class DuckDbViews:
    """A database in memory."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def run(self, sql: str) -> None:
        """Runs a script, whole, as the shell does."""
        self.connection.execute(sql)

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.connection.sql(query).to_arrow_table().to_pylist()

    def at(self, moment: datetime) -> str:
        """A moment as SQL."""
        return f"TIMESTAMPTZ '{moment.isoformat()}'"

    def columns(self, view: str) -> dict[str, str]:
        """Names and types."""
        return {row[0]: row[1] for row in self.connection.sql(f"DESCRIBE {view}").fetchall()}

    def comments(self, view: str) -> dict[str, str]:
        found = self.connection.execute("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = ?", [view])
        return dict(found.fetchall())


class SparkViews:
    """A session of its own: temporary views would hide the tables of other tests."""

    dialect = "spark"

    def __init__(self, session: SparkSession) -> None:
        self.session = session

    def run(self, sql: str) -> None:
        for statement in statements(sql):
            self.session.sql(statement)

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.session.sql(query).toArrow().to_pylist()

    def at(self, moment: datetime) -> str:
        return f"TIMESTAMP '{moment.isoformat()}'"

    def columns(self, view: str) -> dict[str, str]:
        return dict(self.session.table(view).dtypes)

    def comments(self, view: str) -> dict[str, str]:
        return {row["col_name"]: row["comment"] for row in self.session.sql(f"DESCRIBE {view}").collect()}


Views = DuckDbViews | SparkViews
