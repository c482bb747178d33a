//! `source.sandbox`: the embedded API, started for the run.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use ctct_sandbox::{Faults, Quirks, SandboxConfig};

use crate::document::dates::When;
use crate::document::error::ConfigError;
use crate::document::fields::{Decoder, text};
use crate::document::keys::{FAULTS, SANDBOX};
use crate::document::node::Node;
use crate::document::span::parse_offset;

/// The embedded API. What is absent is the sandbox's own default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SandboxSpec {
    /// Contacts of the account.
    pub contacts: Option<u64>,
    /// Contact lists of the account.
    pub lists: Option<u32>,
    /// Email campaigns of the account.
    pub campaigns: Option<u32>,
    /// The day that the account's dates lead up to; the day of the run where absent.
    pub today: Option<NaiveDate>,
    /// The same seed makes the same account.
    pub seed: Option<u64>,
    /// Requests per second before it responds with 429 `throttled`.
    pub requests_per_second: Option<f64>,
    /// Requests that may come at once.
    pub burst: Option<u32>,
    /// Requests per day before it responds with 429 `quota_exceeded`.
    pub daily_requests: Option<u32>,
    /// How long each answer takes, in milliseconds.
    pub latency_ms: Option<u64>,
    /// How far its `Date` header is off.
    pub wrong_date: Option<TimeDelta>,
    /// Whether keys, and lists within a record, come in another order at each request.
    pub reorder: bool,
    /// Share of records that have an odd value in an optional field.
    pub unfit: Option<f64>,
    /// Share of requests that meet each kind of fault.
    pub faults: Faults,
}

impl SandboxSpec {
    pub(super) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, SANDBOX)?;
        Some(Self {
            contacts: fields.count("contacts", decoder),
            lists: fields.count32("lists", decoder),
            campaigns: fields.count32("campaigns", decoder),
            today: fields.get("today").and_then(|node| day(node, decoder)),
            seed: fields.count("seed", decoder),
            requests_per_second: fields.number("requests_per_second", decoder),
            burst: fields.count32("burst", decoder),
            daily_requests: fields.count32("daily_requests", decoder),
            latency_ms: fields.count("latency_ms", decoder),
            wrong_date: fields.get("wrong_date").and_then(|node| offset(node, decoder)),
            reorder: fields.flag("reorder", decoder).unwrap_or_default(),
            unfit: fields.number("unfit", decoder),
            faults: fields.get("faults").and_then(|node| faults(node, decoder)).unwrap_or_default(),
        })
    }

    /// The embedded API as the pipeline wants it, for a run that starts at `now`.
    pub fn config(&self, now: DateTime<Utc>) -> SandboxConfig {
        let default = SandboxConfig::default();
        SandboxConfig {
            contacts: self.contacts.unwrap_or(default.contacts),
            lists: self.lists.unwrap_or(default.lists),
            campaigns: self.campaigns.unwrap_or(default.campaigns),
            seed: self.seed.unwrap_or(default.seed),
            today: self.today.unwrap_or_else(|| now.date_naive()),
            requests_per_second: self.requests_per_second.unwrap_or(default.requests_per_second),
            burst: self.burst.unwrap_or(default.burst),
            daily_requests: self.daily_requests.map_or(default.daily_requests, u64::from),
            latency: self.latency_ms.map_or(default.latency, Duration::from_millis),
            unfit: self.unfit.unwrap_or(default.unfit),
            faults: self.faults,
            quirks: Quirks { wrong_date: self.wrong_date.unwrap_or_default(), reorder: self.reorder, ..default.quirks },
            ..default
        }
    }
}

fn offset(node: &Node, decoder: &mut Decoder<'_>) -> Option<TimeDelta> {
    let read = text(node, decoder.environment).and_then(|text| {
        let invalid = || ConfigError::at(node, text.named("invalid duration"));
        parse_offset(&text.value).ok_or_else(|| invalid().help("use a duration such as 90s, 2h or -3d"))
    });
    decoder.keep(read)
}

fn day(node: &Node, decoder: &mut Decoder<'_>) -> Option<NaiveDate> {
    let day = text(node, decoder.environment).and_then(|text| match When::parse(&text.value) {
        Some(When::Date(day)) => Ok(day),
        _ => Err(ConfigError::at(node, text.named("invalid date")).help("use YYYY-MM-DD")),
    });
    decoder.keep(day)
}

fn faults(node: &Node, decoder: &mut Decoder<'_>) -> Option<Faults> {
    let fields = decoder.fields(node, FAULTS)?;
    let mut total = 0.0;
    let mut share = |name: &str| {
        let share = fields.number(name, decoder).unwrap_or(0.0);
        total += share;
        share
    };
    let faults = Faults {
        error_500: share("error_500"),
        error_502: share("error_502"),
        error_503: share("error_503"),
        error_504: share("error_504"),
        throttled: share("throttled"),
        spurious_401: share("spurious_401"),
        truncated_body: share("truncated_body"),
        html_with_200: share("html_with_200"),
        other_json: share("other_json"),
        reset: share("reset"),
    };
    if total > 1.0 {
        let error = ConfigError::at(node, format!("the shares of all faults add up to {total}"));
        decoder.errors.push(error.help("use 1 at most: a request meets one fault"));
    }
    Some(faults)
}
