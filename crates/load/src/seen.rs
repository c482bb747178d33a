//! The *seen rows*: which records an appending run has met before, so that what it reads again unchanged is not
//! written again.
//!
//! A run starts with the entries that the last commit left, each the hashes of a record's key and content, drops every
//! record whose newest version is among them or was written in this run, and leaves those that the next run may meet
//! again. A record with a known key and other content is a new version and stays, be it one that had been before.

mod file;

use std::collections::HashMap;
use std::iter;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::error::ArrowError;
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use ctct_catalog::Report;
use ctct_transform::TableRows;

use crate::log::ReportLog;
use crate::record::{Commit, StateFile};
use crate::{Destination, LoadError, LoadPlan, Repeats, WriteMode, fingerprint};

/// Records that were written in this run and are known by their hashes: twice this many at most, the oldest half is
/// forgotten first.
const GENERATION: usize = 250_000;
/// Entries from which on a file is written anew, though nothing was added, once half of them are of no use any more.
const WORTH_SHRINKING: usize = 10_000;
/// Instead of the instant of a record that has none. Such a record may come again at any time.
const UNDATED: i64 = i64::MAX;

/// A record that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// Hash of the id with [`Repeats::NewestFirst`], else 0.
    scope: u64,
    /// Hash of the key columns.
    key: u64,
    /// Hash of everything in it.
    content: u64,
    /// Its newest value in the columns that windows go by, in microseconds, or [`UNDATED`].
    at: i64,
}

/// The records that earlier runs and this one have seen.
#[derive(Debug)]
pub(crate) struct SeenRows {
    repeats: Repeats,
    /// Whether what was seen is dropped. A merging run keeps it, since keys may be compared or counted there.
    drops: bool,
    previous: Option<StateFile>,
    /// Entries of earlier runs, sorted.
    settled: Vec<Entry>,
    /// Entries of this run that the next one may meet again, in the order of their arrival.
    fresh: Vec<Entry>,
    /// With [`Repeats::NewestFirst`]: the newest instant of each id in this run.
    newest: HashMap<u64, i64>,
    /// Newest content by key of what this run wrote: the younger and the older generation.
    written: [HashMap<u64, u64>; 2],
    /// With [`Repeats::Since`]: records before this instant cannot come again.
    from: Option<i64>,
    dropped: u64,
}

impl SeenRows {
    /// What the last commit left; `None` where the plan has no use for it.
    ///
    /// # Errors
    /// The file is damaged, the store fails, or another run has committed since `previous` was read.
    pub(crate) async fn begin(
        destination: &Destination,
        plan: &LoadPlan,
        log: &ReportLog,
        previous: Option<&Commit>,
    ) -> Result<Option<Self>, LoadError> {
        let drops = plan.mode == WriteMode::Append;
        let for_paging = plan.mode == WriteMode::Merge && matches!(plan.repeats, Repeats::NewestFirst { .. });
        if plan.repeats == Repeats::None || !(drops || for_paging) {
            return Ok(None);
        }
        let mut seen = Self::new(plan.repeats.clone(), drops);
        // What a rebuild takes away it may bring again.
        let previous = previous.filter(|_| !plan.rebuild);
        if let Some((commit, stored)) = previous.and_then(|commit| Some((commit, commit.seen.as_ref()?))) {
            seen.settled = match file::read(destination, stored).await {
                // A newer commit may have taken the file away.
                Err(error) => match log.head().await? {
                    Some(head) if head.version > commit.version => Err(log.fenced(&head)),
                    _ => Err(error),
                },
                read => read,
            }?;
            seen.previous = Some(stored.carried_over());
        }
        Ok(Some(seen))
    }

    fn new(repeats: Repeats, drops: bool) -> Self {
        Self {
            repeats,
            drops,
            previous: None,
            settled: Vec::new(),
            fresh: Vec::new(),
            newest: HashMap::new(),
            written: Default::default(),
            from: None,
            dropped: 0,
        }
    }

    /// Says from when on the next run will ask. Rounded down to the second, since requests may carry no more.
    pub(crate) fn remember_from(&mut self, instant: Option<DateTime<Utc>>) {
        self.from = instant.and_then(|instant| instant.with_nanosecond(0)).map(|instant| instant.timestamp_micros());
    }

    /// The newest instant of an id among what earlier runs saw.
    pub(crate) fn newest_seen(&self, id: &str) -> Option<DateTime<Utc>> {
        let Repeats::NewestFirst { id: column, .. } = &self.repeats else { return None };
        self.newest_settled(fingerprint::of_text(column, id)).and_then(DateTime::from_timestamp_micros)
    }

    /// Records that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The page without the records that were seen before. A page of another shape stays as it is, for others to refuse.
    ///
    /// # Errors
    /// Rows cannot be filtered.
    pub(crate) fn unseen(&mut self, report: &Report, page: Vec<TableRows>) -> Result<Vec<TableRows>, LoadError> {
        let Some(contents) = fingerprint::of_records(report.tables(), &page) else { return Ok(page) };
        let Some(parent) = page.first().map(|rows| &rows.batch) else { return Ok(page) };
        let keys = fingerprint::of_columns(parent, &report.key);
        let scopes = match &self.repeats {
            Repeats::NewestFirst { id, .. } => fingerprint::of_columns(parent, std::slice::from_ref(id)),
            _ => vec![0; parent.num_rows()],
        };
        let instants = self.instants(parent);
        let entries = scopes.into_iter().zip(keys).zip(contents).zip(instants);
        let kept: Vec<bool> = entries
            .map(|(((scope, key), content), at)| self.meet(Entry { scope, key, content, at }) || !self.drops)
            .collect();
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

    /// Takes note of a record; whether it is new.
    fn meet(&mut self, entry: Entry) -> bool {
        if let Repeats::NewestFirst { overlap, .. } = self.repeats {
            let late = |newest| entry.at < microseconds_before(newest, overlap);
            // What is older than the overlap was seen and is forgotten.
            if self.newest_settled(entry.scope).is_some_and(late) {
                return false;
            }
        }
        if self.is_known(entry) {
            return false;
        }
        self.note_written(entry);
        let remembered = match self.repeats {
            // What is older cannot come again, but takes the place of what could.
            Repeats::Since { .. } => self.may_come_again(entry) || self.has_settled(entry.key),
            Repeats::NewestFirst { overlap, .. } => {
                let dated = (entry.at != UNDATED).then_some(entry.at);
                if let Some(at) = dated {
                    self.newest.entry(entry.scope).and_modify(|newest| *newest = at.max(*newest)).or_insert(at);
                }
                let newest = self.newest.get(&entry.scope);
                newest.is_none_or(|newest| entry.at >= microseconds_before(*newest, overlap))
            }
            Repeats::All | Repeats::None => true,
        };
        if remembered {
            self.fresh.push(entry);
        }
        true
    }

    /// Whether the newest version of its key, as far as that is known, is just so.
    fn is_known(&self, entry: Entry) -> bool {
        let [young, old] = &self.written;
        let name = |entry: &Entry| (entry.scope, entry.key, entry.content);
        match young.get(&entry.key).or_else(|| old.get(&entry.key)) {
            Some(content) => *content == entry.content,
            None => self.settled.binary_search_by(|settled| name(settled).cmp(&name(&entry))).is_ok(),
        }
    }

    fn note_written(&mut self, Entry { key, content, .. }: Entry) {
        let [young, old] = &mut self.written;
        young.insert(key, content);
        if young.len() >= GENERATION {
            *old = std::mem::take(young);
        }
    }

    /// With [`Repeats::Since`]: whether the next run may meet it.
    fn may_come_again(&self, entry: Entry) -> bool {
        self.from.is_none_or(|from| entry.at >= from)
    }

    /// With [`Repeats::Since`]: whether an earlier run left a version of this key.
    fn has_settled(&self, key: u64) -> bool {
        self.settled.binary_search_by_key(&key, |settled| settled.key).is_ok()
    }

    /// The newest instant of an id in `settled`.
    fn newest_settled(&self, scope: u64) -> Option<i64> {
        let first = self.settled.partition_point(|entry| entry.scope < scope);
        let of_scope = self.settled.get(first..)?.iter().take_while(|entry| entry.scope == scope);
        of_scope.map(|entry| entry.at).filter(|at| *at != UNDATED).max()
    }

    /// The newest value of each row in the columns that windows go by.
    fn instants(&self, parent: &RecordBatch) -> Vec<i64> {
        let columns: &[String] = match &self.repeats {
            Repeats::Since { columns } => columns,
            Repeats::NewestFirst { by, .. } => std::slice::from_ref(by),
            Repeats::All | Repeats::None => &[],
        };
        let mut newest: Vec<Option<i64>> = vec![None; parent.num_rows()];
        for column in columns {
            let values = parent.column_by_name(column);
            let values = values.and_then(|values| values.as_primitive_opt::<TimestampMicrosecondType>());
            for (newest, value) in newest.iter_mut().zip(values.into_iter().flatten()) {
                *newest = value.max(*newest);
            }
        }
        newest.into_iter().map(|at| at.unwrap_or(UNDATED)).collect()
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
        self.settle_fresh();
        let count = self.next().count();
        let settled = self.settled.len();
        let shrinks = settled > WORTH_SHRINKING && count < settled / 2;
        if (self.fresh.is_empty() && !shrinks) || (count == 0 && self.previous.is_none()) {
            return Ok(self.previous.clone());
        }
        file::write(destination, format!("{staging}/rows.seen"), path, self.next()).await.map(Some)
    }

    /// Sorts what this run brought, and leaves what the next run needs of it.
    fn settle_fresh(&mut self) {
        match self.repeats {
            Repeats::All | Repeats::Since { .. } => {
                // The newest of each key: sorting keeps the order of arrival, and the last comes first after turning.
                self.fresh.sort_by_key(|entry| entry.key);
                self.fresh.reverse();
                self.fresh.dedup_by_key(|entry| entry.key);
            }
            Repeats::NewestFirst { overlap, .. } => {
                let newest = &self.newest;
                self.fresh.retain(|entry| {
                    newest.get(&entry.scope).is_none_or(|newest| entry.at >= microseconds_before(*newest, overlap))
                });
            }
            Repeats::None => {}
        }
        self.fresh.sort_unstable();
    }

    /// The entries that the next run needs, sorted. For use after [`Self::settle_fresh`].
    fn next(&self) -> impl Iterator<Item = Entry> {
        let mut of_scope: Option<(u64, Option<i64>)> = None;
        let replaced = |key: u64| self.fresh.binary_search_by_key(&key, |fresh| fresh.key).is_ok();
        let needed = move |entry: &Entry| match self.repeats {
            Repeats::Since { .. } => self.may_come_again(*entry) && !replaced(entry.key),
            Repeats::All => !replaced(entry.key),
            Repeats::NewestFirst { overlap, .. } => {
                let newest = match of_scope {
                    Some((scope, newest)) if scope == entry.scope => newest,
                    _ => self.newest_settled(entry.scope).max(self.newest.get(&entry.scope).copied()),
                };
                of_scope = Some((entry.scope, newest));
                newest.is_none_or(|newest| entry.at >= microseconds_before(newest, overlap))
            }
            Repeats::None => false,
        };
        let mut settled = self.settled.iter().copied().filter(needed).peekable();
        // Without those that only took the place of others.
        let fresh = self.fresh.iter().copied();
        let of_use = move |entry: &Entry| !matches!(self.repeats, Repeats::Since { .. }) || self.may_come_again(*entry);
        let mut fresh = fresh.filter(of_use).peekable();
        iter::from_fn(move || match (settled.peek(), fresh.peek()) {
            (Some(old), Some(new)) if old > new => fresh.next(),
            (Some(_), _) => settled.next(),
            (None, _) => fresh.next(),
        })
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

fn microseconds_before(instant: i64, span: TimeDelta) -> i64 {
    instant.saturating_sub(span.num_microseconds().unwrap_or(i64::MAX))
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
