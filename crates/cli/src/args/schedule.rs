//! `ctct-etl schedule`, as clap sees it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::PipelineFiles;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl schedule acme.yaml --target cron >> my.crontab
  ctct-etl schedule acme.yaml --target systemd --output-dir units
  ctct-etl schedule acme.yaml --target airflow > ~/airflow/dags/ctct_acme.py

The time comes from `schedule:` in the pipeline. Entries start this program with the absolute path of
the pipeline: run this command on the host that will run it.")]
pub(crate) struct ScheduleArguments {
    #[command(flatten)]
    pub(crate) pipelines: PipelineFiles,
    /// The scheduler.
    #[arg(long, value_enum)]
    pub(crate) target: Target,
    /// Write the entries to files in this folder, with the scheduler's usual names, and print their paths.
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
