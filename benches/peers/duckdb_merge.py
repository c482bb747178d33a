"""The peer of the merge benchmark: DuckDB merging a delta into the same stored files.

usage: duckdb_merge.py STORED DELTA TABLE:KEY[,KEY...] ...

Both folders hold TABLE/account=*/created_at_month=*/part-00000.parquet; the first table is the parent, its first key column
is the one that all tables are merged by. For each partition of the delta and each table: stored rows without those whose
parent the delta has, and the rows of the delta, sorted, written with zstd to a new file that takes the place of the old one.
"""

import os
import resource
import sys
import time

import duckdb

stored, delta = sys.argv[1], sys.argv[2]
tables = [(name, keys.split(",")) for name, keys in (table.split(":") for table in sys.argv[3:])]
parent, (by, *_) = tables[0]


def partitions(root, table):
    """The files of a table below the folder, by their partition."""
    top = os.path.join(root, table)
    found = (os.path.join(folder, file) for folder, _, files in os.walk(top) for file in files)
    return {os.path.relpath(os.path.dirname(path), top): path for path in found}


def source(path):
    return f"read_parquet('{path}', hive_partitioning = false)"


started = time.perf_counter()
connection = duckdb.connect()
connection.execute("SET preserve_insertion_order = false; SET enable_progress_bar = false")
parents = partitions(delta, parent)
written = 0
for table, keys in tables:
    old, new = partitions(stored, table), partitions(delta, table)
    for partition, changed in parents.items():
        parts = []
        if partition in old:
            parts.append(f"SELECT * FROM {source(old[partition])} ANTI JOIN {source(changed)} AS changed USING ({by})")
        if partition in new:
            parts.append(f"SELECT * FROM {source(new[partition])}")
        if not parts:
            continue
        path = old.get(partition) or os.path.join(stored, table, partition, "part-00000.parquet")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        rows = " UNION ALL BY NAME ".join(f"({part})" for part in parts)
        connection.execute(
            f"COPY (SELECT * FROM ({rows}) ORDER BY {', '.join(keys)}) TO '{path}.new' (FORMAT parquet, COMPRESSION zstd)"
        )
        os.replace(f"{path}.new", path)
        written += 1
seconds = time.perf_counter() - started
mebibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{seconds} {mebibytes} {written}")
