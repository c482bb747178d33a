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
//! <url>/_ctct/<account>/<report>/pages/<base version>/<query>/             pages that were paid for, until a commit
//! <url>/_ctct/<account>/<report>/raw/<base version>/<query>/               the same, for good
//! <url>/_ctct/<account>/<report>/failed_ids/<version>-<run>.json           ids that could not be read, or are done
//! <url>/_ctct/<account>/<report>/seen/<version>-<run>.seen                 hashes of rows that may be read again
//! <url>/_ctct/<account>/<report>/manifest/<version>-<run>.jsonl.zst        every file that a commit left, and its SHA-256
//! <url>/_ctct/.leases/<account>/<number>.json                              who reads and writes at this moment
//! ```
//!
//! This crate knows no HTTP of the source and no clock: times come from the caller.

mod dedupe;
mod destination;
mod error;
mod fault;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod log;
mod maintain;
mod merge;
mod pages;
mod session;

pub use dedupe::seen::Known;
pub use destination::Destination;
pub use destination::folder::{NULL_FOLDER, decode as decode_folder, encode as encode_folder};
pub use destination::stop::StopFlag;
pub use destination::store::{Cloud, OptionKind, StoreOption, StoreOptions};
pub use error::LoadError;
pub use files::encode::{ACCOUNT_COLUMN, FileLayout, FileTotals, RowBuffer, TableEncoder, account_field};
pub use files::ids::distinct_ids;
pub use files::options::{Compression, FileOptions, FileSettings, LoadPlan, Repeats, WriteMode};
pub use files::partition::PartitionBy;
pub use files::small::{decode_rows, encode_rows, footer_text};
pub use files::texts::{TextRow, accounts_with, text_rows};
pub use files::writer::on_rayon;
pub use log::ReportLog;
pub use log::done::DoneIds;
pub use log::failed::{FailedId, IdsLeft};
pub use log::inventory::{Inventory, TableInventory, account_folder};
pub use log::lease::{Held, Holder, Lease, leases};
pub use log::owner::{Adopted, Owned, Owner, adopt, owners};
pub use log::reach::Reach;
pub use log::record::{
    Commit, CommittedFile, CommittedLetters, LAYOUT_VERSION, Progress, RECORD_FORMAT, RawPages, Rejected, ReportState,
    StateFile, Window,
};
pub use log::survey::{Pile, StagedRun, Survey, TableSize, survey};
pub use maintain::compact::{Compacted, Compaction, TableCompaction};
pub use maintain::rebuild::{Loss, Rebuild, Rebuilt, TableRebuilt, rebuild};
pub use maintain::verify::{Finding, Mend, Verified, VerifiedTable, VerifyOptions, verify};
pub use merge::{DELETE_REASON, DELETED_AT, MergeTotals, VALID_FROM, VALID_TO, stored_schema};
pub use pages::{CrawlEnd, KeptPage, KeptPages, PageKeeper, PageQueue, PageTally, RawCommit, Replay};
pub use session::dead_letters::{DeadLetterLine, LetterFile, Letters};
pub use session::manner::refuse_manner;
pub use session::{Absent, Brake, Committed, Outcome, Session, TableTotals};

#[cfg(test)]
mod tests;
