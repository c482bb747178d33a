//! Everything that tells how far the stored data goes, weighed: the new record's state is never ahead of it.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use ctct_catalog::Report;

use super::Records;
use super::found::{Files, FoundFile};
use super::kin::Hole;
use crate::destination::folder;
use crate::error::ahead;
use crate::files::footer::Stamp;
use crate::log::ReportLog;
use crate::log::file_names::{Named, NamedFiles};
use crate::log::inventory::{Listing, partition_of, table_of};
use crate::log::owner::Owner;
use crate::log::publish::is_anchor;
use crate::log::record::{ReportState, TableInventory, WriteMode};
use crate::maintain::loss::Loss;

/// What a new record takes over from an older one, or from a footer.
#[derive(Debug, Clone)]
pub(super) struct TakenOver {
    pub(super) identity: Owner,
    pub(super) state: ReportState,
    pub(super) write_mode: WriteMode,
    pub(super) history: bool,
    pub(super) partition_by: Vec<String>,
}

/// Everything that tells how far the data goes.
pub(super) struct Evidence<'a> {
    pub(super) log: &'a ReportLog,
    pub(super) report: &'a Report,
    pub(super) records: &'a Records,
    pub(super) listing: &'a Listing,
    pub(super) named: &'a NamedFiles<'a>,
    pub(super) files: &'a Files,
    pub(super) staged: &'a [String],
    /// The time.
    pub(super) at: DateTime<Utc>,
}

impl Evidence<'_> {
    /// What the next run may start from, what was lost that it must read again, and where rows are missing now.
    pub(super) fn weigh(&self) -> (TakenOver, Vec<Loss>, Vec<Hole>) {
        let mut basis = self.basis();
        let (mut lost, mut holes) = (Vec::new(), Vec::new());
        let mut back_to = |path: &str, reason: String, bound: Option<DateTime<Utc>>| {
            // Absent is the beginning, and less than any instant.
            if bound < basis.state.watermark {
                basis.state.watermark = bound;
            }
            basis.state.progress = None;
            lost.push(Loss { path: self.log.destination().shown(path), reason });
        };
        let found: BTreeMap<&str, &FoundFile> =
            self.files.sound.iter().map(|found| (found.file.path.as_str(), found)).collect();
        let staged: HashSet<&str> = self.staged.iter().map(String::as_str).collect();
        let mut tables_hit: HashSet<String> = HashSet::new();
        for (path, Named { proof, staged: waited }) in self.named.iter() {
            let version = proof.commit;
            let first = proof.commits().0;
            let (reason, bound, is_gone) = match (self.files.broken.get(path), found.get(path)) {
                (Some(reason), _) => {
                    (reason.clone(), if is_anchor(path) { None } else { self.watermark_before(first) }, true)
                }
                (None, None) if waited.as_ref().is_some_and(|waited| staged.contains(waited.as_str())) => continue,
                (None, None) if is_anchor(path) => (format!("it is gone; commit {version} wrote it last"), None, true),
                (None, None) => (format!("it is gone; commit {version} wrote it"), self.watermark_before(first), true),
                (None, Some(found)) if proof.sha256.as_ref().is_some_and(|sha256| *sha256 == found.file.sha256) => {
                    continue;
                }
                (None, Some(found)) if found.stamp.commit > version => continue,
                (None, Some(found)) if found.stamp.commit < version => {
                    let older = found.stamp.commit;
                    let reason = format!("it is of commit {older}, and commit {version} wrote it last");
                    (reason, found.stamp.state.watermark, false)
                }
                (None, Some(found)) if found.file.bytes == proof.bytes => continue,
                (None, Some(_)) => (format!("it is not as commit {version} wrote it"), None, false),
            };
            let table = table_of(path);
            if is_gone {
                holes.push(Hole {
                    table: table.clone(),
                    partition: partition_of(path).to_owned(),
                    commits: proof.commits(),
                });
            }
            tables_hit.insert(table);
            back_to(path, reason, bound);
        }
        for table in self.unexplained(&tables_hit) {
            back_to(&self.listing.folder(&table), "files of it are gone, and no record tells which".to_owned(), None);
        }
        if let Some(watermark) = basis.state.watermark.filter(|_| basis.state.is_ahead_of(self.at)) {
            basis.state.watermark = self.watermark_of_a_right_clock();
            basis.state.progress = None;
            let version = self.records.highest;
            let path = self.log.destination().shown(&self.log.commit_path(version));
            lost.push(Loss { path, reason: ahead(watermark, self.at) });
        }
        let past = |instant: &DateTime<Utc>| *instant <= self.at;
        basis.state.reconciled_at = basis.state.reconciled_at.filter(past);
        basis.state.reconcile_tried_at = basis.state.reconcile_tried_at.filter(past);
        (basis, lost, holes)
    }

    /// The newest watermark that no wrong clock has made: of a record, not after the record itself; else of a footer.
    fn watermark_of_a_right_clock(&self) -> Option<DateTime<Utc>> {
        let mut records = self.records.readable.iter().rev().filter(|commit| commit.committed_at <= self.at);
        let of_records = records.find_map(|commit| commit.state.watermark.filter(|at| *at <= commit.committed_at));
        of_records.or_else(|| {
            // A footer does not tell when it was written; what its run had started from is the past in any case.
            let stamps = self.files.sound.iter().map(|found| &found.stamp);
            let past = stamps.filter(|stamp| stamp.state.watermark.is_some_and(|at| at <= self.at));
            past.max_by_key(|stamp| stamp.commit).and_then(|stamp| stamp.state.watermark)
        })
    }

    /// The newest that is known: a record that can be read, or a footer of a later commit.
    fn basis(&self) -> TakenOver {
        let record = self.records.readable.last();
        let complete = self.files.sound.iter().map(|found| &found.stamp).filter(|stamp| !self.is_torn(stamp));
        let stamp = complete.max_by_key(|stamp| (stamp.commit, stamp.state.watermark));
        match (record, stamp) {
            (Some(commit), stamp) if stamp.is_none_or(|stamp| stamp.commit <= commit.version) => TakenOver {
                identity: self.identity(),
                state: commit.state.clone(),
                write_mode: commit.write_mode,
                history: commit.history,
                partition_by: commit.partition_by.clone(),
            },
            (_, Some(stamp)) => TakenOver {
                identity: self.identity(),
                state: stamp.state.clone(),
                write_mode: stamp.write_mode,
                history: stamp.history,
                partition_by: stamp.partition_by.clone(),
            },
            (_, None) => self.files.sound.first().map_or_else(
                || TakenOver {
                    identity: self.identity(),
                    state: ReportState::default(),
                    write_mode: WriteMode::Append,
                    history: false,
                    partition_by: Vec::new(),
                },
                |found| TakenOver {
                    identity: self.identity(),
                    state: ReportState::default(),
                    write_mode: found.stamp.write_mode,
                    history: found.stamp.history,
                    partition_by: found.stamp.partition_by.clone(),
                },
            ),
        }
    }

    /// Whose rows they are by whatever says so last. Files do not tell who asked, so that the next run may ask once more.
    fn identity(&self) -> Owner {
        let records = self.records.readable.iter().map(|commit| (commit.version, true, &commit.identity));
        let files = self.files.sound.iter().map(|found| (found.stamp.commit, false, &found.stamp.identity));
        let known = records.chain(files).filter(|(.., owner)| owner.account.is_some());
        known
            .max_by_key(|(version, record, _)| (*version, *record))
            .map(|(.., owner)| owner.clone())
            .unwrap_or_default()
    }

    /// Whether a file's commit was only published in part, and its record cannot tell what is missing: some of its
    /// files still wait in staging.
    fn is_torn(&self, stamp: &Stamp) -> bool {
        let readable = self.records.readable.iter().any(|commit| commit.version == stamp.commit);
        let run = folder::encode(&stamp.run);
        !readable && self.staged.iter().any(|path| self.log.staged_by(path) == Some((stamp.commit - 1, run.as_str())))
    }

    /// Where the run that made a version had started from.
    fn watermark_before(&self, version: i64) -> Option<DateTime<Utc>> {
        let record = self.records.readable.iter().rev().find(|commit| commit.version < version);
        let stamps = self.files.sound.iter().map(|found| &found.stamp).filter(|stamp| stamp.commit < version);
        let stamp = stamps.max_by_key(|stamp| (stamp.commit, stamp.state.watermark));
        match (record, stamp) {
            (Some(commit), _) => commit.state.watermark,
            (None, stamp) => stamp.and_then(|stamp| stamp.state.watermark),
        }
    }

    /// Tables that hold less than they should though no file of a record is missing: the records that named the files
    /// were pruned.
    fn unexplained(&self, explained: &HashSet<String>) -> Vec<String> {
        let Some(newest) = self.records.readable.last() else {
            // Without any record a table of the report that has no file at all is all that can be seen.
            let there = self.listing.tables();
            let tables = self.report.tables().iter().map(|table| table.name.clone());
            return tables.filter(|table| !there.contains_key(table)).collect();
        };
        let later = |table: &str| {
            self.files.sound.iter().any(|found| found.file.table == table && found.stamp.commit > newest.version)
        };
        if newest.version == self.records.highest && newest.manifest.is_some() {
            return Vec::new();
        }
        let there = self.listing.tables();
        let less = |table: &String, expected: TableInventory| {
            let found = there.get(table).copied().unwrap_or_default();
            found.files < expected.files || (found.files == expected.files && found.bytes != expected.bytes)
        };
        let tables = newest.inventory.tables.iter();
        tables
            .filter(|(table, expected)| !explained.contains(*table) && !later(table) && less(table, **expected))
            .map(|(table, _)| table.clone())
            .collect()
    }
}
