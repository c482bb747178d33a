//! All that a run brings for one key of the report: the versions of the row, or of the child rows that came with each.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_row::OwnedRow;

use crate::error::LoadError;
use crate::merge::block::{Block, Columns, Cursor, Span};
use crate::merge::columns::Shape;
use crate::merge::outline::Parents;
use crate::merge::runs::{DeltaRun, RunBlocks};
use crate::merge::sequences::Sequences;

/// What a run brings for one key.
pub(crate) struct Group {
    pub(crate) key: OwnedRow,
    /// In the order in which they came. There may be none, where what came is older than what is stored.
    pub(crate) versions: Vec<Version>,
}

/// One version of a row, or of all child rows of one parent row.
pub(crate) struct Version {
    sequence: u64,
    /// From when it holds, unless what was before it began later.
    pub(crate) from: i64,
    /// For each table its rows: in the report's own one row, or none where the row left; in the others any number. `None`
    /// where the list did not come, so that nothing is known of its rows.
    pub(crate) rows: Vec<Option<Vec<Span>>>,
}

/// What is known of a run's parent rows beside their values, and what follows from all of them together.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Rows that the tables do not keep.
    pub(crate) outside: Sequences,
    /// Rows of which nothing tells whether the tables keep them: those that are stored stay.
    pub(crate) unsure: Sequences,
    /// For each table, rows whose list of it did not come.
    pub(crate) absent: Vec<Sequences>,
    /// Versions that are older than the one that counts.
    pub(crate) outdated: Sequences,
    /// Rows that go from one partition to another.
    pub(crate) moves: Option<Moves>,
}

/// Where rows go from one partition to another: sorted as delta rows are, a row for each partition that a version comes
/// into, and one for each that it leaves.
#[derive(Debug)]
pub(crate) struct Moves {
    pub(crate) run: DeltaRun,
    pub(crate) columns: Columns,
    /// Partitions that it names.
    pub(crate) partitions: BTreeSet<u32>,
}

/// One of the tables that are merged together.
pub(crate) struct Lane<'a> {
    /// Number of the table.
    pub(crate) table: usize,
    pub(crate) shape: &'a Shape,
    pub(crate) delta: &'a DeltaRun,
}

/// The groups of one partition in the order of their keys, with the rows of one table, or of a list and those within it.
pub(crate) struct Groups<'a> {
    lanes: &'a [Lane<'a>],
    verdict: &'a Verdict,
    /// The rows of the report's own table.
    parents: Cursor<RunBlocks<'a>>,
    /// In child tables, the rows of each.
    children: Vec<Cursor<RunBlocks<'a>>>,
    moves: Option<Cursor<RunBlocks<'a>>>,
}

impl<'a> Groups<'a> {
    /// `parents` are the run's parent rows, where the lanes are child tables.
    pub(crate) fn new(
        lanes: &'a [Lane<'a>],
        parents: Option<&'a Parents>,
        verdict: &'a Verdict,
        partition: u32,
    ) -> Self {
        let rows = |lane: &'a Lane<'a>| Cursor::new(RunBlocks::new(lane.delta, &lane.shape.columns, partition));
        let moves = verdict.moves.as_ref();
        let (own, children) = match parents {
            Some(parents) => (parents.rows(partition), lanes.iter().map(rows).collect()),
            None => (rows(&lanes[0]), Vec::new()),
        };
        Self {
            lanes,
            verdict,
            parents: own,
            children,
            moves: moves.map(|moves| Cursor::new(RunBlocks::new(&moves.run, &moves.columns, partition))),
        }
    }

    /// Whether the row of a group leaves because it is not what the tables keep.
    pub(crate) fn leaves(&self, group: &Group) -> bool {
        group.versions.last().is_some_and(|last| self.verdict.outside.contains(last.sequence))
    }

    pub(crate) fn next(&mut self) -> Result<Option<Group>, LoadError> {
        let own = self.parents.peek()?.map(key_at);
        let moved = match &mut self.moves {
            Some(moves) => moves.peek()?.map(key_at),
            None => None,
        };
        let key = match (own, moved) {
            (Some(own), Some(moved)) => own.min(moved),
            (Some(key), None) | (None, Some(key)) => key,
            (None, None) => {
                for (lane, rows) in self.children.iter_mut().enumerate() {
                    if rows.peek()?.is_some() {
                        return Err(self.orphan(lane));
                    }
                }
                return Ok(None);
            }
        };
        let mut versions = Vec::new();
        for Span { block, start, len } in self.parents.take_equal(key.row())? {
            for row in start..start + len {
                versions.extend(self.version(&block, row));
            }
        }
        if let Some(moves) = &mut self.moves {
            for Span { block, start, len } in moves.take_equal(key.row())? {
                for row in start..start + len {
                    note_move(&mut versions, block.sequences[row], block.extracted_at(row), self.lanes.len());
                }
            }
        }
        self.add_children(&key, &mut versions)?;
        Ok(Some(Group { key, versions }))
    }

    /// The version that a parent row is, unless it is left out.
    fn version(&self, block: &Arc<Block>, row: usize) -> Option<Version> {
        let sequence = block.sequences[row];
        if self.verdict.outdated.contains(sequence) {
            return None;
        }
        let leaves = self.verdict.outside.contains(sequence);
        let rows = |lane: &Lane<'_>| match lane.shape.parent {
            _ if leaves => Some(Vec::new()),
            None => Some(vec![Span { block: Arc::clone(block), start: row, len: 1 }]),
            Some(_) if self.verdict.absent.get(lane.table).is_some_and(|absent| absent.contains(sequence)) => None,
            Some(_) => Some(Vec::new()),
        };
        Some(Version { sequence, from: block.extracted_at(row), rows: self.lanes.iter().map(rows).collect() })
    }

    /// Gives child rows to the versions that they came with.
    fn add_children(&mut self, key: &OwnedRow, versions: &mut [Version]) -> Result<(), LoadError> {
        for lane in 0..self.children.len() {
            if self.children[lane].take_below(Some(key.row()))?.is_some() {
                return Err(self.orphan(lane));
            }
            for span in self.children[lane].take_equal(key.row())? {
                let sequences = span.block.sequences.clone();
                let mut start = span.start;
                for same in sequences[span.rows()].chunk_by(|left, right| left == right) {
                    match versions.binary_search_by_key(&same[0], |version| version.sequence) {
                        Ok(_) if self.verdict.outside.contains(same[0]) => {}
                        Ok(at) => {
                            if let Some(rows) = &mut versions[at].rows[lane] {
                                rows.push(Span { block: Arc::clone(&span.block), start, len: same.len() });
                            }
                        }
                        Err(_) if self.verdict.outdated.contains(same[0]) => {}
                        Err(_) => return Err(self.orphan(lane)),
                    }
                    start += same.len();
                }
            }
        }
        Ok(())
    }

    fn orphan(&self, lane: usize) -> LoadError {
        let reason = "a child row has another key than its parent row".to_owned();
        LoadError::Shape { table: self.lanes[lane].shape.table().to_owned(), reason }
    }
}

fn key_at((block, row): (&Arc<Block>, usize)) -> OwnedRow {
    block.key(row).owned()
}

/// Notes that a version of the row came into the partition at an instant, or that the row left it then.
fn note_move(versions: &mut Vec<Version>, sequence: u64, at: i64, lanes: usize) {
    match versions.binary_search_by_key(&sequence, |version| version.sequence) {
        Ok(came) => versions[came].from = at,
        Err(place) => versions.insert(place, Version { sequence, from: at, rows: vec![Some(Vec::new()); lanes] }),
    }
}
