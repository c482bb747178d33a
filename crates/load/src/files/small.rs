//! Parquet files that are small enough to be held in memory: one batch of rows each.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;

use super::footer::possible;
use super::layout::codec;
use crate::destination::file_options::FileOptions;
use crate::error::LoadError;

/// Rows as a Parquet file, compressed as the options say. `pair` is a key and its text for the footer; `table` names the rows in
/// errors.
///
/// # Errors
/// The compression level is not one of the codec's, or the rows cannot be encoded.
pub fn encode_rows(
    table: &str,
    rows: &RecordBatch,
    options: &FileOptions,
    pair: Option<(&str, String)>,
) -> Result<Bytes, LoadError> {
    let failed = |source| LoadError::Parquet { table: table.to_owned(), action: "write", source };
    let pair = pair.map(|(key, value)| vec![KeyValue::new(key.to_owned(), value)]);
    let properties = WriterProperties::builder().set_compression(codec(options)?).set_key_value_metadata(pair);
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties.build())).map_err(failed)?;
    writer.write(rows).map_err(failed)?;
    writer.into_inner().map(Bytes::from).map_err(failed)
}

/// The rows of such a file; `None` where it is not Parquet, or its footer holds numbers that no file can have.
pub fn decode_rows(file: Bytes) -> Option<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    possible(builder.metadata()).ok()?;
    let schema = Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> = builder.build().ok()?.collect::<Result<_, _>>().ok()?;
    concat_batches(&schema, &batches).ok()
}

/// The text that the footer of such a file has for a key.
pub fn footer_text(file: &Bytes, key: &str) -> Option<String> {
    let footer = ParquetMetaDataReader::new().parse_and_finish(file).ok()?;
    let pairs = footer.file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.clone()
}
