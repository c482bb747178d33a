"""The table of runs, `_runs`: every reader has it as it has any other table, when asked for its folder by name."""

from engines import TYPES, Engine
from program import Program, sandbox

PIPELINE = f"""
version: 1
name: observed
source: {{account: acme, {sandbox(20)}}}
destination: {{url: ./data}}
reports: [{{report: contacts}}, {{report: contact_lists}}]
"""


def test_every_run_leaves_a_row_for_each_report(engine: Engine, program: Program) -> None:
    first, second = program.summary(PIPELINE), program.summary(PIPELINE)
    root = program.home / "data" / "_runs"
    rows = engine.table(root).to_pylist()
    found = {(row["run_id"], row["report"], row["account"], row["exit_code"]) for row in rows}
    runs = (first["run_id"], second["run_id"])
    assert found == {(run, report, "acme", 0) for run in runs for report in ("contacts", "contact_lists")}
    assert {row["written_rows"] > 0 for row in rows if row["run_id"] == runs[0]} == {True}
    assert all(row["started_at"] <= row["finished_at"] and row["started_at"].tzinfo for row in rows)

    schema, known = engine.schema(root), TYPES[engine.name]
    assert schema["finished_at"] == known["timestamp[us, UTC]"]
    assert (schema["seconds"], schema["requests"], schema["error"]) == (known["float64"], known["int64"], known["string"])
