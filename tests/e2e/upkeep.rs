//! `state`, `state rebuild` and `verify` as their users meet them, and damage as a run meets it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Said, run};

/// A pipeline on the embedded API with so many contacts, `p.yaml` in its own folder.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    pipeline(folder.path(), "p.yaml", 30);
    folder
}

fn pipeline(folder: &Path, name: &str, contacts: u32) {
    let text = format!(
        "version: 1\nname: small\nsource:\n  sandbox: {{contacts: {contacts}, today: 2026-03-01, \
         requests_per_second: 5000, burst: 5000, daily_requests: 100000}}\ndestination: {{url: ./out}}\nreports:\n  \
         - {{report: contacts, partition_by: [{{year: created_at}}]}}\n  - {{report: contact_lists, write_mode: replace}}\n"
    );
    fs::write(folder.join(name), text).unwrap();
}

fn done(folder: &Path, arguments: &[&str]) -> Said {
    let said = run(folder, arguments);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}: {said:?}");
    said
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// A snapshot of what was said, without what differs from run to run and from host to host.
fn shown(name: &str, folder: &Path, said: &Said) {
    let code = said.code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
    let stderr = if said.stderr.is_empty() { String::new() } else { format!("\n--- stderr\n{}", said.stderr) };
    let text = format!("exit code {code}\n{}{stderr}", said.stdout).replace(folder.to_str().unwrap(), "[folder]");
    insta::with_settings!({filters => vec![
        (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "[run]"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)", "[time]"),
        (r"\d+(\.\d)? (kB|MB|B)\b", "[bytes]"),
        (r"\d+ bytes", "[bytes]"),
        (r#""bytes":\d+"#, r#""bytes":"[bytes]""#),
        (r" {2,}", "  "),
        (r" +│", " │"),
        (r"[─═]{5,}", "────"),
    ], omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

/// Files below a folder of the destination, sorted.
fn files(folder: &Path, below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("out").join(below)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn record(folder: &Path, report: &str, version: u32) -> PathBuf {
    folder.join(format!("out/_ctct/sandbox/{report}/commits/{version:020}.json"))
}

#[test]
fn state_shows_what_is_stored() {
    let folder = folder();
    let folder = folder.path();
    shown("state_of_nothing", folder, &done(folder, &["state", "p.yaml"]));
    assert!(!folder.join("out").exists(), "looking writes nothing");
    done(folder, &["run", "p.yaml", "--quiet"]);
    done(folder, &["run", "p.yaml", "--quiet"]);
    shown("state_of_two_runs", folder, &done(folder, &["state", "p.yaml"]));
    let said = done(folder, &["state", "p.yaml", "--report", "contact_lists", "--output", "json"]);
    assert_eq!(json(&said)["reports"][0]["commits"][0]["version"], 2);
    shown("state_as_json", folder, &said);

    fs::write(record(folder, "contacts", 2), "{}").unwrap();
    let damaged = run(folder, &["state", "p.yaml", "--report", "contacts"]);
    assert_eq!(damaged.code, Some(15));
    shown("state_of_a_damaged_record", folder, &damaged);
}

#[test]
fn a_lost_log_ends_a_run_before_its_first_request_and_a_rebuild_mends_it() {
    let folder = folder();
    let folder = folder.path();
    done(folder, &["run", "p.yaml", "--quiet"]);
    fs::remove_dir_all(folder.join("out/_ctct/sandbox/contacts")).unwrap();

    let refused = run(folder, &["run", "p.yaml", "--report", "contacts", "--output", "json", "--quiet"]);
    assert_eq!(refused.code, Some(15), "{refused:?}");
    let summary = json(&refused);
    assert_eq!(summary["api"]["requests"], 0, "{summary:#}");
    let error = &summary["reports"][0]["error"];
    let error = format!("{}\n{}", error["message"].as_str().unwrap(), error["advice"].as_str().unwrap());
    shown("run_without_its_log", folder, &Said { code: refused.code, stdout: error, stderr: String::new() });
    // The other report is its own.
    assert_eq!(run(folder, &["run", "p.yaml", "--report", "contact_lists", "--quiet"]).code, Some(0));

    shown("rebuild_dry_run", folder, &done(folder, &["state", "rebuild", "p.yaml", "--dry-run"]));
    assert!(!record(folder, "contacts", 2).exists());
    shown("rebuild", folder, &done(folder, &["state", "rebuild", "p.yaml"]));
    let again = done(folder, &["state", "rebuild", "p.yaml", "--output", "json"]);
    assert_eq!(json(&again)["reports"][0]["result"], "sound");
    shown("rebuild_of_what_is_sound", folder, &again);
    shown("verify_after_a_rebuild", folder, &done(folder, &["verify", "p.yaml", "--counts"]));
    done(folder, &["run", "p.yaml", "--quiet"]);
    assert_eq!(json(&done(folder, &["state", "p.yaml", "--output", "json"]))["reports"][0]["commits"][0]["version"], 3);
}

#[test]
fn a_rebuild_says_what_is_lost_and_what_is_in_the_way() {
    let folder = folder();
    let folder = folder.path();
    done(folder, &["run", "p.yaml", "--quiet"]);
    fs::write(record(folder, "contacts", 1), "").unwrap();
    fs::remove_file(&files(folder, "contact_lists")[0]).unwrap();
    fs::write(folder.join("out/contacts/account=sandbox/notes.parquet"), "not Parquet").unwrap();
    let refused = run(folder, &["state", "rebuild", "p.yaml"]);
    assert_eq!(refused.code, Some(15));
    shown("rebuild_refused", folder, &refused);
    fs::remove_file(folder.join("out/contacts/account=sandbox/notes.parquet")).unwrap();
    shown("rebuild_of_the_rest", folder, &done(folder, &["state", "rebuild", "p.yaml"]));
    assert_eq!(files(folder, "_ctct/sandbox/contacts/damaged").len(), 1);
    done(folder, &["run", "p.yaml", "--quiet"]);
}

#[test]
fn verify_names_each_file_that_is_wrong_and_what_to_do() {
    let folder = folder();
    let folder = folder.path();
    shown("verify_nothing", folder, &done(folder, &["verify", "p.yaml"]));
    done(folder, &["run", "p.yaml", "--quiet"]);
    done(folder, &["verify", "p.yaml"]);
    // An account that has grown since: the tables are sound, and the API knows more.
    pipeline(folder, "grown.yaml", 31);
    let grown = run(folder, &["verify", "grown.yaml", "--counts", "--report", "contacts"]);
    assert_eq!(grown.code, Some(15));
    shown("verify_counts", folder, &grown);

    let stored = files(folder, "contacts");
    let mut content = fs::read(&stored[0]).unwrap();
    content[20] ^= 1;
    fs::write(&stored[0], content).unwrap();
    fs::remove_file(&stored[1]).unwrap();
    fs::copy(&stored[2], stored[2].with_file_name("copy.parquet")).unwrap();
    fs::write(record(folder, "contact_lists", 1), "{}").unwrap();
    let found = run(folder, &["verify", "p.yaml"]);
    assert_eq!(found.code, Some(15));
    shown("verify_findings", folder, &found);
    let found = run(folder, &["verify", "p.yaml", "--report", "contact_lists", "--output", "json"]);
    assert_eq!((found.code, json(&found)["reports"][0]["findings"].as_array().unwrap().len()), (Some(15), 1));
    shown("verify_as_json", folder, &found);
}

#[test]
fn verify_names_what_belongs_to_no_report() {
    let folder = folder();
    let folder = folder.path();
    done(folder, &["run", "p.yaml", "--quiet"]);
    for place in ["_runs/account=sandbox/019.parquet", "_ctct/.leases/sandbox/00000000000000000009.json"] {
        let path = folder.join("out").join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "something else").unwrap();
    }
    let found = run(folder, &["verify", "p.yaml", "--report", "contact_lists"]);
    assert_eq!(found.code, Some(15));
    shown("verify_beside_the_reports", folder, &found);
    let found = run(folder, &["verify", "p.yaml", "--output", "json"]);
    assert_eq!((found.code, json(&found)["findings"].as_array().unwrap().len()), (Some(15), 2));
    shown(
        "rebuild_beside_the_reports",
        folder,
        &done(folder, &["state", "rebuild", "p.yaml", "--report", "contact_lists"]),
    );
    done(folder, &["run", "p.yaml", "--quiet"]);
    done(folder, &["verify", "p.yaml"]);
}

#[test]
fn status_goes_by_what_is_stored_now() {
    let folder = folder();
    let folder = folder.path();
    done(folder, &["run", "p.yaml", "--quiet"]);
    let stored = files(folder, "contact_lists").remove(0);
    let foreign = stored.with_file_name("zz.parquet");
    fs::copy(&stored, &foreign).unwrap();
    assert_eq!(run(folder, &["run", "p.yaml", "--quiet"]).code, Some(15));
    assert_eq!(run(folder, &["status", "p.yaml"]).code, Some(15));
    fs::remove_file(foreign).unwrap();
    let repaired = run(folder, &["status", "p.yaml"]);
    assert!(repaired.code == Some(21) && repaired.stdout.contains("what is stored is sound now"), "{repaired:?}");
    done(folder, &["run", "p.yaml", "--quiet"]);
    done(folder, &["status", "p.yaml"]);

    fs::write(&stored, "bad").unwrap();
    assert_eq!(run(folder, &["run", "p.yaml", "--quiet"]).code, Some(15));
    done(folder, &["state", "rebuild", "p.yaml"]);
    let stale = run(folder, &["status", "p.yaml"]);
    assert_eq!(stale.code, Some(21), "the run failed: {stale:?}");
    done(folder, &["run", "p.yaml", "--quiet"]);
    done(folder, &["status", "p.yaml"]);

    let stored = files(folder, "contact_lists").remove(0);
    fs::write(&stored, "bad").unwrap();
    done(folder, &["state", "rebuild", "p.yaml"]);
    let stale = run(folder, &["status", "p.yaml"]);
    assert_eq!(stale.code, Some(20), "rows are lost, and no run failed: {stale:?}");
}
