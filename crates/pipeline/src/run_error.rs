//! What can end a run or a report. What follows from each is in `policy.rs`.

use chrono::SecondsFormat;
use ctct_extract::{ExtractError, Identity};
use ctct_load::{Held, LoadError};
use ctct_sandbox::SandboxError;
use ctct_transform::TransformError;

use crate::allowance::Allowance;
use crate::document::error::ConfigErrors;
use crate::outcome::Outcome;

/// What ended a run or a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The pipeline names a token that is not available.
    #[error("{0}")]
    Configuration(#[from] ConfigErrors),
    /// No token is known for the account.
    #[error("no sign-in is stored for the account `{account}`, and the pipeline names no token")]
    NoToken {
        /// Label of the account.
        account: String,
    },
    /// The pipeline reads all accounts whose name fits, and none does.
    #[error("no signed-in account matches `{pattern}`")]
    NoAccounts {
        /// The pattern.
        pattern: String,
    },
    /// Sign-ins are in a store, where they are encrypted, and there is no key.
    #[error("sign-ins in a store are encrypted, and the environment variable `CTCT_TOKEN_KEY` is not set")]
    NoTokenKey,
    /// The destination cannot be used.
    #[error("destination: {0}")]
    Destination(#[source] Box<LoadError>),
    /// The embedded API did not start.
    #[error("the embedded API did not start: {0}")]
    Sandbox(#[from] SandboxError),
    /// Asking the API failed.
    #[error(transparent)]
    Extract(Box<ExtractError>),
    /// A response could not be turned into rows.
    #[error("{report}: page {page} (request {request_id}): {source}")]
    Transform {
        /// The report.
        report: String,
        /// Number of the page within its crawl, from 1.
        page: u32,
        /// The vendor's id of the request, for their support.
        request_id: String,
        /// What is wrong with the page.
        source: TransformError,
    },
    /// Pages of a list brought only records that had come before, and each links to another.
    #[error(
        "{report}: page {page} (request {request_id}) and those before it brought only records that had come before; nothing \
         more is requested"
    )]
    NoProgress {
        /// The report.
        report: String,
        /// Number of the page within its crawl, from 1.
        page: u32,
        /// The vendor's id of the request, for their support.
        request_id: String,
    },
    /// A mistake of this program ended it.
    #[error("{what}: an internal error of ctct-etl ended it; what was committed before is complete")]
    Panicked {
        /// The report, or the pipeline.
        what: String,
    },
    /// Writing failed.
    #[error("{report}: {source}")]
    Load {
        /// The report.
        report: String,
        /// What failed.
        source: Box<LoadError>,
    },
    /// The report takes its ids from a table that the destination does not have.
    #[error("{report}: takes its ids from `{table}`, a table that the destination does not have")]
    NoSource {
        /// The report.
        report: String,
        /// The table.
        table: String,
    },
    /// The report takes its ids from a report of this run that failed.
    #[error("{report}: skipped: needs ids from `{on}`, which did not finish")]
    SourceFailed {
        /// The report.
        report: String,
        /// The report that failed.
        on: String,
        /// How that one ended.
        outcome: Outcome,
    },
    /// Another run is at work on the report.
    #[error(
        "{report}: another run (`{}`, pipeline `{}`, process {} on {}) is reading it; its lease ends with it, or at {}",
        .held.holder.run_id, .held.holder.pipeline, .held.holder.pid, .held.holder.host,
        .held.until.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    Held {
        /// The report.
        report: String,
        /// Who, and until when at the least.
        held: Box<Held>,
    },
    /// Some ids could not be read. The rest is committed.
    #[error(
        "{report}: {failed} of {ids} ids failed, the first of them number {ordinal}: {first}; the rest is committed{}",
        .file.as_ref().map_or_else(String::new, |file| format!(", and the failed ids are listed in {file}"))
    )]
    IdsFailed {
        /// The report.
        report: String,
        /// How many failed.
        failed: u64,
        /// How many there are.
        ids: u64,
        /// The place among all ids of the first that failed, from 1.
        ordinal: usize,
        /// How it failed.
        first: Box<RunError>,
        /// Where the failed ids are listed.
        file: Option<String>,
    },
    /// So many ids failed that it is the API that fails.
    #[error(
        "{report}: {failed} of {ids} ids failed, as in an outage: {first}; nothing is committed, and what was read is kept"
    )]
    Outage {
        /// The report.
        report: String,
        /// How many failed.
        failed: u64,
        /// How many there are.
        ids: u64,
        /// How the first of them failed.
        first: Box<RunError>,
    },
    /// The API knows none of the ids.
    #[error("{report}: the API knows none of the {ids} requested ids")]
    NoneFound {
        /// The report.
        report: String,
        /// How many were asked for.
        ids: u64,
    },
    /// Pages were not kept, or not from the beginning.
    #[error("{report}: {place} has no saved responses that its tables could be made from")]
    NothingKept {
        /// The report.
        report: String,
        /// The folder or the address that was looked at.
        place: String,
    },
    /// So many records cannot be used that nothing was published.
    #[error(
        "{report}: {rejected} of {records} records cannot be used, more than `max_rejected` allows; nothing was published{}",
        .kept.as_ref().map_or_else(String::new, |kept| format!("; they are in {kept}"))
    )]
    TooManyRejected {
        /// The report.
        report: String,
        /// Different records that cannot be used.
        rejected: u64,
        /// Different records in all.
        records: u64,
        /// Where they are.
        kept: Option<String>,
    },
    /// Everything was read twice running, and each time the API counted more than came.
    #[error(
        "{report}: the API counts {counted} records and sent {read}, for the second time in a row; what was read is committed"
    )]
    Incomplete {
        /// The report.
        report: String,
        /// Different records that came.
        read: u64,
        /// What the API counts.
        counted: u64,
    },
    /// Dead letters are read in again where rows are added or merged only.
    #[error("{report}: dead letters cannot be added to tables that are written with `write_mode: {mode}`")]
    LettersNotAdded {
        /// The report.
        report: String,
        /// How its tables are written.
        mode: &'static str,
    },
    /// The tables hold rows that were chosen in another way.
    #[error(
        "{report}: the stored rows were chosen by `{stored}`{}, and this run requests `{wanted}`: one table would hold a mixture",
        .owner.as_ref().map(|owner| format!(" (pipeline `{owner}`)")).unwrap_or_default()
    )]
    OtherRows {
        /// The report.
        report: String,
        /// How they were chosen.
        stored: String,
        /// How the pipeline chooses them now.
        wanted: String,
        /// The pipeline that stored them, where it is another one.
        owner: Option<String>,
    },
    /// The stored rows are another account's.
    #[error(
        "`{account}` holds the rows of {stored} so far (report `{report}`), and this token reads {found}: nothing was read"
    )]
    OtherAccount {
        /// Label of the account.
        account: String,
        /// A report that says so.
        report: String,
        /// Whose rows are stored.
        stored: Box<Identity>,
        /// Whose account the token reads.
        found: Box<Identity>,
        /// Whether the token is that of a stored sign-in.
        stored_sign_in: bool,
    },
    /// Nothing tells whose account it is, and that is what was asked for.
    #[error("the API does not say whose account `{account}` is (GET /account/summary): nothing was changed")]
    UnknownAccount {
        /// Label of the account.
        account: String,
    },
    /// The account signed in at another server than the pipeline names.
    #[error("`{account}` signed in at {signed_in}, and `base_url` is {wanted}: its token was not sent there")]
    OtherServer {
        /// Label of the account.
        account: String,
        /// The API that it signed in at.
        signed_in: String,
        /// The one that the pipeline names.
        wanted: String,
    },
    /// The run certainly takes more requests than are left today.
    #[error(
        "the run needs at least {needed} requests, and {} of today's {} are left until {}",
        .allowance.left, .allowance.daily, .allowance.resets_at.to_rfc3339_opts(SecondsFormat::Secs, true)
    )]
    DoesNotFit {
        /// Requests that it takes at least.
        needed: u64,
        /// What is left.
        allowance: Allowance,
    },
    /// The run was asked to stop, or its time was up.
    #[error("{report}: stopped before it finished")]
    Stopped {
        /// The report.
        report: String,
    },
    /// A worker died.
    #[error("{report}: a worker ended without a result")]
    WorkerDied {
        /// The report.
        report: String,
    },
}

impl From<ExtractError> for RunError {
    fn from(error: ExtractError) -> Self {
        Self::Extract(Box::new(error))
    }
}

impl RunError {
    /// Whether a run that took up so many kept pages may have failed because of them, so that it should do without.
    pub(crate) fn is_of_kept_pages(&self, resumed: u64) -> bool {
        match self {
            Self::Extract(error) => matches!(**error, ExtractError::StaleCursor { .. }),
            Self::Transform { .. } | Self::NoProgress { .. } => resumed > 0,
            _ => false,
        }
    }

    /// Whether kept pages led to a response that will not change, so that they would lead there again.
    pub(crate) fn spoils_kept_pages(&self) -> bool {
        match self {
            Self::Extract(error) => {
                use ExtractError::{ForeignLink, NoProgress, RepeatedCursor};
                matches!(**error, RepeatedCursor { .. } | ForeignLink { .. } | NoProgress { .. })
            }
            Self::Transform { .. } | Self::NoProgress { .. } => true,
            _ => false,
        }
    }
}
