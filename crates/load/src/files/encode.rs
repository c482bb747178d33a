//! Record batches to the bytes of one Parquet file, synchronous: sorts each row group and yields it when it is cut.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use ctct_catalog::Table;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ArrowWriter, encode_arrow_schema};
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use sha2::{Digest, Sha256};

use crate::destination::checksum::hex;
use crate::files::footer::FooterState;
use crate::files::sort::{RowAt, sorted};
use crate::files::spark_schema::{SPARK_SCHEMA, spark_schema};
use crate::{Compression, FileOptions, LoadError};

/// Distinct ids that a bloom filter is first laid out for. It is folded to what the row group really holds, so small
/// files have small filters; the bound is for memory.
const BLOOM_IDS: u64 = 1 << 16;
/// False positives of a bloom filter: at one in a hundred it takes 10 bits an id.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
/// Name of the account in the metadata that a layout is made with.
const STAMPED_ACCOUNT: &str = "ctct.account";
/// A dictionary that grows past this does not pay, and the column goes on without: about a thousand ids. It made files of
/// contacts 6 % smaller than the 1 MiB that is usual, and was no slower.
const DICTIONARY_BYTES: usize = 32 << 10;

/// The column that repeats the account of a file's folder, where a user wants it. It is added when rows are encoded and passed
/// over when files are read: no other part of the program knows it.
pub const ACCOUNT_COLUMN: &str = "_account";

/// The field of [`ACCOUNT_COLUMN`].
pub fn account_field() -> Field {
    let comment = ("comment".to_owned(), "The account, as the pipeline names it.".to_owned());
    Field::new(ACCOUNT_COLUMN, DataType::Utf8View, false).with_metadata([comment])
}

/// What every file of one table has in common: schema, sort order, compression, metadata.
#[derive(Debug)]
pub struct FileLayout {
    table: String,
    schema: SchemaRef,
    /// What files have: `schema`, and the column of the account where it is wanted.
    file_schema: SchemaRef,
    /// The account, where its column is wanted.
    account: Option<String>,
    /// Indices of the columns that rows are sorted by.
    key: Vec<usize>,
    properties: WriterProperties,
    row_group_bytes: usize,
    /// What files are closed with beside `metadata`.
    state: Arc<FooterState>,
}

impl FileLayout {
    /// The layout of a table's files. Columns in `dropped` are partition folders and not repeated inside. `metadata`
    /// is written to each file as it stands.
    ///
    /// # Errors
    /// The compression has no such level.
    pub fn new(
        table: &Table,
        dropped: &[String],
        metadata: &[(&str, String)],
        options: &FileOptions,
    ) -> Result<Self, LoadError> {
        let fields: Vec<_> =
            table.schema.fields().iter().filter(|field| !dropped.contains(field.name())).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        let key: Vec<usize> = table.key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let account = metadata.iter().find(|(name, _)| options.account_column && *name == STAMPED_ACCOUNT);
        let account = account.map(|(_, account)| account.clone());
        let file_schema = match &account {
            Some(_) => {
                let own = std::iter::once(Arc::new(account_field()));
                Arc::new(Schema::new(schema.fields().iter().cloned().chain(own).collect::<Vec<_>>()))
            }
            None => Arc::clone(&schema),
        };

        let mut pairs =
            vec![KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), encode_arrow_schema(&plain(&file_schema)))];
        pairs.extend(spark_schema(&file_schema).map(|text| KeyValue::new(SPARK_SCHEMA.to_owned(), text)));
        pairs.extend(metadata.iter().map(|(name, value)| KeyValue::new((*name).to_owned(), value.clone())));
        let mut properties = WriterProperties::builder()
            // Pages of version 1, plain or with a dictionary: what every reader takes. Those of version 2 have delta encodings.
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(codec(options)?)
            .set_dictionary_page_size_limit(DICTIONARY_BYTES)
            .set_sorting_columns(Some(key.iter().map(|index| sorting(*index)).collect()))
            .set_key_value_metadata(Some(pairs));
        for id in table.ids.iter().filter(|id| schema.index_of(id).is_ok()) {
            properties = properties
                .set_column_bloom_filter_fpp(ColumnPath::from(id.as_str()), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(ColumnPath::from(id.as_str()), BLOOM_IDS);
        }
        // A key of one column is unique, so a dictionary of it would only repeat it.
        if let [name] = table.key.as_slice() {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(name.as_str()), false);
        }
        Ok(Self {
            table: table.name.clone(),
            schema,
            file_schema,
            account,
            key,
            properties: properties.build(),
            row_group_bytes: options.row_group_bytes,
            state: Arc::default(),
        })
    }

    /// The same layout, whose files carry the state that holds when they are closed.
    #[must_use]
    pub(crate) fn with_state(self, state: &Arc<FooterState>) -> Self {
        Self { state: Arc::clone(state), ..self }
    }

    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Schema of the batches that go in, partition columns left out.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Indices of the columns that rows are sorted by.
    pub(crate) fn key(&self) -> &[usize] {
        &self.key
    }

    /// Arrow bytes that make a row group.
    pub(crate) fn row_group_bytes(&self) -> usize {
        self.row_group_bytes
    }

    /// Names the table and what was tried in an error of Parquet's.
    fn parquet_error(&self, action: &'static str) -> impl FnOnce(ParquetError) -> LoadError + use<> {
        let table = self.table.clone();
        move |source| LoadError::Parquet { table, action, source }
    }

    /// Names the table and what was tried in an error of Arrow's.
    pub(crate) fn arrow_error(&self, action: &'static str) -> impl FnOnce(ArrowError) -> LoadError + use<> {
        let table = self.table.clone();
        move |source| LoadError::Arrow { table, action, source }
    }
}

/// The compression of a file.
pub(crate) fn codec(options: &FileOptions) -> Result<Codec, LoadError> {
    let level = options.compression_level.unwrap_or(options.compression.usual_level());
    let refused = |_| {
        let (name, levels) = (options.compression.name(), options.compression.levels().unwrap_or_default());
        let reason = format!("{level} is not a level of {name}, which has {} to {}", levels.0, levels.1);
        LoadError::Option { option: "compression_level", reason }
    };
    Ok(match options.compression {
        Compression::Zstd => {
            Codec::ZSTD(ZstdLevel::try_new(i32::try_from(level).unwrap_or(i32::MAX)).map_err(refused)?)
        }
        Compression::Gzip => Codec::GZIP(GzipLevel::try_new(level).map_err(refused)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    })
}

/// Ascending with nulls first, as rows are really sorted.
fn sorting(index: usize) -> SortingColumn {
    SortingColumn { column_idx: i32::try_from(index).unwrap_or(i32::MAX), descending: false, nulls_first: true }
}

/// The schema that readers are told: strings as the plain type that every one of them knows.
fn plain(schema: &Schema) -> Schema {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
            _ => field.as_ref().clone(),
        })
        .collect();
    Schema::new(fields)
}

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
            let held: usize = strings.data_buffers().iter().map(arrow::buffer::Buffer::capacity).sum();
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
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    #[expect(clippy::expect_used, reason = "the columns have the types and lengths that they had in the batch")]
    RecordBatch::try_new_with_options(schema, columns, &options).expect("the same columns make a batch")
}

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
        self.buffer.bytes >= self.layout.row_group_bytes
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
        let order = sorted(&batches, &self.layout.key, &[]).map_err(self.layout.arrow_error("sort"))?;
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
        if let Some(batch) = batches.iter().find(|batch| batch.num_columns() != layout.schema.fields().len()) {
            let reason = format!("a batch has {} columns, not {}", batch.num_columns(), layout.schema.fields().len());
            return Err(LoadError::Shape { table: layout.table.clone(), reason });
        }
        let failed = || layout.parquet_error("write");
        let writers = self.columns.create_column_writers(self.row_groups).map_err(failed())?;
        let columns: Vec<_> = layout.file_schema.fields().iter().enumerate().zip(writers).collect();
        let encode_column = |((index, field), mut writer): ((usize, &FieldRef), ArrowColumnWriter)| {
            let ordered = match &layout.account {
                // The last column, which no batch has.
                Some(account) if index == layout.schema.fields().len() => Ok(vec![Arc::new(
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
        f.debug_struct("TableEncoder").field("table", &layout.table).field("rows", rows).field("bytes", bytes).finish()
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
