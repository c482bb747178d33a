"""Reads a table on S3 with DuckDB and writes it to a local file. Arguments: host:port, key, files, file to write."""

import sys
from importlib.metadata import files

import duckdb

endpoint, key, table, out = sys.argv[1:]
extension = next(file.locate() for file in files("duckdb-ext-httpfs") or () if file.name == "httpfs.duckdb_extension")
with duckdb.connect() as connection:
    connection.sql(f"LOAD '{extension}'")
    connection.sql(f"CREATE SECRET (TYPE s3, KEY_ID '{key}', SECRET '{key}', ENDPOINT '{endpoint}', URL_STYLE path, USE_SSL false)")
    rows = f"read_parquet('{table}', hive_partitioning = true, hive_types_autocast = false)"
    connection.sql(f"COPY (SELECT * FROM {rows}) TO '{out}' (FORMAT parquet)")
