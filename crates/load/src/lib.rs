//! Record batches to staged Parquet, commit and published files. The commit log is the watermark.
//!
//! ```text
//! pages of batches -> row groups -> staged files -> commits/<v+1>, created if absent -> files below the tables
//! ```
//!
//! A [`Session`] is one run of one report. All tables of the report move together: what it writes waits in staging,
//! outside of every table, until one create of a small record makes it real; then the files are moved to where readers
//! find them. With [`WriteMode::Merge`] rows gather in an external sort, and the commit merges them with the stored
//! files, partition by partition. Killed before the create, a run leaves nothing behind; killed after it, the next run finishes the moves.
//!
//! ```text
//! <url>/<table>/account=<account>/<partitions>/<file>.parquet              committed files, nothing else
//! <url>/_ctct/<account>/<report>/commits/<version>.json                    the log
//! <url>/_ctct/<account>/<report>/damaged/...                               records and files that a rebuild moved aside
//! <url>/_ctct/<account>/<report>/staging/<base version>/<run>/             files of runs that have not committed
//! <url>/_ctct/<account>/<report>/dead_letters/<version>-<run>.jsonl.zst    records that could not be typed
//! <url>/_ctct/<account>/<report>/pages/<base version>/<query>/             fetched pages, until a commit
//! <url>/_ctct/<account>/<report>/raw/<base version>/<query>/               the same, for good
//! <url>/_ctct/<account>/<report>/failed_ids/<version>-<run>.json           ids that could not be read, or are done
//! <url>/_ctct/<account>/<report>/seen/<version>-<run>.seen                 hashes of rows that may be read again
//! <url>/_ctct/<account>/<report>/manifest/<version>-<run>.jsonl.zst        every file that a commit left, and its SHA-256
//! <url>/_ctct/.leases/<account>/<number>.json                              who reads and writes at this moment
//! ```
//!
//! This crate knows no HTTP of the source and no clock: times come from the caller.
//!
//! Its rooms from the ground up, each of which uses only those before it: `error`, `destination`, `log`, `files`, `pages`, `dedupe`,
//! `merge`, `compact`, `session`, `maintain`.

mod compact;
mod dedupe;
mod destination;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod log;
mod maintain;
mod merge;
mod pages;
mod session;

pub use compact::{Compacted, Compaction, TableCompaction};
pub use dedupe::seen::Known;
pub use destination::Destination;
pub use destination::file_options::{Compression, FileOptions, FileSettings};
pub use destination::folder::{NULL_FOLDER, decode as decode_folder, encode as encode_folder};
pub use destination::stop::StopFlag;
pub use destination::store::{Cloud, StoreOption, StoreOptionKind, StoreOptions};
pub use error::LoadError;
pub use files::encode::{FileTotals, TableEncoder};
pub use files::ids::distinct_ids;
pub use files::layout::{ACCOUNT_COLUMN, FileLayout, account_field};
pub use files::partition::PartitionBy;
pub use files::plan::{LoadPlan, Repeats};
pub use files::small::{decode_rows, encode_rows, footer_text};
pub use files::sort::RowBuffer;
pub use files::stored_schema::{DELETE_REASON, DELETED_AT, VALID_FROM, VALID_TO, stored_schema};
pub use files::text_columns::{TextRow, accounts_with, text_rows};
pub use files::writer::on_rayon;
pub use log::ReportLog;
pub use log::adopt::{Adopted, Owned, adopt, owners};
pub use log::done::DoneIds;
pub use log::failed::{FailedId, IdsLeft};
pub use log::inventory::account_folder;
pub use log::lease::{Held, Holder, Lease, leases, unreadable_leases};
pub use log::owner::Owner;
pub use log::page_tally::PageTally;
pub use log::reach::Reach;
pub use log::record::{
    Commit, CommittedFile, CommittedLetters, Inventory, LAYOUT_VERSION, Progress, RECORD_FORMAT, RawPages, Rejected,
    ReportState, StateFile, TableInventory, Window, WriteMode,
};
pub use maintain::loss::Loss;
pub use maintain::rebuild::{LOST_FILES, Rebuild, Rebuilt, TableRebuilt, rebuild};
pub use maintain::survey::{FileGroup, StagedRun, Survey, TableSize, survey};
pub use maintain::verify::{Finding, Fix, Verified, VerifiedTable, VerifyOptions, verify};
pub use merge::MergeTotals;
pub use pages::{CrawlEnd, KeptPage, KeptPages, PageKeeper, PageQueue, RawCommit, Replay};
pub use session::dead_letters::{DeadLetterLine, LetterFile, Letters};
pub use session::storage_mode::refuse_storage_mode;
pub use session::{Absent, Brake, Committed, RunOutcome, Session, TableTotals};

#[cfg(test)]
mod tests;
