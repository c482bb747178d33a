//! One module a command. Each takes its arguments and gives the process's exit code.

pub(crate) mod auth;
pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod init;
pub(crate) mod plan;
pub(crate) mod replay;
pub(crate) mod reports;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod schedule;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod validate;
pub(crate) mod verify;
pub(crate) mod views;

use std::path::Path;
use std::time::Duration;

use ctct_catalog::Catalog;
use ctct_extract::Clock;
use ctct_pipeline::document::ConfigErrors;
use ctct_pipeline::policy::Severity;
use ctct_pipeline::{Context, Environment, Events, Outcome, Pipeline, Plan, RunError, StateStore};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::args::Global;
use crate::folders;
use crate::printer::{self, complain, fail};
use crate::stop::StopRequests;

/// The embedded catalog, or the exit code when it does not parse, which a test rules out for every release.
pub(crate) fn catalog() -> Result<Catalog, u8> {
    Catalog::embedded().map_err(|error| {
        complain(&format!("error: the embedded catalog: {error}"));
        crate::exit_code::BUG
    })
}

/// Reads a pipeline; what is wrong with it is on stderr then.
pub(crate) fn pipeline(file: &Path, catalog: &Catalog) -> Result<Pipeline, u8> {
    Pipeline::load(file, catalog, &Environment::process()).map_err(|errors| refuse(&errors))
}

/// Shows what is wrong with a pipeline, and what to do.
pub(crate) fn refuse(errors: &ConfigErrors) -> u8 {
    printer::refuse(errors);
    crate::exit_code::CONFIGURATION
}

/// Where this process keeps sign-ins and ledgers. A host without a home can still run what needs none of them.
pub(crate) fn keeping(global: &Global) -> StateStore {
    folders::of_host(global).map_or_else(StateStore::nowhere, StateStore::on_host)
}

/// What a command needs beside its plan, as this process has it. Relative paths start from `folder`: that of the pipeline,
/// or the current one for what belongs to none.
pub(crate) fn context(folder: &Path, keeping: StateStore, events: Events, stop: CancellationToken) -> Context {
    Context {
        clock: Clock::system(),
        run_id: Uuid::now_v7().to_string(),
        base_dir: folder.to_owned(),
        environment: Environment::process(),
        events,
        stop,
        state: keeping,
        deadline: None,
        destination: None,
    }
}

/// Threads for file operations. Few are enough for one disk, and each keeps memory of its own in the allocator.
const BLOCKING_THREADS: usize = 4;

/// A tokio runtime, or the exit code when the system gives none.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build().map_err(
        |error| {
            complain(&format!("error: threads cannot be started: {error}\nnext: stop other processes or raise the limit (ulimit -u), then run again"));
            crate::exit_code::TRANSIENT
        },
    )
}

/// From a request to stop to the end of a command.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Does something with the plan of each account of one file, of only the reports named in `only` where there are any.
pub(crate) fn with_plan(
    file: &Path,
    only: &[String],
    global: &Global,
    mut work: impl AsyncFnMut(&Plan, &Context) -> u8,
) -> u8 {
    let prepared = catalog().and_then(|catalog| Ok((plan::resolve(file, only, &catalog)?, runtime()?)));
    let (plan, runtime) = match prepared {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let context = context(plan.pipeline.folder(), keeping(global), Events::none(), stop.clone());
        let all = async {
            let plans = match plan.by_account(None, &context).await {
                Ok(plans) => plans,
                Err(error) => return no_accounts(&plan, &error),
            };
            let mut worst = crate::exit_code::DONE;
            for plan in &plans {
                if stop.is_cancelled() {
                    worst = worse(worst, Outcome::Stopped.policy().exit_code);
                    break;
                }
                worst = worse(worst, work(plan, &context).await);
            }
            context.state.release(&context.clock).await;
            worst
        };
        ended_by_signal(all, &stop).await
    })
}

/// The exit code of work that Ctrl-C or SIGTERM asks to stop, and gives up where it does not end soon after: what was not
/// committed by then, the next command finds as a killed one leaves it.
async fn ended_by_signal(work: impl Future<Output = u8>, stop: &CancellationToken) -> u8 {
    let mut requests = StopRequests::listen();
    let mut work = std::pin::pin!(work);
    tokio::select! {
        code = &mut work => return code,
        () = requests.next() => stop.cancel(),
    }
    tokio::select! {
        code = &mut work => return code,
        () = tokio::time::sleep(ENDS_WITHIN) => {}
        () = requests.next() => {}
    }
    fail(Severity::Warn, "stopped at once, before it finished", Some("run the same command again"), []);
    Outcome::Stopped.policy().exit_code
}

/// Says why the accounts of a pipeline are not known.
pub(crate) fn no_accounts(plan: &Plan, error: &RunError) -> u8 {
    let summary = plan.told(error);
    complain(&format!("error: {}\nnext: {}", summary.message, summary.advice));
    error.outcome().policy().exit_code
}

/// A summary as one line of JSON.
pub(crate) fn json(summary: &impl Serialize) -> String {
    // A summary holds text, numbers and string-keyed maps: nothing that JSON could refuse.
    serde_json::to_string(summary).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

/// The exit code of a command: the failure to print counts only where nothing worse happened.
pub(crate) fn worse(outcome: u8, printed: u8) -> u8 {
    if outcome == crate::exit_code::DONE { printed } else { outcome }
}
