//! All files of a run: gathers rows by table, encodes on rayon, uploads on tokio, within one budget of memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};

use crate::destination::Destination;
use crate::destination::file_options::FileOptions;
use crate::destination::upload::Upload;
use crate::error::LoadError;
use crate::files::encode::{FileTotals, TableEncoder};
use crate::files::layout::FileLayout;
use crate::files::sort::{RowBuffer, RowGroup, row_groups};

/// A finished file that waits in staging.
#[derive(Debug)]
pub(crate) struct StagedFile {
    pub(crate) table: usize,
    pub(crate) partition: u32,
    /// Relative to the destination.
    pub(crate) path: String,
    pub(crate) totals: FileTotals,
}

/// The writers of all tables of a run.
///
/// Rows gather by table, not by partition, so that a thousand partitions cost no more memory than one. When enough are
/// there, one job sorts them by partition and key, writes a row group to the open file of each partition, and sends the
/// bytes. A table has one job at a time; jobs of several tables run side by side, and gathering goes on meanwhile.
#[derive(Debug)]
pub(crate) struct Writers {
    tables: Vec<TableWriter>,
    jobs: JoinSet<FinishedJob>,
    /// Arrow bytes that jobs hold.
    in_jobs: usize,
    options: FileOptions,
}

#[derive(Debug)]
struct TableWriter {
    name: String,
    gathering: GatheredRows,
    /// Full buffers that wait for the job that is running.
    full: VecDeque<GatheredRows>,
    /// `None` while a job has them.
    files: Option<TableFiles>,
}

/// Rows of one table, each with its partition.
#[derive(Debug, Default)]
struct GatheredRows {
    rows: RowBuffer,
    partitions: Vec<Vec<u32>>,
    distinct: BTreeSet<u32>,
}

/// The files of one table that are open, and those that are finished.
#[derive(Debug)]
struct TableFiles {
    destination: Destination,
    layout: Arc<FileLayout>,
    table: usize,
    /// Folder of the staged files, relative to the destination.
    staging: String,
    open: BTreeMap<u32, OpenFile>,
    /// Files that may stay open between jobs.
    keep_open: usize,
    /// Bytes that their uploads may hold back.
    waiting_bytes: usize,
    file_bytes: u64,
    file_row_groups: usize,
    begun: u32,
    staged: Vec<StagedFile>,
}

#[derive(Debug)]
struct OpenFile {
    encoder: TableEncoder,
    upload: Upload,
}

/// What a job leaves behind.
#[derive(Debug)]
struct FinishedJob {
    table: usize,
    released_bytes: usize,
    files: TableFiles,
    result: Result<(), LoadError>,
}

impl Writers {
    pub(crate) fn new(
        destination: &Destination,
        layouts: Vec<Arc<FileLayout>>,
        options: FileOptions,
        staging: &str,
    ) -> Self {
        let keep_open = (options.open_files / layouts.len().max(1)).max(1);
        // One part that is filling is always allowed, or no file would ever get to a second one.
        let waiting_bytes = (options.waiting_bytes / layouts.len().max(1)).max(destination.part_bytes);
        let writer = |(table, layout): (usize, Arc<FileLayout>)| TableWriter {
            name: layout.table().to_owned(),
            gathering: GatheredRows::default(),
            full: VecDeque::new(),
            files: Some(TableFiles {
                destination: destination.clone(),
                layout,
                table,
                staging: staging.to_owned(),
                open: BTreeMap::new(),
                keep_open,
                waiting_bytes,
                file_bytes: options.file_bytes,
                file_row_groups: options.file_row_groups,
                begun: 0,
                staged: Vec::new(),
            }),
        };
        let tables = layouts.into_iter().enumerate().map(writer).collect();
        Self { tables, jobs: JoinSet::new(), in_jobs: 0, options }
    }

    /// Adds rows, each with its partition. Returns when they are gathered, and waits only where the budget is used up.
    pub(crate) async fn push(
        &mut self,
        table: usize,
        batch: RecordBatch,
        partitions: Vec<u32>,
    ) -> Result<(), LoadError> {
        let writer = &mut self.tables[table];
        writer.gathering.push(batch, partitions);
        // A row group for each partition is wanted, but the budget may allow less.
        let enough = self.options.row_group_bytes.saturating_mul(writer.gathering.distinct.len().max(1));
        if writer.gathering.rows.bytes() >= enough {
            let full = std::mem::take(&mut writer.gathering);
            writer.full.push_back(full);
            self.start(table);
        }
        while let Some(done) = self.jobs.try_join_next() {
            self.settle(done)?;
        }
        while self.held_bytes() > self.options.memory_bytes {
            let started = self.largest_idle().is_some_and(|table| self.start(table));
            match self.jobs.join_next().await {
                Some(done) => self.settle(done)?,
                None if started => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Bytes that are gathered, encoded or waiting to be sent.
    pub(crate) fn held_bytes(&self) -> usize {
        self.in_jobs + self.tables.iter().map(TableWriter::held_bytes).sum::<usize>()
    }

    /// Writes all that is left and closes every file. Returns the files in the order of their tables, partitions and
    /// beginnings.
    pub(crate) async fn finish(&mut self) -> Result<Vec<StagedFile>, LoadError> {
        loop {
            // The same number of jobs as cores, so that no more than needed is held twice.
            let idle = if self.jobs.len() < rayon::current_num_threads() { self.largest_idle() } else { None };
            if idle.is_some_and(|table| self.start(table)) {
                continue;
            }
            match self.jobs.join_next().await {
                Some(done) => self.settle(done)?,
                None => break,
            }
        }
        let mut staged = Vec::new();
        for files in self.tables.iter_mut().filter_map(|writer| writer.files.as_mut()) {
            files.close_all().await?;
            staged.append(&mut files.staged);
        }
        staged.sort_by(|left, right| {
            (left.table, left.partition, &left.path).cmp(&(right.table, right.partition, &right.path))
        });
        Ok(staged)
    }

    /// Writes a file of the table without rows. For use after [`Self::finish`].
    pub(crate) async fn write_empty(&mut self, table: usize, partition: u32) -> Result<StagedFile, LoadError> {
        let writer = &mut self.tables[table];
        let lost = || LoadError::Task { task: format!("write `{}`", writer.name) };
        let files = writer.files.as_mut().ok_or_else(lost)?;
        let file = files.begin(partition)?;
        files.close(partition, file).await?;
        files.staged.pop().ok_or_else(lost)
    }

    /// Lets the running jobs end and gives back what was uploaded of files that are open.
    pub(crate) async fn abandon(&mut self) {
        while let Some(done) = self.jobs.join_next().await {
            if let Ok(FinishedJob { table, files, .. }) = done {
                self.tables[table].files = Some(files);
            }
        }
        for files in self.tables.iter_mut().filter_map(|writer| writer.files.take()) {
            for file in files.open.into_values() {
                file.upload.abort().await;
            }
        }
    }

    /// The table with the most rows that no job is writing.
    fn largest_idle(&self) -> Option<usize> {
        let idle =
            self.tables.iter().enumerate().filter(|(_, writer)| writer.files.is_some() && writer.row_bytes() > 0);
        idle.max_by_key(|(_, writer)| writer.row_bytes()).map(|(table, _)| table)
    }

    /// Starts the job that writes a table's oldest full buffer, or what is gathered. Not where one is running, nor
    /// where there is nothing to write.
    fn start(&mut self, table: usize) -> bool {
        let writer = &mut self.tables[table];
        if writer.row_bytes() == 0 {
            return false;
        }
        let Some(mut files) = writer.files.take() else { return false };
        let gathered = writer.full.pop_front().unwrap_or_else(|| std::mem::take(&mut writer.gathering));
        let released_bytes = gathered.rows.bytes();
        self.in_jobs += released_bytes;
        self.jobs.spawn(async move {
            let result = files.write(gathered).await;
            FinishedJob { table, released_bytes, files, result }
        });
        true
    }

    /// Takes a job's result, and starts the next one of its table if a full buffer waits there.
    fn settle(&mut self, done: Result<FinishedJob, JoinError>) -> Result<(), LoadError> {
        let done = done.map_err(|_| LoadError::Task { task: "write a row group".to_owned() })?;
        self.in_jobs -= done.released_bytes;
        self.tables[done.table].files = Some(done.files);
        done.result?;
        if !self.tables[done.table].full.is_empty() {
            self.start(done.table);
        }
        Ok(())
    }
}

impl TableWriter {
    /// Arrow bytes that wait for a job.
    fn row_bytes(&self) -> usize {
        self.gathering.rows.bytes() + self.full.iter().map(|full| full.rows.bytes()).sum::<usize>()
    }

    fn held_bytes(&self) -> usize {
        let open = self.files.iter().flat_map(|files| files.open.values());
        self.row_bytes() + open.map(|file| file.upload.pending_bytes()).sum::<usize>()
    }
}

impl GatheredRows {
    fn push(&mut self, batch: RecordBatch, partitions: Vec<u32>) {
        if batch.num_rows() > 0 {
            for pair in partitions.chunk_by(|left, right| left == right) {
                self.distinct.extend(pair.first());
            }
            self.rows.push(batch);
            self.partitions.push(partitions);
        }
    }
}

impl TableFiles {
    /// Writes rows as row groups, one or more for each partition among them.
    async fn write(&mut self, gathered: GatheredRows) -> Result<(), LoadError> {
        let GatheredRows { rows, partitions, .. } = gathered;
        let layout = Arc::clone(&self.layout);
        let sort = move || row_groups(&layout, rows, &partitions);
        let (batches, groups) = on_rayon(self.task("sort"), sort).await??;
        let batches = Arc::new(batches);
        for RowGroup { partition, order } in groups {
            let file = match self.open.remove(&partition) {
                Some(file) => file,
                None => self.begin(partition)?,
            };
            let OpenFile { mut encoder, mut upload } = file;
            let batches = Arc::clone(&batches);
            let encode = move || encoder.encode(&batches, order.as_deref()).map(|bytes| (encoder, bytes));
            let (encoder, bytes) = on_rayon(self.task("encode"), encode).await??;
            upload.put(bytes).await?;
            let file = OpenFile { encoder, upload };
            let full = file.encoder.bytes() >= self.file_bytes || file.encoder.row_groups() >= self.file_row_groups;
            if full || self.open.len() >= self.keep_open {
                self.close(partition, file).await?;
            } else {
                self.open.insert(partition, file);
                self.close_what_waits().await?;
            }
        }
        Ok(())
    }

    /// Closes files, the fullest first, until the rest holds back no more than it may.
    async fn close_what_waits(&mut self) -> Result<(), LoadError> {
        while self.open.values().map(|file| file.upload.pending_bytes()).sum::<usize>() > self.waiting_bytes {
            let fullest = self.open.iter().max_by_key(|(_, file)| file.upload.pending_bytes());
            let Some(partition) = fullest.map(|(partition, _)| *partition) else { break };
            if let Some(file) = self.open.remove(&partition) {
                self.close(partition, file).await?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, partition: u32) -> Result<OpenFile, LoadError> {
        let path = format!("{}/{:02}-{:06}.parquet", self.staging, self.table, self.begun);
        self.begun += 1;
        tracing::trace!(path, partition, "new file");
        Ok(OpenFile { encoder: TableEncoder::new(&self.layout)?, upload: Upload::new(&self.destination, path) })
    }

    async fn close(&mut self, partition: u32, file: OpenFile) -> Result<(), LoadError> {
        let OpenFile { encoder, mut upload } = file;
        let (footer, totals) = encoder.finish()?;
        upload.put(footer).await?;
        let path = upload.path().to_owned();
        upload.finish().await?;
        self.staged.push(StagedFile { table: self.table, partition, path, totals });
        Ok(())
    }

    async fn close_all(&mut self) -> Result<(), LoadError> {
        while let Some((partition, file)) = self.open.pop_first() {
            self.close(partition, file).await?;
        }
        Ok(())
    }

    fn task(&self, what: &str) -> String {
        format!("{what} rows of `{}`", self.layout.table())
    }
}

/// Runs work on rayon's threads, so that tokio's stay free for the network. `task` says in errors what it was to do.
///
/// # Errors
/// [`LoadError::Task`]: the work panicked.
pub async fn on_rayon<T: Send + 'static>(
    task: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadError> {
    let (answer, answered) = oneshot::channel();
    rayon::spawn(move || {
        // No one waits for the result of a job that was given up.
        let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
    });
    match answered.await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) | Err(_) => Err(LoadError::Task { task }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_on_a_rayon_thread_is_an_error_that_names_the_task() {
        let panicked: Result<(), _> = on_rayon("count".to_owned(), || panic!("on purpose")).await;
        insta::assert_snapshot!(panicked.unwrap_err(), @"the task that was to count ended without a result; this is a bug in ctct-etl");
    }
}
