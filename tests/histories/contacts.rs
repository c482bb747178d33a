//! Contacts, lists and campaigns: after any history and any runs in between, the tables hold what the account holds.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use ctct_pipeline::after_run::RUNS_TABLE;
use ctct_pipeline::{Outcome, RunSummary};
use proptest::prelude::*;
use serde_json::Value;

use crate::account::{Account, Purges};
use crate::harness::{Harness, report, runtime};
use crate::history::{During, Happening, Setting, Step, What, histories};
use crate::model::{Contact, Vanished};
use crate::stored::{Record, by_record, expected, record, rows};
use crate::tables::{self, Row};
use crate::truth::Tables;

const CASES: u32 = 64;
const STEPS: usize = 28;

/// How a pipeline writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Merge,
    History,
    Append,
    /// Merged, contacts that can get mail alone.
    Active,
    /// The same with history.
    ActiveHistory,
}

impl Mode {
    fn filters(self) -> bool {
        matches!(self, Self::Active | Self::ActiveHistory)
    }
}

/// An account, runs of one pipeline, and what they wrote.
struct Play {
    account: Account,
    harness: Harness,
    mode: Mode,
    reports: String,
    /// What may be purged while a page waits.
    purges: Purges,
    /// Whether a report of the last run did not come to its end.
    stopped: bool,
}

impl Play {
    async fn new(setting: &Setting, mode: Mode) -> Self {
        let mut account = Account::default();
        account.model.moves = setting.moves;
        let keys = match mode {
            // Histories are short, and may lose all of a few rows at once.
            Mode::Merge | Mode::Active => "write_mode: merge, max_removed: 100%",
            Mode::History | Mode::ActiveHistory => "write_mode: merge, history: true, max_removed: 100%",
            Mode::Append => "write_mode: append",
        };
        let status = if mode.filters() { ", contact_status: [active]" } else { "" };
        let reconcile = if mode == Mode::Append { "" } else { ", reconcile: {every: 7d}" };
        let partitions =
            if setting.partitions.is_empty() { String::new() } else { format!(", {}", setting.partitions) };
        let reports = format!(
            "  - {{report: contacts, {keys}{status}, overlap: 10m{reconcile}{partitions}}}\n  - {{report: contact_lists, {keys}}}\n  \
             - {{report: email_campaigns, {keys}, overlap: 10m}}\n"
        );
        let purges = if setting.positional { Purges::Allowed } else { Purges::Deleted };
        Self { account, harness: Harness::new(setting).await, mode, reports, purges, stopped: false }
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(seconds) => self.harness.wait(*seconds),
            Step::Change(happening) => {
                let now = self.harness.server_now();
                let (at, change) = self.account.change(happening, now, Purges::Allowed);
                self.harness.sandbox.edit(at, &change).unwrap();
            }
            Step::Run(during) => {
                let quiet = self.begin() && during.is_empty();
                let mut now = self.harness.server_now();
                for During { page, after, happening } in during {
                    now += TimeDelta::seconds(*after);
                    let (at, change) = self.account.change(happening, now, self.purges);
                    self.harness.sandbox.set_time_before("/contacts", *page, now);
                    self.harness.sandbox.edit_before("/contacts", *page, at, change);
                }
                let summary = self.run().await;
                self.finish(&summary, quiet);
            }
            Step::Stop(pages) => {
                let quiet = self.begin();
                let summary = self.harness.run_until(&self.reports, *pages).await;
                assert!(summary.outcome == Outcome::Done || summary.stopped, "{summary:#?}");
                self.finish(&summary, quiet);
            }
        }
    }

    /// A run begins. Whether no other was stopped before it, whose pages may show the account as it was.
    fn begin(&mut self) -> bool {
        let first = !self.account.model.reading && !self.stopped;
        self.account.model.begins();
        first
    }

    async fn run(&mut self) -> RunSummary {
        let summary = self.harness.run(&self.reports).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        summary
    }

    /// Looks at what a run wrote. `quiet`: nothing happened while it read.
    fn finish(&mut self, summary: &RunSummary, quiet: bool) {
        self.agrees_with_the_sandbox();
        let contacts = report(summary, "contacts");
        if contacts.outcome == Outcome::Done {
            self.account.model.ends(quiet, contacts.reconciled == Some(true));
            self.check_contacts();
        }
        self.stopped = summary.outcome != Outcome::Done;
        if quiet && !self.stopped {
            self.check_lists_and_campaigns();
        }
    }

    /// Two quiet runs, the second of which reads everything, bring the tables to what the account is.
    async fn end(&mut self) {
        self.step(&Step::Run(Vec::new())).await;
        self.step(&Step::Run(Vec::new())).await;
        if self.mode == Mode::Append {
            return;
        }
        self.harness.wait(8 * 86_400);
        assert!(self.begin());
        let summary = self.run().await;
        assert_eq!(report(&summary, "contacts").reconciled, Some(true), "{summary:#?}");
        self.finish(&summary, true);
        for (id, contact) in &self.account.model.contacts {
            assert!(contact.now.is_none() || contact.held == [contact.now.clone()], "the model settled {id}");
        }
    }

    /// The model and the sandbox, made apart from each other, hold the same account.
    fn agrees_with_the_sandbox(&self) {
        let model = &self.account.model;
        let now: BTreeMap<String, Value> = model
            .contacts
            .iter()
            .filter_map(|(id, contact)| contact.now.clone().map(|now| (id.clone(), now)))
            .collect();
        let id = |contact: &Value| contact["contact_id"].as_str().unwrap().to_owned();
        let served: BTreeMap<String, Value> =
            self.harness.sandbox.contacts_now().into_iter().map(|contact| (id(&contact), contact)).collect();
        assert_eq!(served, now);
        assert_eq!(serde_json::to_value(self.harness.sandbox.lists_now()).unwrap(), Value::Array(model.lists()));
    }

    fn check_contacts(&self) {
        let contacts = rows(self.harness.folder(), "contacts");
        match self.mode {
            Mode::Append => self.check_versions(&contacts),
            Mode::Merge | Mode::Active => self.check_rows(&contacts),
            // One who left and came back has a gap between two versions.
            Mode::ActiveHistory => self.check_rows(&current(&contacts)),
            Mode::History => {
                self.check_rows(&current(&contacts));
                check_spans(&contacts["contacts"], "contact_id");
            }
        }
        if self.mode != Mode::Append {
            self.each_partition_is_one_file();
        }
    }

    fn check_lists_and_campaigns(&self) {
        let lists = self.account.model.lists();
        let campaigns: Vec<Value> = self.account.model.campaigns.values().cloned().collect();
        for (name, key, expected_rows) in
            [("contact_lists", "list_id", lists), ("email_campaigns", "campaign_id", campaigns)]
        {
            let stored = rows(self.harness.folder(), name);
            let truth: BTreeMap<String, Record> = expected_rows
                .iter()
                .map(|row| (row[key].as_str().unwrap().to_owned(), expected(name, key, row)))
                .collect();
            let stored = match self.mode {
                Mode::Append => latest(&stored, key),
                Mode::Merge | Mode::Active => stored,
                Mode::History | Mode::ActiveHistory => current(&stored),
            };
            let found: BTreeMap<String, Record> =
                by_record(&stored, key).iter().map(|(id, tables)| (id.clone(), record(tables))).collect();
            assert_eq!(found, truth, "{name}");
        }
    }

    /// Whether the pipeline keeps a contact that is like this.
    fn keeps(&self, contact: &Value) -> bool {
        let permission = contact["email_address"]["permission_to_send"].as_str();
        let is_active = contact.get("deleted_at").is_none() && matches!(permission, Some("explicit" | "implicit"));
        is_active || !self.mode.filters()
    }

    /// One version of each contact stands there, with the child rows of that version and no other.
    fn check_rows(&self, tables: &Tables) {
        let stored = by_record(tables, "contact_id");
        for (id, tables) in &stored {
            let Some(contact) = self.account.model.contacts.get(id) else { panic!("{id} was never there") };
            let found = record(tables);
            let held = contact.held.iter().flatten().filter(|held| self.keeps(held));
            let allowed: Vec<Record> = held.map(|held| expected("contacts", "contact_id", held)).collect();
            assert!(allowed.contains(&found), "{id} is {found:#?}\nand must be one of {allowed:#?}");
            let parent = tables["contacts"].first().unwrap();
            let marked = (parent.contains_key("_deleted_at"), parent.contains_key("_delete_reason"));
            match contact.vanished {
                Vanished::No => assert_eq!(marked, (false, false), "{id} is there"),
                Vanished::Yes => assert_eq!(marked, (true, true), "{id} was purged"),
                Vanished::Perhaps => assert_eq!(marked.0, marked.1),
            }
        }
        let may_be_absent =
            |contact: &Contact| contact.held.iter().any(|held| held.as_ref().is_none_or(|held| !self.keeps(held)));
        let missing = |(id, contact): (&String, &Contact)| !stored.contains_key(id) && !may_be_absent(contact);
        let lost: Vec<&String> =
            self.account.model.contacts.iter().filter(|entry| missing(*entry)).map(|(id, _)| id).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
    }

    /// What the newest commit with a contact brought is what the account holds, and no commit brought what stood there
    /// already. A commit may hold several versions, if a contact changed while the run read it.
    fn check_versions(&self, tables: &Tables) {
        let stored = by_record(tables, "contact_id");
        for (id, tables) in &stored {
            let contact = &self.account.model.contacts[id];
            let commits: BTreeSet<i64> = tables["contacts"].iter().map(commit).collect();
            let versions: Vec<Option<Record>> = commits.iter().map(|commit| only_version(tables, *commit)).collect();
            for pair in versions.windows(2) {
                assert!(pair[0].is_none() || pair[0] != pair[1], "a version of {id} stands there twice: {pair:#?}");
            }
            if let Some(Some(found)) = versions.last() {
                let held = contact.held.iter().flatten();
                let allowed: Vec<Record> = held.map(|held| expected("contacts", "contact_id", held)).collect();
                assert!(allowed.contains(found), "{id} is {found:#?}\nand must be one of {allowed:#?}");
            }
        }
        for (id, contact) in &self.account.model.contacts {
            assert!(stored.contains_key(id) || contact.held.contains(&None), "lost: {id}");
        }
    }

    fn each_partition_is_one_file(&self) {
        for entry in std::fs::read_dir(self.harness.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "_ctct" && name != RUNS_TABLE) {
                let files = tables::files(&path);
                assert!(files.iter().all(|file| file.ends_with("part-00000.parquet")), "{files:?}");
            }
        }
    }
}

/// Rows that hold now.
fn current(tables: &Tables) -> Tables {
    let open = |rows: &Vec<Row>| rows.iter().filter(|row| !row.contains_key("_valid_to")).cloned().collect();
    tables.iter().map(|(table, rows)| (table.clone(), open(rows))).collect()
}

/// The spans of the versions of each record follow each other without a gap, and each differs from the one before it.
fn check_spans(rows: &[Row], key: &str) {
    let mut versions: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        versions.entry(row[key].as_str().unwrap()).or_default().push(row);
    }
    for (id, versions) in &versions {
        assert_eq!(versions.iter().filter(|row| !row.contains_key("_valid_to")).count(), 1, "{id} is one thing now");
        for pair in versions.windows(2) {
            let ends = pair[0].get("_valid_to");
            assert_eq!(ends, pair[1].get("_valid_from"), "{id}: versions stand in order, without a gap");
            let content = |row: &Row| -> Row {
                let own = ["_commit", "_extracted_at", "_valid_from", "_valid_to"];
                row.iter()
                    .filter(|(name, _)| !own.contains(&name.as_str()))
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect()
            };
            // A change of a child table alone makes no version of the parent.
            assert_ne!(content(pair[0]), content(pair[1]), "{id}: two versions are the same");
        }
    }
}

/// The rows of each record that its newest commit brought.
fn latest(tables: &Tables, key: &str) -> Tables {
    let name = |row: &Row| row[key].as_str().unwrap().to_owned();
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    for row in tables.values().flatten() {
        let entry = newest.entry(name(row)).or_default();
        *entry = commit(row).max(*entry);
    }
    let of_newest = |rows: &Vec<Row>| rows.iter().filter(|row| newest[&name(row)] == commit(row)).cloned().collect();
    tables.iter().map(|(table, rows)| (table.clone(), of_newest(rows))).collect()
}

/// The version of a contact that a commit brought; `None` if it brought several.
fn only_version(tables: &Tables, number: i64) -> Option<Record> {
    let of_commit =
        |rows: &Vec<Row>| -> Vec<Row> { rows.iter().filter(|row| commit(row) == number).cloned().collect() };
    let rows: Tables = tables.iter().map(|(table, rows)| (table.clone(), of_commit(rows))).collect();
    let rows: Tables = rows.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    (rows["contacts"].len() == 1).then(|| record(&rows))
}

fn commit(row: &Row) -> i64 {
    row["_commit"].as_i64().unwrap()
}

fn play(setting: &Setting, steps: &[Step], mode: Mode) {
    runtime().block_on(async {
        let mut play = Play::new(setting, mode).await;
        for step in steps {
            play.step(step).await;
        }
        play.end().await;
    });
}

/// The contact of the first page is purged before the second: the others move up, and a cursor that counts skips one.
#[test]
fn a_read_that_skipped_a_contact_marks_none_until_another_is_whole() {
    let at_first = |what, who| Happening { what, who, variant: 1, late: 0 };
    let setting = Setting {
        positional: true,
        shuffled: false,
        inclusive: false,
        count_on_every_page: false,
        rows: 1,
        ahead: 0,
        moves: [true; 5],
        partitions: "",
    };
    runtime().block_on(async {
        let mut play = Play::new(&setting, Mode::Merge).await;
        for step in 0..4 {
            play.harness.wait(step);
            play.step(&Step::Change(at_first(What::Create, 0))).await;
        }
        play.step(&Step::Run(Vec::new())).await;
        let newest = play.harness.sandbox.contacts_now()[0]["contact_id"].as_str().unwrap().to_owned();
        let who = play.account.model.ids().iter().position(|id| *id == newest).unwrap();
        play.harness.wait(8 * 86_400);
        let quiet = play.begin();
        let (at, change) = play.account.change(&at_first(What::Purge, who), play.harness.server_now(), Purges::Allowed);
        play.harness.sandbox.edit_before("/contacts", 2, at, change);
        let summary = play.run().await;
        assert_eq!((quiet, report(&summary, "contacts").reconciled), (true, Some(false)));
        assert_eq!(report(&summary, "contacts").rows, 3, "one of the others was skipped");
        play.finish(&summary, false);
        let marked = |play: &Play| {
            let contacts = &rows(play.harness.folder(), "contacts")["contacts"];
            assert_eq!(contacts.len(), 4);
            let marked = contacts.iter().filter(|row| row.contains_key("_deleted_at"));
            marked.map(|row| row["contact_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(marked(&play), Vec::<String>::new());
        play.harness.wait(2 * 86_400);
        play.step(&Step::Run(Vec::new())).await;
        assert_eq!(marked(&play), [newest]);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn merged_tables_equal_the_account((setting, steps) in histories(STEPS)) {
        play(&setting, &steps, Mode::Merge);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::with_cases(CASES / 2) })]

    #[test]
    fn what_holds_now_equals_the_account_and_earlier_versions_follow_each_other((setting, steps) in histories(STEPS)) {
        play(&setting, &steps, Mode::History);
    }

    #[test]
    fn merged_tables_hold_those_who_fit_a_filter_now((setting, steps) in histories(STEPS)) {
        play(&setting, &steps, Mode::Active);
    }

    #[test]
    fn those_who_left_a_filter_have_ended((setting, steps) in histories(STEPS)) {
        play(&setting, &steps, Mode::ActiveHistory);
    }

    #[test]
    fn appended_versions_are_complete_and_stand_once((setting, steps) in histories(STEPS)) {
        play(&setting, &steps, Mode::Append);
    }
}
