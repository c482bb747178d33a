//! The file of seen rows: hashes only, no personal data.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt64Type};
use arrow::error::ArrowError;
use bytes::Bytes;
use ctct_catalog::Table;
use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use sha2::{Digest, Sha256};

use super::{Entry, UNDATED};
use crate::encode::{FileLayout, TableEncoder};
use crate::read::StoredFile;
use crate::record::{StateFile, hex};
use crate::upload::Upload;
use crate::{Destination, FileOptions, LoadError};

/// Entries of a row group: 2 MiB.
const ROW_GROUP: usize = 1 << 16;
/// Largest file that is read as a whole. A larger one is read twice, once to check it, a row group at a time.
const WHOLE_BYTES: u64 = 4 << 20;
/// Names what the hashes are made of; another way to make them needs another number.
const HASHES: (&str, &str) = ("ctct.seen_hashes", "1");

/// Writes entries to staging.
pub(super) async fn write(
    destination: &Destination,
    staged: String,
    path: String,
    entries: impl Iterator<Item = Entry>,
) -> Result<StateFile, LoadError> {
    let table = Table {
        name: "seen".to_owned(),
        schema: schema(),
        key: ["scope", "key", "content"].map(str::to_owned).to_vec(),
        ids: Vec::new(),
        parent: None,
        path: String::new(),
        origins: Vec::new(),
        references: Vec::new(),
        doc: String::new(),
    };
    let metadata = [(HASHES.0, HASHES.1.to_owned())];
    let layout = Arc::new(FileLayout::new(&table, &[], &metadata, &FileOptions::default())?);
    let mut encoder = TableEncoder::new(&layout)?;
    let mut upload = Upload::new(destination, staged.clone());
    let mut entries = entries.peekable();
    while entries.peek().is_some() {
        let group: Vec<Entry> = entries.by_ref().take(ROW_GROUP).collect();
        let batch = batch(&group).map_err(layout.arrow_error("gather"))?;
        upload.put(encoder.encode(&[batch], None)?).await?;
    }
    let (footer, totals) = encoder.finish()?;
    upload.put(footer).await?;
    upload.finish().await?;
    Ok(StateFile { path, staged: Some(staged), rows: totals.rows, bytes: totals.bytes, sha256: totals.sha256 })
}

/// Reads the entries of a file, sorted, and checks that it is what was written.
pub(super) async fn read(destination: &Destination, file: &StateFile) -> Result<Vec<Entry>, LoadError> {
    let damaged = |reason: String| LoadError::Damaged { path: destination.shown(&file.path), reason };
    let key = destination.key(&file.path)?;
    let found = match destination.store.get(&key).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Err(damaged("it is not there".to_owned())),
        Err(error) => return Err(destination.failed("read", &file.path)(error)),
    };
    if found.meta.size != file.bytes {
        return Err(damaged(format!("it has {} bytes, not {}", found.meta.size, file.bytes)));
    }
    let meta = found.meta.clone();
    let mut sha256 = Sha256::new();
    let mut whole = Vec::new();
    let mut chunks = found.into_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(destination.failed("read", &file.path))? {
        sha256.update(&chunk);
        if file.bytes <= WHOLE_BYTES {
            whole.extend_from_slice(&chunk);
        }
    }
    if hex(&sha256.finalize()) != file.sha256 {
        return Err(damaged("its SHA-256 is not the one in the commit record".to_owned()));
    }
    let rows = usize::try_from(file.rows).unwrap_or_default();
    let stored = StoredFile::new(destination, meta);
    let whole = (file.bytes <= WHOLE_BYTES).then(|| Bytes::from(whole));
    let entries = tokio::task::spawn_blocking(move || match whole {
        Some(whole) => entries(whole, rows),
        None => entries(stored, rows),
    });
    let entries = entries.await.map_err(|_| LoadError::Task { task: "read the seen rows".to_owned() })?;
    entries.map_err(|error| damaged(format!("it cannot be read ({error})")))
}

fn entries(file: impl ChunkReader + 'static, rows: usize) -> Result<Vec<Entry>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let hashes = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == HASHES.0));
    if hashes.and_then(|pair| pair.value.as_deref()) != Some(HASHES.1) {
        return Err(ParquetError::General("its hashes are of a kind that this version does not know".to_owned()));
    }
    let mut entries = Vec::with_capacity(rows);
    for batch in builder.with_batch_size(8192).build()? {
        let batch = batch?;
        let [scope, key, content] = ["scope", "key", "content"]
            .map(|name| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt64Type>()));
        let at = batch.column_by_name("at").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(scope), Some(key), Some(content), Some(at)) = (scope, key, content, at) else {
            return Err(ParquetError::General("its columns are not those of seen rows".to_owned()));
        };
        entries.extend((0..batch.num_rows()).map(|row| Entry {
            scope: scope.value(row),
            key: key.value(row),
            content: content.value(row),
            at: if at.is_valid(row) { at.value(row) } else { UNDATED },
        }));
    }
    // They are sorted already; looking them up depends on it.
    entries.sort_unstable();
    Ok(entries)
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("scope", DataType::UInt64, false),
        Field::new("key", DataType::UInt64, false),
        Field::new("content", DataType::UInt64, false),
        Field::new("at", DataType::Int64, true),
    ]))
}

fn batch(entries: &[Entry]) -> Result<RecordBatch, ArrowError> {
    let hashes = |of: fn(&Entry) -> u64| Arc::new(entries.iter().map(of).collect::<UInt64Array>()) as ArrayRef;
    let at: Int64Array = entries.iter().map(|entry| (entry.at != UNDATED).then_some(entry.at)).collect();
    let columns =
        vec![hashes(|entry| entry.scope), hashes(|entry| entry.key), hashes(|entry| entry.content), Arc::new(at)];
    RecordBatch::try_new(schema(), columns)
}
