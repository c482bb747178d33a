//! `ctct-etl init` as a newcomer meets it: by flags, by answers on a terminal, and what runs afterwards.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{NaiveTime, TimeDelta};
use ctct_extract::Clock;
use ctct_pipeline::{Context, Outcome, Pipeline, Plan, RunSummary};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Harness, now, report, sandbox_of, today};
use crate::program::{command, run, said};
use crate::tables;

#[test]
fn what_init_writes_for_the_embedded_api_runs() {
    let folder = TempDir::new().unwrap();
    let init = run(folder.path(), &["init", "--sandbox"]);
    assert_eq!((init.code, init.stderr.as_str()), (Some(0), ""), "{init:?}");
    for next in init.stdout.lines().filter_map(|line| line.strip_prefix("  ctct-etl ")) {
        let arguments: Vec<&str> = next.split(' ').collect();
        let said = run(folder.path(), &arguments);
        assert_eq!(said.code, Some(0), "{next}: {said:?}");
    }
    assert_eq!(tables::rows(&folder.path().join("data/sandbox/contacts")).len(), 1000);
    let again = run(folder.path(), &["run", "sandbox.yaml", "--output", "json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
}

#[test]
fn the_schema_lies_where_the_first_line_says() {
    let folder = TempDir::new().unwrap();
    let init = run(folder.path(), &["init", "pipelines/my acme.yaml", "--account", "acme"]);
    assert_eq!(init.code, Some(0), "{init:?}");
    let file = folder.path().join("pipelines/my acme.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let schema = text.lines().next().unwrap().split("$schema=").nth(1).unwrap();
    let schema: Value = serde_json::from_str(&fs::read_to_string(file.with_file_name(schema)).unwrap()).unwrap();
    assert_eq!(schema["title"], "ctct-etl pipeline");
    assert!(text.contains("name: my-acme"), "{text}");
    assert!(init.stdout.contains("ctct-etl run 'pipelines/my acme.yaml'"), "{}", init.stdout);
    assert!(init.stdout.contains("ctct-etl auth login --account acme"), "{}", init.stdout);
}

#[test]
fn nothing_that_is_there_is_overwritten_unless_told() {
    let folder = TempDir::new().unwrap();
    let (file, schema) = (folder.path().join("sandbox.yaml"), folder.path().join("pipeline.schema.json"));
    fs::write(&file, "mine").unwrap();
    fs::write(&schema, "mine too").unwrap();
    let refused = run(folder.path(), &["init", "--sandbox"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let other = run(folder.path(), &["init", "other.yaml", "--sandbox"]);
    assert!(other.code == Some(0) && other.stdout.contains("ctct-etl schema --editor"), "{other:?}");
    assert_eq!(fs::read_to_string(&schema).unwrap(), "mine too");

    let forced = run(folder.path(), &["init", "--sandbox", "--force"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(fs::read_to_string(&file).unwrap().starts_with("# yaml-language-server"));
    assert!(fs::read_to_string(&schema).unwrap().starts_with('{'));
}

#[test]
fn what_flags_cannot_mean_is_refused_before_anything_is_written() {
    let folder = TempDir::new().unwrap();
    for (arguments, said_so) in [
        (&["init"][..], "ctct-etl init --sandbox"),
        (&["init", "--sandbox", "--account", "acme"], "cannot be used with"),
        (&["init", "--account", "a b"], "a b"),
        (&["init", "--sandbox", "--reports", "contcts"], "did you mean `contacts`?"),
        (&["init", "--sandbox", "--schedule", "hourly"], "hourly"),
        (&["init", "--sandbox", "--since", "soon"], "soon"),
        (&["init", "--sandbox", "--since", "7d", "--reports", "contact_lists"], "--since has no effect"),
        (&["init", "--sandbox", "--destination", "ftp://x"], "ftp"),
    ] {
        let said = run(folder.path(), arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{arguments:?}: {said:?}");
        assert!(said.stderr.contains(said_so), "{arguments:?}: {}", said.stderr);
    }
    let written: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(written.is_empty(), "{written:?}");
}

/// Runs `init` on a terminal of its own, on which somebody has typed `answers` ahead.
fn on_a_terminal(folder: &Path, arguments: &[&str], answers: &str) -> (Option<i32>, String) {
    const TERMINAL: &str = "
import os, pty, subprocess, sys
ours, theirs = pty.openpty()
os.write(ours, sys.argv[1].encode())
program = subprocess.Popen(sys.argv[2:], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
os.close(theirs)
out = program.stdout.read()
seen = b''
try:
    while chunk := os.read(ours, 4096):
        seen += chunk
except OSError:
    pass
sys.stdout.buffer.write(seen + out)
sys.exit(program.wait())
";
    let program = command(folder, arguments);
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL, answers]).arg(program.get_program()).args(arguments).current_dir(folder);
    python.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    let said = said(&mut python);
    (said.code, said.stdout.replace("\r\n", "\n") + &said.stderr)
}

#[test]
fn on_a_terminal_it_asks_until_the_answer_is_right() {
    let folder = TempDir::new().unwrap();
    let answers = "acme\ncontcts\ncontacts, contact_activity_details\nsoon\n90d\nmarge\nappend\n0 6 * *\n0 6 * * *\n";
    let (code, screen) = on_a_terminal(folder.path(), &["init", "--destination", "s3://bucket/acme"], answers);
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("did you mean `contacts`?") && screen.contains("five fields"), "{screen}");
    let text = fs::read_to_string(folder.path().join("acme.yaml")).unwrap();
    for line in [
        "  account: acme",
        "  url: s3://bucket/acme",
        "  - report: contact_activity_details",
        "    updated_after: {days_back: 90}",
        "    write_mode: append",
        "schedule: {cron: \"0 6 * * *\"}",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(run(folder.path(), &["validate", "acme.yaml"]).code, Some(0));
}

#[test]
fn on_a_terminal_empty_answers_are_the_defaults_and_the_end_of_input_writes_nothing() {
    let folder = TempDir::new().unwrap();
    let (code, screen) = on_a_terminal(folder.path(), &["init"], "\n\n\n\n\n\n");
    assert_eq!(code, Some(0), "{screen}");
    let asked = fs::read_to_string(folder.path().join("sandbox.yaml")).unwrap();
    let (code, screen) = on_a_terminal(folder.path(), &["init", "--sandbox", "--defaults", "--force"], "");
    assert_eq!(code, Some(0), "{screen}");
    assert_eq!(fs::read_to_string(folder.path().join("sandbox.yaml")).unwrap(), asked);

    let (code, screen) = on_a_terminal(folder.path(), &["init", "other.yaml", "--sandbox"], "\n\u{4}");
    assert_eq!(code, Some(12), "{screen}");
    assert!(screen.contains("nothing was written") && !folder.path().join("other.yaml").exists(), "{screen}");
}

/// Runs a pipeline on days that follow each other, against an account that lived through all of them.
async fn on_days(harness: &Harness, text: &str, days: i64) -> Vec<RunSummary> {
    let mut summaries = Vec::new();
    for day in 0..days {
        let now = now() - TimeDelta::days(days - day);
        harness.sandbox.set_time(now);
        let pipeline = Pipeline::parse(
            text,
            "acme.yaml",
            &harness.catalog,
            &[("TOKEN", harness.sandbox.access_token())].into_iter().collect(),
        );
        let pipeline = pipeline.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let context = Context { clock: Clock::fixed(now), ..harness.context(&format!("day-{day}")) };
        let summary = ctct_pipeline::run(&Plan::new(&pipeline, now).unwrap(), &context).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        summaries.push(summary);
    }
    summaries
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_that_init_asks_for_add_up_over_runs_in_every_mode_that_keeps_them() {
    const DAYS: i64 = 12;
    let mut harness = Harness::new(0).await;
    for mode in ["merge", "append", "partition"] {
        harness.serve(sandbox_of(60)).await;
        let folder = TempDir::new().unwrap();
        let arguments =
            ["init", "acme.yaml", "--account", "acme", "--reports", "contact_action_summary", "--write-mode", mode];
        let said = run(folder.path(), &arguments);
        assert_eq!(said.code, Some(0), "{said:?}");
        let source = format!(
            "  access_token: {{env: TOKEN}}\n  base_url: {}\n  requests_per_second: 100000\n  daily_requests: 100000000\n\
             destination:\n",
            harness.sandbox.base_url()
        );
        let text = fs::read_to_string(folder.path().join("acme.yaml")).unwrap().replace("destination:\n", &source);
        let text = text.replace("./data/acme", mode);
        let summaries = on_days(&harness, &text, DAYS).await;
        assert!(summaries.iter().all(|summary| report(summary, "contact_action_summary").warnings.is_empty()));

        // The days before the runs, in milliseconds.
        let end = today().and_time(NaiveTime::MIN).and_utc() - TimeDelta::days(1);
        let start = end - TimeDelta::days(DAYS);
        let (start, end) = (start.timestamp_millis(), end.timestamp_millis() - 1);
        let account = harness.sandbox.account();
        let truth: u64 = (0..60)
            .flat_map(|index| account.activity_summary(index, start, end))
            .map(|row| u64::from(row.em_sends))
            .sum();
        assert!(truth > 0, "something was sent in those days");
        let rows = tables::rows(&harness.folder().join(mode).join("contact_action_summary"));
        let stored: u64 = rows.iter().map(|row| row["em_sends"].as_u64().unwrap()).sum();
        assert_eq!(stored, truth, "{mode}");
    }

    // The same with a rolling week: it is told, by every run.
    harness.serve(sandbox_of(5)).await;
    let rolling = "  - report: contacts\n  - report: contact_action_summary\n    contact_id: {from: contacts}\n    duration: date_range\n    \
                   start_date: {days_back: 7}\n    end_date: {days_back: 1}\n    write_mode: merge\n";
    for summary in on_days(&harness, &harness.pipeline(rolling).replace("url: .", "url: rolling"), 2).await {
        let [warning] = report(&summary, "contact_action_summary").warnings.as_slice() else { panic!("{summary:#?}") };
        assert!(warning.contains("single_date"), "{warning}");
        assert!(report(&summary, "contacts").warnings.is_empty());
    }
}

#[test]
fn overlapping_periods_are_warned_of_before_a_run() {
    let folder = TempDir::new().unwrap();
    let text = "version: 1\nname: p\nsource: {sandbox: {contacts: 3}}\ndestination: {url: ./out}\nreports:\n  - report: contacts\n    write_mode: merge\n  \
                - {report: contact_action_summary, contact_id: {from: contacts}, duration: date_range, start_date: {days_back: 7}, end_date: {days_back: 1}}\n";
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let validate = run(folder.path(), &["validate", "p.yaml"]);
    assert_eq!(validate.code, Some(0));
    assert!(
        validate.stderr.starts_with("warning: p.yaml: `contact_action_summary`: the periods"),
        "{}",
        validate.stderr
    );
    let plan = run(folder.path(), &["plan", "p.yaml"]).stdout;
    let told = |plan: &str, word: &str, of: &str| {
        plan.lines().any(|line| line.trim_start().starts_with(word) && line.contains(of) && line.starts_with("  "))
    };
    assert!(told(&plan, "warning ", "`contact_action_summary`: the periods"), "{plan}");
    // What no filter finds is told of contacts that are not reconciled, and only of those.
    assert!(told(&plan, "misses ", "Opting in again"), "{plan}");
    for closed in ["write_mode: merge\n    reconcile: {every: 7d}\n", "write_mode: replace\n"] {
        fs::write(folder.path().join("p.yaml"), text.replace("write_mode: merge\n", closed)).unwrap();
        let plan = run(folder.path(), &["plan", "p.yaml", "--report", "contacts"]).stdout;
        assert!(!told(&plan, "misses ", ""), "{plan}");
    }
    let json = run(folder.path(), &["run", "p.yaml", "--output", "json"]);
    assert_eq!(json.code, Some(0), "{json:?}");
    let summary: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(summary["reports"][1]["warnings"].as_array().unwrap().len(), 1, "{summary}");
    let told = run(folder.path(), &["run", "p.yaml"]);
    let told = told.stdout + &told.stderr;
    assert_eq!(told.matches("the periods of successive runs overlap").count(), 1, "told once: {told}");
    assert!(run(folder.path(), &["reports", "contacts"]).stdout.contains("Opting in again"));
}
