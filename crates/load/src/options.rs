//! What a run is to write and how: write modes, and the sizes of files.

use std::sync::Arc;

use ctct_catalog::Report;
use serde::{Deserialize, Serialize};

use crate::{Owner, PartitionBy};

/// How a run's rows relate to those that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WriteMode {
    /// Rows are added; every version of a row that a run saw stays.
    Append,
    /// The run's rows take the place of those with the same key, child rows with their parent; all else stays.
    Merge,
    /// The run's rows take the place of all rows of the account.
    Replace,
    /// The run's rows take the place of all rows in the partitions that they fall into; other partitions stay.
    Partition,
}

/// Which rows a run may read again although they did not change since an earlier run.
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
    /// The account; its rows stand below `account=<account>`.
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

/// Sizes of files, and of the memory that writing them may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Arrow bytes that make a row group. 8 MiB are some 10,000 contacts: enough for statistics and dictionaries to pay,
    /// few enough that a report with eight tables fits in small memory.
    pub row_group_bytes: usize,
    /// Parquet bytes after which a file is closed and the next one begins: 128 MiB, what Spark splits input into.
    pub file_bytes: u64,
    /// Row groups after which a file is closed, whatever its size. A file's footer stays in memory until then, some
    /// 1.5 kB for each column and row group: without this bound, memory would grow with the account.
    pub file_row_groups: usize,
    /// Bytes that may wait to be written or sent, over all tables and partitions of a report, those being encoded
    /// included. Past it the largest buffer is written early, as smaller row groups. 14 MiB: the whole process stays
    /// below 96 MiB with the rest of it for encoding, the allocator and everything that is not loading.
    pub memory_bytes: usize,
    /// Bytes of open files that may wait until they fill a part of the upload, in equal shares for each table. Past it the
    /// table's fullest file is closed. 32 MiB are what 512 files on a disk can hold back at most.
    pub waiting_bytes: usize,
    /// Files that may stay open between row groups, in equal shares for each table; a partition past its table's share
    /// gets a file for each row group. 512, since a process usually has 1,024 file handles.
    pub open_files: usize,
    /// Level of zstd, 1 to 22. 1 makes files about as small as 3 does here and takes two thirds of the time.
    pub compression_level: i32,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            row_group_bytes: 8 << 20,
            file_bytes: 128 << 20,
            file_row_groups: 32,
            memory_bytes: 14 << 20,
            waiting_bytes: 32 << 20,
            open_files: 512,
            compression_level: 1,
        }
    }
}
