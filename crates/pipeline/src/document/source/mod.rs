//! `source`: which accounts to read, by which right, how fast, and where sign-ins and the count of requests are kept.

mod access;
mod accounts;
mod sandbox;

use ctct_extract::is_in_clear;
use url::Url;

use super::Destination;
use super::fields::{Decoder, Fields, not_in_list, text};
use super::keys::{SOURCE, STATE_PLACES};
use crate::error::ConfigError;
use crate::yaml::{Entry, Node, Value};

pub use access::{Access, Seed};
pub use accounts::AccountNames;
pub use sandbox::Sandbox;

/// Where the data comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The accounts; each names its folder in every table and its commit log.
    pub accounts: AccountNames,
    /// By which right.
    pub access: Access,
    /// Another server than the vendor's.
    pub base_url: Option<Url>,
    /// Whether the token may leave this host without TLS.
    pub allow_http: bool,
    /// Names the API key where an access token does not tell it.
    pub application: String,
    /// Where sign-ins and the count of requests are kept.
    pub state: StatePlace,
    /// How fast.
    pub pace: Pace,
}

/// Where sign-ins and the count of requests are kept, so that every process that uses them finds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// The config and state folders of this host.
    Host,
    /// Beside the tables.
    Destination,
    /// A folder or store of its own.
    Store(Destination),
}

/// How fast the API is asked, and how much of the day's requests a run may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Requests a second.
    pub requests_per_second: f64,
    /// Requests a day.
    pub daily_requests: u32,
    /// Requests of the day that are left to others.
    pub reserve: u32,
    /// Whether requests that were refused with 429 count against the day.
    pub count_refused: bool,
}

impl Source {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, SOURCE)?;
        let names = AccountNames::decode(&fields, decoder);
        let allow_http = fields.flag("allow_http", decoder).unwrap_or(false);
        let base_url = fields.get("base_url").and_then(|node| server(node, allow_http, decoder));
        if let (Some(node), Some(url)) = (fields.get("base_url"), &base_url)
            && (url.query().is_some() || url.fragment().is_some())
        {
            let error = ConfigError::at(node, "the address must end with its path, without `?` or `#`");
            decoder.errors.push(error.help("such as https://api.cc.email/v3"));
        }
        let application = fields.name("application", decoder);
        let state = fields.get("state").and_then(|node| StatePlace::decode(node, decoder));
        let access = Access::decode(node, &fields, allow_http, decoder);
        let access = access?;
        let label = match &access {
            Access::Stored | Access::Seeded(_) | Access::Token(_) => "default",
            Access::Sandbox(_) => "sandbox",
        };
        let pace = Pace::decode(&fields, &access, decoder);
        Some(Self {
            accounts: names.unwrap_or_else(|| AccountNames::One(label.to_owned())),
            access,
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
            return Destination::decode_store(node, decoder).map(Self::Store);
        }
        let place = text(node, decoder.environment).and_then(|place| match place.value.as_str() {
            "host" => Ok(Self::Host),
            "destination" => Ok(Self::Destination),
            _ => Err(not_in_list(node, &place, STATE_PLACES)),
        });
        decoder.keep(place)
    }
}

impl Pace {
    fn decode(fields: &Fields<'_>, access: &Access, decoder: &mut Decoder<'_>) -> Self {
        let limits = match access {
            Access::Sandbox(sandbox) => (sandbox.requests_per_second, sandbox.daily_requests),
            Access::Stored | Access::Seeded(_) | Access::Token(_) => (None, None),
        };
        let default = ctct_extract::RateLimit::default();
        let daily_requests = fields
            .count32("daily_requests", decoder)
            .or(limits.1)
            .unwrap_or(u32::try_from(default.daily_requests).unwrap_or(u32::MAX));
        let reserve = fields.count32("reserve", decoder).unwrap_or_default();
        if let Some(entry) = fields.entry("reserve").filter(|_| reserve >= daily_requests) {
            let message = format!("`reserve` leaves nothing of the {daily_requests} requests a day to this pipeline");
            let error = ConfigError::new(Some(entry.span), &entry.value.path, message);
            decoder.errors.push(error.help("less than `daily_requests`"));
        }
        let requests_per_second = fields.number("requests_per_second", decoder);
        if let Some(entry) =
            fields.entry("requests_per_second").filter(|_| requests_per_second.is_some_and(|it| it < 0.001))
        {
            let message = "`requests_per_second` is so low that a run would wait for ever";
            let error = ConfigError::new(Some(entry.span), &entry.value.path, message);
            decoder.errors.push(error.help("0.001 at least, one request in 1,000 seconds"));
        }
        Self {
            requests_per_second: requests_per_second.or(limits.0).unwrap_or(default.requests_per_second),
            daily_requests,
            reserve,
            count_refused: fields.flag("count_refused", decoder).unwrap_or(true),
        }
    }
}

/// Refuses keys that cannot stand beside another.
fn refuse_beside(fields: &Fields<'_>, keys: &[&str], other: &str, help: &str, decoder: &mut Decoder<'_>) {
    for Entry { key, value, span } in keys.iter().filter_map(|key| fields.entry(key)) {
        let message = format!("`{key}` cannot stand beside `{other}`");
        decoder.errors.push(ConfigError::new(Some(*span), &value.path, message).help(help));
    }
}

/// The address of a server.
fn server(node: &Node, allow_http: bool, decoder: &mut Decoder<'_>) -> Option<Url> {
    const HELP: &str = "an http or https address without a user, such as https://api.cc.email/v3";
    let url = text(node, decoder.environment).and_then(|text| {
        let wrong = |why: &str| ConfigError::at(node, format!("{} {why}", text.shown())).help(HELP);
        let url = Url::parse(&text.value).map_err(|_| wrong("is no address"))?;
        match url.scheme() {
            "http" if !allow_http && is_in_clear(&url) => {
                let message =
                    format!("{} is not encrypted, and everybody on the way could read the token", text.shown());
                Err(ConfigError::at(node, message).help("use https://, or set `allow_http: true` in `source`"))
            }
            "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
            "http" | "https" => Err(ConfigError::at(node, "an address must not hold a user or a password").help(HELP)),
            _ => Err(wrong("is no http or https address")),
        }
    });
    decoder.keep(url)
}
