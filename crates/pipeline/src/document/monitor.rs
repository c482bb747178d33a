//! `metrics` and `on_failure`: whom a run tells how it went, beside the process that started it.

use std::path::Path;

use secrecy::SecretString;
use url::Url;

use super::environment::Environment;
use super::fields::{Decoder, mapping, text};
use super::keys::{METRICS, ON_FAILURE, OTLP};
use super::secret::SecretRef;
use crate::document::error::ConfigError;
use crate::document::node::{Node, Value};

/// Where the numbers of a run go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsConfig {
    /// A folder for text files that Prometheus' node exporter reads.
    pub textfile: Option<String>,
    /// A collector that speaks OTLP.
    pub otlp: Option<Otlp>,
}

/// A collector that speaks OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// Its address, below which `/v1/metrics` is.
    pub endpoint: Url,
    /// Headers of every request, by name.
    pub(crate) headers: Vec<(String, SecretRef)>,
}

/// Who is told when a run did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnFailure {
    /// Takes a POST of JSON.
    pub(crate) webhook: Webhook,
}

/// An address that may be a secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Webhook {
    Open(Url),
    Secret(SecretRef),
}

impl MetricsConfig {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, METRICS)?;
        let otlp = fields.get("otlp").and_then(|node| Otlp::decode(node, decoder));
        Some(Self { textfile: fields.text("textfile", decoder), otlp })
    }
}

impl Otlp {
    fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, OTLP)?;
        let endpoint = fields.get("endpoint").and_then(|node| {
            let read = text(node, decoder.environment).and_then(|text| address(node, &text.value, &text.shown()));
            decoder.keep(read)
        });
        let mut headers = Vec::new();
        if let Some(node) = fields.get("headers") {
            for entry in decoder.keep(mapping(node)).unwrap_or_default() {
                if !is_header(&entry.key) {
                    let message = format!("invalid header name `{}`", entry.key);
                    decoder.errors.push(ConfigError::new(Some(entry.span), &entry.value.path, message));
                }
                if let Some(secret) = decoder.keep(SecretRef::decode(&entry.value, entry.span)) {
                    headers.push((entry.key.clone(), secret));
                }
            }
        }
        let endpoint = endpoint?;
        if !headers.is_empty() && !keeps_secrets(&endpoint) {
            let message = "headers hold secrets, and the endpoint is not encrypted";
            decoder.errors.push(ConfigError::at(node, message).help("use an https:// address, or one on this host"));
        }
        Some(Self { endpoint, headers })
    }

    /// The headers with their values. Relative paths start from `base`.
    ///
    /// # Errors
    /// A value is not available. The message never holds one.
    pub(crate) fn headers(
        &self,
        environment: &Environment,
        base: &Path,
    ) -> Result<Vec<(String, SecretString)>, ConfigError> {
        self.headers.iter().map(|(name, secret)| Ok((name.clone(), secret.read_line(environment, base)?))).collect()
    }
}

impl OnFailure {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, ON_FAILURE)?;
        let entry = fields.entry("webhook")?;
        let webhook = match &entry.value.value {
            Value::Mapping(_) => SecretRef::decode(&entry.value, entry.span).map(Webhook::Secret),
            _ => text(&entry.value, decoder.environment).and_then(|text| {
                // Whoever has the address can write there, so it is not shown.
                let url = address(&entry.value, &text.value, "the value")?;
                if keeps_secrets(&url) {
                    return Ok(Webhook::Open(url));
                }
                Err(ConfigError::at(&entry.value, "a webhook must be an https:// address, or one on this host"))
            }),
        };
        decoder.keep(webhook).map(|webhook| Self { webhook })
    }

    /// The address. Relative paths start from `base`.
    ///
    /// # Errors
    /// It is not available, or cannot be used. The message never holds it.
    pub(crate) fn url(&self, environment: &Environment, base: &Path) -> Result<Url, ConfigError> {
        use secrecy::ExposeSecret;
        match &self.webhook {
            Webhook::Open(url) => Ok(url.clone()),
            Webhook::Secret(secret) => {
                let text = secret.read(environment, base)?;
                let url = Url::parse(text.expose_secret()).ok().filter(keeps_secrets);
                url.ok_or_else(|| secret.wrong("the value is not an https:// address"))
            }
        }
    }
}

/// An http or https address without a user.
fn address(node: &Node, text: &str, shown: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(url),
        Some(_) => Err(ConfigError::at(node, "a user and a password are not allowed in an address")),
        None => Err(ConfigError::at(node, format!("{shown} is not an http or https address"))),
    }
}

/// Whether nobody on the way can read what is sent there.
fn keeps_secrets(url: &Url) -> bool {
    let here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && here)
}

/// Whether a text can name a header (RFC 9110, token).
fn is_header(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}
