//! Loud where people look: whatever the command and the form of its logs, an exit code but 0 has its reason and a next step on
//! stderr, as loud as the outcome, and each reason once.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::pipeline_at;
use crate::program::{self, Said, command, said};
use crate::scripted::{Answer, Scripted};

const LISTS: &str = "  - report: contact_lists\n";
/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9/v3";

fn sandbox(reports: &str) -> String {
    format!(
        "version: 1\nname: small\nsource: {{sandbox: {{contacts: 5}}}}\ndestination: {{url: ./out}}\nreports:\n{reports}"
    )
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// Runs the command with logs as text and as JSON, and quietly; with a token in `TOKEN`.
fn each_way(folder: &Path, arguments: &[&str]) -> [Said; 3] {
    [&[][..], &["--log-format", "json"], &["--quiet"]].map(|form| {
        let arguments: Vec<&str> = arguments.iter().chain(form).copied().collect();
        said(command(folder, &arguments).env("TOKEN", "t"))
    })
}

fn last_line(said: &Said) -> Value {
    let line = said.stderr.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", said.stderr))
}

/// Every command that can fail, in as many ways as come easily: the code, the level of the last line, and a word of the reason.
#[test]
fn every_exit_code_but_0_has_its_reason_and_a_next_step_on_stderr() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    write(
        at,
        "down.yaml",
        &(pipeline_at(NOWHERE, LISTS).replace("url: .\n", "url: ./down\n") + "retry: {attempts: 1}\n"),
    );
    write(at, "unset.yaml", &pipeline_at(NOWHERE, LISTS).replace("env: TOKEN", "env: NOT_SET"));
    write(
        at,
        "nobody.yaml",
        "version: 1\nname: a\nsource: {account: nobody}\ndestination: {url: ./out}\nreports: [{report: contacts}]\n",
    );
    write(at, "wrong.yaml", "version: 1\nname: a\n\tsource: x\n");
    fs::write(at.join("file"), "in the way").unwrap();
    write(at, "in-the-way.yaml", &sandbox(LISTS).replace("./out", "./file/out"));
    write(at, "small.yaml", &sandbox(LISTS));
    write(at, "stored.yaml", &sandbox(LISTS).replace("./out", "./stored"));
    write(
        at,
        "few.yaml",
        &sandbox("  - report: contacts\n")
            .replace("contacts: 5", "contacts: 5000, daily_requests: 2")
            .replace("./out", "./few"),
    );
    assert_eq!(program::run(at, &["run", "stored.yaml"]).code, Some(0));
    let table: &[(&[&str], i32, &str, &str)] = &[
        (&["run", "down.yaml"], 12, "WARN", "127.0.0.1:9"),
        (&["run", "unset.yaml"], 2, "ERROR", "NOT_SET"),
        (&["plan", "unset.yaml", "--probe"], 2, "ERROR", "NOT_SET"),
        (&["run", "nobody.yaml"], 10, "ERROR", "nobody"),
        (&["plan", "nobody.yaml"], 10, "ERROR", "nobody"),
        (&["run", "wrong.yaml"], 2, "ERROR", "tab"),
        (&["validate", "wrong.yaml"], 2, "ERROR", "tab"),
        (&["run", "in-the-way.yaml"], 2, "ERROR", "file"),
        (&["run", "few.yaml"], 11, "WARN", "quota"),
        (&["run", "missing.yaml"], 2, "ERROR", "missing.yaml"),
        (&["run", "--nonsense"], 2, "ERROR", "--nonsense"),
        (&["run", "small.yaml", "--report", "nothing"], 2, "ERROR", "nothing"),
        (&["reports", "nothing"], 2, "ERROR", "nothing"),
        (&["replay", "stored.yaml"], 2, "ERROR", "saved responses"),
        (&["status", "down.yaml"], 20, "WARN", "stale"),
        (&["schedule", "small.yaml", "--target", "cron"], 2, "ERROR", "schedule"),
    ];
    for (arguments, code, level, word) in table {
        let [text, json, quiet] = each_way(at, arguments);
        for said in [&text, &json, &quiet] {
            assert_eq!(said.code, Some(*code), "{arguments:?}: {said:?}");
            assert!(said.stderr.contains(word), "{arguments:?}: {said:?}");
        }
        for said in [&text, &quiet] {
            assert!(said.stderr.starts_with("error: ") || said.stderr.contains("\nerror: "), "{arguments:?}: {said:?}");
            let helped = ["help: ", "For more information, try"].iter().any(|help| said.stderr.contains(help));
            assert!(helped, "{arguments:?}: {said:?}");
        }
        let line = last_line(&json);
        assert_eq!(line["level"], *level, "{arguments:?}: {}", json.stderr);
        assert!(line["next"].is_string(), "{arguments:?}: {}", json.stderr);
    }
}

#[test]
fn what_is_damaged_is_said_on_stderr_by_every_command_that_finds_it() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    write(at, "p.yaml", &sandbox(LISTS));
    assert_eq!(program::run(at, &["run", "p.yaml"]).code, Some(0));
    let commits = at.join("out/_ctct/sandbox/contact_lists/commits");
    for record in fs::read_dir(&commits).unwrap() {
        fs::write(record.unwrap().path(), "{}").unwrap();
    }
    for arguments in [
        &["run", "p.yaml"][..],
        &["verify", "p.yaml"],
        &["state", "p.yaml"],
        &["status", "p.yaml"],
        &["compact", "p.yaml"],
    ] {
        let [text, json, quiet] = each_way(at, arguments);
        for said in [&text, &quiet] {
            assert_eq!(said.code, Some(15), "{arguments:?}: {said:?}");
            assert!(said.stderr.contains("error: ") && said.stderr.contains("help: "), "{arguments:?}: {said:?}");
        }
        let line = last_line(&json);
        assert_eq!(
            (&line["level"], line["next"].is_string()),
            (&"ERROR".into(), true),
            "{arguments:?}: {}",
            json.stderr
        );
    }
}

/// Reports that fail alike are told together, without the retries and the spans.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_takes_one_screen() {
    let whose = Answer::body(r#"{"encoded_account_id": "a07e1", "organization_name": "Acme"}"#);
    let down = || vec![Answer::refusal(503, "down")];
    let server = Scripted::start([
        ("/account/summary", vec![whose]),
        ("/contacts", down()),
        ("/contact_lists", down()),
        ("/contact_tags", down()),
        ("/segments", down()),
    ])
    .await;
    let folder = TempDir::new().unwrap();
    let reports = "  - report: contacts\n  - report: contact_lists\n  - report: contact_tags\n  - report: segments\n";
    let text = pipeline_at(server.base_url(), reports) + "retry: {attempts: 2}\n";
    write(folder.path(), "p.yaml", &text);
    let run = said(command(folder.path(), &["run", "p.yaml"]).env("TOKEN", "t"));
    assert_eq!(run.code, Some(12), "{run:?}");
    assert!((run.stdout.lines().count() + run.stderr.lines().count()) < 24, "{run:?}");
    assert_eq!(run.stderr.matches("failed in each of 2 attempts").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("error: contacts, contact_lists, contact_tags, segments: "), "{}", run.stderr);
    assert!(!run.stderr.contains("WARN"), "{}", run.stderr);
    assert!(!run.stdout.contains("error:"), "{}", run.stdout);
    let status = said(command(folder.path(), &["status", "p.yaml"]).env("TOKEN", "t"));
    assert_eq!(status.stdout.matches("failed in each of 2 attempts").count(), 1, "{}", status.stdout);
}

#[test]
fn reports_without_news_are_one_line() {
    let folder = TempDir::new().unwrap();
    let reports = "  - {report: contacts, write_mode: merge}\n  - {report: contact_lists, write_mode: merge}\n";
    write(folder.path(), "p.yaml", &sandbox(reports).replace("contacts: 5", "contacts: 5, today: 2026-01-31"));
    assert_eq!(program::run(folder.path(), &["run", "p.yaml"]).code, Some(0));
    let again = program::run(folder.path(), &["run", "p.yaml"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(again.stdout.contains("nothing new: contacts, contact_lists\n"), "{}", again.stdout);
    assert!(!again.stdout.contains("contacts_notes") && again.stdout.lines().count() < 6, "{}", again.stdout);
}

/// Where a request went, and what to correct.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_wrong_is_told_with_what_is_right() {
    let server = Scripted::start([("/contact_lists", vec![Answer::refusal(401, "unauthorized")])]).await;
    let there = server.base_url().strip_suffix("/v3").unwrap();
    let whose = Scripted::start([("/contact_lists", vec![Answer::body(r#"{"lists": []}"#)])]).await;
    let table = [
        (NOWHERE.to_owned(), 12, "127.0.0.1:9"),
        (whose.base_url().replace("http://", "https://"), 2, "does not speak TLS; write http://"),
        (there.to_owned(), 2, "`/v3`"),
    ];
    for (base_url, code, word) in table {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "p.yaml", &(pipeline_at(&base_url, LISTS) + "retry: {attempts: 2}\n"));
        let run = said(command(folder.path(), &["run", "p.yaml"]).env("TOKEN", "t"));
        assert_eq!(run.code, Some(code), "{base_url}: {run:?}");
        assert!(run.stderr.contains(word), "{base_url}: {run:?}");
    }
}

/// What a run would refuse, a plan refuses with the same code.
#[test]
fn a_plan_foresees_what_a_run_refuses() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let stored = "  - {report: contacts, write_mode: merge, contact_status: [active]}\n";
    write(at, "p.yaml", &sandbox(stored));
    assert_eq!(program::run(at, &["run", "p.yaml"]).code, Some(0));
    for (changed, code) in [
        ("  - {report: contacts, write_mode: append, contact_status: [active]}\n", 2),
        ("  - {report: contacts, write_mode: merge, history: true, contact_status: [active]}\n", 2),
        ("  - {report: contacts, write_mode: merge, contact_status: [active], partition_by: {month: created_at}}\n", 2),
        (stored, 0),
    ] {
        write(at, "p.yaml", &sandbox(changed));
        let plan = program::run(at, &["plan", "p.yaml"]);
        assert_eq!(plan.code, Some(code), "{changed}: {plan:?}");
        if code != 0 {
            let run = program::run(at, &["run", "p.yaml"]);
            assert_eq!(run.code, plan.code, "{run:?}");
            let reason = |said: &Said| said.stderr.lines().find(|line| line.starts_with("error: ")).map(str::to_owned);
            assert_eq!(reason(&plan), reason(&run));
        }
    }
}

#[test]
fn a_plan_multiplies_by_the_schedule_and_has_no_number_that_is_not_known() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let lists = "  - {report: contact_lists, write_mode: replace}\n";
    write(at, "p.yaml", &(sandbox(lists) + "schedule: {every: 15m}\n"));
    let plan = |arguments: &[&str]| program::run(at, &[&["plan", "p.yaml"], arguments].concat()).stdout;
    let unknown = plan(&[]);
    assert!(
        unknown.contains("unknown: how many requests for contact_lists; `--probe` counts contact_lists"),
        "{unknown}"
    );
    assert!(!unknown.contains("at this pace"), "{unknown}");
    let counted = plan(&["--probe"]);
    assert!(counted.contains("1 request: ") && !counted.contains("unknown"), "{counted}");
    assert!(counted.contains("schedule: 96 runs in the next 24 hours, 96 requests"), "{counted}");
    let machine: Value = serde_json::from_str(&plan(&["--probe", "--output", "json"])).unwrap();
    assert_eq!((&machine["scheduled"]["runs"], &machine["scheduled"]["most"]), (&96.into(), &96.into()), "{machine}");
}

#[test]
fn a_plan_tells_of_partitions_that_hold_less_than_a_megabyte() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let told = |partition: &str, contacts: &str| {
        let contacts = format!("contacts: {contacts}");
        let text = sandbox(&format!("  - {{report: contacts, write_mode: merge{partition}}}\n"));
        write(at, "p.yaml", &text.replace("contacts: 5", &contacts));
        program::run(at, &["plan", "p.yaml"]).stdout.contains("hold less than 1 MB each")
    };
    let (month, buckets) =
        (", partition_by: {month: created_at}", ", partition_by: {bucket: {column: contact_id, count: 16}}");
    let table = [
        ("", "5", false),
        (month, "5", true),
        (month, "1000000", false),
        (buckets, "50000", true),
        (buckets, "500000", false),
    ];
    for (partition, contacts, expected) in table {
        assert_eq!(told(partition, contacts), expected, "{partition} {contacts}");
    }
    write(at, "p.yaml", &sandbox(&format!("  - {{report: contacts, write_mode: merge{month}}}\n")));
    assert_eq!(program::run(at, &["run", "p.yaml", "--quiet"]).code, Some(0));
    assert!(program::run(at, &["plan", "p.yaml"]).stdout.contains("hold less than 1 MB each"), "by what is stored");
}

#[test]
fn closed_sets_are_printed_whole_and_slips_are_met() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let contacts = |option: &str| sandbox(&format!("  - {{report: contacts, {option}}}\n"));
    let table = [
        (
            contacts("contact_status: subscribed"),
            "expected all, active, deleted, not_set, pending_confirmation, temp_hold or unsubscribed",
            "did you mean",
        ),
        (contacts("write_mode: upsert"), "expected append, merge, replace or partition", "did you mean"),
        (sandbox(LISTS) + "timezone: Berlin\n", "did you mean `Europe/Berlin`?", "\0"),
        (sandbox(LISTS) + "timezone: new york\n", "did you mean `America/New_York`?", "\0"),
        (sandbox(LISTS) + "timezone: Europe/Berln\n", "did you mean `Europe/Berlin`?", "\0"),
        (
            sandbox(LISTS).replace("url: ./out", "url: ./out, files: {compression: lzo}"),
            "expected zstd, snappy, gzip or none",
            "\0",
        ),
        (
            sandbox(LISTS).replace("url: ./out", "url: ./out, files: {compression: snappy, compression_level: 3}"),
            "has no levels",
            "\0",
        ),
        (sandbox(LISTS).replace("url: ./out", "url: ./out, files: {compression_level: 23}"), "out of range", "\0"),
        (
            sandbox(LISTS).replace("url: ./out", "url: ./out, files: {compression: gzip, compression_level: 10}"),
            "invalid level 10 of gzip",
            "\0",
        ),
        (sandbox(LISTS).replace("destination: {url", "destination:\n\t{url"), "tabs cannot indent YAML", "\0"),
    ];
    for (text, said, unsaid) in table {
        write(at, "p.yaml", &text);
        let refused = program::run(at, &["validate", "p.yaml"]);
        assert_eq!(refused.code, Some(2), "{text}: {refused:?}");
        assert!(refused.stderr.contains(said) && !refused.stderr.contains(unsaid), "{text}: {}", refused.stderr);
    }
}

/// What a command did is done though its summary cannot be written; what only shows something is asked for again.
#[test]
fn a_full_stdout_changes_no_outcome() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    write(at, "small.yaml", &sandbox(LISTS));
    for (arguments, code, words) in [
        (&["run", "small.yaml"][..], 0, "warning: cannot write the summary to stdout"),
        (&["run", "small.yaml", "--output", "json"], 0, "warning: cannot write the summary to stdout"),
        (&["run", "small.yaml", "--report", "nothing"], 2, "nothing"),
        (&["compact", "small.yaml"], 0, "warning: cannot write the summary to stdout"),
        (&["state", "rebuild", "small.yaml"], 0, "warning: cannot write the summary to stdout"),
        (&["plan", "small.yaml"], 12, "help: free space"),
        (&["status", "small.yaml", "--output", "json"], 12, "error: cannot write to stdout"),
        (&["schema"], 12, "error: cannot write to stdout"),
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let said = said(command(at, arguments).stdout(full));
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{arguments:?}: {}", said.stderr);
    }
}
