//! What a run of one report is to write.

use std::sync::Arc;

use ctct_catalog::Report;

use crate::destination::file_options::FileOptions;
use crate::files::partition::PartitionBy;
use crate::log::owner::Owner;
use crate::log::record::WriteMode;

/// Which rows one run may read again although they did not change since an earlier run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Repeats {
    /// None that matter: rows are merged or replaced by key.
    #[default]
    None,
    /// Rows whose newest value in any of these timestamp columns lies in the overlap of two windows.
    Since {
        /// Columns of the parent table that the windows go by.
        columns: Vec<String>,
    },
    /// Every row: each run reads all of the report.
    All,
    /// The rows of each id, newest first, down to a page that holds nothing new.
    NewestFirst {
        /// Column of the parent table that holds the id.
        id: String,
        /// Timestamp column that rows are ordered by.
        by: String,
    },
}

/// What a run of one report is to write.
#[derive(Debug, Clone)]
pub struct LoadPlan {
    /// Name of the pipeline, for the record and the files' metadata.
    pub pipeline: String,
    /// The account; its rows are below `account=<account>`.
    pub account: String,
    /// Whose account it is, as far as that is known.
    pub identity: Owner,
    /// The report.
    pub report: Arc<Report>,
    /// How the rows relate to those that are stored.
    pub mode: WriteMode,
    /// With [`WriteMode::Merge`]: whether versions that were replaced stay, with the span of time that they held.
    pub history: bool,
    /// Which rows of earlier runs this run may read again; what it reads again unchanged is not written again.
    pub repeats: Repeats,
    /// Whether the run's rows take the place of all rows of the account, in whatever way those were written: a full
    /// refresh. History stays where the tables have it already and the plan too.
    pub rebuild: bool,
    /// With `rebuild` and `history`: whether the versions that history has kept go too, because the run brings all of
    /// them again.
    pub forgets_history: bool,
    /// Columns of the parent table of which the greatest value tells which version of a row is newer; empty where nothing
    /// tells, so that the one that came later is.
    pub changed: Vec<String>,
    /// Levels of partition folders, the outermost first.
    pub partition_by: Vec<PartitionBy>,
    /// Name of the run, unlike any other: files and staging are named for it.
    pub run_id: String,
    /// Sizes of files and memory.
    pub files: FileOptions,
}
