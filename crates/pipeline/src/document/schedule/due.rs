//! When a schedule is due, by the wall clock of its time zone and by cron's rules for the hours that summer time skips
//! and repeats.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use super::Schedule;
use super::cron::CronExpression;

/// The 29th of February is eight years off at most.
const LONGEST_WAIT_DAYS: i64 = 8 * 366;

impl Schedule {
    /// The first time after `moment` at which the pipeline is due. `pipeline_zone` is the time zone of a cron expression
    /// that has none of its own. `every` counts from 1970-01-01T00:00Z.
    ///
    /// A time of day in an hour that the clocks skip is due when they have been put forward, and one in an hour that comes twice
    /// is due the first time; with a `*` in minute or hour it is due whenever the clocks show it (Debian's manual, cron(8)).
    ///
    /// `None` only at the end of the calendar.
    pub fn next_after(&self, moment: DateTime<Utc>, pipeline_zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(span) => tick(*span, moment.timestamp(), 1),
            Self::Cron { expression, timezone } => {
                let zone = timezone.unwrap_or(pipeline_zone);
                let today = moment.with_timezone(&zone).date_naive();
                // What yesterday skipped may be due today.
                (-1..=LONGEST_WAIT_DAYS).find_map(|days| {
                    let day = today.checked_add_signed(TimeDelta::days(days))?;
                    on_day(expression, day, zone).into_iter().filter(|due| *due > moment).min()
                })
            }
        }
    }

    /// The last time before `moment` at which the pipeline was due, by the same rules.
    pub fn last_before(&self, moment: DateTime<Utc>, pipeline_zone: Tz) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(span) => {
                let seconds = moment.timestamp() + i64::from(moment.timestamp_subsec_nanos() > 0);
                tick(*span, seconds - 1, 0)
            }
            Self::Cron { expression, timezone } => {
                let zone = timezone.unwrap_or(pipeline_zone);
                let today = moment.with_timezone(&zone).date_naive();
                (0..=LONGEST_WAIT_DAYS).find_map(|days| {
                    let day = today.checked_sub_signed(TimeDelta::days(days))?;
                    on_day(expression, day, zone).into_iter().filter(|due| *due < moment).max()
                })
            }
        }
    }
}

/// The tick of the span that `seconds` lies in, or one that is `later` by so many.
fn tick(span: Duration, seconds: i64, later: i64) -> Option<DateTime<Utc>> {
    let span = i64::try_from(span.as_secs()).ok().filter(|span| *span > 0)?;
    let tick = seconds.div_euclid(span).checked_add(later)?.checked_mul(span)?;
    DateTime::from_timestamp(tick, 0)
}

/// Every moment at which an expression is due because of one day of the zone's calendar.
fn on_day(expression: &CronExpression, day: NaiveDate, zone: Tz) -> Vec<DateTime<Utc>> {
    if !is_due_on(expression, day) {
        return Vec::new();
    }
    let by_the_clock = expression.minutes.is_starred || expression.hours.is_starred;
    let times =
        expression.hours.values().flat_map(|hour| expression.minutes.values().map(move |minute| (hour, minute)));
    let moments = times.filter_map(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0)).flat_map(|time| {
        let shown = day.and_time(time);
        match zone.from_local_datetime(&shown) {
            LocalResult::Single(due) => vec![due],
            LocalResult::Ambiguous(first, second) if by_the_clock => vec![first, second],
            LocalResult::Ambiguous(first, _) => vec![first],
            LocalResult::None if by_the_clock => Vec::new(),
            LocalResult::None => Vec::from_iter(after_gap(shown, zone)),
        }
    });
    moments.map(|due| due.with_timezone(&Utc)).collect()
}

fn is_due_on(expression: &CronExpression, day: NaiveDate) -> bool {
    let CronExpression { days, months, weekdays, .. } = expression;
    let by_date = days.holds(day.day());
    let by_weekday = weekdays.holds(day.weekday().num_days_from_sunday());
    let day_fits = match (days.is_any, weekdays.is_any) {
        (false, false) => by_date || by_weekday,
        _ => by_date && by_weekday,
    };
    day_fits && months.holds(day.month())
}

/// The moment at which clocks that skip `shown` go on.
fn after_gap(shown: NaiveDateTime, zone: Tz) -> Option<DateTime<Tz>> {
    // The longest gap that ever was is a day.
    let end = shown.checked_add_days(Days::new(1))?;
    let minutes = std::iter::successors(Some(shown), |minute| minute.checked_add_signed(TimeDelta::minutes(1)));
    minutes.take_while(|minute| *minute <= end).find_map(|minute| zone.from_local_datetime(&minute).earliest())
}
