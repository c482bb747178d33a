//! Dates as pipelines write them, and the instants that they stand for. The clock and the time zone are passed in.

use std::cmp::Ordering;
use std::fmt;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// No relative date reaches further back than a hundred years.
pub(crate) const MAX_DAYS_BACK: u64 = 36_500;

/// A moment as a pipeline names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// A day in the pipeline's time zone.
    Date(NaiveDate),
    /// An instant.
    Timestamp(DateTime<Utc>),
    /// The day this many days before the day on which the run starts.
    DaysBack(u32),
}

impl When {
    /// Reads `2026-01-31`, or a timestamp with its offset, such as `2026-01-31T08:00:00Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let date_like = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if date_like {
            return NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(Self::Date);
        }
        DateTime::parse_from_rfc3339(text).ok().map(|instant| Self::Timestamp(instant.to_utc()))
    }

    /// The first instant: of the day, or the timestamp itself.
    pub fn start(self, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::Timestamp(instant) => instant,
            Self::Date(_) | Self::DaysBack(_) => first_instant(self.day(now, zone), zone),
        }
    }

    /// The last millisecond of the day; the API knows no finer instants.
    pub fn end(self, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let next = self.day(now, zone).checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        first_instant(next, zone) - TimeDelta::milliseconds(1)
    }

    /// How two moments compare, where that does not depend on the day of the run.
    pub fn known_order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Date(one), Self::Date(other)) => Some(one.cmp(&other)),
            (Self::Timestamp(one), Self::Timestamp(other)) => Some(one.cmp(&other)),
            (Self::DaysBack(one), Self::DaysBack(other)) => Some(other.cmp(&one)),
            _ => None,
        }
    }

    /// The day that it falls on.
    pub(crate) fn day(self, now: DateTime<Utc>, zone: Tz) -> NaiveDate {
        match self {
            Self::Date(day) => day,
            Self::Timestamp(instant) => instant.with_timezone(&zone).date_naive(),
            Self::DaysBack(days) => {
                let today = now.with_timezone(&zone).date_naive();
                today.checked_sub_days(Days::new(days.into())).unwrap_or(NaiveDate::MIN)
            }
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date(day) => write!(f, "{day}"),
            Self::Timestamp(instant) => f.write_str(&wire(*instant)),
            Self::DaysBack(0) => f.write_str("today"),
            Self::DaysBack(1) => f.write_str("1 day back"),
            Self::DaysBack(days) => write!(f, "{days} days back"),
        }
    }
}

/// The instant as the API takes it: `2026-01-31T00:00:00.000Z`.
pub fn wire(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The first instant of a day. Where clocks go forward over midnight, or over all of the day, that is the first instant
/// after the gap; where they go back over it, the earlier of the two midnights.
fn first_instant(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    /// Longer than the longest gap that a time zone ever had: Samoa left out 2011-12-30.
    const MINUTES: i64 = 25 * 60;
    let midnight = day.and_time(NaiveTime::MIN);
    (0..=MINUTES)
        .filter_map(|minutes| midnight.checked_add_signed(TimeDelta::minutes(minutes)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map_or_else(|| midnight.and_utc(), |instant| instant.to_utc())
}

/// Whether an instant can be a time at which somebody ran this program, or will.
pub(crate) fn is_sane(instant: &DateTime<Utc>) -> bool {
    /// 2000-01-01 and 2200-01-01, in seconds since 1970.
    const YEARS: std::ops::Range<i64> = 946_684_800..7_258_118_400;
    YEARS.contains(&instant.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn day(text: &str, zone: Tz) -> (String, String) {
        let when = When::parse(text).unwrap();
        let now = at("2026-02-10T12:00:00Z");
        (wire(when.start(now, zone)), wire(when.end(now, zone)))
    }

    #[test]
    fn a_day_runs_from_its_first_to_its_last_instant_in_the_time_zone() {
        let owned = |start: &str, end: &str| (start.to_owned(), end.to_owned());
        assert_eq!(day("2026-01-31", Tz::UTC), owned("2026-01-31T00:00:00.000Z", "2026-01-31T23:59:59.999Z"));
        assert_eq!(
            day("2026-01-31", Tz::America__New_York),
            owned("2026-01-31T05:00:00.000Z", "2026-02-01T04:59:59.999Z")
        );
        // 23 and 25 hours long.
        assert_eq!(
            day("2026-03-08", Tz::America__New_York),
            owned("2026-03-08T05:00:00.000Z", "2026-03-09T03:59:59.999Z")
        );
        assert_eq!(
            day("2026-11-01", Tz::America__New_York),
            owned("2026-11-01T04:00:00.000Z", "2026-11-02T04:59:59.999Z")
        );
    }

    #[test]
    fn a_midnight_that_does_not_exist_is_the_first_instant_after_the_gap() {
        assert_eq!(day("2018-11-04", Tz::America__Sao_Paulo).0, "2018-11-04T03:00:00.000Z");
        assert_eq!(day("2018-11-03", Tz::America__Sao_Paulo).1, "2018-11-04T02:59:59.999Z");
        assert_eq!(day("2011-12-30", Tz::Pacific__Apia).0, "2011-12-30T10:00:00.000Z");
    }

    #[test]
    fn a_midnight_that_comes_twice_is_the_earlier_one() {
        assert_eq!(day("2026-10-25", Tz::Atlantic__Azores).0, "2026-10-25T00:00:00.000Z");
    }

    #[test]
    fn days_back_count_local_days() {
        // 01:00 UTC on the 10th is still the 9th in New York.
        let now = at("2026-02-10T01:00:00Z");
        assert_eq!(wire(When::DaysBack(0).start(now, Tz::America__New_York)), "2026-02-09T05:00:00.000Z");
        assert_eq!(wire(When::DaysBack(0).start(now, Tz::UTC)), "2026-02-10T00:00:00.000Z");
        assert_eq!(wire(When::DaysBack(10).end(now, Tz::UTC)), "2026-01-31T23:59:59.999Z");
    }

    #[test]
    fn a_timestamp_stands_for_itself() {
        let when = When::parse("2026-01-31T10:00:00.250+02:00").unwrap();
        assert_eq!(wire(when.start(at("2026-02-10T01:00:00Z"), Tz::Asia__Tokyo)), "2026-01-31T08:00:00.250Z");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in
            ["2026-02-30", "2026-2-3", "26-02-03", "2026-13-01", "2026-01-01T00:00:00", "yesterday", "", "20260101"]
        {
            assert_eq!(When::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn order_is_known_only_between_alike() {
        let parse = |text| When::parse(text).unwrap();
        assert_eq!(parse("2026-01-02").known_order(parse("2026-01-01")), Some(Ordering::Greater));
        assert_eq!(When::DaysBack(5).known_order(When::DaysBack(10)), Some(Ordering::Greater));
        assert_eq!(When::DaysBack(5).known_order(parse("2026-01-01")), None);
    }

    proptest! {
        #[test]
        fn days_follow_each_other_without_gap_in_every_time_zone(days in 0u32..20_000, zone in 0..chrono_tz::TZ_VARIANTS.len()) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let now = at("2026-11-23T11:00:00Z");
            let (earlier, later) = (When::DaysBack(days + 1), When::DaysBack(days));
            prop_assert!(earlier.start(now, zone) <= later.start(now, zone));
            prop_assert_eq!(earlier.end(now, zone) + TimeDelta::milliseconds(1), later.start(now, zone));
        }
    }
}
