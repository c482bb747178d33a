//! `ctct-etl schedule`, as clap sees it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl schedule acme.yaml --target cron >> my.crontab
  ctct-etl schedule acme.yaml --target systemd --output-dir units
  ctct-etl schedule acme.yaml --target airflow > ~/airflow/dags/ctct_acme.py

The time comes from `schedule:` in the pipeline. Entries start this program, in this
folder, with the absolute path of the file: run the command where the entry shall run.")]
pub(crate) struct ScheduleArguments {
    /// Pipeline files, an entry each.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The scheduler.
    #[arg(long, value_enum)]
    pub(crate) target: Target,
    /// Write files of the scheduler's usual names into this folder, and print their paths.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) output_dir: Option<PathBuf>,
}

/// A scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A line for a user's crontab.
    Cron,
    /// A service and its timer.
    Systemd,
    /// A DAG in one file, for Airflow 3.
    Airflow,
}
