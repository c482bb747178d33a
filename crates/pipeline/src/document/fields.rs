//! Reading typed values from nodes: one function a shape, each with one message. What is wrong is collected, so that
//! one look at a file shows all of it.

use chrono_tz::Tz;

use super::environment::Environment;
use super::keys::{Key, Shape};
use crate::document::error::{ConfigError, without_user};
use crate::document::node::{Entry, Node, Scalar, ScalarKind, Value};

/// What decoding a file needs and gathers.
pub(crate) struct Decoder<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) errors: Vec<ConfigError>,
}

impl Decoder<'_> {
    /// The value, or nothing and one error more.
    pub(crate) fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// The entries of a mapping, after a check that each key is declared and each required one is there.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, keys: &'static [Key]) -> Option<Fields<'n>> {
        let entries = self.keep(mapping(node))?;
        for entry in entries.iter().filter(|entry| !keys.iter().any(|key| key.name == entry.key)) {
            self.errors.push(unknown_key(entry, &keys.iter().map(|key| key.name).collect::<Vec<_>>()));
        }
        for key in keys.iter().filter(|key| key.required && !entries.iter().any(|entry| entry.key == key.name)) {
            self.errors.push(missing(node, key));
        }
        Some(Fields { entries, keys })
    }
}

/// A mapping whose keys have been checked.
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    keys: &'static [Key],
}

impl<'n> Fields<'n> {
    /// The value of a key, where the file has it.
    pub(crate) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entry(name).map(|entry| &entry.value)
    }

    /// A key and its value, where the file has it.
    pub(crate) fn entry(&self, name: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == name)
    }

    /// The text of a key.
    pub(crate) fn text(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<String> {
        let text = text(self.get(name)?, decoder.environment);
        decoder.keep(text).map(|text| text.value)
    }

    /// The text of a key that names something: see [`Shape::Name`].
    pub(crate) fn name(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<String> {
        let node = self.get(name)?;
        let read = text(node, decoder.environment).and_then(|text| {
            if is_name(&text.value) {
                return Ok(text.value);
            }
            let message = text.named("invalid name");
            Err(ConfigError::at(node, message)
                .help("use letters, digits, `.`, `_` and `-`, up to 64 characters, starting with a letter or digit"))
        });
        decoder.keep(read)
    }

    /// The time zone of a key.
    pub(crate) fn timezone(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<Tz> {
        let node = self.get(name)?;
        let zone = text(node, decoder.environment).and_then(|text| {
            text.value.parse().map_err(|_| {
                let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
                let help = city(&text.value, &names)
                    .or_else(|| did_you_mean(&text.value, &names))
                    .unwrap_or_else(|| "use an IANA name such as `America/New_York` or `UTC`".to_owned());
                ConfigError::at(node, text.named("invalid time zone")).help(help)
            })
        });
        decoder.keep(zone)
    }

    /// The whole number of a key, within the bounds that its declaration gives.
    pub(crate) fn count(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<u64> {
        let node = self.get(name)?;
        let (min, max) = match self.shape(name) {
            Some(Shape::Count { min, max }) => (*min, *max),
            _ => (0, u64::MAX),
        };
        decoder.keep(count(node, min, max))
    }

    /// The same, for what fits 32 bits.
    pub(crate) fn count32(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<u32> {
        self.count(name, decoder).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Whether a key is set to `true`.
    pub(crate) fn flag(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<bool> {
        let node = self.get(name)?;
        let flag = match &node.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::Boolean }) => Ok(text == "true"),
            _ => Err(expected(node, "true or false")),
        };
        decoder.keep(flag)
    }

    /// The number of a key, within the bounds that its declaration gives.
    pub(crate) fn number(&self, name: &str, decoder: &mut Decoder<'_>) -> Option<f64> {
        let node = self.get(name)?;
        let (above_zero, max) = match self.shape(name) {
            Some(Shape::Rate { max }) => (true, *max),
            _ => (false, 1.0),
        };
        let number = match &node.value {
            Value::Scalar(Scalar { text, kind: ScalarKind::Number }) => match text.parse::<f64>() {
                Ok(number) if (0.0..=max).contains(&number) && !(above_zero && number == 0.0) => Ok(number),
                _ => {
                    let range = if above_zero { format!("above 0, {max} at most") } else { format!("from 0 to {max}") };
                    Err(ConfigError::at(node, format!("{text} is out of range")).help(range))
                }
            },
            _ => Err(expected(node, "a number")),
        };
        decoder.keep(number)
    }

    fn shape(&self, name: &str) -> Option<&'static Shape> {
        self.keys.iter().find(|key| key.name == name).map(|key| &key.shape)
    }
}

/// A text and how it came into the file.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) value: String,
    /// The variable of `{env: NAME}`. Its value is never shown.
    variable: Option<String>,
}

impl Text {
    /// A message about the text: `what` and the text, or the variable that it comes from.
    pub(crate) fn named(&self, what: &str) -> String {
        match &self.variable {
            Some(variable) => format!("{what} in ${variable}"),
            None => format!("{what} {}", self.shown()),
        }
    }

    /// The text in a message.
    pub(crate) fn shown(&self) -> String {
        match &self.variable {
            Some(variable) => format!("the value of ${variable}"),
            None => format!("`{}`", without_user(&self.value)),
        }
    }
}

/// Text, or `{env: NAME}`.
pub(crate) fn text(node: &Node, environment: &Environment) -> Result<Text, ConfigError> {
    match &node.value {
        Value::Scalar(Scalar { text, kind: ScalarKind::Text }) => Ok(Text { value: text.clone(), variable: None }),
        Value::Scalar(Scalar { text, .. }) => Err(expected(node, "text").help(format!("put it in quotes: \"{text}\""))),
        Value::Mapping(_) => variable(node, environment),
        _ => Err(expected(node, "text")),
    }
}

/// Text, a number, or `{env: NAME}`: ids and values are often all digits.
pub(crate) fn text_or_number(node: &Node, environment: &Environment) -> Result<Text, ConfigError> {
    match &node.value {
        Value::Scalar(Scalar { text, kind: ScalarKind::Number }) => Ok(Text { value: text.clone(), variable: None }),
        _ => text(node, environment),
    }
}

fn variable(node: &Node, environment: &Environment) -> Result<Text, ConfigError> {
    let entries = mapping(node)?;
    if let Some(entry) = entries.iter().find(|entry| entry.key != "env") {
        return Err(expected(node, "text").help(format!("write text or {{env: NAME}}; `{}` is not allowed", entry.key)));
    }
    let Some(name) = node.get("env") else { return Err(expected(node, "text")) };
    let Value::Scalar(Scalar { text: variable, kind: ScalarKind::Text }) = &name.value else {
        return Err(expected(name, "the name of an environment variable"));
    };
    match environment.get(variable) {
        Some(value) => Ok(Text { value: value.to_owned(), variable: Some(variable.clone()) }),
        None => Err(ConfigError::at(name, format!("the environment variable `{variable}` is not set"))
            .help("set it before the run")),
    }
}

/// The entries of a mapping.
pub(crate) fn mapping(node: &Node) -> Result<&[Entry], ConfigError> {
    match &node.value {
        Value::Mapping(entries) => Ok(entries),
        _ => Err(expected(node, "a mapping")),
    }
}

/// A whole number from `min` to `max`.
pub(crate) fn count(node: &Node, min: u64, max: u64) -> Result<u64, ConfigError> {
    let Value::Scalar(Scalar { text, kind: ScalarKind::Number }) = &node.value else {
        return Err(expected(node, "a whole number"));
    };
    let range = || if max == u64::MAX { format!("{min} or more") } else { format!("from {min} to {max}") };
    match text.parse::<u64>() {
        Ok(count) if (min..=max).contains(&count) => Ok(count),
        _ if text.parse::<i128>().is_err() => {
            Err(ConfigError::at(node, format!("invalid number `{text}`"))
                .help(format!("use a whole number, {}", range())))
        }
        _ => Err(ConfigError::at(node, format!("{text} is out of range")).help(range())),
    }
}

/// The node is of another kind than what is wanted.
pub(crate) fn expected(node: &Node, wanted: &str) -> ConfigError {
    ConfigError::at(node, format!("expected {wanted}, found {}", node.kind()))
}

/// A text that is none of the values that are taken.
pub(crate) fn not_in_list<S: AsRef<str>>(node: &Node, text: &Text, values: &[S]) -> ConfigError {
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    let key = node.path.rsplit('.').next().unwrap_or_default();
    let key = key.split('[').next().unwrap_or_default();
    let expected = match values.as_slice() {
        [] => "nothing to choose from".to_owned(),
        [only] => format!("expected {only}"),
        [others @ .., last] => format!("expected {} or {last}", others.join(", ")),
    };
    let wrong = ConfigError::at(node, format!("invalid `{key}`: {} ({expected})", text.shown()));
    match typo(&text.value, &values) {
        Some(meant) => wrong.help(format!("did you mean `{meant}`?")),
        None => wrong,
    }
}

/// "did you mean" with the time zones that have this city, whether it stands alone or after another region.
fn city(written: &str, zones: &[&str]) -> Option<String> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().replace([' ', '-'], "_").to_lowercase();
    let wanted = last(written);
    let zones = || zones.iter().filter(|zone| zone.contains('/'));
    let same: Vec<String> = zones().filter(|zone| last(zone) == wanted).map(|zone| format!("`{zone}`")).collect();
    if !same.is_empty() {
        return Some(format!("did you mean {}?", same.join(" or ")));
    }
    let near = zones().find(|zone| wanted.len() > 3 && strsim::damerau_levenshtein(&last(zone), &wanted) <= 1)?;
    Some(format!("did you mean `{near}`?"))
}

/// The value that a text is a slip of: one letter more, less or other, or two the wrong way round. What is further away may be
/// another word, and even its opposite.
fn typo<'v>(written: &str, values: &[&'v str]) -> Option<&'v str> {
    let written = written.to_lowercase();
    values.iter().copied().find(|value| strsim::damerau_levenshtein(&written, &value.to_lowercase()) <= 1)
}

/// A key that is not declared.
pub(crate) fn unknown_key(entry: &Entry, keys: &[&str]) -> ConfigError {
    ConfigError::new(Some(entry.span), &entry.value.path, format!("unknown key `{}`", entry.key))
        .help(suggestion(&entry.key, keys))
}

/// A key that must be there and is not.
fn missing(node: &Node, key: &Key) -> ConfigError {
    let message = format!("`{}` is missing", key.name);
    ConfigError::at(node, message).help(key.doc)
}

/// "did you mean ...?", or else all that there is.
pub(crate) fn suggestion(written: &str, known: &[&str]) -> String {
    did_you_mean(written, known).unwrap_or_else(|| match known {
        [] => "no key is allowed here".to_owned(),
        [only] => format!("only `{only}` is allowed here"),
        _ => format!("use one of: {}", known.join(", ")),
    })
}

/// "did you mean" with the nearest of the known names, where one is near.
pub fn did_you_mean(written: &str, known: &[&str]) -> Option<String> {
    let written = written.to_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&written, &name.to_lowercase());
    let nearest = known.iter().copied().min_by_key(distance)?;
    let near_enough = distance(&nearest) <= (nearest.len() / 3).max(1);
    near_enough.then(|| format!("did you mean `{nearest}`?"))
}

/// Whether a text can name a pipeline, an account or an application: letters, digits, `.`, `_` and `-`, up to 64 characters, the
/// first a letter or a digit. The JSON Schema says the same as a pattern.
pub fn is_name(text: &str) -> bool {
    ctct_extract::is_account_name(text)
}
