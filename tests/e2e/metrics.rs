//! Metrics, as those that take them read them: the text by the rules of its format, OTLP by its own messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ctct_pipeline::after_run::METRICS;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use tempfile::TempDir;

use crate::listener::{Answer, Listener};
use crate::program::{Said, command, said};

/// Labels and values of each metric of a text.
type Read = BTreeMap<String, BTreeMap<BTreeMap<String, String>, f64>>;

/// Reads a text strictly (Prometheus documentation, "Text-based format"): HELP, TYPE, then the samples, each once.
fn read(text: &str) -> Read {
    assert!(text.ends_with('\n') && text.is_ascii());
    let mut read = Read::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, doc) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(!doc.is_empty() && !doc.contains('\\'));
        assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        let mut samples = BTreeMap::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (labels, value) = line.strip_prefix(name).unwrap().strip_prefix('{').unwrap().split_once("} ").unwrap();
            let label = |text: &str| {
                let (name, value) = text.split_once('=').unwrap();
                let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                assert!(!value.contains(['"', '\\', '\n']));
                (name.to_owned(), value.to_owned())
            };
            let twice = samples.insert(labels.split(',').map(label).collect(), value.parse::<f64>().unwrap());
            assert_eq!(twice, None, "{line}");
        }
        assert!(!samples.is_empty() && read.insert(name.to_owned(), samples).is_none(), "{name}");
    }
    read
}

fn labels(report: Option<&str>) -> BTreeMap<String, String> {
    let known = [("pipeline", "acme-daily"), ("account", "sandbox")];
    let all = known.into_iter().chain(report.map(|report| ("report", report)));
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn pipeline(metrics: &str, fails: bool) -> String {
    let faults = if fails { ", faults: {error_500: 1}" } else { "" };
    format!(
        "version: 1\nname: acme-daily\nsource:\n  sandbox: {{contacts: 12{faults}}}\ndestination:\n  url: ./out\n\
         retry: {{attempts: 1}}\n{metrics}reports:\n  - report: contacts\n    write_mode: merge\n  - report: contact_lists\n    write_mode: replace\n"
    )
}

fn run(folder: &Path, text: &str, environment: &[(&str, &str)]) -> Said {
    fs::write(folder.join("p.yaml"), text).unwrap();
    said(command(folder, &["run", "p.yaml"]).envs(environment.iter().copied()))
}

#[test]
fn the_text_of_a_run_is_whole_and_a_failed_run_keeps_the_last_success() {
    let folder = TempDir::new().unwrap();
    let prom = folder.path().join("prom");
    fs::create_dir(&prom).unwrap();
    let metrics = "metrics:\n  textfile: prom\n";
    assert_eq!(run(folder.path(), &pipeline(metrics, false), &[]).code, Some(0));
    let files = || fs::read_dir(&prom).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files().collect::<Vec<_>>(), ["ctct_etl_acme-daily@sandbox.prom"], "and nothing unfinished");
    let text = || fs::read_to_string(prom.join("ctct_etl_acme-daily@sandbox.prom")).unwrap();
    let good = read(&text());
    for metric in METRICS {
        // Lists have no watermark.
        let expected: Vec<_> = match metric.labels() {
            ["pipeline", "account"] => vec![labels(None)],
            _ if metric.name.contains("watermark") => vec![labels(Some("contacts"))],
            _ => vec![labels(Some("contact_lists")), labels(Some("contacts"))],
        };
        let found = good.get(metric.name).unwrap_or_else(|| panic!("{} is missing", metric.name));
        assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), expected.into_iter().collect(), "{}", metric.name);
    }
    assert_eq!(good.len(), METRICS.len());
    assert_eq!(good["ctct_etl_report_rows"][&labels(Some("contacts"))].to_string(), "12");

    let success = "ctct_etl_report_last_success_timestamp_seconds";
    assert_eq!(run(folder.path(), &pipeline(metrics, true), &[]).code, Some(12));
    let failed = read(&text());
    assert_eq!(failed[success], good[success]);
    assert_eq!(failed["ctct_etl_run_exit_code"][&labels(None)].to_string(), "12");
    assert_eq!(files().count(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_said_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let end = run(folder.path(), &pipeline("", false), &[("CTCT_METRICS_TEXTFILE", "nowhere")]);
    assert_eq!(end.code, Some(0));
    assert!(end.stderr.contains("metrics could not be written") && end.stderr.contains("nowhere"), "{}", end.stderr);
    fs::create_dir(folder.path().join("nowhere")).unwrap();
    let end = run(folder.path(), &pipeline("", false), &[("CTCT_METRICS_TEXTFILE", "nowhere")]);
    assert!(!end.stderr.contains("metrics"), "{}", end.stderr);
    assert_eq!(fs::read_dir(folder.path().join("nowhere")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_same_numbers() {
    let (listener, folder) =
        (Listener::start(&[Answer::Status(503), Answer::Status(200)]).await, TempDir::new().unwrap());
    fs::create_dir(folder.path().join("prom")).unwrap();
    let metrics = format!(
        "metrics:\n  textfile: prom\n  otlp:\n    endpoint: {}\n    headers: {{authorization: {{env: COLLECTOR}}}}\n",
        listener.url("/base/")
    );
    let end = run(folder.path(), &pipeline(&metrics, false), &[("COLLECTOR", "Bearer a-secret-of-the-collector")]);
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let received = listener.received();
    assert_eq!(received.len(), 2, "it is sent again after a 503");
    let pushed = &received[1];
    assert_eq!((pushed.method.as_str(), pushed.path.as_str()), ("POST", "/base/v1/metrics"));
    assert_eq!(pushed.headers["content-type"], "application/json");
    assert_eq!(pushed.headers["authorization"], "Bearer a-secret-of-the-collector");

    let request: ExportMetricsServiceRequest = serde_json::from_slice(&pushed.body).unwrap();
    let [resource] = request.resource_metrics.as_slice() else { panic!("{request:?}") };
    let string =
        |value: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value.as_ref().unwrap().value.as_ref()
        {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    assert!(attributes.iter().any(|pair| pair.key == "service.name" && string(&pair.value) == "ctct-etl"));
    let mut read_back = Read::new();
    for metric in &resource.scope_metrics[0].metrics {
        let declared = METRICS.iter().find(|known| known.name == metric.name).unwrap();
        assert_eq!((metric.unit.as_str(), metric.description.as_str()), (declared.unit, declared.help));
        let Some(Data::Gauge(gauge)) = &metric.data else { panic!("{metric:?}") };
        for point in &gauge.data_points {
            assert!(point.time_unix_nano > 1_700_000_000_000_000_000);
            let Some(number_data_point::Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
            let labels = point.attributes.iter().map(|pair| (pair.key.clone(), string(&pair.value))).collect();
            read_back.entry(metric.name.clone()).or_default().insert(labels, value);
        }
    }
    let text = fs::read_to_string(folder.path().join("prom/ctct_etl_acme-daily@sandbox.prom")).unwrap();
    assert_eq!(read_back, read(&text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_or_fails_changes_no_exit_code() {
    for answer in [Answer::Silence, Answer::Status(400)] {
        let (listener, folder) = (Listener::start(&[answer]).await, TempDir::new().unwrap());
        let end = run(folder.path(), &pipeline("", false), &[("CTCT_METRICS_OTLP", &listener.url(""))]);
        assert_eq!((end.code, listener.received().len()), (Some(0), 1), "{}", end.stderr);
        assert_eq!(listener.received()[0].path, "/v1/metrics");
        assert!(end.stderr.contains("metrics could not be sent"), "{}", end.stderr);
    }
}

#[test]
fn every_metric_is_documented_with_its_unit_and_labels() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md")).unwrap();
    for metric in METRICS {
        let unit = match metric.unit {
            "s" => "seconds",
            "By" => "bytes",
            "1" => "",
            other => panic!("{other}"),
        };
        let row = format!("| `{}` | {unit} | {} |", metric.name, metric.help).replace("|  |", "| |");
        assert!(page.lines().any(|line| line == row), "docs/reference/metrics.md lacks\n{row}");
    }
    let rows = page.lines().filter(|line| line.starts_with("| `ctct_etl_")).count();
    assert_eq!(rows, METRICS.len(), "and has no other");
}
