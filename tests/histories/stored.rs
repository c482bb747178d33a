//! What the tables hold, contact by contact, in a form that can be compared with the model's JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::tables::{self, Row};
use crate::truth::{self, Tables, comparable};

/// Comparable rows of one record by table; a table without rows of it has no entry.
pub(crate) type Record = BTreeMap<String, Vec<String>>;

/// Columns that merging adds, and the places of items in lists: another order is no change, so what is stored keeps its own.
const NOT_COMPARED: &[&str] =
    &["_deleted_at", "_delete_reason", "_valid_from", "_valid_to", "_ordinal", "_parent_ordinal"];

/// All rows of a report by table: its own and those of its child tables.
pub(crate) fn rows(folder: &Path, report: &str) -> Tables {
    let mut tables = Tables::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == report || name.strip_prefix(report).is_some_and(|rest| rest.starts_with('_')) {
            tables.insert(name.clone(), tables::rows(&folder.join(&name)));
        }
    }
    tables
}

/// Rows by the record that they belong to.
pub(crate) fn by_record(tables: &Tables, key: &str) -> BTreeMap<String, Tables> {
    let mut records: BTreeMap<String, Tables> = BTreeMap::new();
    for (table, rows) in tables {
        for row in rows {
            let id = row[key].as_str().unwrap().to_owned();
            records.entry(id).or_default().entry(table.clone()).or_default().push(row.clone());
        }
    }
    records
}

/// Rows of one record, comparable.
pub(crate) fn record(tables: &Tables) -> Record {
    let bare = |rows: &Vec<Row>| -> Vec<Row> {
        let mut rows = rows.clone();
        for row in &mut rows {
            row.retain(|name, _| !NOT_COMPARED.contains(&name.as_str()));
        }
        rows
    };
    tables.iter().map(|(table, rows)| (table.clone(), comparable(&bare(rows)))).collect()
}

/// What the rows of a record must be.
pub(crate) fn expected(report: &str, key: &str, json: &Value) -> Record {
    let mut tables = Tables::new();
    truth::add(&mut tables, report, json, &[key]);
    record(&tables)
}
