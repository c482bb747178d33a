//! `ctct-etl run`: runs pipelines one after the other and prints a summary of each.

use std::path::PathBuf;
use std::time::Instant;

use ctct_catalog::Catalog;
use ctct_extract::Clock;
use ctct_pipeline::plan::CommandLine;
use ctct_pipeline::policy::Severity;
use ctct_pipeline::{Context, Event, Events, Outcome, Plan, StateStore};
use futures::{StreamExt, stream};
use indicatif::MultiProgress;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{catalog, context, json, keeping, no_accounts, plan, runtime};
use crate::args::{Global, Output, RunArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::{complain, fail, print_done};
use crate::reporter;
use crate::stop::StopRequests;

/// Runs every pipeline; the exit code is that of the worst.
pub(crate) fn run(global: &Global, arguments: &RunArguments) -> u8 {
    let canvas = reporter::canvas(global);
    logging::start(global, &canvas);
    match catalog().and_then(|catalog| plans(global, arguments, &catalog)) {
        Err(code) => code,
        Ok(plans) => match runtime() {
            Err(code) => code,
            Ok(runtime) if arguments.dry_run => {
                runtime.block_on(plan::show(&plans, &keeping(global), arguments.shard, false, arguments.result.output))
            }
            Ok(runtime) => runtime.block_on(run_all(&plans, &keeping(global), global, arguments, &canvas)),
        },
    }
}

/// The plans of all files; nothing runs before every file is valid.
fn plans(global: &Global, arguments: &RunArguments, catalog: &Catalog) -> Result<Vec<Plan>, u8> {
    let plan = |file: &PathBuf| {
        let plan = plan::scoped(plan::resolve(file, &arguments.only.reports, catalog)?, &arguments.scope)?;
        let plan = if arguments.over_days { plan.with_over_days() } else { plan };
        let plan = if arguments.allow_removal { plan.with_removal_allowed() } else { plan };
        let plan = if arguments.wait { plan.with_waiting() } else { plan };
        let plan = plan.with_command(|line| in_force(line, global, arguments));
        Ok(if arguments.keep_raw { plan.with_raw_kept() } else { plan })
    };
    arguments.pipelines.files.iter().map(plan).collect()
}

/// The command line with every flag that says what a run does, for advice that repeats it. How it talks is left out.
fn in_force(line: CommandLine, global: &Global, arguments: &RunArguments) -> CommandLine {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let RunArguments { scope, .. } = arguments;
    line.everywhere("--config-dir", path(&global.config_dir))
        .everywhere("--state-dir", path(&global.state_dir))
        .values("--report", arguments.only.reports.clone())
        .flag("--full-refresh", scope.full_refresh)
        .values("--from", scope.from.map(|from| from.to_string()))
        .values("--to", scope.to.map(|to| to.to_string()))
        .flag("--keep-raw", arguments.keep_raw)
        .flag("--allow-removal", arguments.allow_removal)
        .values("--shard", arguments.shard.map(|shard| shard.to_string()))
        .values("--account", arguments.accounts.clone())
        .flag("--over-days", arguments.over_days)
        .flag("--wait", arguments.wait)
        .values("--deadline", arguments.deadline.map(|span| format!("{}s", span.as_secs())))
}

/// Accounts of one pipeline that are read at a time. The pace is shared, so more would only wait for each other.
const ACCOUNTS_AT_ONCE: usize = 4;

async fn run_all(
    plans: &[Plan],
    keeping: &StateStore,
    global: &Global,
    arguments: &RunArguments,
    canvas: &MultiProgress,
) -> u8 {
    // One for all files: it is the scheduler's, and that knows one command.
    let deadline = arguments.deadline.map(|span| tokio::time::Instant::now() + span);
    let mut runs = Runs { global, output: arguments.result.output, canvas, outcomes: Vec::new() };
    let (stop, mut requests) = (CancellationToken::new(), StopRequests::listen());
    let started = Instant::now();
    for plan in plans {
        // Asked to stop while the last one ended: this one is not begun.
        if stop.is_cancelled() {
            runs.outcomes.push(Outcome::Stopped);
            break;
        }
        let context =
            Context { deadline, ..context(plan.pipeline.folder(), keeping.clone(), Events::none(), stop.clone()) };
        let plans = match plan.by_account(arguments.shard, &context).await {
            Ok(plans) => plans,
            Err(error) => {
                no_accounts(plan, &error);
                runs.outcomes.push(error.outcome());
                continue;
            }
        };
        let Some(plans) = named(plans, &arguments.accounts, plan.pipeline.file()) else {
            runs.outcomes.push(Outcome::Configuration);
            continue;
        };
        let mut all = std::pin::pin!(runs.of(&plans, &context));
        tokio::select! {
            () = &mut all => continue,
            () = requests.next() => {}
        }
        stop.cancel();
        reporter::events(global, canvas).emit(&Event::Stopping { after: started.elapsed() });
        tokio::select! {
            () = &mut all => {}
            () = requests.next() => {
                let (message, help) = ("stopped at once, before it finished", "run again to resume where it stopped");
                fail(Severity::Warn, message, Some(help), []);
                return exit_code::TRANSIENT;
            }
        }
    }
    keeping.release(&Clock::system()).await;
    let outcomes = &runs.outcomes;
    let worst = if stop.is_cancelled() { Outcome::of_stopped_parts(outcomes) } else { Outcome::of_parts(outcomes) };
    reporter::ending::tell_all(outcomes, worst);
    worst.policy().exit_code
}

/// The plans of the accounts that the command line names; all of them where it names none. `None` where the pipeline does
/// not have one of them, which is on stderr then.
fn named(mut plans: Vec<Plan>, accounts: &[String], file: &str) -> Option<Vec<Plan>> {
    if let Some(unknown) = accounts.iter().find(|name| !plans.iter().any(|plan| plan.account == **name)) {
        let there: Vec<&str> = plans.iter().map(|plan| plan.account.as_str()).collect();
        complain(&format!("error: {file} has no account `{unknown}`; it has {}", there.join(", ")));
        return None;
    }
    if !accounts.is_empty() {
        plans.retain(|plan| accounts.contains(&plan.account));
    }
    Some(plans)
}

/// The runs of this process, and what they came to.
struct Runs<'a> {
    global: &'a Global,
    output: Output,
    canvas: &'a MultiProgress,
    outcomes: Vec<Outcome>,
}

impl Runs<'_> {
    /// Runs the plans of one pipeline's accounts, some at a time. One that fails does not stop the others.
    async fn of(&mut self, plans: &[Plan], context: &Context) {
        let (global, canvas) = (self.global, self.canvas);
        let mut runs = stream::iter(plans)
            .map(|plan| async move {
                // Asked to stop before it began.
                if context.stop.is_cancelled() && plans.len() > 1 {
                    return None;
                }
                let run_id = Uuid::now_v7().to_string();
                let context = Context { events: reporter::events(global, canvas), run_id, ..context.clone() };
                Some(ctct_pipeline::run(plan, &context).await)
            })
            .buffer_unordered(ACCOUNTS_AT_ONCE);
        while let Some(summary) = runs.next().await {
            let Some(summary) = summary else {
                self.outcomes.push(Outcome::Stopped);
                continue;
            };
            self.outcomes.push(summary.outcome);
            let summary = &summary;
            match self.output {
                Output::Text if self.global.quiet => {}
                Output::Text => print_done(&reporter::summary::text(summary)),
                Output::Json => print_done(&json(summary)),
            }
            reporter::ending::tell(self.global, summary);
        }
    }
}
