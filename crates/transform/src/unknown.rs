//! What the API sends and the catalogue does not know: kept as JSON in `_extra`, and counted as drift.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, StringViewArray, StructArray};
use arrow::datatypes::DataType;
use arrow::json::reader::{Tape, TapeElement};
use ctct_catalog::EXTRA;
use serde_json::value::RawValue;

use crate::values;

/// The unknown keys of a batch of objects: the text of a JSON object for each row that has some.
#[derive(Default)]
pub(crate) struct Unknown {
    /// Row and text, its closing brace left out; rows ascend.
    rows: Vec<(usize, String)>,
}

impl Unknown {
    /// Adds a key of the object at `row`, with the value that stands at `position` of the tape.
    pub(crate) fn add(&mut self, tape: &Tape<'_>, row: usize, key: &str, position: u32) {
        match self.rows.last_mut() {
            Some((last, text)) if *last == row => text.push(','),
            _ => self.rows.push((row, "{".to_owned())),
        }
        if let Some((_, text)) = self.rows.last_mut() {
            quote(text, key);
            text.push(':');
            write_value(tape, position, text);
        }
    }

    /// The `_extra` column of `rows` rows.
    pub(crate) fn finish(mut self, rows: usize) -> StringViewArray {
        if self.rows.is_empty() {
            return StringViewArray::new_null(rows);
        }
        let mut texts = vec![None; rows];
        for (row, text) in &mut self.rows {
            text.push('}');
            if let Some(slot) = texts.get_mut(*row) {
                *slot = Some(text.as_str());
            }
        }
        values::strings(&texts)
    }
}

/// Writes the value at `position` as JSON, numbers as they were sent. A loop, since a hostile value may be nested
/// deeper than the stack. `out` ends with the colon that the value follows.
fn write_value(tape: &Tape<'_>, position: u32, out: &mut String) {
    // Whether each of the open containers is an object.
    let mut open: Vec<bool> = Vec::new();
    for at in position.. {
        let element = tape.get(at);
        let closes = matches!(element, TapeElement::EndObject(_) | TapeElement::EndList(_));
        // Strings end with a quote, so these characters at the end are never part of one.
        let is_key = !closes && open.last() == Some(&true) && !out.ends_with(':');
        if !closes && !out.ends_with([':', '{', '[']) {
            out.push(',');
        }
        match element {
            TapeElement::StartObject(_) => out.push('{'),
            TapeElement::StartList(_) => out.push('['),
            TapeElement::EndObject(_) => out.push('}'),
            TapeElement::EndList(_) => out.push(']'),
            TapeElement::String(index) => quote(out, tape.get_string(index)),
            TapeElement::Number(index) => out.push_str(tape.get_string(index)),
            TapeElement::True => out.push_str("true"),
            TapeElement::False => out.push_str("false"),
            _ => out.push_str("null"),
        }
        if is_key {
            out.push(':');
        }
        match element {
            TapeElement::StartObject(_) => open.push(true),
            TapeElement::StartList(_) => open.push(false),
            _ if closes => drop(open.pop()),
            _ => {}
        }
        if open.is_empty() {
            return;
        }
    }
}

/// Writes a JSON string.
fn quote(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// The `_extra` column of a table: the object's own unknown keys, and those of the objects nested in it under the
/// nested object's name. `None` where no row has any.
pub(crate) fn extra(object: &StructArray) -> Option<StringViewArray> {
    let own = own(object);
    let nested: Vec<(&str, StringViewArray)> =
        objects(object).filter_map(|(name, child)| Some((name, extra(child)?))).collect();
    if nested.is_empty() {
        return own.filter(|own| own.null_count() < own.len()).cloned();
    }
    let texts: Vec<Option<String>> = (0..object.len())
        .map(|row| {
            let mut members: Vec<String> = Vec::new();
            members.extend(own.and_then(|own| at(own, row)).map(|text| inner(text).to_owned()));
            for (name, column) in &nested {
                members.extend(at(column, row).map(|text| {
                    let mut member = String::new();
                    quote(&mut member, name);
                    member + ":" + text
                }));
            }
            (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
        })
        .collect();
    Some(values::strings(&texts.iter().map(Option::as_deref).collect::<Vec<_>>()))
}

/// Counts the unknown keys of the objects, and of the objects nested in them, under `path`.
pub(crate) fn count(path: &str, object: &StructArray, drift: &mut BTreeMap<String, u64>) {
    for text in own(object).into_iter().flat_map(|own| own.iter()).flatten() {
        // The text was written here, so it parses.
        let keys: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
        for key in keys.keys() {
            *drift.entry(format!("{path}{key}")).or_default() += 1;
        }
    }
    for (name, child) in objects(object) {
        count(&format!("{path}{name}."), child, drift);
    }
}

fn own(object: &StructArray) -> Option<&StringViewArray> {
    object.column_by_name(EXTRA)?.as_string_view_opt()
}

fn objects(object: &StructArray) -> impl Iterator<Item = (&str, &StructArray)> {
    let nested = object.fields().iter().zip(object.columns());
    let nested = nested.filter(|(field, _)| matches!(field.data_type(), DataType::Struct(_)));
    nested.filter_map(|(field, column)| Some((field.name().as_str(), column.as_struct_opt()?)))
}

fn at(column: &StringViewArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// The members of the JSON object, without its braces.
fn inner(text: &str) -> &str {
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text)
}
