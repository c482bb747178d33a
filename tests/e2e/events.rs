//! What a run says while it goes on, in JSON: flat lines, each with the run that it is of.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Map, Value};
use tempfile::TempDir;

use crate::program::{Said, command, said};

type Line = Map<String, Value>;

fn run(text: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    said(command(folder.path(), arguments).envs(environment.iter().copied()))
}

fn pipeline(sandbox: &str) -> String {
    format!(
        "version: 1\nname: acme-daily\nsource:\n  account: acme\n  sandbox: {{contacts: 30, {sandbox}}}\ndestination:\n  url: ./out\nreports:\n  \
         - report: contacts\n    updated_after: 2020-01-01\n  - report: contact_activity_details\n    contact_id: {{from: contacts}}\n"
    )
}

/// The lines, each of which must be one flat object with a time, a level and a message.
fn lines(said: &Said) -> Vec<Line> {
    let line = |text: &str| {
        let line: Line = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(["timestamp", "level", "message"].iter().all(|name| line[*name].is_string()), "{text}");
        assert!(line.values().all(|value| !value.is_object() && !value.is_array()), "not flat: {text}");
        for name in line.keys() {
            assert_eq!(text.matches(&format!("\"{name}\":")).count(), 1, "{name} twice: {text}");
        }
        line
    };
    said.stderr.lines().map(line).collect()
}

fn with<'a>(lines: &'a [Line], message: &'a str) -> impl Iterator<Item = &'a Line> {
    lines.iter().filter(move |line| line["message"].as_str().unwrap().contains(message))
}

fn has(line: &Line, names: &[&str]) {
    for name in names {
        assert!(line.contains_key(*name), "no {name} in {line:?}");
    }
}

#[test]
fn every_line_of_a_run_says_which_run_report_page_and_request_it_is_of() {
    let end = run(
        &pipeline("requests_per_second: 100000, burst: 1000, faults: {error_500: 0.2}"),
        &["run", "p.yaml", "--log-format", "json"],
        &[],
    );
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    let lines = lines(&end);
    let runs: BTreeSet<&str> = lines.iter().map(|line| line["run_id"].as_str().unwrap()).collect();
    assert_eq!(runs.len(), 1);
    assert!(lines.iter().all(|line| line["pipeline"] == "acme-daily" && line["account"] == "acme"));

    for line in lines.iter().filter(|line| !line["message"].as_str().unwrap().starts_with("run ")) {
        has(line, &["report"]);
    }
    let of_contacts = |line: &&Line| line["report"] == "contacts";
    let pages: Vec<&Line> = with(&lines, "page read").collect();
    assert!(pages.len() > 30, "one page of contacts, one at least of each contact");
    for line in &pages {
        has(line, &["page", "request_id", "rows", "dead_letters", "drift_fields"]);
    }
    for line in with(&lines, "page read").chain(with(&lines, "report done")).filter(of_contacts) {
        assert_eq!(line["window_from"], "2020-01-01T00:00:00Z");
    }
    let again: Vec<&Line> = with(&lines, "will be retried").collect();
    assert!(!again.is_empty(), "one of five requests fails");
    for line in again {
        has(line, &["page", "request_id", "wait_millis", "attempt"]);
    }
    for line in with(&lines, "report done") {
        has(
            line,
            &["outcome", "exit_code", "rows", "requests", "retries", "paced_seconds", "backed_off_seconds", "seconds"],
        );
    }
    assert_eq!(with(&lines, "run done").count(), 1);
    has(with(&lines, "run done").next().unwrap(), &["outcome", "exit_code", "seconds", "requests"]);
}

#[test]
fn a_filter_of_ones_own_keeps_the_run_and_the_report_and_a_wrong_one_is_said() {
    let arguments = ["run", "p.yaml", "--log-format", "json"];
    let end =
        run(&pipeline("requests_per_second: 5000, burst: 5000"), &arguments, &[("CTCT_LOG", "ctct_extract=debug")]);
    let answered = lines(&end);
    assert!(answered.iter().all(|line| line["target"].as_str().unwrap().starts_with("ctct_extract")), "{}", end.stderr);
    assert!(with(&answered, "answered").count() > 30);
    for line in with(&answered, "answered") {
        has(line, &["run_id", "report", "page", "request_id"]);
    }

    let end =
        run(&pipeline("requests_per_second: 5000, burst: 5000"), &arguments, &[("CTCT_LOG", "ctct_extract=loud")]);
    let lines = lines(&end);
    assert_eq!((end.code, with(&lines, "CTCT_LOG is not a valid filter").count()), (Some(0), 1));
    assert!(with(&lines, "run done").count() == 1, "and what is usual holds");
    let text = run(
        &pipeline("requests_per_second: 5000, burst: 5000"),
        &["run", "p.yaml"],
        &[("CTCT_LOG", "ctct_extract=loud")],
    );
    assert!(text.stderr.contains("CTCT_LOG is not a valid filter"), "{}", text.stderr);
}

#[test]
fn what_is_wrong_with_a_pipeline_is_json_too() {
    let text = pipeline("requests_per_second: 5000, burst: 5000")
        .replace("write_mode", "")
        .replace("reports:", "shedule: 1h\nreports:")
        .replace("updated_after: 2020-01-01", "updated_after: soon");
    for command in ["run", "validate", "plan", "status"] {
        let end = run(&text, &[command, "p.yaml", "--log-format", "json"], &[]);
        assert_eq!(end.code, Some(2), "{command}: {}", end.stderr);
        let lines = lines(&end);
        let [unknown, date] = lines.as_slice() else { panic!("{command}: {}", end.stderr) };
        assert_eq!((&unknown["file"], &unknown["line"], &unknown["column"]), (&"p.yaml".into(), &8.into(), &1.into()));
        assert_eq!((&unknown["level"], &unknown["message"]), (&"ERROR".into(), &"unknown key `shedule`".into()));
        assert_eq!(unknown["next"], "did you mean `schedule`?");
        assert_eq!(date["key"], "reports[0].updated_after");
    }
    let end = run(
        &pipeline("requests_per_second: 5000, burst: 5000"),
        &["run", "p.yaml", "--report", "nothing", "--log-format", "json"],
        &[],
    );
    let lines = lines(&end);
    assert_eq!((end.code, lines.len(), &lines[0]["level"]), (Some(2), 1, &"ERROR".into()));
}
