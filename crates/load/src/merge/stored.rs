//! A stored file, read a row group at a time with one request each, in the order of its key.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::row::{OwnedRow, Row, Rows};
use bytes::{Buf, Bytes};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use tokio::task::JoinHandle;

use crate::LoadError;
use crate::merge::block::{Block, Blocks};
use crate::merge::columns::{Shape, converter};
use crate::read::StoredFile;

/// Bytes from the end of a file that are fetched first: most footers, and the whole of small files.
const TAIL_BYTES: u64 = 512 << 10;

/// A stored file whose footer was read.
#[derive(Debug)]
pub(crate) struct StoredTable<'a> {
    file: StoredFile,
    shape: &'a Shape,
    metadata: ArrowReaderMetadata,
    /// For each column of the table its place in the file; `None` where the file is older than the column.
    places: Vec<Option<usize>>,
    tail: Piece,
    /// The greatest value of the first key column in each row group, where that is known.
    greatest: ArrayRef,
    greatest_keys: Rows,
}

impl<'a> StoredTable<'a> {
    pub(crate) fn open(file: StoredFile, shape: &'a Shape) -> Result<Self, LoadError> {
        let failed = |error| file.failed(error);
        let tail = Piece::fetch(&file, file.size().saturating_sub(TAIL_BYTES)..file.size()).map_err(failed)?;
        let metadata = footer(&file, &tail).map_err(failed)?;
        let options = ArrowReaderOptions::new();
        let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options.clone()).map_err(failed)?;
        // Strings as views, as they are everywhere in this program.
        let view = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
            _ => Arc::clone(field),
        };
        let views = Arc::new(Schema::new(metadata.schema().fields().iter().map(view).collect::<Vec<_>>()));
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options.with_schema(views));
        let metadata = metadata.map_err(failed)?;
        let places =
            places(shape, metadata.schema()).map_err(|reason| LoadError::Columns { path: file.shown(), reason })?;

        let key = shape.columns.keys.first().copied().unwrap_or_default();
        let name = shape.schema().field(key).name();
        let statistics = StatisticsConverter::try_new(name, metadata.schema(), metadata.parquet_schema());
        let greatest = statistics.and_then(|column| column.row_group_maxes(metadata.metadata().row_groups()));
        let greatest = greatest.map_err(failed)?;
        let keys = converter(shape.schema(), &[key]);
        let greatest_keys = keys.and_then(|keys| keys.convert_columns(&[Arc::clone(&greatest)]));
        let greatest_keys = greatest_keys.map_err(shape.layout.arrow_error("compare"))?;
        Ok(Self { file, shape, metadata, places, tail, greatest, greatest_keys })
    }

    /// Its row groups in order. Where all of them are wanted, each is fetched while the one before is in work.
    pub(crate) fn blocks(&self, all: bool) -> StoredBlocks<'_> {
        StoredBlocks { table: self, next: 0, all, ahead: None, last: None }
    }

    fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The bytes of a row group's columns, which stand side by side.
    fn range(&self, group: usize) -> Range<u64> {
        let columns = self.metadata.metadata().row_group(group).columns();
        let ends = columns.iter().map(|column| {
            let (start, length) = column.byte_range();
            (start, start + length)
        });
        let (start, end) = ends.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap_or_default();
        start..end
    }

    /// The rows of a row group as one batch with the columns of the table.
    fn decode(&self, group: usize, bytes: Piece) -> Result<RecordBatch, LoadError> {
        let failed = |error| self.file.failed(error);
        let rows = usize::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or_default();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, self.metadata.clone())
            .with_row_groups(vec![group])
            .with_batch_size(rows.max(1))
            .build()
            .map_err(failed)?;
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(|error| failed(error.into()))?;
        let batch = match batches.as_slice() {
            [batch] => Ok(batch.clone()),
            batches => concat_batches(self.metadata.schema(), batches),
        };
        let extended = batch.and_then(|batch| {
            let column = |(place, field): (&Option<usize>, &Arc<Field>)| match place {
                Some(place) => Arc::clone(batch.column(*place)),
                None => new_null_array(field.data_type(), batch.num_rows()),
            };
            let schema = self.shape.schema();
            let columns = self.places.iter().zip(schema.fields()).map(column).collect();
            RecordBatch::try_new(Arc::clone(schema), columns)
        });
        extended.map_err(|error| failed(error.into()))
    }
}

/// The footer. A second request is only made for one that is longer than the tail.
fn footer(file: &StoredFile, tail: &Piece) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    match reader.try_parse_sized(&tail.bytes, file.size()) {
        Err(ParquetError::NeedMoreData(needed)) => {
            let start = file.size().saturating_sub(needed as u64);
            reader.try_parse_sized(&file.fetch(start..file.size())?, file.size())?;
        }
        parsed => parsed?,
    }
    reader.finish()
}

/// For each column of the table its place in a file.
fn places(shape: &Shape, file: &Schema) -> Result<Vec<Option<usize>>, String> {
    let schema = shape.schema();
    if let Some(unknown) = file.fields().iter().find(|field| schema.index_of(field.name()).is_err()) {
        return Err(format!("it has a column `{}` that is not known", unknown.name()));
    }
    let place = |field: &Arc<Field>| match file.index_of(field.name()) {
        Ok(at) if file.field(at).data_type() == field.data_type() => Ok(Some(at)),
        Ok(_) => Err(format!("its column `{}` has another type", field.name())),
        Err(_) if field.is_nullable() => Ok(None),
        Err(_) => Err(format!("it has no column `{}`", field.name())),
    };
    schema.fields().iter().map(place).collect()
}

/// The row groups of a stored file in order.
pub(crate) struct StoredBlocks<'a> {
    table: &'a StoredTable<'a>,
    next: usize,
    all: bool,
    /// The next row group, on its way.
    ahead: Option<JoinHandle<Result<Bytes, ParquetError>>>,
    /// The last key that was seen.
    last: Option<OwnedRow>,
}

impl StoredBlocks<'_> {
    /// Passes over row groups that cannot hold this key or a greater one, without fetching them.
    pub(crate) fn skip_below(&mut self, key: Row<'_>) {
        let key = key.data();
        // A key begins with its first column. What is known of that column may be cut off, and then is too great.
        let below = |group: usize| {
            let greatest = self.table.greatest_keys.row(group);
            self.table.greatest.is_valid(group) && greatest.data() < &key[..key.len().min(greatest.data().len())]
        };
        while self.next < self.table.row_groups() && below(self.next) {
            self.next += 1;
            self.ahead = None;
        }
    }

    fn piece(&mut self, group: usize) -> Result<Piece, ParquetError> {
        let range = self.table.range(group);
        match self.ahead.take() {
            Some(ahead) => Ok(Piece { bytes: self.table.file.fetched(ahead)?, start: range.start }),
            None => match self.table.tail.part(&range) {
                Some(part) => Ok(part),
                None => Piece::fetch(&self.table.file, range),
            },
        }
    }
}

impl Blocks for StoredBlocks<'_> {
    fn next(&mut self) -> Result<Option<Block>, LoadError> {
        let table = self.table;
        if self.next == table.row_groups() {
            return Ok(None);
        }
        let group = self.next;
        let piece = self.piece(group).map_err(|error| table.file.failed(error))?;
        self.next += 1;
        if self.all && self.next < table.row_groups() {
            let range = table.range(self.next);
            self.ahead = table.tail.part(&range).is_none().then(|| table.file.fetch_ahead(range));
        }
        let rows = table.decode(group, piece)?;
        if rows.num_rows() == 0 {
            return self.next();
        }
        let row_bytes = rows.get_array_memory_size().div_ceil(rows.num_rows());
        let block = table.shape.columns.block(rows, ScalarBuffer::from(Vec::new()), row_bytes);
        let block = block.map_err(table.shape.layout.arrow_error("compare"))?;
        if !block.is_sorted() || self.last.as_ref().is_some_and(|last| last.row() > block.key(0)) {
            let reason = "its rows are not in the order of their key".to_owned();
            return Err(LoadError::Damaged { path: table.file.shown(), reason });
        }
        self.last = Some(block.key(block.rows.num_rows() - 1).owned());
        Ok(Some(block))
    }
}

/// Some bytes of a file, which are all that its reader asks for.
#[derive(Debug, Clone)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Piece {
    fn fetch(file: &StoredFile, range: Range<u64>) -> Result<Self, ParquetError> {
        let start = range.start;
        Ok(Self { start, bytes: if range.is_empty() { Bytes::new() } else { file.fetch(range)? } })
    }

    /// A part of the piece; `None` where the piece has not all of it.
    fn part(&self, range: &Range<u64>) -> Option<Self> {
        let within = |at: u64| usize::try_from(at.checked_sub(self.start)?).ok().filter(|at| *at <= self.bytes.len());
        let (start, end) = (within(range.start)?, within(range.end)?);
        Some(Self { start: range.start, bytes: self.bytes.slice(start..end) })
    }
}

impl Length for Piece {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Piece {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let rest = self.part(&(start..self.len())).ok_or_else(outside)?;
        Ok(Box::new(rest.bytes.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.part(&(start..start + length as u64)).map(|part| part.bytes).ok_or_else(outside)
    }
}

fn outside() -> ParquetError {
    ParquetError::EOF("a page is not where its row group is".to_owned())
}
