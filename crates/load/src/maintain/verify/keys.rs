//! Rows against each other: unique keys, order, and children that have their parent.
//!
//! Keys are compared by 95 bits of a hash of theirs. As many as fit the budget are held at a time, chosen by the hash, and
//! files are read as often as that takes. With a billion keys, two that differ have the same hash with a chance of one in
//! 10^11.

use std::collections::BTreeMap;
use std::sync::Arc;

use ctct_catalog::{COMMIT, ORDINAL, PARENT_ORDINAL, Report, Table};

use super::scan::{CURRENT, HASH_SHIFT, Scan, ScanResult, file_of};
use super::{CheckedFile, CheckedTables, Finding, Fix, Verified};
use crate::error::LoadError;
use crate::files::stored_schema::{DELETED_AT, VALID_TO, stored_key};
use crate::log::ReportLog;
use crate::log::record::{Commit, WriteMode};

/// What is wrong with a file whose bytes do not make rows.
const UNREAD: &str = "it cannot be read to its end";

/// The keys of a report's tables.
pub(super) struct KeyCheck<'a> {
    pub(super) log: &'a ReportLog,
    pub(super) report: &'a Report,
    /// Bytes of hashes that are held at a time.
    pub(super) key_bytes: u64,
    pub(super) checked: &'a CheckedTables,
}

impl KeyCheck<'_> {
    /// Checks the rows of all tables whose files are all there.
    pub(super) async fn check(&self, head: &Commit, verified: &mut Verified) -> Result<(), LoadError> {
        let Self { log, report, checked, .. } = *self;
        let merged = head.write_mode == WriteMode::Merge;
        for (at, table) in report.tables().iter().enumerate() {
            let children: Vec<&Table> = report.tables().iter().filter(|child| child.parent == Some(at)).collect();
            let Some(own) = checked.get(&table.name).filter(|own| own.complete) else { continue };
            if !merged && children.is_empty() {
                continue;
            }
            let mut tally = Tally::default();
            let slices = self.slices(&own.files);
            for slice in 0..slices {
                let mut columns = table.key.clone();
                // In other modes a parent stands once a commit, and its children come with it.
                columns.extend((!merged).then(|| COMMIT.to_owned()));
                let order = (merged && slice == 0).then(|| stored_key(report, table, head.history));
                let scan = Scan { columns, order, null: vec![VALID_TO], slice: (slice, slices) };
                let found = scan.files(log, &own.files).await?;
                for file in found.unread {
                    tally.add(&own.files[file], UNREAD, Fix::Restore);
                }
                for file in found.unordered {
                    tally.add(&own.files[file], "its rows are not in the order of their key", Fix::Refresh);
                }
                if merged {
                    for (file, rows) in repeated(&found.hashes) {
                        tally.count(&own.files[file], "with a key that another row of the table has", rows);
                    }
                }
                let parents = Arc::new(found.hashes);
                for child in &children {
                    let Some(files) = checked.get(&child.name).map(|checked| &checked.files) else { continue };
                    let mut columns = parent_key(table);
                    columns.extend((!merged).then(|| COMMIT.to_owned()));
                    let scan = Scan { columns, order: None, null: Vec::new(), slice: (slice, slices) };
                    for (file, rows) in scan.orphans(log, files, &parents).await? {
                        match rows {
                            Some(rows) => tally.count(&files[file], "without a parent row", rows),
                            None => tally.add(&files[file], UNREAD, Fix::Restore),
                        }
                    }
                }
            }
            verified.add(tally.findings(log));
        }
        Ok(())
    }

    /// Counts the rows of the report's own table that are current, each key once.
    pub(super) async fn count(&self, verified: &mut Verified) -> Result<(), LoadError> {
        let Self { log, report, checked, .. } = *self;
        let Some(table) = report.tables().first() else { return Ok(()) };
        let Some(own) = checked.get(&table.name) else { return Ok(()) };
        let slices = self.slices(&own.files);
        let mut tally = Tally::default();
        for slice in 0..slices {
            let null = vec![VALID_TO, DELETED_AT];
            let scan = Scan { columns: table.key.clone(), order: None, null, slice: (slice, slices) };
            let ScanResult { mut hashes, unread, .. } = scan.files(log, &own.files).await?;
            for file in unread {
                tally.add(&own.files[file], UNREAD, Fix::Restore);
            }
            hashes.retain(|hash| hash & CURRENT != 0);
            hashes.dedup_by_key(|hash| *hash >> HASH_SHIFT);
            verified.current_rows += hashes.len() as u64;
        }
        verified.add(tally.findings(log));
        Ok(())
    }

    /// In how many parts the hashes of these files fit.
    fn slices(&self, files: &[CheckedFile]) -> u64 {
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        (rows * size_of::<u128>() as u64).div_ceil(self.key_bytes.max(1)).max(1)
    }
}

/// The columns of a child table that hold its parent's key, in the order of that key.
fn parent_key(parent: &Table) -> Vec<String> {
    let carried = |column: &String| if column == ORDINAL { PARENT_ORDINAL.to_owned() } else { column.clone() };
    parent.key.iter().map(carried).collect()
}

/// How many rows of each file are current and have a key that another current row has. The hashes are sorted.
fn repeated(hashes: &[u128]) -> BTreeMap<usize, u64> {
    let mut repeated = BTreeMap::new();
    let current = |hash: &&u128| **hash & CURRENT != 0;
    for group in hashes.chunk_by(|left, right| left >> HASH_SHIFT == right >> HASH_SHIFT) {
        if group.iter().filter(current).count() > 1 {
            for hash in group.iter().filter(current) {
                *repeated.entry(file_of(*hash)).or_default() += 1;
            }
        }
    }
    repeated
}

/// Findings by file, added up over slices.
#[derive(Default)]
struct Tally {
    plain: BTreeMap<(String, &'static str), Fix>,
    counted: BTreeMap<(String, &'static str), u64>,
}

impl Tally {
    fn add(&mut self, file: &CheckedFile, what: &'static str, fix: Fix) {
        self.plain.insert((file.path.clone(), what), fix);
    }

    fn count(&mut self, file: &CheckedFile, what: &'static str, rows: u64) {
        *self.counted.entry((file.path.clone(), what)).or_default() += rows;
    }

    fn findings(self, log: &ReportLog) -> Vec<Finding> {
        let shown = |path: &str| log.destination().shown(path);
        let plain = self.plain.iter().map(|((path, what), fix)| Finding {
            path: shown(path),
            what: (*what).to_owned(),
            fix: *fix,
        });
        let counted = self.counted.iter().map(|((path, what), rows)| Finding {
            path: shown(path),
            what: format!("it has {rows} row{} {what}", if *rows == 1 { "" } else { "s" }),
            fix: Fix::Refresh,
        });
        plain.chain(counted).collect()
    }
}
