use std::fs;
use std::path::{Path, PathBuf};

use ctct_catalog::Catalog;

use super::*;
use crate::document::node::{Node, ScalarKind};
use crate::document::{Environment, Pipeline};
use crate::document::{node, yaml};
use crate::plan::Plan;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What a YAML 1.2 reader in an editor makes of a text.
pub(crate) fn as_json(node: &Node) -> Value {
    match &node.value {
        node::Value::Null => Value::Null,
        node::Value::Scalar(scalar) => match scalar.kind {
            ScalarKind::Text => json!(scalar.text),
            ScalarKind::Number | ScalarKind::Boolean => serde_json::from_str(&scalar.text).unwrap(),
        },
        node::Value::Sequence(items) => items.iter().map(as_json).collect(),
        node::Value::Mapping(entries) => {
            Value::Object(entries.iter().map(|entry| (entry.key.clone(), as_json(&entry.value))).collect())
        }
    }
}

fn pipelines() -> Vec<(String, String)> {
    let files = fs::read_dir(repository().join("pipelines")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

/// Regenerate with `UPDATE_SCHEMA=1 cargo test -p ctct-pipeline`.
#[test]
fn the_schema_file_is_fresh() {
    let path = repository().join("schemas/pipeline.schema.json");
    let text = serde_json::to_string_pretty(&schema(&Catalog::embedded().unwrap())).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "schemas/pipeline.schema.json is stale: run `UPDATE_SCHEMA=1 cargo test -p ctct-pipeline`");
}

#[test]
fn every_example_fits_the_schema_and_the_decoder() {
    let catalog = Catalog::embedded().unwrap();
    let validator = jsonschema::validator_for(&schema(&catalog)).unwrap();
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let examples = pipelines();
    assert!(examples.len() >= 7);
    for (file, text) in examples {
        assert!(text.starts_with("# yaml-language-server: $schema=../schemas/pipeline.schema.json\n"), "{file}");
        let pipeline = Pipeline::parse(&text, &file, &catalog, &Environment::default());
        let pipeline = pipeline.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        Plan::new(&pipeline, now).unwrap();
        let json = as_json(&yaml::parse(&text).unwrap());
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| format!("{error}")).collect();
        assert!(errors.is_empty(), "{file}: {errors:#?}");
    }
}

/// What an editor must mark too: each text is a good pipeline but for one key or value.
#[test]
fn what_the_decoder_refuses_by_shape_the_schema_refuses_too() {
    let catalog = Catalog::embedded().unwrap();
    let validator = jsonschema::validator_for(&schema(&catalog)).unwrap();
    let id = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";
    let summary = format!("{{report: contact_action_summary, contact_id: {id}, ");
    let good =
        "version: 1\nname: acme\nsource: {account: acme}\ndestination: {url: ./x}\nreports:\n  - REPORT\nretry: {}\n";
    let refused = |text: &str| {
        let decoded = Pipeline::parse(text, "acme.yaml", &catalog, &Environment::default());
        (decoded.is_err(), !validator.is_valid(&as_json(&yaml::parse(text).unwrap())))
    };
    let reports = [
        "{report: contact}".to_owned(),
        "{contact_status: all}".to_owned(),
        "{report: contacts, contact_staus: all}".to_owned(),
        "{report: contacts, contact_status: actve}".to_owned(),
        "{report: contacts, contact_status: [active, active]}".to_owned(),
        "{report: contacts, include_subresources: []}".to_owned(),
        "{report: contacts, include_subresources: [note]}".to_owned(),
        "{report: contacts, contact_id: x}".to_owned(),
        "{report: contacts, updated_after: 31.01.2026}".to_owned(),
        "{report: contacts, updated_after: {days_back: -1}}".to_owned(),
        "{report: contacts, updated_after: {day_back: 1}}".to_owned(),
        "{report: contacts, segment_id: 0}".to_owned(),
        "{report: contacts, list_ids: 7}".to_owned(),
        "{report: contacts, write_mode: marge}".to_owned(),
        "{report: contacts, write_mode: partition}".to_owned(),
        "{report: contacts, partition_by: create_at}".to_owned(),
        "{report: contacts, partition_by: {month: first_name}}".to_owned(),
        "{report: contacts, partition_by: {month: created_at, year: created_at}}".to_owned(),
        "{report: contacts, partition_by: {bucket: {column: contact_id}}}".to_owned(),
        "{report: contact_lists, updated_after: 2026-01-01}".to_owned(),
        "{report: contact_activity_details}".to_owned(),
        "{report: contact_activity_details, contact_id: {from: contact_lists}}".to_owned(),
        format!("{{report: contact_activity_details, contact_id: {id}, tracking_activity_types: all}}"),
        format!("{summary}duration: week}}"),
        format!("{summary}report_date: 2026-01-31}}"),
        format!("{summary}duration: single_date}}"),
        format!("{summary}duration: date_range, start_date: 2026-01-31}}"),
        format!("{summary}duration: single_date, report_date: 2026-01-31, start_date: 2026-01-31}}"),
        format!("{summary}duration: single_date, report_date: 2026-01-31T00:00:00Z}}"),
    ];
    for report in reports {
        assert_eq!(refused(&good.replace("REPORT", &report)), (true, true), "{report}");
    }
    let good = good.replace("REPORT", "report: contacts");
    assert_eq!(refused(&good), (false, false));
    for (from, to) in [
        ("version: 1", "version: 2"),
        ("version: 1\n", ""),
        ("retry: {}", "retries: {}"),
        ("retry: {}", "retry: {attempts: 0}"),
        ("retry: {}", "schedule: hourly"),
        ("retry: {}", "schedule: {every: 15}"),
        ("name: acme", "name: a b"),
        ("name: acme", "name: 7"),
        ("name: acme", "name: {file: x}"),
        ("{account: acme}", "{}"),
        ("{account: acme}", "{access_token: abc}"),
        ("{account: acme}", "{access_token: {env: A, file: B}}"),
        ("{account: acme}", "{sandbox: {contact: 1}}"),
        ("{account: acme}", "{sandbox: {faults: {reset: 2}}}"),
        ("{account: acme}", "{sandbox: {}, base_url: http://localhost}"),
        ("{account: acme}", "{account: acme, base_url: ftp://localhost}"),
        ("{account: acme}", "{account: acme, requests_per_second: 0}"),
        ("{url: ./x}", "{}"),
        ("{url: ./x}", "{url: ./x, options: {a: [b]}}"),
    ] {
        assert_eq!(refused(&good.replace(from, to)), (true, true), "{to}");
    }
}

#[test]
fn every_report_has_an_example() {
    let all: String = pipelines().into_iter().map(|(_, text)| text).collect();
    for report in Catalog::embedded().unwrap().reports() {
        assert!(all.contains(&format!("report: {}", report.name)), "{}", report.name);
    }
}
