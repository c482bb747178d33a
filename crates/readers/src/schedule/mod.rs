//! Entries of schedulers that run a pipeline when its `schedule:` says: a crontab line, systemd units, an Airflow DAG.
//!
//! The host that the entry is for is told by [`ScheduledJob`]; nothing is read or written here.

mod airflow;
mod cron;
mod systemd;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use ctct_pipeline::Pipeline;
use ctct_pipeline::context::HostFolders;
use ctct_pipeline::document::{AccountNames, Schedule};

/// A program that starts others by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    /// A line for a user's crontab.
    Cron,
    /// A service and its timer.
    Systemd,
    /// A DAG in one file, for Airflow 3.
    Airflow,
}

/// A file of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerFile {
    /// Its usual name.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// What a scheduler is to run, and where.
#[derive(Debug)]
pub struct ScheduledJob {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// When it runs.
    pub schedule: Schedule,
    /// This program.
    pub program: PathBuf,
    /// The pipeline's file, absolute.
    pub file: PathBuf,
    /// The pipeline's folder, absolute, where its relative paths start from.
    pub folder: PathBuf,
    /// Where sign-ins and counts are kept; `None` on a host without a home.
    pub host: Option<HostFolders>,
    /// The host's time zone.
    pub host_zone: Tz,
    /// The user that runs it.
    pub user: Option<String>,
    /// The moment at which the entry is written.
    pub now: DateTime<Utc>,
    /// Reports that can be read for a span of time.
    pub windowed: Vec<String>,
}

impl ScheduledJob {
    /// The files of a scheduler that run this.
    ///
    /// # Errors
    /// The scheduler cannot express the schedule; the message says why and what to do instead.
    pub fn files(&self, scheduler: Scheduler) -> Result<Vec<SchedulerFile>, String> {
        match scheduler {
            Scheduler::Cron => cron::files(self),
            Scheduler::Systemd => Ok(systemd::files(self)),
            Scheduler::Airflow => Ok(airflow::files(self)),
        }
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
        // A twentieth for ending in order, rounded down to a unit.
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
