//! Whether two versions of a list are the same: the order in which its rows came does not count, nor that of lists within it.

use std::collections::HashMap;

use arrow_array::ArrayRef;
use arrow_row::RowConverter;
use arrow_schema::ArrowError;

use crate::merge::block::Span;
use crate::merge::group::Lane;

/// The rows of a list, each with the rows that hang on it, in an order that does not depend on the one in which they came.
/// `lanes` are the list and those within it, and `rows` those of each. Lanes without rows of which anything is known are
/// left out.
pub(crate) fn canonical(lanes: &[Lane<'_>], rows: &[Option<&[Span]>]) -> Result<Vec<Vec<u8>>, ArrowError> {
    // For each lane its rows by what they hang on.
    let mut hanging: Vec<HashMap<Vec<u8>, Vec<Vec<u8>>>> = Vec::new();
    hanging.resize_with(lanes.len(), HashMap::new);
    for at in (0..lanes.len()).rev() {
        let (Some(list), Some(spans)) = (&lanes[at].shape.list, rows[at]) else { continue };
        for span in spans {
            let own = encoded(span, &list.own, &list.own_rows)?;
            let links = encoded(span, &list.link, &list.link_rows)?;
            let mut full = own;
            for (nested, columns, converter) in &list.names {
                let Some(lane) = lanes.iter().position(|lane| lane.table == *nested) else { continue };
                let names = encoded(span, columns, converter)?;
                for (row, name) in full.iter_mut().zip(names) {
                    let hung = hanging[lane].get(&name).map_or(&[][..], Vec::as_slice);
                    row.extend((hung.len() as u64).to_be_bytes());
                    for nested in hung {
                        row.extend((nested.len() as u64).to_be_bytes());
                        row.extend(nested);
                    }
                }
            }
            for (link, row) in links.into_iter().zip(full) {
                hanging[at].entry(link).or_default().push(row);
            }
        }
        hanging[at].values_mut().for_each(|rows| rows.sort_unstable());
    }
    // Nothing that the first lane hangs on is told apart here.
    Ok(hanging.swap_remove(0).into_values().next().unwrap_or_default())
}

/// Some columns of the rows as bytes that are equal where the values are.
fn encoded(span: &Span, columns: &[usize], converter: &RowConverter) -> Result<Vec<Vec<u8>>, ArrowError> {
    if columns.is_empty() {
        return Ok(vec![Vec::new(); span.len]);
    }
    let column = |at: &usize| -> ArrayRef { span.block.rows.column(*at).slice(span.start, span.len) };
    let columns: Vec<ArrayRef> = columns.iter().map(column).collect();
    let rows = converter.convert_columns(&columns)?;
    Ok(rows.iter().map(|row| row.as_ref().to_vec()).collect())
}
