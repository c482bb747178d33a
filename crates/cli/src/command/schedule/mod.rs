//! `ctct-etl schedule`: the entry of a scheduler that runs a pipeline when its `schedule:` says. Sends nothing and starts no
//! timer.

mod airflow;
mod cron;
mod systemd;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_pipeline::context::HostFolders;
use ctct_pipeline::document::{AccountNames, Schedule};
use ctct_pipeline::plan::ReportPlan;
use ctct_pipeline::{Pipeline, Plan};

use super::{catalog, pipeline, refuse, worse};
use crate::args::{Global, ScheduleArguments, Target};
use crate::exit_code;
use crate::folders;
use crate::printer::{complain, print};

/// Prints or writes the entries of all files; all mistakes are shown, not only the first file's.
pub(crate) fn schedule(global: &Global, arguments: &ScheduleArguments) -> u8 {
    let mut worst = exit_code::DONE;
    for file in &arguments.files {
        let entries = Job::of(file, global).and_then(|job| {
            let entries = match arguments.target {
                Target::Cron => cron::entry(&job),
                Target::Systemd => Ok(systemd::entries(&job)),
                Target::Airflow => Ok(airflow::entry(&job)),
            };
            entries.map_err(|message| {
                complain(&format!("error: {}: {message}", file.display()));
                exit_code::CONFIGURATION
            })
        });
        let code = match (entries, &arguments.output_dir) {
            (Err(code), _) => code,
            (Ok(entries), None) => {
                print(&entries.iter().map(|entry| entry.text.as_str()).collect::<Vec<_>>().join("\n"))
            }
            (Ok(entries), Some(folder)) => write(&entries, folder),
        };
        worst = worse(worst, code);
    }
    worst
}

/// A file of a scheduler.
#[derive(Debug)]
struct Entry {
    /// Its usual name.
    name: String,
    text: String,
}

fn write(entries: &[Entry], folder: &Path) -> u8 {
    for Entry { name, text } in entries {
        let path = folder.join(name);
        if let Err(error) = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)) {
            complain(&format!("error: {} cannot be written: {error}", path.display()));
            return exit_code::CONFIGURATION;
        }
        let code = print(&path.display().to_string());
        if code != exit_code::DONE {
            return code;
        }
    }
    exit_code::DONE
}

/// What a scheduler is to run.
#[derive(Debug)]
struct Job {
    pipeline: Pipeline,
    schedule: Schedule,
    /// This program.
    program: PathBuf,
    /// The pipeline's file, absolute.
    file: PathBuf,
    /// The pipeline's folder, absolute, where its relative paths start from.
    folder: PathBuf,
    /// Where sign-ins and counts are kept; `None` on a host without a home.
    host: Option<HostFolders>,
    /// Reports that can be read for a span of time.
    windowed: Vec<String>,
}

impl Job {
    /// Reads a pipeline; what is wrong is on stderr then.
    fn of(file: &Path, global: &Global) -> Result<Self, u8> {
        let pipeline = pipeline(file, &catalog()?)?;
        // Each line of a crontab and of a unit is an entry of its own.
        if pipeline.folder().join(file).to_string_lossy().contains(char::is_control) {
            complain(&format!(
                "error: the name of {} holds a line break or another control character, which no scheduler can take\nnext: \
                 rename the file or its folder",
                file.display()
            ));
            return Err(exit_code::CONFIGURATION);
        }
        let plan = Plan::new(&pipeline, Utc::now()).map_err(|errors| refuse(&errors))?;
        let Some(schedule) = pipeline.schedule.clone() else {
            complain(&format!(
                "error: {} has no `schedule:`, so it is never due\nnext: add one of these, at the beginning of a line\n  \
                 schedule: {{cron: \"0 6 * * *\", timezone: Europe/Berlin}}\n  schedule: {{every: 1h}}",
                file.display()
            ));
            return Err(exit_code::CONFIGURATION);
        };
        let name = |report: &ReportPlan| report.report.name.clone();
        let windowed = plan.reports.iter().filter(|report| report.has_window()).map(name).collect();
        let place = |error| {
            complain(&format!("error: this program's own place is not known: {error}"));
            exit_code::CONFIGURATION
        };
        let folder = pipeline.folder().to_owned();
        Ok(Self {
            schedule,
            program: std::env::current_exe().map_err(place)?,
            file: file.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)),
            folder,
            host: folders::of_host(global),
            windowed,
            pipeline,
        })
    }

    /// What the entry is of, in one line of plain text.
    fn description(&self) -> String {
        let description = self.pipeline.description.as_deref().unwrap_or_default();
        let words: Vec<&str> = description.split_whitespace().collect();
        if words.is_empty() {
            self.pipeline.name.clone()
        } else {
            format!("{}: {}", self.pipeline.name, words.join(" "))
        }
    }

    /// The file with the variables of the run, which need not be there.
    fn variables(&self) -> PathBuf {
        self.folder.join(format!("{}.env", self.pipeline.name))
    }

    /// Accounts that the pipeline lists by name.
    fn accounts(&self) -> &[String] {
        match &self.pipeline.source.accounts {
            AccountNames::Several(names) => names,
            AccountNames::One(_) | AccountNames::Matching(_) => &[],
        }
    }

    /// A deadline that ends each run before the next one is due, as the command line takes it.
    fn deadline(&self) -> String {
        let due = |moment| self.schedule.next_after(moment, self.pipeline.timezone);
        let times: Vec<DateTime<Utc>> =
            std::iter::successors(due(DateTime::UNIX_EPOCH), |moment| due(*moment)).take(500).collect();
        let shortest = times.windows(2).filter_map(|pair| Some(*pair.get(1)? - *pair.first()?)).min();
        let between = shortest.unwrap_or(TimeDelta::days(1)).num_seconds();
        // A twentieth for ending in order, in whole units.
        match between - (between / 20).max(10) {
            seconds if seconds >= 2 * 3_600 => format!("{}h", seconds / 3_600),
            seconds if seconds >= 2 * 60 => format!("{}m", seconds / 60),
            seconds => format!("{seconds}s"),
        }
    }
}

/// A span in the largest unit that it is a whole number of: its number of seconds, minutes, hours or days.
fn in_words(span: Duration) -> String {
    let seconds = span.as_secs();
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(size, _)| seconds.is_multiple_of(*size));
    unit.map_or_else(|| format!("{seconds}s"), |(size, unit)| format!("{}{unit}", seconds / size))
}
