//! Reads what a run wrote, as any reader would: every Parquet file below a table's folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::cast;
use arrow_json::LineDelimitedWriter;
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use serde_json::{Map, Value};

/// A row as JSON, without the keys of null columns.
pub type Row = Map<String, Value>;

/// Every Parquet file below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// All rows below a folder.
pub fn rows(folder: &Path) -> Vec<Row> {
    files(folder).iter().flat_map(|file| rows_of(file)).collect()
}

/// The rows of one file.
pub fn rows_of(file: &Path) -> Vec<Row> {
    rows_in(File::open(file).unwrap())
}

/// The rows of Parquet wherever it is.
pub fn rows_in(parquet: impl ChunkReader + 'static) -> Vec<Row> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    let mut json = LineDelimitedWriter::new(Vec::new());
    for batch in reader {
        json.write(&with_offsets(&batch.unwrap())).unwrap();
    }
    json.finish().unwrap();
    let text = String::from_utf8(json.into_inner()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The same rows with `+00:00` for `UTC`: to write the name's offset, arrow would need a database of time zones.
fn with_offsets(batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| match field.data_type() {
        DataType::Timestamp(unit, Some(zone)) => {
            assert_eq!((unit, zone.as_ref()), (&TimeUnit::Microsecond, "UTC"), "{}", field.name());
            let column = cast(column, &DataType::Timestamp(*unit, Some("+00:00".into()))).unwrap();
            (field.name().clone(), column)
        }
        _ => (field.name().clone(), Arc::clone(column)),
    });
    RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).unwrap()
}

/// The schema of one file.
pub fn schema(file: &Path) -> SchemaRef {
    Arc::clone(ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().schema())
}
