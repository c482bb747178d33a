//! Reads some columns of stored files as hashes of their rows.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_row::{OwnedRow, RowConverter, Rows, SortField};
use arrow_schema::ArrowError;
use arrow_schema::DataType;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

use super::CheckedFile;
use crate::destination::checksum::first_half;
use crate::destination::folder::{self, NULL_FOLDER};
use crate::error::LoadError;
use crate::files::footer;
use crate::files::read::StoredFile;
use crate::log::ReportLog;
use crate::log::inventory::partition_of;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8192;
/// Bits below the hash: one says whether the row is current, the others which file it is in.
pub(super) const HASH_SHIFT: u32 = 33;
pub(super) const CURRENT: u128 = 1 << 32;

/// What to read of files.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    /// Columns that are hashed together.
    pub(super) columns: Vec<String>,
    /// Columns that rows are to be in the order of.
    pub(super) order: Option<Vec<String>>,
    /// Columns that are null, or not there, in a row that is current.
    pub(super) null: Vec<&'static str>,
    /// Which hashes: this slice of so many.
    pub(super) slice: (u64, u64),
}

/// What was read of one file.
#[derive(Debug, Default)]
struct Scanned {
    hashes: Vec<u128>,
    unordered: bool,
}

/// What was read of all files.
#[derive(Debug, Default)]
pub(super) struct ScanResult {
    /// Sorted.
    pub(super) hashes: Vec<u128>,
    pub(super) unordered: Vec<usize>,
    pub(super) unread: Vec<usize>,
}

impl Scan {
    /// Reads files side by side.
    pub(super) async fn files(&self, log: &ReportLog, files: &[CheckedFile]) -> Result<ScanResult, LoadError> {
        let mut scanned = stream::iter(0..files.len())
            .map(|at| async move { Ok::<_, LoadError>((at, self.file(log, at, &files[at], None).await?)) })
            .buffer_unordered(at_a_time());
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let mut found = ScanResult::default();
        // A little more than its share, since a vector that grows is held twice.
        found.hashes.reserve(usize::try_from(rows / self.slice.1 / 64 * 66).unwrap_or_default());
        while let Some((at, scanned)) = scanned.try_next().await? {
            match scanned {
                Some(Scanned { hashes, unordered }) => {
                    found.hashes.extend(hashes);
                    found.unordered.extend(unordered.then_some(at));
                }
                None => found.unread.push(at),
            }
        }
        found.hashes.sort_unstable();
        found.unordered.sort_unstable();
        Ok(found)
    }

    /// The rows of each file whose hash is not among the sorted ones; `None` for a file that cannot be read.
    pub(super) async fn orphans(
        &self,
        log: &ReportLog,
        files: &[CheckedFile],
        parents: &Arc<Vec<u128>>,
    ) -> Result<Vec<(usize, Option<u64>)>, LoadError> {
        let scanned = stream::iter(0..files.len()).map(|at| async move {
            let scanned = self.file(log, at, &files[at], Some(Arc::clone(parents))).await?;
            Ok::<_, LoadError>((at, scanned.map(|scanned| scanned.hashes.len() as u64)))
        });
        let mut orphans: Vec<_> = scanned.buffer_unordered(at_a_time()).try_collect().await?;
        orphans.retain(|(_, rows)| *rows != Some(0));
        orphans.sort_unstable();
        Ok(orphans)
    }

    /// Reads one file on a blocking thread, without the rows whose hash is `known`; `None` where it cannot be read.
    async fn file(
        &self,
        log: &ReportLog,
        at: usize,
        file: &CheckedFile,
        known: Option<Arc<Vec<u128>>>,
    ) -> Result<Option<Scanned>, LoadError> {
        let destination = log.destination();
        let stored = StoredFile::at(destination, destination.key(&file.path)?, file.bytes);
        let (scan, path) = (self.clone(), file.path.clone());
        let read = move || scan.read(stored, &path, at, known.as_ref().map(|known| known.as_slice()));
        let read = tokio::task::spawn_blocking(read).await;
        match read.map_err(|_| LoadError::Task { task: format!("read `{}`", file.path) })? {
            Ok(scanned) => Ok(Some(scanned)),
            Err(error) => {
                tracing::debug!(path = file.path, %error, "a file cannot be read");
                Ok(None)
            }
        }
    }

    fn read(&self, file: StoredFile, path: &str, at: usize, known: Option<&[u128]>) -> Result<Scanned, ArrowError> {
        let mut scanned = Scanned::default();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        footer::possible(builder.metadata())?;
        let has = |name: &str| builder.schema().field_with_name(name).is_ok();
        let Some(folders) = folders(path, self.columns.iter().filter(|name| !has(name))) else {
            // A part of the key is in no column and no folder: there is nothing to compare.
            return Ok(scanned);
        };
        let present = |names: &[String]| names.iter().filter(|name| has(name)).cloned().collect::<Vec<_>>();
        let mut hashed = Encoder::new(present(&self.columns));
        let mut order = self.order.as_deref().map(|names| Ordered::new(present(names)));
        let null: Vec<&str> = self.null.iter().copied().filter(|name| has(name)).collect();
        let wanted = hashed.names.iter().chain(order.iter().flat_map(|order| &order.rows.names)).map(String::as_str);
        let mask = ProjectionMask::columns(builder.parquet_schema(), wanted.chain(null.iter().copied()));
        let (slice, slices) = self.slice;
        for batch in builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()? {
            let batch = batch?;
            let current: Vec<&ArrayRef> = null.iter().filter_map(|name| batch.column_by_name(name)).collect();
            let rows = hashed.encode(&batch)?;
            for row in 0..batch.num_rows() {
                // Where all of the key is in folders there is nothing to encode.
                let hash =
                    if hashed.names.is_empty() { hash(&folders, &[]) } else { hash(&folders, rows.row(row).as_ref()) };
                if u128::from(slice) != ((hash >> HASH_SHIFT) * u128::from(slices)) >> (128 - HASH_SHIFT) {
                    continue;
                }
                if known.is_some_and(|known| is_known(known, hash)) {
                    continue;
                }
                let is_current = current.iter().all(|column| column.is_null(row));
                scanned.hashes.push(hash | if is_current { CURRENT } else { 0 } | at as u128);
            }
            if let Some(order) = &mut order {
                scanned.unordered |= !order.follows(&batch)?;
            }
        }
        Ok(scanned)
    }
}

fn at_a_time() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Whether one of the sorted hashes is of the same key.
fn is_known(sorted: &[u128], hash: u128) -> bool {
    let at = sorted.partition_point(|known| *known < hash);
    sorted.get(at).is_some_and(|known| known >> HASH_SHIFT == hash >> HASH_SHIFT)
}

/// The first 95 bits of the key's SHA-256, with zeros below.
fn hash(folders: &str, key: &[u8]) -> u128 {
    let mut digest = Sha256::new();
    digest.update(folders);
    digest.update(key);
    (first_half(digest) >> HASH_SHIFT) << HASH_SHIFT
}

/// The values of columns that are partition folders, joined; `None` where one is in no folder, or in the null folder,
/// which many values may share.
fn folders<'a>(path: &str, columns: impl Iterator<Item = &'a String>) -> Option<String> {
    let mut joined = String::new();
    for column in columns {
        let mut levels = partition_of(path).split('/').filter_map(|level| level.split_once('='));
        let (_, value) = levels.find(|(key, value)| key == column && *value != NULL_FOLDER)?;
        joined += &folder::decode(value)?;
        joined.push('\0');
    }
    Some(joined)
}

/// Rows of some columns as bytes that compare as the rows do: ascending, nulls first.
struct Encoder {
    names: Vec<String>,
    converter: Option<RowConverter>,
}

impl Encoder {
    fn new(names: Vec<String>) -> Self {
        Self { names, converter: None }
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns: Vec<ArrayRef> =
            self.names.iter().filter_map(|name| batch.column_by_name(name)).map(plain).collect::<Result<_, _>>()?;
        let converter = match &mut self.converter {
            Some(converter) => converter,
            none => {
                let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
                none.insert(RowConverter::new(fields)?)
            }
        };
        converter.convert_columns(&columns)
    }
}

/// The column with all kinds of strings as one, so that a key has the same bytes in every file.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => cast(column, &DataType::Utf8),
        _ => Ok(Arc::clone(column)),
    }
}

/// Whether rows come in their order.
struct Ordered {
    rows: Encoder,
    last: Option<OwnedRow>,
}

impl Ordered {
    fn new(names: Vec<String>) -> Self {
        Self { rows: Encoder::new(names), last: None }
    }

    fn follows(&mut self, batch: &RecordBatch) -> Result<bool, ArrowError> {
        let rows = self.rows.encode(batch)?;
        let begins = match (&self.last, rows.iter().next()) {
            (Some(last), Some(first)) => last.row() <= first,
            _ => true,
        };
        let follows = begins && rows.iter().zip(rows.iter().skip(1)).all(|(left, right)| left <= right);
        if let Some(last) = rows.iter().last() {
            self.last = Some(last.owned());
        }
        Ok(follows)
    }
}

/// Which file a hash is of.
pub(super) fn file_of(hash: u128) -> usize {
    usize::try_from(hash & (CURRENT - 1)).unwrap_or_default()
}
