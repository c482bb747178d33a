//! `history`, `overlap`, `reconcile`, `check_count`, `keep_raw`, `max_rejected` and `max_removed`: how a report is read again
//! from run to run, how the read is checked, and what is kept beside its tables. What would have no effect is refused.

use chrono::TimeDelta;
use ctct_catalog::{OptionKind, Report};
use ctct_load::WriteMode;

use super::fields::{Decoder, text};
use super::keys::{RECONCILE, REPORT};
use super::option::{OptionInForce, Setting};
use super::schedule::every;
use crate::document::error::ConfigError;
use crate::document::node::Node;

/// Rows may show up in the API some minutes after the time that they carry.
const DEFAULT_OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// The same for events.
const EVENTS_OVERLAP: TimeDelta = TimeDelta::hours(2);

/// How a report is read again from run to run, and what is kept beside its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Whether a merge keeps replaced versions, with the span of time that they held.
    pub history: bool,
    /// How far before the last watermark a run reads again.
    pub overlap: TimeDelta,
    /// How often everything is read, to mark what was deleted.
    pub reconcile: Option<TimeDelta>,
    /// Whether a read of everything is compared with the API's count of rows.
    pub check_count: bool,
    /// Whether the API's responses are kept for good.
    pub keep_raw: bool,
    /// The share of records that may be dead letters; absent for the default.
    pub max_rejected: Option<Percent>,
    /// The share of stored rows that one run may remove; absent for the default.
    pub max_removed: Option<Percent>,
}

/// How far back a report is read again where the pipeline does not say.
fn default_overlap(report: &Report) -> TimeDelta {
    // An open or a click shows up to an hour late, with the time at which it was.
    let events = report.watermark.is_none() && report.order.as_ref().is_some_and(|order| order.certain);
    if events { EVENTS_OVERLAP } else { DEFAULT_OVERLAP }
}

/// A share in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u32);

impl Percent {
    /// All of it, in these units.
    const ALL: u32 = 10_000;

    /// Reads `5%` or `2.5%`.
    pub fn parse(text: &str) -> Option<Self> {
        let (integer, fraction) = text.strip_suffix('%')?.split_once('.').unwrap_or((text.strip_suffix('%')?, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if integer.is_empty() || integer.len() > 3 || fraction.len() > 2 || !digits(integer) || !digits(fraction) {
            return None;
        }
        let hundredths = integer.parse::<u32>().ok()? * 100 + format!("{fraction:0<2}").parse::<u32>().ok()?;
        (hundredths <= Self::ALL).then_some(Self(hundredths))
    }

    /// From 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(Self::ALL)
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            history: false,
            overlap: DEFAULT_OVERLAP,
            reconcile: None,
            check_count: true,
            keep_raw: false,
            max_rejected: None,
            max_removed: None,
        }
    }
}

impl Delivery {
    /// Reads the keys of a report's entry. `mode` is absent where it is wrong itself.
    pub(crate) fn decode(
        node: &Node,
        report: &Report,
        mode: Option<WriteMode>,
        options: &[OptionInForce],
        decoder: &mut Decoder<'_>,
    ) -> Self {
        let default = Self::default();
        // Keys were checked already; this only reads them.
        let errors = decoder.errors.len();
        let Some(fields) = decoder.fields(node, REPORT) else { return default };
        decoder.errors.truncate(errors);
        let history = fields.flag("history", decoder).unwrap_or_default();
        let overlap = fields.get("overlap").and_then(|node| span(node, decoder));
        let reconcile = fields.get("reconcile").and_then(|node| {
            let fields = decoder.fields(node, RECONCILE)?;
            span(fields.get("every")?, decoder)
        });
        let keep_raw = fields.flag("keep_raw", decoder).unwrap_or_default();
        if let (Some(at), Some(false)) = (fields.get("history"), mode.map(|mode| mode == WriteMode::Merge)) {
            decoder.errors.push(
                ConfigError::at(at, "`history` needs `write_mode: merge`").help(
                    "in the other modes, append keeps every version, and replace and partition keep the last one",
                ),
            );
        }
        if let (Some(at), false) = (fields.get("overlap"), looks_back(report)) {
            let message = format!("`overlap` has no effect on `{}`", report.name);
            decoder.errors.push(ConfigError::at(at, message).help("every run reads all of it"));
        }
        if let Some(at) = fields.get("reconcile") {
            let why = if mode.is_some_and(|mode| mode != WriteMode::Merge) {
                Some("it needs `write_mode: merge`, the only mode that keeps one row per key".to_owned())
            } else {
                cannot_prove(report, options)
            };
            if let Some(why) = why {
                decoder.errors.push(
                    ConfigError::at(at, format!("`reconcile` is not possible for this `{}`", report.name)).help(why),
                );
            }
        }
        let check_count = fields.flag("check_count", decoder).unwrap_or(true);
        if let (Some(at), None) = (fields.get("check_count"), &report.count) {
            let message = format!("`check_count` has no effect on `{}`", report.name);
            decoder.errors.push(ConfigError::at(at, message).help("the API does not count its rows"));
        }
        let max_rejected = fields.get("max_rejected").and_then(|node| percent(node, decoder));
        let max_removed = fields.get("max_removed").and_then(|node| percent(node, decoder));
        Self {
            history,
            overlap: overlap.unwrap_or_else(|| default_overlap(report)),
            reconcile,
            check_count,
            keep_raw,
            max_rejected,
            max_removed,
        }
    }
}

/// Whether runs read a little again of what the last one read.
fn looks_back(report: &Report) -> bool {
    report.watermark.is_some() || report.order.as_ref().is_some_and(|order| order.certain)
}

/// Why reading all of a report would not show that a row was deleted.
fn cannot_prove(report: &Report, options: &[OptionInForce]) -> Option<String> {
    if report.count.is_none() {
        return Some("the API does not count its rows, so a read cannot be proven complete".to_owned());
    }
    let filters = |option: &&OptionInForce| {
        let declared = report.option(&option.name)?;
        let all = matches!(&option.setting, Setting::Values(values) if values == &["all"]);
        let params = declared.params.iter().filter_map(|name| report.param(name));
        // Where values mean something here, everything is asked for.
        let chooses =
            params.into_iter().any(|param| param.means.is_empty() && (!param.filters.is_empty() || param.alone));
        (chooses && !all && declared.kind != OptionKind::Subresources).then_some(())
    };
    let chosen = options.iter().find(|option| filters(option).is_some())?;
    Some(format!("`{}` leaves rows out, and they would look deleted", chosen.name))
}

fn percent(node: &Node, decoder: &mut Decoder<'_>) -> Option<Percent> {
    let read = text(node, decoder.environment).and_then(|text| {
        let invalid = || ConfigError::at(node, text.named("invalid share"));
        Percent::parse(&text.value).ok_or_else(|| {
            let meant = format!("{}%", text.value);
            let meant = Percent::parse(&meant).map_or_else(String::new, |_| format!("; did you mean `{meant}`?"));
            invalid().help(format!("write a percentage from 0% to 100%, such as 5% or 2.5%{meant}"))
        })
    });
    decoder.keep(read)
}

fn span(node: &Node, decoder: &mut Decoder<'_>) -> Option<TimeDelta> {
    every(node, decoder).and_then(|span| TimeDelta::from_std(span).ok())
}
