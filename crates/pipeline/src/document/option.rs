//! The options of a report, each in every form that its kind takes. What the options are, which parameter they set and
//! which values that takes all comes from the catalog.

use std::collections::HashSet;

use chrono::NaiveDateTime;
use ctct_catalog::{IdSource, OptionKind, Param, ParamType, Report, ReportOption};
use uuid::Uuid;

use super::Environment;
use super::fields::{Text, count, expected, mapping, not_in_list, text, text_or_number, unknown_key};
use crate::document::dates::{MAX_DAYS_BACK, When};
use crate::document::error::ConfigError;
use crate::document::node::{Node, Scalar, ScalarKind, Value};

/// The word for everything.
const ALL: &str = "all";
/// The word that asks for no sub-resource.
const NONE: &str = "none";

/// An option that is in force, because the pipeline says so or by default.
#[derive(Debug, Clone)]
pub struct OptionInForce {
    /// Name of the option.
    pub name: String,
    /// What it is set to.
    pub setting: Setting,
    /// Where the pipeline sets it; absent where the default holds.
    pub(crate) node: Option<Node>,
}

/// What a pipeline says about one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// Values, in the order of the file; none at all where the option asks for none.
    Values(Vec<String>),
    /// The ids of a report that another report read.
    From(IdSource),
    /// A moment.
    When(When),
    /// One day or a range of days.
    Duration(Period),
}

/// What period a report covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// One day.
    SingleDate,
    /// From a first to a last day.
    DateRange,
}

impl Period {
    /// Both of them.
    pub(crate) const ALL: [Self; 2] = [Self::SingleDate, Self::DateRange];

    /// Its name in a pipeline.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleDate => "single_date",
            Self::DateRange => "date_range",
        }
    }
}

/// Reads one option.
pub(crate) fn setting(
    node: &Node,
    option: &ReportOption,
    report: &Report,
    environment: &Environment,
) -> Result<Setting, ConfigError> {
    let form = Form { node, option, param: option.params.first().and_then(|name| report.param(name)), environment };
    match option.kind {
        OptionKind::Ids => form.ids(),
        OptionKind::Value => form.value(node).map(|value| Setting::Values(vec![value])),
        OptionKind::Values => form.list(|node| form.value(node)),
        OptionKind::Choice => form.pick(node).map(|value| Setting::Values(vec![value])),
        OptionKind::Choices => form.list(|node| form.pick(node)).and_then(|values| form.all_is_alone(values)),
        OptionKind::Subresources => form.subresources(),
        OptionKind::Duration => form.duration(),
        OptionKind::Instant => form.when(true),
        OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd => form.when(false),
    }
}

/// The setting in force where the pipeline is silent; nothing where the option has no default.
pub(crate) fn default_setting(option: &ReportOption, report: &Report) -> Option<Setting> {
    if option.default.is_empty() {
        return None;
    }
    let values = match (option.kind, option.default.as_slice()) {
        (OptionKind::Subresources, [word]) if word == NONE => Vec::new(),
        (OptionKind::Subresources, [word]) if word == ALL => {
            let param = option.params.first().and_then(|name| report.param(name));
            param.map(|param| param.values.clone()).unwrap_or_default()
        }
        (_, values) => values.to_vec(),
    };
    Some(Setting::Values(values))
}

/// One option while it is read.
struct Form<'a> {
    node: &'a Node,
    option: &'a ReportOption,
    /// The parameter that it sets; of a day, which sets two, the first.
    param: Option<&'a Param>,
    environment: &'a Environment,
}

impl Form<'_> {
    fn values(&self) -> &[String] {
        self.param.map_or(&[], |param| &param.values)
    }

    /// One id, a list of ids, or `{from: REPORT}`.
    fn ids(&self) -> Result<Setting, ConfigError> {
        let Some(report) = self.node.get("from") else { return self.list(|node| self.value(node)) };
        if let Some(other) = mapping(self.node)?.iter().find(|entry| entry.key != "from") {
            return Err(unknown_key(other, &["from"]));
        }
        let name = text(report, self.environment)?;
        match &self.option.from {
            Some(source) if source.report == name.value => Ok(Setting::From(source.clone())),
            Some(source) => {
                Err(ConfigError::at(report, format!("`{}` cannot be taken from {}", self.option.name, name.shown()))
                    .help(format!("write {{from: {}}}", source.report)))
            }
            None => Err(ConfigError::at(report, format!("`{}` cannot be taken from a report", self.option.name))),
        }
    }

    /// Any value that the parameter's type and bounds allow.
    fn value(&self, node: &Node) -> Result<String, ConfigError> {
        let value = text_or_number(node, self.environment)?;
        let Some(param) = self.param else { return Ok(value.value) };
        if param.format.as_deref() == Some("uuid") && !is_uuid(&value.value) {
            return Err(ConfigError::at(node, value.named("invalid id"))
                .help("use an id such as 1618ae62-4752-11e9-9c8a-fa163e6b01c1"));
        }
        match param.kind {
            ParamType::Integer => integer(node, &value, param)?,
            // A comma would make two values of one on the wire.
            ParamType::Csv if value.value.contains(',') => {
                return Err(
                    ConfigError::at(node, "commas are not allowed in a value").help("write a list: [one, other]")
                );
            }
            ParamType::Csv | ParamType::String if value.value.is_empty() => {
                return Err(ConfigError::at(node, "the value is empty"));
            }
            _ => {}
        }
        Ok(value.value)
    }

    /// One of the parameter's values.
    fn pick(&self, node: &Node) -> Result<String, ConfigError> {
        let value = text(node, self.environment)?;
        if self.values().contains(&value.value) {
            return Ok(value.value);
        }
        Err(not_in_list(node, &value, self.values()))
    }

    /// One item, or a list of different items, no more than the parameter takes.
    fn list(&self, item: impl Fn(&Node) -> Result<String, ConfigError>) -> Result<Setting, ConfigError> {
        let Value::Sequence(nodes) = &self.node.value else {
            return item(self.node).map(|one| Setting::Values(vec![one]));
        };
        if nodes.is_empty() {
            return Err(ConfigError::at(self.node, "the list is empty").help(self.option.doc.as_str()));
        }
        let mut seen = HashSet::new();
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            let value = item(node)?;
            if !seen.insert(value.clone()) {
                return Err(ConfigError::at(node, "duplicate value"));
            }
            values.push(value);
        }
        match self.param.and_then(|param| param.max_items) {
            Some(most) if values.len() > most => Err(ConfigError::at(
                self.node,
                format!("too many values: {}, and the API takes at most {most}", values.len()),
            )),
            _ => Ok(Setting::Values(values)),
        }
    }

    /// `all`, `none`, or several.
    fn subresources(&self) -> Result<Setting, ConfigError> {
        let words: Vec<&str> = [ALL, NONE].into_iter().chain(self.values().iter().map(String::as_str)).collect();
        let listed = self.list(|node| {
            let word = text(node, self.environment)?;
            if words.contains(&word.value.as_str()) { Ok(word.value) } else { Err(not_in_list(node, &word, &words)) }
        })?;
        let Setting::Values(values) = self.all_is_alone(listed)? else { return Ok(Setting::Values(Vec::new())) };
        Ok(Setting::Values(match values.as_slice() {
            [word] if word == ALL => self.values().to_vec(),
            [word] if word == NONE => Vec::new(),
            _ => values,
        }))
    }

    /// `all` and `none` contradict all other values.
    fn all_is_alone(&self, setting: Setting) -> Result<Setting, ConfigError> {
        let (Setting::Values(values), Value::Sequence(nodes)) = (&setting, &self.node.value) else {
            return Ok(setting);
        };
        let word = values.iter().position(|value| value == ALL || value == NONE).filter(|_| values.len() > 1);
        match word.and_then(|index| Some((values.get(index)?, nodes.get(index)?))) {
            Some((word, node)) => Err(ConfigError::at(node, format!("`{word}` cannot be combined with other values"))
                .help(format!("write `{}: {word}`, or remove `{word}`", self.option.name))),
            None => Ok(setting),
        }
    }

    fn duration(&self) -> Result<Setting, ConfigError> {
        let name = text(self.node, self.environment)?;
        let period = Period::ALL.into_iter().find(|period| period.name() == name.value);
        period.map(Setting::Duration).ok_or_else(|| not_in_list(self.node, &name, &Period::ALL.map(Period::name)))
    }

    /// A date, `{days_back: N}`, and where `timestamps` is set a timestamp.
    fn when(&self, timestamps: bool) -> Result<Setting, ConfigError> {
        let wanted = if timestamps {
            "use a date such as 2026-01-31, a timestamp such as 2026-01-31T08:00:00Z, or {days_back: N}"
        } else {
            "use a date such as 2026-01-31, or {days_back: N}"
        };
        if let (Value::Mapping(entries), None) = (&self.node.value, self.node.get("env")) {
            let [entry] = entries.as_slice() else { return Err(expected(self.node, "a date").help(wanted)) };
            if entry.key != "days_back" {
                return Err(unknown_key(entry, &["days_back"]));
            }
            let days = count(&entry.value, 0, MAX_DAYS_BACK)?;
            return Ok(Setting::When(When::DaysBack(u32::try_from(days).unwrap_or(u32::MAX))));
        }
        if !matches!(self.node.value, Value::Scalar(Scalar { kind: ScalarKind::Text, .. }) | Value::Mapping(_)) {
            return Err(expected(self.node, "a date").help(wanted));
        }
        let written = text(self.node, self.environment)?;
        match When::parse(&written.value) {
            Some(When::Timestamp(_)) if !timestamps => {
                Err(ConfigError::at(self.node, format!("`{}` takes a date without a time", self.option.name))
                    .help(wanted))
            }
            Some(when) => Ok(Setting::When(when)),
            None if NaiveDateTime::parse_from_str(&written.value, "%Y-%m-%dT%H:%M:%S%.f").is_ok() => {
                Err(ConfigError::at(self.node, format!("{} has no offset", written.named("the timestamp")))
                    .help("add `Z` for UTC, or an offset such as `+02:00`"))
            }
            None => {
                let dashes = written.value.match_indices('-').map(|(index, _)| index).eq([4, 7]);
                let message = if dashes && written.value.len() == 10 {
                    format!("{} does not exist", written.named("the date"))
                } else {
                    written.named("invalid date")
                };
                Err(ConfigError::at(self.node, message).help(wanted))
            }
        }
    }
}

fn integer(node: &Node, value: &Text, param: &Param) -> Result<(), ConfigError> {
    let (min, max) = (param.min.unwrap_or(i64::MIN), param.max.unwrap_or(i64::MAX));
    match value.value.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        Ok(_) => {
            let range = param.max.map_or_else(|| format!("{min} or more"), |max| format!("from {min} to {max}"));
            Err(ConfigError::at(node, format!("{} is out of range", value.shown())).help(range))
        }
        Err(_) => Err(ConfigError::at(node, value.named("invalid number")).help("use a whole number")),
    }
}

/// The one spelling that the API uses: 36 characters with hyphens.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}
