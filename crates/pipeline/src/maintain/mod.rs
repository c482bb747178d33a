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
use serde::Serialize;

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

/// What a command over all reports of a pipeline came to.
#[derive(Debug, Clone, Serialize)]
pub struct OverReports<R> {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Account label.
    pub account: String,
    /// Where the tables are.
    pub destination: String,
    /// How it ended, from how its reports did.
    pub outcome: Outcome,
    /// Exit code of the process.
    pub exit_code: u8,
    /// One entry per report, in the order of the plan.
    pub reports: Vec<R>,
    /// Why it came to none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// A report's part in it.
trait Part {
    /// How it ended.
    fn outcome(&self) -> Outcome;
}

/// What comes of work at the plan's destination.
async fn over_reports<R: Part>(
    plan: &Plan,
    context: &Context,
    work: impl AsyncFnOnce(&Destination) -> Result<Vec<R>, RunError>,
) -> OverReports<R> {
    let opened = context.open_destination(&plan.pipeline);
    let destination = opened.as_ref().map_or(plan.destination.as_str(), Destination::url).to_owned();
    let done = match opened {
        Ok(destination) => work(&destination).await,
        Err(error) => Err(error),
    };
    let (outcome, reports, error) = match done {
        Ok(reports) => {
            let parts: Vec<Outcome> = reports.iter().map(Part::outcome).collect();
            (Outcome::of_parts(&parts), reports, None)
        }
        Err(error) => (error.outcome(), Vec::new(), Some(plan.told(&error))),
    };
    OverReports {
        pipeline: plan.pipeline.name.clone(),
        account: plan.account.clone(),
        destination,
        outcome,
        exit_code: outcome.policy().exit_code,
        reports,
        error,
    }
}

/// What an error of one report means, and what to do about it.
fn failed(plan: &Plan, report: &str, error: LoadError) -> (Outcome, ErrorSummary) {
    let error = RunError::Load { report: report.to_owned(), source: Box::new(error) };
    (error.outcome(), plan.told(&error))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
