//! Everything that goes to stdout goes through here, so that a reader who closes the pipe (`| head`) is no error. So do
//! messages on stderr, which are lines of text or, with `--log-format json`, of JSON like the log's.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use ctct_extract::shown;
use ctct_pipeline::document::ConfigErrors;
use ctct_pipeline::policy::Severity;
use serde_json::Value;

use crate::args::LogFormat;
use crate::{exit_code, log_line, logging};

/// The form of messages on stderr. One process has one stderr.
static FORM: OnceLock<LogFormat> = OnceLock::new();
/// Whether stderr has said why the command does not end with 0.
static REASON_GIVEN: AtomicBool = AtomicBool::new(false);

/// Says which form messages have from now on; the first call holds.
pub(crate) fn speak(form: LogFormat) {
    FORM.get_or_init(|| form);
}

/// Whether messages are lines of JSON.
pub(crate) fn speaks_json() -> bool {
    FORM.get() == Some(&LogFormat::Json)
}

/// Writes `text` and a line end, and gives the exit code: 0, or what the failure to write means.
pub(crate) fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Ok(()) => exit_code::DONE,
        // Whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit_code::DONE,
        Err(error) => {
            complain(&format!(
                "error: cannot write to stdout: {error}\nhelp: free space or write elsewhere, then run the command again"
            ));
            exit_code::TRANSIENT
        }
    }
}

/// Writes what a command has done. Where that fails, the work is done all the same, so the exit code stays what it is.
pub(crate) fn print_done(text: &str) {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => complain(&format!(
            "warning: cannot write the summary to stdout: {error}; the exit code is that of the command"
        )),
    }
}

/// Writes a message for people to stderr: `error: ...` with `help: ...` on the next line, or anything else. As JSON these are
/// the level and the fields `message` and `next`.
pub(crate) fn complain(text: &str) {
    let text = shown(text);
    let text = text.trim_end_matches('\n').replace("\nnext: ", "\nhelp: ");
    if let Some(text) = text.strip_prefix("error: ") {
        let (message, help) = text.split_once("\nhelp: ").map_or((text, None), |(message, help)| (message, Some(help)));
        return fail(Severity::Error, message, help, []);
    }
    if !speaks_json() {
        return write_line(&text);
    }
    let (level, text) = text.strip_prefix("warning: ").map_or(("INFO", text.as_str()), |text| ("WARN", text));
    let (message, next) = text.split_once("\nhelp: ").map_or((text, None), |(message, next)| (message, Some(next)));
    write_line(&log_line::line(level, message, next.map(|next| ("next", next.into()))));
}

/// Says on stderr why the command does not end with 0, and what to do: text is the same whatever the severity, which is the
/// level of a line of JSON. `fields` are for JSON alone.
pub(crate) fn fail(
    severity: Severity,
    message: &str,
    help: Option<&str>,
    fields: impl IntoIterator<Item = (&'static str, Value)>,
) {
    REASON_GIVEN.store(true, Relaxed);
    if speaks_json() {
        let fields = fields.into_iter().chain(help.map(|help| ("next", help.into())));
        return write_line(&log_line::line(severity.name(), message, fields));
    }
    let help = help.map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    write_line(&format!("error: {message}{help}"));
}

/// Writes a line of JSON that is part of the log, though no filter hides it.
pub(crate) fn log(severity: Severity, message: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) {
    REASON_GIVEN.store(true, Relaxed);
    write_line(&log_line::line(severity.name(), message, fields));
}

/// Sees to it that stderr has a reason and a next step whenever the exit code is not 0.
pub(crate) fn account_for(code: u8) {
    if code == exit_code::DONE || REASON_GIVEN.load(Relaxed) {
        return;
    }
    let (message, help) = exit_code::meaning(code);
    fail(Severity::of_exit_code(code), message, Some(help), []);
}

/// Shows what is wrong with a pipeline, and what to do: as a compiler does, or as JSON with a line for each mistake and the
/// fields `file`, `line`, `column`, `key` and `next`.
pub(crate) fn refuse(errors: &ConfigErrors) {
    let (file, unread) = (errors.file(), errors.errors().iter().all(|error| error.span.is_none()));
    let step = if Path::new(file).is_dir() {
        format!("give the files in it: ctct-etl validate {file}/*.yaml")
    } else if unread {
        format!("use a file that can be read as UTF-8 text; `ctct-etl init {file} --sandbox` creates one")
    } else {
        format!("fix it, then run `ctct-etl validate {file}`")
    };
    REASON_GIVEN.store(true, Relaxed);
    if !speaks_json() {
        return write_line(&format!("{}\nhelp: {step}", errors.render(logging::colors())));
    }
    for error in errors.errors() {
        let place = error.span.map(|span| [("line", span.line.into()), ("column", span.column.into())]);
        let key = Some(&error.key).filter(|key| !key.is_empty()).map(|key| ("key", key.as_str().into()));
        let next = [("next", error.help.as_ref().unwrap_or(&step).as_str().into())];
        let file = [("file", errors.file().into())];
        let fields = file.into_iter().chain(place.into_iter().flatten()).chain(key).chain(next);
        write_line(&log_line::line("ERROR", &error.message, fields));
    }
}

/// There is nobody left to tell when this fails.
fn write_line(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
