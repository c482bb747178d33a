//! What a lost file takes with it: rows are read again with their record, so what is left of the same records must go, or it
//! would be there twice, or without a parent.
//!
//! Where rows are appended, a record is its commit's: all its rows in that partition go, whatever table the lost file was of.
//! Where rows take the place of others, the parent's key finds its child rows again: only those below the lost table go.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BooleanArray, RecordBatch};
use ctct_catalog::{COMMIT, Report};

use super::found::FoundFile;
use crate::log::record::WriteMode;

/// Rows that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    /// The table of the lost file.
    pub(super) table: String,
    /// Its partition folders.
    pub(super) partition: String,
    /// The first and the last commit whose rows it held.
    pub(super) commits: (i64, i64),
}

/// What becomes of a sound file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileFate {
    Stays,
    /// All of its rows go.
    Goes,
    /// The rows of these commits go.
    Shrinks(Vec<(i64, i64)>),
}

/// What becomes of a file because of the holes.
pub(super) fn fate(found: &FoundFile, holes: &[Hole], report: &Report, mode: WriteMode) -> FileFate {
    let beside = holes.iter().filter(|hole| hole.partition == found.file.partition);
    if mode != WriteMode::Append {
        let mut above = beside.flat_map(|hole| below(report, &hole.table));
        return if above.any(|table| table == found.file.table) { FileFate::Goes } else { FileFate::Stays };
    }
    let (first, last) = found.commits();
    let hit: Vec<(i64, i64)> =
        beside.map(|hole| hole.commits).filter(|(from, to)| *from <= last && first <= *to).collect();
    match hit.as_slice() {
        [] => FileFate::Stays,
        hit if hit.iter().any(|(from, to)| *from <= first && last <= *to) => FileFate::Goes,
        hit => FileFate::Shrinks(hit.to_vec()),
    }
}

/// Which rows of a batch stay where those of these commits go.
pub(super) fn kept(batch: &RecordBatch, gone: &[(i64, i64)]) -> Option<BooleanArray> {
    let commits = batch.column_by_name(COMMIT)?.as_primitive_opt::<Int64Type>()?;
    let goes = |commit: i64| gone.iter().any(|(from, to)| (*from..=*to).contains(&commit));
    Some((0..commits.len()).map(|row| Some(!(commits.is_valid(row) && goes(commits.value(row))))).collect())
}

/// The tables below one, without itself.
fn below<'a>(report: &'a Report, table: &str) -> BTreeSet<&'a str> {
    let tables = report.tables();
    let mut within: BTreeSet<usize> = tables.iter().position(|known| known.name == table).into_iter().collect();
    for (at, known) in tables.iter().enumerate() {
        if known.parent.is_some_and(|parent| within.contains(&parent)) {
            within.insert(at);
        }
    }
    within.into_iter().map(|at| tables[at].name.as_str()).filter(|name| *name != table).collect()
}
