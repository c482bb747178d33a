//! What a person sees while a run goes on: bars on a terminal, plain lines elsewhere, errors alone when asked for quiet.

mod bars;
pub(crate) mod ending;
mod lines;
pub(crate) mod summary;

use std::io::IsTerminal;

use ctct_pipeline::Events;
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::args::{Global, LogFormat};

/// What a run says when it is asked to stop.
const STOPPING: &str = "Stopping after the current request. Press Ctrl-C again to quit immediately";

/// Where bars are drawn: stderr if it is a terminal and nobody asked for quiet or JSON.
pub(crate) fn canvas(global: &Global) -> MultiProgress {
    let drawn = std::io::stderr().is_terminal() && !global.quiet && global.log_format == LogFormat::Text;
    let target = if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    MultiProgress::with_draw_target(target)
}

/// The sink of a run's events.
pub(crate) fn events(global: &Global, canvas: &MultiProgress) -> Events {
    if global.quiet {
        // How a run ended is told apart from the events: see `ending`.
        Events::none()
    } else if global.log_format == LogFormat::Json {
        lines::as_logs()
    } else if canvas.is_hidden() {
        lines::as_text()
    } else {
        bars::on(canvas.clone())
    }
}
