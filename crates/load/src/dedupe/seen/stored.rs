//! The hashes of the records that are stored, made from the tables themselves.
//!
//! Rows of a record are in the files of several tables, in no common order. Since lists have no order, what a row is
//! nested in can be added up by name while the tables are read one after the other, the innermost first, within a budget of
//! memory whatever the tables hold.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use ctct_catalog::{COMMIT, EXTRACTED_AT, ORDINAL, PARENT_ORDINAL, Report};

use super::versions::Versions;
use super::{as_content, instants};
use crate::dedupe::fingerprint;
use crate::dedupe::index::{Combine, Entry, Index};
use crate::destination::Destination;
use crate::error::LoadError;
use crate::files::stored_rows::StoredRows;
use crate::log::StoredState;
use crate::log::record::WriteMode;

/// Reads every version that the tables hold, as they were written in this mode. `dates` are the columns that tell how new
/// one is.
pub(super) async fn versions(
    destination: &Destination,
    report: &Report,
    stored_state: &StoredState,
    dates: &[String],
    mode: WriteMode,
) -> Result<Versions, LoadError> {
    let tables = report.tables();
    let mut nested: Vec<Index> = tables.iter().map(|_| Index::new(Combine::Sum)).collect();
    let mut versions = Versions::default();
    for (at, table) in tables.iter().enumerate().rev() {
        let inner = std::mem::replace(&mut nested[at], Index::new(Combine::Sum));
        let each = |batch: RecordBatch| {
            let records = records_of(&batch, report, mode);
            let places = |column: &str| fingerprint::positions(&batch, column).unwrap_or_default();
            let own = if at > 0 { places(ORDINAL) } else { Vec::new() };
            let mut sums = vec![0; batch.num_rows()];
            if !inner.is_empty() {
                for (row, sum) in sums.iter_mut().enumerate() {
                    let name = row_name(records[row], at, own.get(row));
                    *sum = inner.get(name)?.map_or(0, |entry| entry.content);
                }
            }
            let hashes = fingerprint::with_nested(fingerprint::of_own(table, &batch), &sums);
            let Some(above) = table.parent else {
                let keys = fingerprint::of_keys(&batch, &report.key);
                let orders = orders(&batch);
                for (row, at) in instants(&batch, dates).into_iter().enumerate() {
                    let (key, content) = (keys[row], as_content(hashes[row]));
                    versions.add(Entry { key, content, at, order: orders[row] })?;
                }
                return Ok(());
            };
            let outer = if above > 0 { places(PARENT_ORDINAL) } else { Vec::new() };
            for (row, hash) in hashes.into_iter().enumerate() {
                let key = row_name(records[row], above, outer.get(row));
                let content = fingerprint::as_element(hash);
                nested[above].insert(Entry { key, content, at: 0, order: 0 })?;
            }
            Ok(())
        };
        let rows = StoredRows::new(destination, table, None).proving(&stored_state.manifest);
        rows.read_all(&stored_state.listing.of_table(&table.name), each).await?;
    }
    Ok(versions)
}

/// What names the version of a record that each row belongs to. Merged tables hold one of a key, others name it by the read
/// that brought it.
fn records_of(batch: &RecordBatch, report: &Report, mode: WriteMode) -> Vec<u128> {
    let keys = fingerprint::of_keys(batch, &report.key);
    if mode == WriteMode::Merge {
        return keys;
    }
    let (commits, reads) = (commits(batch), reads(batch));
    let stamps = commits.into_iter().zip(reads);
    keys.into_iter()
        .zip(stamps)
        .map(|(key, (commit, read))| fingerprint::of_numbers(key, &[commit.cast_unsigned(), read.cast_unsigned()]))
        .collect()
}

/// What names a row that others are nested in: its record alone, or its place in a list of it.
fn row_name(record: u128, table: usize, position: Option<&i64>) -> u128 {
    match position {
        Some(position) => fingerprint::of_numbers(record, &[table as u64, position.cast_unsigned()]),
        None => record,
    }
}

/// The order in which rows were stored: by their commits, and within one by when they were read.
pub(crate) fn orders(batch: &RecordBatch) -> Vec<i64> {
    /// Of 68 years, each second in 2048 parts: the first microseconds of it, which tell its pages apart, and coarser ones.
    const MOMENTS: i64 = (1 << 42) - 1;
    /// 2000-01-01, in seconds since 1970.
    const BEGIN: i64 = 946_684_800;
    let part = |micros: i64| if micros < 1024 { micros } else { 1024 + micros / 1024 };
    let moment = |read: i64| {
        let second = (read.div_euclid(1_000_000) - BEGIN).clamp(0, (1 << 31) - 1);
        second << 11 | part(read.rem_euclid(1_000_000))
    };
    // Records of the log are numbered from 1, so that what a run brings, at 0, must come after: below zero.
    let order = |(commit, read): (i64, i64)| (commit.clamp(0, 1 << 20) - (1 << 20) - 1) * (MOMENTS + 1) + moment(read);
    commits(batch).into_iter().zip(reads(batch)).map(order).collect()
}

fn commits(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name(COMMIT).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map_or_else(|| vec![0; batch.num_rows()], |column| column.iter().map(Option::unwrap_or_default).collect())
}

fn reads(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name(EXTRACTED_AT);
    let column = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    column.map_or_else(|| vec![0; batch.num_rows()], |column| column.iter().map(Option::unwrap_or_default).collect())
}
