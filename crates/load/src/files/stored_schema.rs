//! The schema of a table's files: the columns of the catalog, and those that merging adds.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Schema, SchemaRef};
use ctct_catalog::{FieldType, Report, Table};

use crate::log::record::WriteMode;

/// When the row was found to be gone; null while it is there.
pub const DELETED_AT: &str = "_deleted_at";
/// Why it is held to be gone; null while it is there.
pub const DELETE_REASON: &str = "_delete_reason";
/// From when this version of the row held.
pub const VALID_FROM: &str = "_valid_from";
/// Until when it held; null for the version that holds.
pub const VALID_TO: &str = "_valid_to";

/// The schema of a table's files before columns that are partition folders are taken out: the catalog's, and with
/// [`WriteMode::Merge`] `_deleted_at` and `_delete_reason` in the report's own table, and with `history` also
/// `_valid_from` and `_valid_to` in every table.
pub fn stored_schema(table: &Table, mode: WriteMode, history: bool) -> SchemaRef {
    if mode != WriteMode::Merge {
        return Arc::clone(&table.schema);
    }
    let field = |name: &str, kind: FieldType, nullable: bool, comment: &str| -> FieldRef {
        let field = Field::new(name, kind.data_type(), nullable);
        Arc::new(field.with_metadata([("comment".to_owned(), comment.to_owned())]))
    };
    let mut fields = table.schema.fields().to_vec();
    if table.parent.is_none() {
        let at = "When the row was found to be gone; null while it is there.";
        fields.push(field(DELETED_AT, FieldType::Timestamp, true, at));
        fields.push(field(
            DELETE_REASON,
            FieldType::String,
            true,
            "Why it is held to be gone; null while it is there.",
        ));
    }
    if history {
        fields.push(field(VALID_FROM, FieldType::Timestamp, false, "From when this version of the row held."));
        let to = "Until when this version held; null for the one that holds.";
        fields.push(field(VALID_TO, FieldType::Timestamp, true, to));
    }
    Arc::new(Schema::new(fields))
}

/// The columns that a merged table's files are sorted by: the report's key, then `_valid_from`, then the rest of the
/// table's key. Child rows so stand together with those of their parent.
pub(crate) fn stored_key(report: &Report, table: &Table, history: bool) -> Vec<String> {
    let rest = table.key.iter().filter(|name| !report.key.contains(name)).cloned();
    let from = history.then(|| VALID_FROM.to_owned());
    report.key.iter().cloned().chain(from).chain(rest).collect()
}
