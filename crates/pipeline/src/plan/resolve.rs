//! One report resolved: from options to the parameters of its requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use ctct_catalog::{Meaning, OptionKind, Param, Report, ReportOption};
use ctct_load::WriteMode;

use super::{Ids, QueryFingerprint, ReportPlan, Scope};
use crate::document::dates::{When, wire};
use crate::document::error::ConfigError;
use crate::document::report::start_after_end;
use crate::document::{Credentials, OptionInForce, ReportConfig, Setting, SourceConfig};

/// Resolves one report at the moment `now`.
pub(super) fn report(
    config: &ReportConfig,
    source: &SourceConfig,
    now: DateTime<Utc>,
    zone: Tz,
) -> Result<ReportPlan, ConfigError> {
    let report = &config.report;
    let alone = alone(config);
    let watermark = report.watermark.as_ref().map(|watermark| watermark.option.as_str());
    let mut resolution = Resolution {
        now,
        zone,
        watermark,
        report,
        merges: config.write_mode == WriteMode::Merge,
        ids: Ids::None,
        begins: None,
        params: BTreeMap::new(),
        keeps: Vec::new(),
        fingerprint: QueryFingerprint::default(),
        resolved: Vec::new(),
    };
    for declared in &report.options {
        let Some(option) = config.option(&declared.name) else {
            let assumed = declared.params.iter().filter_map(|name| report.param(name)?.assumed.clone());
            let assumed: Vec<String> = assumed.collect();
            if !assumed.is_empty() {
                resolution.fingerprint.add(&declared.name, &assumed);
            }
            continue;
        };
        // Beside an option that the API takes alone, defaults are not in force.
        if alone.is_none_or(|alone| alone.name == option.name || declared.kind == OptionKind::Ids) {
            resolution.add(option, declared);
        }
    }
    range_is_in_order(config, now, zone)?;
    Ok(ReportPlan {
        report: Arc::clone(report),
        params: params(report, &resolution.params, alone.is_some()),
        fingerprint: resolution.fingerprint,
        keeps: resolution.keeps,
        source: label(source, now),
        scope: Scope::Live,
        since: resolution.begins.map(|begins| begins.start(now, zone)),
        begins: resolution.begins,
        ids: resolution.ids,
        write_mode: config.write_mode,
        partition_by: config.partition_by.clone(),
        delivery: config.delivery,
        resolved: resolution.resolved,
        warnings: Vec::new(),
    })
}

/// The option that the pipeline sets and that the API takes alone.
fn alone(config: &ReportConfig) -> Option<&ReportOption> {
    let written = config.options.iter().filter(|option| option.node.is_some());
    written
        .filter_map(|option| config.report.option(&option.name))
        .find(|declared| declared.params.iter().any(|name| config.report.param(name).is_some_and(|param| param.alone)))
}

/// Tells sources apart. The embedded API has another port in each run, and the same account for the same seed.
fn label(source: &SourceConfig, now: DateTime<Utc>) -> String {
    match (&source.credentials, &source.base_url) {
        (Credentials::Sandbox(sandbox), _) => {
            let config = sandbox.config(now);
            let (seed, contacts, lists, campaigns) = (config.seed, config.contacts, config.lists, config.campaigns);
            format!("the embedded API: seed {seed}, {contacts} contacts, {lists} lists, {campaigns} campaigns")
        }
        (_, Some(url)) => url.to_string(),
        (_, None) => "the vendor".to_owned(),
    }
}

/// What options set and what the catalog sends by itself, in the order of the catalog.
fn params(report: &Report, set: &BTreeMap<&str, String>, alone: bool) -> Vec<(String, String)> {
    let pairs = report.params.iter().filter_map(|param| {
        let own = param.send.clone().filter(|_| !alone);
        let value = set.get(param.name.as_str()).cloned().or(own)?;
        Some((param.name.clone(), value))
    });
    pairs.collect()
}

/// What the options of one report come to.
struct Resolution<'a> {
    now: DateTime<Utc>,
    zone: Tz,
    /// The option that says from when the report is read.
    watermark: Option<&'a str>,
    report: &'a Report,
    /// Whether rows are merged by key.
    merges: bool,
    ids: Ids,
    begins: Option<When>,
    params: BTreeMap<&'a str, String>,
    keeps: Vec<Meaning>,
    fingerprint: QueryFingerprint,
    resolved: Vec<(String, String)>,
}

impl<'a> Resolution<'a> {
    fn add(&mut self, option: &OptionInForce, declared: &'a ReportOption) {
        let param = declared.params.first().map(String::as_str).unwrap_or_default();
        match &option.setting {
            Setting::From(source) => self.fingerprint.add(&option.name, &[format!("from {}", source.report)]),
            Setting::Values(ids) if declared.kind == OptionKind::Ids => self.fingerprint.add_ids(&option.name, ids),
            Setting::Values(values) => self.fingerprint.add(&option.name, values),
            Setting::When(when) => self.fingerprint.add(&option.name, &[when.to_string()]),
            Setting::Duration(period) => self.fingerprint.add(&option.name, &[period.name().to_owned()]),
        }
        let text = match &option.setting {
            Setting::From(source) => {
                self.ids = Ids::From { param: param.to_owned(), source: source.clone() };
                format!("every {} of {}", source.column, source.report)
            }
            Setting::Values(ids) if declared.kind == OptionKind::Ids => {
                self.ids = Ids::List { param: param.to_owned(), ids: ids.clone() };
                if let [id] = ids.as_slice() { id.clone() } else { format!("{} ids", ids.len()) }
            }
            Setting::Values(values) if values.is_empty() => "none".to_owned(),
            Setting::Values(values) => {
                let kept = self.report.param(param).and_then(|param| self.kept_here(param, values));
                if let Some((everything, keeps)) = kept {
                    self.params.insert(param, everything.to_owned());
                    self.keeps = keeps;
                    format!("{}; asks for {everything} and keeps these", values.join(", "))
                } else {
                    self.params.insert(param, values.join(","));
                    values.join(", ")
                }
            }
            Setting::When(when) => self.moment(*when, declared),
            Setting::Duration(period) => period.name().to_owned(),
        };
        let default = if option.node.is_none() { " (default)" } else { "" };
        self.resolved.push((option.name.clone(), format!("{text}{default}")));
    }

    /// The value that asks for every row, and what the rows are that stay: where rows are merged, one that no longer fits is
    /// to leave the tables, and no response to the narrower request would tell.
    fn kept_here<'p>(&self, param: &'p Param, values: &[String]) -> Option<(&'p str, Vec<Meaning>)> {
        let (everything, _) = param.means.iter().find(|(_, meaning)| meaning.is_empty())?;
        let narrows = self.merges && !values.contains(everything);
        let keeps = || values.iter().filter_map(|value| param.means.get(value).cloned()).collect();
        narrows.then(|| (everything.as_str(), keeps()))
    }

    fn moment(&mut self, when: When, declared: &'a ReportOption) -> String {
        let (start, end) = (wire(when.start(self.now, self.zone)), wire(when.end(self.now, self.zone)));
        let (values, text) = match declared.kind {
            OptionKind::Day => (vec![start.clone(), end.clone()], format!("{start} to {end}")),
            OptionKind::RangeEnd => (vec![end.clone()], end),
            _ => (vec![start.clone()], start),
        };
        if self.watermark == Some(declared.name.as_str()) {
            self.begins = Some(when);
            return match when {
                When::Timestamp(_) => text,
                When::Date(_) | When::DaysBack(_) => format!("{text} ({when})"),
            };
        }
        self.params.extend(declared.params.iter().map(String::as_str).zip(values));
        match when {
            When::Timestamp(_) => text,
            When::Date(_) | When::DaysBack(_) => format!("{text} ({when})"),
        }
    }
}

fn range_is_in_order(config: &ReportConfig, now: DateTime<Utc>, zone: Tz) -> Result<(), ConfigError> {
    let bound = |kind: OptionKind| {
        let declared = config.report.options.iter().find(|option| option.kind == kind)?;
        match config.option(&declared.name) {
            Some(OptionInForce { name, setting: Setting::When(when), node: Some(node) }) => Some((name, *when, node)),
            _ => None,
        }
    };
    let (Some((start, first, node)), Some((end, last, _))) =
        (bound(OptionKind::RangeStart), bound(OptionKind::RangeEnd))
    else {
        return Ok(());
    };
    if first.start(now, zone) <= last.end(now, zone) {
        return Ok(());
    }
    let day = |when: When| match when {
        When::DaysBack(_) => format!("{when}: {}", when.day(now, zone)),
        When::Date(_) | When::Timestamp(_) => when.to_string(),
    };
    Err(start_after_end(node, start, end, &day(first), &day(last)))
}
