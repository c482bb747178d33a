//! Record batches to staged Parquet, commit and published files. The commit log is the watermark.
//!
//! ```text
//! pages of batches -> row groups -> staged files -> commits/<v+1>, created if absent -> files below the tables
//! ```
//!
//! A [`Session`] is one run of one report. All tables of the report move together: what it writes waits in staging,
//! outside of every table, until one create of a small record makes it real; then the files are moved to where readers
//! find them. Killed before the create, a run leaves nothing behind; killed after it, the next run finishes the moves.
//!
//! ```text
//! <url>/<table>/account=<account>/<partitions>/<file>.parquet              committed files, nothing else
//! <url>/_ctct/<account>/<report>/commits/<version>.json                    the log
//! <url>/_ctct/<account>/<report>/staging/<base version>/<run>/             files of runs that have not committed
//! <url>/_ctct/<account>/<report>/dead_letters/<version>-<run>.jsonl.zst    records that could not be typed
//! ```
//!
//! This crate knows no HTTP of the source and no clock: times come from the caller.

mod dead_letters;
mod destination;
mod dropped;
mod encode;
mod error;
mod folder;
mod ids;
mod log;
mod options;
mod partition;
mod publish;
mod read;
mod record;
mod session;
mod sort;
mod upload;
mod writer;

pub use dead_letters::DeadLetterLine;
pub use destination::Destination;
pub use encode::{FileLayout, FileTotals, RowBuffer, TableEncoder};
pub use error::LoadError;
pub use folder::{NULL_FOLDER, decode as decode_folder, encode as encode_folder};
pub use ids::distinct_ids;
pub use log::ReportLog;
pub use options::{FileOptions, LoadPlan, WriteMode};
pub use partition::PartitionBy;
pub use record::{Commit, CommittedFile, CommittedLetters, LAYOUT_VERSION, RECORD_FORMAT, Window};
pub use session::{Committed, Outcome, Session, TableTotals};

#[cfg(test)]
mod tests;
