//! What `init` asks a person on a terminal: one question for each part that no flag gave, repeated until the input is valid.

use std::io::{self, BufRead, IsTerminal, Write};

use ctct_catalog::Catalog;
use ctct_pipeline::document::ConfigErrors;

use super::draft::Draft;
use crate::args::InitArguments;
use crate::exit_code;
use crate::printer::complain;

/// The input that means the embedded API.
const SANDBOX: &str = "-";

/// Whether somebody can be asked.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Which account to read. `signed_in` are those that are stored on this host.
pub(super) fn account(signed_in: &[String]) -> Result<Option<String>, u8> {
    let known = if signed_in.is_empty() { "none".to_owned() } else { signed_in.join(", ") };
    complain(&format!(
        "Signed in: {known}. You can also enter a new name, and sign in later with `ctct-etl auth login`."
    ));
    let default = signed_in.first().map_or(SANDBOX, String::as_str);
    let answer = ask(&format!("Account, or {SANDBOX} to use the embedded API"), default)?;
    Ok(Some(answer).filter(|answer| answer != SANDBOX))
}

/// Fills in what no flag gave.
pub(super) fn fill_in(draft: Draft, arguments: &InitArguments, catalog: &Catalog) -> Result<Draft, u8> {
    let mut questions = Questions { draft, catalog };
    if arguments.destination.is_none() {
        let default = questions.draft.destination.clone();
        questions.put("Destination: a path, s3://, gs:// or az://", &default, |draft, answer| {
            draft.destination = answer;
        })?;
    }
    if arguments.reports.is_empty() {
        let names: Vec<&str> = catalog.reports().map(|report| report.name.as_str()).collect();
        complain(&format!("Available reports: {}.", names.join(", ")));
        let default = questions.draft.reports.join(",");
        questions.put("Reports", &default, |draft, answer| {
            draft.reports = answer.split([',', ' ']).map(str::to_owned).collect();
        })?;
    }
    if arguments.since.is_none() && questions.draft.can_begin(catalog) {
        let question = "Start date: a date, days back such as 90d, or all";
        questions.put(question, "all", |draft, answer| draft.since = unless(answer, "all"))?;
    }
    if arguments.write_mode.is_none() {
        complain(
            "merge: the current state, one row per key; append: every version; replace: a snapshot; partition: by month",
        );
        let default = questions.draft.write_mode.clone();
        questions.put("Write mode", &default, |draft, answer| draft.write_mode = answer)?;
    }
    if arguments.schedule.is_none() {
        let question = "Schedule: 1d, 15m, a cron expression such as 0 6 * * *, or none";
        questions.put(question, "none", |draft, answer| draft.schedule = unless(answer, "none"))?;
    }
    Ok(questions.draft)
}

/// The input, or nothing where it is the word for that.
fn unless(answer: String, nothing: &str) -> String {
    if answer == nothing { String::new() } else { answer }
}

/// A pipeline that is completed by a person's input.
struct Questions<'a> {
    draft: Draft,
    catalog: &'a Catalog,
}

impl Questions<'_> {
    /// Puts an input into the draft; where the loader does not accept it, the question is repeated.
    fn put(&mut self, question: &str, default: &str, put: impl Fn(&mut Draft, String)) -> Result<(), u8> {
        loop {
            let mut answered = self.draft.clone();
            put(&mut answered, ask(question, default)?);
            match answered.check("", self.catalog) {
                Ok(()) => {
                    self.draft = answered;
                    return Ok(());
                }
                Err(errors) => complain(&first(&errors)),
            }
        }
    }
}

/// The first thing that is wrong, without a place in a file that nobody has seen.
fn first(errors: &ConfigErrors) -> String {
    let Some(error) = errors.errors().first() else { return errors.to_string() };
    let help = error.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
    format!("  {}{help}", error.message)
}

/// Asks one question. An empty answer is the default; the end of the input ends the command.
fn ask(question: &str, default: &str) -> Result<String, u8> {
    let _ = write!(io::stderr().lock(), "{question} [{default}]: ");
    let _ = io::stderr().flush();
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) => {
            complain("\nstopped: nothing was written");
            Err(exit_code::TRANSIENT)
        }
        Ok(_) if line.trim().is_empty() => Ok(default.to_owned()),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => {
            complain(&format!(
                "error: cannot read stdin: {error}\nnext: use options instead; ctct-etl init --help lists them"
            ));
            Err(exit_code::CONFIGURATION)
        }
    }
}
