//! In what manner tables are stored, and what a run may not mix with it.

use ctct_catalog::Report;

use crate::error::LoadError;
use crate::files::partition::{PartitionBy, listed};
use crate::files::plan::LoadPlan;
use crate::log::record::{Commit, WriteMode};

/// Refuses to mix files that no reader could read as one table: folders of two shapes, or files of a merge, which have
/// one row for each key, with others. A run that replaces everything may change the folders, and a rebuild all of it.
pub(crate) fn refuse_mixture(plan: &LoadPlan, previous: Option<&Commit>) -> Result<(), LoadError> {
    match previous.filter(|_| !plan.rebuild) {
        Some(commit) => refuse_storage_mode(commit, &plan.report, plan.mode, plan.history, &plan.partition_by),
        None => Ok(()),
    }
}

/// The same of a run that would write `report` so, after this commit.
///
/// # Errors
/// [`LoadError::ModeChanged`], [`LoadError::KeyChanged`] and [`LoadError::Repartitioned`].
pub fn refuse_storage_mode(
    commit: &Commit,
    report: &Report,
    mode: WriteMode,
    history: bool,
    partition_by: &[PartitionBy],
) -> Result<(), LoadError> {
    let (stored, wanted) = (StorageMode::of_commit(commit), StorageMode::new(mode, history, partition_by));
    let (account, name) = (commit.account.clone(), report.name.clone());
    if (stored.merges, stored.history) != (wanted.merges, wanted.history) {
        let (stored, wanted) = (shown(commit.write_mode, commit.history), shown(mode, history));
        return Err(LoadError::ModeChanged { account, report: name, stored, wanted });
    }
    if !commit.has_key_of(report) && mode != WriteMode::Replace {
        return Err(LoadError::KeyChanged { account, report: name, wanted: report.key.join(", ") });
    }
    if stored.partition_by != wanted.partition_by && mode != WriteMode::Replace {
        let (stored, wanted) = (listed(&stored.partition_by), listed(&wanted.partition_by));
        return Err(LoadError::Repartitioned { account, report: name, stored, wanted });
    }
    Ok(())
}

/// What two runs must have in common so that one can go on from the files of the other.
#[derive(PartialEq)]
pub(crate) struct StorageMode {
    merges: bool,
    history: bool,
    partition_by: Vec<String>,
}

impl StorageMode {
    /// How the tables are stored.
    pub(crate) fn of_commit(commit: &Commit) -> Self {
        let merges = commit.write_mode == WriteMode::Merge;
        Self { merges, history: merges && commit.history, partition_by: commit.partition_by.clone() }
    }

    /// How a run is to write.
    pub(crate) fn of_plan(plan: &LoadPlan) -> Self {
        Self::new(plan.mode, plan.history, &plan.partition_by)
    }

    fn new(mode: WriteMode, history: bool, partition_by: &[PartitionBy]) -> Self {
        let merges = mode == WriteMode::Merge;
        let partition_by = partition_by.iter().map(ToString::to_string).collect();
        Self { merges, history: merges && history, partition_by }
    }
}

/// A write mode as pipelines have it.
fn shown(mode: WriteMode, history: bool) -> String {
    let mode = match mode {
        WriteMode::Append => "append",
        WriteMode::Merge if history => "merge with history",
        WriteMode::Merge => "merge",
        WriteMode::Replace => "replace",
        WriteMode::Partition => "partition",
    };
    mode.to_owned()
}
