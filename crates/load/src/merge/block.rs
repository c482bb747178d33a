//! Rows in the order of their key, a batch at a time, and a cursor over them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_buffer::ScalarBuffer;
use arrow_row::{Row, RowConverter, Rows, SortField};
use arrow_schema::ArrowError;
use arrow_schema::Schema;
use arrow_schema::SortOptions;

use crate::error::LoadError;

/// Rows in the order of their key, with what merging looks at.
pub(crate) struct Block {
    pub(crate) rows: RecordBatch,
    keys: Rows,
    extracted_at: usize,
    /// For each row the sequence of its parent row; empty for stored rows.
    pub(crate) sequences: ScalarBuffer<u64>,
    /// Arrow bytes of a row, on average.
    pub(crate) row_bytes: usize,
}

impl Block {
    pub(crate) fn key(&self, row: usize) -> Row<'_> {
        self.keys.row(row)
    }

    /// When the row's response arrived, in microseconds.
    pub(crate) fn extracted_at(&self, row: usize) -> i64 {
        self.instant(self.extracted_at, row)
    }

    /// The value of a column of instants that has no nulls.
    pub(crate) fn instant(&self, column: usize, row: usize) -> i64 {
        self.rows.column(column).as_primitive::<TimestampMicrosecondType>().value(row)
    }

    /// The value of a column of instants.
    pub(crate) fn instant_or_none(&self, column: usize, row: usize) -> Option<i64> {
        self.rows.column(column).is_valid(row).then(|| self.instant(column, row))
    }

    /// Whether no row stands before a row that it should follow.
    pub(crate) fn is_sorted(&self) -> bool {
        (1..self.rows.num_rows()).all(|row| self.key(row - 1) <= self.key(row))
    }
}

/// Where a batch has what [`Block`] needs.
#[derive(Debug)]
pub(crate) struct Columns {
    /// The columns that rows are merged by.
    pub(crate) keys: Vec<usize>,
    pub(crate) extracted_at: usize,
    converter: RowConverter,
}

impl Columns {
    pub(crate) fn new(schema: &Schema, keys: Vec<usize>, extracted_at: usize) -> Result<Self, ArrowError> {
        let converter = converter(schema, &keys)?;
        Ok(Self { keys, extracted_at, converter })
    }

    /// The keys of some rows, in a form that compares by its bytes.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Rows, ArrowError> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|at| Arc::clone(rows.column(*at))).collect();
        self.converter.convert_columns(&keys)
    }

    pub(crate) fn block(
        &self,
        rows: RecordBatch,
        sequences: ScalarBuffer<u64>,
        row_bytes: usize,
    ) -> Result<Block, ArrowError> {
        let keys = self.keys(&rows)?;
        Ok(Block { rows, keys, extracted_at: self.extracted_at, sequences, row_bytes })
    }
}

/// Rows of a block that stand side by side; never empty.
#[derive(Clone)]
pub(crate) struct Span {
    pub(crate) block: Arc<Block>,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Span {
    pub(crate) fn rows(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }

    /// The span cut into pieces in which all rows are judged alike, each with that judgment.
    pub(crate) fn divided(&self, answer: impl Fn(usize) -> bool) -> Vec<(Span, bool)> {
        let mut pieces: Vec<(Span, bool)> = Vec::new();
        for row in self.rows() {
            let now = answer(row);
            match pieces.last_mut() {
                Some((piece, before)) if *before == now => piece.len += 1,
                _ => pieces.push((Span { block: Arc::clone(&self.block), start: row, len: 1 }, now)),
            }
        }
        pieces
    }
}

/// How many rows spans have together.
pub(crate) fn count(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.len).sum()
}

/// Each row of the spans.
pub(crate) fn each_row(spans: &[Span]) -> impl Iterator<Item = (&Arc<Block>, usize)> {
    spans.iter().flat_map(|span| span.rows().map(move |row| (&span.block, row)))
}

/// Where blocks come from: a stored file or a run's own rows. No key of a block is below one of an earlier block.
pub(crate) trait Blocks {
    /// The next block with rows; `None` at the end.
    fn next(&mut self) -> Result<Option<Block>, LoadError>;
}

/// A place among the rows of blocks.
pub(crate) struct Cursor<B> {
    pub(crate) blocks: B,
    block: Option<Arc<Block>>,
    row: usize,
}

impl<B: Blocks> Cursor<B> {
    pub(crate) fn new(blocks: B) -> Self {
        Self { blocks, block: None, row: 0 }
    }

    /// Whether the next row is in a block that was not fetched yet.
    pub(crate) fn is_between_blocks(&self) -> bool {
        self.block.as_ref().is_none_or(|block| self.row == block.rows.num_rows())
    }

    /// The next row; `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<(&Arc<Block>, usize)>, LoadError> {
        if self.is_between_blocks() {
            self.block = self.blocks.next()?.map(Arc::new);
            self.row = 0;
        }
        Ok(self.block.as_ref().map(|block| (block, self.row)))
    }

    /// The rows with this key, if they are next.
    pub(crate) fn take_equal(&mut self, key: Row<'_>) -> Result<Vec<Span>, LoadError> {
        let mut spans = Vec::new();
        while let Some((block, start)) = self.peek()? {
            let rows = start..block.rows.num_rows();
            let len = rows.take_while(|row| block.key(*row) == key).count();
            if len == 0 {
                break;
            }
            spans.push(Span { block: Arc::clone(block), start, len });
            self.row += len;
        }
        Ok(spans)
    }

    /// Some of the next rows whose key is below this one, or of all next rows; `None` where there are no more.
    pub(crate) fn take_below(&mut self, key: Option<Row<'_>>) -> Result<Option<Span>, LoadError> {
        let Some((block, start)) = self.peek()? else { return Ok(None) };
        let (mut low, mut high) = (start, block.rows.num_rows());
        if let Some(key) = key {
            while low < high {
                let middle = low.midpoint(high);
                if block.key(middle) < key {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
        }
        if high == start {
            return Ok(None);
        }
        let span = Span { block: Arc::clone(block), start, len: high - start };
        self.row = high;
        Ok(Some(span))
    }
}

/// Turns these columns into a form that compares by its bytes, ascending, nulls first.
pub(crate) fn converter(schema: &Schema, columns: &[usize]) -> Result<RowConverter, ArrowError> {
    let nulls_first = SortOptions { descending: false, nulls_first: true };
    let field = |at: &usize| SortField::new_with_options(schema.field(*at).data_type().clone(), nulls_first);
    RowConverter::new(columns.iter().map(field).collect())
}
