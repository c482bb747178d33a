//! Log lines on stderr, as text or JSON. On a terminal they share it with the progress bars without tearing them.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{Global, LogFormat};

/// Environment variable with a filter such as `ctct_extract=debug`.
const FILTER: &str = "CTCT_LOG";

/// Starts logging. `bars` is where progress is drawn, so that lines go above it.
pub(crate) fn start(global: &Global, bars: &MultiProgress) {
    let level = match (global.quiet, global.verbose, global.log_format) {
        (true, _, _) => "error",
        // On a terminal the progress says what the `info` lines would.
        (_, 0, LogFormat::Text) => "warn",
        (_, 0, LogFormat::Json) | (_, 1, _) => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(format!("error,{}", ours(level))));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveBars(bars.clone()));
    // Where stderr was closed there is nobody to tell, and telling would end the process.
    let lines = lines.log_internal_errors(false);
    // Fails when logging was started before, as in tests; then that one serves.
    let _ = match global.log_format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.with_target(false).with_ansi(colours()).try_init(),
    };
}

/// The level for this program's own crates; libraries stay at `error`.
fn ours(level: &str) -> String {
    ["etl", "pipeline", "extract", "transform", "load", "sandbox"].map(|part| format!("ctct_{part}={level}")).join(",")
}

/// Whether stderr may be coloured.
pub(crate) fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to stderr while the bars are out of the way.
#[derive(Debug, Clone)]
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
