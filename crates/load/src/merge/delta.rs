//! An external sort: gathers what a run brings, within a budget of memory, as one sorted run of rows for each table.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_row::Rows;

use crate::destination::file_options::FileOptions;
use crate::destination::scratch::Scratch;
use crate::error::LoadError;
use crate::files::sort::{RowAt, RowBuffer};
use crate::files::writer::on_rayon;
use crate::merge::columns::{Shape, SortOrder};
use crate::merge::runs::{DeltaRun, gathered};

/// Arrow bytes of a batch in a run, at most. Merging runs holds one batch of each, so the smaller they are, the more
/// runs are merged at once; far smaller ones would not compress.
const BATCH_BYTES: usize = 128 << 10;
/// The most runs that are merged at once.
const MOST_RUNS: usize = 64;

/// The rows of a merging run, by table.
#[derive(Debug)]
pub(crate) struct Delta {
    tables: Vec<TableDelta>,
    memory_bytes: usize,
    /// Arrow bytes of a batch in a run.
    batch_bytes: usize,
}

#[derive(Debug)]
struct TableDelta {
    order: Arc<SortOrder>,
    rows: RowBuffer,
    /// Sorted rows that did not fit into memory.
    runs: Vec<DeltaRun>,
}

impl Delta {
    pub(crate) fn new(shapes: &[Arc<Shape>], options: &FileOptions) -> Self {
        Self::sorted_by(shapes.iter().map(|shape| Arc::clone(&shape.order)), options.memory_bytes)
    }

    /// Rows of some kinds, each sorted in its own way.
    pub(crate) fn sorted_by(orders: impl Iterator<Item = Arc<SortOrder>>, memory_bytes: usize) -> Self {
        let gathered = |order| TableDelta { order, rows: RowBuffer::default(), runs: Vec::new() };
        Self {
            tables: orders.map(gathered).collect(),
            memory_bytes,
            batch_bytes: (memory_bytes / 32).clamp(1, BATCH_BYTES),
        }
    }

    /// Adds delta rows of a table. Where the budget is used up, the largest buffers go to disk first.
    pub(crate) async fn push(&mut self, table: usize, rows: RecordBatch) -> Result<(), LoadError> {
        self.tables[table].rows.push(rows);
        while self.held_bytes() > self.memory_bytes {
            let largest = self.tables.iter_mut().max_by_key(|table| table.rows.bytes());
            let Some(largest) = largest.filter(|table| table.rows.bytes() > 0) else { break };
            let (order, rows) = (Arc::clone(&largest.order), std::mem::take(&mut largest.rows));
            tracing::debug!(table = order.table(), bytes = rows.bytes(), "sorted rows go to disk");
            let bytes = self.batch_bytes;
            let spill = move || sorted(&order, rows, bytes, Some(&Arc::new(Scratch::new()?)));
            largest.runs.push(on_rayon("spill rows".to_owned(), spill).await??);
        }
        Ok(())
    }

    /// Arrow bytes that are in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.tables.iter().map(|table| table.rows.bytes()).sum()
    }

    /// All rows of each table as one run, sorted by partition, the report's key, sequence, and the rest of the table's
    /// key.
    pub(crate) async fn finish(self) -> Result<Vec<DeltaRun>, LoadError> {
        let most = (self.memory_bytes / (2 * BATCH_BYTES)).clamp(2, MOST_RUNS);
        let bytes = self.batch_bytes;
        let mut done = Vec::with_capacity(self.tables.len());
        for TableDelta { order, rows, runs } in self.tables {
            done.push(on_rayon("sort rows".to_owned(), move || one_run(&order, rows, runs, bytes, most)).await??);
        }
        Ok(done)
    }
}

/// Merges runs until one is left, as many at once as memory allows.
fn one_run(
    order: &SortOrder,
    rows: RowBuffer,
    mut runs: Vec<DeltaRun>,
    batch_bytes: usize,
    most: usize,
) -> Result<DeltaRun, LoadError> {
    if rows.bytes() > 0 || runs.is_empty() {
        runs.push(sorted(order, rows, batch_bytes, None)?);
    }
    while runs.len() > 1 {
        let scratch = Arc::new(Scratch::new()?);
        let mut merged = Vec::new();
        while !runs.is_empty() {
            let some: Vec<DeltaRun> = runs.drain(..most.min(runs.len())).collect();
            merged.push(if some.len() == 1 { some } else { vec![merge(order, &some, batch_bytes, &scratch)?] });
        }
        runs = merged.into_iter().flatten().collect();
    }
    Ok(runs.pop().unwrap_or_default())
}

/// Rows as a sorted run, in this file or in memory.
fn sorted(
    by: &SortOrder,
    rows: RowBuffer,
    batch_bytes: usize,
    file: Option<&Arc<Scratch>>,
) -> Result<DeltaRun, LoadError> {
    let bytes = rows.bytes();
    let batches = rows.into_batches();
    let keys: Vec<Rows> = batches.iter().map(|batch| by.keys(batch)).collect::<Result<_, _>>()?;
    let rows = |(batch, keys): (usize, &Rows)| (0..keys.num_rows()).map(move |row| (batch, row));
    let mut order: Vec<RowAt> = keys.iter().enumerate().flat_map(rows).collect();
    order.sort_by(|left, right| keys[left.0].row(left.1).cmp(&keys[right.0].row(right.1)));
    drop(keys);

    let mut run = DeltaRun::new(file);
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    let batch_rows = (batch_bytes * order.len() / bytes.max(1)).max(1);
    for rows in order.chunks(batch_rows) {
        run.push(gathered(&sources, rows).map_err(by.failed("sort"))?)?;
    }
    Ok(run)
}

/// Merges runs into one.
fn merge(by: &SortOrder, runs: &[DeltaRun], batch_bytes: usize, scratch: &Arc<Scratch>) -> Result<DeltaRun, LoadError> {
    let mut merged = DeltaRun::new(Some(scratch));
    let mut heads = BinaryHeap::new();
    for (number, run) in runs.iter().enumerate() {
        heads.extend(NextRow::at(by, run, number, 0)?.map(Reverse));
    }
    // Batches that rows of `order` are in.
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut order: Vec<RowAt> = Vec::new();
    let mut bytes = 0;
    while let Some(Reverse(mut head)) = heads.pop() {
        let place = head.place.unwrap_or_else(|| {
            batches.push(head.batch.clone());
            batches.len() - 1
        });
        head.place = Some(place);
        order.push((place, head.row));
        bytes += head.row_bytes;
        head.row += 1;
        let finished = head.row == head.keys.num_rows();
        if finished {
            heads.extend(NextRow::at(by, &runs[head.run], head.run, head.number + 1)?.map(Reverse));
        } else {
            heads.push(Reverse(head));
        }
        if bytes >= batch_bytes || heads.is_empty() {
            merged.push(gathered(&batches.iter().collect::<Vec<_>>(), &order).map_err(by.failed("merge"))?)?;
            (batches, order, bytes) = (Vec::new(), Vec::new(), 0);
            heads = heads.into_iter().map(|Reverse(head)| Reverse(NextRow { place: None, ..head })).collect();
        }
    }
    Ok(merged)
}

/// The next row of a run that is being merged.
struct NextRow {
    run: usize,
    /// Number of the batch in its run.
    number: usize,
    batch: RecordBatch,
    keys: Rows,
    row_bytes: usize,
    row: usize,
    /// Number of the batch among those that wait to be written.
    place: Option<usize>,
}

impl NextRow {
    fn at(by: &SortOrder, run: &DeltaRun, number: usize, batch: usize) -> Result<Option<Self>, LoadError> {
        let at = batch;
        let Some((batch, row_bytes)) = run.batch(at)? else { return Ok(None) };
        let keys = by.keys(&batch)?;
        Ok(Some(Self { run: number, number: at, batch, keys, row_bytes, row: 0, place: None }))
    }
}

// Equal rows of two runs are told apart by the order of the runs.
impl Ord for NextRow {
    fn cmp(&self, other: &Self) -> Ordering {
        self.keys.row(self.row).cmp(&other.keys.row(other.row)).then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for NextRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for NextRow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for NextRow {}
