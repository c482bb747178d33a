//! The file of seen rows: hashes only, no personal data.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use ctct_catalog::Table;
use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use sha2::{Digest, Sha256};

use super::UNDATED;
use crate::dedupe::index::{Entry, Index, RunBuilder};
use crate::destination::Destination;
use crate::destination::checksum::hex;
use crate::destination::file_options::FileOptions;
use crate::destination::upload::Upload;
use crate::error::LoadError;
use crate::files::encode::TableEncoder;
use crate::files::footer;
use crate::files::layout::FileLayout;
use crate::files::read::StoredFile;
use crate::log::record::StateFile;

/// Entries of a row group: 2 MiB.
const ROW_GROUP: usize = 1 << 16;
/// Largest file that is read at once. A larger one is read twice, once to check it, a row group at a time.
const WHOLE_BYTES: u64 = 4 << 20;
/// Names what the hashes are made of; another way to make them needs another number.
const HASHES: (&str, &str) = ("ctct.seen_hashes", "2");
/// Names the instant, in microseconds, from which on every record that is stored has an entry; absent where every record has.
const FROM: &str = "ctct.seen_from";

/// What a file holds.
#[derive(Debug)]
pub(super) enum Read {
    Usable {
        index: Index,
        /// From when on every record that is stored has an entry; `None` where every record has.
        from: Option<i64>,
    },
    /// It is not there, is not what was written, or was written by another version of this program.
    Unusable(String),
}

/// Writes entries to staging.
pub(super) async fn write(
    destination: &Destination,
    staged: String,
    path: String,
    from: Option<i64>,
    mut entries: impl Iterator<Item = Result<Entry, LoadError>>,
) -> Result<StateFile, LoadError> {
    let layout = layout(from)?;
    let mut encoder = TableEncoder::new(&layout)?;
    let mut upload = Upload::new(destination, staged.clone());
    loop {
        let group: Vec<Entry> = entries.by_ref().take(ROW_GROUP).collect::<Result<_, _>>()?;
        if group.is_empty() {
            break;
        }
        let batch = batch(&group).map_err(layout.arrow_error("gather"))?;
        upload.put(encoder.encode(&[batch], None)?).await?;
    }
    let (footer, totals) = encoder.finish()?;
    upload.put(footer).await?;
    upload.finish().await?;
    Ok(StateFile { path, staged: Some(staged), rows: totals.rows, bytes: totals.bytes, sha256: totals.sha256 })
}

/// How a file is laid out.
fn layout(from: Option<i64>) -> Result<Arc<FileLayout>, LoadError> {
    let table = Table {
        name: "seen".to_owned(),
        schema: schema(),
        key: ["key_high", "key_low"].map(str::to_owned).to_vec(),
        ids: Vec::new(),
        parent: None,
        path: String::new(),
        origins: Vec::new(),
        references: Vec::new(),
        doc: String::new(),
    };
    let mut metadata = vec![(HASHES.0, HASHES.1.to_owned())];
    metadata.extend(from.map(|from| (FROM, from.to_string())));
    Ok(Arc::new(FileLayout::new(&table, &[], &metadata, &FileOptions::default())?))
}

/// The bytes of a file with these entries.
#[cfg(any(test, fuzzing))]
pub(super) fn encoded(from: Option<i64>, entries: &[Entry]) -> Result<Vec<u8>, LoadError> {
    let layout = layout(from)?;
    let mut encoder = TableEncoder::new(&layout)?;
    let mut file = Vec::new();
    if !entries.is_empty() {
        let batch = batch(entries).map_err(layout.arrow_error("gather"))?;
        file.extend_from_slice(&encoder.encode(&[batch], None)?);
    }
    let (footer, _) = encoder.finish()?;
    file.extend_from_slice(&footer);
    Ok(file)
}

/// Reads the entries of a file, and checks that it is what was written.
///
/// # Errors
/// The store fails, or what does not fit into memory cannot be kept aside.
pub(super) async fn read(destination: &Destination, file: &StateFile) -> Result<Read, LoadError> {
    let key = destination.key(&file.path)?;
    let found = match destination.store.get(&key).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(Read::Unusable("it is not there".to_owned())),
        Err(error) => return Err(destination.failed("read", &file.path)(error)),
    };
    if found.meta.size != file.bytes {
        return Ok(Read::Unusable(format!("it has {} bytes, not {}", found.meta.size, file.bytes)));
    }
    let meta = found.meta.clone();
    let mut sha256 = Sha256::new();
    let mut all = Vec::new();
    let mut chunks = found.into_stream();
    while let Some(chunk) = chunks.try_next().await.map_err(destination.failed("read", &file.path))? {
        sha256.update(&chunk);
        if file.bytes <= WHOLE_BYTES {
            all.extend_from_slice(&chunk);
        }
    }
    if hex(&sha256.finalize()) != file.sha256 {
        return Ok(Read::Unusable("its SHA-256 is not the one in the commit record".to_owned()));
    }
    let stored = StoredFile::new(destination, meta);
    let all = (file.bytes <= WHOLE_BYTES).then(|| Bytes::from(all));
    let entries = tokio::task::spawn_blocking(move || match all {
        Some(all) => entries(all),
        None => entries(stored),
    });
    let entries = entries.await.map_err(|_| LoadError::Task { task: "read the seen rows".to_owned() })?;
    match entries {
        Ok(read) => read,
        Err(error) => Ok(Read::Unusable(format!("it cannot be read ({error})"))),
    }
}

/// The entries of a file; the outer error is the file's, the inner one that of keeping them.
pub(super) fn entries(file: impl ChunkReader + 'static) -> Result<Result<Read, LoadError>, ParquetError> {
    let bytes = file.len();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    footer::possible(builder.metadata())?;
    let pairs = builder.metadata().file_metadata().key_value_metadata();
    let pair = |name: &str| pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == name)?.value.clone());
    if pair(HASHES.0).as_deref() != Some(HASHES.1) {
        return Ok(Ok(Read::Unusable("its hashes are of another version of this program".to_owned())));
    }
    let from = match pair(FROM).map(|from| from.parse()) {
        Some(Err(_)) => return Ok(Ok(Read::Unusable("it does not say from when on it has every record".to_owned()))),
        from => from.and_then(Result::ok),
    };
    // Memory is taken for as many as it says, and an entry takes more than a byte.
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default().min(bytes);
    let rows = usize::try_from(rows).unwrap_or_default();
    let mut run = RunBuilder::new(0, rows);
    for batch in builder.with_batch_size(8192).build()? {
        let batch = batch?;
        let [high, low, content] = ["key_high", "key_low", "content"]
            .map(|name| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<UInt64Type>()));
        let at = batch.column_by_name("at").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(high), Some(low), Some(content), Some(at)) = (high, low, content, at) else {
            return Err(ParquetError::General("its columns are not those of seen rows".to_owned()));
        };
        for row in 0..batch.num_rows() {
            let entry = Entry {
                key: (u128::from(high.value(row)) << 64) | u128::from(low.value(row)),
                content: content.value(row),
                at: if at.is_valid(row) { at.value(row) } else { UNDATED },
                order: 0,
            };
            match run.push(entry) {
                Ok(true) => {}
                Ok(false) => return Err(ParquetError::General("its entries are not in order".to_owned())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
    Ok(Index::of_run(run).map(|index| Read::Usable { index, from }))
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("key_high", DataType::UInt64, false),
        Field::new("key_low", DataType::UInt64, false),
        Field::new("content", DataType::UInt64, false),
        Field::new("at", DataType::Int64, true),
    ]))
}

#[expect(clippy::cast_possible_truncation, reason = "a key is written as its two halves")]
fn batch(entries: &[Entry]) -> Result<RecordBatch, ArrowError> {
    let hashes = |of: fn(&Entry) -> u64| Arc::new(entries.iter().map(of).collect::<UInt64Array>()) as ArrayRef;
    let at: Int64Array = entries.iter().map(|entry| (entry.at != UNDATED).then_some(entry.at)).collect();
    let (high, low) = (hashes(|entry| (entry.key >> 64) as u64), hashes(|entry| entry.key as u64));
    RecordBatch::try_new(schema(), vec![high, low, hashes(|entry| entry.content), Arc::new(at)])
}
