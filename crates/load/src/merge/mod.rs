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
//! whether anything differs, and passes over row groups that hold none of the run's keys; only if something does, the stored
//! file is compared with its checksum in the log and a second walk writes the new file. What a run brings takes the place of what is stored, whatever the clocks of their hosts
//! said: a run begins when the last commit is there, so it read what it brings later.

mod block;
mod columns;
mod delta;
mod group;
mod judge;
mod lists;
mod mentions;
mod outline;
mod output;
mod runs;
mod sequences;
mod stored;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use object_store::ObjectMeta;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

pub(crate) use columns::Shape;
pub(crate) use delta::Delta;
pub(crate) use group::Verdict;
pub(crate) use runs::DeltaRun;
pub(crate) use sequences::Sequences;

use crate::destination::Destination;
use crate::error::LoadError;
use crate::files::read::StoredFile;
use crate::files::writer::StagedFile;
use crate::log::manifest::Manifest;
use crate::log::reach::Reach;
use crate::merge::group::Lane;
use crate::merge::judge::Judge;
use crate::merge::outline::Parents;
use crate::merge::table::{Merged, TableMerge};

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
pub(crate) enum Leftover {
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
    pub(crate) leftover: Leftover,
    /// Partitions that the run brought rows for.
    pub(crate) touched: BTreeSet<u32>,
    /// For each table the stored file of each partition.
    pub(crate) stored: Vec<BTreeMap<u32, ObjectMeta>>,
    /// What these files are.
    pub(crate) manifest: Manifest,
    /// For each table what the run brought.
    pub(crate) delta: Vec<DeltaRun>,
    /// What is known of the parent rows beside their values.
    pub(crate) verdict: Verdict,
    /// For each partition which others may hold the same key: those with the same number. `None` where a key says in which
    /// partition its row is.
    pub(crate) families: Option<Vec<u32>>,
    /// Whether a version that is older than the stored one is left out.
    pub(crate) compares_stored: bool,
    /// Partition folders by number.
    pub(crate) folders: Vec<String>,
    /// Which stored rows the run could have brought.
    pub(crate) reach: Reach,
    /// Arrow bytes that may be in memory while versions are judged.
    pub(crate) memory_bytes: usize,
}

/// Tables that are merged at a time, over all reports of the process: each holds some row groups. One whose store does not
/// answer must not stop all others.
static PERMITS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(rayon::current_num_threads().max(2)));

/// What merging came to.
#[derive(Debug, Default)]
pub(crate) struct MergeResult {
    /// New files.
    pub(crate) files: Vec<StagedFile>,
    /// What was done to each table.
    pub(crate) totals: Vec<MergeTotals>,
    /// Versions that were left out because they are older than those that count.
    pub(crate) outdated: u64,
    /// Where what the run did not bring does not stay: stored rows within reach that are there no more.
    pub(crate) removed: u64,
    /// Keys that were there, and left because they are not what the tables keep.
    pub(crate) left: u64,
    /// Such rows, and those that are there as before.
    pub(crate) stored: u64,
}

impl MergeResult {
    fn of(tables: usize) -> Self {
        Self { totals: vec![MergeTotals::default(); tables], ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.totals.iter_mut().zip(other.totals).for_each(|(all, one)| all.add(one));
        self.removed += other.removed;
        self.left += other.left;
        self.stored += other.stored;
    }
}

impl Merge {
    /// Merges every partition that may change. Tables are merged side by side, as many at once as there are permits.
    pub(crate) async fn run(mut self) -> Result<MergeResult, LoadError> {
        let runtime = Handle::current();
        let (destination, manifest) = (self.destination.clone(), self.manifest.clone());
        let own: Vec<ObjectMeta> = self.stored.first().into_iter().flat_map(BTreeMap::values).cloned().collect();
        let judged = on_thread("judge rows".to_owned(), move || {
            let _within = runtime.enter();
            let parents = self.judge()?;
            Ok::<_, LoadError>((self, parents))
        });
        let (merge, parents) = match judged.await {
            Err(error @ LoadError::Task { .. }) => {
                return Err(broken(&destination, &manifest, own).await.unwrap_or(error));
            }
            judged => judged??,
        };
        let mut partitions = merge.touched.clone();
        partitions.extend(merge.verdict.moves.iter().flat_map(|moves| &moves.partitions));
        if merge.leftover != Leftover::Stay {
            partitions.extend(merge.stored.iter().flat_map(BTreeMap::keys));
        }
        let threads = rayon::current_num_threads();
        let mut done = MergeResult { outdated: merge.verdict.outdated.len(), ..MergeResult::of(merge.shapes.len()) };
        let (merge, parents) = (Arc::new(merge), Arc::new(parents));
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
                Ok(partition) => done.add(partition),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Finds the parent rows, and judges their versions.
    fn judge(&mut self) -> Result<Parents, LoadError> {
        let parents = Parents::of(&self.shapes[0], &self.delta[0])?;
        let mut verdict = std::mem::take(&mut self.verdict);
        let judge = Judge {
            destination: &self.destination,
            shape: &self.shapes[0],
            parents: &parents,
            touched: &self.touched,
            stored: &self.stored[0],
            manifest: &self.manifest,
            families: self.families.as_deref(),
            compares_stored: self.compares_stored,
            memory_bytes: self.memory_bytes,
        };
        judge.judge(&mut verdict)?;
        self.verdict = verdict;
        Ok(parents)
    }

    async fn partition(self: Arc<Self>, partition: u32, parents: Arc<Parents>) -> Result<MergeResult, LoadError> {
        // What a complete read did not bring is marked in the report's own table only.
        let only_marks = !self.is_touched(partition) && matches!(self.leftover, Leftover::Marked(_));
        let trees = trees(&self.shapes).into_iter().take(if only_marks { 1 } else { usize::MAX });
        let mut done = MergeResult::of(self.shapes.len());
        let mut running = JoinSet::new();
        for tables in trees {
            let (merge, parents) = (Arc::clone(&self), Arc::clone(&parents));
            running.spawn(async move { (tables.clone(), merge.tables(tables, partition, parents).await) });
        }
        let mut failed = None;
        while let Some(joined) = running.join_next().await {
            match joined {
                Ok((tables, Ok(merged))) => {
                    let merged = tables.into_iter().zip(merged);
                    merged.for_each(|(table, merged)| self.keep(table, partition, merged, &mut done));
                }
                Ok((_, Err(error))) => failed = failed.or(Some(error)),
                Err(_) => failed = failed.or(Some(LoadError::Task { task: "merge a table".to_owned() })),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Whether the run brought rows for a partition, or takes some out of it.
    fn is_touched(&self, partition: u32) -> bool {
        let moves = || self.verdict.moves.as_ref().is_some_and(|moves| moves.partitions.contains(&partition));
        self.touched.contains(&partition) || moves()
    }

    /// Notes what merging came to.
    fn keep(&self, table: usize, partition: u32, merged: Merged, done: &mut MergeResult) {
        let Merged { file, totals, removed, stored, left } = merged;
        done.files.extend(file.map(|(path, totals)| StagedFile { table, partition, path, totals }));
        done.totals[table].add(totals);
        done.removed += removed;
        done.left += left;
        done.stored += stored;
        tracing::debug!(table = self.shapes[table].table(), partition, ?totals, "merged");
    }

    /// Merges a table, or a list and those within it, in one partition.
    async fn tables(
        self: Arc<Self>,
        tables: Vec<usize>,
        partition: u32,
        parents: Arc<Parents>,
    ) -> Result<Vec<Merged>, LoadError> {
        // The semaphore is never closed.
        let _permit = PERMITS.acquire().await.ok();
        self.destination.stop.check()?;
        let runtime = Handle::current();
        let first = tables.first().copied().unwrap_or_default();
        let task = format!("merge rows of `{}`", self.shapes[first].table());
        let files = tables.iter().filter_map(|table| self.stored[*table].get(&partition).cloned()).collect();
        let (destination, manifest) = (self.destination.clone(), self.manifest.clone());
        let merged = on_thread(task, move || {
            let _within = runtime.enter();
            // Child rows of what is marked stay as they were.
            let stays = first > 0 && matches!(self.leftover, Leftover::Marked(_));
            let stored = |table: &usize| {
                let object = self.stored[*table].get(&partition)?;
                Some(StoredFile::new(&self.destination, object.clone()))
            };
            let lane = |table: &usize| Lane { table: *table, shape: &self.shapes[*table], delta: &self.delta[*table] };
            let path = |table: &usize| format!("{}/merged-{table:02}-{partition:06}.parquet", self.staging);
            let merge = TableMerge {
                destination: &self.destination,
                manifest: &self.manifest,
                lanes: tables.iter().map(lane).collect(),
                version: self.version,
                leftover: if stays { Leftover::Stay } else { self.leftover },
                partition,
                parents: (first > 0).then_some(&*parents),
                verdict: &self.verdict,
                reach: &self.reach,
                folders: self.folders.get(partition as usize).map_or("", String::as_str),
                paths: tables.iter().map(path).collect(),
            };
            merge.run(tables.iter().map(stored).collect())
        });
        match merged.await {
            Err(error @ LoadError::Task { .. }) => Err(broken(&destination, &manifest, files).await.unwrap_or(error)),
            merged => merged?,
        }
    }
}

/// Which of these files is not what was written, if one is: bytes that are not the decoder's may make it panic.
async fn broken(destination: &Destination, manifest: &Manifest, files: Vec<ObjectMeta>) -> Option<LoadError> {
    for object in files {
        let file = StoredFile::new(destination, object);
        let proof = manifest.get(file.path()).cloned();
        if let Err(error) = file.proven(proof.as_ref()).await {
            return Some(error);
        }
    }
    None
}

/// The tables in groups that are merged together: the report's own table, and each list with those within it.
fn trees(shapes: &[Arc<Shape>]) -> Vec<Vec<usize>> {
    let mut trees: Vec<Vec<usize>> = Vec::new();
    for (table, shape) in shapes.iter().enumerate() {
        let within = shape.parent.filter(|parent| *parent > 0);
        match within.and_then(|parent| trees.iter_mut().find(|tree| tree.contains(&parent))) {
            Some(tree) => tree.push(table),
            None => trees.push(vec![table]),
        }
    }
    trees
}

/// Runs work that waits for the store on a thread of its own. Not on one of rayon's: while such a thread waits for its share
/// of columns it takes up other work, which could be another merge that waits for a store that does not answer. Not on one
/// of tokio's for blocking work: those are few, and reading a local file needs one.
async fn on_thread<T: Send + 'static>(task: String, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let (answer, answered) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("merge".to_owned()).spawn(move || {
        // No one waits for the result of a job that was given up.
        let _ = answer.send(work());
    });
    match spawned {
        // A panic drops the sender.
        Ok(_) => answered.await.map_err(|_| LoadError::Task { task }),
        Err(_) => Err(LoadError::Task { task }),
    }
}
