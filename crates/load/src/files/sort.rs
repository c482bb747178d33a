//! Sorts gathered rows by partition and key, and cuts them into row groups. Rows themselves are not moved here.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::ArrowError;
use arrow_schema::SortOptions;
use arrow_select::concat::concat;

use crate::error::LoadError;
use crate::files::layout::FileLayout;

/// A row by the batch and the place in it.
pub(crate) type RowAt = (usize, usize);

/// Batches that wait to become a row group.
#[derive(Debug, Default)]
pub struct RowBuffer {
    batches: Vec<RecordBatch>,
    bytes: usize,
}

impl RowBuffer {
    /// Adds a batch. Strings that keep a much larger buffer alive are copied out of it, so that [`Self::bytes`] is
    /// what the buffer really holds.
    pub fn push(&mut self, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            let batch = compact(batch);
            self.bytes += batch.get_array_memory_size();
            self.batches.push(batch);
        }
    }

    /// Arrow bytes that are held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batches, in the order in which they came.
    pub(crate) fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }
}

/// Copies strings out of buffers that are mostly other rows'.
fn compact(batch: RecordBatch) -> RecordBatch {
    let wasteful = |column: &ArrayRef| {
        column.as_string_view_opt().is_some_and(|strings| {
            let held: usize = strings.data_buffers().iter().map(arrow_buffer::Buffer::capacity).sum();
            held > 4096 && held > 2 * strings.total_buffer_bytes_used()
        })
    };
    if !batch.columns().iter().any(wasteful) {
        return batch;
    }
    let (schema, columns, rows) = batch.into_parts();
    let columns = columns
        .into_iter()
        .map(|column| match column.as_string_view_opt() {
            Some(strings) if wasteful(&column) => Arc::new(strings.gc()) as ArrayRef,
            _ => column,
        })
        .collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    #[expect(clippy::expect_used, reason = "the columns have the types and lengths that they had in the batch")]
    RecordBatch::try_new_with_options(schema, columns, &options).expect("the same columns make a batch")
}

/// The rows of one row group.
#[derive(Debug)]
pub(crate) struct RowGroup {
    pub(crate) partition: u32,
    /// The rows in their order; `None` for all rows as they stand.
    pub(crate) order: Option<Vec<RowAt>>,
}

/// The row groups that gathered rows make, by partition. `partitions` has one number for each row of each batch.
pub(crate) fn row_groups(
    layout: &FileLayout,
    rows: RowBuffer,
    partitions: &[Vec<u32>],
) -> Result<(Vec<RecordBatch>, Vec<RowGroup>), LoadError> {
    let bytes = rows.bytes();
    let batches = rows.into_batches();
    let order = sorted(&batches, layout.key(), partitions).map_err(layout.arrow_error("sort"))?;
    let partition_of = |row: &RowAt| partitions[row.0][row.1];
    let first = partitions.iter().flatten().next().copied().unwrap_or_default();
    let alone = partitions.iter().flatten().all(|partition| *partition == first);
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    // A buffer that only just overflowed stays one row group.
    let most_rows = |rows: usize| {
        let groups = (bytes as u128 * rows as u128 / total.max(1) as u128) / layout.row_group_bytes().max(1) as u128;
        rows.div_ceil(usize::try_from(groups).unwrap_or(1).max(1)).max(1)
    };
    let groups = match order {
        None if alone && most_rows(total) >= total => vec![RowGroup { partition: first, order: None }],
        order => {
            let order = order.unwrap_or_else(|| as_they_stand(&batches));
            order
                .chunk_by(|left, right| partition_of(left) == partition_of(right))
                .flat_map(|chunk| chunk.chunks(most_rows(chunk.len())))
                .map(|chunk| RowGroup { partition: partition_of(&chunk[0]), order: Some(chunk.to_vec()) })
                .collect()
        }
    };
    Ok((batches, groups))
}

fn as_they_stand(batches: &[RecordBatch]) -> Vec<RowAt> {
    batches.iter().enumerate().flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row))).collect()
}

/// The order of all rows by partition, then key, nulls first; `None` where they are in order already. Rows that are
/// equal keep their order.
pub(crate) fn sorted(
    batches: &[RecordBatch],
    key: &[usize],
    partitions: &[Vec<u32>],
) -> Result<Option<Vec<RowAt>>, ArrowError> {
    // Key columns in one piece each. Strings are views, so this copies no text.
    let column = |index: &usize| {
        let pieces: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(*index).as_ref()).collect();
        concat(&pieces)
    };
    let keys: Vec<ArrayRef> =
        if batches.is_empty() { Vec::new() } else { key.iter().map(column).collect::<Result<_, _>>()? };
    let nulls_first = SortOptions { descending: false, nulls_first: true };
    let comparators: Vec<DynComparator> =
        keys.iter().map(|key| make_comparator(key, key, nulls_first)).collect::<Result<_, _>>()?;
    let first_key = keys.first().and_then(|key| key.as_string_view_opt());

    let mut order: Vec<SortedRow> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (batch, rows) in batches.iter().enumerate() {
        let partitions = partitions.get(batch);
        for row in 0..rows.num_rows() {
            let flat = order.len();
            let head = first_key.filter(|key| key.is_valid(flat)).map_or(0, |key| head(key.value(flat)));
            let partition = partitions.map_or(0, |partitions| partitions[row]);
            order.push(SortedRow { head, partition, flat, at: (batch, row) });
        }
    }
    let compare = |left: &SortedRow, right: &SortedRow| {
        let quick = (left.partition, left.head).cmp(&(right.partition, right.head));
        let full = comparators.iter().fold(quick, |order, compare| order.then_with(|| compare(left.flat, right.flat)));
        full.then(left.flat.cmp(&right.flat))
    };
    if order.is_sorted_by(|left, right| compare(left, right).is_le()) {
        return Ok(None);
    }
    order.sort_unstable_by(compare);
    Ok(Some(order.into_iter().map(|place| place.at).collect()))
}

/// A row with what decides most comparisons at hand.
struct SortedRow {
    /// The start of the first key column's text as a number of the same order; 0 for null and for other types.
    head: u128,
    partition: u32,
    /// Place among the rows of all batches.
    flat: usize,
    at: RowAt,
}

/// The first bytes of a text, as a number of the same order.
fn head(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}
