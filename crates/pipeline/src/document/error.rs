//! What is wrong with a pipeline file, where, and what would be right; and how it is shown. No value of a key that
//! may hold a secret is ever shown.

use std::borrow::Cow;
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::document::node::{Node, Span};

/// More errors than this are counted, not shown: the first ones usually cause the rest.
const SHOWN: usize = 20;
/// A key that contains one of these is taken for a secret's, and its value is blanked before its line is shown.
const SECRET_WORDS: &[&str] = &["token", "secret", "password", "credential", "access_key", "webhook"];

/// One thing that is wrong in a pipeline file. Displays as `line:column: key: message`; [`ConfigErrors`] adds the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Where it is; absent where the error is about the file itself.
    pub span: Option<Span>,
    /// Path of the key, such as `reports[1].start_date`; empty for the file itself.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(span: Option<Span>, key: &str, message: impl Into<String>) -> Self {
        Self { span, key: key.to_owned(), message: message.into(), help: None }
    }

    /// An error about the value of a node.
    pub(crate) fn at(node: &Node, message: impl Into<String>) -> Self {
        Self::new(Some(node.span), &node.path, message)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Span { line, column, .. }) = self.span {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with one pipeline file, in the order of the file. Displays as one
/// `file:line:column: key: message` a line; [`ConfigErrors::render`] shows the lines of the file too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    file: String,
    text: String,
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(crate) fn new(file: &str, text: &str, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.span);
        errors.dedup();
        Self { file: file.to_owned(), text: blank_secrets(text), errors }
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The errors, in the order of the file.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// The errors as a compiler shows them: message, place, the line with the place marked, and help.
    /// Terminal colors only when `color` is set.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let shown = self.errors.iter().take(SHOWN).map(|error| self.render_one(error, &renderer));
        let rest = self.errors.len().saturating_sub(SHOWN);
        let more = (rest > 0).then(|| format!("and {rest} more"));
        shown.chain(more).collect::<Vec<_>>().join("\n\n")
    }

    fn render_one(&self, error: &ConfigError, renderer: &Renderer) -> String {
        let title = Level::ERROR.primary_title(Cow::Borrowed(error.message.as_str()));
        let mut group = match error.span {
            Some(span) => {
                let start = span.start.min(self.text.len());
                let end = one_line(&self.text, start, (span.start + span.len).min(self.text.len()));
                title.element(
                    Snippet::source(self.text.as_str())
                        .path(self.file.as_str())
                        .annotation(AnnotationKind::Primary.span(start..end)),
                )
            }
            None => Group::with_title(title).element(annotate_snippets::Origin::path(self.file.as_str())),
        };
        if let Some(help) = &error.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().take(SHOWN).enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            let separator = if error.span.is_some() { ":" } else { ": " };
            write!(f, "{newline}{}{separator}{error}", self.file)?;
            if let Some(help) = &error.help {
                write!(f, " ({help})")?;
            }
        }
        let rest = self.errors.len().saturating_sub(SHOWN);
        if rest > 0 { write!(f, "\nand {rest} more") } else { Ok(()) }
    }
}

/// The end of a mark that stays on its first line: a mapping would otherwise mark half the file.
fn one_line(text: &str, start: usize, end: usize) -> usize {
    text.get(start..end).and_then(|marked| marked.find('\n')).map_or(end, |newline| start + newline)
}

/// Whether a key of this name may hold a secret.
pub(crate) fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// The text with `*` in place of what stands after a key that may hold a secret, and of the user and password of an
/// address; offsets stay as they are. It goes by lines, so that it also holds for a text that is no YAML. References
/// such as `{env: NAME}` are left alone.
fn blank_secrets(text: &str) -> String {
    let mut blanked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(colon) = rest.find(':') {
            let (key, value) = rest.split_at(colon + 1);
            blanked.push_str(key);
            let secret = match value.strip_prefix("//") {
                // Up to the last `@`, since a password may hold a slash, or all of an address with a query.
                Some(address) if address.contains('?') => value.len(),
                Some(address) => user_of(address).map_or(0, |user| user + 2),
                None if names_a_secret(key) && !is_reference(value) => value.len(),
                None => 0,
            };
            let (secret, after) = value.split_at(secret);
            let keep = |byte: u8| byte.is_ascii_whitespace() || byte == b'/';
            blanked.extend(secret.bytes().map(|byte| if keep(byte) { char::from(byte) } else { '*' }));
            rest = after;
        }
        blanked.push_str(rest);
    }
    blanked
}

/// Where the user and the password of an address end; it begins behind the `//`.
fn user_of(address: &str) -> Option<usize> {
    let end = address.find([' ', '\t', '\n', '"', '\'']).unwrap_or(address.len());
    address.get(..end)?.rfind('@')
}

/// The text without the user and the password of an address in it.
pub(crate) fn without_user(text: &str) -> String {
    let user =
        text.split_once("://").and_then(|(scheme, address)| Some((scheme, address.split_at(user_of(address)?).1)));
    user.map_or_else(|| text.to_owned(), |(scheme, host)| format!("{scheme}://***{host}"))
}

fn is_reference(value: &str) -> bool {
    let inside = value.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with("env:") || inside.starts_with("file:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_blanked_and_offsets_stay() {
        let text = "a: {access_token: ab é}\n  api_secret : 'x: y'\nb: {access_token: { env: X}}\nu: https://me:pw@host/a@b: 1";
        let blanked = blank_secrets(text);
        assert_eq!(blanked.len(), text.len());
        assert_eq!(
            blanked,
            "a: {access_token: ** ***\n  api_secret : *** **\nb: {access_token: { env: X}}\nu: https://**********/*@b: 1"
        );
    }

    #[test]
    fn many_errors_are_bounded() {
        let errors = (1..=30).map(|line| {
            let span = Span { line, column: 1, start: line * 2 - 2, len: 1 };
            ConfigError::new(Some(span), "k", format!("wrong {line}"))
        });
        let errors = ConfigErrors::new("a.yaml", &"x\n".repeat(30), errors.collect());
        assert_eq!(errors.to_string().lines().count(), 21);
        assert!(errors.to_string().ends_with("a.yaml:20:1: k: wrong 20\nand 10 more"));
        assert_eq!(errors.render(false).matches("error: ").count(), 20);
        assert!(errors.render(false).ends_with("and 10 more"));
    }
}
