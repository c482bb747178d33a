//! A sorted list of keys with what is to be remembered of each, on disk where memory ends.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow_select::interleave::interleave;
use ctct_catalog::FieldType;
use tokio::runtime::Handle;

use crate::error::LoadError;
use crate::merge::block::{Block, Columns, Cursor};
use crate::merge::columns::{Shape, SortOrder, instants};
use crate::merge::delta::Delta;
use crate::merge::outline::projected;
use crate::merge::runs::{DeltaRun, RunBlocks};

/// Keys that are gathered before they are sorted in.
const BATCH: usize = 4096;

/// What is remembered of a key. Instants are microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mention {
    pub(crate) at: i64,
    /// When the row changed.
    pub(crate) changed: Option<i64>,
    /// A partition.
    pub(crate) place: u32,
    /// What the list is divided by: it is sorted by this, the key and the sequence.
    pub(crate) division: u32,
    pub(crate) sequence: u64,
}

/// What all lists of keys of a table have in common.
#[derive(Debug)]
pub(crate) struct MentionShape {
    schema: SchemaRef,
    columns: Columns,
    order: Arc<SortOrder>,
    keys: usize,
}

impl MentionShape {
    pub(crate) fn of(shape: &Shape) -> Result<Self, LoadError> {
        let mut fields: Vec<FieldRef> = projected(shape.schema(), &shape.columns.keys);
        let keys = fields.len();
        fields.push(Arc::new(Field::new("at", FieldType::Timestamp.data_type(), false)));
        fields.push(Arc::new(Field::new("changed", DataType::Int64, true)));
        fields.push(Arc::new(Field::new("place", DataType::UInt32, false)));
        fields.push(Arc::new(Field::new("division", DataType::UInt32, false)));
        fields.push(Arc::new(Field::new("sequence", DataType::UInt64, false)));
        let schema = Arc::new(Schema::new(fields));
        let failed = || shape.layout.arrow_error("compare");
        let columns = Columns::new(&schema, (0..keys).collect(), keys).map_err(failed())?;
        let sort = [keys + 3].into_iter().chain(0..keys).chain([keys + 4]).collect();
        let order = Arc::new(SortOrder::new(shape.table(), &schema, sort).map_err(failed())?);
        Ok(Self { schema, columns, order, keys })
    }

    /// The mentions of one division of a list, in order.
    pub(crate) fn rows<'a>(&'a self, list: &'a DeltaRun, division: u32) -> Cursor<RunBlocks<'a>> {
        Cursor::new(RunBlocks::new(list, &self.columns, division))
    }

    /// What is remembered of a key, of a block of this shape.
    pub(crate) fn mention(&self, block: &Block, row: usize, division: u32) -> Mention {
        let changed = block.rows.column(self.keys + 1).as_primitive::<Int64Type>();
        Mention {
            at: block.extracted_at(row),
            changed: changed.is_valid(row).then(|| changed.value(row)),
            place: block.rows.column(self.keys + 2).as_primitive::<UInt32Type>().value(row),
            division,
            sequence: block.sequences[row],
        }
    }

    /// The columns of its lists.
    pub(crate) fn into_columns(self) -> Columns {
        self.columns
    }
}

/// A list in the making.
pub(crate) struct Mentions<'a> {
    shape: &'a MentionShape,
    runtime: Handle,
    sorted: Delta,
    keys: Vec<(Arc<Block>, usize)>,
    remembered: Vec<Mention>,
    len: u64,
}

impl<'a> Mentions<'a> {
    /// To be used on a thread that may block, within a runtime.
    pub(crate) fn new(shape: &'a MentionShape, memory_bytes: usize) -> Self {
        let sorted = Delta::sorted_by(std::iter::once(Arc::clone(&shape.order)), memory_bytes);
        Self { shape, runtime: Handle::current(), sorted, keys: Vec::new(), remembered: Vec::new(), len: 0 }
    }

    /// Adds the key of a row. The key's columns are the first of the block's.
    pub(crate) fn push(&mut self, (block, row): (&Arc<Block>, usize), mention: Mention) -> Result<(), LoadError> {
        self.keys.push((Arc::clone(block), row));
        self.remembered.push(mention);
        self.len += 1;
        if self.keys.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The list, sorted.
    pub(crate) fn finish(mut self) -> Result<DeltaRun, LoadError> {
        self.flush()?;
        let runs = self.runtime.block_on(self.sorted.finish())?;
        Ok(runs.into_iter().next().unwrap_or_default())
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        let mut order = Vec::with_capacity(self.keys.len());
        for (block, row) in self.keys.drain(..) {
            let at = blocks.iter().rposition(|known| Arc::ptr_eq(known, &block)).unwrap_or_else(|| {
                blocks.push(block);
                blocks.len() - 1
            });
            order.push((at, row));
        }
        let mentions = std::mem::take(&mut self.remembered);
        let key = |column: usize| {
            let arrays: Vec<&dyn Array> = blocks.iter().map(|block| block.rows.column(column).as_ref()).collect();
            let keys = interleave(&arrays, &order)?;
            Ok(match keys.as_string_view_opt() {
                Some(texts) => Arc::new(texts.gc()) as ArrayRef,
                None => keys,
            })
        };
        let failed = || self.shape.order.failed("gather keys of");
        let mut columns: Vec<ArrayRef> = (0..self.shape.keys).map(key).collect::<Result<_, _>>().map_err(failed())?;
        columns.push(instants(mentions.iter().map(|mention| Some(mention.at)).collect::<TimestampMicrosecondArray>()));
        columns.push(Arc::new(mentions.iter().map(|mention| mention.changed).collect::<Int64Array>()));
        columns.push(Arc::new(UInt32Array::from_iter_values(mentions.iter().map(|mention| mention.place))));
        columns.push(Arc::new(UInt32Array::from_iter_values(mentions.iter().map(|mention| mention.division))));
        columns.push(Arc::new(UInt64Array::from_iter_values(mentions.iter().map(|mention| mention.sequence))));
        let rows = RecordBatch::try_new(Arc::clone(&self.shape.schema), columns).map_err(failed())?;
        self.runtime.block_on(self.sorted.push(0, rows))
    }
}
