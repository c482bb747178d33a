//! `schedule` and `retry`. A schedule says when a pipeline is due. This program starts no timer: `ctct-etl schedule` writes
//! the entry of one that does, and `ctct-etl status` compares what is stored with when it was due.

mod cron;
mod due;
#[cfg(test)]
mod due_tests;

use std::time::Duration;

use chrono_tz::Tz;

use super::fields::{Decoder, text, text_or_number};
use super::keys::{RETRY, SCHEDULE};
use super::span::parse_span;
use cron::CronMistake;
pub use cron::{CronExpression, CronField};

use crate::document::error::ConfigError;
use crate::document::node::{Node, Value};

/// When a pipeline is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// By a cron expression of five fields.
    Cron {
        /// The expression.
        expression: CronExpression,
        /// Time zone that it is read in; the pipeline's where absent.
        timezone: Option<Tz>,
    },
    /// Once in every such span.
    Every(Duration),
}

/// How often failed requests are retried. What is absent is the client's own default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryLimits {
    /// Times that one request is sent at most, the first included.
    pub attempts: Option<u32>,
    /// Requests that a run may retry in all.
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
                decoder.errors.push(
                    ConfigError::at(node, message).help("write {cron: \"0 6 * * *\", timezone: UTC} or {every: 1h}"),
                );
                None
            }
        }
    }
}

fn cron(node: &Node, decoder: &mut Decoder<'_>) -> Option<CronExpression> {
    let expression = text(node, decoder.environment).and_then(|text| {
        CronExpression::parse(&text.value)
            .map_err(|CronMistake { message, help }| ConfigError::at(node, message).help(help))
    });
    decoder.keep(expression)
}

/// A span of time such as `15m`.
pub(crate) fn every(node: &Node, decoder: &mut Decoder<'_>) -> Option<Duration> {
    let span = text_or_number(node, decoder.environment).and_then(|text| {
        duration(&text.value).ok_or_else(|| {
            ConfigError::at(node, text.named("invalid duration"))
                .help("use a whole number of minutes, hours or days, such as 15m, 1h or 1d; 366d at most")
        })
    });
    decoder.keep(span)
}

fn duration(text: &str) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(366 * 24);
    parse_span(text, "mhd").filter(|span| *span <= LONGEST && !text.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_a_unit() {
        assert_eq!(duration("15m"), Some(Duration::from_mins(15)));
        assert_eq!(duration("2d"), Some(Duration::from_hours(48)));
        for wrong in ["15", "0h", "01h", "+1h", "1w", "-1d", "m", "", "400d", "99999999999999999999d", "1é"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
