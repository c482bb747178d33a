//! A pipeline file, decoded strictly: from its text to typed values, or to all that is wrong with it. Nothing here sends
//! a request or knows what time it is.

pub(crate) mod dates;
mod delivery;
mod destination;
mod environment;
pub(crate) mod error;
mod fields;
mod files;
pub(crate) mod keys;
mod monitor;
mod node;
pub(crate) mod option;
pub(crate) mod report;
mod schedule;
mod schema;
mod secret;
mod source;
mod span;
pub(crate) mod write;
pub(crate) mod yaml;

use std::io::Read;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use ctct_catalog::Catalog;
use ctct_load::StoreOptions;
use secrecy::SecretString;

pub use dates::{When, wire};
pub use delivery::{Delivery, Percent};
pub use destination::DestinationConfig;
pub use environment::{Environment, TOKEN_KEY};
pub use error::{ConfigError, ConfigErrors};
pub use fields::{did_you_mean, is_name};
pub use monitor::{MetricsConfig, OnFailure, Otlp};
pub use option::{OptionInForce, Period, Setting};
pub use report::ReportConfig;
pub use schedule::{CronExpression, CronField, RetryLimits, Schedule};
pub use schema::schema;
pub use secret::{SecretPlace, SecretRef};
pub use source::{AccountNames, Credentials, PaceConfig, SandboxSpec, Seed, SourceConfig, StatePlace};

use fields::{Decoder, count};
use node::Node;
pub use node::Span;
pub use span::{parse_offset, parse_span};

/// A pipeline as its file says, with defaults filled in.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Names the run, the commit records and the log lines.
    pub name: String,
    /// What the data set is, for people.
    pub description: Option<String>,
    /// Time zone that dates and `{days_back: N}` are read in.
    pub timezone: Tz,
    /// Where the data comes from.
    pub source: SourceConfig,
    /// Where the Parquet goes.
    pub destination: DestinationConfig,
    /// What to read, in the order of the file.
    pub reports: Vec<ReportConfig>,
    /// How often failed requests are retried.
    pub retry: RetryLimits,
    /// When it is due; nothing here starts it.
    pub schedule: Option<Schedule>,
    /// Where the numbers of a run go.
    pub metrics: MetricsConfig,
    /// Who is told when a run did not end well.
    pub on_failure: Option<OnFailure>,
    file: String,
    folder: PathBuf,
    text: String,
}

/// Paths of pipes, by which a shell hands over what a command prints. No folder there is the pipeline's own.
const PIPES: [&str; 3] = ["/dev/stdin", "/dev/fd", "/proc"];

impl Pipeline {
    /// Reads a pipeline from its text. `file` is only its name in messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text, each with its line and column.
    pub fn parse(text: &str, file: &str, catalog: &Catalog, environment: &Environment) -> Result<Self, ConfigErrors> {
        let mut decoder = Decoder { environment, errors: Vec::new() };
        let pipeline = match yaml::parse(text) {
            Ok(node) => decode(&node, text, file, catalog, &mut decoder),
            Err(error) => decoder.keep(Err(error)),
        };
        match pipeline {
            Some(pipeline) if decoder.errors.is_empty() => Ok(pipeline),
            _ => Err(ConfigErrors::new(file, text, decoder.errors)),
        }
    }

    /// Reads a pipeline from a file.
    ///
    /// # Errors
    /// The file cannot be read, or what [`Pipeline::parse`] finds.
    pub fn load(path: &Path, catalog: &Catalog, environment: &Environment) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        let text = read_bounded(path).map_err(|error| {
            let error = ConfigError::new(None, "", format!("the file cannot be read: {error}"));
            ConfigErrors::new(&file, "", vec![error])
        })?;
        let pipeline = Self::parse(&text, &file, catalog, environment)?;
        Ok(Self { folder: folder_of(path), ..pipeline })
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The folder that relative paths of the pipeline start from, absolute: that of its file, wherever the command runs.
    /// Of a file that is a link it is the link's folder. A pipeline that comes through a pipe has the current folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How fast the API is asked.
    pub fn pace(&self) -> PaceConfig {
        self.source.pace
    }

    /// What the destination's store takes beside its URL. Relative paths start from `base`.
    ///
    /// # Errors
    /// The variable or the file of a secret is not there. The message never holds a secret.
    pub fn store_options(&self, environment: &Environment, base: &Path) -> Result<StoreOptions, ConfigErrors> {
        self.options_of(&self.destination, environment, base)
    }

    /// The same of another store that the pipeline names.
    pub(crate) fn options_of(
        &self,
        place: &DestinationConfig,
        environment: &Environment,
        base: &Path,
    ) -> Result<StoreOptions, ConfigErrors> {
        place.store_options(environment, base).map_err(|error| self.errors(vec![error]))
    }

    /// A secret that the pipeline refers to. Relative paths start from `base`.
    ///
    /// # Errors
    /// The variable is not set, the file cannot be read, or its text cannot be a token. The message never
    /// holds the secret.
    pub fn secret(
        &self,
        secret: &SecretRef,
        environment: &Environment,
        base: &Path,
    ) -> Result<SecretString, ConfigErrors> {
        secret.read(environment, base).map_err(|error| self.errors(vec![error]))
    }

    /// Errors that show this pipeline's lines.
    pub(crate) fn errors(&self, errors: Vec<ConfigError>) -> ConfigErrors {
        ConfigErrors::new(&self.file, &self.text, errors)
    }
}

fn decode(node: &Node, text: &str, file: &str, catalog: &Catalog, decoder: &mut Decoder<'_>) -> Option<Pipeline> {
    let fields = decoder.fields(node, keys::PIPELINE)?;
    if let Some(node) = fields.get("version") {
        let version = version(node);
        decoder.keep(version);
    }
    let name = fields.name("name", decoder);
    let description = fields.text("description", decoder);
    let timezone = fields.timezone("timezone", decoder);
    let source = fields.get("source").and_then(|node| SourceConfig::decode(node, decoder));
    let destination = fields.get("destination").and_then(|node| DestinationConfig::decode(node, decoder));
    let reports = fields.get("reports").map(|node| report::reports(node, catalog, decoder));
    let retry = fields.get("retry").and_then(|node| RetryLimits::decode(node, decoder));
    let schedule = fields.get("schedule").and_then(|node| Schedule::decode(node, decoder));
    let metrics = fields.get("metrics").and_then(|node| MetricsConfig::decode(node, decoder));
    let on_failure = fields.get("on_failure").and_then(|node| OnFailure::decode(node, decoder));
    Some(Pipeline {
        name: name?,
        description,
        timezone: timezone.unwrap_or(Tz::UTC),
        source: source?,
        destination: destination?,
        reports: reports?,
        retry: retry.unwrap_or_default(),
        schedule,
        metrics: metrics.unwrap_or_default(),
        on_failure,
        file: file.to_owned(),
        folder: current_folder(),
        text: text.to_owned(),
    })
}

/// The folder of a file, the same for every spelling of its path: `..` and links to folders are followed, as the system
/// follows them when it opens the file.
fn folder_of(file: &Path) -> PathBuf {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    match file.parent() {
        Some(folder) if !PIPES.iter().any(|pipe| file.starts_with(pipe)) => real(folder),
        _ => current_folder(),
    }
}

fn current_folder() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))
}

/// Windows gives a form of its own, which object stores do not take.
fn real(folder: &Path) -> PathBuf {
    let real = if cfg!(windows) { None } else { std::fs::canonicalize(folder).ok() };
    real.unwrap_or_else(|| folder.to_owned())
}

fn version(node: &Node) -> Result<(), ConfigError> {
    match count(node, 0, u64::MAX)? {
        keys::VERSION => Ok(()),
        other => Err(ConfigError::at(node, format!("unsupported version {other}"))
            .help(format!("write `version: {}`", keys::VERSION))),
    }
}

/// Reads a text from a file or a pipe, up to a bound: a device may never end.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    /// Bytes; a pipeline of every report with every option is some 20 kB.
    const MOST: u64 = 4 << 20;
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MOST + 1).read_to_string(&mut text)?;
    if read as u64 > MOST {
        return Err(std::io::Error::other("it is larger than 4 MiB, the most for a pipeline"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
