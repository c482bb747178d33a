//! Which records of a page do not fit and why, and their raw text. The rare path: plain rather than fast.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, UInt16Type};
use serde_json::value::RawValue;

use crate::object::Misfit;
use crate::wire::{BARE, MISFIT};
use crate::{TransformError, values};

/// The reason of each record that does not fit, by its position.
pub(crate) fn misfits(records: &StructArray) -> BTreeMap<usize, String> {
    let mut reasons = BTreeMap::new();
    if !fits(records) {
        let all: Vec<usize> = (0..records.len()).collect();
        collect(&Place::default(), records, &all, &mut reasons);
    }
    for row in (0..records.len()).filter(|row| records.is_null(*row)) {
        reasons.entry(row).or_insert_with(|| "record: null".to_owned());
    }
    reasons
}

/// The raw text of each record of the page; the whole body is the one record of a report without a list of rows.
///
/// # Errors
/// The body is not JSON by the letter. arrow-json lets a missing or a spare comma pass, so this may be the first to see
/// it.
pub(crate) fn raw_records<'a>(body: &'a [u8], rows: Option<&str>) -> Result<Vec<&'a RawValue>, TransformError> {
    let Some(rows) = rows else { return Ok(vec![serde_json::from_slice(body).map_err(|error| not_json(&error))?]) };
    let envelope = raw_envelope(body)?;
    match envelope.get(rows) {
        Some(list) if list.get().starts_with('[') => serde_json::from_str(list.get()).map_err(|error| not_json(&error)),
        _ => Err(TransformError::no_list(rows)),
    }
}

/// The body with `null` in the place of the records for which `keep` is false.
///
/// # Errors
/// As [`raw_records`].
pub(crate) fn without(body: &[u8], rows: &str, keep: impl Fn(usize) -> bool) -> Result<Vec<u8>, TransformError> {
    let records = raw_records(body, Some(rows))?;
    let kept: Vec<&RawValue> =
        records.into_iter().enumerate().map(|(index, raw)| if keep(index) { raw } else { RawValue::NULL }).collect();
    let list = serde_json::value::to_raw_value(&kept).map_err(|error| not_json(&error))?;
    let mut envelope = raw_envelope(body)?;
    envelope.insert(rows.to_owned(), &list);
    serde_json::to_vec(&envelope).map_err(|error| not_json(&error))
}

fn raw_envelope(body: &[u8]) -> Result<BTreeMap<String, &RawValue>, TransformError> {
    serde_json::from_slice(body).map_err(|error| not_json(&error))
}

/// The error for a body that `serde_json` refuses. Its complaints about syntax are fixed texts; those about shape may
/// quote a value and are dropped.
pub(crate) fn not_json(error: &serde_json::Error) -> TransformError {
    if error.is_data() {
        return TransformError::NotAPage { reason: "a part of it has another shape".to_owned() };
    }
    TransformError::NotJson { reason: error.to_string() }
}

/// Whether no row of the object, or of anything nested in it, has a misfit.
fn fits(object: &StructArray) -> bool {
    codes(object).iter().all(|code| *code == 0) && object.columns().iter().all(nested_fits)
}

fn nested_fits(column: &ArrayRef) -> bool {
    let list = || column.as_list_opt::<i32>().and_then(|list| list.values().as_struct_opt());
    column.as_struct_opt().or_else(list).is_none_or(fits)
}

/// Where rows stand in a record.
#[derive(Default)]
struct Place {
    /// Dotted path, `[]` after each list; empty for the record itself.
    path: String,
    /// Whether the rows are elements of a list of bare values, which have no keys.
    bare: bool,
}

impl Place {
    /// The path of a field of the rows.
    fn field(&self, name: &str) -> String {
        match (self.bare, self.path.as_str()) {
            (true, path) => path.to_owned(),
            (false, "") => name.to_owned(),
            (false, path) => format!("{path}.{name}"),
        }
    }
}

/// Notes the first misfit of each record, outer objects before those nested in them. `records` has the position of
/// the record that each row belongs to.
fn collect(place: &Place, rows: &StructArray, records: &[usize], reasons: &mut BTreeMap<usize, String>) {
    for (record, code) in records.iter().zip(codes(rows)) {
        if let Some(misfit) = Misfit::from_code(*code) {
            reasons.entry(*record).or_insert_with(|| reason(place, rows, misfit));
        }
    }
    for (field, column) in rows.fields().iter().zip(rows.columns()) {
        let path = place.field(field.name());
        if let Some(object) = column.as_struct_opt() {
            collect(&Place { path, bare: false }, object, records, reasons);
        } else if let Some(list) = column.as_list_opt::<i32>() {
            let lengths = list.offsets().lengths();
            let owners: Vec<usize> =
                records.iter().zip(lengths).flat_map(|(record, length)| repeat_n(*record, length)).collect();
            let first = list.value_offsets().first().and_then(|first| usize::try_from(*first).ok()).unwrap_or_default();
            if let Some(elements) = list.values().slice(first, owners.len()).as_struct_opt() {
                let bare = matches!(field.data_type(), DataType::List(element) if element.name() == BARE);
                collect(&Place { path: format!("{path}[]"), bare }, elements, &owners, reasons);
            }
        }
    }
}

fn reason(place: &Place, rows: &StructArray, misfit: Misfit) -> String {
    let field = |index: u16| rows.fields().get(usize::from(index));
    let path = |index: u16| place.field(field(index).map_or("", |field| field.name()));
    match misfit {
        Misfit::NotAnObject if place.path.is_empty() => "record: not an object".to_owned(),
        Misfit::NotAnObject => format!("{}: not an object", place.path),
        Misfit::Missing(index) => format!("{}: required, but missing or empty", path(index)),
        Misfit::Kind(index) => {
            let kind = field(index).map_or(&DataType::Null, |field| field.data_type());
            format!("{}: {}", path(index), values::complaint(kind))
        }
    }
}

fn codes(object: &StructArray) -> &[u16] {
    let column = object.column_by_name(MISFIT).and_then(|column| column.as_primitive_opt::<UInt16Type>());
    column.map_or(&[], |codes| codes.values())
}
