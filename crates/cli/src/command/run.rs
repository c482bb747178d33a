//! `ctct-etl run`: runs pipelines one after the other and prints a summary of each.

use std::path::PathBuf;
use std::time::Instant;

use ctct_catalog::Catalog;
use ctct_pipeline::{Event, Outcome, Plan, RunSummary};
use indicatif::MultiProgress;
use tokio_util::sync::CancellationToken;

use super::{catalog, context, json, plan, runtime};
use crate::args::{Global, Output, RunArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::print;
use crate::reporter;
use crate::stop::StopRequests;

/// Runs every pipeline; the exit code is that of the worst.
pub(crate) fn run(global: &Global, arguments: &RunArguments) -> u8 {
    let canvas = reporter::canvas(global);
    logging::start(global, &canvas);
    match catalog().and_then(|catalog| plans(arguments, &catalog)) {
        Err(code) => code,
        Ok(plans) if arguments.dry_run => {
            let text: Vec<String> = plans.iter().map(Plan::to_string).collect();
            print(&text.join("\n"))
        }
        Ok(plans) => match runtime() {
            Err(code) => code,
            Ok(runtime) => runtime.block_on(run_all(&plans, global, arguments.output, &canvas)),
        },
    }
}

/// The plans of all files; nothing runs before every file is valid.
fn plans(arguments: &RunArguments, catalog: &Catalog) -> Result<Vec<Plan>, u8> {
    let plan = |file: &PathBuf| {
        let plan = plan::scoped(plan::resolve(file, &arguments.reports, catalog)?, &arguments.scope)?;
        Ok(if arguments.keep_raw { plan.with_raw_kept() } else { plan })
    };
    arguments.files.iter().map(plan).collect()
}

async fn run_all(plans: &[Plan], global: &Global, output: Output, canvas: &MultiProgress) -> u8 {
    let mut outcomes = Vec::new();
    let mut code = exit_code::DONE;
    let (stop, mut requests) = (CancellationToken::new(), StopRequests::listen());
    for plan in plans {
        // Asked to stop while the last one ended: this one is not begun.
        if stop.is_cancelled() {
            outcomes.push(Outcome::Transient);
            break;
        }
        let Some(summary) = run_one(plan, global, canvas, &stop, &mut requests).await else {
            return exit_code::TRANSIENT;
        };
        outcomes.push(summary.outcome);
        code = match output {
            Output::Text if global.quiet => exit_code::DONE,
            Output::Text => print(&reporter::summary::text(&summary)),
            Output::Json => print(&json(&summary)),
        };
    }
    let worst = if stop.is_cancelled() { Outcome::of_stopped_parts(&outcomes) } else { Outcome::of_parts(&outcomes) };
    let worst = worst.policy().exit_code;
    if worst == exit_code::DONE { code } else { worst }
}

/// The summary of a run, or `None` when it was asked to stop twice and dropped where it was.
async fn run_one(
    plan: &Plan,
    global: &Global,
    canvas: &MultiProgress,
    stop: &CancellationToken,
    requests: &mut StopRequests,
) -> Option<RunSummary> {
    let events = reporter::events(global, canvas);
    let context = context(events.clone(), stop.clone());
    let started = Instant::now();
    let mut run = std::pin::pin!(ctct_pipeline::run(plan, &context));
    tokio::select! {
        summary = &mut run => return Some(summary),
        () = requests.next() => {}
    }
    stop.cancel();
    events.emit(&Event::Stopping { after: started.elapsed() });
    tokio::select! {
        summary = &mut run => Some(summary),
        () = requests.next() => None,
    }
}
