//! Takes partition columns out of batches, as Hive has it, and keeps in `_extra` what a folder name cannot carry.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::StringViewBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::ArrowError;
use arrow_schema::DataType;
use ctct_catalog::EXTRA;
use serde_json::value::{RawValue, to_raw_value};

use crate::destination::folder;

/// Takes the columns that are partition folders out of a batch. A value that its folder name cannot carry is added to
/// the row's `_extra`, so that it is not lost.
pub(crate) fn without_columns(batch: &RecordBatch, dropped: &[String]) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema_ref();
    let kept: Vec<usize> = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| !dropped.contains(field.name()))
        .map(|(at, _)| at)
        .collect();
    if kept.len() == batch.num_columns() {
        return Ok(batch.clone());
    }
    let mut batch = batch.clone();
    for name in dropped {
        batch = with_unnameable(&batch, name)?;
    }
    batch.project(&kept)
}

/// How many values of a column no folder name can carry.
pub(crate) fn unnameable(batch: &RecordBatch, name: &str) -> u64 {
    let strings = batch.column_by_name(name).and_then(|column| column.as_string_view_opt());
    let values = strings.into_iter().flat_map(|strings| strings.iter().flatten());
    values.filter(|value| folder::of_value(value).is_none()).count() as u64
}

/// Adds the values of a column that no folder name can carry to `_extra`.
fn with_unnameable(batch: &RecordBatch, name: &str) -> Result<RecordBatch, ArrowError> {
    let Some(strings) = batch.column_by_name(name).and_then(|column| column.as_string_view_opt()) else {
        return Ok(batch.clone());
    };
    let unnameable = |value: Option<&str>| value.is_some_and(|value| folder::of_value(value).is_none());
    let Some((at, field)) = batch.schema_ref().column_with_name(EXTRA) else { return Ok(batch.clone()) };
    if !strings.iter().any(unnameable) {
        return Ok(batch.clone());
    }
    let extra = cast(batch.column(at), &DataType::Utf8View)?;
    let mut merged = StringViewBuilder::with_capacity(batch.num_rows());
    for (extra, value) in extra.as_string_view().iter().zip(strings) {
        if unnameable(value) {
            // Raw, so that no number loses a digit.
            let mut object: BTreeMap<String, Box<RawValue>> =
                extra.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            object.extend(to_raw_value(&value).ok().map(|value| (name.to_owned(), value)));
            merged.append_option(serde_json::to_string(&object).ok());
        } else {
            merged.append_option(extra);
        }
    }
    let merged: ArrayRef = cast(&(Arc::new(merged.finish()) as ArrayRef), field.data_type())?;
    let mut columns = batch.columns().to_vec();
    columns[at] = merged;
    RecordBatch::try_new(batch.schema(), columns)
}
