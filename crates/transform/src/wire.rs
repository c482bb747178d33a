//! The shape of a page, made from the catalog's report once: an Arrow schema whose leaves have their final types.
//!
//! - An object is a struct, a list is a list of structs. Each struct ends with [`EXTRA`] and [`MISFIT`], which
//!   `object` fills.
//! - The records of a page are a list of structs named [`RECORD`].
//! - A list of bare values is a list of structs named [`BARE`] with the one column.
//! - A known key whose value nobody needs (links, counts) has type `Null`: anything fits, nothing is kept.
//! - A `bound` column is not part of a row's JSON. Should the API send it one day, it is unknown and lands in `_extra`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Fields, Schema, SchemaRef};
use ctct_catalog::{EXTRA, Field, FieldType, Report};

/// Why the struct's row cannot land; see `object::Misfit`. 0 where it can.
pub(crate) const MISFIT: &str = "_misfit";
/// Name of the element of a list of bare values.
pub(crate) const BARE: &str = "bare";
/// Name of the element of the list of records.
pub(crate) const RECORD: &str = "record";
/// Name of the element of any other list of objects.
const ELEMENT: &str = "element";
/// Links to other pages ride in the envelope of every report, whether it says how to page or not.
const LINKS: &str = "_links";
/// Metadata key of a field without which a record cannot land.
const REQUIRED: &str = "required";
/// Metadata key of a field that the API sends only when asked.
const SUBRESOURCE: &str = "subresource";

/// The schema of a page's body.
pub(crate) fn envelope(report: &Report) -> SchemaRef {
    let mut fields = match &report.rows {
        Some(rows) => vec![list(rows, RECORD, &report.columns)],
        None => report.columns.iter().filter_map(sent).collect(),
    };
    let links = report.paging.as_ref().and_then(|paging| paging.next.split('.').next()).unwrap_or(LINKS);
    let known = report.envelope.iter().map(|field| field.name.as_str()).chain([links]);
    for name in known {
        if fields.iter().all(|field| field.name() != name) {
            fields.push(ArrowField::new(name, DataType::Null, true));
        }
    }
    fields.extend(marks());
    Arc::new(Schema::new(fields))
}

/// Whether a record without this field goes to the dead letters.
pub(crate) fn is_required(field: &ArrowField) -> bool {
    field.metadata().contains_key(REQUIRED)
}

/// Whether the API sends this field only when asked.
pub(crate) fn is_subresource(field: &ArrowField) -> bool {
    field.metadata().contains_key(SUBRESOURCE)
}

/// The field as the JSON has it, or `None` where the request has it and the JSON does not.
fn sent(field: &Field) -> Option<ArrowField> {
    if field.bound.is_some() {
        return None;
    }
    let name = field.name.as_str();
    let shape = match (field.kind, &field.item) {
        (FieldType::Object, _) => ArrowField::new(name, object(&field.fields), true),
        (FieldType::List, Some(item)) => list(name, BARE, std::slice::from_ref(item)),
        (FieldType::List, None) => list(name, ELEMENT, &field.fields),
        (kind, _) => ArrowField::new(name, kind.data_type(), true),
    };
    let marks = [(REQUIRED, field.required), (SUBRESOURCE, field.subresource)];
    let marks = marks.into_iter().filter(|(_, is_marked)| *is_marked);
    Some(shape.with_metadata(marks.map(|(mark, _)| (mark.to_owned(), String::new())).collect::<HashMap<_, _>>()))
}

fn list(name: &str, element: &str, fields: &[Field]) -> ArrowField {
    ArrowField::new(name, DataType::List(Arc::new(ArrowField::new(element, object(fields), true))), true)
}

fn object(fields: &[Field]) -> DataType {
    DataType::Struct(fields.iter().filter_map(sent).chain(marks()).collect::<Fields>())
}

fn marks() -> [ArrowField; 2] {
    [ArrowField::new(EXTRA, DataType::Utf8View, true), ArrowField::new(MISFIT, DataType::UInt16, false)]
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;

    use super::*;

    /// The names of the fields, those of structs and lists with what is in them.
    fn shape(fields: &Fields) -> String {
        let shapes = fields.iter().map(|field| match field.data_type() {
            DataType::Struct(fields) => format!("{}{{{}}}", field.name(), shape(fields)),
            DataType::List(element) => format!("{}[{}]", field.name(), shape(&Fields::from(vec![Arc::clone(element)]))),
            DataType::Null => format!("{}?", field.name()),
            _ => field.name().clone(),
        });
        shapes.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_report_has_the_shape_that_the_snapshot_shows() {
        let catalog = Catalog::embedded().expect("the embedded catalog");
        let shapes = catalog.reports().map(|report| format!("{}: {}", report.name, shape(envelope(report).fields())));
        insta::assert_snapshot!(shapes.collect::<Vec<_>>().join("\n"));
    }
}
