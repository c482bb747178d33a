//! Tables for programs: one line of JSON.

use ctct_catalog::Origin;
use serde_json::{Value, json};

use super::parquet;
use ctct_pipeline::stored_table::{Column, StoredTable};

/// All that is known of these tables, in one line.
pub fn json(tables: &[StoredTable<'_>]) -> String {
    Value::Array(tables.iter().map(table).collect()).to_string()
}

fn table(table: &StoredTable<'_>) -> Value {
    let mut columns: Vec<Value> = Vec::new();
    for column in &table.columns {
        let mut described = described(column, table);
        described["parquet"] = json!(parquet(column));
        columns.push(described);
    }
    json!({
        "table": table.name(),
        "report": table.report.name,
        "comment": table.table.doc,
        "key": table.table.key,
        "location": table.location,
        "parent": table.parent().map(|parent| json!({"table": parent.name, "on": table.joins_on()})),
        "columns": columns,
        "folders": table.folders.iter().map(|column| described(column, table)).collect::<Vec<_>>(),
    })
}

fn described(column: &Column, table: &StoredTable<'_>) -> Value {
    let (response, request) = match &column.origin {
        Origin::Response(path) => (Some(path), None),
        Origin::Request(param) => (None, Some(param)),
        Origin::Program => (None, None),
    };
    let mut described = json!({
        "name": column.name(), "arrow": column.arrow(), "nullable": column.is_nullable(), "comment": column.comment(),
    });
    for (key, value) in [("response", response), ("request", request), ("refers", table.refers(column.name()).as_ref())]
    {
        if let Some(value) = value {
            described[key] = json!(value);
        }
    }
    described
}
