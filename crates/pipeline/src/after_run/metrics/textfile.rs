//! Text files in the form that Prometheus reads, for the node exporter's textfile collector: one for each pipeline and
//! account, replaced in one step at the end of a run. A report that a run did not come to keeps the values of an earlier one,
//! and every report keeps its last success.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{Metric, Sample, samples};
use crate::plan::Plan;
use crate::summary::RunSummary;

/// Values of one metric, by report.
type Values = BTreeMap<Option<String>, f64>;

/// Writes the file of a run into a folder, which must be there.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write(folder: &Path, plan: &Plan, summary: &RunSummary) -> io::Result<()> {
    // Neither name can hold an `@`.
    let name = format!("ctct_etl_{}@{}.prom", summary.pipeline, summary.account);
    let path = folder.join(&name);
    let former = std::fs::read_to_string(&path).unwrap_or_default();
    let known: Vec<&str> = plan.pipeline.reports.iter().map(|report| report.report.name.as_str()).collect();
    let text = text(summary, &former, &known);
    // Not read by the exporter, which looks for `.prom`; and on the same file system, so that the rename is one step.
    let unfinished = folder.join(format!("{name}.{}", summary.run_id));
    let done = std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &path));
    if done.is_err() {
        // What failed is told; this is only tidying.
        let _ = std::fs::remove_file(&unfinished);
    }
    done
}

/// The file's text. `former` is that of the run before, `known` are the reports of the pipeline.
fn text(summary: &RunSummary, former: &str, known: &[&str]) -> String {
    let ran = |report: &Option<String>| match report {
        Some(name) => summary.reports.iter().any(|report| &report.report == name),
        None => true,
    };
    let is_known = |report: &Option<String>| report.as_ref().is_none_or(|name| known.contains(&name.as_str()));
    let mut text = String::new();
    for (metric, samples) in samples(summary) {
        let mut values = parsed(former, metric);
        values.retain(|report, _| is_known(report) && (metric.stays() || !ran(report)));
        values.extend(samples.into_iter().map(|Sample { report, value }| (report, value)));
        if values.is_empty() {
            continue;
        }
        text += &format!("# HELP {} {}\n# TYPE {} gauge\n", metric.name, metric.help, metric.name);
        for (report, value) in values {
            text += &format!("{}{{{}}} {value}\n", metric.name, labels(summary, report.as_deref()));
        }
    }
    text
}

/// None of these names has a character that would need escaping.
fn labels(summary: &RunSummary, report: Option<&str>) -> String {
    let report = report.map(|report| format!(",report=\"{report}\"")).unwrap_or_default();
    format!("pipeline=\"{}\",account=\"{}\"{report}", summary.pipeline, summary.account)
}

/// The values of a metric in a file of our own making; of another's making, none.
fn parsed(text: &str, metric: &Metric) -> Values {
    let value = |line: &str| {
        let (labels, value) = line.strip_prefix(metric.name)?.strip_prefix('{')?.split_once("} ")?;
        let report = labels.split_once(",report=\"").and_then(|(_, rest)| rest.strip_suffix('"'));
        Some((report.map(str::to_owned), value.parse::<f64>().ok().filter(|value| value.is_finite())?))
    };
    text.lines().filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::METRICS;
    use super::*;
    use crate::outcome::Outcome;
    use crate::summary::{ApiSummary, ReportSummary};

    fn summary(at: i64, reports: &[(&str, Outcome)]) -> RunSummary {
        let started_at = DateTime::from_timestamp(at, 0).unwrap();
        let report = |(name, outcome): &(&str, Outcome)| ReportSummary {
            report: (*name).to_owned(),
            outcome: *outcome,
            started_at,
            seconds: 2.5,
            rows: 7,
            watermark_after: Some(started_at),
            ..ReportSummary::default()
        };
        let outcome = Outcome::of_parts(&reports.iter().map(|report| report.1).collect::<Vec<_>>());
        RunSummary {
            pipeline: "acme-daily".to_owned(),
            account: "acme".to_owned(),
            run_id: "run".to_owned(),
            destination: String::new(),
            outcome,
            exit_code: outcome.policy().exit_code,
            stopped: false,
            deadline: false,
            started_at,
            seconds: 3.25,
            api: ApiSummary::default(),
            warnings: Vec::new(),
            reports: reports.iter().map(report).collect(),
            error: None,
        }
    }

    fn value(text: &str, metric: &str, report: Option<&str>) -> Option<f64> {
        let metric = METRICS.iter().find(|known| known.name == metric).unwrap();
        parsed(text, metric).get(&report.map(str::to_owned)).copied()
    }

    const REPORT_SUCCESS: &str = "ctct_etl_report_last_success_timestamp_seconds";
    const RUN_SUCCESS: &str = "ctct_etl_run_last_success_timestamp_seconds";
    const KNOWN: &[&str] = &["contacts", "contact_lists"];

    #[test]
    fn the_whole_text() {
        insta::assert_snapshot!(text(&summary(1_770_000_000, &[("contacts", Outcome::Done)]), "", KNOWN));
    }

    #[test]
    fn a_failed_run_keeps_the_last_success_and_nothing_else() {
        let good = text(&summary(1_000, &[("contacts", Outcome::Done)]), "", KNOWN);
        let failed = text(&summary(2_000, &[("contacts", Outcome::Transient)]), &good, KNOWN);
        assert_eq!(value(&failed, REPORT_SUCCESS, Some("contacts")), Some(1_003.0));
        assert_eq!(value(&failed, RUN_SUCCESS, None), Some(1_003.0));
        assert_eq!(value(&failed, "ctct_etl_report_exit_code", Some("contacts")), Some(12.0));
        assert_eq!(value(&failed, "ctct_etl_run_end_timestamp_seconds", None), Some(2_003.0));
        let good = text(&summary(3_000, &[("contacts", Outcome::Done)]), &failed, KNOWN);
        assert_eq!(value(&good, REPORT_SUCCESS, Some("contacts")), Some(3_003.0));
    }

    #[test]
    fn a_run_of_one_report_keeps_the_others_and_forgets_those_that_are_gone() {
        let both = text(&summary(1_000, &[("contacts", Outcome::Done), ("contact_lists", Outcome::Done)]), "", KNOWN);
        let one = text(&summary(2_000, &[("contact_lists", Outcome::Done)]), &both, KNOWN);
        assert_eq!(value(&one, "ctct_etl_report_rows", Some("contacts")), Some(7.0));
        assert_eq!(value(&one, REPORT_SUCCESS, Some("contact_lists")), Some(2_003.0));
        let gone = text(&summary(3_000, &[("contact_lists", Outcome::Done)]), &one, &["contact_lists"]);
        assert!(!gone.contains("contacts"), "{gone}");
    }

    #[test]
    fn a_file_of_another_making_is_replaced() {
        let former = "\u{0}garbage\nctct_etl_run_exit_code{broken\nctct_etl_run_exit_code{} NaN\n";
        let run = summary(1_000, &[("contacts", Outcome::Done)]);
        assert_eq!(text(&run, former, KNOWN), text(&run, "", KNOWN));
    }
}
