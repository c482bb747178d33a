//! `ctct-etl replay`: tables made again from kept pages.

use ctct_pipeline::Context;

use super::{json, with_plan, worse};
use crate::args::{Global, Output, ReplayArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::print;
use crate::reporter;

/// Replays a pipeline's reports and prints a summary.
pub(crate) fn replay(global: &Global, arguments: &ReplayArguments) -> u8 {
    let canvas = reporter::canvas(global);
    logging::start(global, &canvas);
    with_plan(&arguments.file, &arguments.reports, global, async |plan, context| {
        let context = Context { events: reporter::events(global, &canvas), ..context.clone() };
        let summary = if arguments.dead_letters {
            ctct_pipeline::replay_dead_letters(plan, &context).await
        } else {
            ctct_pipeline::replay(plan, &context).await
        };
        let printed = match arguments.output {
            Output::Text if global.quiet => exit_code::DONE,
            Output::Text => print(&reporter::summary::text(&summary)),
            Output::Json => print(&json(&summary)),
        };
        reporter::ending::tell(global, &summary);
        worse(summary.exit_code, printed)
    })
}
