//! Periods that a report counts in, and whether those of runs that follow each other overlap. A period is part of a row's
//! key, so what falls into two of them is stored in two rows, and a sum over the table has it twice.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use ctct_catalog::OptionKind;
use ctct_load::WriteMode;

use crate::document::dates::When;
use crate::document::{ReportConfig, Schedule, Setting};

/// What to know before a run where periods overlap and the write mode keeps each: what is counted several times, and what to
/// write instead.
pub(super) fn overlap(
    config: &ReportConfig,
    schedule: Option<&Schedule>,
    now: DateTime<Utc>,
    zone: Tz,
) -> Option<String> {
    let (first, last) = (bound(config, OptionKind::RangeStart)?, bound(config, OptionKind::RangeEnd)?);
    let apart = schedule.and_then(|schedule| days_apart(schedule, now, zone)).unwrap_or(1);
    let instead = match (first, last) {
        // Runs between `apart` days and the next ones: one period for each.
        (When::DaysBack(first), When::DaysBack(last)) if first.saturating_sub(last) < apart => return None,
        (When::DaysBack(_), When::DaysBack(last)) if apart > 1 => {
            format!("`start_date: {{days_back: {}}}`, the days from one run to the next", last + apart - 1)
        }
        (When::DaysBack(_), When::DaysBack(last)) => {
            format!("`duration: single_date` with `report_date: {{days_back: {last}}}` and one run per day")
        }
        (When::DaysBack(_), _) | (_, When::DaysBack(_)) => {
            "`duration: single_date` with `report_date: {days_back: 1}` and one run per day".to_owned()
        }
        // The same period in every run: its rows are read again, not added.
        (When::Date(_) | When::Timestamp(_), When::Date(_) | When::Timestamp(_)) => return None,
    };
    let keeps = match config.write_mode {
        WriteMode::Replace => return None,
        WriteMode::Append => "`append` keeps the rows of each",
        WriteMode::Partition => "`partition` keeps those of partitions that a run does not touch",
        _ => "`merge` keeps the rows of each",
    };
    let name = &config.report.name;
    Some(format!(
        "`{name}`: the periods of successive runs overlap ({first} to {last}), and {keeps}, so sums over the table count the \
         same activity several times; use {instead}, or `write_mode: replace`"
    ))
}

fn bound(config: &ReportConfig, kind: OptionKind) -> Option<When> {
    let declared = config.report.options.iter().find(|option| option.kind == kind)?;
    match config.option(&declared.name)?.setting {
        Setting::When(when) => Some(when),
        _ => None,
    }
}

/// The fewest days between two scheduled runs, one at least: runs of one day ask for the same period.
fn days_apart(schedule: &Schedule, now: DateTime<Utc>, zone: Tz) -> Option<u32> {
    /// Enough to meet the shortest distance of any calendar.
    const RUNS: usize = 100;
    let due = |moment| schedule.next_after(moment, zone);
    let times: Vec<DateTime<Utc>> = std::iter::successors(due(now), |moment| due(*moment)).take(RUNS).collect();
    let shortest = times.windows(2).filter_map(|pair| Some(*pair.get(1)? - *pair.first()?)).min()?;
    // A day with a change of clocks has an hour more or less.
    u32::try_from((shortest + TimeDelta::hours(2)).num_days().max(1)).ok()
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;

    use crate::document::{Environment, Pipeline};
    use crate::plan::Plan;

    fn warnings(mode: &str, period: &str, schedule: &str) -> Vec<String> {
        let partition = if mode == "partition" { ", partition_by: [{day: period_start}]" } else { "" };
        let text = format!(
            "version: 1\nname: a\nsource: {{account: a}}\ndestination: {{url: ./a}}\n{schedule}\nreports:\n  - {{report: contacts}}\n  \
             - {{report: contact_action_summary, contact_id: {{from: contacts}}, {period}, write_mode: {mode}{partition}}}\n"
        );
        let catalog = Catalog::embedded().unwrap();
        let pipeline = Pipeline::parse(&text, "a.yaml", &catalog, &Environment::default());
        let pipeline = pipeline.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let now = "2026-02-10T12:00:00Z".parse().unwrap();
        Plan::new(&pipeline, now).unwrap().reports.into_iter().flat_map(|report| report.warnings).collect()
    }

    #[test]
    fn periods_that_overlap_are_told_in_every_mode_that_keeps_them_and_disjoint_ones_never() {
        let range = |first: &str, last: &str| format!("duration: date_range, start_date: {first}, end_date: {last}");
        let back = |days: u32| format!("{{days_back: {days}}}");
        let weekly = "schedule: {cron: \"0 6 * * mon\"}";
        let daily = "schedule: {every: 1d}";
        for (period, schedule, overlaps) in [
            (range(&back(7), &back(1)), "", true),
            (range(&back(7), &back(1)), daily, true),
            (range(&back(7), &back(1)), "schedule: {every: 15m}", true),
            (range(&back(7), &back(1)), "schedule: {cron: \"0 6 * * mon,thu\"}", true),
            (range(&back(7), &back(1)), weekly, false),
            (range(&back(8), &back(1)), weekly, true),
            (range(&back(7), &back(1)), "schedule: {every: 7d}", false),
            (range(&back(2), &back(1)), "", true),
            (range(&back(1), &back(1)), "", false),
            (range(&back(1), &back(1)), daily, false),
            (range(&back(1), &back(0)), daily, true),
            (range("2026-01-01", &back(1)), "", true),
            (range(&back(7), "2026-03-01"), "", true),
            (range("2026-01-01", "2026-01-31"), daily, false),
            ("duration: single_date, report_date: {days_back: 1}".to_owned(), "", false),
            ("duration: single_date, report_date: 2026-01-31".to_owned(), daily, false),
        ] {
            for mode in ["append", "merge", "partition", "replace"] {
                let told = warnings(mode, &period, schedule);
                let expected = usize::from(overlaps && mode != "replace");
                assert_eq!(told.len(), expected, "{mode}, {period}, {schedule}: {told:?}");
                assert!(told.iter().all(|text| text.contains(&format!("`{mode}`")) && text.contains("; use `")));
            }
        }
    }

    #[test]
    fn what_is_advised_does_not_overlap() {
        let told = |schedule| {
            warnings("merge", "duration: date_range, start_date: {days_back: 9}, end_date: {days_back: 2}", schedule)
        };
        insta::assert_snapshot!([told(""), told("schedule: {cron: \"0 6 * * mon\"}")].concat().join("\n"), @r"
        `contact_action_summary`: the periods of successive runs overlap (9 days back to 2 days back), and `merge` keeps the rows of each, so sums over the table count the same activity several times; use `duration: single_date` with `report_date: {days_back: 2}` and one run per day, or `write_mode: replace`
        `contact_action_summary`: the periods of successive runs overlap (9 days back to 2 days back), and `merge` keeps the rows of each, so sums over the table count the same activity several times; use `start_date: {days_back: 8}`, the days from one run to the next, or `write_mode: replace`
        ");
        let weekly = "duration: date_range, start_date: {days_back: 8}, end_date: {days_back: 2}";
        assert!(warnings("merge", weekly, "schedule: {cron: \"0 6 * * mon\"}").is_empty());
    }
}
