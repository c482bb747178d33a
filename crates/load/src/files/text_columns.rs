//! Some columns of a small stored table as text, over all of its accounts: for what is made from definitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_schema::DataType;
use object_store::ObjectMeta;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::destination::Destination;
use crate::destination::folder::{self, ACCOUNT, NULL_FOLDER};
use crate::error::LoadError;
use crate::files::footer;
use crate::files::read::StoredFile;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRow {
    /// The account that it is of.
    pub account: String,
    /// A value for each column that was asked for; timestamps are microseconds since 1970 as text.
    pub values: Vec<Option<String>>,
}

/// The accounts that have a committed file in a table: none where nothing was committed yet.
///
/// # Errors
/// The store fails.
pub async fn accounts_with(destination: &Destination, table: &str) -> Result<BTreeSet<String>, LoadError> {
    let files = files(destination, table).await?;
    Ok(files.iter().filter_map(|file| account_of(destination.relative(&file.location))).collect())
}

/// Every row of a table, in no order, older versions included. All of them are held in memory, so this is for small
/// tables. A column that a file does not have is null there.
///
/// # Errors
/// The store fails, or a file is damaged.
pub async fn text_rows(destination: &Destination, table: &str, columns: &[&str]) -> Result<Vec<TextRow>, LoadError> {
    let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let mut rows = Vec::new();
    for file in files(destination, table).await? {
        let path = destination.relative(&file.location).to_owned();
        let Some(account) = account_of(&path) else { continue };
        let stored = StoredFile::new(destination, file);
        let (task, columns) = (format!("read `{path}`"), columns.clone());
        let read = tokio::task::spawn_blocking(move || read(&stored, &path, &columns)).await;
        let values = read.map_err(|_| LoadError::Task { task })??;
        rows.extend(values.into_iter().map(|values| TextRow { account: account.clone(), values }));
    }
    Ok(rows)
}

async fn files(destination: &Destination, table: &str) -> Result<Vec<ObjectMeta>, LoadError> {
    let mut files = destination.objects(&folder::encode(table)).await?;
    files.retain(|file| file.location.extension() == Some("parquet"));
    files.sort_unstable_by(|left, right| left.location.cmp(&right.location));
    Ok(files)
}

fn account_of(path: &str) -> Option<String> {
    folder::decode(folder::value_of(path, ACCOUNT)?)
}

/// The values of one file, row by row.
fn read(file: &StoredFile, path: &str, columns: &[String]) -> Result<Vec<Vec<Option<String>>>, LoadError> {
    let mut rows = Vec::new();
    for batch in TextColumns::open(file, columns)? {
        let (length, texts) = batch?;
        for row in 0..length {
            let value = |(name, texts): (&String, &Option<StringArray>)| match texts {
                Some(texts) => texts.is_valid(row).then(|| texts.value(row).to_owned()),
                None => folder::value_of(path, name).filter(|folder| *folder != NULL_FOLDER).and_then(folder::decode),
            };
            rows.push(columns.iter().zip(&texts).map(value).collect());
        }
    }
    Ok(rows)
}

/// Some columns of a stored file as text, a batch at a time with the number of its rows; `None` for a column that the file does not have. To be read on a
/// blocking thread.
pub(super) struct TextColumns<'a> {
    file: &'a StoredFile,
    columns: &'a [String],
    has_all: bool,
    reader: ParquetRecordBatchReader,
}

impl<'a> TextColumns<'a> {
    pub(super) fn open(file: &'a StoredFile, columns: &'a [String]) -> Result<Self, LoadError> {
        let failed = |error| file.failed(error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(failed)?;
        footer::possible(builder.metadata()).map_err(failed)?;
        let has = |name: &&str| builder.schema().field_with_name(name).is_ok();
        let there: Vec<&str> = columns.iter().map(String::as_str).filter(has).collect();
        let has_all = there.len() == columns.len();
        let mask = ProjectionMask::columns(builder.parquet_schema(), there);
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(failed)?;
        Ok(Self { file, columns, has_all, reader })
    }

    /// Whether the file has every one of the columns.
    pub(super) fn has_all(&self) -> bool {
        self.has_all
    }
}

impl Iterator for TextColumns<'_> {
    type Item = Result<(usize, Vec<Option<StringArray>>), LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(self.file.failed(error.into()))),
        };
        let texts = self.columns.iter().map(|name| text(&batch, name)).collect::<Result<_, _>>();
        Some(texts.map(|texts| (batch.num_rows(), texts)).map_err(|source| LoadError::Arrow {
            table: self.file.shown(),
            action: "read",
            source,
        }))
    }
}

/// A column as text; `None` where the file does not have it.
fn text(batch: &RecordBatch, name: &str) -> Result<Option<StringArray>, arrow_schema::ArrowError> {
    let Some(column) = batch.column_by_name(name) else { return Ok(None) };
    let column = match column.data_type() {
        DataType::Timestamp(..) => cast(column, &DataType::Int64)?,
        _ => Arc::clone(column),
    };
    Ok(Some(cast(&column, &DataType::Utf8)?.as_string::<i32>().clone()))
}
