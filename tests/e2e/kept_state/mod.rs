//! Every kind of kept file, damaged in every way: what each command makes of it, and that the way back which
//! docs/reference/state.md describes leads back.

mod account;
mod page;
mod place;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use ctct_catalog::Report;
use futures::FutureExt;

use account::{Account, Mood};
use page::Kind;
use place::{CATALOG, Files, Mode, Place, Said, Seen};

const MODES: [Mode; 5] = [
    Mode { name: "append", contacts: "write_mode: append", events: "write_mode: append" },
    Mode { name: "merge", contacts: "write_mode: merge", events: "write_mode: merge" },
    Mode { name: "history", contacts: "write_mode: merge, history: true", events: "write_mode: merge, history: true" },
    Mode {
        name: "replace",
        contacts: "write_mode: replace, max_removed: 100%",
        events: "write_mode: replace, max_removed: 100%",
    },
    Mode {
        name: "partition",
        contacts: "write_mode: partition, max_removed: 100%, partition_by: [{bucket: {column: contact_id, count: 2}}]",
        events: "write_mode: partition, max_removed: 100%, partition_by: [{bucket: {column: contact_id, count: 2}}]",
    },
];

/// The ways in which a file is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Gone,
    Cut,
    Flipped,
    OfTheOtherReport,
    OfTheOtherAccount,
    Older,
}

/// All of them, the most telling first.
const DAMAGES: [Damage; 6] =
    [Damage::Gone, Damage::Cut, Damage::Flipped, Damage::OfTheOtherReport, Damage::OfTheOtherAccount, Damage::Older];

/// A destination that has used every feature, before a run that would finish what another began.
struct Base {
    account: Account,
    mode: Mode,
    kinds: Vec<Kind>,
    /// After the first run.
    older: Files,
    files: Files,
    /// The same of another account.
    other: Files,
    reports: Vec<Arc<Report>>,
    /// What is there after the next run where nothing is damaged, by report.
    twins: BTreeMap<String, Seen>,
}

impl Base {
    async fn new(mode: Mode) -> Self {
        let account = Account::start().await;
        let (kinds, _) = page::kinds();
        let (_, other) = lived(&account, mode, "other").await;
        let (older, files) = lived(&account, mode, "acme").await;
        let reports: Vec<_> =
            ["contacts", "contact_activity_details"].map(|name| Arc::clone(CATALOG.get(name).unwrap())).into();
        let twin = Place::new(&account, mode, "acme").holding(&files).await;
        let done = twin.does_all("run", "r9").await;
        assert_eq!(done.code, 0, "{}: {}", mode.name, done);
        let mut twins = BTreeMap::new();
        for report in &reports {
            let seen = twin.seen(report).await;
            assert!(seen.wrong.is_empty() && !seen.versions.is_empty(), "{}: {:#?}", mode.name, seen.wrong);
            twins.insert(report.name.clone(), seen);
        }
        Self { account, mode, kinds, older, files, other, reports, twins }
    }

    fn kind(&self, path: &str) -> &Kind {
        self.kinds.iter().find(|kind| kind.is_of(path)).unwrap_or_else(|| panic!("the page does not name `{path}`"))
    }

    /// The report that a file belongs to, and what it is of that.
    fn part(path: &str) -> (Option<&str>, &str) {
        let mut segments = path.split('/');
        match segments.next() {
            Some("_ctct") => (segments.nth(1).filter(|_| !path.starts_with("_ctct/.")), ""),
            Some(table) if table.starts_with("contact_activity_details") => (Some("contact_activity_details"), table),
            Some(table) if table.starts_with("contacts") => (Some("contacts"), table),
            _ => (None, ""),
        }
    }

    /// The newest file of each kind of each report and table.
    fn samples(&self) -> Vec<&String> {
        // Of the children one with rows and one without.
        let is_needed = |path: &&String| {
            let table = Self::part(path).1;
            !table.starts_with("contacts_") || ["contacts_taggings", "contacts_notes"].contains(&table)
        };
        let samples: BTreeMap<_, _> = self
            .files
            .keys()
            .filter(is_needed)
            .map(|path| ((&self.kind(path).pattern, Self::part(path)), path))
            .collect();
        samples.into_values().collect()
    }

    /// What stands there instead; empty where nothing does, and `None` where there is no such damage.
    fn damaged(&self, path: &str, damage: Damage) -> Option<Bytes> {
        let content = &self.files[path];
        let (kind, part) = (self.kind(path), Self::part(path));
        let newest = |files: &Files, fits: &dyn Fn(&str) -> bool| {
            files.iter().rev().find(|(found, _)| kind.is_of(found) && fits(found)).map(|(_, bytes)| bytes.clone())
        };
        let instead = match damage {
            Damage::Gone => return Some(Bytes::new()),
            Damage::Cut => content.slice(..content.len() / 2),
            Damage::Flipped => {
                let mut flipped = content.to_vec();
                let at = flipped.len() / 2;
                *flipped.get_mut(at)? ^= 1;
                flipped.into()
            }
            Damage::OfTheOtherReport => newest(&self.files, &|found| Self::part(found).0 != part.0)?,
            Damage::OfTheOtherAccount => newest(&self.other, &|found| Self::part(found) == part)?,
            Damage::Older => newest(&self.older, &|found| Self::part(found) == part)?,
        };
        (instead != *content && !instead.is_empty()).then_some(instead)
    }

    /// A copy with one file damaged.
    async fn place(&self, path: &str, instead: &Bytes) -> Place<'_> {
        let mut files = self.files.clone();
        if instead.is_empty() {
            drop(files.remove(path));
        } else {
            drop(files.insert(path.to_owned(), instead.clone()));
        }
        Place::new(&self.account, self.mode, "acme").holding(&files).await
    }

    async fn is_whole(&self, place: &Place<'_>, told: &str) {
        for report in &self.reports {
            place.seen(report).await.is_whole(&self.twins[&report.name], &format!("{told}: {}", report.name));
        }
        let verified = place.does("verify", "v9").await;
        assert_eq!(verified.code, 0, "{told}: {verified}");
    }

    /// The ways that are tried: all of them where rows are added.
    fn damages(&self) -> &'static [Damage] {
        match self.mode.name {
            "append" => &DAMAGES,
            "history" => &[Damage::Gone, Damage::Flipped, Damage::Older],
            _ => &DAMAGES[..2],
        }
    }

    /// Every way to damage the samples.
    fn trials(&self) -> impl Iterator<Item = (&String, Damage, Bytes)> {
        self.samples().into_iter().flat_map(move |path| {
            self.damages().iter().filter_map(move |damage| Some((path, *damage, self.damaged(path, *damage)?)))
        })
    }
}

/// A destination after months in which all went on that can; what it held after the first run, and in the end.
async fn lived(account: &Account, mode: Mode, label: &'static str) -> (Files, Files) {
    let place = Place::new(account, mode, label);
    account.show(0, Mood::Well);
    let first = place.does("run", "r1").await;
    assert_eq!(first.code, 14, "an id fails: {first}");
    let older = place.files().await;
    account.show(1, Mood::Well);
    let second = place.does("run", "r2").await;
    assert_eq!(second.code, 14, "{second}");
    account.show(1, Mood::Keyless);
    let rejected = place.does("run", "r3").await;
    assert_eq!(rejected.of("contacts"), "partial", "{rejected}");
    // A record that a rebuild moves out of the way, what a killed run left, and a joined file that never took its place.
    place.put(&format!("_ctct/{label}/contacts/commits/{:020}.json", 1), Bytes::from_static(b"{}")).await;
    place.put(&join_record(label), Bytes::from_static(b"x")).await;
    let rebuilt = place.does("state rebuild", "b1").await;
    assert_eq!(rebuilt.code, 0, "{rebuilt}");
    place.put(&format!("_ctct/{label}/contacts/staging/{:020}/r0/x.parquet", 2), Bytes::from_static(b"x")).await;
    place.put(&join_record(label), Bytes::from_static(b"x")).await;
    account.show(2, Mood::UsedUp);
    let stopped = place.does("run", "r4").await;
    assert_eq!(stopped.code, 11, "{stopped}");
    account.show(2, Mood::Well);
    let mut files = place.files().await;
    files.insert(join_record(label), Bytes::from_static(b"x"));
    (older, files)
}

/// A record of joined files of `_runs`.
fn join_record(label: &str) -> String {
    format!("_ctct/.runs/{label}/{:020}.parquet", 1)
}

/// Whether the file is named, or the folder of state that misses it.
fn names(said: &Said, path: &str) -> bool {
    let told = said.to_string();
    let folders: Vec<&str> = path.split('/').collect();
    let depth = if path.starts_with("_ctct") { 3 } else { 1 };
    told.contains(folders[folders.len() - 1]) || told.contains(&folders[..depth.min(folders.len())].join("/"))
}

impl Base {
    /// What a run, the page's advice, and a read of everything make of one damage.
    async fn trial(&self, path: &str, instead: &Bytes, told: &str) {
        let place = self.place(path, instead).await;
        let verified = place.does("verify", "v1").await;
        assert!([0, 15].contains(&verified.code), "{told}: {verified}");
        if path.contains("/failed_ids/") {
            assert!(verified.code == 15 && names(&verified, path), "{told}: {verified}");
        }
        let before = table_names(&place).await;
        let ran = place.does_all("run", "r5").await;
        let (report, _) = Self::part(path);
        if ran.code == 0 && verified.code == 15 && place.does("verify", "v2").await.code == 15 {
            // The run had no use for that file, and who looks is told.
            assert!(names(&verified, path), "{told}: {verified}");
        } else if ran.code == 0 {
            self.is_whole(&place, &format!("{told}, run")).await;
        } else {
            assert_eq!((ran.code, verified.code), (15, 15), "{told}: {ran}");
            assert!(names(&ran, path), "{told}: {ran}");
            let advised = ran.told.to_string();
            assert!(advised.contains("state rebuild") || advised.contains("--full-refresh"), "{told}: {ran}");
            let of_report = |tables: &[Vec<String>]| tables[usize::from(report != Some("contacts"))].clone();
            assert_eq!(of_report(&before), of_report(&table_names(&place).await), "{told}: published");
        }
        let place = self.place(path, instead).await;
        for (number, command) in self.kind(path).commands.iter().enumerate() {
            let said = place.does_all(command, &format!("a{number}")).await;
            assert_eq!(said.code, 0, "{told}, {command}: {said}");
        }
        self.is_whole(&place, &format!("{told}, by the page")).await;
        if self.kind(path).commands == ["run"] {
            return;
        }
        // Who reads everything again needs none of it.
        let place = self.place(path, instead).await;
        let refreshed = place.does_all("run --full-refresh", "f1").await;
        assert_eq!(refreshed.code, 0, "{told}, --full-refresh: {refreshed}");
        self.is_whole(&place, &format!("{told}, --full-refresh")).await;
    }
}

impl Base {
    /// What each other command makes of one damage: none of them ends as a mistake of the program, and none makes sound tables
    /// of damaged files.
    async fn commands(&self, path: &str, instead: &Bytes, told: &str) {
        let place = self.place(path, instead).await;
        let before = place.files().await;
        for command in ["verify", "status", "state", "plan", "state rebuild --dry-run"] {
            let said = place.does(command, "l1").await;
            // `status` tells of the runs before, too.
            let codes = if command == "status" { [0, 15, 20, 21] } else { [0, 14, 15, 15] };
            assert!(codes.contains(&said.code), "{told}, {command}: {said}");
            assert!(before == place.files().await, "{told}, {command}: who looks changes nothing");
        }
        for command in ["compact", "replay", "replay --dead-letters"] {
            let place = self.place(path, instead).await;
            let said = place.does(command, "c1").await;
            assert!([0, 2, 14, 15].contains(&said.code), "{told}, {command}: {said}");
            assert!(
                said.code != 15 || names(&said, path) || !said.told["reports"].is_array(),
                "{told}, {command}: {said}"
            );
            if place.does("verify", "v1").await.code == 0 {
                for report in &self.reports {
                    place.seen(report).await.invents_nothing(&self.twins[&report.name], &format!("{told}, {command}"));
                }
            }
        }
    }
}

/// What other commands make of damage.
async fn no_command_trusts(mode: Mode) {
    let base = Base::new(mode).await;
    let mut failed = Vec::new();
    for (path, damage, instead) in base.trials().filter(|(_, damage, _)| DAMAGES[..2].contains(damage)) {
        let told = format!("{}: {path} {damage:?}", mode.name);
        let trial = AssertUnwindSafe(base.commands(path, &instead, &told));
        if trial.catch_unwind().await.is_err() {
            failed.push(told.clone());
        }
    }
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_command_makes_anything_of_damage_where_rows_are_added() {
    no_command_trusts(MODES[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_command_makes_anything_of_damage_where_versions_are_kept() {
    no_command_trusts(MODES[2]).await;
}

/// From any damage of any file of this mode the way back leads back.
async fn leads_back(mode: Mode) {
    let base = Base::new(mode).await;
    let (mut trials, mut failed) = (0, Vec::new());
    for (path, damage, instead) in base.trials() {
        trials += 1;
        let told = format!("{}: {path} {damage:?}", mode.name);
        let trial = AssertUnwindSafe(base.trial(path, &instead, &told));
        if trial.catch_unwind().await.is_err() {
            failed.push(told.clone());
        }
    }
    assert!(failed.is_empty() && trials > 20, "{} of {trials} failed: {failed:#?}", failed.len());
}

/// The files of the tables of each report.
async fn table_names(place: &Place<'_>) -> Vec<Vec<String>> {
    let files = place.files().await;
    let of = |report: &str| {
        let own = |path: &&String| Base::part(path).0 == Some(report) && !path.starts_with('_');
        files.keys().filter(own).cloned().collect()
    };
    vec![of("contacts"), of("contact_activity_details")]
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_tables_and_their_state() {
    leads_back(MODES[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_tables_and_their_state() {
    leads_back(MODES[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_with_history_and_their_state() {
    leads_back(MODES[2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_tables_and_their_state() {
    leads_back(MODES[3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_by_partition_and_their_state() {
    leads_back(MODES[4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_every_kind_of_file_and_no_other() {
    let mut found = Vec::new();
    for mode in [MODES[0], MODES[1]] {
        let base = Base::new(mode).await;
        found.extend(base.files.keys().map(|path| base.kind(path).pattern.clone()));
    }
    for kind in page::kinds().0 {
        assert!(found.contains(&kind.pattern), "no pipeline makes `{}`", kind.pattern);
    }
}
