"""Tells whether two folders of tables hold the same rows, but for the columns that a run adds.

usage: duckdb_same.py LEFT RIGHT TABLE ...
"""

import sys

import duckdb

left, right, *tables = sys.argv[1:]
connection = duckdb.connect()
for table in tables:

    def content(root):
        rows = f"read_parquet('{root}/{table}/*/*/*.parquet', hive_partitioning = true)"
        hashed = f"SELECT hash(content) AS h FROM (SELECT * EXCLUDE (_commit, _extracted_at) FROM {rows}) AS content"
        return connection.execute(f"SELECT count(*), bit_xor(h), sum(h % 1000000007) FROM ({hashed})").fetchone()

    if content(left) != content(right):
        sys.exit(f"{table} differs: {content(left)} and {content(right)}")
print("same")
