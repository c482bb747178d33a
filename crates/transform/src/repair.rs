//! Text that is not Unicode: bytes that are not UTF-8, and escapes of half a surrogate pair (`\ud83d` alone, an emoji
//! that some system cut in two). The rest of the page is good, so U+FFFD takes their place.
//!
//! Runs only on a body that could not be read as it is. It goes over the bytes once, without recursion, and follows the
//! shape of the page, to tell in which fields it found such text.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::{DataType, FieldRef, Fields, SchemaRef};
use ctct_catalog::EXTRA;

use crate::wire::{self, BARE, MISFIT, RECORD};

const REPLACEMENT: &str = "\u{FFFD}";

/// A body in which all text is Unicode, and where it was not. Only fields that a column takes are told: everything else
/// that is kept counts as drift as it is.
#[derive(Debug, Default)]
pub(crate) struct Repaired {
    /// The body.
    pub(crate) body: Vec<u8>,
    /// By dotted path, the record of each object that had such text there.
    pub(crate) fields: BTreeMap<String, Vec<usize>>,
    /// The same for fields without which a record cannot land.
    pub(crate) required: BTreeMap<String, Vec<usize>>,
    /// Known keys of the envelope that had it.
    pub(crate) envelope: BTreeSet<String>,
}

/// The body of a page of this shape with U+FFFD in place of what is not Unicode.
pub(crate) fn repaired(body: &[u8], wire: &SchemaRef, has_rows: bool) -> Repaired {
    let mut pass = Pass {
        repaired: Repaired { body: Vec::with_capacity(body.len()), ..Repaired::default() },
        open: Vec::new(),
        next: Place { kind: Kind::Object(wire.fields()), path: String::new() },
        record: (!has_rows).then_some(0),
        string: None,
        is_value: false,
    };
    for chunk in body.utf8_chunks() {
        pass.add(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            pass.replace();
        }
    }
    pass.repaired
}

/// What the shape of the page has at some place.
#[derive(Clone, Copy)]
enum Kind<'a> {
    Object(&'a Fields),
    List(&'a FieldRef),
    Text {
        required: bool,
    },
    /// A known key of the envelope that nobody reads.
    Ignored,
    /// What the shape does not have, or has a column of another type for: it is kept and counted as one.
    Other,
}

#[derive(Clone)]
struct Place<'a> {
    kind: Kind<'a>,
    /// Dotted path within a record or the envelope.
    path: String,
}

impl<'a> Place<'a> {
    /// The place of a field's value in an object at this one, as far as the object may have it.
    fn of(field: &'a FieldRef, path: String) -> Self {
        let kind = match field.data_type() {
            DataType::Struct(fields) => Kind::Object(fields),
            DataType::List(element) => Kind::List(element),
            DataType::Null => Kind::Ignored,
            DataType::Utf8View => Kind::Text { required: wire::is_required(field) },
            _ => Kind::Other,
        };
        Self { kind, path }
    }

    fn other() -> Self {
        Self { kind: Kind::Other, path: String::new() }
    }

    /// The place of the value under this key.
    fn member(&self, key: &str) -> Self {
        match self.kind {
            Kind::Object(fields) => {
                let is_named = |field: &&FieldRef| field.name() == key && ![EXTRA, MISFIT].contains(&key);
                let Some(field) = fields.iter().find(is_named) else { return Self::other() };
                let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
                Self::of(field, path)
            }
            Kind::Ignored => self.clone(),
            _ => Self::other(),
        }
    }

    /// The place of the elements of a list that is at this one.
    fn element(&self) -> Self {
        match self.kind {
            Kind::List(element) => match element.data_type() {
                DataType::Struct(fields) if element.name() == BARE => {
                    fields.first().map_or_else(Self::other, |item| Self::of(item, self.path.clone()))
                }
                DataType::Struct(fields) if element.name() == RECORD => {
                    Self { kind: Kind::Object(fields), path: String::new() }
                }
                DataType::Struct(fields) => Self { kind: Kind::Object(fields), path: self.path.clone() },
                _ => Self::other(),
            },
            Kind::Ignored => self.clone(),
            _ => Self::other(),
        }
    }
}

/// An object or a list that has begun.
struct Open<'a> {
    is_object: bool,
    is_records: bool,
    /// Of an object its own place, of a list that of its elements.
    place: Place<'a>,
    /// Whether a bare element of the list was told already.
    told: bool,
}

/// A string that has begun.
struct Text {
    /// Where it starts in the new body.
    start: usize,
    /// Whether something in it was replaced.
    replaced: bool,
}

struct Pass<'a> {
    repaired: Repaired,
    open: Vec<Open<'a>>,
    /// Where the next value stands.
    next: Place<'a>,
    record: Option<usize>,
    string: Option<Text>,
    /// Whether the next string of an object is a value rather than a key.
    is_value: bool,
}

impl Pass<'_> {
    /// Puts the replacement character where something is not Unicode.
    fn replace(&mut self) {
        self.repaired.body.extend_from_slice(REPLACEMENT.as_bytes());
        if let Some(text) = &mut self.string {
            text.replaced = true;
        }
    }

    /// Takes over bytes that are UTF-8.
    fn add(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, after)) = bytes.split_first() {
            if self.string.is_some() && byte == b'\\' {
                let (length, is_half) = escape(bytes);
                let (escape, after) = bytes.split_at(length);
                if is_half {
                    self.replace();
                } else {
                    self.repaired.body.extend_from_slice(escape);
                }
                bytes = after;
                continue;
            }
            self.repaired.body.push(byte);
            match &self.string {
                Some(_) if byte == b'"' => self.end_string(),
                Some(_) => {}
                None => self.token(byte),
            }
            bytes = after;
        }
    }

    /// A byte outside of strings.
    fn token(&mut self, byte: u8) {
        match byte {
            b'"' => self.string = Some(Text { start: self.repaired.body.len() - 1, replaced: false }),
            b':' => self.is_value = true,
            b'{' | b'[' => self.begin(byte == b'{'),
            b'}' | b']' => {
                if self.open.pop().is_some_and(|open| open.is_records) {
                    self.record = None;
                }
                self.is_value = true;
            }
            b',' => {
                self.is_value = false;
                if let Some(list) = self.open.last().filter(|open| !open.is_object) {
                    self.next = list.place.clone();
                    if list.is_records {
                        self.record = self.record.map(|record| record + 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, is_object: bool) {
        let here = std::mem::replace(&mut self.next, Place::other());
        let is_records = matches!(here.kind, Kind::List(element) if element.name() == RECORD) && !is_object;
        if is_records {
            self.record = Some(0);
        }
        let place = if is_object { here } else { here.element() };
        if !is_object {
            self.next = place.clone();
        }
        self.is_value = false;
        self.open.push(Open { is_object, is_records, place, told: false });
    }

    fn end_string(&mut self) {
        let Some(text) = self.string.take() else { return };
        match self.open.last_mut() {
            Some(open) if open.is_object && !self.is_value => {
                let key = self.repaired.body.get(text.start..).unwrap_or_default();
                let key: String = serde_json::from_slice(key).unwrap_or_default();
                if text.replaced && matches!(open.place.kind, Kind::Ignored) {
                    self.repaired.envelope.insert(open.place.path.clone());
                }
                self.next = open.place.member(&key);
            }
            // Of the bare elements of one list, one is enough: the object around it counts.
            Some(open) if text.replaced && (open.is_object || !open.told) => {
                open.told = !open.is_object;
                self.tell();
            }
            _ => {}
        }
    }

    /// Tells of the text at the place of the value that has just ended.
    fn tell(&mut self) {
        let Place { kind, path } = self.next.clone();
        match (kind, self.record) {
            (Kind::Text { required: true }, Some(record)) => {
                self.repaired.required.entry(path).or_default().push(record);
            }
            (Kind::Text { .. }, Some(record)) => self.repaired.fields.entry(path).or_default().push(record),
            (Kind::Ignored, _) => _ = self.repaired.envelope.insert(path),
            _ => {}
        }
    }
}

/// The length of the escape at the start of the bytes, of a surrogate pair both halves, and whether it is one half
/// without the other.
fn escape(bytes: &[u8]) -> (usize, bool) {
    match unit(bytes) {
        Some(0xD800..=0xDBFF) => match bytes.get(6..).and_then(unit) {
            Some(0xDC00..=0xDFFF) => (12, false),
            _ => (6, true),
        },
        Some(0xDC00..=0xDFFF) => (6, true),
        Some(_) => (6, false),
        None => (bytes.len().min(2), false),
    }
}

/// The code unit of an escape such as `\u00e9` at the start of the bytes.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}
