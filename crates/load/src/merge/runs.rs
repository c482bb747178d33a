//! Sorted rows in batches, in memory or in a temporary file that nobody else can see.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_row::OwnedRow;
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave_record_batch;

use crate::LoadError;
use crate::destination::scratch::{Scratch, full};
use crate::files::sort::RowAt;
use crate::merge::block::{Block, Blocks, Columns};
use crate::merge::columns::{Shape, hidden};

/// Level of zstd for rows that are written once and read once or twice.
const SPILL_LEVEL: i32 = 1;

/// Delta rows in order, as batches. The last two columns of each are the numbers of partitions and of parent rows.
#[derive(Debug, Default)]
pub(crate) struct DeltaRun {
    batches: Vec<Kept>,
    spilled: Option<Arc<Scratch>>,
}

/// One batch of a run.
#[derive(Debug)]
struct Kept {
    /// Partition of its first row, and of its last.
    partitions: (u32, u32),
    /// Arrow bytes of a row, on average.
    row_bytes: usize,
    place: BatchStore,
}

#[derive(Debug)]
enum BatchStore {
    Memory(RecordBatch),
    File { scratch: Arc<Scratch>, offset: u64, length: usize },
}

impl DeltaRun {
    /// A run without rows, whose batches are written to this file, or in memory.
    pub(crate) fn new(spilled: Option<&Arc<Scratch>>) -> Self {
        Self { batches: Vec::new(), spilled: spilled.cloned() }
    }

    /// A run of these rows with other columns, in the same file or in memory too.
    pub(crate) fn map(
        &self,
        change: impl Fn(RecordBatch) -> Result<RecordBatch, LoadError>,
    ) -> Result<Self, LoadError> {
        let mut mapped = Self::new(self.spilled.as_ref());
        for at in 0..self.batches.len() {
            let Some((batch, _)) = self.batch(at)? else { break };
            mapped.push(change(batch)?)?;
        }
        Ok(mapped)
    }

    /// Adds a batch behind the others.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<(), LoadError> {
        let rows = batch.num_rows();
        let (partitions, _) = hidden(&batch);
        let (Some(first), Some(last)) = (partitions.first(), partitions.last()) else { return Ok(()) };
        let partitions = (*first, *last);
        let row_bytes = batch.get_array_memory_size().div_ceil(rows);
        let place = match &self.spilled {
            None => BatchStore::Memory(batch),
            Some(scratch) => {
                let (offset, length) = keep(scratch, &batch)?;
                BatchStore::File { scratch: Arc::clone(scratch), offset, length }
            }
        };
        self.batches.push(Kept { partitions, row_bytes, place });
        Ok(())
    }

    /// How many different keys its rows have. It must be sorted.
    pub(crate) fn distinct(&self, shape: &Shape) -> Result<u64, LoadError> {
        let failed = || shape.layout.arrow_error("count");
        let (mut last, mut count, mut at): (Option<(u32, OwnedRow)>, u64, usize) = (None, 0, 0);
        while let Some((batch, _)) = self.batch(at)? {
            let (partitions, _) = hidden(&batch);
            // A part of the key may be in the folder.
            for (key, partition) in shape.columns.keys(&batch).map_err(failed())?.iter().zip(partitions.iter()) {
                if last.as_ref().is_none_or(|(known, last)| known != partition || last.row() != key) {
                    count += 1;
                    last = Some((*partition, key.owned()));
                }
            }
            at += 1;
        }
        Ok(count)
    }

    /// The batch at a place from 0 on, and the Arrow bytes of one of its rows on average; `None` past the end.
    pub(crate) fn batch(&self, at: usize) -> Result<Option<(RecordBatch, usize)>, LoadError> {
        let Some(kept) = self.batches.get(at) else { return Ok(None) };
        let batch = match &kept.place {
            BatchStore::Memory(batch) => batch.clone(),
            BatchStore::File { scratch, offset, length } => read_back(scratch, *offset, *length)?,
        };
        Ok(Some((batch, kept.row_bytes)))
    }
}

/// The rows of one partition in a run.
pub(crate) struct RunBlocks<'a> {
    run: &'a DeltaRun,
    columns: &'a Columns,
    partition: u32,
    next: usize,
}

impl<'a> RunBlocks<'a> {
    pub(crate) fn new(run: &'a DeltaRun, columns: &'a Columns, partition: u32) -> Self {
        let next = run.batches.partition_point(|kept| kept.partitions.1 < partition);
        Self { run, columns, partition, next }
    }
}

impl Blocks for RunBlocks<'_> {
    fn next(&mut self) -> Result<Option<Block>, LoadError> {
        let Some(kept) = self.run.batches.get(self.next) else { return Ok(None) };
        if kept.partitions.0 > self.partition {
            return Ok(None);
        }
        let Some((batch, row_bytes)) = self.run.batch(self.next)? else { return Ok(None) };
        self.next += 1;
        // No row need be in the partition: it may lie between two that the batch has.
        let (partitions, sequences) = hidden(&batch);
        let start = partitions.partition_point(|partition| *partition < self.partition);
        let end = partitions.partition_point(|partition| *partition <= self.partition);
        if start == end {
            return self.next();
        }
        let stored: Vec<usize> = (0..batch.num_columns() - 2).collect();
        let rows = batch.project(&stored).map_err(failed)?.slice(start, end - start);
        let sequences = sequences.slice(start, end - start);
        self.columns.block(rows, sequences, row_bytes).map(Some).map_err(failed)
    }
}

/// Rows of several batches in the given order, copied into one batch that keeps nothing else alive.
pub(crate) fn gathered(batches: &[&RecordBatch], order: &[RowAt]) -> Result<RecordBatch, ArrowError> {
    let rows = interleave_record_batch(batches, order)?;
    let (schema, columns, _) = rows.into_parts();
    let compact = |column: ArrayRef| match column.as_string_view_opt() {
        Some(strings) => Arc::new(strings.gc()) as ArrayRef,
        None => column,
    };
    RecordBatch::try_new(schema, columns.into_iter().map(compact).collect())
}

fn failed(source: ArrowError) -> LoadError {
    LoadError::Arrow { table: "the rows of this run".to_owned(), action: "read back", source }
}

/// Writes a batch; returns where it stands and how long it is.
fn keep(scratch: &Scratch, batch: &RecordBatch) -> Result<(u64, usize), LoadError> {
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    let bytes = zstd::encode_all(&writer.into_inner().map_err(failed)?[..], SPILL_LEVEL).map_err(full)?;
    Ok((scratch.append(&bytes)?, bytes.len()))
}

fn read_back(scratch: &Scratch, offset: u64, length: usize) -> Result<RecordBatch, LoadError> {
    let mut bytes = vec![0; length];
    scratch.read(offset, &mut bytes)?;
    let bytes = zstd::decode_all(&bytes[..]).map_err(full)?;
    let mut reader = StreamReader::try_new(&bytes[..], None).map_err(failed)?;
    let cut = || failed(ArrowError::IpcError("a batch is cut short".to_owned()));
    reader.next().ok_or_else(cut)?.map_err(failed)
}
