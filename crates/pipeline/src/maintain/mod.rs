//! What is done with what is stored between runs: looking at it, verifying it, joining its files, rebuilding its log.
//!
//! Field names of the summaries are part of the tool's contract: fields are added, never renamed.

mod adopt;
mod compact;
mod rebuild;
mod state;
mod status;
mod unfinished;
mod verify;

use ctct_load::{Destination, LoadError};

pub use adopt::{AdoptSummary, AdoptedReport, adopt};
pub use compact::{CompactSummary, CompactedReport, compact};
pub use rebuild::{LossSummary, RebuildResult, RebuildSummary, ReportRebuild, rebuild};
pub use state::{CommitSummary, FileGroupSummary, StagedSummary, StateSummary, StoredReport, state};
pub use status::{Expectation, Health, LastError, ReportStatus, StatusSummary, status};
pub use unfinished::{FailedIdsSummary, HolderSummary};
pub use verify::{CountSummary, FindingSummary, ReportVerified, VerifiedTableSummary, VerifySummary, verify};

use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::run_error::RunError;
use crate::summary::ErrorSummary;

/// How a command over all reports of a pipeline ended before it came to any of them.
struct Unopened {
    outcome: Outcome,
    error: ErrorSummary,
}

/// Opens the destination of a plan; nothing is written.
fn open(plan: &Plan, context: &Context) -> Result<Destination, Unopened> {
    context
        .open_destination(&plan.pipeline)
        .map_err(|error| Unopened { outcome: error.outcome(), error: plan.told(&error) })
}

/// What an error of one report means, and what to do about it.
fn failed(plan: &Plan, report: &str, error: LoadError) -> (Outcome, ErrorSummary) {
    let error = RunError::Load { report: report.to_owned(), source: Box::new(error) };
    (error.outcome(), plan.told(&error))
}
