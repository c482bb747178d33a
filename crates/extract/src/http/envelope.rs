//! The little that is read of a page here: are the rows there, how many are there in all, where is the next page, and,
//! where rows come newest first, how old is the oldest of them.
//!
//! One pass over the bytes, nothing kept of the rows. Reasons never hold a word of the body. A body that holds text that is
//! not Unicode is read once more with U+FFFD in that place, since the rest of the page is good.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use ctct_catalog::{Direction, Order, Report};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::http::bounds::{self, Bounds};

/// Bytes at either end of a row that tell it from others.
const ENDS: usize = 64;

/// Some programs put this in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What the envelope says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Link to the next page as it stands; `None` on the last page.
    pub(crate) next: Option<String>,
    /// Rows in all, where the API counted them.
    pub(crate) count: Option<u64>,
    /// What the column that rows are ordered by holds in the last row, where they surely come newest first.
    pub(crate) oldest: Option<String>,
    /// How many rows there are, and what tells them from those of another page.
    pub(crate) rows: Rows,
}

/// The rows of a page, as far as another page could be taken for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// How many.
    pub(crate) count: u64,
    /// Of the beginnings and the ends of their texts, which is where keys stand.
    pub(crate) digest: u64,
}

impl Envelope {
    /// Reads the envelope of one page of `report`.
    ///
    /// # Errors
    /// Why the body is not a page of it, or more than one.
    pub(crate) fn read(report: &Report, bounds: Bounds, body: &[u8]) -> Result<Self, String> {
        let scan = Scan {
            rows: report.rows.as_deref(),
            most_rows: bounds.records(),
            oldest: report.order.as_ref().and_then(newest_first),
            count: report.count.as_ref().map(|count| count.field.as_str()),
            next: report.paging.as_ref().map(|paging| paging.next.split('.').collect()).unwrap_or_default(),
        };
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        match body.trim_ascii_start().first() {
            Some(b'{') => {}
            Some(b'<') => return Err("it is HTML or XML, not JSON".to_owned()),
            Some(_) => return Err("it is no JSON object".to_owned()),
            None => return Err("it is empty".to_owned()),
        }
        bounds.check(body)?;
        let found = scan.read(body).or_else(|error| match lossy(body) {
            Some(lossy) => scan.read(&lossy),
            None => Err(error),
        });
        let found = found.map_err(|error| unreadable(&error))?;
        let (mut oldest, mut of_rows) = (None, Rows::default());
        if let Some(rows) = scan.rows {
            match found.rows {
                Some(Value::List(rows, last)) => (of_rows, oldest) = (rows, last),
                Some(other) => return Err(format!("`{rows}` is {}, not a list", other.kind())),
                None => return Err(format!("it has no `{rows}`")),
            }
        }
        let next = match found.next {
            None | Some(Value::Nothing) => None,
            // What was there is not known, and another cursor would be another place.
            Some(Value::Text(href)) if href.contains(char::REPLACEMENT_CHARACTER) => {
                return Err(format!("the link at `{}` is not Unicode", scan.next.join(".")));
            }
            Some(Value::Text(href)) if href.len() > bounds::LINK => {
                let (at, most) = (scan.next.join("."), bounds::LINK);
                return Err(format!("the link at `{at}` is longer than {most} characters"));
            }
            Some(Value::Text(href)) => Some(href).filter(|href| !href.is_empty()),
            Some(other) => return Err(format!("no link at `{}`: there is {}", scan.next.join("."), other.kind())),
        };
        let count = match found.count {
            Some(Value::Count(count)) => Some(count),
            _ => None,
        };
        Ok(Self { next, count, oldest, rows: of_rows })
    }
}

/// The column that rows are ordered by, where the vendor promises that they come newest first.
fn newest_first(order: &Order) -> Option<&str> {
    (order.certain && order.direction == Direction::Descending).then_some(order.by.as_str())
}

/// Why a body could not be read. `serde_json` quotes the body in some of its messages, so only ours are passed on.
fn unreadable(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => error.to_string(),
        Category::Eof => format!("the JSON ends early, at {place}"),
        Category::Syntax | Category::Io => format!("it is not JSON from {place} on"),
    }
}

/// The body with U+FFFD in place of bytes that are not UTF-8 and of escapes of half a surrogate pair; `None` where there is
/// nothing to replace.
fn lossy(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = String::from_utf8_lossy(body).into_owned().into_bytes();
    let mut changed = text != body;
    let mut at = 0;
    // Outside of strings JSON has no backslash.
    while let Some(found) = text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += found;
        let is_high = |unit| (0xD800..0xDC00).contains(&unit);
        let is_low = |unit| (0xDC00..0xE000).contains(&unit);
        match (code_unit(&text, at), code_unit(&text, at + 6)) {
            (Some(high), Some(low)) if is_high(high) && is_low(low) => at += 12,
            (Some(half), _) if is_high(half) || is_low(half) => {
                if let Some(digits) = text.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(b"fffd");
                    changed = true;
                }
                at += 6;
            }
            (Some(_), _) => at += 6,
            (None, _) => at += 2,
        }
    }
    changed.then_some(text)
}

/// The code unit of the escape at this place, such as `\u00e9`.
fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The top level of the body.
struct Scan<'a> {
    rows: Option<&'a str>,
    /// More of them are no page.
    most_rows: Option<u64>,
    /// The column of the rows whose last value is wanted.
    oldest: Option<&'a str>,
    count: Option<&'a str>,
    next: Vec<&'a str>,
}

impl Scan<'_> {
    fn read(&self, body: &[u8]) -> serde_json::Result<EnvelopeParts> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let found = self.deserialize(&mut json)?;
        json.end().map(|()| found)
    }
}

#[derive(Default)]
struct EnvelopeParts {
    rows: Option<Value>,
    count: Option<Value>,
    next: Option<Value>,
}

impl<'de> DeserializeSeed<'de> for &Scan<'_> {
    type Value = EnvelopeParts;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<EnvelopeParts, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Scan<'_> {
    type Value = EnvelopeParts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EnvelopeParts, A::Error> {
        let mut found = EnvelopeParts::default();
        while let Some(key) = map.next_key_seed(Name(self))? {
            let (slot, at) = match key {
                Key::Rows => (&mut found.rows, At { last: self.oldest, most: self.most_rows, ..At::path(&[]) }),
                Key::Count => (&mut found.count, At::path(&[])),
                Key::Next => (&mut found.next, At { once: true, ..At::path(self.next.get(1..).unwrap_or_default()) }),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // A decoder keeps only one of the two, and rows would be lost silently.
            if slot.replace(map.next_value_seed(at)?).is_some() {
                return Err(A::Error::custom("duplicate key in the envelope"));
            }
        }
        Ok(found)
    }
}

/// A key of the top level.
enum Key {
    Rows,
    Count,
    Next,
    Other,
}

/// Tells a key of the top level without copying it.
struct Name<'a>(&'a Scan<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        let Self(scan) = self;
        Ok(match Some(key) {
            key if key == scan.rows => Key::Rows,
            key if key == scan.count => Key::Count,
            key if key == scan.next.first().copied() => Key::Next,
            _ => Key::Other,
        })
    }
}

/// A value of the envelope, as far as it matters.
enum Value {
    /// Absent, null, or a path whose next key is absent.
    Nothing,
    Count(u64),
    Text(String),
    /// With the text of its last row, where that was wanted and there is one.
    List(Rows, Option<String>),
    /// Anything else, and what it is.
    Other(&'static str),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "null",
            Self::Count(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(..) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

/// The value at a path below this one.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a [&'a str],
    /// Whether the keys of the path must be there once at most: a decoder keeps only one of the two.
    once: bool,
    /// Where it is a list of rows: the most of them.
    most: Option<u64>,
    /// Where it is a list of rows: the column whose value in the last of them is wanted.
    last: Option<&'a str>,
}

impl<'a> At<'a> {
    fn path(path: &'a [&'a str]) -> Self {
        Self { path, once: false, most: None, last: None }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other("a boolean"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Value, E> {
        Ok(Value::Count(count))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        // A text is not a link where the path continues below it.
        Ok(if self.path.is_empty() { Value::Text(text.to_owned()) } else { Value::Other("a text") })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Value, A::Error> {
        let (mut found, mut digest, mut last) = (Rows::default(), DefaultHasher::new(), None);
        while let Some(row) = rows.next_element::<&RawValue>()? {
            found.count += 1;
            if let Some(most) = self.most.filter(|most| found.count > *most) {
                return Err(A::Error::custom(format_args!(
                    "it holds more than {most} records, which is twice as many as were asked for"
                )));
            }
            let row = row.get().as_bytes();
            let end = row.len().saturating_sub(ENDS);
            (row.get(..ENDS), row.get(end..)).hash(&mut digest);
            last = Some(row);
        }
        found.digest = digest.finish();
        // What was skipped just now can be read.
        let text = self.last.zip(last).and_then(|(column, row)| {
            let mut json = serde_json::Deserializer::from_slice(row);
            At::path(&[column]).deserialize(&mut json).ok()
        });
        let last = match text {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        Ok(Value::List(found, last))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = if self.path.is_empty() { Value::Other("an object") } else { Value::Nothing };
        let mut seen = false;
        while let Some(key) = map.next_key::<String>()? {
            match self.path.split_first() {
                Some((head, _)) if key == *head && self.once && seen => {
                    return Err(A::Error::custom(format_args!("`{head}` is a duplicate key")));
                }
                Some((head, rest)) if key == *head => {
                    seen = true;
                    found = map.next_value_seed(At { path: rest, ..self })?;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
