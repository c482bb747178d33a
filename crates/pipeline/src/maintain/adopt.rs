//! Puts the account that a pipeline reads now in the place of the one whose rows are stored: on purpose, since runs refuse to.

use ctct_load::{Adopted, Destination, Owner, owners};
use serde::Serialize;

use super::{OverReports, Part, failed, over_reports};
use crate::context::Context;
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::run::lease;
use crate::run_error::RunError;
use crate::source;
use crate::source::identity::owner;
use crate::summary::ErrorSummary;

/// What adopting the reports of a pipeline came to.
#[derive(Debug, Clone, Serialize)]
pub struct AdoptSummary {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Account label.
    pub account: String,
    /// Where the tables are.
    pub destination: String,
    /// The run that the new records name.
    pub run_id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Exit code of the process.
    pub exit_code: u8,
    /// Whose account the pipeline reads, as people are shown it.
    pub owner: Option<String>,
    /// One entry for each report that is stored.
    pub reports: Vec<AdoptedReport>,
    /// Why nothing was adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// What became of one report.
#[derive(Debug, Clone, Serialize)]
pub struct AdoptedReport {
    /// The report.
    pub report: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Version of the commit that says whose rows they are now; absent where it was the same account already.
    pub version: Option<i64>,
    /// Whose rows they were, as people are shown it; absent where nothing told.
    pub from: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorSummary>,
}

/// Says that stored rows are those of the account that the plan reads: of the plan's reports, or with `all` of every report
/// that is stored under the account's label. Requests from the API whose account it is, and changes nothing else.
pub async fn adopt(plan: &Plan, context: &Context, all: bool) -> AdoptSummary {
    let mut owner = None;
    let work = async |destination: &Destination| adopt_all(plan, context, destination, all, &mut owner).await;
    let OverReports { pipeline, account, destination, outcome, exit_code, reports, error } =
        over_reports(plan, context, work).await;
    let run_id = context.run_id.clone();
    AdoptSummary { pipeline, account, destination, run_id, outcome, exit_code, owner, reports, error }
}

impl Part for AdoptedReport {
    fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// `told` gets whose account the plan reads, as people are shown it.
async fn adopt_all(
    plan: &Plan,
    context: &Context,
    destination: &Destination,
    all: bool,
    told: &mut Option<String>,
) -> Result<Vec<AdoptedReport>, RunError> {
    let unusable = |error| RunError::Destination(Box::new(error));
    destination.probe().await.map_err(unusable)?;
    let wanted = |report: &str| all || plan.reports.iter().any(|planned| planned.report.name == report);
    let stored = owners(destination, &plan.account).await.map_err(unusable)?;
    let reports: Vec<&str> = stored.iter().map(|owned| owned.report.as_str()).filter(|report| wanted(report)).collect();
    let holding = lease::all(plan, context, destination, &reports).await?;
    let owner = asked(plan, context).await?;
    *told = Some(shown(&owner));
    let mut adopted_reports = Vec::new();
    for owned in stored.iter().filter(|owned| wanted(&owned.report)) {
        let at = context.clock.now();
        let adopted = ctct_load::adopt(destination, &plan.account, &owned.report, &owner, &context.run_id, at).await;
        let mut report = AdoptedReport {
            report: owned.report.clone(),
            outcome: Outcome::Done,
            version: None,
            from: None,
            error: None,
        };
        match adopted {
            Ok(adopted) => {
                let Adopted { version, from } = adopted.unwrap_or(Adopted { version: None, from: Owner::default() });
                report.version = version;
                report.from = from.account.is_some().then(|| shown(&from));
            }
            Err(error) => {
                let (outcome, error) = failed(plan, &owned.report, error);
                report.outcome = outcome;
                report.error = Some(error);
            }
        }
        adopted_reports.push(report);
    }
    if let Some(holding) = holding {
        holding.release().await;
    }
    Ok(adopted_reports)
}

/// Whose account the plan reads, by the API itself.
async fn asked(plan: &Plan, context: &Context) -> Result<Owner, RunError> {
    let source = source::open(plan, context).await?;
    // The embedded API is known by its seed.
    let told = source.facts().identity.clone();
    let identity = if source.is_embedded() { Ok(told.clone()) } else { source.client.identify().await };
    source.close().await?;
    let identity = identity?;
    let identity = if identity.account.is_none() { told } else { identity };
    if identity.account.is_none() {
        return Err(RunError::UnknownAccount { account: plan.account.clone() });
    }
    Ok(owner(&identity))
}

/// The organization and the account's id, as people are shown them.
pub(super) fn shown(owner: &Owner) -> String {
    let Owner { account, name, .. } = owner.clone();
    ctct_extract::Identity { account, name, ..ctct_extract::Identity::default() }.to_string()
}
