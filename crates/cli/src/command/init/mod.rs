//! `ctct-etl init`: writes a first pipeline, from flags and answers, and says how to go on.

mod draft;
mod questions;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use ctct_catalog::Catalog;
use ctct_extract::Accounts;
use ctct_readers::shell_word;

use self::draft::Draft;
use super::{catalog, runtime};
use crate::args::{Global, InitArguments};
use crate::exit_code;
use crate::folders;
use crate::logging::colors;
use crate::printer::{complain, print};

/// The JSON Schema that the pipeline's first line names, beside the pipeline.
const SCHEMA: &str = "pipeline.schema.json";

/// Writes a pipeline and prints the commands that come next.
pub(crate) fn init(global: &Global, arguments: &InitArguments) -> u8 {
    match catalog().and_then(|catalog| written(global, arguments, &catalog)) {
        Ok(text) => print(&text),
        Err(code) => code,
    }
}

fn written(global: &Global, arguments: &InitArguments, catalog: &Catalog) -> Result<String, u8> {
    let asks = !arguments.defaults && questions::somebody_is_there();
    let signed_in = signed_in(global);
    let account = match &arguments.account {
        Some(account) => Some(account.clone()),
        None if arguments.sandbox => None,
        None if asks => questions::account(&signed_in)?,
        None => {
            let known =
                if signed_in.is_empty() { String::new() } else { format!(" (signed in: {})", signed_in.join(", ")) };
            complain(&format!(
                "error: no account given, and there is no terminal for prompts\nnext: use ctct-etl init --account NAME{known}, or \
                 ctct-etl init --sandbox"
            ));
            return Err(exit_code::CONFIGURATION);
        }
    };
    let label = account.as_deref().unwrap_or("sandbox");
    let file = arguments.file.clone().unwrap_or_else(|| PathBuf::from(format!("{label}.yaml")));
    // Said before anything is asked.
    if !arguments.force && file.exists() {
        return Err(is_there(&file));
    }
    let name = file.file_stem().and_then(|stem| stem.to_str()).map_or_else(|| label.to_owned(), named);
    let reports = || catalog.starters().iter().map(|report| report.name.clone()).collect();
    let mut draft = Draft {
        destination: arguments.destination.clone().unwrap_or_else(|| format!("./data/{name}")),
        name,
        reports: if arguments.reports.is_empty() { reports() } else { arguments.reports.clone() },
        write_mode: arguments.write_mode.clone().unwrap_or_else(|| "merge".to_owned()),
        since: arguments.since.clone().unwrap_or_default(),
        schedule: arguments.schedule.clone().unwrap_or_default(),
        account,
    };
    // What flags gave is not asked for again, so it must be right now.
    let shown = format!("{} (not written)", file.display());
    draft.check(&shown, catalog).map_err(|errors| {
        complain(&format!("{}\nnext: change the options; ctct-etl init --help lists them", errors.render(colors())));
        exit_code::CONFIGURATION
    })?;
    if !draft.since.trim().is_empty() && !draft.can_begin(catalog) {
        let reports = draft.names(catalog).join(", ");
        complain(&format!("error: --since has no effect: {reports} cannot start at a date\nnext: omit --since"));
        return Err(exit_code::CONFIGURATION);
    }
    if asks {
        draft = questions::fill_in(draft, arguments, catalog)?;
    }
    write_pipeline(&file, &draft.text(catalog), arguments.force)?;
    let schema = write_schema(&file, catalog, arguments.force)?;
    Ok(welcome(&file, &draft, &schema, &signed_in, catalog))
}

/// Names of the accounts that are signed in on this host. That they cannot be listed is no reason to write no pipeline.
fn signed_in(global: &Global) -> Vec<String> {
    let Some(host) = folders::of_host(global) else { return Vec::new() };
    let accounts = Accounts::in_folder(host.config.join("accounts"));
    runtime().ok().and_then(|runtime| runtime.block_on(accounts.names()).ok()).unwrap_or_default()
}

/// A file's name as that of a pipeline: letters, digits, `.`, `_` and `-`.
fn named(stem: &str) -> String {
    let fitting = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = stem.chars().map(fitting).take(64).collect();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    if name.is_empty() { "pipeline".to_owned() } else { name.to_owned() }
}

fn write_pipeline(file: &Path, text: &str, force: bool) -> Result<(), u8> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).truncate(force).create(force).create_new(!force);
    match options.open(file).and_then(|mut open| open.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(is_there(file)),
        Err(error) => Err(unwritable(file, &error)),
    }
}

/// Writes the schema beside the pipeline, and says what became of it. One that is there already stays, unless forced.
fn write_schema(file: &Path, catalog: &Catalog, force: bool) -> Result<String, u8> {
    let path = file.with_file_name(SCHEMA);
    let schema = format!("{:#}\n", ctct_pipeline::document::schema(catalog));
    match fs::read_to_string(&path) {
        Ok(there) if there == schema => {}
        Ok(_) if !force => {
            return Ok(format!(
                "{} already exists and differs: `ctct-etl schema --editor > {}` updates it.",
                path.display(),
                shell_word(&path)
            ));
        }
        _ => fs::write(&path, schema).map_err(|error| unwritable(&path, &error))?,
    }
    Ok(format!("With {}, editors complete keys and mark mistakes.", path.display()))
}

fn is_there(file: &Path) -> u8 {
    let name = shell_word(file);
    complain(&format!(
        "error: {} already exists\nnext: use another file, or --force to overwrite it; ctct-etl validate {name} checks it",
        file.display()
    ));
    exit_code::CONFIGURATION
}

fn unwritable(path: &Path, error: &io::Error) -> u8 {
    complain(&format!("error: cannot write {}: {error}\nnext: use another file: ctct-etl init FILE", path.display()));
    exit_code::CONFIGURATION
}

fn welcome(file: &Path, draft: &Draft, schema: &str, signed_in: &[String], catalog: &Catalog) -> String {
    let word = shell_word(file);
    let reports = draft.names(catalog).join(", ");
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let place =
        match folder.filter(|_| !draft.destination.contains("://") && Path::new(&draft.destination).is_relative()) {
            Some(folder) => format!("{} (relative to {})", draft.destination, folder.display()),
            None => draft.destination.clone(),
        };
    let mut text = format!("{} reads {reports} into {place}.\n{schema}\n\nNext:\n", file.display());
    if let Some(account) = draft.account.as_ref().filter(|account| !signed_in.contains(account)) {
        text += &format!("  ctct-etl auth login --account {account}\n");
    }
    text += &format!("  ctct-etl plan {word}\n  ctct-etl run {word}\n");
    if !draft.schedule.trim().is_empty() {
        text += &format!("  ctct-etl schedule {word} --target cron\n");
    }
    text
}
