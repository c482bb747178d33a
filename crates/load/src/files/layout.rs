//! What all files of one table have in common: schema, order of rows, compression, metadata.

use std::sync::Arc;

use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use ctct_catalog::Table;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, encode_arrow_schema};
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::destination::file_options::{Compression, FileOptions};
use crate::error::LoadError;
use crate::files::footer::{FooterState, Stamp};
use crate::files::spark_schema::{SPARK_SCHEMA, spark_schema};

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
    pub(super) file_schema: SchemaRef,
    /// The account, where its column is wanted.
    pub(super) account: Option<String>,
    /// Indices of the columns that rows are sorted by.
    key: Vec<usize>,
    pub(super) properties: WriterProperties,
    row_group_bytes: usize,
    /// What files are closed with beside `metadata`.
    pub(super) state: Arc<FooterState>,
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

    /// The layout of a table's files in the commit of `stamp`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn of_commit(
        table: &Table,
        stamp: &Stamp,
        options: &FileOptions,
        state: &Arc<FooterState>,
    ) -> Result<Self, LoadError> {
        let stamp = Stamp { table: table.name.clone(), ..stamp.clone() };
        let layout = Self::new(table, &stamp.folder_columns(table), &stamp.pairs(), options)?;
        Ok(Self { state: Arc::clone(state), ..layout })
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
    pub(super) fn parquet_error(&self, action: &'static str) -> impl FnOnce(ParquetError) -> LoadError + use<> {
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
