//! `source.account` and `source.accounts`: one account, some, or all stored ones whose names fit a pattern.

use glob::Pattern;

use super::refuse_beside;
use crate::document::error::ConfigError;
use crate::document::fields::{Decoder, Fields, is_name, text};
use crate::document::keys::MATCHING;
use crate::document::node::{Node, Value};

/// Which accounts a pipeline reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountNames {
    /// This one.
    One(String),
    /// These, in this order.
    Several(Vec<String>),
    /// Every stored account whose name fits.
    Matching(Pattern),
}

impl AccountNames {
    pub(super) fn decode(fields: &Fields<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        refuse_beside_account(fields, decoder);
        match fields.get("accounts") {
            None => fields.name("account", decoder).map(Self::One),
            Some(node) if matches!(node.value, Value::Mapping(_)) && node.get("env").is_none() => {
                matching(node, decoder)
            }
            Some(node) => several(node, decoder),
        }
    }

    /// How the pipeline calls them, for people.
    pub fn label(&self) -> String {
        match self {
            Self::One(name) => name.clone(),
            Self::Several(names) => names.join(", "),
            Self::Matching(pattern) => pattern.as_str().to_owned(),
        }
    }
}

fn refuse_beside_account(fields: &Fields<'_>, decoder: &mut Decoder<'_>) {
    if fields.entry("account").is_some() {
        refuse_beside(fields, &["accounts"], "account", "keep one of the two", decoder);
    }
}

fn matching(node: &Node, decoder: &mut Decoder<'_>) -> Option<AccountNames> {
    let fields = decoder.fields(node, MATCHING)?;
    let node = fields.get("glob")?;
    let pattern = text(node, decoder.environment).and_then(|text| {
        Pattern::new(&text.value).map_err(|error| {
            ConfigError::at(node, format!("invalid pattern {}: {}", text.shown(), error.msg))
                .help("`*` matches any characters, `?` matches one: franchise-*")
        })
    });
    decoder.keep(pattern).map(AccountNames::Matching)
}

fn several(node: &Node, decoder: &mut Decoder<'_>) -> Option<AccountNames> {
    let items = if let Value::Sequence(items) = &node.value { items.as_slice() } else { std::slice::from_ref(node) };
    if items.is_empty() {
        decoder.errors.push(ConfigError::at(node, "`accounts` is empty").help("name at least one account"));
        return None;
    }
    let mut names: Vec<String> = Vec::with_capacity(items.len());
    for item in items {
        let name = text(item, decoder.environment).and_then(|text| {
            if names.contains(&text.value) {
                return Err(ConfigError::at(item, text.named("duplicate account")));
            }
            is_name(&text.value)
                .then(|| text.value.clone())
                .ok_or_else(|| ConfigError::at(item, text.named("invalid account name")))
        });
        names.extend(decoder.keep(name));
    }
    Some(AccountNames::Several(names))
}
