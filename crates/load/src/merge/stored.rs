//! A stored file, read a row group at a time with one request each, in the order of its key.

use std::collections::BTreeSet;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader, new_null_array};
use arrow_buffer::ScalarBuffer;
use arrow_row::{OwnedRow, Row, Rows};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use tokio::task::JoinHandle;

use crate::error::LoadError;
use crate::files::footer::possible;
use crate::files::layout::ACCOUNT_COLUMN;
use crate::files::read::StoredFile;
use crate::merge::block::{Block, Blocks, Columns, converter};
use crate::merge::columns::Shape;
use crate::merge::outline::Outline;

/// Bytes between two columns that are fetched rather than asked around.
const GAP_BYTES: u64 = 128 << 10;
/// Bytes from the end of a file that are fetched first: most footers, and all of a small file.
const TAIL_BYTES: u64 = 512 << 10;

/// A stored file whose footer was read.
#[derive(Debug)]
pub(crate) struct TableFile<'a> {
    file: StoredFile,
    shape: &'a Shape,
    metadata: ArrowReaderMetadata,
    /// What batches have: all columns of the table, or some.
    columns: &'a Columns,
    schema: SchemaRef,
    /// For each of them its place in the file; `None` where the file is older than the column.
    places: Vec<Option<usize>>,
    /// Whether these are some columns only.
    some: bool,
    tail: FetchedRange,
    /// The greatest value of the first key column in each row group, where that is known.
    greatest: ArrayRef,
    greatest_keys: Rows,
}

impl<'a> TableFile<'a> {
    pub(crate) fn open(file: StoredFile, shape: &'a Shape) -> Result<Self, LoadError> {
        Self::open_some(file, shape, &shape.columns, None)
    }

    /// Opens a file of which only some columns are of interest.
    pub(crate) fn open_outline(file: StoredFile, shape: &'a Shape, outline: &'a Outline) -> Result<Self, LoadError> {
        Self::open_some(file, shape, &outline.keys, Some(outline))
    }

    fn open_some(
        file: StoredFile,
        shape: &'a Shape,
        columns: &'a Columns,
        outline: Option<&Outline>,
    ) -> Result<Self, LoadError> {
        let failed = |error| file.failed(error);
        let tail = FetchedRange::fetch(&file, file.size().saturating_sub(TAIL_BYTES)..file.size()).map_err(failed)?;
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
        let (schema, places) = match outline {
            None => (Arc::clone(shape.schema()), places),
            Some(outline) => {
                (Arc::clone(&outline.schema), outline.columns.iter().map(|column| places[*column]).collect())
            }
        };
        let some = outline.is_some();
        Ok(Self { file, shape, metadata, columns, schema, places, some, tail, greatest, greatest_keys })
    }

    /// Its row groups in order. Where all of them are wanted, each is fetched while the one before is in work.
    pub(crate) fn blocks(&self, all: bool) -> StoredBlocks<'_> {
        StoredBlocks { table: self, next: 0, all, ahead: None, last: None }
    }

    fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The bytes of a row group's columns that are wanted. All of them stand side by side; of some, those that are close to
    /// each other are fetched together.
    fn ranges(&self, group: usize) -> Vec<Range<u64>> {
        let columns = self.metadata.metadata().row_group(group).columns().iter().enumerate();
        let wanted = columns.filter(|(at, _)| !self.some || self.places.contains(&Some(*at)));
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut found: Vec<(u64, u64)> = wanted.map(|(_, column)| column.byte_range()).collect();
        found.sort_unstable();
        for (start, length) in found {
            match ranges.last_mut() {
                Some(last) if !self.some || start <= last.end + GAP_BYTES => last.end = last.end.max(start + length),
                _ => ranges.push(start..start + length),
            }
        }
        ranges
    }

    /// The rows of a row group as one batch with the columns that are wanted.
    fn decode(&self, group: usize, bytes: Pieces) -> Result<RecordBatch, LoadError> {
        let failed = |error| self.file.failed(error);
        let rows = usize::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or_default();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, self.metadata.clone());
        let mask = if self.some {
            ProjectionMask::roots(builder.parquet_schema(), self.places.iter().flatten().copied())
        } else {
            ProjectionMask::all()
        };
        let reader = builder.with_projection(mask).with_row_groups(vec![group]).with_batch_size(rows.max(1)).build();
        let reader = reader.map_err(failed)?;
        let read = reader.schema();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(|error| failed(error.into()))?;
        let batch = match batches.as_slice() {
            [batch] => Ok(batch.clone()),
            batches => concat_batches(&read, batches),
        };
        let extended = batch.and_then(|batch| {
            let column = |(place, field): (&Option<usize>, &Arc<Field>)| match place {
                // Columns come in the order of the file.
                Some(place) if self.some => {
                    let before = self.places.iter().flatten().filter(|other| *other < place);
                    Arc::clone(batch.column(before.collect::<BTreeSet<_>>().len()))
                }
                Some(place) => Arc::clone(batch.column(*place)),
                None => new_null_array(field.data_type(), batch.num_rows()),
            };
            let columns = self.places.iter().zip(self.schema.fields()).map(column).collect();
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        });
        extended.map_err(|error| failed(error.into()))
    }
}

/// The footer. A second request is only made for one that is longer than the tail.
fn footer(file: &StoredFile, tail: &FetchedRange) -> Result<ParquetMetaData, ParquetError> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    match reader.try_parse_sized(&tail.bytes, file.size()) {
        Err(ParquetError::NeedMoreData(needed)) => {
            let start = file.size().saturating_sub(needed as u64);
            reader.try_parse_sized(&file.fetch(start..file.size())?, file.size())?;
        }
        parsed => parsed?,
    }
    let footer = reader.finish()?;
    possible(&footer)?;
    Ok(footer)
}

/// For each column of the table its place in a file.
fn places(shape: &Shape, file: &Schema) -> Result<Vec<Option<usize>>, String> {
    let schema = shape.schema();
    let known = |name: &str| name == ACCOUNT_COLUMN || schema.index_of(name).is_ok();
    if let Some(unknown) = file.fields().iter().find(|field| !known(field.name())) {
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
    table: &'a TableFile<'a>,
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

    fn pieces(&mut self, group: usize) -> Result<Pieces, ParquetError> {
        let mut pieces = Vec::new();
        for range in self.table.ranges(group) {
            pieces.push(match self.ahead.take() {
                Some(ahead) => FetchedRange { bytes: self.table.file.fetched(ahead)?, start: range.start },
                None => match self.table.tail.part(&range) {
                    Some(part) => part,
                    None => FetchedRange::fetch(&self.table.file, range)?,
                },
            });
        }
        Ok(Pieces(pieces))
    }
}

impl Blocks for StoredBlocks<'_> {
    fn next(&mut self) -> Result<Option<Block>, LoadError> {
        let table = self.table;
        if self.next == table.row_groups() {
            return Ok(None);
        }
        table.file.stop().check()?;
        let group = self.next;
        let pieces = self.pieces(group).map_err(|error| table.file.failed(error))?;
        self.next += 1;
        if self.all && !table.some && self.next < table.row_groups() {
            let range = table.ranges(self.next).into_iter().next().unwrap_or_default();
            self.ahead = table.tail.part(&range).is_none().then(|| table.file.fetch_ahead(range));
        }
        let rows = table.decode(group, pieces)?;
        if rows.num_rows() == 0 {
            return self.next();
        }
        let row_bytes = rows.get_array_memory_size().div_ceil(rows.num_rows());
        let block = table.columns.block(rows, ScalarBuffer::from(Vec::new()), row_bytes);
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
struct FetchedRange {
    start: u64,
    bytes: Bytes,
}

impl FetchedRange {
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

/// Pieces of a file in their order, which are all that its reader asks for.
struct Pieces(Vec<FetchedRange>);

impl Length for Pieces {
    fn len(&self) -> u64 {
        self.0.last().map_or(0, |piece| piece.start + piece.bytes.len() as u64)
    }
}

impl ChunkReader for Pieces {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let rest = self.0.iter().find_map(|piece| piece.part(&(start..piece.start + piece.bytes.len() as u64)));
        Ok(Box::new(rest.ok_or_else(outside)?.bytes.reader()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let range = start..start + length as u64;
        self.0.iter().find_map(|piece| piece.part(&range)).map(|part| part.bytes).ok_or_else(outside)
    }
}

fn outside() -> ParquetError {
    ParquetError::EOF("a page is not where its row group is".to_owned())
}
