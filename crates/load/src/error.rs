//! What can go wrong while loading: one enum. Every message says where and what to do next, and none holds a cell's value.

use std::error::Error as StdError;
use std::io;

use object_store::Error as StoreError;

/// Why rows could not be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The destination's URL cannot be used.
    #[error("destination `{url}`: {reason}")]
    Url {
        /// The URL without user, password and query.
        url: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The store refused or failed an operation.
    #[error("cannot {action} `{path}`: {}", advice(.source))]
    Store {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or object.
        path: String,
        /// The store's own error.
        #[source]
        source: StoreError,
    },
    /// The store overwrites where it was told to create.
    #[error(
        "`{url}` overwrites an object that was to be created only if absent, so two runs could both commit; \
         use a store that honours conditional writes (S3 `If-None-Match`)"
    )]
    Unconditional {
        /// The destination.
        url: String,
    },
    /// Another run committed first.
    #[error(
        "report `{report}` of account `{account}`: another run (`{winner}`) committed version {version} first; \
         nothing of this run was kept, start it again"
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
    /// A commit record or a file that it names is not what was written.
    #[error("`{path}` is damaged: {reason}; restore it from a backup, do not delete it")]
    Damaged {
        /// The record.
        path: String,
        /// What does not hold.
        reason: String,
    },
    /// A commit record was written by a later version of this program.
    #[error("`{path}` has format {format}, and this version reads formats up to {known}; upgrade ctct-etl")]
    NewerFormat {
        /// The record.
        path: String,
        /// Its format.
        format: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A file that a commit names is neither staged nor published.
    #[error(
        "`{path}` belongs to commit {version} but is neither published nor staged; restore it or run a full refresh"
    )]
    Lost {
        /// Where it should be.
        path: String,
        /// The commit.
        version: i64,
    },
    /// `partition_by` cannot be honoured for this report.
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
    #[error("{what} `{name}` cannot name a folder: {reason}")]
    Name {
        /// What the name is of: account or run.
        what: &'static str,
        /// The name, cut if long.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// A page does not have the tables or columns that the catalogue gives the report.
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
        source: arrow::error::ArrowError,
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
    /// A task panicked or was cut off.
    #[error("the task that was to {task} stopped without an answer; this is a bug in ctct-etl")]
    Task {
        /// What it was to do.
        task: String,
    },
}

impl LoadError {
    /// The same operation may succeed a little later: the store answered with something that passes.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store { source: StoreError::Generic { .. }, .. } if self.io_kind().is_none())
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Store { source, .. } => io_kind(source),
            _ => None,
        }
    }
}

/// What to do about an error of the store.
fn advice(error: &StoreError) -> &'static str {
    match io_kind(error) {
        Some(io::ErrorKind::StorageFull) => "the disk is full, free some space and run again",
        Some(io::ErrorKind::QuotaExceeded) => "the disk quota is used up, free some space and run again",
        Some(io::ErrorKind::PermissionDenied) => "permission denied, let this user write there",
        Some(io::ErrorKind::ReadOnlyFilesystem) => "the file system is read-only, choose another destination",
        Some(io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => {
            "a file is in the way of a folder, move it or choose another destination"
        }
        _ => match error {
            StoreError::NotFound { .. } => "it does not exist",
            StoreError::AlreadyExists { .. } => "it exists already",
            StoreError::PermissionDenied { .. } => "the credentials do not allow it, grant read and write",
            StoreError::Unauthenticated { .. } => "the credentials are missing or wrong, set them in the environment",
            _ => "the store failed, see the cause and run again",
        },
    }
}

/// The kind of the I/O error at the root of a store's error, where there is one.
pub(crate) fn io_kind(error: &StoreError) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}
