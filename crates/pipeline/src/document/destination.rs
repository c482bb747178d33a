//! `destination`: where the Parquet goes, and what an object store needs beside its URL. Whether the store is there and takes
//! the credentials shows at the run.

use std::path::Path;

use ctct_extract::hide;
use ctct_load::{Cloud, FileSettings, LoadError, StoreOption, StoreOptionKind, StoreOptions};
use secrecy::ExposeSecret;

use super::environment::Environment;
use super::fields::{Decoder, Fields, expected, mapping, suggestion, text, unknown_key};
use super::files;
use super::keys::{DESTINATION, Key, STORE};
use super::secret::SecretRef;
use crate::document::error::{ConfigError, names_a_secret};
use crate::document::node::{Entry, Node, Scalar, ScalarKind, Value};

/// Where the Parquet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationConfig {
    /// A path or a URL. It holds no secret.
    pub url: String,
    /// Options of the object store, by name.
    options: Vec<(String, StoreSetting)>,
    /// How Parquet files are written, as far as the pipeline says.
    pub files: FileSettings,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StoreSetting {
    Text(String),
    /// The path of a file, which only the store opens.
    File(String),
    Secret(SecretRef),
}

impl DestinationConfig {
    pub(crate) fn decode(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        let place = Self::decode_keys(node, DESTINATION, decoder)?;
        let files = node.get("files").and_then(|node| files::decode(node, decoder)).unwrap_or_default();
        Some(Self { files, ..place })
    }

    /// A store that holds no tables.
    pub(crate) fn decode_store(node: &Node, decoder: &mut Decoder<'_>) -> Option<Self> {
        Self::decode_keys(node, STORE, decoder)
    }

    fn decode_keys(node: &Node, keys: &'static [Key], decoder: &mut Decoder<'_>) -> Option<Self> {
        let fields = decoder.fields(node, keys)?;
        let url = fields.get("url").and_then(|node| {
            let url = url(node, decoder);
            decoder.keep(url)
        });
        let options = options(&fields, url.as_deref(), decoder);
        Some(Self { url: url?, options, files: FileSettings::default() })
    }

    /// The options with their secrets, and the variables of `environment`. Relative paths start from `base`.
    ///
    /// # Errors
    /// A secret is not available. The message never holds one.
    pub(crate) fn store_options(&self, environment: &Environment, base: &Path) -> Result<StoreOptions, ConfigError> {
        let mut options = Vec::new();
        for (name, setting) in &self.options {
            let value = match setting {
                StoreSetting::Text(text) => text.clone(),
                StoreSetting::File(path) => base.join(path).to_string_lossy().into_owned(),
                StoreSetting::Secret(secret) => secret.read(environment, base)?.expose_secret().to_owned(),
            };
            options.push((name.clone(), value));
        }
        for (_, secret) in environment.variables().filter(|(name, _)| names_a_variable(name)) {
            hide(&secret);
        }
        Ok(StoreOptions::new(options, environment.variables()))
    }
}

/// Whether a variable of an object store holds a secret, and not where one is.
fn names_a_variable(name: &str) -> bool {
    let of_store = ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    let is_secret = ["SECRET", "TOKEN", "KEY", "PASSWORD"].iter().any(|word| name.contains(word));
    of_store && is_secret && !["_FILE", "_PATH", "_URI", "_URL"].iter().any(|end| name.ends_with(end))
}

fn url(node: &Node, decoder: &Decoder<'_>) -> Result<String, ConfigError> {
    let url = text(node, decoder.environment)?;
    if url.value.trim().is_empty() {
        return Err(ConfigError::at(node, "the destination is empty").help("write a path such as ./data, or a URL"));
    }
    if let Some((scheme, _)) = url.value.split_once("://") {
        let stores = Cloud::ALL.iter().flat_map(|cloud| cloud.schemes().iter().copied());
        let schemes: Vec<&str> = ["file", "memory"].into_iter().chain(stores).collect();
        if !schemes.contains(&scheme) {
            let message = format!("unsupported scheme `{scheme}`");
            return Err(ConfigError::at(node, message).help(suggestion(scheme, &schemes)));
        }
    }
    if let Some((message, help)) = another_folder(&url.value) {
        return Err(ConfigError::at(node, message).help(help));
    }
    match ctct_load::Destination::check_url(&url.value) {
        Err(LoadError::Url { reason, .. }) => Err(ConfigError::at(node, format!("invalid destination: {reason}"))),
        _ => Ok(url.value),
    }
}

/// Why a path would name another folder than the one that was meant, and what to write.
fn another_folder(url: &str) -> Option<(String, String)> {
    if url.contains("://") {
        return None;
    }
    let first = url.split(['/', '\\']).next().unwrap_or_default();
    if first.starts_with('~') {
        return Some(("`~` is not expanded to a home folder".to_owned(), "write the full path".to_owned()));
    }
    if first.contains('$') {
        let help = "write the full path, or `url: {env: NAME}` with a variable that holds the full path";
        return Some(("variables are not expanded in a path".to_owned(), help.to_owned()));
    }
    let (scheme, _) = first.split_once(':')?;
    let stores = Cloud::ALL.iter().flat_map(|cloud| cloud.schemes().iter().copied());
    let known = ["file", "memory"].into_iter().chain(stores).find(|known| *known == scheme)?;
    let rest = url.strip_prefix(known)?.trim_start_matches([':', '/']);
    Some((format!("`{known}:` needs two slashes after it"), format!("write `{known}://{rest}`")))
}

fn options(fields: &Fields<'_>, url: Option<&str>, decoder: &mut Decoder<'_>) -> Vec<(String, StoreSetting)> {
    let Some(node) = fields.get("options") else { return Vec::new() };
    let entries = decoder.keep(mapping(node)).unwrap_or_default();
    let cloud = url.and_then(|url| Cloud::of_scheme(url.split_once("://")?.0));
    if url.is_some() && cloud.is_none() && !entries.is_empty() {
        decoder.errors.push(ConfigError::at(node, "only object stores take options").help("remove `options`"));
        return Vec::new();
    }
    // Where the URL itself is wrong, an option of any store may be meant.
    let known: Vec<&StoreOption> = Cloud::ALL
        .iter()
        .filter(|other| cloud.is_none_or(|cloud| cloud == **other))
        .flat_map(|cloud| cloud.options())
        .collect();
    let mut options = Vec::new();
    for entry in entries {
        let setting = setting(entry, &known, decoder.environment);
        if let Some(setting) = decoder.keep(setting) {
            options.push((entry.key.clone(), setting));
        }
    }
    options
}

fn setting(entry: &Entry, known: &[&StoreOption], environment: &Environment) -> Result<StoreSetting, ConfigError> {
    let Some(option) = known.iter().find(|option| option.name == entry.key) else {
        // Other tools name them so.
        let bare =
            ["aws_", "google_", "azure_storage_", "azure_"].iter().find_map(|prefix| entry.key.strip_prefix(prefix));
        let names: Vec<&str> = known.iter().map(|option| option.name).collect();
        return Err(match bare.filter(|bare| names.contains(bare)) {
            Some(bare) => ConfigError::new(Some(entry.span), &entry.value.path, format!("unknown key `{}`", entry.key))
                .help(format!("did you mean `{bare}`?")),
            None => unknown_key(entry, &names),
        });
    };
    let node = &entry.value;
    if option.kind == StoreOptionKind::Secret || names_a_secret(option.name) {
        return SecretRef::decode(node, entry.span).map(StoreSetting::Secret);
    }
    if option.kind == StoreOptionKind::File {
        return text(node, environment).map(|path| StoreSetting::File(path.value));
    }
    match &node.value {
        Value::Mapping(_) => text(node, environment).map(|text| StoreSetting::Text(text.value)),
        Value::Scalar(Scalar { text, kind: ScalarKind::Boolean }) if option.kind == StoreOptionKind::Flag => {
            Ok(StoreSetting::Text(text.clone()))
        }
        _ if option.kind == StoreOptionKind::Flag => Err(expected(node, "true or false")),
        Value::Scalar(Scalar { text, kind: ScalarKind::Text | ScalarKind::Number }) => {
            Ok(StoreSetting::Text(text.clone()))
        }
        _ => Err(expected(node, "text or a number")),
    }
}
