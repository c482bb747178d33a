//! `ctct-etl schedule`: the entry of a scheduler that runs a pipeline when its `schedule:` says. Sends nothing and starts no
//! timer.

use std::path::Path;

use chrono::Utc;
use chrono_tz::Tz;
use ctct_pipeline::Plan;
use ctct_pipeline::plan::ReportPlan;
use ctct_readers::schedule::{ScheduledJob, Scheduler, SchedulerFile};

use super::{catalog, pipeline, refuse, worse};
use crate::args::{Global, ScheduleArguments, Target};
use crate::exit_code;
use crate::folders;
use crate::printer::{complain, print};

/// Prints or writes the entries of all files; all mistakes are shown, not only the first file's.
pub(crate) fn schedule(global: &Global, arguments: &ScheduleArguments) -> u8 {
    let mut worst = exit_code::DONE;
    for file in &arguments.pipelines.files {
        let scheduler = match arguments.target {
            Target::Cron => Scheduler::Cron,
            Target::Systemd => Scheduler::Systemd,
            Target::Airflow => Scheduler::Airflow,
        };
        let entries = job(file, global).and_then(|job| {
            job.files(scheduler).map_err(|message| {
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

fn write(files: &[SchedulerFile], folder: &Path) -> u8 {
    for SchedulerFile { name, text } in files {
        let path = folder.join(name);
        if let Err(error) = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)) {
            complain(&format!("error: cannot write {}: {error}", path.display()));
            return exit_code::CONFIGURATION;
        }
        let code = print(&path.display().to_string());
        if code != exit_code::DONE {
            return code;
        }
    }
    exit_code::DONE
}

/// Reads a pipeline; what is wrong is on stderr then.
fn job(file: &Path, global: &Global) -> Result<ScheduledJob, u8> {
    let pipeline = pipeline(file, &catalog()?)?;
    // Each line of a crontab and of a unit is an entry of its own.
    if pipeline.folder().join(file).to_string_lossy().contains(char::is_control) {
        complain(&format!(
            "error: the name of {} contains a line break or another control character, which schedulers do not accept\nnext: \
             rename the file or its folder",
            file.display()
        ));
        return Err(exit_code::CONFIGURATION);
    }
    let now = Utc::now();
    let plan = Plan::new(&pipeline, now).map_err(|errors| refuse(&errors))?;
    let Some(schedule) = pipeline.schedule.clone() else {
        complain(&format!(
            "error: {} has no `schedule:`\nnext: add one of these at the top level of the file\n  \
             schedule: {{cron: \"0 6 * * *\", timezone: Europe/Berlin}}\n  schedule: {{every: 1h}}",
            file.display()
        ));
        return Err(exit_code::CONFIGURATION);
    };
    let name = |report: &ReportPlan| report.report.name.clone();
    let windowed = plan.reports.iter().filter(|report| report.has_window()).map(name).collect();
    let place = |error| {
        complain(&format!("error: cannot find the path of this program: {error}"));
        exit_code::CONFIGURATION
    };
    let folder = pipeline.folder().to_owned();
    Ok(ScheduledJob {
        schedule,
        program: std::env::current_exe().map_err(place)?,
        file: file.file_name().map_or_else(|| folder.clone(), |name| folder.join(name)),
        folder,
        host: folders::of_host(global),
        host_zone: host_zone(),
        user: std::env::var("USER").ok(),
        now,
        windowed,
        pipeline,
    })
}

/// The zone that the host's clock shows, by its link as of localtime(5); without one it is UTC.
fn host_zone() -> Tz {
    let link = std::fs::canonicalize("/etc/localtime").unwrap_or_default();
    let name = link.to_str().and_then(|path| path.split_once("zoneinfo/"));
    name.and_then(|(_, name)| name.parse().ok()).unwrap_or(Tz::UTC)
}
