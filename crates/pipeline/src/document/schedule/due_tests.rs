//! When schedules are due: summer time by hand, everything else against another implementation of cron and by counting.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use proptest::prelude::*;

use super::{CronExpression, Schedule};

const BERLIN: Tz = Tz::Europe__Berlin;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(expression: &str) -> Schedule {
    Schedule::Cron { expression: CronExpression::parse(expression).unwrap(), timezone: None }
}

/// Every time from `from` on and before `to`, asked for one after the other, and the same backwards.
fn all_between(schedule: &Schedule, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let step = |due: &DateTime<Utc>| schedule.next_after(*due, zone);
    let first = schedule.next_after(from - TimeDelta::seconds(1), zone);
    let forward: Vec<_> = std::iter::successors(first, step).take_while(|due| *due < to).collect();
    let back = |due: &DateTime<Utc>| schedule.last_before(*due, zone);
    let mut backward: Vec<_> =
        std::iter::successors(schedule.last_before(to, zone), back).take_while(|due| *due >= from).collect();
    backward.reverse();
    assert_eq!(forward, backward, "{schedule:?}");
    forward
}

fn in_berlin(expression: &str, from: &str, to: &str) -> String {
    let due = all_between(&cron(expression), BERLIN, at(from), at(to));
    due.iter().map(|due| due.with_timezone(&BERLIN).format("%d %H:%M %Z").to_string()).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_the_clocks_skip_is_due_when_they_go_on() {
    let spring = |expression| in_berlin(expression, "2026-03-28T00:00:00Z", "2026-03-30T20:00:00Z");
    assert_eq!(spring("30 2 * * *"), "28 02:30 CET, 29 03:00 CEST, 30 02:30 CEST");
    assert_eq!(spring("0 3 * * *"), "28 03:00 CET, 29 03:00 CEST, 30 03:00 CEST");
    assert_eq!(spring("15,45 2 29 * *"), "29 03:00 CEST", "once, though two are skipped");
    assert_eq!(spring("*/30 2 29 * *"), "", "with a star there is nothing to make good");
}

#[test]
fn what_the_clocks_repeat_is_due_the_first_time() {
    let autumn = |expression| in_berlin(expression, "2026-10-24T00:00:00Z", "2026-10-26T20:00:00Z");
    assert_eq!(autumn("30 2 * * *"), "24 02:30 CEST, 25 02:30 CEST, 26 02:30 CET");
    assert_eq!(autumn("*/30 2 25 * *"), "25 02:00 CEST, 25 02:30 CEST, 25 02:00 CET, 25 02:30 CET");
    assert_eq!(autumn("30 * 25 * *").matches("02:30").count(), 2);
}

#[test]
fn a_day_that_a_zone_left_out_is_made_good_and_a_gap_at_midnight_stays_on_its_day() {
    let samoa = cron("0 6 30 * *").next_after(at("2011-12-29T00:00:00Z"), Tz::Pacific__Apia);
    assert_eq!(samoa, Some(at("2011-12-30T10:00:00Z")), "00:00 on the 31st there");
    let beirut = cron("30 0 * * *").next_after(at("2026-03-28T12:00:00Z"), Tz::Asia__Beirut);
    assert_eq!(beirut, Some(at("2026-03-28T22:00:00Z")), "01:00 on the 29th there");
}

#[test]
fn a_schedules_own_time_zone_comes_first() {
    let expression = CronExpression::parse("0 6 * * *").unwrap();
    let schedule = Schedule::Cron { expression, timezone: Some(Tz::America__New_York) };
    assert_eq!(schedule.next_after(at("2026-01-01T00:00:00Z"), BERLIN), Some(at("2026-01-01T11:00:00Z")));
    let leap = cron("0 0 29 2 *");
    assert_eq!(leap.next_after(at("2096-02-29T00:00:00Z"), Tz::UTC), Some(at("2104-02-29T00:00:00Z")));
    assert_eq!(leap.last_before(at("2104-02-29T00:00:00Z"), Tz::UTC), Some(at("2096-02-29T00:00:00Z")));
}

#[test]
fn spans_count_from_1970() {
    let every = |minutes| Schedule::Every(Duration::from_mins(minutes));
    assert_eq!(every(90).next_after(at("1970-01-01T01:29:59Z"), BERLIN), Some(at("1970-01-01T01:30:00Z")));
    assert_eq!(every(90).next_after(at("1970-01-01T01:30:00Z"), BERLIN), Some(at("1970-01-01T03:00:00Z")));
    assert_eq!(every(90).last_before(at("1970-01-01T01:30:00Z"), BERLIN), Some(at("1970-01-01T00:00:00Z")));
    assert_eq!(every(90).last_before(at("1970-01-01T01:30:00.5Z"), BERLIN), Some(at("1970-01-01T01:30:00Z")));
    assert_eq!(every(60).last_before(at("1969-12-31T23:30:00Z"), BERLIN), Some(at("1969-12-31T23:00:00Z")));
    let day = all_between(&every(15), BERLIN, at("2026-10-25T00:00:00Z"), at("2026-10-26T00:00:00Z"));
    assert_eq!(day.len(), 96);
}

#[test]
fn with_a_star_every_minute_that_the_clocks_show_is_found() {
    // Four hours around each change of the clocks: by an hour, by half of one, forward and back.
    let changes = [
        (BERLIN, "2026-03-28T23:00:00Z"),
        (BERLIN, "2026-10-24T23:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-04-04T13:00:00Z"),
        (Tz::Australia__Lord_Howe, "2026-10-03T13:30:00Z"),
        (Tz::America__New_York, "2026-03-08T05:00:00Z"),
        (Tz::America__New_York, "2026-11-01T04:00:00Z"),
    ];
    for (zone, from) in changes {
        let (from, to) = (at(from), at(from) + TimeDelta::hours(4));
        for text in ["*/7 * * * *", "*/20 2 * * *", "5,50 * * * *", "30 */2 * * *"] {
            let shown = text.parse::<Cron>().unwrap();
            let minutes = std::iter::successors(Some(from), |minute| Some(*minute + TimeDelta::minutes(1)));
            let counted: Vec<_> = minutes
                .take_while(|minute| *minute < to)
                .filter(|minute| shown.is_time_matching(&minute.with_timezone(&zone)).unwrap())
                .collect();
            assert_eq!(all_between(&cron(text), zone, from, to), counted, "{text} in {zone} from {from}");
        }
    }
}

/// A field: `*`, steps, values and ranges.
fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    let value = move || min..=max;
    prop_oneof![
        Just("*".to_owned()),
        (2..=max / 2).prop_map(|step| format!("*/{step}")),
        proptest::collection::vec(value(), 1..3).prop_map(|values| values
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")),
        (value(), value(), 1..=max / 2).prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
    ]
}

/// An expression that this program takes.
fn expression() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
        .prop_filter("read differently by schedulers", |text| CronExpression::parse(text).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn another_implementation_finds_the_same_next_time(text in expression(), start in 1_700_000_000_i64..2_000_000_000) {
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let theirs = text.parse::<Cron>().unwrap().find_next_occurrence(&start, false).unwrap();
        let schedule = cron(&text);
        prop_assert_eq!(schedule.next_after(start, Tz::UTC), Some(theirs));
        // And nothing lies in between.
        prop_assert!(schedule.last_before(theirs, Tz::UTC).is_none_or(|last| last <= start));
    }
}
