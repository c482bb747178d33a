//! `ctct-etl schedule`: what it writes, and what systemd and cron make of it. Airflow's part is in `integrations/airflow`.

use std::fs;
use std::process::{Command, Stdio};

use chrono::{DateTime, Utc};
use ctct_catalog::Catalog;
use ctct_pipeline::{Environment, Pipeline};
use ctct_test_support::skipped;
use tempfile::TempDir;

use crate::program::{self, Said, run, said};

/// A pipeline with these lines in its beginning.
fn pipeline(lines: &str) -> String {
    format!(
        "version: 1\nname: acme\n{lines}\nsource: {{sandbox: {{contacts: 20, today: 2026-03-01}}}}\ndestination: {{url: ./out}}\n\
         reports:\n  - {{report: contacts, updated_after: {{days_back: 9000}}}}\n  - {{report: contact_lists, write_mode: replace}}\n"
    )
}

fn folder(lines: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("acme.yaml"), pipeline(lines)).unwrap();
    folder
}

fn schedule(lines: &str, target: &str) -> Said {
    run(folder(lines).path(), &["schedule", "acme.yaml", "--target", target])
}

/// The name of the zone that this host's clock shows, or `UTC`.
fn host_zone() -> String {
    let link = fs::canonicalize("/etc/localtime").unwrap_or_default();
    link.to_str()
        .and_then(|path| path.split_once("zoneinfo/"))
        .map_or_else(|| "UTC".to_owned(), |(_, zone)| zone.to_owned())
}

fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skipped(&format!("there is no `{program}`"));
    }
    found
}

#[test]
fn every_target_starts_this_program_with_absolute_paths() {
    for target in ["cron", "systemd", "airflow"] {
        let folder = folder("description: Contacts, 100% of them\nschedule: {every: 1h}");
        let path = folder.path().to_str().unwrap();
        let said = program::said(
            program::command(folder.path(), &["schedule", "acme.yaml", "--target", target]).env("USER", "etl"),
        );
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{target}");
        let text = said.stdout.replace(path, "/etl").replace(program::path().to_str().unwrap(), "/usr/bin/ctct-etl");
        let text = text.replace(&format!("the host's, {}.", host_zone()), "the host's, UTC.");
        // Of the DAG, what differs from the file in the repository.
        let shown = match text.split_once("# --- end of the settings ---") {
            Some((head, _)) => head.split_once("# --- settings ---").map_or(head, |(_, settings)| settings).to_owned(),
            None => text,
        };
        insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!(format!("schedule_{target}"), shown) });
    }
}

#[test]
fn the_airflow_file_is_the_one_of_the_repository_but_for_its_settings() {
    let dag =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../integrations/airflow/ctct_etl_dag.py")).unwrap();
    let (printed, kept) = (schedule("schedule: {every: 1h}", "airflow").stdout, dag);
    let parts = |text: &str| {
        let (head, rest) = text.split_once("# --- settings ---").unwrap();
        let (_, tail) = rest.split_once("# --- end of the settings ---").unwrap();
        [head.to_owned(), tail.trim_end().to_owned()]
    };
    assert_eq!(parts(&printed), parts(&kept));
}

#[test]
fn what_has_no_entry_says_what_to_write_instead() {
    let zone = if host_zone().ends_with("Tokyo") { "Europe/Berlin" } else { "Asia/Tokyo" };
    let said = [
        schedule("", "systemd"),
        schedule("schedule: {every: 90m}", "cron"),
        schedule(&format!("schedule: {{cron: 0 6 * * *, timezone: {zone}}}"), "cron"),
        schedule("schedule: 0 0 */2 * mon", "airflow"),
    ];
    let text: Vec<String> =
        said.iter().map(|said| format!("exit code {:?}\n{}{}", said.code, said.stdout, said.stderr)).collect();
    let text = text.join("\n").replace(&host_zone(), "[host]").replace(zone, "[zone]");
    insta::with_settings!({omit_expression => true}, { insta::assert_snapshot!("schedule_refused", text) });
}

#[test]
fn an_output_folder_gets_the_files_and_stdout_their_paths() {
    let folder = folder("schedule: {every: 1h}");
    for (target, names) in [
        ("cron", &["ctct-acme.crontab"][..]),
        ("systemd", &["ctct-acme.service", "ctct-acme.timer"]),
        ("airflow", &["ctct_acme.py"]),
    ] {
        let said = run(folder.path(), &["schedule", "acme.yaml", "--target", target, "--output-dir", "entries"]);
        let paths: Vec<String> = names.iter().map(|name| format!("entries/{name}")).collect();
        assert_eq!(said.stdout.lines().collect::<Vec<_>>(), paths);
        assert!(paths.iter().all(|path| folder.path().join(path).is_file()));
    }
}

/// A year of expressions that shows lists, ranges, steps, both kinds of day, and rare dates.
const EXPRESSIONS: [&str; 12] = [
    "* * * * *",
    "*/15 * * * *",
    "5,35 */2 * * *",
    "0 6 * * *",
    "30 4-22/3 * * mon-fri",
    "0 12 1 * *",
    "0 12 1,15 * fri",
    "15 9 * jan-mar,dec *",
    "59 23 31 * *",
    "0 5 29 2 *",
    "10 10 * * 7",
    "45 13 1-31/2 */3 1-5/2",
];

#[test]
fn systemd_takes_the_units_and_finds_the_same_times() {
    if !is_there("systemd-analyze") {
        return;
    }
    let spans = ["1m", "15m", "1h", "6h", "1d", "90m", "7d"].map(|span| format!("schedule: {{every: {span}}}"));
    let zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"];
    let crons = EXPRESSIONS.iter().enumerate().map(|(place, expression)| {
        format!("schedule: {{cron: \"{expression}\", timezone: {}}}", zones[place % zones.len()])
    });
    for lines in crons.chain(spans) {
        let folder = folder(&lines);
        let said = run(folder.path(), &["schedule", "acme.yaml", "--target", "systemd", "--output-dir", "."]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{lines}");
        let unit = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let units = [unit("ctct-acme.service"), unit("ctct-acme.timer")];
        let checked = program::said(Command::new("systemd-analyze").arg("verify").args(&units));
        // Of units of the host itself it may have something to say too.
        assert!(checked.code == Some(0) && !checked.stderr.contains("ctct-acme"), "{lines}: {checked:?}");
        let text = fs::read_to_string(&units[1]).unwrap();
        let calendar: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("OnCalendar=")).collect();
        if !calendar.is_empty() {
            assert_eq!(by_systemd(&calendar), by_us(&lines), "{lines}: {calendar:?}");
        }
    }
}

/// Not a day on which a clock changes, in the zones above.
fn start() -> DateTime<Utc> {
    "2026-03-30T21:59:30Z".parse().unwrap()
}

/// Times that are compared: so many, or those of a year.
const TIMES: usize = 40;

fn by_us(lines: &str) -> Vec<DateTime<Utc>> {
    let catalog = Catalog::embedded().unwrap();
    let none: Environment = [("NONE", "")].into_iter().collect();
    let pipeline = Pipeline::parse(&pipeline(lines), "acme.yaml", &catalog, &none).unwrap();
    let schedule = pipeline.schedule.unwrap();
    let next = |moment: &DateTime<Utc>| schedule.next_after(*moment, pipeline.timezone);
    std::iter::successors(next(&start()), next).take(TIMES).collect()
}

fn by_systemd(calendar: &[&str]) -> Vec<DateTime<Utc>> {
    let mut times = Vec::new();
    for line in calendar {
        let base = format!("--base-time={}", start().format("%Y-%m-%d %H:%M:%S UTC"));
        let said = said(Command::new("systemd-analyze").env("TZ", "UTC").args([
            "calendar",
            &base,
            &format!("--iterations={TIMES}"),
            line,
        ]));
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
        for line in said.stdout.lines() {
            // `    Next elapse: Fri 2026-04-03 12:00:00 UTC`, `       Iter. #2: ...`
            let time = ["Next elapse: ", "Iter. #"].iter().any(|label| line.trim_start().starts_with(label));
            if let Some((_, time)) = line.split_once(": ").filter(|_| time) {
                let time = time.split_once(' ').map_or(time, |(_, time)| time).trim_end_matches(" UTC");
                times.push(chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").unwrap().and_utc());
            }
        }
    }
    times.sort();
    times.dedup();
    times.truncate(TIMES);
    times
}

#[test]
fn debians_cron_takes_the_line() {
    // `crontab -n` of Debian checks a file and installs nothing.
    if !is_there("crontab") {
        return;
    }
    for expression in EXPRESSIONS {
        let folder = folder(&format!("schedule: {{cron: \"{expression}\", timezone: {}}}", host_zone()));
        let said = run(folder.path(), &["schedule", "acme.yaml", "--target", "cron", "--output-dir", "."]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let checked = program::said(Command::new("crontab").arg("-n").arg(folder.path().join("ctct-acme.crontab")));
        assert_eq!(checked.code, Some(0), "{expression}: {checked:?}");
    }
}

#[test]
fn the_crontabs_command_runs_the_pipeline_and_speaks_only_of_what_a_person_must_mend() {
    let folder = TempDir::new().unwrap();
    // A folder whose name the shell and cron would both misread.
    let place = folder.path().join("it's 100% here");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("acme.yaml"), pipeline("schedule: {every: 1h}").replace("url: ./out", "url: {env: OUT}"))
        .unwrap();
    let line = |variables: &str| {
        fs::write(place.join("acme.env"), variables).unwrap();
        let written =
            program::said(program::command(&place, &["schedule", "acme.yaml", "--target", "cron"]).env("OUT", "./out"));
        let line = written
            .stdout
            .lines()
            .find(|line| line.starts_with("0 * * * * "))
            .unwrap_or_else(|| panic!("{written:?}"))
            .to_owned();
        // As cron reads it: five fields, and `\%` for `%`.
        let command = line.splitn(6, ' ').last().unwrap().replace("\\%", "%");
        said(Command::new("/bin/sh").args(["-c", &command]).env_clear().env("HOME", folder.path()).current_dir("/"))
    };
    let good = line("OUT=./out\n");
    assert_eq!((good.code, good.stdout.as_str(), good.stderr.as_str()), (Some(0), "", ""));
    let summaries = fs::read_to_string(place.join("acme.jsonl")).unwrap();
    assert_eq!(summaries.lines().count(), 1);
    let summary: serde_json::Value = serde_json::from_str(&summaries).unwrap();
    assert_eq!(summary["exit_code"], 0);
    assert!(place.join("out/contacts").is_dir());
    let bad = line("# nothing\n");
    assert!(bad.stdout.starts_with("ctct-etl ended with 2;") && bad.stdout.contains("`OUT`"), "{bad:?}");
}
