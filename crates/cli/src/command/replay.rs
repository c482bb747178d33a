//! `ctct-etl replay`: tables rebuilt from kept pages.

use ctct_pipeline::Context;

use super::{json, with_plan};
use crate::args::{Global, Output, ReplayArguments};
use crate::logging;
use crate::printer::print_done;
use crate::reporter;

/// Replays a pipeline's reports and prints a summary.
pub(crate) fn replay(global: &Global, arguments: &ReplayArguments) -> u8 {
    let canvas = reporter::canvas(global);
    logging::start(global, &canvas);
    with_plan(&arguments.pipeline.file, &arguments.only.reports, global, async |plan, context| {
        let context = Context { events: reporter::events(global, &canvas), ..context.clone() };
        let summary = if arguments.dead_letters {
            ctct_pipeline::run::replay_dead_letters(plan, &context).await
        } else {
            ctct_pipeline::run::replay(plan, &context).await
        };
        match arguments.result.output {
            Output::Text if global.quiet => {}
            Output::Text => print_done(&reporter::summary::text(&summary)),
            Output::Json => print_done(&json(&summary)),
        }
        reporter::ending::tell(global, &summary);
        summary.exit_code
    })
}
