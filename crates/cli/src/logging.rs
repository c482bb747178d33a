//! Log lines on stderr, as text or JSON. On a terminal they share it with the progress bars without tearing them.

use std::io::{self, IsTerminal, Write};

use ctct_extract::{SPANS, scrubbed};
use indicatif::MultiProgress;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Global, LogFormat};
use crate::log_line::FlatJson;

/// Environment variable with a filter such as `ctct_extract=debug`.
const FILTER: &str = "CTCT_LOG";

/// Starts logging. `bars` is where progress is drawn, so that lines go above it.
pub(crate) fn start(global: &Global, bars: &MultiProgress) {
    let level = match (global.quiet, global.verbose, global.log_format) {
        (true, _, _) => Level::ERROR,
        // On a terminal the progress says what the `info` lines would.
        (_, 0, LogFormat::Text) => Level::WARN,
        (_, 0, LogFormat::Json) | (_, 1, _) => Level::INFO,
        _ => Level::DEBUG,
    };
    let set = std::env::var(FILTER).ok().filter(|filter| !filter.trim().is_empty());
    let (filter, wrong) = match set.map(|filter| filter.parse::<Targets>()) {
        None => (usual(level), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (usual(level), Some(error)),
    };
    // Whatever is filtered, a line says which run and which report it is of.
    let filter = filter.with_target(SPANS, Level::ERROR);
    // Where stderr was closed there is nobody to tell, and telling would end the process.
    let lines = tracing_subscriber::fmt::layer().with_writer(AboveBars(bars.clone())).log_internal_errors(false);
    let lines = match global.log_format {
        LogFormat::Json => lines.fmt_fields(JsonFields::new()).event_format(FlatJson).boxed(),
        LogFormat::Text => lines.with_target(false).with_ansi(colors()).boxed(),
    };
    // Fails when logging was started before, as in tests; then that one serves.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    if let Some(error) = wrong {
        tracing::warn!("{FILTER} is not a valid filter ({error}) and is ignored; write it like `ctct_extract=debug`");
    }
}

/// The level for this program's own crates; libraries stay at `error`.
fn usual(level: Level) -> Targets {
    let ours = ["etl", "pipeline", "extract", "transform", "load", "readers", "sandbox"];
    Targets::new().with_default(Level::ERROR).with_targets(ours.map(|part| (format!("ctct_{part}"), level)))
}

/// Whether stderr may be colored.
pub(crate) fn colors() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes to stderr while the bars are out of the way.
#[derive(Debug, Clone)]
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Each line comes in one piece. Whatever was put in it, a secret does not get out.
        let text = String::from_utf8_lossy(line);
        self.0.suspend(|| io::stderr().write_all(scrubbed(&text).as_bytes()))?;
        Ok(line.len())
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
