"""The text file of metrics, as Prometheus' own client reads it, and what `docs/reference/metrics.md` says of it."""

import re
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from program import REPOSITORY, Program, sandbox
from views_account import this_second

REPORTS = ["contacts", "contact_lists", "email_campaigns"]


def pipeline(faults: str = "") -> str:
    """A pipeline with metrics, whose API may fail."""
    source = sandbox(40)[:-1] + faults + "}"
    reports = "".join(f"  - {{report: {name}, write_mode: replace}}\n" for name in REPORTS)
    return (
        f'version: 1\nname: shop\nsource:\n  account: "007"\n  {source}\ndestination: {{url: ./data}}\n'
        f"retry: {{attempts: 1}}\nmetrics: {{textfile: ./textfiles}}\nreports:\n{reports}"
    )


def documented() -> dict[str, tuple[str, str, set[str]]]:
    """Of each metric in the reference: its unit, what it is, and its labels."""
    page = (REPOSITORY / "docs/reference/metrics.md").read_text().split("## Metrics")[1].split("\n## ")[0]
    of_run, of_report = page.split("Of a report in a run")
    rows = re.compile(r"^\| `(\w+)` \| (\w*) ?\| (.+) \|$", re.MULTILINE)
    return {
        name: (unit, meaning, labels)
        for text, labels in [(of_run, {"pipeline", "account"}), (of_report, {"pipeline", "account", "report"})]
        for name, unit, meaning in rows.findall(text)
    }


def run(program: Program, text: str, *codes: int) -> dict[str, Metric]:
    """Runs a pipeline and reads what it leaves to the collector."""
    (program.home / "textfiles").mkdir(exist_ok=True)
    program.call("run", str(program.pipeline(text)), "--quiet", codes=codes)
    [file] = (program.home / "textfiles").iterdir()
    families = list(text_string_to_metric_families(file.read_text()))
    assert len({family.name for family in families}) == len(families), "every metric once"
    return {family.name: family for family in families}


def value(families: dict[str, Metric], name: str, report: str | None = None) -> float:
    """The value of one series."""
    labels = {"pipeline": "shop", "account": "007"} | ({"report": report} if report else {})
    [found] = [sample.value for sample in families[name].samples if sample.labels == labels]
    return found


def expected(name: str, labels: set[str]) -> list[str | None]:
    """The reports that a metric is of."""
    if name == "ctct_etl_report_watermark_timestamp_seconds":
        return [report for report in REPORTS if report != "contact_lists"]
    return list(REPORTS) if "report" in labels else [None]


def test_what_prometheus_reads_is_what_the_reference_says(program: Program) -> None:
    families, known = run(program, pipeline(), 0), documented()
    assert len(known) > 20
    assert families.keys() == known.keys()
    for name, (unit, meaning, labels) in known.items():
        family = families[name]
        assert (family.type, family.documentation) == ("gauge", meaning), name
        assert {sample.name for sample in family.samples} == {name}
        assert all(sample.labels.keys() == labels for sample in family.samples), name
        series = [sample.labels.get("report") for sample in family.samples]
        assert sorted(series) == sorted(expected(name, labels)), name
        # Prometheus has no other place for a unit than the name's end.
        found = next((unit for unit in ("seconds", "bytes") if name.endswith(f"_{unit}")), "")
        assert found == unit, name


def test_values_are_those_of_the_run(program: Program) -> None:
    families = run(program, pipeline(), 0)
    assert value(families, "ctct_etl_run_exit_code") == 0
    assert value(families, "ctct_etl_report_rows", "contacts") == 40
    stored = sum(file.stat().st_size for file in (program.home / "data").glob("contacts*/account=007/*.parquet"))
    assert value(families, "ctct_etl_report_written_bytes", "contacts") == stored
    ended = value(families, "ctct_etl_run_end_timestamp_seconds")
    assert value(families, "ctct_etl_run_last_success_timestamp_seconds") == ended
    assert abs(ended - Path(program.home / "textfiles").stat().st_mtime) < 3600, "seconds since 1970"


def test_a_failure_keeps_the_time_of_the_last_success(program: Program) -> None:
    before = run(program, pipeline(), 0)
    # Two turns of the clock: ends are rounded to seconds.
    this_second()
    this_second()
    after = run(program, pipeline(", faults: {error_500: 1}"), 12)
    for scope, report in [("run", None), ("report", "contacts")]:
        success, end = f"ctct_etl_{scope}_last_success_timestamp_seconds", f"ctct_etl_{scope}_end_timestamp_seconds"
        assert value(after, success, report) == value(before, success, report)
        assert value(after, end, report) > value(before, end, report)
        assert value(after, f"ctct_etl_{scope}_exit_code", report) == 12
