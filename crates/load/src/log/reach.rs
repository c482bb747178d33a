//! Which stored rows one run could have brought: only those can be missing from what it read.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar, StringArray};
use arrow_cast::cast;
use arrow_ord::cmp::eq;
use arrow_schema::DataType;
use chrono::{DateTime, Utc};
use ctct_transform::parse_timestamp;

/// Which stored rows one run could have brought. The default: every row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// A column of the report's own table and the ids that the run asked for: rows of other ids are out of reach.
    pub ids: Option<(String, Arc<HashSet<String>>)>,
    /// Columns of the report's own table and the text that each has in the rows that the run asked for.
    pub bound: Vec<(String, String)>,
    /// Those of them that say of which period the rows are. What the API tells of one period says nothing of the others, so
    /// a merge that takes the place of all rows leaves theirs.
    pub period: Vec<(String, String)>,
    /// Rows whose changed-at lies before this instant are out of reach; those without one are not.
    pub changed_after: Option<DateTime<Utc>>,
}

impl Reach {
    /// Which rows the run could have brought, but for the instant of their change.
    pub(crate) fn within(&self, batch: &RecordBatch) -> Vec<bool> {
        let mut within = vec![true; batch.num_rows()];
        if let Some((column, ids)) = &self.ids
            && let Some(texts) = batch.column_by_name(column).and_then(|column| cast(column, &DataType::Utf8).ok())
        {
            for (within, id) in within.iter_mut().zip(texts.as_string::<i32>()) {
                *within &= id.is_some_and(|id| ids.contains(id));
            }
        }
        for (column, text) in &self.bound {
            let Some(column) = batch.column_by_name(column) else { continue };
            // A text that the column cannot hold tells nothing.
            let Some(equal) = equal_to(column, text) else { continue };
            for (within, equal) in within.iter_mut().zip(&equal) {
                *within &= equal == Some(true);
            }
        }
        within
    }
}

/// Which values of a column a text stands for; `None` where it stands for none that the column could have.
fn equal_to(column: &ArrayRef, text: &str) -> Option<BooleanArray> {
    if let Some(instants) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        let instant = parse_timestamp(text)?.timestamp_micros();
        return Some(instants.iter().map(|value| Some(value == Some(instant))).collect());
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let value = cast(&text, column.data_type()).ok().filter(|value| value.is_valid(0))?;
    eq(column, &Scalar::new(value)).ok()
}
