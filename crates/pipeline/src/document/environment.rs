//! Environment variables as they were at the start, and the secrets that a pipeline refers to. No secret is read before
//! it is needed, so `validate` and `plan` work on a host that has none.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ctct_extract::{hide, read_secret};
use secrecy::SecretString;

use super::fields::{expected, mapping};
use crate::document::error::ConfigError;
use crate::document::yaml::{Node, Scalar, ScalarKind, Span, Value};

/// Names the variable with the key that sign-ins in a store are encrypted with.
pub const TOKEN_KEY: &str = "CTCT_TOKEN_KEY";

/// The environment variables that `{env: NAME}` may name.
#[derive(Clone, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// The variables of this process; those that are no UTF-8 are left out.
    pub fn process() -> Self {
        let text = |value: std::ffi::OsString| value.into_string().ok();
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    /// All variables with their values.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

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
