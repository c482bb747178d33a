//! Record batches to the bytes of one Parquet file, synchronous: sorts each row group and yields it when it is cut.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringViewArray};
use arrow_schema::ArrowError;
use arrow_schema::FieldRef;
use arrow_select::interleave::interleave;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};

use crate::destination::checksum::hex;
use crate::error::LoadError;
use crate::files::layout::FileLayout;
use crate::files::sort::{RowAt, RowBuffer, sorted};

/// One Parquet file in the making.
///
/// Push batches; when [`Self::row_group_ready`], call [`Self::encode_row_group`] and pass the bytes on; at the end
/// [`Self::finish`]. The pieces in their order are the file.
pub struct TableEncoder {
    layout: Arc<FileLayout>,
    writer: SerializedFileWriter<Vec<u8>>,
    columns: ArrowRowGroupWriterFactory,
    buffer: RowBuffer,
    row_groups: usize,
    rows: u64,
    bytes: u64,
    sha256: Sha256,
}

/// What a finished file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTotals {
    /// Rows.
    pub rows: u64,
    /// Bytes, all pieces together.
    pub bytes: u64,
    /// SHA-256 of all pieces in their order, in hex.
    pub sha256: String,
}

impl TableEncoder {
    /// An empty file.
    ///
    /// # Errors
    /// The schema has a type that Parquet does not.
    pub fn new(layout: &Arc<FileLayout>) -> Result<Self, LoadError> {
        let failed = layout.parquet_error("start");
        let options =
            ArrowWriterOptions::new().with_properties(layout.properties.clone()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&layout.file_schema), options);
        let (writer, columns) = writer.and_then(ArrowWriter::into_serialized_writer).map_err(failed)?;
        Ok(Self {
            layout: Arc::clone(layout),
            writer,
            columns,
            buffer: RowBuffer::default(),
            row_groups: 0,
            rows: 0,
            bytes: 0,
            sha256: Sha256::new(),
        })
    }

    /// Adds rows to the row group that is being gathered.
    pub fn push(&mut self, batch: RecordBatch) {
        self.buffer.push(batch);
    }

    /// Whether enough was pushed to make a row group.
    pub fn row_group_ready(&self) -> bool {
        self.buffer.bytes() >= self.layout.row_group_bytes()
    }

    /// Bytes yielded so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Row groups encoded so far.
    pub fn row_groups(&self) -> usize {
        self.row_groups
    }

    /// Rows encoded so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Sorts what was pushed by the table's key, writes it as one row group and yields its bytes; none where nothing
    /// was pushed.
    ///
    /// # Errors
    /// A batch does not have the layout's schema.
    pub fn encode_row_group(&mut self) -> Result<Bytes, LoadError> {
        let batches = std::mem::take(&mut self.buffer).into_batches();
        let order = sorted(&batches, self.layout.key(), &[]).map_err(self.layout.arrow_error("sort"))?;
        self.encode(&batches, order.as_deref())
    }

    /// Writes rows of these batches in the given order, or all as they stand, as one row group. Columns are gathered and
    /// encoded side by side, as many at once as rayon has threads, and each is held twice only while it is encoded.
    pub(crate) fn encode(&mut self, batches: &[RecordBatch], order: Option<&[RowAt]>) -> Result<Bytes, LoadError> {
        let rows = order.map_or_else(|| batches.iter().map(RecordBatch::num_rows).sum(), <[RowAt]>::len);
        if rows == 0 {
            return Ok(Bytes::new());
        }
        let layout = Arc::clone(&self.layout);
        if let Some(batch) = batches.iter().find(|batch| batch.num_columns() != layout.schema().fields().len()) {
            let reason = format!("a batch has {} columns, not {}", batch.num_columns(), layout.schema().fields().len());
            return Err(LoadError::Shape { table: layout.table().to_owned(), reason });
        }
        let failed = || layout.parquet_error("write");
        let writers = self.columns.create_column_writers(self.row_groups).map_err(failed())?;
        let columns: Vec<_> = layout.file_schema.fields().iter().enumerate().zip(writers).collect();
        let encode_column = |((index, field), mut writer): ((usize, &FieldRef), ArrowColumnWriter)| {
            let ordered = match &layout.account {
                // The last column, which no batch has.
                Some(account) if index == layout.schema().fields().len() => Ok(vec![Arc::new(
                    StringViewArray::from_iter_values(std::iter::repeat_n(account, rows)),
                ) as ArrayRef]),
                _ => in_order(batches, index, order),
            };
            for column in ordered.map_err(layout.arrow_error("sort"))? {
                // Tables are flat: a column has one leaf.
                for leaf in compute_leaves(field, &column).map_err(failed())? {
                    writer.write(&leaf).map_err(failed())?;
                }
            }
            writer.close().map_err(failed())
        };
        let chunks: Vec<Result<ArrowColumnChunk, LoadError>> = columns.into_par_iter().map(encode_column).collect();
        let mut row_group = self.writer.next_row_group().map_err(failed())?;
        for chunk in chunks {
            chunk?.append_to_row_group(&mut row_group).map_err(failed())?;
        }
        row_group.close().map_err(failed())?;
        self.row_groups += 1;
        self.rows += rows as u64;
        self.take()
    }

    /// Writes what was pushed since the last row group and the footer; yields the last bytes and the file's totals.
    ///
    /// # Errors
    /// As [`Self::encode_row_group`].
    pub fn finish(mut self) -> Result<(Bytes, FileTotals), LoadError> {
        let rest = self.encode_row_group()?;
        for pair in self.layout.state.pairs() {
            self.writer.append_key_value_metadata(pair);
        }
        self.writer.finish().map_err(self.layout.parquet_error("finish"))?;
        let footer = self.take()?;
        let tail = if rest.is_empty() { footer } else { [rest, footer].concat().into() };
        Ok((tail, FileTotals { rows: self.rows, bytes: self.bytes, sha256: hex(&self.sha256.finalize()) }))
    }

    /// Takes the bytes that were written since the last time.
    fn take(&mut self) -> Result<Bytes, LoadError> {
        let flushed = self.writer.flush().map_err(ParquetError::from);
        flushed.map_err(self.layout.parquet_error("write"))?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        self.bytes += bytes.len() as u64;
        self.sha256.update(&bytes);
        Ok(bytes)
    }
}

impl std::fmt::Debug for TableEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { layout, rows, bytes, .. } = self;
        f.debug_struct("TableEncoder")
            .field("table", &layout.table())
            .field("rows", rows)
            .field("bytes", bytes)
            .finish()
    }
}

/// One column of all batches in the given order.
fn in_order(batches: &[RecordBatch], index: usize, order: Option<&[RowAt]>) -> Result<Vec<ArrayRef>, ArrowError> {
    let columns = batches.iter().map(|batch| batch.column(index));
    match order {
        None => Ok(columns.cloned().collect()),
        Some(order) => {
            let columns: Vec<&dyn Array> = columns.map(AsRef::as_ref).collect();
            Ok(vec![interleave(&columns, order)?])
        }
    }
}
