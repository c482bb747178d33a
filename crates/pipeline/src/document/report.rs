//! One entry of `reports`: which report, how it is written, and its options, checked alone and against each other.

use std::sync::Arc;

use ctct_catalog::{Catalog, OptionKind, Report, ReportOption};
use ctct_load::{LoadError, PartitionBy, WriteMode};

use super::delivery::Delivery;
use super::fields::{Decoder, expected, mapping, suggestion, text};
use super::keys::REPORT;
use super::option::{OptionInForce, Period, Setting, default_setting, setting};
use super::write::{partition_by, write_mode};
use crate::document::error::ConfigError;
use crate::document::node::{Entry, Node, Value};

/// A report as the pipeline wants it.
#[derive(Debug, Clone)]
pub struct ReportConfig {
    /// What the API offers.
    pub report: Arc<Report>,
    /// How its rows meet those that are there.
    pub write_mode: WriteMode,
    /// Folders that its rows are split into, from the outside in.
    pub partition_by: Vec<PartitionBy>,
    /// How often rows are read again, and what is kept beside the tables.
    pub delivery: Delivery,
    /// One entry for each option that is in force, in the order of the catalog.
    pub options: Vec<OptionInForce>,
}

impl ReportConfig {
    /// The option of this name, where it is in force.
    pub fn option(&self, name: &str) -> Option<&OptionInForce> {
        self.options.iter().find(|option| option.name == name)
    }

    pub(crate) fn decode(node: &Node, catalog: &Catalog, decoder: &mut Decoder<'_>) -> Option<Self> {
        let entries = decoder.keep(mapping(node).map_err(|error| error.help("write `- report: NAME`")))?;
        let Some(name) = node.get("report") else {
            decoder.errors.push(ConfigError::at(node, "`report` is missing").help("write `- report: NAME`"));
            return None;
        };
        let report = known_report(name, catalog, decoder)?;
        for entry in entries {
            if !REPORT.iter().any(|key| key.name == entry.key) && report.option(&entry.key).is_none() {
                decoder.errors.push(foreign_key(entry, &report, catalog));
            }
        }
        let before = decoder.errors.len();
        let options = options(node, &report, decoder);
        if decoder.errors.len() == before {
            Agreement { node, report: &report, options: &options }.check(decoder);
        }
        let mode = write_mode(node.get("write_mode"), decoder);
        let partitions = node.get("partition_by").map(|node| partition_by(node, &report, decoder)).unwrap_or_default();
        if mode == Some(WriteMode::Partition) && node.get("partition_by").is_none() {
            let at = node.get("write_mode").unwrap_or(node);
            decoder.errors.push(
                ConfigError::at(at, "`write_mode: partition` needs `partition_by`")
                    .help("say which partitions to replace, for example `partition_by: [{month: created_at}]`"),
            );
        }
        if let (Some(mode @ (WriteMode::Merge | WriteMode::Partition)), Some(at)) = (mode, node.get("partition_by")) {
            decoder.errors.extend(partitions.iter().filter_map(|partition| moving(at, partition, mode, &report)));
        }
        // What the writing side would refuse, in its own words.
        if let (Some(mode), Some(at)) = (mode, node.get("partition_by"))
            && decoder.errors.len() == before
            && let Err(LoadError::Partition { partition, reason, .. }) =
                PartitionBy::validate_all(&partitions, mode, &report)
        {
            decoder.errors.push(ConfigError::at(at, format!("cannot partition by {partition}: {reason}")));
        }
        if let Some(mode) = mode {
            decoder.errors.extend(options.iter().filter_map(|option| leaving(option, mode, &report)));
        }
        let delivery = Delivery::decode(node, &report, mode, &options, decoder);
        Some(Self { report, write_mode: mode?, partition_by: partitions, delivery, options })
    }
}

/// Why rows cannot be partitioned this way where only some partitions are written: a row whose partition changed would be in
/// two.
fn moving(at: &Node, partition: &PartitionBy, mode: WriteMode, report: &Report) -> Option<ConfigError> {
    let column = partition.column();
    if report.is_constant(column) {
        return None;
    }
    let names = report.tables().first().into_iter().flat_map(|table| table.schema.fields()).map(|field| field.name());
    let constant: Vec<String> = names.filter(|name| report.is_constant(name)).map(|name| format!("`{name}`")).collect();
    let message = match mode {
        WriteMode::Merge => format!("`{column}` can change, so rows that are merged cannot be partitioned by it"),
        _ => format!(
            "`{column}` can change, so `write_mode: partition` cannot go by it: the row would be in two partitions"
        ),
    };
    Some(ConfigError::at(at, message).help(format!("columns that never change: {}", constant.join(", "))))
}

/// Why a filter on what changes cannot be combined with the write mode: nothing would tell which rows no longer match it.
fn leaving(option: &OptionInForce, mode: WriteMode, report: &Report) -> Option<ConfigError> {
    let (declared, at) = (report.option(&option.name)?, option.node.as_ref()?);
    let is_window = report.watermark.as_ref().is_some_and(|watermark| watermark.option == option.name);
    let param = declared
        .params
        .iter()
        .filter_map(|name| report.param(name))
        .find(|param| report.filters_what_changes(param))?;
    let any_row = |value: &String| param.means.get(value).is_some_and(ctct_catalog::Meaning::is_empty);
    let chooses_all = matches!(&option.setting, Setting::Values(values) if values.iter().any(any_row));
    let merges_here = mode == WriteMode::Merge && !param.means.is_empty();
    if is_window || chooses_all || merges_here || mode == WriteMode::Replace {
        return None;
    }
    let (name, mode) = (&option.name, mode.name());
    let error = ConfigError::at(
        at,
        format!("`{name}` cannot be combined with `write_mode: {mode}`: rows that no longer match it would stay"),
    );
    Some(error.help(if param.means.is_empty() {
        "write `write_mode: replace`, which reads all that match in every run"
    } else {
        "write `write_mode: merge`, which removes rows that no longer match, or `write_mode: replace`, which reads all that \
         match in every run"
    }))
}

fn known_report(node: &Node, catalog: &Catalog, decoder: &mut Decoder<'_>) -> Option<Arc<Report>> {
    let report = text(node, decoder.environment).and_then(|name| {
        catalog.get(&name.value).map(Arc::clone).ok_or_else(|| {
            let names: Vec<&str> = catalog.reports().map(|report| report.name.as_str()).collect();
            ConfigError::at(node, name.named("unknown report")).help(suggestion(&name.value, &names))
        })
    });
    decoder.keep(report)
}

/// Why a key is not allowed in this report: it has no effect, belongs to another one, or is misspelt.
fn foreign_key(entry: &Entry, report: &Report, catalog: &Catalog) -> ConfigError {
    let error = |message: String| ConfigError::new(Some(entry.span), &entry.value.path, message);
    if let Some(ignored) = report.ignored.iter().find(|ignored| ignored.name == entry.key) {
        return error(format!("`{}` has no effect on `{}`", entry.key, report.name)).help(ignored.why.as_str());
    }
    let owners: Vec<String> = catalog
        .reports()
        .filter(|other| other.option(&entry.key).is_some())
        .map(|other| format!("`{}`", other.name))
        .collect();
    let options = report.options.iter().map(|option| option.name.as_str());
    if owners.is_empty() {
        let keys: Vec<&str> = options.chain(REPORT.iter().map(|key| key.name)).collect();
        return error(format!("unknown key `{}`", entry.key)).help(suggestion(&entry.key, &keys));
    }
    let takes = options.collect::<Vec<_>>().join(", ");
    let help = if takes.is_empty() { "no options".to_owned() } else { takes };
    let help = format!("`{}` takes: {help}", report.name);
    error(format!("`{}` belongs to {}, not to `{}`", entry.key, owners.join(" and "), report.name)).help(help)
}

fn options(node: &Node, report: &Report, decoder: &mut Decoder<'_>) -> Vec<OptionInForce> {
    let mut options = Vec::new();
    for option in &report.options {
        let value = node.get(&option.name);
        let setting = match value {
            Some(value) => decoder.keep(setting(value, option, report, decoder.environment)),
            None => default_setting(option, report),
        };
        if let Some(setting) = setting {
            options.push(OptionInForce { name: option.name.clone(), setting, node: value.cloned() });
        } else if option.required && value.is_none() {
            let message = format!("`{}` needs `{}`", report.name, option.name);
            decoder.errors.push(ConfigError::at(node, message).help(option.doc.as_str()));
        }
    }
    options
}

/// What the options of one report must agree on.
struct Agreement<'a> {
    node: &'a Node,
    report: &'a Report,
    options: &'a [OptionInForce],
}

impl Agreement<'_> {
    fn check(&self, decoder: &mut Decoder<'_>) {
        self.period(decoder);
        self.order(decoder);
        self.alone(decoder);
    }

    fn declared(&self, kind: OptionKind) -> Option<&ReportOption> {
        self.report.options.iter().find(|option| option.kind == kind)
    }

    /// The value of an option, where the pipeline sets it.
    fn written(&self, option: &ReportOption) -> Option<&Node> {
        self.node.get(&option.name)
    }

    /// A single date wants the one day, a range both ends, and neither wants the other's.
    fn period(&self, decoder: &mut Decoder<'_>) {
        let Some(duration) = self.declared(OptionKind::Duration) else { return };
        let Some(at) = self.written(duration) else { return };
        let chosen = self.options.iter().find_map(|option| match option.setting {
            Setting::Duration(period) => Some(period),
            _ => None,
        });
        let Some(chosen) = chosen else { return };
        for option in &self.report.options {
            let belongs = match option.kind {
                OptionKind::Day => Period::SingleDate,
                OptionKind::RangeStart | OptionKind::RangeEnd => Period::DateRange,
                _ => continue,
            };
            let form = |period: Period| format!("`{}: {}`", duration.name, period.name());
            match self.written(option) {
                None if belongs == chosen => {
                    let message = format!("{} needs `{}`", form(chosen), option.name);
                    decoder.errors.push(ConfigError::at(at, message).help(option.doc.as_str()));
                }
                Some(node) if belongs != chosen => {
                    let message =
                        format!("`{}` belongs to {}, and this is {}", option.name, form(belongs), form(chosen));
                    decoder.errors.push(ConfigError::at(node, message).help("keep one of the two forms"));
                }
                _ => {}
            }
        }
    }

    /// A range must not end before it starts. What depends on the day of the run is checked by the plan.
    fn order(&self, decoder: &mut Decoder<'_>) {
        let (Some(start), Some(end)) = (self.declared(OptionKind::RangeStart), self.declared(OptionKind::RangeEnd))
        else {
            return;
        };
        let when = |option: &ReportOption| {
            self.options.iter().find(|set| set.name == option.name).and_then(|set| match set.setting {
                Setting::When(when) => Some(when),
                _ => None,
            })
        };
        if let (Some(first), Some(last), Some(node)) = (when(start), when(end), self.written(start))
            && first.known_order(last) == Some(std::cmp::Ordering::Greater)
        {
            decoder.errors.push(start_after_end(node, &start.name, &end.name, &first.to_string(), &last.to_string()));
        }
    }

    /// A parameter that the API takes alone cannot be combined with another filter.
    fn alone(&self, decoder: &mut Decoder<'_>) {
        let is_alone = |option: &&ReportOption| {
            option.params.iter().any(|name| self.report.param(name).is_some_and(|param| param.alone))
        };
        let Some(alone) = self.report.options.iter().filter(is_alone).find(|option| self.written(option).is_some())
        else {
            return;
        };
        for option in self.report.options.iter().filter(|option| option.name != alone.name) {
            if let (Some(node), false) = (self.written(option), option.kind == OptionKind::Ids) {
                let message = format!("`{}` cannot be combined with `{}`", option.name, alone.name);
                decoder.errors.push(ConfigError::at(node, message).help(alone.doc.as_str()));
            }
        }
    }
}

/// The error of a range that ends before it starts.
pub(crate) fn start_after_end(node: &Node, start: &str, end: &str, first: &str, last: &str) -> ConfigError {
    ConfigError::at(node, format!("`{start}` ({first}) is after `{end}` ({last})")).help("swap the two")
}

/// The entries of `reports`; a report is allowed once, since its tables and its commit log are one.
pub(crate) fn reports(node: &Node, catalog: &Catalog, decoder: &mut Decoder<'_>) -> Vec<ReportConfig> {
    let Value::Sequence(items) = &node.value else {
        decoder.errors.push(expected(node, "a list").help("write `- report: NAME` for each report"));
        return Vec::new();
    };
    if items.is_empty() {
        decoder.errors.push(ConfigError::at(node, "`reports` is empty").help("write `- report: NAME` for each report"));
    }
    let mut reports: Vec<ReportConfig> = Vec::new();
    for item in items {
        let Some(config) = ReportConfig::decode(item, catalog, decoder) else { continue };
        if reports.iter().any(|other| other.report.name == config.report.name) {
            let at = item.get("report").unwrap_or(item);
            let message = format!("duplicate report `{}`", config.report.name);
            decoder.errors.push(
                ConfigError::at(at, message)
                    .help("a run writes each table once: merge the two entries, or use two pipelines"),
            );
        } else {
            reports.push(config);
        }
    }
    reports
}
