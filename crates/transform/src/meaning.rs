//! Which rows a filter would let through: the same test that the API makes, made on the columns of a page.

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, StringViewArray};
use ctct_catalog::{Cell, EXTRA, Meaning};
use serde_json::{Map, Value};

/// Whether a filter would let a row through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It would.
    Fits,
    /// It would not.
    Fails,
    /// A value that the filter goes by did not fit its column, so nothing tells.
    Unsure,
}

/// For each row of the report's own table, whether it is what one of the meanings says.
///
/// A value that did not fit its column is in `_extra`. A contact whose date of deletion cannot be read is not taken for one
/// that is alive, and of one whose permission cannot be read nothing is known.
pub fn fitting(rows: &RecordBatch, any_of: &[Meaning]) -> Vec<Fit> {
    let fit = |row: usize| {
        let fits: Vec<Fit> = any_of.iter().map(|meaning| fit(rows, row, meaning)).collect();
        if fits.contains(&Fit::Fits) {
            Fit::Fits
        } else if fits.contains(&Fit::Unsure) {
            Fit::Unsure
        } else {
            Fit::Fails
        }
    };
    (0..rows.num_rows()).map(fit).collect()
}

fn fit(rows: &RecordBatch, row: usize, meaning: &Meaning) -> Fit {
    let mut fit = Fit::Fits;
    for (name, cell) in meaning {
        let column = rows.column_by_name(name).filter(|column| column.is_valid(row));
        let fits = match cell {
            Cell::Absent => column.is_none() && !is_unfit(rows, row, name),
            Cell::Present => column.is_some() || is_unfit(rows, row, name),
            Cell::OneOf(values) => match column.and_then(|column| column.as_string_view_opt()) {
                Some(column) => values.iter().any(|wanted| wanted == column.value(row)),
                None if is_unfit(rows, row, name) => {
                    fit = Fit::Unsure;
                    true
                }
                None => false,
            },
        };
        if !fits {
            return Fit::Fails;
        }
    }
    fit
}

/// Whether `_extra` has a value in the column's place.
fn is_unfit(rows: &RecordBatch, row: usize, name: &str) -> bool {
    let extra = rows.column_by_name(EXTRA).and_then(|column| column.as_string_view_opt());
    let text = extra.filter(|extra: &&StringViewArray| extra.is_valid(row)).map(|extra| extra.value(row));
    let first = name.split('_').next().unwrap_or(name);
    let Some(text) = text.filter(|text| text.contains(first)) else { return false };
    serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|object| has(&object, name))
}

/// Whether an object has a value in the place of a column, whose name is that of the field after those of the objects around
/// it. Something else in the place of an object is there instead of all of its fields.
fn has(object: &Map<String, Value>, name: &str) -> bool {
    object.iter().any(|(key, value)| match (name.strip_prefix(key.as_str()), value) {
        (None, _) | (_, Value::Null) => false,
        (Some(""), _) => true,
        (Some(rest), value) => match (rest.strip_prefix('_'), value) {
            (Some(rest), Value::Object(inner)) => has(inner, rest),
            (rest, _) => rest.is_some(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, TimestampMicrosecondArray};

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
        // Alive, deleted, and deleted on a day that does not exist, so that it is in `_extra`.
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
                let expected = if expected { Fit::Fits } else { Fit::Fails };
                assert_eq!(found, expected, "{value}: {permission:?} {at:?} {extra:?}");
            }
        }
        let either = [status.means["active"].clone(), status.means["deleted"].clone()];
        assert_eq!(fitting(&batch, &either).iter().filter(|fit| **fit == Fit::Fits).count(), 2 + 2 * permissions.len());
        assert_eq!(fitting(&batch, &[]), vec![Fit::Fails; rows.len()]);
    }

    #[test]
    fn of_a_permission_that_cannot_be_read_nothing_is_known() {
        let catalog = ctct_catalog::Catalog::embedded().unwrap();
        let active = catalog.get("contacts").unwrap().param("status").unwrap().means["active"].clone();
        let fit = |extra: Option<&str>| {
            let strings = |value: Option<&str>| Arc::new(StringViewArray::from(vec![value])) as ArrayRef;
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("email_address_permission_to_send", strings(None), true),
                ("deleted_at", Arc::new(TimestampMicrosecondArray::from(vec![None])) as ArrayRef, true),
                (EXTRA, strings(extra), true),
            ])
            .unwrap();
            fitting(&batch, std::slice::from_ref(&active))[0]
        };
        for extra in [
            r#"{"email_address":{"permission_to_send":{"value":"implicit"}}}"#,
            r#"{"email_address":{"permission_to_send":5}}"#,
            r#"{"email_address":"x@y"}"#,
        ] {
            assert_eq!(fit(Some(extra)), Fit::Unsure, "{extra}");
        }
        for extra in [None, Some(r#"{"email_address":null}"#), Some(r#"{"email_address":{"other":1},"emails":2}"#)] {
            assert_eq!(fit(extra), Fit::Fails, "{extra:?}");
        }
        let deleted = r#"{"deleted_at":"2024-02-30","email_address":{"permission_to_send":5}}"#;
        assert_eq!(fit(Some(deleted)), Fit::Fails);
    }
}
