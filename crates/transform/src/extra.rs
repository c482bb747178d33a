//! What the API sends and no column takes: kept as JSON in `_extra`, and counted as drift. That is what the catalog
//! does not know, and values that do not fit their column.
//!
//! The text does not depend on the order in which the API sent keys, since an object has none: members are sorted by
//! key, in nested objects too. Lists keep their order, numbers their digits.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, StringViewArray, StructArray};
use arrow_json::reader::{Tape, TapeElement};
use arrow_schema::DataType;
use ctct_catalog::EXTRA;
use serde_json::value::RawValue;

use crate::values;

/// What is left over of a batch of objects.
#[derive(Default)]
pub(crate) struct Leftovers {
    /// Row, position of the value on the tape, and what of it is kept.
    members: Vec<(usize, u32, Leftover)>,
}

/// What of a member's value is kept.
pub(crate) enum Leftover {
    /// All of it.
    Value,
    /// Of a list, the elements at these positions.
    Elements(Vec<u32>),
    /// Of an object, this part of it, as JSON.
    Inside(String),
}

impl Leftovers {
    /// Adds a member of the object at `row`. `position` is where its value stands, one after its key.
    pub(crate) fn add(&mut self, row: usize, position: u32, leftover: Leftover) {
        self.members.push((row, position, leftover));
    }

    /// The `_extra` column of `rows` rows.
    pub(crate) fn finish(mut self, tape: &Tape<'_>, rows: usize) -> StringViewArray {
        if self.members.is_empty() {
            return StringViewArray::new_null(rows);
        }
        // Duplicate keys stay in the order in which they were sent.
        self.members.sort_by_key(|(row, position, _)| (*row, key(tape, *position)));
        let mut texts: Vec<Option<String>> = vec![None; rows];
        for (row, position, leftover) in &self.members {
            let Some(text) = texts.get_mut(*row).map(|text| text.get_or_insert_with(|| "{".to_owned())) else {
                continue;
            };
            separate(text);
            quote(text, key(tape, *position));
            text.push(':');
            match leftover {
                Leftover::Value => write_value(tape, *position, text),
                Leftover::Inside(inside) => text.push_str(inside),
                Leftover::Elements(elements) => {
                    text.push('[');
                    for element in elements {
                        write_value(tape, *element, text);
                    }
                    text.push(']');
                }
            }
        }
        for text in texts.iter_mut().flatten() {
            text.push('}');
        }
        values::strings(&texts.iter().map(Option::as_deref).collect::<Vec<_>>())
    }
}

/// The key of the value at this position.
fn key<'a>(tape: &Tape<'a>, position: u32) -> &'a str {
    match tape.get(position.saturating_sub(1)) {
        TapeElement::String(index) => tape.get_string(index),
        _ => "",
    }
}

/// What is left to write of a value.
enum Rest<'a> {
    Value(u32),
    Member(&'a str, u32),
    End(char),
}

/// Levels of a value that stay JSON. What is nested deeper, which readers of JSON refuse, becomes a text of JSON.
const LEVELS: usize = 100;

/// Writes the value at `position` as JSON, numbers as they were sent and members sorted by key.
fn write_value(tape: &Tape<'_>, position: u32, out: &mut String) {
    write_levels(tape, position, LEVELS, out);
}

/// The same down to this many levels. A loop, since a hostile value may be nested deeper than the stack.
fn write_levels(tape: &Tape<'_>, position: u32, levels: usize, out: &mut String) {
    let mut open = 0;
    let mut rest = vec![Rest::Value(position)];
    while let Some(next) = rest.pop() {
        let position = match next {
            Rest::End(bracket) => {
                out.push(bracket);
                open -= 1;
                continue;
            }
            Rest::Member(key, position) => {
                separate(out);
                quote(out, key);
                out.push(':');
                position
            }
            Rest::Value(position) => {
                separate(out);
                position
            }
        };
        match tape.get(position) {
            TapeElement::StartObject(_) | TapeElement::StartList(_) if open == levels => {
                let mut deeper = String::new();
                write_levels(tape, position, usize::MAX, &mut deeper);
                quote(out, &deeper);
            }
            TapeElement::StartObject(end) => {
                open += 1;
                out.push('{');
                rest.push(Rest::End('}'));
                let first = rest.len();
                let keys = siblings(tape, position + 1, end).step_by(2);
                rest.extend(keys.map(|at| Rest::Member(key(tape, at + 1), at + 1)));
                let members = rest.get_mut(first..).unwrap_or_default();
                members.sort_by_key(|member| if let Rest::Member(key, _) = member { *key } else { "" });
                members.reverse();
            }
            TapeElement::StartList(end) => {
                open += 1;
                out.push('[');
                rest.push(Rest::End(']'));
                let first = rest.len();
                rest.extend(siblings(tape, position + 1, end).map(Rest::Value));
                rest.get_mut(first..).unwrap_or_default().reverse();
            }
            TapeElement::String(index) => quote(out, tape.get_string(index)),
            TapeElement::Number(index) => out.push_str(tape.get_string(index)),
            TapeElement::True => out.push_str("true"),
            TapeElement::False => out.push_str("false"),
            _ => out.push_str("null"),
        }
    }
}

/// The positions from `first` to `end` of values of one level; keys count as values.
fn siblings(tape: &Tape<'_>, first: u32, end: u32) -> impl Iterator<Item = u32> {
    let next = move |at: &u32| tape.next(*at, "value").ok().filter(|next| *next < end);
    std::iter::successors((first < end).then_some(first), next)
}

/// Writes a comma where a value is not the first. Strings end with a quote, so these characters are never part of one.
fn separate(out: &mut String) {
    if !out.is_empty() && !out.ends_with([':', '{', '[']) {
        out.push(',');
    }
}

/// Writes a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Counts the keys of what is left over of the objects, and of the objects nested in them, under `path`.
pub(crate) fn count(path: &str, object: &StructArray, drift: &mut BTreeMap<String, u64>) {
    let nested: Vec<(&str, &StructArray)> = objects(object).collect();
    for (row, text) in of(object).into_iter().flat_map(|texts| texts.iter().enumerate()) {
        let Some(text) = text else { continue };
        // The text was written here, so it parses.
        let keys: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
        // What is inside a nested object is counted there.
        let is_inside = |key: &str| {
            nested.iter().any(|(name, child)| *name == key && of(child).is_some_and(|texts| texts.is_valid(row)))
        };
        for key in keys.keys().filter(|key| !is_inside(key)) {
            *drift.entry(format!("{path}{key}")).or_default() += 1;
        }
    }
    for (name, child) in nested {
        count(&format!("{path}{name}."), child, drift);
    }
}

/// The `_extra` column of objects, what is left over of the objects nested in them included. `None` where no row has any.
pub(crate) fn of(object: &StructArray) -> Option<&StringViewArray> {
    let texts = object.column_by_name(EXTRA)?.as_string_view_opt()?;
    (texts.null_count() < texts.len()).then_some(texts)
}

fn objects(object: &StructArray) -> impl Iterator<Item = (&str, &StructArray)> {
    let nested = object.fields().iter().zip(object.columns());
    let nested = nested.filter(|(field, _)| matches!(field.data_type(), DataType::Struct(_)));
    nested.filter_map(|(field, column)| Some((field.name().as_str(), column.as_struct_opt()?)))
}
