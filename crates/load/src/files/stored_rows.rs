//! The rows of stored files as the catalog has them: columns that are in the names of folders are put back, and rows that
//! do not hold any more are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, StringViewArray};
use arrow_cast::cast;
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter_record_batch;
use ctct_catalog::{EXTRA, FieldType, Table};
use serde_json::value::RawValue;

use crate::destination::Destination;
use crate::destination::folder::{self, NULL_FOLDER};
use crate::error::LoadError;
use crate::files::source::{Listed, SourceFile};
use crate::files::stored_schema::{DELETED_AT, VALID_TO};
use crate::log::inventory::partition_of;
use crate::log::manifest::Manifest;

/// Reads rows of one table.
#[derive(Debug)]
pub(crate) struct StoredRows {
    destination: Destination,
    table: String,
    /// What batches have: columns of the catalog, all of them nullable.
    schema: SchemaRef,
    /// What is read of files: that, what tells which rows hold, and what keeps values that no folder can carry.
    read: SchemaRef,
    /// What the files are.
    manifest: Manifest,
}

impl StoredRows {
    /// Reads these columns of the table, or all.
    pub(crate) fn new(destination: &Destination, table: &Table, columns: Option<&[&str]>) -> Self {
        let nullable = |field: &Field| Field::new(field.name(), field.data_type().clone(), true);
        let wanted = |field: &&Arc<Field>| columns.is_none_or(|columns| columns.contains(&field.name().as_str()));
        let fields: Vec<Field> = table.schema.fields().iter().filter(wanted).map(|field| nullable(field)).collect();
        let mut read = fields.clone();
        if !fields.iter().any(|field| field.name() == EXTRA) {
            read.push(Field::new(EXTRA, FieldType::String.data_type(), true));
        }
        read.extend([DELETED_AT, VALID_TO].map(|name| Field::new(name, FieldType::Timestamp.data_type(), true)));
        let (destination, table) = (destination.clone(), table.name.clone());
        let (schema, read) = (Arc::new(Schema::new(fields)), Arc::new(Schema::new(read)));
        Self { destination, table, schema, read, manifest: Manifest::default() }
    }

    /// The same, which reads no file that is not what the log says.
    pub(crate) fn proving(self, manifest: &Manifest) -> Self {
        Self { manifest: manifest.clone(), ..self }
    }

    /// Hands over the rows of these files, paths relative to the destination and sizes, a batch at a time.
    ///
    /// # Errors
    /// A file cannot be read; what `each` says.
    pub(crate) async fn read_all(
        &self,
        files: &[(String, u64)],
        mut each: impl FnMut(RecordBatch) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        for (path, bytes) in files {
            let file = self.open(path, *bytes).await?;
            for row_group in 0..file.row_groups() {
                for batch in self.row_group(&file, row_group, partition_of(path)).await? {
                    each(batch)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn open(&self, path: &str, bytes: u64) -> Result<SourceFile, LoadError> {
        let listed = Listed { path: path.to_owned(), bytes };
        SourceFile::open(&self.destination, &listed, self.manifest.get(path)).await
    }

    /// Opens a file that this run staged, by the checksum that it had then.
    pub(crate) async fn open_staged(&self, path: &str, bytes: u64, sha256: &str) -> Result<SourceFile, LoadError> {
        let listed = Listed { path: path.to_owned(), bytes };
        SourceFile::open_staged(&self.destination, &listed, sha256).await
    }

    /// The rows of a row group of a file below these folders.
    pub(crate) async fn row_group(
        &self,
        file: &SourceFile,
        row_group: usize,
        folders: &str,
    ) -> Result<Vec<RecordBatch>, LoadError> {
        let batches = file.read(row_group, &self.read).await?;
        let restored = batches.iter().map(|batch| self.restored(batch, folders));
        restored.collect::<Result<_, _>>().map_err(|source| LoadError::Arrow {
            table: self.table.clone(),
            action: "read stored rows of",
            source,
        })
    }

    fn restored(&self, batch: &RecordBatch, folders: &str) -> Result<RecordBatch, ArrowError> {
        let holds = |name: &str| batch.column_by_name(name).map(Array::logical_null_count);
        let ended = [DELETED_AT, VALID_TO].iter().any(|name| holds(name).is_some_and(|nulls| nulls < batch.num_rows()));
        let current;
        let mut batch = batch;
        if ended {
            let columns: Vec<&ArrayRef> =
                [DELETED_AT, VALID_TO].iter().filter_map(|name| batch.column_by_name(name)).collect();
            let mask: BooleanArray =
                (0..batch.num_rows()).map(|row| Some(columns.iter().all(|column| column.is_null(row)))).collect();
            current = filter_record_batch(batch, &mask)?;
            batch = &current;
        }
        let mut extra = batch.column_by_name(EXTRA).cloned();
        let mut columns: BTreeMap<&str, ArrayRef> = BTreeMap::new();
        for (name, value) in folders.split('/').filter_map(|level| level.split_once('=')) {
            let Ok(field) = self.schema.field_with_name(name) else { continue };
            let column = if value == NULL_FOLDER {
                let Some(texts) = extra.as_ref().filter(|_| *field.data_type() == DataType::Utf8View) else { continue };
                let (values, rest) = taken_out(texts, name)?;
                extra = Some(rest);
                values
            } else {
                constant(&folder::decode(value).unwrap_or_default(), field.data_type(), batch.num_rows())?
            };
            columns.insert(field.name(), column);
        }
        if let (Some(extra), Ok(_)) = (extra, self.schema.field_with_name(EXTRA)) {
            columns.insert(EXTRA, extra);
        }
        let all = self.schema.fields().iter().map(|field| {
            let column = columns.remove(field.name().as_str()).or_else(|| batch.column_by_name(field.name()).cloned());
            column.ok_or_else(|| ArrowError::SchemaError(format!("`{}` was not read", field.name())))
        });
        RecordBatch::try_new(Arc::clone(&self.schema), all.collect::<Result<_, _>>()?)
    }
}

/// A column with the value of a folder in every row.
fn constant(value: &str, data_type: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
    let column: ArrayRef = match data_type {
        DataType::Int64 => Arc::new(Int64Array::from(vec![value.parse::<i64>().ok(); rows])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![value.parse::<bool>().ok(); rows])),
        _ => Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(value, rows))),
    };
    if column.data_type() == data_type { Ok(column) } else { cast(&column, data_type) }
}

/// The texts that `_extra` keeps under a column's name, and `_extra` without them.
fn taken_out(extra: &ArrayRef, name: &str) -> Result<(ArrayRef, ArrayRef), ArrowError> {
    let texts = cast(extra, &DataType::Utf8View)?;
    let mut values = Vec::with_capacity(texts.len());
    let mut rest = Vec::with_capacity(texts.len());
    for text in texts.as_string_view() {
        let object = text.and_then(|text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text).ok());
        let value = object.as_ref().and_then(|object| object.get(name));
        let value = value.and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        if let (Some(value), Some(mut object)) = (value, object) {
            values.push(Some(value));
            object.remove(name);
            let left = (!object.is_empty()).then(|| serde_json::to_string(&object).ok());
            rest.push(left.flatten());
        } else {
            values.push(None);
            rest.push(text.map(str::to_owned));
        }
    }
    let rest: ArrayRef = Arc::new(StringViewArray::from_iter(rest));
    Ok((Arc::new(StringViewArray::from_iter(values)), cast(&rest, extra.data_type())?))
}
