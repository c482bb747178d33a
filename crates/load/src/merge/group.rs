//! All that a run brings for one key of the report: the versions of the row, or of the child rows that came with each.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::row::OwnedRow;

use crate::LoadError;
use crate::merge::block::{Columns, Cursor, Span};
use crate::merge::columns::Shape;
use crate::merge::runs::{Run, RunBlocks};

/// What a run brings for one key.
pub(crate) struct Group {
    pub(crate) key: OwnedRow,
    /// In the order in which they came.
    pub(crate) versions: Vec<Version>,
}

/// One version of a row, or of all child rows of one parent row.
pub(crate) struct Version {
    sequence: u64,
    pub(crate) extracted_at: i64,
    /// Rows of this table: one in the report's own table, any number in the others.
    pub(crate) rows: Vec<Span>,
}

/// The groups of one partition of one table in the order of their keys.
pub(crate) struct Groups<'a> {
    table: &'a str,
    delta: Cursor<RunBlocks<'a>>,
    /// In child tables, the rows of the report's own table.
    parents: Option<Cursor<RunBlocks<'a>>>,
}

impl<'a> Groups<'a> {
    pub(crate) fn new(shape: &'a Shape, delta: &'a Run, parents: Option<&'a Parents>, partition: u32) -> Self {
        let parents = parents.map(|parents| RunBlocks::new(&parents.run, &parents.columns, partition));
        Self {
            table: shape.table(),
            delta: Cursor::new(RunBlocks::new(delta, &shape.columns, partition)),
            parents: parents.map(Cursor::new),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Group>, LoadError> {
        let Some(parents) = &mut self.parents else {
            return next_group(&mut self.delta, |span| vec![span]);
        };
        let Some(mut group) = next_group(parents, |_| Vec::new())? else {
            return if self.delta.peek()?.is_none() { Ok(None) } else { Err(self.orphan()) };
        };
        if self.delta.take_below(Some(group.key.row()))?.is_some() {
            return Err(self.orphan());
        }
        for span in self.delta.take_equal(group.key.row())? {
            let sequences = span.block.sequences.clone();
            let mut start = span.start;
            for same in sequences[span.rows()].chunk_by(|left, right| left == right) {
                let parent = group.versions.binary_search_by_key(&same[0], |version| version.sequence);
                let version = parent.ok().and_then(|at| group.versions.get_mut(at)).ok_or_else(|| self.orphan())?;
                version.rows.push(Span { block: Arc::clone(&span.block), start, len: same.len() });
                start += same.len();
            }
        }
        Ok(Some(group))
    }

    fn orphan(&self) -> LoadError {
        let reason = "a child row has another key than its parent row".to_owned();
        LoadError::Shape { table: self.table.to_owned(), reason }
    }
}

/// The next key of the report's own table with a version for each of its rows. `rows` says what a version of it has.
fn next_group(
    parents: &mut Cursor<RunBlocks<'_>>,
    rows: impl Fn(Span) -> Vec<Span>,
) -> Result<Option<Group>, LoadError> {
    let Some((block, row)) = parents.peek()? else { return Ok(None) };
    let key = block.key(row).owned();
    let mut versions = Vec::new();
    for Span { block, start, len } in parents.take_equal(key.row())? {
        versions.extend((start..start + len).map(|row| Version {
            sequence: block.sequences[row],
            extracted_at: block.extracted_at(row),
            rows: rows(Span { block: Arc::clone(&block), start: row, len: 1 }),
        }));
    }
    Ok(Some(Group { key, versions }))
}

/// What child tables must know of a run's parent rows: key and arrival, then as all delta rows partition and sequence.
#[derive(Debug)]
pub(crate) struct Parents {
    run: Run,
    columns: Columns,
}

impl Parents {
    /// The parent rows of a sorted run. They stand where those of the run do, in memory or on disk.
    pub(crate) fn of(shape: &Shape, delta: &Run) -> Result<Self, LoadError> {
        let failed = || shape.layout.arrow_error("compare");
        let hidden = shape.schema().fields().len();
        let kept: Vec<usize> =
            shape.columns.keys.iter().copied().chain([shape.columns.extracted_at, hidden, hidden + 1]).collect();
        let schema: Schema = shape.delta.project(&kept).map_err(failed())?;
        let keys = shape.columns.keys.len();
        let columns = Columns::new(&schema, (0..keys).collect(), keys).map_err(failed())?;
        let run = delta.map(|rows: RecordBatch| rows.project(&kept).map_err(failed()))?;
        Ok(Self { run, columns })
    }
}
