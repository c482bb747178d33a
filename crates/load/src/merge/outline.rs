//! What decides between versions of a row: its key, when it changed and came, and whether it holds. Few columns of many, so
//! that they can be looked at before anything is merged.

use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{FieldRef, Schema, SchemaRef};

use crate::dedupe::seen;
use crate::error::LoadError;
use crate::merge::block::{Block, Columns, Cursor};
use crate::merge::columns::Shape;
use crate::merge::runs::{DeltaRun, RunBlocks};

/// Some columns of the report's own table.
#[derive(Debug)]
pub(crate) struct Outline {
    /// The columns, by their places in the table: the key first, then when the row was read.
    pub(crate) columns: Vec<usize>,
    pub(crate) schema: SchemaRef,
    pub(crate) keys: Columns,
    /// Places in the outline of the columns whose greatest value tells which version is newer.
    changed: Vec<usize>,
    /// Of `_valid_from` and `_valid_to`, with history.
    valid: Option<(usize, usize)>,
}

impl Outline {
    pub(crate) fn of(shape: &Shape) -> Result<Self, LoadError> {
        let mut columns = shape.columns.keys.clone();
        let mut place = |at: usize| {
            columns.iter().position(|known| *known == at).unwrap_or_else(|| {
                columns.push(at);
                columns.len() - 1
            })
        };
        let extracted_at = place(shape.columns.extracted_at);
        let changed = shape.changed.iter().map(|at| place(*at)).collect();
        let valid = shape.valid.map(|(from, to)| (place(from), place(to)));
        let failed = || shape.layout.arrow_error("compare");
        let schema = Arc::new(shape.schema().project(&columns).map_err(failed())?);
        let keys = Columns::new(&schema, (0..shape.columns.keys.len()).collect(), extracted_at).map_err(failed())?;
        Ok(Self { columns, schema, keys, changed, valid })
    }

    /// When a row changed, in microseconds; `None` where nothing tells.
    pub(crate) fn changed(&self, block: &Block, row: usize) -> Option<i64> {
        let instants = self.changed.iter().map(|at| block.instant_or_none(*at, row));
        seen::changed_at(instants, Some(block.extracted_at(row)))
    }

    /// Whether a stored row holds, and is not a version of the past.
    pub(crate) fn is_open(&self, block: &Block, row: usize) -> bool {
        self.valid.is_none_or(|(_, to)| block.rows.column(to).is_null(row))
    }

    /// The last instant at which a stored version began or ended, with history.
    pub(crate) fn held_until(&self, block: &Block, row: usize) -> Option<i64> {
        let (from, to) = self.valid?;
        block.instant_or_none(to, row).or_else(|| block.instant_or_none(from, row))
    }
}

/// The run's parent rows in outline, then as all delta rows partition and sequence.
#[derive(Debug)]
pub(crate) struct Parents {
    run: DeltaRun,
    pub(crate) outline: Outline,
}

impl Parents {
    /// The parent rows of a sorted run. They stand where those of the run do, in memory or on disk.
    pub(crate) fn of(shape: &Shape, delta: &DeltaRun) -> Result<Self, LoadError> {
        let outline = Outline::of(shape)?;
        let hidden = shape.schema().fields().len();
        let kept: Vec<usize> = outline.columns.iter().copied().chain([hidden, hidden + 1]).collect();
        let run = delta.map(|rows| rows.project(&kept).map_err(shape.layout.arrow_error("compare")))?;
        Ok(Self { run, outline })
    }

    /// Those of a partition.
    pub(crate) fn rows(&self, partition: u32) -> Cursor<RunBlocks<'_>> {
        Cursor::new(RunBlocks::new(&self.run, &self.outline.keys, partition))
    }
}

/// The fields of some columns of a schema.
pub(crate) fn projected(schema: &Schema, columns: &[usize]) -> Vec<FieldRef> {
    columns.iter().map(|at| Arc::clone(&schema.fields()[*at])).collect()
}
