//! A line for a crontab.
//!
//! Cron knows no time zones that all its kinds honor: Debian's takes `CRON_TZ` for a variable of the job and says
//! nothing. So a schedule is written only where the host's own clock means the same, and refused otherwise.

use std::time::Duration;

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use ctct_pipeline::document::{CronExpression, Schedule};

use crate::quoting::shell_word;

use super::{ScheduledJob, SchedulerFile, in_words};

/// The longest command that Debian's cron takes (`MAX_COMMAND`).
const LONGEST: usize = 998;

/// The line and its comment, or why there is none and what to do.
pub(super) fn files(job: &ScheduledJob) -> Result<Vec<SchedulerFile>, String> {
    let host = job.host_zone;
    let times = times(job, host).map_err(|message| {
        format!("{message}; or use systemd: ctct-etl schedule {} --target systemd", job.pipeline.file())
    })?;
    let name = &job.pipeline.name;
    let command = command(job);
    if command.len() > LONGEST {
        return Err(format!(
            "the command has {} characters, and cron takes at most {LONGEST}\nnext: use shorter paths",
            command.len()
        ));
    }
    let text = format!(
        "# {description}. Times are the host's, {host}. Variables: {variables}\n\
         # Summaries go to {name}.jsonl, progress to {name}.log. Cron sends mail only when manual action is needed.\n\
         {times} {command}\n",
        description = job.description(),
        variables = job.variables().display(),
    );
    Ok(vec![SchedulerFile { name: format!("ctct-{name}.crontab"), text }])
}

/// The five fields by the host's clock.
fn times(job: &ScheduledJob, host: Tz) -> Result<String, String> {
    let (text, zone, hourly) = match &job.schedule {
        Schedule::Cron { expression, timezone } => {
            (expression.to_string(), timezone.unwrap_or(job.pipeline.timezone), is_hourly(expression))
        }
        Schedule::Every(span) => {
            let text = of_span(*span).ok_or_else(|| {
                let span = in_words(*span);
                format!("`every: {span}` does not divide a day, so cron cannot express it\nnext: use an interval that does, such as 1h")
            })?;
            (text, Tz::UTC, *span <= Duration::from_hours(1))
        }
    };
    if zone == host || is_utc(zone) && is_utc(host) || hourly && minutes_agree(zone, host, job.now) {
        return Ok(text);
    }
    Err(format!(
        "the schedule uses {zone}, but cron uses this host's time zone ({host})\nnext: use a schedule in {host}"
    ))
}

/// `every` by cron, counted from midnight in UTC.
fn of_span(span: Duration) -> Option<String> {
    let minutes = span.as_secs() / 60;
    match minutes {
        1 => Some("* * * * *".to_owned()),
        60 => Some("0 * * * *".to_owned()),
        1_440 => Some("0 0 * * *".to_owned()),
        _ if minutes < 60 && 60 % minutes == 0 => Some(format!("*/{minutes} * * * *")),
        _ if minutes < 1_440 && minutes.is_multiple_of(60) && 1_440 % minutes == 0 => {
            Some(format!("0 */{} * * *", minutes / 60))
        }
        _ => None,
    }
}

fn is_hourly(expression: &CronExpression) -> bool {
    let CronExpression { hours, days, months, weekdays, .. } = expression;
    [hours, days, months, weekdays].iter().all(|field| field.is_any)
}

fn is_utc(zone: Tz) -> bool {
    use Tz::{Etc__GMT, Etc__UCT, Etc__UTC, Etc__Universal, Etc__Zulu, GMT, UCT, UTC, Universal, Zulu};
    [UTC, Etc__UTC, UCT, Etc__UCT, GMT, Etc__GMT, Universal, Etc__Universal, Zulu, Etc__Zulu].contains(&zone)
}

/// Whether both zones show the same minute.
fn minutes_agree(zone: Tz, host: Tz, now: DateTime<Utc>) -> bool {
    let offset = |zone: Tz| zone.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc();
    (offset(zone) - offset(host)) % 3_600 == 0
}

/// The command, in one line as cron wants it.
fn command(job: &ScheduledJob) -> String {
    let name = &job.pipeline.name;
    let command = format!(
        "cd {folder} && {{ set -a; [ ! -r {variables} ] || . {variables}; set +a; {program} run {file} --over-days --deadline \
         {deadline} --output json >>{name}.jsonl 2>>{name}.log; code=$?; case $code in 0|11|12|13) ;; *) echo \"ctct-etl \
         ended with $code; the end of {name}.log says what to do:\"; tail -n 20 {name}.log;; esac; }}",
        folder = shell_word(&job.folder),
        variables = shell_word(&job.variables()),
        program = shell_word(&job.program),
        file = shell_word(&job.file),
        deadline = job.deadline(),
    );
    // To cron an unescaped % ends the command (crontab(5)).
    command.replace('%', "\\%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_divide_a_day_have_a_line() {
        let of = |minutes| of_span(Duration::from_mins(minutes));
        assert_eq!(of(15).as_deref(), Some("*/15 * * * *"));
        assert_eq!(of(60).as_deref(), Some("0 * * * *"));
        assert_eq!(of(360).as_deref(), Some("0 */6 * * *"));
        assert_eq!(of(1_440).as_deref(), Some("0 0 * * *"));
        for minutes in [7, 45, 90, 300, 2_880] {
            assert_eq!(of(minutes), None, "{minutes}");
        }
    }
}
