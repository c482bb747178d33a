//! The commit record: what one run of one report added, and the watermark that the next run starts from.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_catalog::Report;
use serde::{Deserialize, Serialize};

use crate::destination::checksum;
use crate::error::LoadError;
use crate::log::owner::Owner;
use crate::log::page_tally::PageTally;

/// Format of the records that this version writes, and the newest that it reads.
pub const RECORD_FORMAT: u32 = 1;
/// Version of the layout of tables and folders that this version writes.
pub const LAYOUT_VERSION: u32 = 1;

/// One commit of one report. The record with the highest version is the state of the report: everything that the next
/// run needs is in it, so older ones may be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Format of the record, [`RECORD_FORMAT`].
    pub format: u32,
    /// Number of the commit, from 1; none is ever used twice. Rows carry it in `_commit`.
    pub version: i64,
    /// The run that wrote it.
    pub run_id: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// The account.
    pub account: String,
    /// Whose account it is, as far as that is known; nothing in records of earlier versions.
    #[serde(default, skip_serializing_if = "Owner::is_unknown")]
    pub identity: Owner,
    /// The report.
    pub report: String,
    /// When the run committed.
    pub committed_at: DateTime<Utc>,
    /// How the files relate to those of earlier commits.
    pub write_mode: WriteMode,
    /// Whether versions that were replaced stay in the tables.
    #[serde(default)]
    pub history: bool,
    /// How the tables are partitioned, for example `month(created_at)`.
    pub partition_by: Vec<String>,
    /// Columns that name a row of the report's own table; empty in records of versions that did not count equal events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<String>,
    /// Whether the files that it wrote have the account as a column too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub account_column: bool,
    /// The span of time that the run asked for.
    pub window: Window,
    /// What the next run must know beside the tables.
    pub state: ReportState,
    /// Version of the layout of tables and folders, [`LAYOUT_VERSION`].
    pub layout: u32,
    /// What the tables hold after the commit.
    pub inventory: Inventory,
    /// Whether the record was made from the files' footers. It names every file that there was, and what older records
    /// say of files no longer holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuilt: bool,
    /// Files of the commit, all tables of the report together.
    pub files: Vec<CommittedFile>,
    /// Files of earlier commits that this one takes away. None of their names is ever used again.
    pub removed: Vec<String>,
    /// Records that could not be typed.
    pub dead_letters: Option<CommittedLetters>,
    /// The pages that the rows were made from, where they are kept for good.
    #[serde(default)]
    pub raw: Option<RawPages>,
    /// The rows that the next run may read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<StateFile>,
    /// Every file that there is after the commit, with its checksum; absent in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<StateFile>,
    /// The list of ids that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<StateFile>,
    /// The newest commit that brought what runs had asked for, where that is not this one: pages that wait for a run are
    /// based on it, and commits that only put files in order make none of them void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<i64>,
    /// Rows of each table, those without rows included.
    pub rows: BTreeMap<String, u64>,
    /// Counts about the run, such as requests sent.
    pub stats: BTreeMap<String, u64>,
}

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

impl WriteMode {
    /// Its name in a pipeline, in commits and in the table of runs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Merge => "merge",
            Self::Replace => "replace",
            Self::Partition => "partition",
        }
    }
}

/// What the tables of a report hold after a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Version of the last commit that added or removed a file. Its record is never pruned: the files that it names are
    /// the newest there are.
    pub changed: i64,
    /// Each table that has a file.
    pub tables: BTreeMap<String, TableInventory>,
}

/// What one table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableInventory {
    /// Files.
    pub files: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
}

/// Two clocks are this far apart at most: a time of the one that lies further ahead of the other was made by a wrong one.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);

/// What the next run of a report must know beside the tables. Every record carries all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportState {
    /// From where the next run asks; absent where every run reads all.
    pub watermark: Option<DateTime<Utc>>,
    /// Where the history of the tables begins: the lower end of the first window; absent where everything was read.
    pub since: Option<DateTime<Utc>>,
    /// What rows were chosen by beside the window. A run that chooses others would leave holes.
    pub query: String,
    /// How far a report by ids has come, where a run ended in order before all of them were read.
    pub progress: Option<Progress>,
    /// When a read of everything last showed what was deleted.
    pub reconciled_at: Option<DateTime<Utc>>,
    /// When that was last tried, whether or not the read was proven complete.
    pub reconcile_tried_at: Option<DateTime<Utc>>,
    /// Reads of everything, one after the other, that brought fewer keys than the API counted; 0 where the last one was complete.
    #[serde(skip_serializing_if = "is_zero")]
    pub incomplete: u32,
    /// Records in the dead letters that the next runs ask for again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
}

/// Records that could not be used and may be usable when they are read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// From where the next runs ask; absent where that is the beginning.
    pub since: Option<DateTime<Utc>>,
    /// When the first of them came.
    pub first_at: DateTime<Utc>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Commit {
    /// What readers should know where files that are written from now on have a column more or less than those of this commit.
    pub fn told_of_columns(&self, account_column: bool) -> Option<String> {
        let told = match (self.account_column, account_column) {
            (false, true) => {
                "from this run on files have a column `_account`; earlier ones lack it until they are written again"
            }
            (true, false) => {
                "from this run on files have no column `_account`; earlier ones keep it until they are written again"
            }
            _ => return None,
        };
        let read = "read the table by column names (DuckDB: union_by_name, Spark: mergeSchema)";
        (!self.inventory.tables.is_empty()).then(|| format!("{told}; {read}"))
    }

    /// The commit that kept pages are based on.
    pub fn pages_base(&self) -> i64 {
        self.answers.unwrap_or(self.version)
    }

    /// Whether a row is named by the same columns in the stored tables and by the report. Tables without a file have none.
    pub fn has_key_of(&self, report: &Report) -> bool {
        let before_counting = self.key.is_empty() && report.duplicates.is_none();
        self.key == report.key || before_counting || self.inventory.tables.is_empty()
    }
}

impl ReportState {
    /// Whether the watermark lies ahead of `now`: what changes until then would never be read.
    pub fn is_ahead_of(&self, now: DateTime<Utc>) -> bool {
        let latest = now.checked_add_signed(CLOCKS_APART).unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.watermark.is_some_and(|watermark| watermark > latest)
    }
}

/// How far a report has come that is read id by id in ascending order. The list beside the commit tells the ids one by one; where
/// it has none, this does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Every id up to and with this one.
    pub through: Option<String>,
    /// Some ids after it, which were read at the same time.
    pub also: Vec<String>,
    /// What they are done for: ids of another question are not. Absent in records of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// The days that they are done for, as parameters; empty where the report has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub period: Vec<(String, String)>,
}

impl Progress {
    /// Whether the id is done.
    pub fn covers(&self, id: &str) -> bool {
        self.through.as_deref().is_some_and(|through| id <= through) || self.also.iter().any(|also| also == id)
    }
}

/// The span of time that a run asked for. Both ends are as they were sent; absent means open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Rows changed after this.
    pub after: Option<DateTime<Utc>>,
    /// Rows changed before this.
    pub before: Option<DateTime<Utc>>,
}

/// A file of a commit. Paths are relative to the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedFile {
    /// Its table.
    pub table: String,
    /// Where readers find it.
    pub path: String,
    /// Where it waited for the commit.
    pub staged: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
    /// Its partition folders below the account's, joined by `/`; empty where the table is not partitioned.
    pub partition: String,
    /// Whether its rows are those of small files of earlier commits, which it takes the place of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// The first and the last commit whose rows it holds, where those are not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits: Option<(i64, i64)>,
}

/// The dead letters of a commit. Paths are relative to the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedLetters {
    /// Where people find them.
    pub path: String,
    /// Where they waited for the commit.
    pub staged: String,
    /// How many.
    pub records: u64,
    /// Size of the compressed file.
    pub bytes: u64,
    /// SHA-256 of it, in hex; absent in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The pages of a commit that are kept for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawPages {
    /// Where they are, relative to the destination. A commit that asked nothing, such as one that only made larger files
    /// of small ones, names the folder of the commit before it.
    pub folder: String,
    /// The first commit of those, up to this one without a gap, whose pages make the tables: it read everything. `None`
    /// where pages from before are missing.
    pub since: Option<i64>,
    /// What was kept there, to prove later that it is all still there; absent in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PageTally>,
}

/// A file beside the tables that the next run starts from. Paths are relative to the destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Where the next run finds it.
    pub path: String,
    /// Where it waited for the commit; absent where an earlier commit brought it.
    pub staged: Option<String>,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it, in hex.
    pub sha256: String,
}

impl StateFile {
    /// The file as a later commit names it that leaves it where it is.
    pub(crate) fn carried_over(&self) -> Self {
        Self { staged: None, ..self.clone() }
    }
}

impl Commit {
    /// The record as it is stored: JSON with its checksum as the last key. The checksum covers every byte before it.
    pub(crate) fn to_text(&self) -> Result<String, serde_json::Error> {
        let json = serde_json::to_string_pretty(self)?;
        let body = json.strip_suffix("\n}").unwrap_or(&json);
        Ok(format!("{body}{CHECKSUM}{}\"\n}}\n", checksum::of_bytes(body)))
    }

    /// Reads a record; `path` is for messages.
    ///
    /// # Errors
    /// It does not parse, its checksum does not hold, or it has another format or layout than this version knows.
    pub(crate) fn from_text(text: &[u8], path: &str) -> Result<Self, LoadError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |reason: String| LoadError::Damaged { path: path.to_owned(), reason };
        let Format { format } =
            serde_json::from_slice(text).map_err(|_| damaged("it is not a JSON object with a `format`".to_owned()))?;
        if format > RECORD_FORMAT {
            return Err(LoadError::NewerFormat { path: path.to_owned(), of: "format", format, known: RECORD_FORMAT });
        }
        if format < RECORD_FORMAT {
            return Err(damaged(format!("it has format {format}, which no version of ctct-etl writes")));
        }
        let text = std::str::from_utf8(text).map_err(|_| damaged("it is not UTF-8".to_owned()))?;
        let (body, checksum) =
            text.rsplit_once(CHECKSUM).ok_or_else(|| damaged("it does not end with its checksum".to_owned()))?;
        if checksum.trim_end_matches(['\n', '}', '"']) != checksum::of_bytes(body) {
            return Err(damaged("its checksum does not match".to_owned()));
        }
        let commit: Self = serde_json::from_str(text)
            .map_err(|error| damaged(format!("line {}, column {} is not as expected", error.line(), error.column())))?;
        match commit.layout {
            LAYOUT_VERSION => Ok(commit),
            layout if layout > LAYOUT_VERSION => {
                let (path, known) = (path.to_owned(), LAYOUT_VERSION);
                Err(LoadError::NewerFormat { path, of: "layout", format: layout, known })
            }
            layout => Err(damaged(format!("it has layout {layout}, which no version of ctct-etl writes"))),
        }
    }
}

/// What stands between the body of a record and the digits of its checksum.
pub(crate) const CHECKSUM: &str = ",\n  \"checksum\": \"";
