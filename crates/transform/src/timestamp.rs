//! The API's spellings of an instant, to microseconds since 1970 in UTC.
//!
//! The vendor's examples and recorded answers have `2026-01-31T10:20:30Z`, `....000Z`, `...-05:00`, `...+0000`,
//! `2026-01-31 10:20:30 -0800` and, for `deleted_at`, the bare date. Other spellings that can only mean one instant are
//! read too: `24:00:00`, a leap second, seconds and milliseconds since 1970, and the dates of HTTP and mail headers.
//! What could mean two, such as `01/02/2024` or a year of two digits, is not guessed at.

use chrono::{DateTime, Utc};

const DAY_SECONDS: i64 = 86_400;
const MICROS: i64 = 1_000_000;
/// 0001-01-01T00:00:00Z, the first instant that Parquet's readers agree on.
const FIRST: i64 = -62_135_596_800 * MICROS;
/// 9999-12-31T23:59:59.999999Z, the last one.
const LAST: i64 = 253_402_300_800 * MICROS - 1;

/// The instant in one of the API's spellings, as it becomes a timestamp in a table; `None` where the text is none of the
/// years 1 to 9999.
///
/// A date alone is its midnight, a time without a zone is UTC, seconds may be left out, and digits beyond the sixth of
/// a second are cut off. `24:00:00` is the next midnight, and second 60 the start of the next minute. A number of 10
/// digits is seconds since 1970, one of 13 digits milliseconds.
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    micros(text).and_then(DateTime::from_timestamp_micros)
}

/// The same in microseconds since 1970-01-01T00:00:00Z.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let instant = calendar(bytes).or_else(|| since_1970(bytes)).or_else(|| header(text))?;
    (FIRST..=LAST).contains(&instant).then_some(instant)
}

/// An instant by its date and time, as in `2026-01-31T10:20:30Z`.
fn calendar(bytes: &[u8]) -> Option<i64> {
    let (date, rest) = bytes.split_first_chunk::<10>()?;
    let days = days(date)?;
    let (time, offset) = match rest.split_first() {
        None => (0, 0),
        Some((b'T' | b't' | b' ', rest)) => time(rest)?,
        Some(_) => return None,
    };
    Some((days * DAY_SECONDS - offset) * MICROS + time)
}

/// Seconds since 1970, of which there are 10 digits from 2001 to 2286, or milliseconds, which have 13, with a fraction or
/// not.
fn since_1970(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, fraction) = bytes.split_at_checked(digits)?;
    let unit = match whole {
        [b'0', ..] => return None,
        _ if digits == 10 => MICROS,
        _ if digits == 13 => MICROS / 1_000,
        _ => return None,
    };
    let part = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if fraction.iter().all(u8::is_ascii_digit) => microseconds(fraction)?,
        _ => return None,
    };
    let whole = whole.iter().fold(0, |whole, digit| whole * 10 + i64::from(digit - b'0'));
    Some(whole * unit + part * unit / MICROS)
}

/// An instant as headers of HTTP and mail have it: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994` (which is
/// UTC by definition), `6 Nov 1994 08:49 +0100`. The weekday may be left out before a day and must be the right one.
fn header(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).take(7).collect();
    let starts_with_day = text.starts_with(|first: char| first.is_ascii_digit());
    let (weekday, day, month, year, clock, zone) = match *words.as_slice() {
        [day, month, year, clock, zone] if starts_with_day => (None, day, month, year, clock, zone),
        [weekday, month, day, clock, year] => (Some(weekday), day, month, year, clock, "GMT"),
        [weekday, day, month, year, clock, zone] => (Some(weekday.strip_suffix(',')?), day, month, year, clock, zone),
        _ => return None,
    };
    let month = 1 + MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let (day, year) = (day.as_bytes(), year.as_bytes());
    let &[y1, y2, y3, y4] = year else { return None };
    let day = match *day {
        [ones] => pair(b'0', ones)?,
        [tens, ones] => pair(tens, ones)?,
        _ => return None,
    };
    let days = civil(pair(y1, y2)? * 100 + pair(y3, y4)?, i64::try_from(month).ok()?, day)?;
    if let Some(weekday) = weekday {
        // 1970-01-01 was a Thursday.
        let named = WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(weekday))?;
        if i64::try_from(named).ok()? != (days + 3).rem_euclid(7) {
            return None;
        }
    }
    if !clock.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (time, _) = time(clock.as_bytes())?;
    let offset = match zone {
        "GMT" | "UTC" | "UT" | "Z" => 0,
        zone if zone.len() == 5 => offset(zone.as_bytes())?,
        _ => return None,
    };
    Some((days * DAY_SECONDS - offset) * MICROS + time)
}

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970 of `YYYY-MM-DD`.
fn days(date: &[u8; 10]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else { return None };
    civil(pair(y1, y2)? * 100 + pair(y3, y4)?, pair(m1, m2)?, pair(d1, d2)?)
}

/// Days since 1970 of a day that the calendar has.
fn civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if year == 0 || !(1..=length).contains(&day) {
        return None;
    }
    // Days from the civil calendar, with years that start in March so that the leap day is the last.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    Some(shifted_year * 365 + leap_days + (153 * shifted_month + 2) / 5 + day - 719_469)
}

/// Microseconds since midnight and offset from UTC in seconds, of `HH:MM[:SS[.f...]][zone]`.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    let (&[h1, h2, b':', m1, m2], mut rest) = text.split_first_chunk::<5>()? else { return None };
    let (hour, minute) = (pair(h1, h2)?, pair(m1, m2)?);
    let (mut second, mut micro, mut is_whole) = (0, 0, true);
    if let [b':', s1, s2, tail @ ..] = rest {
        second = pair(*s1, *s2)?;
        rest = tail;
        if let [b'.', tail @ ..] = rest {
            let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, tail) = tail.split_at(digits);
            micro = microseconds(fraction)?;
            is_whole = fraction.iter().all(|digit| *digit == b'0');
            rest = tail;
        }
    }
    // 24:00 is the end of the day, and 60 a leap second, which falls together with the first of the next minute.
    let ends_the_day = hour == 24 && minute == 0 && second == 0 && is_whole;
    if (hour > 23 && !ends_the_day) || minute > 59 || second > 60 {
        return None;
    }
    Some((((hour * 60 + minute) * 60 + second) * MICROS + micro, offset(rest)?))
}

/// The first six of the digits of a fraction of a second; at least one is needed.
fn microseconds(digits: &[u8]) -> Option<i64> {
    let mut padded = [b'0'; 6];
    for (to, from) in padded.iter_mut().zip(digits) {
        *to = *from;
    }
    let micro = padded.iter().fold(0, |micro, digit| micro * 10 + i64::from(digit - b'0'));
    (!digits.is_empty()).then_some(micro)
}

/// Seconds east of UTC, of nothing, `Z`, `+HH`, `+HHMM` or `+HH:MM`, with a space before it or not.
fn offset(zone: &[u8]) -> Option<i64> {
    if zone.is_empty() {
        return Some(0);
    }
    let zone = zone.strip_prefix(b" ").unwrap_or(zone);
    let (sign, hours, minutes) = match *zone {
        [b'Z' | b'z'] => return Some(0),
        [sign, h1, h2] => (sign, pair(h1, h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, pair(h1, h2)?, pair(m1, m2)?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 60 + minutes) * 60;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// The number that two ASCII digits make.
fn pair(tens: u8, ones: u8) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some(digit(tens)? * 10 + digit(ones)?)
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, NaiveDate, SecondsFormat, TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        parse_timestamp(text)
            .map_or("not a timestamp".to_owned(), |instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    #[test]
    fn every_spelling_that_means_one_instant_is_read() {
        for (text, instant) in [
            ("2026-01-31T10:20:30Z", "2026-01-31T10:20:30Z"),
            ("2026-01-31t10:20:30z", "2026-01-31T10:20:30Z"),
            ("2026-01-31T10:20:30.000Z", "2026-01-31T10:20:30Z"),
            ("2026-01-31T10:20:30.5Z", "2026-01-31T10:20:30.500Z"),
            ("2026-01-31T10:20:30.123456999Z", "2026-01-31T10:20:30.123456Z"),
            ("2026-01-31T10:20:30-05:00", "2026-01-31T15:20:30Z"),
            ("2026-01-31T10:20:30.521+0000", "2026-01-31T10:20:30.521Z"),
            ("2026-01-31T10:20:30+0530", "2026-01-31T04:50:30Z"),
            ("2026-01-31T10:20:30-08", "2026-01-31T18:20:30Z"),
            ("2026-01-31 10:20:30 -0800", "2026-01-31T18:20:30Z"),
            ("2026-01-31T10:20:30", "2026-01-31T10:20:30Z"),
            ("2026-01-31T10:20Z", "2026-01-31T10:20:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("2024-02-29", "2024-02-29T00:00:00Z"),
            ("0001-01-01", "0001-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
            ("2026-01-31T24:00:00Z", "2026-02-01T00:00:00Z"),
            ("2025-12-31T24:00:00.000-05:00", "2026-01-01T05:00:00Z"),
            ("2024-02-28 24:00", "2024-02-29T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2016-12-31T18:59:60.5-05:00", "2017-01-01T00:00:00.500Z"),
            ("2026-01-31T10:20:60Z", "2026-01-31T10:21:00Z"),
            ("1767225600", "2026-01-01T00:00:00Z"),
            ("1767225600.25", "2026-01-01T00:00:00.250Z"),
            ("1767225600.1234567", "2026-01-01T00:00:00.123456Z"),
            ("1767225600000", "2026-01-01T00:00:00Z"),
            ("1767225600001", "2026-01-01T00:00:00.001Z"),
            ("1767225600001.5", "2026-01-01T00:00:00.001500Z"),
            ("1000000000", "2001-09-09T01:46:40Z"),
            ("9999999999999", "2286-11-20T17:46:39.999Z"),
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"),
            ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"),
            ("Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"),
            ("Sun, 6 Nov 1994 08:49:37 +0100", "1994-11-06T07:49:37Z"),
            ("6 Nov 1994 08:49 -0800", "1994-11-06T16:49:00Z"),
            ("Sat, 31 Dec 2016 23:59:60 UT", "2017-01-01T00:00:00Z"),
            ("thu, 01 jan 1970 00:00:00 Z", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(shown(text), instant, "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            " ",
            "yesterday",
            "2026",
            "2026-1-3",
            "20260131",
            "2026-00-10",
            "2026-13-10",
            "2026-02-30",
            "2023-02-29",
            "1900-02-29",
            "2026-04-31",
            "2026-01-00",
            "0000-01-01",
            "2026-01-31T",
            "2026-01-31Z",
            "2026-01-31T24:00:01Z",
            "2026-01-31T24:01:00Z",
            "2026-01-31T24:00:00.0000001Z",
            "2026-01-31T24:00:60Z",
            "2026-01-31T25:00:00Z",
            "9999-12-31T24:00:00Z",
            "9999-12-31T23:59:60Z",
            "2026-01-31T23:60:00Z",
            "2026-01-31T23:59:61Z",
            "2026-01-31T10:20:30.Z",
            "2026-01-31T10:20:30.5.5Z",
            "2026-01-31T10:20:30-05:0",
            "2026-01-31T10:20:30+24:00",
            "2026-01-31T10:20:30+05:60",
            "2026-01-31T10:20:30 ",
            "2026-01-31T10:20:30ZZ",
            " 2026-01-31",
            "2026-01-31T10:20:30x05:00",
            "+026-01-31",
            "9999-12-31T23:59:59-00:01",
            "0001-01-01T00:00:00+00:01",
            "２026-01-31",
            "2026-01-31T1:20:30Z",
            "2026/01/31",
            "01/02/2024",
            "31.01.2026",
            "26-01-31",
            "0",
            "176722560",
            "17672256000",
            "176722560000",
            "17672256000000",
            "0767225600",
            "-1767225600",
            "+1767225600",
            "1767225600.",
            "1767225600.x",
            "1767225600Z",
            "1.767225600e9",
            "1767225600 ",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CST",
            "Sun, 06 Nov 1994 08:49:37Z GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun Nov 06 08:49:37 94",
            "Sun, 06 Nov 1994 GMT",
            "Nov 6 1994",
            "06 Nov 1994",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        ] {
            assert_eq!(shown(text), "not a timestamp", "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_chrono_on_every_instant(
            seconds in -62_135_510_400_i64..253_402_214_400, micro in 0_u32..1_000_000, minutes in -1439_i32..1440,
        ) {
            let zone = FixedOffset::east_opt(minutes * 60).unwrap();
            let instant = Utc.timestamp_opt(seconds, micro * 1000).unwrap();
            let local = instant.with_timezone(&zone);
            for format in ["%Y-%m-%dT%H:%M:%S%.6f%:z", "%Y-%m-%d %H:%M:%S%.6f%z", "%Y-%m-%dT%H:%M:%S%.9f %z"] {
                prop_assert_eq!(micros(&local.format(format).to_string()), Some(instant.timestamp_micros()));
            }
        }

        #[test]
        fn agrees_with_chrono_on_every_date(year in 0_i32..10_000, month in 0_u32..15, day in 0_u32..35) {
            let date = NaiveDate::from_ymd_opt(year, month, day).filter(|_| year > 0);
            let midnight = date.and_then(|date| date.and_hms_opt(0, 0, 0)).map(|time| time.and_utc().timestamp_micros());
            prop_assert_eq!(micros(&format!("{year:04}-{month:02}-{day:02}")), midnight);
        }

        #[test]
        fn agrees_with_chrono_on_numbers_and_headers(seconds in 1_000_000_000_i64..9_999_999_999, milli in 0_u32..1000, minutes in -1439_i32..1440) {
            let instant = Utc.timestamp_opt(seconds, milli * 1_000_000).unwrap();
            prop_assert_eq!(parse_timestamp(&instant.timestamp_millis().to_string()), Some(instant));
            prop_assert_eq!(parse_timestamp(&format!("{seconds}.{milli:03}")), Some(instant));
            let whole = Utc.timestamp_opt(seconds, 0).unwrap();
            let local = whole.with_timezone(&FixedOffset::east_opt(minutes * 60).unwrap());
            prop_assert_eq!(parse_timestamp(&seconds.to_string()), Some(whole));
            prop_assert_eq!(parse_timestamp(&local.to_rfc2822()), Some(whole));
            prop_assert_eq!(parse_timestamp(&whole.format("%a, %d %b %Y %H:%M:%S GMT").to_string()), Some(whole));
            prop_assert_eq!(parse_timestamp(&whole.format("%a %b %e %H:%M:%S %Y").to_string()), Some(whole));
        }

        #[test]
        fn never_panics(text in "[-0-9T:.+Z é,SunNov]{0,40}") {
            let _ = micros(&text);
        }
    }
}
