//! Moments in seconds since 1970 UTC, and the forms in which the API writes and reads them.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// The first moment of a day.
pub(crate) fn midnight(day: NaiveDate) -> i64 {
    day.and_time(NaiveTime::MIN).and_utc().timestamp()
}

/// As contacts, lists and tags write it: `2024-10-30T18:56:35Z`.
pub(crate) fn seconds(at: i64) -> String {
    write(at, "Z")
}

/// As emails and reports write it: `2024-10-30T18:56:35.000Z`.
pub(crate) fn millis(at: i64) -> String {
    write(at, ".000Z")
}

/// As `deleted_at` of a contact is written: `2024-10-30`.
pub(crate) fn date(at: i64) -> String {
    let mut text = String::with_capacity(10);
    push_date(&mut text, at);
    text
}

/// Reads what clients send as a bound, in milliseconds: RFC 3339, an offset without colon, or a bare date.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let instant =
        DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
    match instant {
        Ok(instant) => Some(instant.timestamp_millis()),
        Err(_) => text.parse().ok().map(|day| midnight(day) * 1_000),
    }
}

fn write(at: i64, end: &str) -> String {
    let mut text = String::with_capacity(24);
    push_date(&mut text, at);
    let time = at.rem_euclid(DAY);
    text.push('T');
    push_two(&mut text, time / 3_600);
    text.push(':');
    push_two(&mut text, time / 60 % 60);
    text.push(':');
    push_two(&mut text, time % 60);
    text.push_str(end);
    text
}

fn push_date(text: &mut String, at: i64) {
    // Every moment of an account lies within chrono's 262,000 years.
    let day = DateTime::<Utc>::from_timestamp(at, 0).unwrap_or_default().date_naive();
    let year = i64::from(day.year());
    push_two(text, year / 100);
    push_two(text, year % 100);
    text.push('-');
    push_two(text, i64::from(day.month()));
    text.push('-');
    push_two(text, i64::from(day.day()));
}

fn push_two(text: &mut String, number: i64) {
    for digit in [number / 10 % 10, number % 10] {
        text.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
    }
}
