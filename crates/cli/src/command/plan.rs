//! `ctct-etl plan`: the requests that a run would send. Makes none, unless told to count.

use std::path::Path;

use chrono::Utc;
use ctct_catalog::Catalog;
use ctct_extract::Clock;
use ctct_pipeline::document::{When, did_you_mean};
use ctct_pipeline::plan::{Scope, Shard};
use ctct_pipeline::{Events, Plan, StateStore};
use tokio_util::sync::CancellationToken;

use super::{catalog, context, json, keeping, no_accounts, pipeline, refuse, runtime, worse};
use crate::args::{Global, Output, PlanArguments, ScopeArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::{complain, print};
use crate::reporter;
use crate::reporter::ending::{Reason, give};

/// Prints the plan of one pipeline, for each of its accounts.
pub(crate) fn plan(global: &Global, arguments: &PlanArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    let plan = catalog()
        .and_then(|catalog| resolve(&arguments.pipeline.file, &arguments.only.reports, &catalog))
        .and_then(|plan| Ok((scoped(plan, &arguments.scope)?, runtime()?)));
    match plan {
        Ok((plan, runtime)) => {
            runtime.block_on(show(&[plan], &keeping(global), arguments.shard, arguments.probe, arguments.result.output))
        }
        Err(code) => code,
    }
}

/// Prints what runs of these plans would ask and cost.
pub(crate) async fn show(
    plans: &[Plan],
    keeping: &StateStore,
    shard: Option<Shard>,
    probe: bool,
    output: Output,
) -> u8 {
    let (mut shown, mut code, mut errors) = (Vec::new(), exit_code::DONE, Vec::new());
    for plan in plans {
        let context = context(plan.pipeline.folder(), keeping.clone(), Events::none(), CancellationToken::new());
        let accounts = match plan.by_account(shard, &context).await {
            Ok(accounts) => accounts,
            Err(error) => {
                code = worse(code, no_accounts(plan, &error));
                continue;
            }
        };
        for plan in &accounts {
            let summary = ctct_pipeline::forecast::forecast(plan, &context, probe).await;
            code = worse(code, summary.exit_code);
            errors.extend(summary.error.clone().map(|error| (summary.exit_code, error)));
            shown.push(match output {
                Output::Text => summary.to_string(),
                Output::Json => json(&summary),
            });
        }
    }
    keeping.release(&Clock::system()).await;
    let printed = print(&shown.join(if output == Output::Text { "\n\n" } else { "\n" }));
    for (code, error) in &errors {
        give(*code, [Reason::of_all(error)]);
    }
    worse(code, printed)
}

/// The plan of a file as of now, of only the reports named in `only` where there are any.
pub(crate) fn resolve(file: &Path, only: &[String], catalog: &Catalog) -> Result<Plan, u8> {
    let pipeline = pipeline(file, catalog)?;
    let mut plan = Plan::new(&pipeline, Utc::now()).map_err(|errors| refuse(&errors))?;
    for name in only {
        if !plan.reports.iter().any(|report| report.report.name == *name) {
            let there: Vec<&str> = plan.reports.iter().map(|report| report.report.name.as_str()).collect();
            let meant = did_you_mean(name, &there).map_or_else(String::new, |meant| format!("; {meant}"));
            complain(&format!(
                "error: {} has no report `{name}`{meant}\nnext: use --report with one of {}",
                file.display(),
                there.join(", ")
            ));
            return Err(exit_code::CONFIGURATION);
        }
    }
    if !only.is_empty() {
        plan.reports.retain(|report| only.contains(&report.report.name));
    }
    Ok(plan)
}

/// The plan for the scope that the command line names.
pub(crate) fn scoped(plan: Plan, arguments: &ScopeArguments) -> Result<Plan, u8> {
    let scope = scope(arguments, &plan)?;
    plan.with_scope(scope).map_err(|error| {
        let others: Vec<String> = error.others.iter().map(|name| format!("--report {name}")).collect();
        let advice = if others.is_empty() { "run without --from".to_owned() } else { others.join(" ") };
        complain(&format!("error: {error}: the API cannot filter that by date\nnext: try {advice}"));
        exit_code::CONFIGURATION
    })
}

/// The scope that the command line names, its dates read in the pipeline's time zone.
fn scope(arguments: &ScopeArguments, plan: &Plan) -> Result<Scope, u8> {
    let ScopeArguments { full_refresh, from, to } = arguments;
    let (now, zone) = (plan.now, plan.pipeline.timezone);
    let Some(from) = from.map(|from| from.start(now, zone)) else {
        return Ok(if *full_refresh { Scope::Everything } else { Scope::Live });
    };
    if from > now {
        complain("error: --from is in the future\nnext: use a date in the past");
        return Err(exit_code::CONFIGURATION);
    }
    let to = to.map(|to| match to {
        When::Timestamp(instant) => instant,
        day => day.end(now, zone),
    });
    if to.is_some_and(|to| to < from) {
        complain("error: --to is before --from\nnext: swap the two dates");
        return Err(exit_code::CONFIGURATION);
    }
    Ok(Scope::Between { from, to })
}
