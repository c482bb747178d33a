//! A service and its timer for systemd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use ctct_pipeline::document::{CronExpression, CronField, Schedule, StatePlace};

use super::{ScheduledJob, SchedulerFile, in_words};
use crate::quoting::{unit_argument, unit_text, unit_word};

/// Names of the days as systemd.time(7) has them, from Sunday on.
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// The service and the timer.
pub(super) fn files(job: &ScheduledJob) -> Vec<SchedulerFile> {
    let name = format!("ctct-{}", job.pipeline.name);
    vec![
        SchedulerFile { text: service(job, &name), name: format!("{name}.service") },
        SchedulerFile { text: timer(job, &name), name: format!("{name}.timer") },
    ]
}

fn service(job: &ScheduledJob, name: &str) -> String {
    let user = job.user.as_ref().filter(|user| *user != "root").map(|user| format!("User={user}\n"));
    let host = job.host.as_ref();
    let environment = host.map(|host| {
        let variable =
            |name, folder: &Path| format!("Environment={}\n", unit_word(&format!("{name}={}", folder.display())));
        variable("CTCT_CONFIG_DIR", &host.config) + &variable("CTCT_STATE_DIR", &host.state)
    });
    let mut writable = vec![job.folder.clone()];
    writable.extend(host.into_iter().flat_map(|host| [host.config.clone(), host.state.clone()]));
    writable.extend(folders(job));
    writable.dedup();
    let writable: Vec<String> = writable.iter().map(|path| unit_word(&format!("-{}", path.display()))).collect();
    format!(
        "# /etc/systemd/system/{name}.service
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
{user}WorkingDirectory={folder}
{environment}# Variables of the run, including secrets; use mode 0600. The file is optional.
EnvironmentFile=-{variables}
ExecStart={program} run {file} --over-days --output json
# 11, daily quota exhausted: the next run continues. 12 and 13, temporary failure or another run in progress: retry soon.
SuccessExitStatus=11
RestartForceExitStatus=12 13
RestartSec=5min
# SIGTERM stops it after the current page, within 30 seconds.
TimeoutStopSec=60
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writable}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
",
        description = unit_text(&job.description()),
        user = user.unwrap_or_default(),
        folder = unit_text(&job.folder.display().to_string()),
        environment = environment.unwrap_or_default(),
        variables = unit_text(&job.variables().display().to_string()),
        program = unit_argument(&job.program),
        file = unit_argument(&job.file),
        writable = writable.join(" "),
    )
}

/// Folders on this host that the pipeline names, other than its own.
fn folders(job: &ScheduledJob) -> Vec<PathBuf> {
    let ScheduledJob { pipeline, folder, .. } = job;
    let of_state = match &pipeline.source.state {
        StatePlace::Store(place) => Some(place.url.as_str()),
        StatePlace::Host | StatePlace::Destination => None,
    };
    let urls = [Some(pipeline.destination.url.as_str()), of_state, pipeline.metrics.textfile.as_deref()];
    urls.into_iter().flatten().filter_map(|url| ctct_pipeline::stored_table::local_folder(url, folder)).collect()
}

fn timer(job: &ScheduledJob, name: &str) -> String {
    let times = match &job.schedule {
        Schedule::Cron { expression, timezone } => calendar(expression, timezone.unwrap_or(job.pipeline.timezone)),
        Schedule::Every(span) => of_span(*span),
    };
    format!(
        "# /etc/systemd/system/{name}.timer
[Unit]
Description=Schedule of {description}

[Timer]
{times}
# Runs missed while the host was off start at boot.
Persistent=true
AccuracySec=1s
RandomizedDelaySec=0

[Install]
WantedBy=timers.target
",
        description = unit_text(&job.pipeline.name),
        times = times.join("\n"),
    )
}

/// The lines of a cron expression: two where both kinds of day are named, since either is enough.
fn calendar(expression: &CronExpression, zone: Tz) -> Vec<String> {
    let CronExpression { minutes, hours, days, months, weekdays, .. } = expression;
    let time = format!("{}:{}:00 {zone}", numbers(*hours), numbers(*minutes));
    let line = |by_weekday: bool, by_day: bool| {
        let names: Vec<&str> = weekdays.values().filter_map(|day| WEEKDAYS.get(day as usize)).copied().collect();
        let weekdays = if by_weekday { format!("{} ", names.join(",")) } else { String::new() };
        let days = if by_day { numbers(*days) } else { "*".to_owned() };
        format!("OnCalendar={weekdays}*-{}-{days} {time}", numbers(*months))
    };
    match (weekdays.is_any, days.is_any) {
        (false, false) => vec![line(true, false), line(false, true)],
        _ => vec![line(!weekdays.is_any, !days.is_any)],
    }
}

fn numbers(field: CronField) -> String {
    if field.is_any {
        return "*".to_owned();
    }
    field.values().map(|value| format!("{value:02}")).collect::<Vec<_>>().join(",")
}

/// `every`: by the calendar, counted from midnight in UTC, where it divides a day; otherwise from run to run.
fn of_span(span: Duration) -> Vec<String> {
    let minutes = span.as_secs() / 60;
    let clock = match minutes {
        1 => Some("*:*:00".to_owned()),
        60 => Some("*:00:00".to_owned()),
        1_440 => Some("00:00:00".to_owned()),
        _ if minutes < 60 && 60 % minutes == 0 => Some(format!("*:00/{minutes:02}:00")),
        _ if minutes < 1_440 && minutes.is_multiple_of(60) && 1_440 % minutes == 0 => {
            Some(format!("00/{:02}:00:00", minutes / 60))
        }
        _ => None,
    };
    match clock {
        Some(clock) => vec![format!("OnCalendar=*-*-* {clock} UTC")],
        None => vec![
            format!(
                "# Every {} after the previous run, since it does not divide a day; and once after boot.",
                in_words(span)
            ),
            "OnActiveSec=1min".to_owned(),
            format!("OnUnitActiveSec={minutes}min"),
        ],
    }
}
