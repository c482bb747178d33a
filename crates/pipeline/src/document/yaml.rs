//! YAML text to a tree of nodes. The only module that knows
//! which YAML parser is used. Duplicate keys, several documents and runaway nesting or aliases are errors here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, MessageFormatter, Spanned, UserMessageFormatter};

use super::error::ConfigError;
use super::node::{Entry, Node, Scalar, ScalarKind, Span, Value};

/// Mappings and sequences may be nested this deep; the deepest legal pipeline needs seven levels.
const MAX_DEPTH: usize = 24;
/// More nodes than any pipeline needs, few enough to refuse a bomb of aliases at once.
const MAX_NODES: usize = 100_000;

/// Parses one document.
///
/// # Errors
/// The text is no YAML, holds a key twice or more than one document, or is nested beyond reason.
pub(crate) fn parse(text: &str) -> Result<Node, ConfigError> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, flow_nesting_limit: MAX_DEPTH, max_nodes: MAX_NODES },
    };
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| refused(&error, text))?;
    build(raw, text, String::new())
}

fn refused(error: &serde_saphyr::Error, text: &str) -> ConfigError {
    use serde_saphyr::Error;
    let at = error.location().filter(|location| *location != Location::UNKNOWN).map(|at| span(&at, text));
    let wrong = |message: String, help: &str| ConfigError::new(at, "", message).help(help);
    match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => wrong(format!("duplicate key `{key}`"), "keep one"),
        Error::MultipleDocuments { .. } => {
            wrong("the file has a second YAML document".to_owned(), "one file holds one pipeline")
        }
        Error::MergeKeyNotAllowed { .. } => wrong("`<<` is not supported".to_owned(), "write the keys out"),
        _ if at.is_some_and(|at| indented_by_tab(text, at.line)) => {
            wrong("tabs cannot indent YAML".to_owned(), "indent with spaces, two for each level")
        }
        other => wrong(
            format!("not valid YAML: {}", UserMessageFormatter.format_message(other)),
            "look at the brackets, quotes and indentation here and in the lines before",
        ),
    }
}

/// Whether a line begins with blanks among which there is a tab.
fn indented_by_tab(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
}

fn build(raw: Spanned<Raw>, text: &str, path: String) -> Result<Node, ConfigError> {
    let at = span(&raw.referenced, text);
    let value = match raw.value {
        Raw::Null => Value::Null,
        // Parsed values have lost their spelling (`007`); the text still has it.
        Raw::Plain(kind) => Value::Scalar(Scalar { text: slice(&raw.defined, text), kind }),
        Raw::Text(value) => Value::Scalar(Scalar { text: value, kind: ScalarKind::Text }),
        Raw::Sequence(items) => Value::Sequence(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| build(item, text, format!("{path}[{index}]")))
                .collect::<Result<_, _>>()?,
        ),
        Raw::Mapping(entries) => Value::Mapping(
            entries.into_iter().map(|(key, value)| entry(key, value, text, &path)).collect::<Result<_, _>>()?,
        ),
    };
    let ends = |node: &Node| node.span.start + node.span.len;
    let last_child = match &value {
        Value::Sequence(items) => items.iter().map(ends).max(),
        Value::Mapping(entries) => entries.iter().map(|entry| ends(&entry.value)).max(),
        Value::Null | Value::Scalar(_) => return Ok(Node { value, span: at, path }),
    };
    let end = end(at.start, last_child.unwrap_or(at.start).max(at.start), text);
    Ok(Node { value, span: Span { len: end - at.start, ..at }, path })
}

fn entry(key: Spanned<Raw>, value: Spanned<Raw>, text: &str, path: &str) -> Result<Entry, ConfigError> {
    let at = span(&key.referenced, text);
    let name = match key.value {
        Raw::Text(name) => name,
        Raw::Plain(_) => slice(&key.defined, text),
        _ => return Err(ConfigError::new(Some(at), path, "a key must be text")),
    };
    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
    Ok(Entry { span: at, value: build(value, text, path)?, key: name })
}

/// The place that the parser names, kept inside the text and on character borders: an error message must never panic.
fn span(location: &Location, text: &str) -> Span {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let (line, column) = (number(location.line()).max(1), number(location.column()).max(1));
    let place = location.span();
    let start = floor(text, place.byte_offset().map_or_else(|| offset(text, line, column), number));
    let end = floor(text, start.saturating_add(number(place.byte_len().unwrap_or(0))));
    Span { line, column, start, len: end.saturating_sub(start) }
}

/// Offset of a place that the parser only names by line and column, as it does where it gave up.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    before + rest.char_indices().nth(column - 1).map_or(rest.len(), |(index, _)| index)
}

/// Where a mapping or list ends: behind its last child, and behind the bracket that closes it where there is one. The
/// parser tells only where it begins.
fn end(start: usize, last_child: usize, text: &str) -> usize {
    let closing = match text.as_bytes().get(start) {
        Some(b'{') => '}',
        Some(b'[') => ']',
        _ => return last_child,
    };
    let after = last_child.max(start + 1);
    let rest = text.get(after..).unwrap_or_default();
    let closed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    if closed.starts_with(closing) { text.len() - closed.len() + 1 } else { last_child }
}

fn floor(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset.min(text.len()))
}

fn slice(location: &Location, text: &str) -> String {
    let span = span(location, text);
    text.get(span.start..span.start + span.len).unwrap_or_default().trim().to_owned()
}

/// A node as the parser hands it over, before it has a place.
enum Raw {
    Null,
    Plain(ScalarKind),
    Text(String),
    Sequence(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(ScalarKind::Boolean))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(ScalarKind::Number))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(ScalarKind::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(ScalarKind::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut sequence = Vec::new();
        while let Some(item) = items.next_element()? {
            sequence.push(item);
        }
        Ok(Raw::Sequence(sequence))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut mapping = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            mapping.push(entry);
        }
        Ok(Raw::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    /// `path @ line:column+len kind text`, one line a node, keys too.
    fn outline(node: &Node, out: &mut String) {
        let Span { line, column, len, .. } = node.span;
        let text = if let Value::Scalar(scalar) = &node.value { scalar.text.as_str() } else { "" };
        writeln!(out, "{:<16} {line}:{column}+{len} {} {text}", node.path, node.kind()).unwrap();
        match &node.value {
            Value::Sequence(items) => items.iter().for_each(|item| outline(item, out)),
            Value::Mapping(entries) => {
                for entry in entries {
                    let Span { line, column, len, .. } = entry.span;
                    writeln!(out, "{:<16} {line}:{column}+{len} key", entry.key).unwrap();
                    outline(&entry.value, out);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn nodes_and_keys_keep_their_place_and_their_spelling() {
        let text = "a: 007\nb: [x, 'é', \"7\"]\nc:\n  d: 2026-01-01\n  'e f': {g: true, h: ~}\ni: &x {j: 1.50}\nk: *x\n7: no\n";
        let mut out = String::new();
        outline(&parse(text).unwrap(), &mut out);
        insta::assert_snapshot!(out);
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_place() {
        let broken = [
            "a: 1\na: 2\n",
            "a: [1\nb: 2\n",
            "a:\n\t- b\n",
            "---\na: 1\n---\nb: 2\n",
            "? [a]\n: b\n",
            "a: *nowhere\n",
            "x: &x {a: 1}\ny: {<<: *x}\n",
        ];
        let mut out = String::new();
        for text in broken {
            writeln!(out, "{text:?}\n    {}", parse(text).unwrap_err()).unwrap();
        }
        let deep = "[".repeat(2000);
        writeln!(out, "2000 x [\n    {}", parse(&deep).unwrap_err()).unwrap();
        insta::assert_snapshot!(out);
    }

    #[test]
    fn an_empty_text_is_nothing() {
        for text in ["", "\n\n", "# only a comment\n"] {
            assert_eq!(parse(text).unwrap().kind(), "nothing", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn no_yaml_like_text_panics_the_parser(text in "([a-z\u{e9}]{1,2}|: |- |\n|\n  |\\[|\\]|\\{|\\}|,|&a |\\*a|\"|'|#|[0-9]|\\||>|%|!|\\?|\t){0,60}") {
            if let Ok(node) = parse(&text) {
                prop_assert!(node.span.start + node.span.len <= text.len());
            }
        }
    }
}
