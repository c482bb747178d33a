//! Write mode `merge`: the run's rows take the place of stored rows with the same key, child rows with their parent.
//!
//! ```text
//! pages -> delta: external sort by partition and key -> groups: the versions of each key
//!                                                              \
//!                   stored: the old file, by row groups ------- table: one walk over both -> output: the new file
//! ```
//!
//! Every partition of every table is one file, the anchor, sorted by the key over all of it. Merging reads both sides
//! once in the order of the key, so memory holds a few row groups, whatever the account has. A first walk only asks
//! whether anything differs, and passes over row groups that hold none of the run's keys; only if something does, a
//! second one writes the new file. What a run brings takes the place of what is stored, whatever the clocks of their hosts
//! said: a run begins when the last commit is there, so it read what it brings later.

mod block;
mod columns;
mod delta;
mod group;
mod output;
mod runs;
mod stored;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use object_store::ObjectMeta;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

pub use columns::{DELETE_REASON, DELETED_AT, VALID_FROM, VALID_TO, stored_schema};
pub(crate) use columns::{Shape, stored_key};
pub(crate) use delta::Delta;
pub(crate) use runs::Run;

use crate::merge::group::Parents;
use crate::merge::table::{Merged, TableMerge};
use crate::read::StoredFile;
use crate::writer::{StagedFile, on_rayon};
use crate::{Destination, LoadError};

/// What a merge did to the rows of one table. With history, versions that were replaced count by what took their place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeTotals {
    /// Rows that were not there.
    pub inserted: u64,
    /// Rows that took the place of others.
    pub updated: u64,
    /// Rows that were read again and are as they were.
    pub unchanged: u64,
    /// Rows that went, ended, or were marked as deleted.
    pub deleted: u64,
}

impl MergeTotals {
    /// Counts rows of one key that took the place of others.
    fn replace(&mut self, old: usize, new: usize) {
        let both = old.min(new);
        self.updated += both as u64;
        self.inserted += (new - both) as u64;
        self.deleted += (old - both) as u64;
    }

    fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.deleted += other.deleted;
    }
}

/// What becomes of stored rows that the run did not bring. Instants are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vanished {
    Stay,
    /// They are marked as deleted at this instant.
    Marked(i64),
    /// They go; with history they end at this instant.
    Gone(i64),
}

/// All that one commit merges.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) destination: Destination,
    pub(crate) shapes: Vec<Arc<Shape>>,
    /// Number of the commit.
    pub(crate) version: i64,
    /// Folder of staged files, relative to the destination.
    pub(crate) staging: String,
    pub(crate) vanished: Vanished,
    /// Partitions that the run brought rows for.
    pub(crate) touched: BTreeSet<u32>,
    /// For each table the stored file of each partition.
    pub(crate) stored: Vec<BTreeMap<u32, ObjectMeta>>,
    /// For each table what the run brought.
    pub(crate) delta: Vec<Run>,
}

/// Tables that are merged at a time, over all reports of the process: each holds some row groups. One whose store does not
/// answer must not stop all others.
static PERMITS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(rayon::current_num_threads().max(2)));

/// New files, and what was done to each table.
pub(crate) type Done = (Vec<StagedFile>, Vec<MergeTotals>);

impl Merge {
    /// Merges every partition that may change. Tables are merged side by side, as many at once as there are permits.
    pub(crate) async fn run(self) -> Result<Done, LoadError> {
        let mut partitions = self.touched.clone();
        if self.vanished != Vanished::Stay {
            partitions.extend(self.stored.iter().flat_map(BTreeMap::keys));
        }
        let threads = rayon::current_num_threads();
        let mut done = (Vec::new(), vec![MergeTotals::default(); self.shapes.len()]);
        let merge = Arc::new(self);
        let parents = Arc::clone(&merge);
        let parents =
            on_rayon("find parent rows".to_owned(), move || Parents::of(&parents.shapes[0], &parents.delta[0]));
        let parents = Arc::new(parents.await??);
        let mut waiting = partitions.into_iter();
        let mut running = JoinSet::new();
        let mut failed = None;
        loop {
            // After an error nothing new begins, but what has begun ends before staging is removed.
            while failed.is_none()
                && running.len() < threads
                && let Some(partition) = waiting.next()
            {
                running.spawn(Arc::clone(&merge).partition(partition, Arc::clone(&parents)));
            }
            let Some(joined) = running.join_next().await else { break };
            match joined.unwrap_or_else(|_| Err(LoadError::Task { task: "merge a partition".to_owned() })) {
                Ok((files, totals)) => {
                    done.0.extend(files);
                    done.1.iter_mut().zip(totals).for_each(|(all, one)| all.add(one));
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    async fn partition(self: Arc<Self>, partition: u32, parents: Arc<Parents>) -> Result<Done, LoadError> {
        // What a complete read did not bring is marked in the report's own table only.
        let only_marks = !self.touched.contains(&partition) && matches!(self.vanished, Vanished::Marked(_));
        let tables = if only_marks { 1 } else { self.shapes.len() };
        let mut done = (Vec::new(), vec![MergeTotals::default(); self.shapes.len()]);
        let mut running = JoinSet::new();
        for table in 0..tables {
            let (merge, parents) = (Arc::clone(&self), Arc::clone(&parents));
            running.spawn(async move { (table, merge.table(table, partition, parents).await) });
        }
        let mut failed = None;
        while let Some(joined) = running.join_next().await {
            match joined {
                Ok((table, Ok(merged))) => self.keep(table, partition, merged, &mut done),
                Ok((_, Err(error))) => failed = failed.or(Some(error)),
                Err(_) => failed = failed.or(Some(LoadError::Task { task: "merge a table".to_owned() })),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Notes what merging came to.
    fn keep(&self, table: usize, partition: u32, merged: Merged, done: &mut Done) {
        let Merged { file, totals } = merged;
        done.0.extend(file.map(|(path, totals)| StagedFile { table, partition, path, totals }));
        done.1[table].add(totals);
        tracing::debug!(table = self.shapes[table].table(), partition, ?totals, "merged");
    }

    async fn table(self: Arc<Self>, table: usize, partition: u32, parents: Arc<Parents>) -> Result<Merged, LoadError> {
        // The semaphore is never closed.
        let _permit = PERMITS.acquire().await.ok();
        let runtime = Handle::current();
        let task = format!("merge rows of `{}`", self.shapes[table].table());
        on_thread(task, move || {
            let _within = runtime.enter();
            // Child rows of what is marked stay as they were.
            let stays = table > 0 && matches!(self.vanished, Vanished::Marked(_));
            let stored = self.stored[table].get(&partition);
            let stored = stored.map(|object| StoredFile::new(&self.destination, object.clone()));
            let merge = TableMerge {
                destination: &self.destination,
                shape: &self.shapes[table],
                version: self.version,
                vanished: if stays { Vanished::Stay } else { self.vanished },
                partition,
                delta: &self.delta[table],
                parents: (table > 0).then_some(&*parents),
                path: format!("{}/merged-{table:02}-{partition:06}.parquet", self.staging),
            };
            merge.run(stored)
        })
        .await?
    }
}

/// Runs work that waits for the store on a thread of its own. Not on one of rayon's: while such a thread waits for its share
/// of columns it takes up other work, which could be another merge that waits for a store that does not answer. Not on one
/// of tokio's for blocking work: those are few, and reading a local file needs one.
async fn on_thread<T: Send + 'static>(task: String, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let (answer, answered) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("merge".to_owned()).spawn(move || {
        // Nobody waits for the answer of a job that was given up.
        let _ = answer.send(work());
    });
    match spawned {
        // A panic drops the answer.
        Ok(_) => answered.await.map_err(|_| LoadError::Task { task }),
        Err(_) => Err(LoadError::Task { task }),
    }
}
