//! The *seen rows*: which records are stored, so that what a run reads again unchanged is not written again.
//!
//! A run starts with the entries that the last commit left, each the hashes of a record's key and content. They are few: only
//! those that the next run may read again, and the file says from when on it has all. Where a record is older than that, or
//! there is no such file, the stored tables themselves are read and hashed. So whatever is asked for again, a record that is
//! stored is not added.
//!
//! A record is known where it is just as the newest stored version of its key, or is older and stored too. One with a known
//! key and other content is a new version and stays, be it one that had been before.

mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod known;
mod stored;
mod versions;

pub use known::Known;
pub(crate) use stored::orders;
pub(crate) use versions::precedes;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use ctct_catalog::{EXTRACTED_AT, Report};
use ctct_transform::TableRows;

use crate::dedupe::fingerprint;
use crate::dedupe::index::Entry;
use crate::destination::{Destination, checksum};
use crate::error::LoadError;
use crate::files::plan::{LoadPlan, Repeats};
use crate::log::record::{Commit, StateFile, WriteMode};
use crate::log::{self, ReportLog};
use file::Read;
use versions::{Versions, version_name};

/// Entries from which on a file is rewritten, though nothing was added, once half of them are of no more use.
const WORTH_SHRINKING: u64 = 10_000;
/// Requests carry seconds without fractions and may begin one of them early.
const EARLY: TimeDelta = TimeDelta::seconds(2);
/// Instead of the instant of a record that has none. Such a record may come again at any time.
pub(crate) const UNDATED: i64 = i64::MAX;
/// Instead of the content of what is no record but tells when an id was read.
const MARK: u64 = 0;

/// What the tables held before the run.
#[derive(Debug)]
struct Stored {
    versions: Versions,
    complete: Complete,
}

/// Which of the stored records are among the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Complete {
    All,
    /// Those with this instant, in microseconds, or a later one or none.
    From(i64),
    Nothing,
}

/// The records that are stored, and those that this run brought.
#[derive(Debug)]
pub(crate) struct SeenRows {
    repeats: Repeats,
    /// Whether what was seen is dropped. A merging run keeps it, since keys may be compared or counted there.
    drops: bool,
    /// Columns of which the greatest value tells how new a version is.
    dates: Vec<String>,
    previous: Option<StateFile>,
    /// How the stored tables were written; `None` where there are none that count.
    stored_as: Option<WriteMode>,
    stored: Arc<Stored>,
    /// What this run brought: the newest version of each key as far as it is known now.
    brought: Versions,
    /// When this run read ids, by the hash of id and question.
    marks: HashMap<u128, i64>,
    /// With [`Repeats::Since`]: records before this instant do not come again.
    from: Option<i64>,
    /// Whether a record was new, a mark is, or the stored tables were read.
    changed: bool,
    distinct: u64,
    dropped: u64,
}

impl SeenRows {
    /// What the last commit left; `None` where the plan has no use for it.
    ///
    /// # Errors
    /// The store fails, or another run has committed since `previous` was read.
    pub(crate) async fn begin(
        destination: &Destination,
        plan: &LoadPlan,
        log: &ReportLog,
        previous: Option<&Commit>,
        stored_state: &log::StoredState,
    ) -> Result<Option<Self>, LoadError> {
        let drops = plan.mode == WriteMode::Append;
        let newest_first = matches!(plan.repeats, Repeats::NewestFirst { .. });
        if plan.repeats == Repeats::None || !(drops || plan.mode == WriteMode::Merge && newest_first) {
            return Ok(None);
        }
        let mut seen = Self::new(plan.repeats.clone(), &plan.changed, drops);
        // What a rebuild takes away it may bring again.
        let Some(commit) = previous.filter(|_| !plan.rebuild) else { return Ok(Some(seen)) };
        seen.stored_as = Some(commit.write_mode);
        let mut stored = Stored { versions: Versions::default(), complete: Complete::Nothing };
        if let Some(named) = &commit.seen {
            match file::read(destination, named).await? {
                Read::Usable { index, from } => {
                    let complete = from.map_or(Complete::All, Complete::From);
                    stored = Stored { versions: Versions::of(index), complete };
                    seen.previous = Some(named.carried_over());
                }
                Read::Unusable(reason) => {
                    // A newer commit may have taken the file away.
                    if let Some(head) = log.head().await?.filter(|head| head.version > commit.version) {
                        return Err(log.fenced(&head));
                    }
                    let path = destination.shown(&named.path);
                    tracing::warn!(path, reason, "the stored tables are read instead of a file that cannot be used");
                }
            }
        }
        seen.stored = Arc::new(stored);
        // Where pages are read until one holds nothing new, all must be known from the beginning.
        if newest_first && seen.stored.complete != Complete::All {
            seen.look(destination, &plan.report, stored_state).await?;
        }
        Ok(Some(seen))
    }

    fn new(repeats: Repeats, changed: &[String], drops: bool) -> Self {
        let mut dates = changed.to_vec();
        dates.extend(match &repeats {
            Repeats::Since { columns } => columns.clone(),
            Repeats::NewestFirst { by, .. } => vec![by.clone()],
            Repeats::All | Repeats::None => Vec::new(),
        });
        Self {
            repeats,
            drops,
            dates,
            previous: None,
            stored_as: None,
            stored: Arc::new(Stored { versions: Versions::default(), complete: Complete::All }),
            brought: Versions::default(),
            marks: HashMap::new(),
            from: None,
            changed: false,
            distinct: 0,
            dropped: 0,
        }
    }

    /// Says from when on the next run will ask. Rounded down, since requests carry seconds without fractions.
    pub(crate) fn remember_from(&mut self, instant: Option<DateTime<Utc>>) {
        let early = instant.and_then(|instant| instant.with_nanosecond(0)?.checked_sub_signed(EARLY));
        self.from = early.map(|instant| instant.timestamp_micros());
    }

    /// When an id was last read with a question.
    pub(crate) fn mark(&self, id: &str, question: &str) -> Option<DateTime<Utc>> {
        let name = fingerprint::of_texts(&[question, id]);
        let stored = || self.stored_mark(name);
        self.marks.get(&name).copied().or_else(stored).and_then(DateTime::from_timestamp_micros)
    }

    pub(crate) fn set_mark(&mut self, id: &str, question: &str, at: DateTime<Utc>) {
        let name = fingerprint::of_texts(&[question, id]);
        // An older mark is as good where the run brings nothing new: then the file need not be written.
        self.changed |= self.stored_mark(name).is_none();
        self.marks.insert(name, at.timestamp_micros());
    }

    fn stored_mark(&self, name: u128) -> Option<i64> {
        // A mark that cannot be read back is as none: all is read then.
        let found = self.stored.versions.entry(name).ok().flatten();
        found.filter(|entry| entry.content == MARK).map(|entry| entry.at)
    }

    /// What was stored before this run.
    pub(crate) fn known(&self) -> Known {
        Known::new(&self.stored, &self.dates)
    }

    /// Records that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether this run brought a key.
    pub(crate) fn brought(&self, key: u128) -> Result<bool, LoadError> {
        Ok(self.brought.entry(key)?.is_some())
    }

    /// Records with different keys that came so far.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct
    }

    /// The page without the records that are stored. A page of another shape stays as it is, for others to refuse.
    ///
    /// # Errors
    /// Rows cannot be filtered, or what does not fit into memory cannot be kept aside; the store fails where stored tables
    /// must be read.
    pub(crate) async fn unseen(
        &mut self,
        destination: &Destination,
        report: &Report,
        stored_state: &log::StoredState,
        page: Vec<TableRows>,
    ) -> Result<Vec<TableRows>, LoadError> {
        let Some(entries) = entries_of(report, &page, &self.dates) else { return Ok(page) };
        if self.must_look(&entries)? {
            self.look(destination, report, stored_state).await?;
        }
        let mut kept = Vec::with_capacity(entries.len());
        let mut here: HashMap<u128, usize> = HashMap::new();
        let lacking: BTreeSet<u32> = page.iter().flat_map(|rows| rows.absent.iter().copied()).collect();
        for (row, entry) in (0..).zip(entries) {
            let record_state = match self.record_state(entry)? {
                // Nothing tells that it changed, and a list that did not come is not empty.
                RecordState::Newer(newest) if lacking.contains(&row) && is_as_new(newest, entry) => RecordState::Known,
                record_state => record_state,
            };
            let is_older = matches!(record_state, RecordState::Older(_));
            let is_kept = self.meet(entry, record_state)? || !self.drops;
            kept.push(is_kept);
            // Of two versions on one page nothing stored would tell which child rows are whose.
            if self.drops && is_kept {
                match here.insert(entry.key, kept.len() - 1) {
                    Some(earlier) if is_older => {
                        kept[row as usize] = false;
                        here.insert(entry.key, earlier);
                    }
                    Some(earlier) => kept[earlier] = false,
                    None => {}
                }
            }
        }
        let dropped = kept.iter().filter(|kept| !**kept).count();
        if dropped == 0 {
            return Ok(page);
        }
        self.dropped += dropped as u64;
        without(page, &kept).map_err(|source| LoadError::Arrow {
            table: report.name.clone(),
            action: "take what was seen from",
            source,
        })
    }

    /// Whether it takes the stored tables to tell which of these are new.
    fn must_look(&self, entries: &[Entry]) -> Result<bool, LoadError> {
        match self.stored.complete {
            Complete::All => Ok(false),
            Complete::Nothing => Ok(!entries.is_empty()),
            Complete::From(from) => {
                for entry in entries.iter().filter(|entry| entry.at < from) {
                    if self.record_state(*entry)? != RecordState::Known {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Reads the stored tables.
    async fn look(
        &mut self,
        destination: &Destination,
        report: &Report,
        stored_state: &log::StoredState,
    ) -> Result<(), LoadError> {
        let Some(mode) = self.stored_as else { return Ok(()) };
        tracing::info!(report = report.name, "reading the stored tables to tell which records are new");
        let mut versions = stored::versions(destination, report, stored_state, &self.dates, mode).await?;
        for entry in self.stored.versions.entries()? {
            let entry = entry?;
            if entry.content == MARK {
                versions.put(entry)?;
            }
        }
        self.stored = Arc::new(Stored { versions, complete: Complete::All });
        self.changed = true;
        Ok(())
    }

    /// What is known of a record at this moment.
    fn record_state(&self, entry: Entry) -> Result<RecordState, LoadError> {
        let (brought, stored) = (self.brought.entry(entry.key)?, self.stored.versions.entry(entry.key)?);
        let newest = match (brought, stored) {
            (Some(brought), Some(stored)) if precedes(brought, stored) => Some(stored),
            (brought, stored) => brought.or(stored),
        };
        match newest {
            None => Ok(RecordState::First),
            Some(newest) if newest.content == entry.content => Ok(RecordState::Known),
            Some(newest) if precedes(entry, newest) => {
                let name = version_name(entry);
                let known = self.brought.entry(name)?.is_some() || self.stored.versions.entry(name)?.is_some();
                Ok(if known { RecordState::Known } else { RecordState::Older(newest) })
            }
            Some(newest) => Ok(RecordState::Newer(newest)),
        }
    }

    /// Takes note of a record; whether it is new.
    fn meet(&mut self, entry: Entry, record_state: RecordState) -> Result<bool, LoadError> {
        let comes_first = record_state == RecordState::First || self.brought.entry(entry.key)?.is_none();
        self.distinct += u64::from(comes_first);
        match record_state {
            RecordState::Known => {
                if comes_first {
                    // What was older and known does not take the place of what is newer.
                    self.brought.put(self.stored.versions.entry(entry.key)?.unwrap_or(entry))?;
                }
                return Ok(false);
            }
            RecordState::First => self.brought.put(entry)?,
            RecordState::Newer(newest) => {
                self.brought.put_version(newest)?;
                self.brought.put(entry)?;
            }
            RecordState::Older(newest) => {
                self.brought.put_version(entry)?;
                self.brought.put(newest)?;
            }
        }
        self.changed = true;
        Ok(true)
    }

    /// Whether the next run may need the entry.
    fn may_come_again(&self, entry: &Entry) -> bool {
        let since = matches!(self.repeats, Repeats::Since { .. });
        entry.content == MARK || !since || self.from.is_none_or(|from| entry.at >= from)
    }

    /// Stages the entries that the next run needs, if they are others than those of the last one, and says which file
    /// has them. `path` is where it goes. Nothing was added: the last file stays in force, since what it has beyond
    /// need does no harm, unless it is large and mostly of no use.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn finish(
        &mut self,
        destination: &Destination,
        staging: &str,
        path: String,
    ) -> Result<Option<StateFile>, LoadError> {
        let from = self.from.filter(|_| matches!(self.repeats, Repeats::Since { .. }));
        let complete = match self.stored.complete {
            // No record came, or the tables would have been read.
            Complete::Nothing => return Ok(None),
            Complete::All => from,
            Complete::From(before) => Some(from.map_or(before, |from| from.max(before))),
        };
        if let Some(previous) = &self.previous
            && !self.changed
            && !self.shrinks(previous.rows)?
        {
            return Ok(Some(previous.clone()));
        }
        for (name, at) in std::mem::take(&mut self.marks) {
            self.brought.put(Entry { key: name, content: MARK, at, order: 0 })?;
        }
        let entries = self.stored.versions.entries_with(&self.brought)?;
        let needed = entries.filter(|entry| entry.as_ref().map_or(true, |entry| self.may_come_again(entry)));
        file::write(destination, format!("{staging}/rows.seen"), path, complete, needed).await.map(Some)
    }

    /// Whether most of a large file is of no use any more.
    fn shrinks(&self, rows: u64) -> Result<bool, LoadError> {
        if rows <= WORTH_SHRINKING || self.from.is_none() {
            return Ok(false);
        }
        let mut needed = 0;
        for entry in self.stored.versions.entries()? {
            needed += u64::from(self.may_come_again(&entry?));
        }
        Ok(needed < rows / 2)
    }
}

/// What is known of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordState {
    /// It is stored, or this run brought it.
    Known,
    /// No version of its key is.
    First,
    /// It is newer than this version.
    Newer(Entry),
    /// It is older than this version, and not stored.
    Older(Entry),
}

/// The hashes of a page's records. `None` where the page does not fit the report.
pub(crate) fn entries_of(report: &Report, page: &[TableRows], dates: &[String]) -> Option<Vec<Entry>> {
    let contents = fingerprint::of_records(report.tables(), page)?;
    let parent = &page.first()?.batch;
    let keys = fingerprint::of_keys(parent, &report.key);
    let entries = keys.into_iter().zip(contents).zip(instants(parent, dates));
    Some(entries.map(|((key, content), at)| Entry { key, content: as_content(content), at, order: 0 }).collect())
}

/// Whether two versions changed last at the same instant.
fn is_as_new(version: Entry, other: Entry) -> bool {
    version.at != UNDATED && version.at == other.at
}

/// The hash of a record as its content, which no mark has.
fn as_content(hash: u64) -> u64 {
    if hash == MARK { 1 } else { hash }
}

/// When each row changed by these columns, or [`UNDATED`].
pub(crate) fn instants(parent: &RecordBatch, columns: &[String]) -> Vec<i64> {
    let column = |name: &str| parent.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>();
    let columns: Vec<_> = columns.iter().map(|name| column(name)).collect();
    let read_at = column(EXTRACTED_AT);
    let at = |values: Option<&TimestampMicrosecondArray>, row: usize| {
        values.filter(|values| values.is_valid(row)).map(|values| values.value(row))
    };
    let changed = |row: usize| changed_at(columns.iter().map(|values| at(*values, row)), at(read_at, row));
    (0..parent.num_rows()).map(|row| changed(row).unwrap_or(UNDATED)).collect()
}

/// When a row changed, in microseconds: the greatest of its instants. `None` where nothing tells that: the first of them, which is
/// the row's own, could not be read, or it lies more than a day after the row was read, as no change does.
pub(crate) fn changed_at(instants: impl Iterator<Item = Option<i64>>, read_at: Option<i64>) -> Option<i64> {
    /// A day, in microseconds: far more than clocks are apart.
    const AHEAD: i64 = 86_400_000_000;
    let mut instants = instants;
    let own = instants.next()??;
    let newest = instants.flatten().fold(own, i64::max);
    Some(newest).filter(|at| read_at.is_none_or(|read| *at <= read.saturating_add(AHEAD)))
}

/// Why the seen rows that a record names cannot be used, if they cannot. Those of another version of this program are as good
/// as none, and no damage.
///
/// # Errors
/// The store fails.
pub(crate) async fn damage(destination: &Destination, named: &StateFile) -> Result<Option<String>, LoadError> {
    match checksum::sha256(destination, &named.path).await? {
        None => Ok(Some("it is not there".to_owned())),
        Some(sha256) if sha256 != named.sha256 => {
            Ok(Some("its SHA-256 is not the one in the commit record".to_owned()))
        }
        Some(_) => Ok(None),
    }
}

/// The seen rows that a commit names, and what it removes because of that. A file is removed only by a commit that
/// publishes something (`publishes`): only then is a removal that was cut short done again.
pub(crate) fn replaced(
    previous: Option<&StateFile>,
    next: Option<StateFile>,
    publishes: bool,
) -> (Option<StateFile>, Option<String>) {
    match previous {
        Some(old) if next.as_ref().is_some_and(|next| next.path == old.path) => (next, None),
        Some(old) if next.is_none() && !publishes => (Some(old.carried_over()), None),
        Some(old) => (next, Some(old.path.clone())),
        None => (next, None),
    }
}

/// The page without the records that are not kept, child rows included.
pub(crate) fn without(page: Vec<TableRows>, kept: &[bool]) -> Result<Vec<TableRows>, ArrowError> {
    let mut next = 0;
    let places: Vec<u32> = kept
        .iter()
        .map(|kept| {
            let place = next;
            next += u32::from(*kept);
            place
        })
        .collect();
    page.into_iter()
        .map(|TableRows { batch, parent_rows, absent }| match parent_rows {
            None => Ok(TableRows {
                batch: filter_record_batch(&batch, &kept.to_vec().into())?,
                parent_rows: None,
                absent: Vec::new(),
            }),
            Some(parents) => {
                let absent = absent.iter().filter(|parent| kept[**parent as usize]);
                let absent = absent.map(|parent| places[*parent as usize]).collect();
                let stays: BooleanArray = parents.values().iter().map(|parent| Some(kept[*parent as usize])).collect();
                let left = parents.values().iter().filter(|parent| kept[**parent as usize]);
                let parent_rows = Some(left.map(|parent| places[*parent as usize]).collect::<UInt32Array>());
                Ok(TableRows { batch: filter_record_batch(&batch, &stays)?, parent_rows, absent })
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
