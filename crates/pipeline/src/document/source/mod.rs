//! `source`: which accounts to read, by which right, how fast, and where sign-ins and the count of requests are kept.

mod access;
mod accounts;
mod sandbox;

use ctct_extract::is_in_clear;
use url::Url;

use super::DestinationConfig;
use super::fields::{Decoder, Fields, not_in_list, text};
use super::keys::{SOURCE, STATE_PLACES};
use crate::document::error::ConfigError;
use crate::document::node::{Entry, Node, Value};

pub use access::{Credentials, Seed};
pub use accounts::AccountNames;
pub use sandbox::SandboxSpec;

/// Where the data comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// The accounts; each names its folder in every table and its commit log.
    pub accounts: AccountNames,
    /// By which right.
    pub credentials: Credentials,
    /// Another server than the vendor's.
    pub base_url: Option<Url>,
    /// Whether the token may leave this host without TLS.
    pub allow_http: bool,
    /// Names the API key where an access token does not tell it.
    pub application: String,
    /// Where sign-ins and the count of requests are kept.
    pub state: StatePlace,
    /// How fast.
    pub pace: PaceConfig,
}

/// Where sign-ins and the count of requests are kept, so that every process that uses them finds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// The config and state folders of this host.
    Host,
    /// Beside the tables.
    Destination,
    /// A folder or store of its own.
    Store(DestinationConfig),
}

/// The rate limit, and how many of the day's requests one run may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaceConfig {
    /// Requests per second.
    pub requests_per_second: f64,
    /// Requests per day.
    pub daily_requests: u32,
    /// Requests of the day that are left to others.
    pub reserve: u32,
    /// Whether requests that were refused with 429 count against the day.
    pub count_refused: bool,
}

impl SourceConfig {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, SOURCE)?;
        let names = AccountNames::decode(&fields, decoder);
        let allow_http = fields.flag("allow_http", decoder).unwrap_or(false);
        let base_url = fields.get("base_url").and_then(|node| server(node, allow_http, decoder));
        if let (Some(node), Some(url)) = (fields.get("base_url"), &base_url)
            && (url.query().is_some() || url.fragment().is_some())
        {
            let error = ConfigError::at(node, "`?` and `#` are not allowed in `base_url`");
            decoder.errors.push(error.help("write an address such as https://api.cc.email/v3"));
        }
        let application = fields.name("application", decoder);
        let state = fields.get("state").and_then(|node| StatePlace::decode(node, decoder));
        let access = Credentials::decode(node, &fields, allow_http, decoder);
        let access = access?;
        let label = match &access {
            Credentials::Stored | Credentials::Seeded(_) | Credentials::Token(_) => "default",
            Credentials::Sandbox(_) => "sandbox",
        };
        let pace = PaceConfig::decode(&fields, &access, decoder);
        Some(Self {
            accounts: names.unwrap_or_else(|| AccountNames::One(label.to_owned())),
            credentials: access,
            base_url,
            allow_http,
            application: application.unwrap_or_else(|| "default".to_owned()),
            state: state.unwrap_or(StatePlace::Host),
            pace,
        })
    }
}

impl StatePlace {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        // A mapping with an address is a store; `{env: NAME}` is one of the names.
        if matches!(node.value, Value::Mapping(_)) && node.get("env").is_none() {
            return DestinationConfig::decode_store(node, decoder).map(Self::Store);
        }
        let place = text(node, decoder.environment).and_then(|place| match place.value.as_str() {
            "host" => Ok(Self::Host),
            "destination" => Ok(Self::Destination),
            _ => Err(not_in_list(node, &place, STATE_PLACES)),
        });
        decoder.keep(place)
    }
}

impl PaceConfig {
    fn decode(fields: &Fields<'_>, access: &Credentials, decoder: &mut Decoder<'_>) -> Self {
        let limits = match access {
            Credentials::Sandbox(sandbox) => (sandbox.requests_per_second, sandbox.daily_requests),
            Credentials::Stored | Credentials::Seeded(_) | Credentials::Token(_) => (None, None),
        };
        let default = ctct_extract::RateLimit::default();
        let daily_requests = fields
            .count32("daily_requests", decoder)
            .or(limits.1)
            .unwrap_or(u32::try_from(default.daily_requests).unwrap_or(u32::MAX));
        let reserve = fields.count32("reserve", decoder).unwrap_or_default();
        if let Some(entry) = fields.entry("reserve").filter(|_| reserve >= daily_requests) {
            let message = format!("`reserve` leaves none of the {daily_requests} requests per day to this pipeline");
            let error = ConfigError::new(Some(entry.span), &entry.value.path, message);
            decoder.errors.push(error.help("use less than `daily_requests`"));
        }
        let requests_per_second = fields.number("requests_per_second", decoder);
        if let Some(entry) =
            fields.entry("requests_per_second").filter(|_| requests_per_second.is_some_and(|it| it < 0.001))
        {
            let message = "`requests_per_second` is too low";
            let error = ConfigError::new(Some(entry.span), &entry.value.path, message);
            decoder.errors.push(error.help("use 0.001 or more: one request in 1,000 seconds"));
        }
        Self {
            requests_per_second: requests_per_second.or(limits.0).unwrap_or(default.requests_per_second),
            daily_requests,
            reserve,
            count_refused: fields.flag("count_refused", decoder).unwrap_or(true),
        }
    }
}

/// Refuses keys that cannot be combined with another.
fn refuse_beside(fields: &Fields<'_>, keys: &[&str], other: &str, help: &str, decoder: &mut Decoder<'_>) {
    for Entry { key, value, span } in keys.iter().filter_map(|key| fields.entry(key)) {
        let message = format!("`{key}` cannot be combined with `{other}`");
        decoder.errors.push(ConfigError::new(Some(*span), &value.path, message).help(help));
    }
}

/// The address of a server.
fn server(node: &Node, allow_http: bool, decoder: &mut Decoder<'_>) -> Option<Url> {
    const HELP: &str = "use an http or https address without a user, such as https://api.cc.email/v3";
    let url = text(node, decoder.environment).and_then(|text| {
        let wrong = |why: &str| ConfigError::at(node, format!("{} {why}", text.shown())).help(HELP);
        let url = Url::parse(&text.value).map_err(|_| wrong("is not a valid address"))?;
        match url.scheme() {
            "http" if !allow_http && is_in_clear(&url) => {
                let message =
                    format!("{} is not encrypted, so anyone on the network could read the token", text.shown());
                Err(ConfigError::at(node, message).help("use https://, or set `allow_http: true` in `source`"))
            }
            "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
            "http" | "https" => {
                Err(ConfigError::at(node, "a user and a password are not allowed in an address").help(HELP))
            }
            _ => Err(wrong("is not an http or https address")),
        }
    });
    decoder.keep(url)
}
