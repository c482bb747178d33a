//! Sorts gathered rows by partition and key, and cuts them into row groups. Rows themselves are not moved here.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

use crate::LoadError;
use crate::encode::{FileLayout, RowBuffer};

/// A row by the batch and the place in it.
pub(crate) type RowAt = (usize, usize);

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
    let Some(first) = batches.first() else { return Ok(None) };
    let fields = key.iter().map(|index| SortField::new(first.column(*index).data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let keys: Vec<Rows> = batches
        .iter()
        .map(|batch| {
            let columns: Vec<_> = key.iter().map(|index| Arc::clone(batch.column(*index))).collect();
            converter.convert_columns(&columns)
        })
        .collect::<Result<_, _>>()?;
    let mut order: Vec<Place> = Vec::with_capacity(keys.iter().map(Rows::num_rows).sum());
    for (batch, keys) in (0..).zip(&keys) {
        for (row, key) in (0..).zip(keys.iter()) {
            let partition = partitions.get(batch as usize).map_or(0, |partitions| partitions[row as usize]);
            order.push(Place { partition, head: head(key.as_ref()), batch, row });
        }
    }
    let key = |place: &Place| keys[place.batch as usize].row(place.row as usize);
    let compare = |left: &Place, right: &Place| {
        let quick = (left.partition, left.head).cmp(&(right.partition, right.head));
        let full = quick.then_with(|| key(left).cmp(&key(right)));
        full.then_with(|| (left.batch, left.row).cmp(&(right.batch, right.row)))
    };
    if order.is_sorted_by(|left, right| compare(left, right).is_le()) {
        return Ok(None);
    }
    order.sort_unstable_by(compare);
    Ok(Some(order.into_iter().map(|place| (place.batch as usize, place.row as usize)).collect()))
}

/// A row with what decides most comparisons at hand.
struct Place {
    partition: u32,
    batch: u32,
    row: u32,
    head: u64,
}

/// The first bytes of a key as a number of the same order.
fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = key.len().min(8);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}
