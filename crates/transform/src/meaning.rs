//! Which rows a filter would let through: the same question that the API answers, asked of the columns of a page.

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use ctct_catalog::{Cell, EXTRA, Meaning};

/// For each row of the report's own table, whether it is what one of the meanings says.
///
/// A value that did not fit its column is in `_extra`: it is there, and it is none of those that a meaning names. A contact
/// whose date of deletion cannot be read is not taken for one that is alive.
pub fn fitting(rows: &RecordBatch, any_of: &[Meaning]) -> Vec<bool> {
    (0..rows.num_rows()).map(|row| any_of.iter().any(|meaning| fits(rows, row, meaning))).collect()
}

fn fits(rows: &RecordBatch, row: usize, meaning: &Meaning) -> bool {
    meaning.iter().all(|(name, cell)| {
        let column = rows.column_by_name(name).filter(|column| column.is_valid(row));
        match cell {
            Cell::Absent => column.is_none() && !is_unfit(rows, row, name),
            Cell::Present => column.is_some() || is_unfit(rows, row, name),
            Cell::OneOf(values) => column.and_then(|column| column.as_string_view_opt()).is_some_and(|column| {
                let value = column.value(row);
                values.iter().any(|wanted| wanted == value)
            }),
        }
    })
}

/// Whether `_extra` has a value in the column's place.
fn is_unfit(rows: &RecordBatch, row: usize, name: &str) -> bool {
    let extra = rows.column_by_name(EXTRA).and_then(|column| column.as_string_view_opt());
    let text = extra.filter(|extra: &&StringViewArray| extra.is_valid(row)).map(|extra| extra.value(row));
    let Some(text) = text.filter(|text| text.contains(name)) else { return false };
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    object.is_ok_and(|object| object.get(name).is_some_and(|value| !value.is_null()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn each_status_means_what_the_vendor_says() {
        let catalog = ctct_catalog::Catalog::embedded().unwrap();
        let status = catalog.get("contacts").unwrap().param("status").unwrap();
        let permissions = [
            Some("explicit"),
            Some("implicit"),
            Some("not_set"),
            Some("pending_confirmation"),
            Some("temp_hold"),
            Some("unsubscribed"),
            Some("something_new"),
            None,
        ];
        // Alive, deleted, and deleted on a day that does not exist, so that it stands in `_extra`.
        let deletions = [(None, None), (Some(1), None), (None, Some(r#"{"deleted_at":"2024-02-30"}"#))];
        let rows: Vec<_> = permissions.iter().flat_map(|one| deletions.map(|(at, extra)| (*one, at, extra))).collect();
        let strings = |values: Vec<Option<&str>>| Arc::new(StringViewArray::from(values)) as ArrayRef;
        let deleted = TimestampMicrosecondArray::from(rows.iter().map(|row| row.1).collect::<Vec<_>>());
        let batch = RecordBatch::try_from_iter_with_nullable([
            ("email_address_permission_to_send", strings(rows.iter().map(|row| row.0).collect()), true),
            ("deleted_at", Arc::new(deleted) as ArrayRef, true),
            (EXTRA, strings(rows.iter().map(|row| row.2).collect()), true),
        ])
        .unwrap();
        for value in &status.values {
            let found = fitting(&batch, &[status.means[value].clone()]);
            for ((permission, at, extra), found) in rows.iter().zip(found) {
                let is_deleted = at.is_some() || extra.is_some();
                let expected = match value.as_str() {
                    "all" => true,
                    "deleted" => is_deleted,
                    "active" => !is_deleted && matches!(permission, Some("explicit" | "implicit")),
                    status => !is_deleted && *permission == Some(status),
                };
                assert_eq!(found, expected, "{value}: {permission:?} {at:?} {extra:?}");
            }
        }
        let either = [status.means["active"].clone(), status.means["deleted"].clone()];
        assert_eq!(fitting(&batch, &either).iter().filter(|fits| **fits).count(), 2 + 2 * permissions.len());
        assert_eq!(fitting(&batch, &[]), vec![false; rows.len()]);
    }
}
