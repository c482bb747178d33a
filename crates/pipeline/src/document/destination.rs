//! `destination`: where the Parquet goes. Only the shape is checked here; what a store needs is the writer's business.

use std::collections::BTreeMap;
use std::path::Path as FilePath;

use ctct_load::LoadError;

use super::fields::{Decoder, Fields, expected, mapping, suggestion, text};
use super::keys::DESTINATION;
use crate::error::{ConfigError, names_a_secret};
use crate::yaml::{Node, Scalar, Value};

/// Schemes of a destination; anything without a scheme is a path.
const SCHEMES: &[&str] = &["file", "memory", "s3", "gs", "az"];

/// Where the Parquet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// A path or an address with one of the schemes file, memory, s3, gs and az.
    pub url: String,
    /// Options of the object store, as text.
    pub options: BTreeMap<String, String>,
}

impl Destination {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, DESTINATION)?;
        let url = fields.get("url").and_then(|node| {
            let url = url(node, decoder);
            decoder.keep(url)
        });
        let options = options(&fields, decoder);
        Some(Self { url: url?, options })
    }
}

fn url(node: &Node, decoder: &Decoder<'_>) -> Result<String, ConfigError> {
    let url = text(node, decoder.environment)?;
    if url.value.trim().is_empty() {
        return Err(ConfigError::at(node, "the destination is empty").help("a path such as ./data, or an address"));
    }
    let Some((scheme, rest)) = url.value.split_once("://") else { return Ok(url.value) };
    if !SCHEMES.contains(&scheme) {
        let message = format!("no destination has the scheme `{scheme}`");
        return Err(ConfigError::at(node, message).help(suggestion(scheme, SCHEMES)));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(ConfigError::at(node, "an address must not hold a user or a password")
            .help("credentials come from the environment's usual names"));
    }
    if authority.is_empty() && matches!(scheme, "s3" | "gs" | "az") {
        return Err(ConfigError::at(node, "the address names no bucket").help(format!("{scheme}://BUCKET/PREFIX")));
    }
    // Which of them can be written is the writer's to say; it is asked here so that `validate` says it too.
    match ctct_load::Destination::open(&url.value, FilePath::new("/")) {
        Err(LoadError::Url { reason, .. }) => Err(ConfigError::at(node, reason)),
        _ => Ok(url.value),
    }
}

fn options(fields: &Fields<'_>, decoder: &mut Decoder<'_>) -> BTreeMap<String, String> {
    let Some(node) = fields.get("options") else { return BTreeMap::new() };
    let entries = decoder.keep(mapping(node)).unwrap_or_default();
    let mut options = BTreeMap::new();
    for entry in entries {
        let value = match &entry.value.value {
            Value::Scalar(_) if names_a_secret(&entry.key) => {
                Err(ConfigError::new(Some(entry.span), &entry.value.path, "a secret must not stand in a pipeline file")
                    .help("leave it out: credentials come from the environment's usual names"))
            }
            Value::Scalar(Scalar { text, .. }) => Ok(text.clone()),
            Value::Mapping(_) => text(&entry.value, decoder.environment).map(|text| text.value),
            _ => Err(expected(&entry.value, "text, a number, or true or false")),
        };
        if let Some(value) = decoder.keep(value) {
            options.insert(entry.key.clone(), value);
        }
    }
    options
}
