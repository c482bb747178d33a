//! What tables must hold, worked out from the API's JSON by the rules of the documentation and none of the program's code:
//! nested objects become columns joined by `_`, nested lists become child tables, timestamps become UTC.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::tables::Row;

/// Rows by table.
pub type Tables = BTreeMap<String, Vec<Row>>;

/// Adds a record and everything nested in it. `key` names the columns that children carry.
pub fn add(tables: &mut Tables, table: &str, record: &impl serde::Serialize, key: &[&str]) {
    let Value::Object(record) = serde_json::to_value(record).unwrap() else { panic!("a record is an object") };
    let carried = key.iter().map(|name| ((*name).to_owned(), record[*name].clone())).collect();
    let mut row = Row::new();
    splice(tables, table, "", &record, &carried, &mut row);
    tables.entry(table.to_owned()).or_default().push(row);
}

fn splice(tables: &mut Tables, table: &str, prefix: &str, record: &Map<String, Value>, carried: &Row, row: &mut Row) {
    for (name, value) in record {
        let column = format!("{prefix}{name}");
        match value {
            Value::Null => {}
            Value::Object(object) => splice(tables, table, &format!("{column}_"), object, carried, row),
            Value::Array(elements) => children(tables, &format!("{table}_{name}"), name, elements, carried),
            value => {
                row.insert(column.clone(), typed(&column, value));
            }
        }
    }
}

fn children(tables: &mut Tables, table: &str, list: &str, elements: &[Value], carried: &Row) {
    for (ordinal, element) in elements.iter().enumerate() {
        let mut row = carried.clone();
        row.insert("_ordinal".to_owned(), json!(ordinal));
        match element {
            Value::Object(object) => {
                let mut handed_down = carried.clone();
                // A custom field's choices carry the field's id and its place in the contact's list.
                if let Some(id) = object.get("custom_field_id") {
                    handed_down.insert("custom_field_id".to_owned(), id.clone());
                }
                handed_down.insert("_parent_ordinal".to_owned(), json!(ordinal));
                splice(tables, table, "", object, &handed_down, &mut row);
            }
            bare => {
                let column = match list {
                    "list_memberships" => "list_id",
                    "taggings" => "tag_id",
                    "choice_ids" => "choice_id",
                    other => panic!("no name for an element of {other}"),
                };
                row.insert(column.to_owned(), bare.clone());
            }
        }
        tables.entry(table.to_owned()).or_default().push(row);
    }
}

/// Timestamps in the one form that the test compares.
fn typed(column: &str, value: &Value) -> Value {
    let is_time = ["_at", "_date", "_time", "_on"].iter().any(|end| column.ends_with(end));
    match value {
        Value::String(text) if is_time => json!(instant(text)),
        other => other.clone(),
    }
}

/// An instant of any spelling as `2026-01-31T00:00:00.000000Z`.
pub fn instant(text: &str) -> String {
    let instant = DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .or_else(|_| text.parse::<NaiveDate>().map(|day| day.and_hms_opt(0, 0, 0).unwrap().and_utc()));
    let instant: DateTime<Utc> = instant.unwrap_or_else(|error| panic!("{text}: {error}"));
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Rows as comparable text: instants in one spelling, columns of the program's own left out, sorted.
pub fn comparable(rows: &[Row]) -> Vec<String> {
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let columns: BTreeMap<&String, Value> = row
                .iter()
                .filter(|(name, _)| !["_commit", "_extracted_at", "_extra", "_occurrence"].contains(&name.as_str()))
                .map(|(name, value)| (name, typed(name, value)))
                .collect();
            serde_json::to_string(&columns).unwrap()
        })
        .collect();
    lines.sort();
    lines
}
