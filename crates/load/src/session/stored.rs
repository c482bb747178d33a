//! What a run that takes the place of stored rows does to them: it counts those that would go, and keeps those that stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use ctct_catalog::{COMMIT, EXTRACTED_AT};

use super::{RunOutcome, Session};
use crate::dedupe::fingerprint;
use crate::dedupe::index::{Combine, Entry, Index};
use crate::dedupe::latest::Latest;
use crate::dedupe::seen::{self, SeenRows, UNDATED};
use crate::error::LoadError;
use crate::files::partition::PartitionBy;
use crate::files::source::SourceFile;
use crate::files::stored_rows::StoredRows;
use crate::files::writer::StagedFile;
use crate::log::inventory::partition_of;
use crate::log::reach::Reach;
use crate::log::record::WriteMode;
use crate::session::outcome::Brake;
use crate::session::storage_mode::StorageMode;

/// Files of a snapshot that is replaced, up to which what goes is counted though nobody would stop it.
const COUNTED_FILES: usize = 100;

/// The keys that a run brought.
#[derive(Clone, Copy)]
struct BroughtKeys<'a> {
    merged: Option<&'a super::gathering::KeySet>,
    latest: Option<&'a Latest>,
    seen: Option<&'a SeenRows>,
}

impl BroughtKeys<'_> {
    fn has(self, key: u128) -> Result<bool, LoadError> {
        if let Some(merged) = self.merged {
            return Ok(merged.known.get(key)?.is_some());
        }
        match (self.latest, self.seen) {
            (Some(latest), _) => latest.has(key),
            (None, Some(seen)) => seen.brought(key),
            (None, None) => Ok(false),
        }
    }
}

/// What becomes of a stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    Goes,
    Stays,
    /// It stays with a row that this run read at an instant.
    With(i64),
}

impl Session {
    /// Takes note of records whose lists did not come, by table: what is stored of these lists stays.
    pub(super) fn note_lacking(&mut self, parent: &RecordBatch, absent: &[Vec<u32>]) -> Result<(), LoadError> {
        let report = Arc::clone(&self.plan.report);
        let takes_over = matches!(self.plan.mode, WriteMode::Replace | WriteMode::Partition);
        if !takes_over || absent.iter().all(Vec::is_empty) && self.lacking.is_empty() {
            return Ok(());
        }
        if self.lacking.is_empty() {
            self.lacking = report.tables().iter().map(|_| Index::new(Combine::Newest)).collect();
        }
        let keys = fingerprint::of_keys(parent, &report.key);
        let read = parent.column_by_name(EXTRACTED_AT);
        let read = read.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        for (table, lacking) in self.lacking.iter_mut().enumerate().skip(1) {
            // What hangs on a list that did not come did not come either.
            let lists = std::iter::successors(Some(table), |list| report.tables()[*list].parent);
            let rows: BTreeSet<u32> = lists.flat_map(|list| absent[list].iter().copied()).collect();
            for (row, key) in (0..).zip(&keys) {
                let lacks = rows.contains(&row);
                if lacks || lacking.get(*key)?.is_some() {
                    let at = read.map_or(0, |read| read.value(row as usize));
                    lacking.insert(Entry { key: *key, content: u64::from(lacks), at, order: 0 })?;
                }
            }
        }
        Ok(())
    }

    /// The keys that the run brought.
    fn brought(&self) -> BroughtKeys<'_> {
        BroughtKeys { merged: self.keys.as_ref(), latest: self.latest.as_ref(), seen: self.seen.as_ref() }
    }

    /// Writes again, without the rows that do not count, the staged files that hold some, and adds the versions that take
    /// their place.
    pub(super) async fn settle_versions(&mut self, staged: Vec<StagedFile>) -> Result<Vec<StagedFile>, LoadError> {
        let Some(latest) = self.latest.take() else { return Ok(staged) };
        let settled = match latest.aside() {
            None => Ok(staged),
            Some(aside) => {
                let mut kept = Vec::with_capacity(staged.len());
                for file in staged {
                    let StagedFile { table, partition, path, totals } = &file;
                    let folders = self.router.folders()[*partition as usize].clone();
                    let names = self.names(*table);
                    let source = names.open_staged(path, totals.bytes, &totals.sha256).await?;
                    if !self
                        .copy_some(*table, *partition, (names, source, folders), |_, key| {
                            Ok(if aside.has(key)? { Stay::Goes } else { Stay::Stays })
                        })
                        .await?
                    {
                        kept.push(file);
                    }
                }
                let report = Arc::clone(&self.plan.report);
                for at in 0..aside.pages() {
                    self.write_rows(aside.page(&report, at)?, &[]).await?;
                }
                kept.extend(self.writers.finish().await?);
                Ok(kept)
            }
        };
        self.latest = Some(latest);
        settled
    }

    /// Reads what names the rows of a table.
    fn names(&self, table: usize) -> StoredRows {
        let report = &self.plan.report;
        let mut columns: Vec<&str> = report.key.iter().map(String::as_str).collect();
        columns.extend([COMMIT, EXTRACTED_AT]);
        self.rows_of(table, Some(&columns))
    }

    /// Reads stored rows of a table, once they are found to be those that were written.
    fn rows_of(&self, table: usize, columns: Option<&[&str]>) -> StoredRows {
        StoredRows::new(&self.destination, &self.plan.report.tables()[table], columns)
            .proving(&self.stored_state.manifest)
    }

    /// Writes the rows of a file for which `stays` holds, given the batch's row and key, into a partition. `false` where that
    /// is all of them: nothing was written then.
    async fn copy_some(
        &mut self,
        table: usize,
        partition: u32,
        (names, file, folders): (StoredRows, SourceFile, String),
        stays: impl Fn((&RecordBatch, usize), u128) -> Result<Stay, LoadError>,
    ) -> Result<bool, LoadError> {
        let report = Arc::clone(&self.plan.report);
        let mut masks: Vec<Vec<Vec<Stay>>> = Vec::new();
        let mut all = true;
        for row_group in 0..file.row_groups() {
            let mut of_group = Vec::new();
            for batch in names.row_group(&file, row_group, &folders).await? {
                let keys = fingerprint::of_keys(&batch, &report.key);
                let mask = keys.into_iter().enumerate().map(|(row, key)| stays((&batch, row), key));
                let mask: Vec<Stay> = mask.collect::<Result<_, LoadError>>()?;
                all &= mask.iter().all(|stays| *stays == Stay::Stays);
                of_group.push(mask);
            }
            masks.push(of_group);
        }
        if all {
            return Ok(false);
        }
        let layout = Arc::clone(&self.layouts[table]);
        for (row_group, masks) in masks.into_iter().enumerate() {
            // Both reads cut a row group at the same rows.
            for (batch, mask) in file.read(row_group, layout.schema()).await?.iter().zip(&masks) {
                let kept: BooleanArray = mask.iter().map(|stays| Some(*stays != Stay::Goes)).collect();
                let left = filter_record_batch(batch, &kept).map_err(layout.arrow_error("filter"))?;
                let stays: Vec<Stay> = mask.iter().copied().filter(|stays| *stays != Stay::Goes).collect();
                let left = self.renewed(left, &stays).map_err(layout.arrow_error("filter"))?;
                let partitions = vec![partition; left.num_rows()];
                self.writers.push(table, left, partitions).await?;
            }
        }
        Ok(true)
    }

    /// Rows that stay with those of this run, as this run's: a child row is told by its parent's commit and read.
    fn renewed(&self, batch: RecordBatch, stays: &[Stay]) -> Result<RecordBatch, ArrowError> {
        if !stays.iter().any(|stays| matches!(stays, Stay::With(_))) {
            return Ok(batch);
        }
        let (schema, mut columns) = (batch.schema(), batch.columns().to_vec());
        for (column, field) in columns.iter_mut().zip(schema.fields()) {
            if let (COMMIT, Some(old)) = (field.name().as_str(), column.as_primitive_opt::<Int64Type>()) {
                let new = stays.iter().zip(old).map(|(stays, old)| match stays {
                    Stay::With(_) => Some(self.version()),
                    _ => old,
                });
                *column = Arc::new(new.collect::<Int64Array>());
            } else if let (EXTRACTED_AT, Some(old)) =
                (field.name().as_str(), column.as_primitive_opt::<TimestampMicrosecondType>())
            {
                let new = stays.iter().zip(old).map(|(stays, old)| match stays {
                    Stay::With(read) => Some(*read),
                    _ => old,
                });
                let new: TimestampMicrosecondArray = new.collect();
                *column = Arc::new(new.with_timezone_opt(old.timezone().map(Arc::<str>::from)));
            }
        }
        RecordBatch::try_new(schema, columns)
    }

    /// Counts the stored keys that the run's rows would take away, and refuses where those are too many. Also refuses a key
    /// that is in a partition that the run does not touch.
    pub(super) async fn count_removed(&mut self, outcome: &RunOutcome) -> Result<u64, LoadError> {
        let takes_over = match self.plan.mode {
            WriteMode::Replace | WriteMode::Partition => true,
            WriteMode::Append => self.plan.rebuild,
            // Where it reads what is stored, it counts on the way.
            WriteMode::Merge => self.plan.rebuild && !self.reads_stored(),
        };
        // Where nothing stops the run, the count only tells, and is not worth a look at very many files.
        let files =
            || self.plan.report.tables().first().map_or(0, |own| self.stored_state.listing.of_table(&own.name).len());
        let needless = outcome.brake == Brake::Off && self.plan.mode != WriteMode::Partition && files() > COUNTED_FILES;
        if self.previous.is_none() || !takes_over || needless {
            return Ok(self.removed);
        }
        let report = Arc::clone(&self.plan.report);
        let Some(table) = report.tables().first() else { return Ok(0) };
        let Reach { ids, bound, changed_after, .. } = &outcome.reach;
        let chosen = ids.iter().map(|(column, _)| column).chain(bound.iter().map(|(column, _)| column));
        let columns: Vec<&str> =
            report.key.iter().chain(&self.plan.changed).chain(chosen).map(String::as_str).collect();
        // Nothing is made of what is only counted, so not all of the files is read.
        let rows = StoredRows::new(&self.destination, table, Some(&columns));
        let touched: Option<BTreeSet<&str>> = self.touched();
        let stays_put = self.partition_is_in_key();
        let brought = self.brought();
        let mut stored = Index::new(Combine::Newest);
        for (path, bytes) in self.stored_state.listing.of_table(&table.name) {
            let folders = partition_of(&path).to_owned();
            let is_touched = touched.as_ref().is_none_or(|touched| touched.contains(folders.as_str()));
            if !is_touched && stays_put {
                continue;
            }
            let mut is_elsewhere = false;
            let each = |batch: RecordBatch| {
                let keys = fingerprint::of_keys(&batch, &report.key);
                if !is_touched {
                    for key in keys {
                        is_elsewhere |= brought.has(key)?;
                    }
                    return Ok(());
                }
                let within = outcome.reach.within(&batch);
                let instants = seen::instants(&batch, &self.plan.changed);
                for ((key, at), within) in keys.into_iter().zip(instants).zip(within) {
                    let newest = match stored.get(key)? {
                        Some(known) => known.at == UNDATED || at != UNDATED && at <= known.at,
                        None => false,
                    };
                    if within && !newest {
                        stored.insert(Entry { key, content: 0, at, order: 0 })?;
                    }
                }
                Ok(())
            };
            match rows.read_all(&[(path.clone(), bytes)], each).await {
                // What is rewritten may be what is broken.
                Err(LoadError::Damaged { path, reason }) if self.plan.rebuild => {
                    tracing::warn!(path, reason, "its rows are not counted among those that are removed");
                }
                read => read?,
            }
            if is_elsewhere {
                return Err(self.elsewhere(&path));
            }
        }
        let after = changed_after.map_or(i64::MIN, |after| after.timestamp_micros());
        let (mut removed, mut all) = (0, 0);
        for entry in stored.sorted()? {
            let entry = entry?;
            if entry.at >= after {
                all += 1;
                removed += u64::from(!outcome.carry_over && !brought.has(entry.key)?);
            }
        }
        if outcome.brake.stops(removed, all) {
            return Err(LoadError::TooMuchRemoved {
                account: self.plan.account.clone(),
                report: report.name.clone(),
                removed,
                stored: all,
            });
        }
        Ok(removed)
    }

    /// Refuses to let rows stay that are stored in another manner than the run writes.
    pub(super) fn refuse_to_carry_over(&self) -> Result<(), LoadError> {
        let replaces = self.plan.mode != WriteMode::Append && self.plan.mode != WriteMode::Merge || self.plan.rebuild;
        let Some(previous) = self.previous.as_ref().filter(|_| self.carries_over && replaces) else { return Ok(()) };
        if StorageMode::of_commit(previous) == StorageMode::of_plan(&self.plan) {
            return Ok(());
        }
        Err(LoadError::CannotStay { account: self.plan.account.clone(), report: self.plan.report.name.clone() })
    }

    /// The partitions whose rows go; `None` where those of all partitions do.
    fn touched(&self) -> Option<BTreeSet<&str>> {
        let some = self.plan.mode == WriteMode::Partition && !self.plan.rebuild;
        some.then(|| self.router.folders().iter().map(String::as_str).collect())
    }

    /// Whether a key says in which partition its row is.
    fn partition_is_in_key(&self) -> bool {
        self.plan.partition_by.iter().all(|entry| self.plan.report.key.iter().any(|key| key == entry.column()))
    }

    fn elsewhere(&self, path: &str) -> LoadError {
        let (folder, _) = path.rsplit_once('/').unwrap_or((path, ""));
        let by: Vec<&str> = self.plan.partition_by.iter().map(PartitionBy::column).collect();
        LoadError::Moved {
            path: self.destination.shown(folder),
            reason: format!("{} changed, and this run does not write that partition", by.join(", ")),
        }
    }

    /// Writes the stored rows that stay although the run did not bring their key, each in its newest version and with its child
    /// rows, next to those that it brought.
    pub(super) async fn carry_over(&mut self, staged: &mut Vec<StagedFile>) -> Result<(), LoadError> {
        if self.previous.is_none() {
            return Ok(());
        }
        let report = Arc::clone(&self.plan.report);
        let touched: Option<BTreeSet<String>> =
            self.touched().map(|touched| touched.into_iter().map(str::to_owned).collect());
        let goes = |path: &String| touched.as_ref().is_none_or(|touched| touched.contains(partition_of(path)));
        let files = |table: &str| -> Vec<(String, u64)> {
            self.stored_state.listing.of_table(table).into_iter().filter(|(path, _)| goes(path)).collect()
        };
        let all: Vec<Vec<(String, u64)>> = report.tables().iter().map(|table| files(&table.name)).collect();
        let mut columns: Vec<&str> = report.key.iter().chain(&self.plan.changed).map(String::as_str).collect();
        columns.extend([COMMIT, EXTRACTED_AT]);
        // The versions that stay, and those of which only lists do.
        let (mut newest, mut with_lists) = (Index::new(Combine::Newest), Index::new(Combine::Newest));
        let (brought, carries_over) = (self.brought(), self.carries_over);
        let lacks = |key: u128| -> Result<bool, LoadError> {
            for lacking in &self.lacking {
                if lacking.get(key)?.is_some_and(|entry| entry.content == 1) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let each = |batch: RecordBatch| {
            let keys = fingerprint::of_keys(&batch, &report.key);
            let instants = seen::instants(&batch, &self.plan.changed);
            let orders = seen::orders(&batch);
            for (row, key) in keys.into_iter().enumerate() {
                let entry = Entry { key, content: read_of(&batch, row), at: instants[row], order: orders[row] };
                let versions = match brought.has(key)? {
                    true if lacks(key)? => &mut with_lists,
                    false if carries_over => &mut newest,
                    _ => continue,
                };
                if versions.get(key)?.is_none_or(|known| !seen::precedes(entry, known)) {
                    versions.insert(entry)?;
                }
            }
            Ok(())
        };
        self.rows_of(0, Some(&columns)).read_all(&all[0], each).await?;
        let lacking = std::mem::take(&mut self.lacking);
        for (table, files) in all.into_iter().enumerate() {
            for (path, bytes) in files {
                let folders = partition_of(&path).to_owned();
                let partition = self.router.number(&folders);
                let stays = |(batch, row): (&RecordBatch, usize), key: u128| {
                    let of = |versions: &Index| {
                        Ok::<_, LoadError>(versions.get(key)?.is_some_and(|entry| entry.content == read_of(batch, row)))
                    };
                    if of(&newest)? {
                        return Ok(Stay::Stays);
                    }
                    let list = match lacking.get(table).filter(|_| table > 0) {
                        Some(lacking) => lacking.get(key)?.filter(|entry| entry.content == 1),
                        None => None,
                    };
                    Ok(match list {
                        Some(entry) if of(&with_lists)? => Stay::With(entry.at),
                        _ => Stay::Goes,
                    })
                };
                let names = self.names(table);
                let source = names.open(&path, bytes).await?;
                if !self.copy_some(table, partition, (names, source, folders), stays).await? {
                    self.copy_all(table, partition, (&path, bytes)).await?;
                }
            }
        }
        staged.extend(self.writers.finish().await?);
        Ok(())
    }

    /// Writes all rows of a file into a partition.
    async fn copy_all(&mut self, table: usize, partition: u32, (path, bytes): (&str, u64)) -> Result<(), LoadError> {
        let layout = Arc::clone(&self.layouts[table]);
        let file = self.rows_of(table, None).open(path, bytes).await?;
        for row_group in 0..file.row_groups() {
            for batch in file.read(row_group, layout.schema()).await? {
                let partitions = vec![partition; batch.num_rows()];
                self.writers.push(table, batch, partitions).await?;
            }
        }
        Ok(())
    }
}

/// The read that brought a row, as a hash.
fn read_of(batch: &RecordBatch, row: usize) -> u64 {
    let commit = batch.column_by_name(COMMIT).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let read = batch.column_by_name(EXTRACTED_AT);
    let read = read.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let number = |value: Option<i64>| value.unwrap_or_default().cast_unsigned();
    let (commit, read) = (commit.map(|column| column.value(row)), read.map(|column| column.value(row)));
    u64::try_from(fingerprint::of_numbers(0, &[number(commit), number(read)]) >> 64).unwrap_or_default()
}
