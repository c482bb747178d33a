//! Which records of a page cannot land and why, and their raw text. The rare path: plain rather than fast.

use std::collections::BTreeMap;

use arrow_array::{Array, StructArray};
use arrow_schema::DataType;
use chrono::{DateTime, Utc};
use ctct_catalog::{Origin, Report};
use serde_json::value::RawValue;

use crate::object::{Misfit, codes};
use crate::{TransformError, timestamp, values};

/// The reason of each record that cannot land, by its position.
pub(crate) fn reasons(records: &StructArray) -> BTreeMap<usize, String> {
    let misfits = codes(records).iter().map(|code| Misfit::from_code(*code)).enumerate();
    let mut reasons: BTreeMap<usize, String> =
        misfits.filter_map(|(row, misfit)| Some((row, reason(records, misfit?)))).collect();
    if records.null_count() > 0 {
        for row in (0..records.len()).filter(|row| records.is_null(*row)) {
            reasons.entry(row).or_insert_with(|| "record: null".to_owned());
        }
    }
    reasons
}

fn reason(records: &StructArray, misfit: Misfit) -> String {
    let field = |index: u16| records.fields().get(usize::from(index));
    let name = |index: u16| field(index).map_or("", |field| field.name());
    match misfit {
        Misfit::Element => "record: not an object".to_owned(),
        Misfit::Missing(index) => format!("{}: required, but missing or empty", name(index)),
        Misfit::Unfit(index) => {
            let kind = field(index).map_or(&DataType::Null, |field| field.data_type());
            format!("{}: {}", name(index), values::complaint(kind))
        }
    }
}

/// The raw text of each record of the page; the body is the one record of a report without a list of rows.
///
/// # Errors
/// The body is not JSON by the letter. arrow-json lets a missing or a spare comma pass, so this may be the first to see
/// it.
pub(crate) fn raw_records<'a>(body: &'a [u8], rows: Option<&str>) -> Result<Vec<&'a RawValue>, TransformError> {
    let Some(rows) = rows else { return Ok(vec![serde_json::from_slice(body).map_err(|error| not_json(&error))?]) };
    let envelope: BTreeMap<String, &RawValue> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    match envelope.get(rows) {
        Some(list) if list.get().starts_with('[') => serde_json::from_str(list.get()).map_err(|error| not_json(&error)),
        _ => Err(TransformError::no_list(rows)),
    }
}

/// The error for a body that `serde_json` refuses. Its complaints about syntax are fixed texts; those about shape may
/// quote a value and are dropped.
pub(crate) fn not_json(error: &serde_json::Error) -> TransformError {
    if error.is_data() {
        return TransformError::NotAPage { reason: "a part of it has another shape".to_owned() };
    }
    TransformError::NotJson { reason: error.to_string() }
}

/// Where a record says when it last changed: paths of keys.
#[derive(Debug, Clone)]
pub(crate) struct ChangedAt(Vec<Vec<String>>);

impl ChangedAt {
    /// The paths of the columns that tell which version of a row is newer.
    pub(crate) fn new(report: &Report) -> Self {
        let own = report.tables().iter().take(1);
        let columns = own.flat_map(|table| table.schema.fields().iter().zip(&table.origins));
        let changed = report.changed_columns();
        let paths = columns.filter_map(|(field, origin)| match origin {
            Origin::Response(path) if changed.contains(&field.name().as_str()) => {
                Some(path.split('.').map(str::to_owned).collect())
            }
            _ => None,
        });
        Self(paths.collect())
    }

    /// The latest of the instants at the paths, as far as they can be read.
    pub(crate) fn of(&self, record: &RawValue) -> Option<DateTime<Utc>> {
        self.0.iter().filter_map(|path| instant(record, path)).max()
    }
}

/// The instant at this path of a record.
fn instant(record: &RawValue, path: &[String]) -> Option<DateTime<Utc>> {
    let Some((key, below)) = path.split_first() else {
        let text: Option<String> = serde_json::from_str(record.get()).ok();
        return timestamp::parse_timestamp(text.as_deref().unwrap_or(record.get()));
    };
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(record.get()).ok()?;
    instant(members.get(key)?, below)
}
