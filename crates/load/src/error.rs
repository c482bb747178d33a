//! What can go wrong while loading: one enum. Every message says where and what to do next, and none holds a cell's value.

pub(crate) mod fault;

use std::io;

use chrono::{DateTime, SecondsFormat, Utc};
use object_store::Error as StoreError;

use self::fault::StoreFault;

/// Why rows could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The destination's URL cannot be used.
    #[error("`{url}` cannot be used: {reason}")]
    Url {
        /// The URL without user, password and query.
        url: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The store refused or failed an operation.
    #[error("cannot {action} `{path}`: {}", StoreFault::of(.source).advice())]
    Store {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or object.
        path: String,
        /// The store's own error.
        #[source]
        source: StoreError,
    },
    /// The folder is on a file system that has no hard links, which putting a file in place without overwriting needs.
    #[error(
        "`{path}` is on a file system without hard links (s3fs, rclone, gcsfuse and other FUSE mounts, FAT), and commits need \
         them; write to the bucket itself with an `s3://`, `gs://` or `az://` URL, or to a local disk"
    )]
    NoHardLinks {
        /// The folder.
        path: String,
    },
    /// The store overwrites where it was told to create.
    #[error(
        "`{url}` overwrites an object although it was to be created only if absent, so two runs could both commit; \
         use a store that honors conditional writes (S3 `If-None-Match`)"
    )]
    Unconditional {
        /// The destination.
        url: String,
    },
    /// The store does not list what was just written.
    #[error(
        "`{url}` does not list an object right after it was written, so a run could miss the last commit; \
         use a store whose listings are consistent"
    )]
    Unlisted {
        /// The destination.
        url: String,
    },
    /// Another run committed first.
    #[error(
        "report `{report}` of account `{account}`: another run (`{winner}`) committed version {version} first; nothing of this \
         run was kept"
    )]
    Fenced {
        /// The account.
        account: String,
        /// The report.
        report: String,
        /// The version that both wanted.
        version: i64,
        /// Run id of the one that has it.
        winner: String,
    },
    /// A commit record, a file or a table is not what was written.
    #[error("`{path}` is damaged: {reason}")]
    Damaged {
        /// The record, file or folder.
        path: String,
        /// What does not hold.
        reason: String,
    },
    /// A row has come into another partition than the one where it is stored, and cannot be moved by this run.
    #[error("`{path}` holds a row that this run has in another partition: {reason}; nothing was published")]
    Moved {
        /// The folder or file that holds it.
        path: String,
        /// Why it stays there.
        reason: String,
    },
    /// A watermark lies ahead of the time, so a wrong clock has made it.
    #[error(
        "`{path}` is damaged: {}",
        ahead(*.watermark, *.now)
    )]
    Ahead {
        /// The commit record.
        path: String,
        /// Its watermark.
        watermark: DateTime<Utc>,
        /// The time of this host.
        now: DateTime<Utc>,
    },
    /// A commit record was written by a later version of this program.
    #[error("`{path}` has {of} {format}, and this version reads {of}s up to {known}")]
    NewerFormat {
        /// The record.
        path: String,
        /// Of what it is too new: `format`, or `layout` of tables and folders.
        of: &'static str,
        /// Its format or layout.
        format: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// Readers of a table see something that no log here knows.
    #[error("`{path}` is in the folder of a table: {reason}; nothing was changed; move it elsewhere, then run again")]
    Foreign {
        /// The file or folder.
        path: String,
        /// What it is.
        reason: String,
    },
    /// The same account is stored under another label already.
    #[error(
        "report `{report}`: the rows of this account are already stored as `{stored}`, and readers would see each row twice if they \
         were stored as `{account}` too; nothing was changed; keep `account: {stored}`, or write to another destination"
    )]
    TwoLabels {
        /// The report.
        report: String,
        /// The label that the pipeline says.
        account: String,
        /// The label that is stored.
        stored: String,
    },
    /// The destination lies inside another one, where that one's readers would see its rows.
    #[error(
        "`{url}` is inside the folder `{folder}` of the destination `{outer}`, whose readers would see these rows as theirs; use a \
         folder beside it"
    )]
    Nested {
        /// The destination.
        url: String,
        /// The folder, a table's or the state's.
        folder: String,
        /// The destination that has it.
        outer: String,
    },
    /// A file that a commit names is neither staged nor published.
    #[error("`{path}` belongs to commit {version} but is neither published nor staged")]
    Lost {
        /// Where it should be.
        path: String,
        /// The commit.
        version: i64,
    },
    /// `partition_by` cannot be honored for this report.
    #[error("report `{report}`, partition_by {partition}: {reason}")]
    Partition {
        /// The report.
        report: String,
        /// The entry, for example `month(created_at)`.
        partition: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The stored tables are partitioned in another way.
    #[error(
        "report `{report}` of account `{account}` is stored partitioned by {stored}, and the pipeline says {wanted}; \
         keep the old partition_by, write to another destination, or use write_mode replace"
    )]
    Repartitioned {
        /// The account.
        account: String,
        /// The report.
        report: String,
        /// How the tables are stored.
        stored: String,
        /// What the pipeline says.
        wanted: String,
    },
    /// A name is no good as a folder.
    #[error("{what} `{name}` cannot be the name of a folder: {reason}")]
    Name {
        /// What the name is of: account or run.
        what: &'static str,
        /// The name, cut if long.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A page does not have the tables or columns that the catalog gives the report.
    #[error("table `{table}`: {reason}; this is a bug in ctct-etl")]
    Shape {
        /// The table.
        table: String,
        /// What does not match.
        reason: String,
    },
    /// Parquet could not be written or read.
    #[error("table `{table}`: cannot {action} Parquet")]
    Parquet {
        /// The table, or the file that was read.
        table: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// The cause.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Rows could not be sorted or divided.
    #[error("table `{table}`: cannot {action} rows")]
    Arrow {
        /// The table.
        table: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// The cause.
        #[source]
        source: arrow_schema::ArrowError,
    },
    /// A compression level that zstd does not have, say.
    #[error("file option {option}: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Compression of dead letters failed.
    #[error("cannot compress dead letters")]
    DeadLetters {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Compression of pages failed.
    #[error("cannot compress pages")]
    Pages {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A task panicked or was cut off.
    #[error("the task that was to {task} ended without a result; this is a bug in ctct-etl")]
    Task {
        /// What it was to do.
        task: String,
    },
    /// Rows that do not fit into memory could not be kept aside.
    #[error(
        "cannot write rows to a temporary file in `{folder}`; free some space there, or set the environment variable \
         TMPDIR to another folder"
    )]
    Scratch {
        /// The folder for temporary files.
        folder: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Somebody wants the work to end. Nothing was committed.
    #[error("stopped before it finished")]
    Stopped,
    /// A listing of the store brings nothing new, or more than a folder can have.
    #[error("listing `{path}` does not end: {reason}; the store is at fault; nothing was changed")]
    Endless {
        /// The folder.
        path: String,
        /// What the store lists, and where.
        reason: String,
    },
    /// A stored file was replaced while this run read it, so another run has committed.
    #[error("`{path}` was replaced while it was read: another run committed; nothing of this run was kept")]
    Overtaken {
        /// The file.
        path: String,
    },
    /// The stored tables were written in another mode, and the two cannot be mixed.
    #[error(
        "report `{report}` of account `{account}` is stored by write_mode {stored}, and the pipeline says {wanted}"
    )]
    ModeChanged {
        /// The account.
        account: String,
        /// The report.
        report: String,
        /// How the tables are stored.
        stored: String,
        /// What the pipeline says.
        wanted: String,
    },
    /// The stored rows are named by other columns than the report's are now.
    #[error(
        "report `{report}` of account `{account}` is stored by a version that kept one row where several events are equal; rows \
         are named by {wanted} now"
    )]
    KeyChanged {
        /// The account.
        account: String,
        /// The report.
        report: String,
        /// The columns.
        wanted: String,
    },
    /// More rows would go than the brake allows, so nothing was published.
    #[error(
        "report `{report}` of account `{account}`: {removed} of {stored} stored rows would be removed, more than `max_removed` \
         allows; nothing was published"
    )]
    TooMuchRemoved {
        /// The account.
        account: String,
        /// The report.
        report: String,
        /// Keys that would go.
        removed: u64,
        /// Keys that are stored, among those that the run could have brought.
        stored: u64,
    },
    /// Rows that were not read and must stay are stored in another way than the run writes.
    #[error(
        "report `{report}` of account `{account}`: some records could not be read, and their stored rows cannot be kept while write_mode or \
         partition_by changes; nothing was published; check the dead letters, then run again"
    )]
    CannotStay {
        /// The account.
        account: String,
        /// The report.
        report: String,
    },
    /// A stored file has columns that do not go with the catalog's, so its rows cannot be merged.
    #[error("`{path}` cannot be merged: {reason}")]
    Columns {
        /// The file.
        path: String,
        /// What does not go with them.
        reason: String,
    },
}

impl LoadError {
    /// The same operation may succeed a little later: the store answered with something that passes, or not at all.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store { source, .. } if StoreFault::of(source).is_transient())
    }

    /// The message says all that there is to know, and the store's own words would only hide it.
    pub fn explains_itself(&self) -> bool {
        matches!(self, Self::Store { source, .. } if StoreFault::of(source).explains_itself())
    }

    /// Stored files and their log do not go together, and [`crate::rebuild`] makes them.
    pub fn is_mended_by_rebuild(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Ahead { .. } | Self::Lost { .. })
    }
}

/// That a watermark lies ahead of the time, and what that means.
pub(crate) fn ahead(watermark: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let [watermark, now] = [watermark, now].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    format!(
        "its watermark {watermark} lies ahead of this host's clock ({now}), and what changes until then would be missed"
    )
}
