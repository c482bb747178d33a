//! `schedule` and `retry`. A schedule says when a pipeline is due; this program starts no timer, so only its shape is
//! checked.

use std::time::Duration;

use chrono_tz::Tz;

use super::fields::{Decoder, text, text_or_number};
use super::keys::{RETRY, SCHEDULE};
use crate::error::ConfigError;
use crate::yaml::{Node, Value};

/// When a pipeline is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// By a cron expression of five fields.
    Cron {
        /// The expression.
        expression: String,
        /// Time zone that it is read in; the pipeline's where absent.
        timezone: Option<Tz>,
    },
    /// Once in every such span.
    Every(Duration),
}

/// How often failed requests are sent again. What is absent is the client's own default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryLimits {
    /// Times that one request is sent at most, the first included.
    pub attempts: Option<u32>,
    /// Requests that a run may send again in all.
    pub budget: Option<u32>,
}

impl RetryLimits {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, RETRY)?;
        Some(Self { attempts: fields.count32("attempts", decoder), budget: fields.count32("budget", decoder) })
    }
}

impl Schedule {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        if !matches!(node.value, Value::Mapping(_)) || node.get("env").is_some() {
            return cron(node, decoder).map(|expression| Self::Cron { expression, timezone: None });
        }
        let fields = decoder.fields(node, SCHEDULE)?;
        let timezone = fields.timezone("timezone", decoder);
        match (fields.get("cron"), fields.get("every")) {
            (Some(node), None) => cron(node, decoder).map(|expression| Self::Cron { expression, timezone }),
            (None, Some(node)) if fields.get("timezone").is_none() => every(node, decoder).map(Self::Every),
            _ => {
                let message = "expected either `cron`, with or without `timezone`, or `every`";
                decoder
                    .errors
                    .push(ConfigError::at(node, message).help("{cron: \"0 6 * * *\", timezone: UTC} or {every: 1h}"));
                None
            }
        }
    }
}

/// One field of a cron expression: its name, its bounds, and the names that stand for numbers.
const CRON: [(&str, u32, u32, &[&str]); 5] = [
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day of month", 1, 31, &[]),
    ("month", 1, 12, &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]),
    ("day of week", 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
];

fn cron(node: &Node, decoder: &mut Decoder<'_>) -> Option<String> {
    const HELP: &str = "minute, hour, day of month, month, day of week: \"0 6 * * *\" is every day at 06:00";
    let expression = text(node, decoder.environment).and_then(|text| {
        let fields: Vec<&str> = text.value.split_whitespace().collect();
        if fields.len() != CRON.len() {
            let message = format!("a cron expression has five fields, {} has {}", text.shown(), fields.len());
            return Err(ConfigError::at(node, message).help(HELP));
        }
        let wrong =
            fields.iter().zip(CRON).find(|(field, (_, min, max, names))| !is_cron_field(field, *min, *max, names));
        match wrong {
            Some((field, (name, ..))) => Err(ConfigError::at(node, format!("`{field}` is no {name}")).help(HELP)),
            None => Ok(text.value),
        }
    });
    decoder.keep(expression)
}

/// `*`, `5`, `1-5`, `mon`, each with or without a step such as `/15`, and lists of these.
fn is_cron_field(field: &str, min: u32, max: u32, names: &[&str]) -> bool {
    let value = |text: &str| {
        let is_name = names.iter().any(|name| name.eq_ignore_ascii_case(text));
        is_name || text.parse::<u32>().is_ok_and(|number| (min..=max).contains(&number))
    };
    field.split(',').all(|item| {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step_fits = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| (1..=max).contains(&step)));
        let range_fits = range == "*"
            || match range.split_once('-') {
                Some((from, to)) => value(from) && value(to),
                None => value(range),
            };
        step_fits && range_fits
    })
}

/// A span of time such as `15m`.
pub(crate) fn every(node: &Node, decoder: &mut Decoder<'_>) -> Option<Duration> {
    let span = text_or_number(node, decoder.environment).and_then(|text| {
        duration(&text.value).ok_or_else(|| {
            ConfigError::at(node, format!("{} is no span of time", text.shown()))
                .help("a whole number of minutes, hours or days: 15m, 1h, 1d; 366d at most")
        })
    });
    decoder.keep(span)
}

fn duration(text: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(366 * 24);
    let unit = text.chars().last()?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let span = Duration::from_secs(digits.parse::<u64>().ok().filter(|_| plain)?.checked_mul(seconds)?);
    (span <= LONGEST).then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_fields_are_checked_each_by_its_own_bounds() {
        let fits = |index: usize, field| {
            let (_, min, max, names) = CRON[index];
            is_cron_field(field, min, max, names)
        };
        for (index, field) in [(0, "*/15"), (0, "0,30"), (1, "9-17/2"), (3, "JAN-mar"), (4, "7"), (4, "mon,fri")] {
            assert!(fits(index, field), "{field}");
        }
        for (index, field) in
            [(0, "60"), (1, "24"), (2, "0"), (3, "13"), (4, "8"), (0, "*/0"), (0, ""), (0, "1-"), (0, "@")]
        {
            assert!(!fits(index, field), "{field}");
        }
    }

    #[test]
    fn spans_of_time_have_a_unit() {
        assert_eq!(duration("15m"), Some(Duration::from_mins(15)));
        assert_eq!(duration("2d"), Some(Duration::from_hours(48)));
        for wrong in ["15", "0h", "01h", "+1h", "1w", "-1d", "m", "", "400d", "99999999999999999999d", "1é"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
