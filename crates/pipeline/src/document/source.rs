//! `source`: which account to read, by which right, and how fast.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use ctct_sandbox::{Faults, SandboxConfig};
use secrecy::SecretString;
use url::Url;

use super::environment::{Environment, SecretRef};
use super::fields::{Decoder, Fields, text};
use super::keys::{FAULTS, SANDBOX, SOURCE};
use crate::dates::When;
use crate::error::ConfigError;
use crate::yaml::Node;

/// Where the data comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Label of the account: names its folder in every table and its commit log.
    pub account: String,
    /// By which right.
    pub access: Access,
    /// Another server than the vendor's.
    pub base_url: Option<Url>,
    /// How fast.
    pub pace: Pace,
}

/// By which right an account is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// The tokens that `auth login` stored for the account.
    Stored,
    /// A bearer token.
    Token(SecretRef),
    /// The embedded API, which needs none.
    Sandbox(Sandbox),
}

/// How fast the API is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Requests a second.
    pub requests_per_second: f64,
    /// Requests a day.
    pub daily_requests: u32,
}

/// The embedded API. What is absent is the sandbox's own default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sandbox {
    /// Contacts of the account.
    pub contacts: Option<u64>,
    /// Contact lists of the account.
    pub lists: Option<u32>,
    /// E-mail campaigns of the account.
    pub campaigns: Option<u32>,
    /// The day that the account's dates lead up to; the day of the run where absent.
    pub today: Option<NaiveDate>,
    /// The same seed makes the same account.
    pub seed: Option<u64>,
    /// Requests a second before it answers 429 `throttled`.
    pub requests_per_second: Option<f64>,
    /// Requests that may come at once.
    pub burst: Option<u32>,
    /// Requests a day before it answers 429 `quota_exceeded`.
    pub daily_requests: Option<u32>,
    /// How long each answer takes, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Share of requests that meet each kind of fault.
    pub faults: Faults,
}

impl Source {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, SOURCE)?;
        let account = fields.name("account", decoder);
        let base_url = fields.get("base_url").and_then(|node| base_url(node, decoder));
        let access = access(node, &fields, decoder)?;
        let label = match &access {
            Access::Stored | Access::Token(_) => "default",
            Access::Sandbox(_) => "sandbox",
        };
        let limits = match &access {
            Access::Sandbox(sandbox) => (sandbox.requests_per_second, sandbox.daily_requests),
            Access::Stored | Access::Token(_) => (None, None),
        };
        let default = ctct_extract::Pace::default();
        let pace = Pace {
            requests_per_second: fields
                .number("requests_per_second", decoder)
                .or(limits.0)
                .unwrap_or(default.requests_per_second),
            daily_requests: fields
                .count32("daily_requests", decoder)
                .or(limits.1)
                .unwrap_or(u32::try_from(default.daily_requests).unwrap_or(u32::MAX)),
        };
        Some(Self { account: account.unwrap_or_else(|| label.to_owned()), access, base_url, pace })
    }

    /// The bearer token, where the pipeline names one.
    pub(crate) fn access_token(
        &self,
        environment: &Environment,
        base: &Path,
    ) -> Result<Option<SecretString>, ConfigError> {
        match &self.access {
            Access::Token(secret) => secret.read(environment, base).map(Some),
            Access::Stored | Access::Sandbox(_) => Ok(None),
        }
    }
}

/// Exactly one right: a token, the sandbox, or else what is stored for `account`.
fn access(node: &Node, fields: &Fields<'_>, decoder: &mut Decoder<'_>) -> Option<Access> {
    if let Some(sandbox) = fields.entry("sandbox") {
        for key in ["access_token", "base_url"] {
            if let Some(entry) = fields.entry(key) {
                let message = format!("`{key}` cannot stand beside `sandbox`");
                let error = ConfigError::new(Some(entry.span), &entry.value.path, message);
                decoder
                    .errors
                    .push(error.help("the embedded API needs neither a token nor an address: keep one of the two"));
            }
        }
        return Sandbox::decode(&sandbox.value, decoder).map(Access::Sandbox);
    }
    if let Some(token) = fields.entry("access_token") {
        let secret = SecretRef::decode(&token.value, token.span);
        return decoder.keep(secret).map(Access::Token);
    }
    if fields.get("account").is_some() {
        return Some(Access::Stored);
    }
    decoder.errors.push(
        ConfigError::at(node, "`source` says neither which account to read nor how")
            .help("add `account: NAME`, `access_token: {env: NAME}` or `sandbox: {contacts: 1000}`"),
    );
    None
}

impl Sandbox {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
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
            faults: self.faults,
            ..default
        }
    }
}

fn day(node: &Node, decoder: &mut Decoder<'_>) -> Option<NaiveDate> {
    let day = text(node, decoder.environment).and_then(|text| match When::parse(&text.value) {
        Some(When::Date(day)) => Ok(day),
        _ => Err(ConfigError::at(node, format!("{} is no date", text.shown())).help("a date such as 2026-01-31")),
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
        decoder.errors.push(error.help("1 at most: a request meets one fault"));
    }
    Some(faults)
}

fn base_url(node: &Node, decoder: &mut Decoder<'_>) -> Option<Url> {
    const HELP: &str = "an http or https address without a user, such as https://api.cc.email/v3";
    let url = text(node, decoder.environment).and_then(|text| {
        let wrong = |why: &str| ConfigError::at(node, format!("{} {why}", text.shown())).help(HELP);
        let url = Url::parse(&text.value).map_err(|_| wrong("is no address"))?;
        match url.scheme() {
            "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
            "http" | "https" => Err(ConfigError::at(node, "an address must not hold a user or a password").help(HELP)),
            _ => Err(wrong("is no http or https address")),
        }
    });
    decoder.keep(url)
}
