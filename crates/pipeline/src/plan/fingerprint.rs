//! What a report is asked for, as its pipeline says it. The text travels with all that is kept for later runs: stored rows,
//! ids that are done and kept pages are of use to a run that asks the same, and are told apart from those of another.
//!
//! Relative dates are in it as they are written, since `400 days back` is the same question tomorrow. What has no order
//! is sorted.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Utc};
use ctct_catalog::{OptionKind, Report, ReportOption};
use ctct_load::{Commit, PartitionBy, Progress, ReportState, WriteMode};

use super::request_plan::fingerprint;
use super::{Ids, ReportPlan, Scope};

/// Stands for a report that nothing is chosen of: an empty text is one that nobody wrote.
const EVERYTHING: &str = "everything";

/// What options are set to: their names and one canonical text for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryFingerprint {
    entries: Vec<(String, String)>,
}

/// What it means for the rows that are stored that an option has been changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Rows of both choices are stored, and each is complete: an id, a period, a type of event.
    Beside,
    /// The tables begin at another date, which windows see to.
    Beginning,
    /// Rows or values of before the change would be missing, or would be there too many.
    Mixture,
}

/// Stored rows that were chosen in another way than the pipeline chooses rows now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherRows {
    /// How they were chosen, as far as it differs.
    pub(crate) stored: String,
    /// How the pipeline chooses them now, as far as it differs.
    pub(crate) wanted: String,
    /// The pipeline that they belong to, where it is another one.
    pub(crate) owner: Option<String>,
}

impl QueryFingerprint {
    /// Adds what an option is set to. Values without an order are sorted.
    pub(super) fn add(&mut self, option: &str, values: &[String]) {
        let values: BTreeSet<String> = values.iter().map(|value| value.replace(';', "%3B")).collect();
        let text = values.into_iter().collect::<Vec<_>>().join(", ");
        self.entries.push((option.to_owned(), if text.is_empty() { "none".to_owned() } else { text }));
    }

    /// Adds a list of ids. Ids are values of cells, so that the text only tells whether two lists are the same.
    pub(super) fn add_ids(&mut self, option: &str, ids: &[String]) {
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let number = ids.len();
        let digest = fingerprint(&ids.into_iter().collect::<Vec<_>>().join(","));
        self.entries.push((option.to_owned(), format!("{number} ids ({digest})")));
    }

    /// Its text, of those options that `counts` is true for.
    fn text(&self, counts: impl Fn(&str) -> bool) -> String {
        let entries = self.entries.iter().filter(|(option, _)| counts(option));
        let entries: Vec<String> = entries.map(|(option, value)| format!("{option}: {value}")).collect();
        if entries.is_empty() { EVERYTHING.to_owned() } else { entries.join("; ") }
    }

    fn has(&self, option: &str) -> bool {
        self.get(option).is_some()
    }

    fn get(&self, option: &str) -> Option<&str> {
        self.entries.iter().find(|(name, _)| name == option).map(|(_, value)| value.as_str())
    }
}

impl Change {
    /// What a change of the option means in this report and mode.
    pub(crate) fn of(report: &Report, option: &ReportOption, mode: WriteMode) -> Self {
        let is_in_key = |column: &String| report.key.contains(column);
        let params = || option.params.iter().filter_map(|name| report.param(name));
        // A parameter that a column of the key repeats: each value of it has rows of its own.
        let is_repeated = |name: &String| {
            report.columns.iter().any(|field| field.bound.as_ref() == Some(name) && is_in_key(&field.name))
        };
        match option.kind {
            OptionKind::Ids | OptionKind::Duration => Self::Beside,
            OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd
                if option.params.iter().all(is_repeated) =>
            {
                Self::Beside
            }
            _ if report.watermark.as_ref().is_some_and(|watermark| watermark.option == option.name) => Self::Beginning,
            // How far each id was read is kept for each choice, so that what a wider one brings is read from the first row on.
            OptionKind::Choices
                if matches!(mode, WriteMode::Append | WriteMode::Merge)
                    && report.order.as_ref().is_some_and(|order| order.certain)
                    && params().all(|param| !param.filters.is_empty() && param.filters.iter().all(is_in_key)) =>
            {
                Self::Beside
            }
            _ => Self::Mixture,
        }
    }
}

impl ReportPlan {
    /// What the report is asked for, as the pipeline says it: the text that the commit record keeps.
    pub fn query_text(&self) -> String {
        self.fingerprint.text(|_| true)
    }

    /// What the rows of one id, or of a report without ids, are chosen by beside the window: how far an id was read holds for
    /// this text.
    pub fn chosen_by(&self) -> String {
        let counts = |name: &str| {
            self.report
                .option(name)
                .is_some_and(|option| option.kind != OptionKind::Ids && self.change_of(option) != Change::Beginning)
        };
        let periods = self.periods();
        if periods.is_empty() {
            self.fingerprint.text(counts)
        } else {
            format!("{} {periods}", self.fingerprint.text(counts))
        }
    }

    /// What ids that are done for these days are done for. A full refresh is another matter than what came before it.
    pub(crate) fn progress_of(&self, period: &[(String, String)]) -> String {
        let everything = if self.scope == Scope::Everything { " everything" } else { "" };
        fingerprint(&format!("{} {}{everything}", self.query_text(), joined(period)))
    }

    /// How far an earlier run had come with what this one asks for, be it for the days of that run.
    pub(crate) fn progress<'a>(&self, previous: &'a ReportState) -> Option<&'a Progress> {
        let written_before = || previous.query == self.former_text();
        previous.progress.as_ref().filter(|progress| match progress.of.as_str() {
            "" => written_before(),
            // Records of earlier versions tell no days: theirs are those of now, or of no use.
            of if progress.period.is_empty() => of == self.progress_of(&self.period()),
            of => self.finishes_periods() && of == self.progress_of(&progress.period),
        })
    }

    /// Whether a period that an earlier run had begun is finished before that of now. Where a run's rows take the place of
    /// what is stored, there is only that of now.
    pub(crate) fn finishes_periods(&self) -> bool {
        !matches!(self.ids, Ids::None) && matches!(self.write_mode, WriteMode::Append | WriteMode::Merge)
    }

    /// Those of the parameters that say for which days they ask.
    pub(crate) fn period_of(&self, params: &[(String, String)]) -> Vec<(String, String)> {
        let names = self.period_params();
        params.iter().filter(|(name, _)| names.contains(name)).cloned().collect()
    }

    fn period_params(&self) -> BTreeSet<&String> {
        let is_day = |option: &&ReportOption| {
            matches!(option.kind, OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd)
        };
        self.report.options.iter().filter(is_day).flat_map(|option| &option.params).collect()
    }

    /// Whether the run asks for anything else than the run before it.
    pub fn asks_otherwise(&self, previous: &ReportState) -> bool {
        let stored = StoredQuery::read(&previous.query);
        self.report.options.iter().any(|option| !self.is_same(option, &stored))
    }

    /// Whether the run asks for other rows than the run before it. Which of their parts are asked for chooses no rows.
    pub(crate) fn chooses_otherwise(&self, previous: &ReportState) -> bool {
        let stored = StoredQuery::read(&previous.query);
        let mut options = self.report.options.iter().filter(|option| option.kind != OptionKind::Subresources);
        options.any(|option| !self.is_same(option, &stored))
    }

    /// Why the run must not add to what is stored, or put its rows in the place of it: other rows were chosen.
    pub(crate) fn other_rows(&self, previous: &Commit, pipeline: &str) -> Option<OtherRows> {
        if self.scope == Scope::Everything { None } else { self.otherwise_stored(previous, pipeline) }
    }

    /// Stored rows that a full refresh leaves beside its own, although they were chosen in another way: append keeps all.
    pub(crate) fn kept_beside(&self, previous: &Commit, pipeline: &str) -> Option<OtherRows> {
        let appends = self.scope == Scope::Everything && self.write_mode == WriteMode::Append;
        self.otherwise_stored(previous, pipeline).filter(|_| appends)
    }

    /// What is stored that was chosen in another way, whatever the run is for.
    fn otherwise_stored(&self, previous: &Commit, pipeline: &str) -> Option<OtherRows> {
        let owner = (previous.pipeline != pipeline).then(|| previous.pipeline.clone());
        let counts = |option: &ReportOption| match (self.write_mode, &owner, self.change_of(option)) {
            // A snapshot may be made of something else by whoever made it, and by nobody else in passing.
            (WriteMode::Replace, None, _) => false,
            (WriteMode::Replace, Some(_), _) => true,
            (WriteMode::Partition, Some(_), _) if option.kind == OptionKind::Ids => true,
            (_, _, change) => change == Change::Mixture,
        };
        let stored = StoredQuery::read(&previous.state.query);
        let options = self.report.options.iter().filter(|option| counts(option));
        let differing: Vec<&ReportOption> = options.filter(|option| !self.is_same(option, &stored)).collect();
        if differing.is_empty() {
            return None;
        }
        let shown = |fingerprint: &QueryFingerprint| {
            let entry = |option: &&ReportOption| {
                format!("{}: {}", option.name, fingerprint.get(&option.name).unwrap_or("not set"))
            };
            differing.iter().map(entry).collect::<Vec<_>>().join("; ")
        };
        let stored = match &stored {
            StoredQuery::Written(fingerprint) => shown(fingerprint),
            StoredQuery::Former(_) | StoredQuery::Unknown => previous.state.query.clone(),
        };
        Some(OtherRows { stored, wanted: shown(&self.fingerprint), owner })
    }

    /// Whether the rows of before were read through a filter on what changes by a version that did not see who left.
    pub(crate) fn must_see_who_left(&self, previous: &ReportState) -> bool {
        !self.keeps.is_empty() && matches!(StoredQuery::read(&previous.query), StoredQuery::Former(_))
    }

    /// What is sent, with dates as they are written.
    pub(super) fn as_written(&self) -> String {
        let by_name = |option: &&ReportOption| match option.kind {
            OptionKind::Instant => true,
            OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd => self.finishes_periods(),
            _ => false,
        };
        let relative = |name: &str| {
            let mut options =
                self.report.options.iter().filter(by_name).filter(|option| self.fingerprint.has(&option.name));
            options.find(|option| option.params.iter().any(|param| param == name))
        };
        let pairs = self.params.iter().map(|(name, value)| {
            let written = relative(name).and_then(|option| self.fingerprint.get(&option.name));
            let mut values: Vec<&str> = value.split(',').collect();
            values.sort_unstable();
            format!("{name}={}", written.map_or_else(|| values.join(","), str::to_owned))
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    fn change_of(&self, option: &ReportOption) -> Change {
        match Change::of(&self.report, option, self.write_mode) {
            // Without a window the date is a filter as any other.
            Change::Beginning if !self.is_incremental() => Change::Mixture,
            Change::Mixture if self.chooses_partitions(option) => Change::Beside,
            change => change,
        }
    }

    /// Whether a date says which partitions are replaced: the others stay, and are complete.
    fn chooses_partitions(&self, option: &ReportOption) -> bool {
        let params = option.params.iter().filter_map(|name| self.report.param(name));
        let filters: Vec<&String> = params.flat_map(|param| &param.filters).collect();
        let is_partition = |column: &&String| self.partition_by.iter().any(|entry| entry.column() == column.as_str());
        self.write_mode == WriteMode::Partition
            && option.kind == OptionKind::Instant
            && !filters.is_empty()
            && filters.iter().all(is_partition)
    }

    /// Where a date says which partitions are replaced, the beginning of the partition that it lies in: of one that is replaced
    /// every row is asked for.
    pub(crate) fn partition_begin(&self, param: &str, at: DateTime<Utc>) -> DateTime<Utc> {
        let named = |option: &&ReportOption| option.params.iter().any(|name| name == param);
        if !self.report.options.iter().filter(named).any(|option| self.chooses_partitions(option)) {
            return at;
        }
        let day = at.date_naive();
        let begins = self.partition_by.iter().filter_map(|entry| match entry {
            PartitionBy::Year(_) => day.with_day(1)?.with_month(1),
            PartitionBy::Month(_) => day.with_day(1),
            PartitionBy::Day(_) => Some(day),
            PartitionBy::Column(_) | PartitionBy::Bucket { .. } => None,
        });
        begins.max().and_then(|day| day.and_hms_opt(0, 0, 0)).map_or(at, |begin| begin.and_utc())
    }

    /// The days that the report covers, resolved.
    fn periods(&self) -> String {
        joined(&self.period())
    }

    /// The same as parameters.
    pub(crate) fn period(&self) -> Vec<(String, String)> {
        self.period_of(&self.params)
    }

    /// Whether an option was set to the same when rows were stored, as far as the record tells.
    fn is_same(&self, option: &ReportOption, stored: &StoredQuery) -> bool {
        let wanted = self.fingerprint.get(&option.name);
        match stored {
            StoredQuery::Unknown => true,
            StoredQuery::Written(fingerprint) => fingerprint.get(&option.name) == wanted,
            StoredQuery::Former(params) => match option.kind {
                // Ids and periods are not in those records, or not as the pipeline wrote them.
                OptionKind::Ids
                | OptionKind::Duration
                | OptionKind::Day
                | OptionKind::RangeStart
                | OptionKind::RangeEnd => true,
                _ if self.change_of(option) == Change::Beginning => true,
                OptionKind::Instant => {
                    let sent = |params: &[(String, String)]| {
                        let value = params.iter().find(|(name, _)| option.params.contains(name));
                        value.map(|(_, value)| value.clone())
                    };
                    let is_relative = wanted.is_some_and(|written| written.contains(' ') || written == "today");
                    // It was resolved on its day, which nobody knows.
                    (is_relative && sent(params).is_some()) || sent(params) == sent(&self.params)
                }
                _ => {
                    let assumed = || option.params.iter().filter_map(|name| self.report.param(name)?.assumed.clone());
                    let sent = params.iter().find(|(name, _)| option.params.contains(name));
                    let values: Option<BTreeSet<String>> = match sent {
                        Some((_, value)) => Some(value.split(',').map(str::to_owned).collect()),
                        None if option.kind == OptionKind::Subresources => Some(["none".to_owned()].into()),
                        None => assumed().next().map(|value| [value].into()),
                    };
                    let wanted = wanted.map(|text| text.split(", ").map(str::to_owned).collect());
                    // Beside a parameter that stands alone, defaults are not in force.
                    values == wanted || (wanted.is_none() && option.kind == OptionKind::Subresources)
                }
            },
        }
    }

    /// The text that earlier versions kept: parameters as they were sent.
    fn former_text(&self) -> String {
        let pairs: Vec<String> = self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

fn joined(params: &[(String, String)]) -> String {
    params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The name of the crawl of an id for these days. No id that can be asked for has a line break.
pub(crate) fn crawl_of(id: &str, period: &[(String, String)]) -> String {
    if period.is_empty() {
        return id.to_owned();
    }
    let days: Vec<&str> = period.iter().map(|(_, value)| value.as_str()).collect();
    format!("{id}\n{}", days.join(" "))
}

/// What a record says that its rows were chosen by.
enum StoredQuery {
    /// Nothing: it was made without that, or has been lost.
    Unknown,
    /// The options, as this version writes them.
    Written(QueryFingerprint),
    /// Parameters as they were sent, of earlier versions.
    Former(Vec<(String, String)>),
}

impl StoredQuery {
    fn read(text: &str) -> Self {
        if text.is_empty() {
            return Self::Unknown;
        }
        if text == EVERYTHING {
            return Self::Written(QueryFingerprint::default());
        }
        let pairs = |between: &str, within: &str| {
            let pair = |pair: &str| pair.split_once(within).map(|(name, value)| (name.to_owned(), value.to_owned()));
            text.split(between).map(pair).collect::<Option<Vec<_>>>()
        };
        match pairs("; ", ": ") {
            Some(entries) => Self::Written(QueryFingerprint { entries }),
            None => pairs("&", "=").map_or(Self::Unknown, Self::Former),
        }
    }
}

#[cfg(test)]
mod tests;
