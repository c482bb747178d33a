//! Numbers for events with equal keys.
//!
//! The API gives the times of events without seconds, so that two opens within a minute are two equal rows. They are told
//! apart by how many of their key came before them in the same read of an id.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_row::{OwnedRow, RowConverter, SortField};
use arrow_select::take::take;
use ctct_catalog::{Duplicates, OCCURRENCE, Report};

use crate::{TableRows, TransformError};

/// Counts the rows of each key over the pages of one read of one id.
#[derive(Debug, Default)]
pub struct Occurrences {
    /// Turns the key columns of a row into comparable bytes; made with the first page.
    converter: Option<RowConverter>,
    rows: HashMap<OwnedRow, i64>,
}

impl Occurrences {
    /// Gives each row of a page its number, from 1, among the rows of its key that this has seen. The pages of a read come
    /// in order. A report whose keys name one row stays as it is.
    ///
    /// # Errors
    /// The page does not have the columns of the report.
    pub fn number(&mut self, report: &Report, tables: &mut [TableRows]) -> Result<(), TransformError> {
        if report.duplicates != Some(Duplicates::Counted) {
            return Ok(());
        }
        let Some(parent) = tables.first() else { return Ok(()) };
        let numbers: ArrayRef = Arc::new(self.count(report, &parent.batch)?);
        for table in tables {
            let numbers = match &table.parent_rows {
                None => Arc::clone(&numbers),
                Some(rows) => take(&numbers, rows, None).map_err(TransformError::arrow(OCCURRENCE))?,
            };
            table.batch = numbered(&table.batch, numbers)?;
        }
        Ok(())
    }

    fn count(&mut self, report: &Report, parent: &RecordBatch) -> Result<Int64Array, TransformError> {
        let named = report.key.iter().filter(|name| *name != OCCURRENCE);
        let key: Vec<ArrayRef> = named.filter_map(|name| parent.column_by_name(name).cloned()).collect();
        let converter = match &mut self.converter {
            Some(converter) => converter,
            converter => {
                let fields = key.iter().map(|column| SortField::new(column.data_type().clone())).collect();
                converter.insert(RowConverter::new(fields).map_err(TransformError::arrow(OCCURRENCE))?)
            }
        };
        let rows = converter.convert_columns(&key).map_err(TransformError::arrow(OCCURRENCE))?;
        let next = |row: arrow_row::Row<'_>| {
            let seen = self.rows.entry(row.owned()).or_default();
            *seen += 1;
            *seen
        };
        Ok(rows.iter().map(next).collect::<Vec<i64>>().into())
    }
}

/// The batch with these numbers; as it is where it has no column for them.
fn numbered(batch: &RecordBatch, numbers: ArrayRef) -> Result<RecordBatch, TransformError> {
    let Ok(at) = batch.schema_ref().index_of(OCCURRENCE) else { return Ok(batch.clone()) };
    let mut columns = batch.columns().to_vec();
    columns[at] = numbers;
    RecordBatch::try_new(batch.schema(), columns).map_err(TransformError::arrow(OCCURRENCE))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use chrono::DateTime;
    use ctct_catalog::Catalog;

    use super::*;
    use crate::{PageDecoder, PageInput};

    /// The numbers of the rows of pages that one read brings; each row is `kind minute name`.
    fn numbers(pages: &[&[&str]]) -> Vec<Vec<i64>> {
        let report = Arc::clone(Catalog::embedded().unwrap().get("contact_activity_details").unwrap());
        let decoder = PageDecoder::new(Arc::clone(&report));
        let mut occurrences = Occurrences::default();
        let number = |rows: &&[&str]| {
            let rows: Vec<_> = rows
                .iter()
                .map(|row| {
                    let [kind, minute, name] = row.split(' ').collect::<Vec<_>>()[..] else { unreachable!() };
                    serde_json::json!({
                        "contact_id": "c", "tracking_activity_type": kind, "campaign_activity_name": name,
                        "campaign_activity_id": if minute == "-" { None } else { Some("a") },
                        "created_time": (minute != "-").then(|| format!("2026-01-01T10:{minute}Z")),
                    })
                })
                .collect();
            let body = serde_json::json!({ "tracking_activities": rows }).to_string();
            let bound = [("contact_id".to_owned(), "c".to_owned())];
            let input =
                PageInput { body: body.as_bytes(), bound: &bound, extracted_at: DateTime::UNIX_EPOCH, commit: 1 };
            let mut page = decoder.decode(&input).unwrap();
            occurrences.number(&report, &mut page.tables).unwrap();
            let column = page.tables[0].batch.column_by_name(OCCURRENCE).unwrap();
            column.as_primitive::<Int64Type>().values().to_vec()
        };
        pages.iter().map(number).collect()
    }

    #[test]
    fn rows_of_one_key_are_counted_over_the_pages_whatever_else_they_say() {
        assert_eq!(numbers(&[&["em_opens 05 x", "em_opens 05 x", "em_opens 05 y"]]), [[1, 2, 3]]);
        assert_eq!(numbers(&[&["em_opens 05 x", "em_clicks 05 x", "em_opens 04 x"]]), [[1, 1, 1]]);
        assert_eq!(numbers(&[&["em_opens 05 x"], &["em_opens 05 x"], &["em_opens 05 z"]]), [[1], [2], [3]]);
        assert_eq!(numbers(&[&["p_contact_add - x", "p_contact_add - x"], &[]]), [vec![1, 2], vec![]]);
    }
}
