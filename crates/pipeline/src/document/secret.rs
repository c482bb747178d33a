//! The secrets that a pipeline refers to. None is read before it is needed, so `validate` and `plan` work on a host that has none.

use std::path::{Path, PathBuf};

use ctct_extract::{hide, read_secret};
use secrecy::SecretString;

use super::environment::Environment;
use super::fields::{expected, mapping};
use crate::document::error::ConfigError;
use crate::document::node::{Node, Scalar, ScalarKind, Span, Value};

/// Where a secret is. Holds no secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// The place.
    pub place: SecretPlace,
    span: Span,
    path: String,
}

/// The two places where a secret may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// The environment variable of this name.
    Variable(String),
    /// The file of this path.
    File(String),
}

impl SecretRef {
    /// Reads `{env: NAME}` or `{file: PATH}`. A secret in the file itself is refused, and never shown.
    pub(crate) fn decode(node: &Node, key: Span) -> Result<Self, ConfigError> {
        const HELP: &str = "write {env: NAME} or {file: PATH}";
        if let Value::Scalar(_) = node.value {
            // The mark goes under the key, so that the line of the secret is not shown.
            return Err(ConfigError::new(Some(key), &node.path, "secrets are not allowed in pipeline files").help(HELP));
        }
        let [entry] = mapping(node)? else {
            return Err(ConfigError::at(node, "expected either `env` or `file`").help(HELP));
        };
        let Value::Scalar(Scalar { text, kind: ScalarKind::Text }) = &entry.value.value else {
            return Err(expected(&entry.value, "text").help(HELP));
        };
        let place = match entry.key.as_str() {
            "env" => SecretPlace::Variable(text.clone()),
            "file" => SecretPlace::File(text.clone()),
            other => {
                let message = format!("unknown key `{other}`");
                return Err(ConfigError::new(Some(entry.span), &entry.value.path, message).help(HELP));
            }
        };
        Ok(Self { place, span: node.span, path: node.path.clone() })
    }

    /// An error about it.
    pub(crate) fn wrong(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(Some(self.span), &self.path, message)
    }

    /// Reads the secret. Relative paths start from `base`.
    pub(crate) fn read(&self, environment: &Environment, base: &Path) -> Result<SecretString, ConfigError> {
        self.read_if(environment, base, |c| c.is_ascii_graphic())
    }

    /// Reads a secret that may have spaces, such as the value of a header.
    pub(crate) fn read_line(&self, environment: &Environment, base: &Path) -> Result<SecretString, ConfigError> {
        self.read_if(environment, base, |c| c.is_ascii_graphic() || c == ' ')
    }

    fn read_if(
        &self,
        environment: &Environment,
        base: &Path,
        fits: fn(char) -> bool,
    ) -> Result<SecretString, ConfigError> {
        let wrong = |message: String| self.wrong(message);
        let (secret, place) = match &self.place {
            SecretPlace::Variable(name) => {
                let value = environment.get(name).ok_or_else(|| {
                    wrong(format!("the environment variable `{name}` is not set")).help("set it before the run")
                })?;
                (value.to_owned(), format!("the environment variable `{name}`"))
            }
            SecretPlace::File(path) => {
                // Without the `.` of `./token`.
                let file: PathBuf = base.join(path).components().collect();
                let place = format!("the file `{}`", file.display());
                let text = read_secret(&file).map_err(|error| wrong(format!("{place} cannot be read: {error}")))?;
                (text, place)
            }
        };
        match secret.trim() {
            "" => Err(wrong(format!("{place} is empty"))),
            secret if !secret.chars().all(fits) => {
                Err(wrong(format!("{place} has characters that are not allowed in a token")))
            }
            secret => {
                hide(secret);
                Ok(SecretString::from(secret))
            }
        }
    }
}
