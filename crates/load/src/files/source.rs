//! Reads a stored Parquet file a row group at a time, each with one request, and in the schema of today.

use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use arrow_cast::cast;
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Schema, SchemaRef};
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::destination::Destination;
use crate::error::LoadError;
use crate::files::footer;
use crate::files::layout::ACCOUNT_COLUMN;
use crate::files::read::StoredFile;
use crate::log::proof::Proof;

/// Bytes at the end of a file that are fetched to find its footer; of a smaller file, that is all.
const TAIL_BYTES: u64 = 256 << 10;
/// Rows of the batches that a row group is read as.
const BATCH_ROWS: usize = 1_024;

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Relative to the destination.
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

/// A stored file whose footer was read.
#[derive(Debug)]
pub(crate) struct SourceFile {
    file: StoredFile,
    metadata: ArrowReaderMetadata,
    /// The end of the file.
    tail: Piece,
}

impl SourceFile {
    /// Reads the footer of a file, all of which is checked before where the log says what it is: `proof`.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] where it is not valid Parquet, or another file than the log says; else as the store fails.
    pub(crate) async fn open(
        destination: &Destination,
        listed: &Listed,
        proof: Option<&Proof>,
    ) -> Result<Self, LoadError> {
        let file = StoredFile::at(destination, destination.key(&listed.path)?, listed.bytes).proven(proof).await?;
        Self::of(destination, file, listed).await
    }

    /// The same for a file that this run staged, by the checksum that it had then.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) async fn open_staged(
        destination: &Destination,
        listed: &Listed,
        sha256: &str,
    ) -> Result<Self, LoadError> {
        let file = StoredFile::at(destination, destination.key(&listed.path)?, listed.bytes);
        let file = file.matching(sha256, || "it is not what this run staged".to_owned()).await?;
        Self::of(destination, file, listed).await
    }

    async fn of(destination: &Destination, file: StoredFile, listed: &Listed) -> Result<Self, LoadError> {
        let damaged = |error: &dyn std::fmt::Display| LoadError::Damaged {
            path: file.shown(),
            reason: format!("it is not valid Parquet ({error})"),
        };
        let mut wanted = TAIL_BYTES;
        loop {
            let at = listed.bytes.saturating_sub(wanted);
            let fetched = file.range(at..listed.bytes).await;
            let tail = Piece { at, bytes: fetched.map_err(destination.failed("read", &listed.path))? };
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail.bytes, listed.bytes).and_then(|()| reader.finish()) {
                Err(ParquetError::NeedMoreData(needed)) if needed as u64 > wanted => wanted = needed as u64,
                Err(error) => return Err(damaged(&error)),
                Ok(metadata) => {
                    footer::possible(&metadata).map_err(|error| damaged(&error))?;
                    let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), ArrowReaderOptions::new());
                    let metadata = metadata.map_err(|error| damaged(&error))?;
                    return Ok(Self { file, metadata, tail });
                }
            }
        }
    }

    pub(crate) fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Whether the file's metadata has this value under this name.
    pub(crate) fn says(&self, name: &str, value: &str) -> bool {
        let pairs = self.metadata.metadata().file_metadata().key_value_metadata();
        let mut pairs = pairs.into_iter().flatten();
        pairs.any(|pair| pair.key == name && pair.value.as_deref() == Some(value))
    }

    /// Whether its rows can be written in this schema and nothing is lost: every column has a place there, and none is
    /// missing that must not be null.
    pub(crate) fn fits(&self, schema: &Schema) -> bool {
        let here = self.metadata.schema();
        let has_place = |name: &str, data_type: &DataType| {
            schema.field_with_name(name).is_ok_and(|field| alike(field.data_type()) == alike(data_type))
        };
        let mut own = here.fields().iter().filter(|field| field.name() != ACCOUNT_COLUMN);
        own.all(|field| has_place(field.name(), field.data_type()))
            && schema.fields().iter().all(|field| field.is_nullable() || here.field_with_name(field.name()).is_ok())
    }

    /// The rows of a row group, in this schema. Columns that it does not have are not fetched, those at the edges at least.
    ///
    /// # Errors
    /// The store fails, or the row group cannot be decoded.
    pub(crate) async fn read(&self, row_group: usize, schema: &SchemaRef) -> Result<Vec<RecordBatch>, LoadError> {
        self.file.stop().check()?;
        let range = range(self.metadata.metadata(), row_group, schema);
        let piece = if range.start >= self.tail.at {
            self.tail.clone()
        } else if range.is_empty() {
            Piece { at: range.start, bytes: Bytes::new() }
        } else {
            let fetched = self.file.range(range.clone()).await;
            let failed = |source| LoadError::Store { action: "read", path: self.file.shown(), source };
            Piece { at: range.start, bytes: fetched.map_err(failed)? }
        };
        let (metadata, schema) = (self.metadata.clone(), Arc::clone(schema));
        let decoded = tokio::task::spawn_blocking(move || decode(piece, metadata, row_group, &schema)).await;
        let shown = || self.file.shown();
        // Bytes that are not what was written may make the decoder panic.
        let panicked = |_| LoadError::Damaged { path: shown(), reason: "it cannot be decoded".to_owned() };
        let decoded = decoded.map_err(panicked)?;
        decoded.map_err(|source| LoadError::Parquet { table: shown(), action: "read", source })
    }
}

/// The bytes that these columns of a row group take in the file.
fn range(metadata: &ParquetMetaData, row_group: usize, schema: &Schema) -> std::ops::Range<u64> {
    let wanted = |column: &&ColumnChunkMetaData| {
        let name = column.column_path().parts().first();
        name.is_some_and(|name| schema.field_with_name(name).is_ok())
    };
    let columns = metadata.row_group(row_group).columns().iter().filter(wanted).map(ColumnChunkMetaData::byte_range);
    let (mut start, mut end) = (u64::MAX, 0);
    for (at, length) in columns {
        start = start.min(at);
        end = end.max(at + length);
    }
    start.min(end)..end
}

fn decode(
    piece: Piece,
    metadata: ArrowReaderMetadata,
    row_group: usize,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>, ParquetError> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let columns = ProjectionMask::columns(metadata.parquet_schema(), names);
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(piece, metadata)
        .with_projection(columns)
        .with_row_groups(vec![row_group])
        .with_batch_size(BATCH_ROWS)
        .build()?;
    reader.map(|batch| in_schema(&batch?, schema)).collect::<Result<_, ArrowError>>().map_err(ParquetError::from)
}

/// The rows with the columns of this schema; those that they lack are null.
fn in_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)
}

/// The type with all kinds of text as one.
fn alike(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => &DataType::Utf8,
        other => other,
    }
}

/// Bytes of a file from some place onwards.
#[derive(Debug, Clone)]
struct Piece {
    at: u64,
    bytes: Bytes,
}

impl Piece {
    fn slice(&self, start: u64, length: Option<usize>) -> Result<Bytes, ParquetError> {
        let from = start.checked_sub(self.at).and_then(|from| usize::try_from(from).ok());
        let to = from.map(|from| length.map_or(self.bytes.len(), |length| from.saturating_add(length)));
        match (from, to) {
            (Some(from), Some(to)) if from <= to && to <= self.bytes.len() => Ok(self.bytes.slice(from..to)),
            _ => Err(ParquetError::EOF("a column lies outside of its row group".to_owned())),
        }
    }
}

impl Length for Piece {
    fn len(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

impl ChunkReader for Piece {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.slice(start, None)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.slice(start, Some(length))
    }
}
