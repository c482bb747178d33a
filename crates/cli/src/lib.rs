//! The command line of `ctct-etl`: arguments in, an exit code out.
//!
//! ```text
//! arguments --args--> Command --command--> ctct-pipeline, ctct-readers --reporter, printer--> stdout, stderr, exit code
//! ```
//!
//! - `args` is the command line as clap sees it. Its comments are the help texts, and the page of commands is made of them.
//! - `command` has one module per command: it calls another crate and turns the result into text and an exit code. Start at
//!   `command::run`.
//! - `reporter` shows a run while it goes on, and how it ended; `printer` is the only way to stdout and stderr.
//! - [`exit_code`] has the codes, which are a contract.
//!
//! stdout has what a command was asked for, as text or with `--output json` as one line of JSON; logs, progress and errors go
//! to stderr. This crate never decides what a run does, reads no Parquet and knows no fact about the API.

mod args;
mod command;
pub mod exit_code;
mod folders;
mod log_line;
mod logging;
mod printer;
mod reporter;
mod stop;
mod text_table;

use std::panic;
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, LogFormat};
use ctct_pipeline::policy::Severity;

pub use args::command_line;

/// Shows help where that was asked for, or what is wrong with the command line, and ends the process.
fn usage(error: &clap::Error) -> ExitCode {
    let asks_for_json = |arguments: &[String]| {
        arguments.windows(2).any(|pair| pair == ["--log-format", "json"])
            || arguments.iter().any(|argument| argument == "--log-format=json")
    };
    let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
    if !error.use_stderr() || !asks_for_json(&arguments) {
        error.exit();
    }
    printer::speak(LogFormat::Json);
    let text = error.render().to_string();
    let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, "for more, try `ctct-etl --help`"));
    printer::fail(Severity::Error, message, Some(rest), []);
    ExitCode::from(exit_code::CONFIGURATION)
}

/// Parses the process's arguments and runs the command they name.
pub fn main() -> ExitCode {
    ctct_extract::install_tls();
    panic::set_hook(Box::new(mistake));
    // What was printed until then stands, and the hook has said where it was.
    panic::catch_unwind(command).unwrap_or(ExitCode::from(exit_code::BUG))
}

/// Tells of a mistake of this program, by its place alone: the message of a panic may quote a cell's value.
fn mistake(panic: &panic::PanicHookInfo<'_>) {
    // Caught where it is called, and told as an error of the store.
    if panic.location().is_some_and(|place| place.file().contains("object_store")) {
        return;
    }
    printer::complain(&in_words(panic));
}

fn in_words(panic: &panic::PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!(
        "error: internal error at {place} (ctct-etl {})\nnext: report it to the project that ctct-etl is from, with this line, the command and `CTCT_LOG=info` output",
        env!("CARGO_PKG_VERSION")
    )
}

fn command() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    printer::speak(arguments.global.log_format);
    let code = match arguments.command {
        Command::Init(ref init) => command::init::init(&arguments.global, init),
        Command::Run(ref run) => command::run::run(&arguments.global, run),
        Command::Replay(ref replay) => command::replay::replay(&arguments.global, replay),
        Command::Plan(ref plan) => command::plan::plan(&arguments.global, plan),
        Command::Validate(ref files) => command::validate::validate(&arguments.global, files),
        Command::Schema(ref schema) => command::schema::schema(schema),
        Command::Reports(ref reports) => command::reports::reports(reports),
        Command::Compact(ref compact) => command::compact::compact(&arguments.global, compact),
        Command::State(ref state) => command::state::state(&arguments.global, state),
        Command::Status(ref status) => command::status::status(&arguments.global, status),
        Command::Verify(ref verify) => command::verify::verify(&arguments.global, verify),
        Command::Schedule(ref schedule) => command::schedule::schedule(&arguments.global, schedule),
        Command::Auth(ref auth) => command::auth::auth(&arguments.global, auth),
        Command::Views(ref views) => command::views::views(&arguments.global, views),
        Command::Sandbox(ref sandbox) => command::sandbox::sandbox(&arguments.global, sandbox),
        Command::Completions(ref completions) => command::completions::completions(completions),
    };
    printer::account_for(code);
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_panic_is_told_by_its_place_and_never_by_its_message() {
        static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
        panic::set_hook(Box::new(|info| TOLD.lock().unwrap().push(in_words(info))));
        let secret = "s3cr3t-cell@example.com";
        panic::catch_unwind(|| panic!("no row of {secret}")).unwrap_err();
        let failed: Result<(), &str> = std::hint::black_box(Err(secret));
        panic::catch_unwind(|| failed.unwrap()).unwrap_err();
        drop(panic::take_hook());
        let told = TOLD.lock().unwrap().join("\n");
        assert!(told.matches("internal error at crates/cli/src/lib.rs:").count() >= 2, "{told}");
        assert!(!told.contains("s3cr3t"), "{told}");
    }
}
