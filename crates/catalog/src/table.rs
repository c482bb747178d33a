//! From a report's fields to the tables that it fills, with their full Arrow schemas.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use crate::{Field, FieldType, Report};

/// Position of a child row in its parent's list, from 0.
pub const ORDINAL: &str = "_ordinal";
/// Position of the parent row in its own list, for lists nested in lists.
pub const PARENT_ORDINAL: &str = "_parent_ordinal";
/// JSON object of what the API sent and the catalogue does not know.
pub const EXTRA: &str = "_extra";
/// Instant at which the response arrived.
pub const EXTRACTED_AT: &str = "_extracted_at";
/// Version of the commit that brought the row.
pub const COMMIT: &str = "_commit";
/// Time zone of every timestamp column.
pub const UTC: &str = "UTC";

/// One table of a report. Every file of it has exactly this schema.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name, and folder below the destination.
    pub name: String,
    /// Full schema, the columns that start with `_` included.
    pub schema: SchemaRef,
    /// Columns that name a row; files are sorted by them.
    pub key: Vec<String>,
    /// Columns that hold ids.
    pub ids: Vec<String>,
    /// Index of the parent table in [`Report::tables`]; `None` for the report's own table.
    pub parent: Option<usize>,
    /// One sentence for people.
    pub doc: String,
}

/// A column while tables are laid out.
#[derive(Clone)]
struct Column {
    name: String,
    kind: FieldType,
    required: bool,
    doc: String,
}

impl Column {
    fn new(name: impl Into<String>, kind: FieldType, required: bool, doc: impl Into<String>) -> Self {
        Self { name: name.into(), kind, required, doc: doc.into() }
    }

    fn arrow(&self) -> ArrowField {
        ArrowField::new(&self.name, self.kind.data_type(), !self.required)
            .with_metadata([("comment".to_owned(), self.doc.clone())])
    }
}

impl FieldType {
    /// The Arrow type of a column of this kind. Objects and lists never become a column; layout takes them apart.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
            Self::Integer => DataType::Int64,
            Self::Number => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Id | Self::String | Self::Object | Self::List => DataType::Utf8View,
        }
    }
}

/// All tables of a report: the parent, then its lists depth first, in the order of the file.
pub(crate) fn tables(report: &Report) -> Vec<Table> {
    let mut tables = Vec::new();
    let layout = Layout { name: report.name.clone(), parent: None, doc: report.doc.clone(), carried: Vec::new() };
    let key = Key { own: &report.key, depth: 0 };
    lay_out(&report.columns, layout, key, &mut tables);
    tables
}

struct Layout {
    name: String,
    parent: Option<usize>,
    doc: String,
    /// Columns that the table takes over from its ancestors.
    carried: Vec<Column>,
}

#[derive(Clone, Copy)]
struct Key<'a> {
    /// Columns that name a row among its siblings, and that lists nested in it carry.
    own: &'a [String],
    /// How many lists the table is nested in.
    depth: usize,
}

fn lay_out(fields: &[Field], layout: Layout, key: Key<'_>, tables: &mut Vec<Table>) {
    let mut own = Vec::new();
    let mut lists = Vec::new();
    splice("", fields, &mut own, &mut lists);

    let mut names = if key.depth == 0 { key.own.to_vec() } else { names_of(&layout.carried) };
    let mut columns = layout.carried.clone();
    if key.depth > 0 {
        columns.push(Column::new(ORDINAL, FieldType::Integer, true, "Position in the parent's list, from 0."));
        names.push(ORDINAL.to_owned());
    }
    // A child may repeat a column of its parent's key (a custom field's choices do): the parent's stays.
    own.retain(|column| !columns.iter().any(|carried| carried.name == column.name));
    columns.extend(own.iter().cloned());
    let ids = columns.iter().filter(|column| column.kind == FieldType::Id).map(|column| column.name.clone()).collect();

    let here = tables.len();
    let mut arrow: Vec<ArrowField> = columns.iter().map(Column::arrow).collect();
    arrow.extend(stamps().iter().map(Column::arrow));
    tables.push(Table {
        name: layout.name.clone(),
        schema: Arc::new(Schema::new(arrow)),
        key: names,
        ids,
        parent: layout.parent,
        doc: layout.doc,
    });

    for list in lists {
        let mut carried = layout.carried.clone();
        carried.extend(columns.iter().filter(|column| key.own.contains(&column.name)).cloned());
        if key.depth > 0 {
            carried.push(Column::new(
                PARENT_ORDINAL,
                FieldType::Integer,
                true,
                "Position of the parent row in its list.",
            ));
        }
        let child = Layout {
            name: format!("{}_{}", layout.name, list.name),
            parent: Some(here),
            doc: list.doc.clone(),
            carried,
        };
        let fields = list.item.as_deref().map_or(&list.fields[..], std::slice::from_ref);
        lay_out(fields, child, Key { own: &list.key, depth: key.depth + 1 }, tables);
    }
}

fn names_of(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// Takes nested objects apart into columns joined by `_`, and sets nested lists aside.
fn splice<'a>(prefix: &str, fields: &'a [Field], columns: &mut Vec<Column>, lists: &mut Vec<&'a Field>) {
    for field in fields {
        let name = format!("{prefix}{}", field.name);
        match field.kind {
            FieldType::Object => splice(&format!("{name}_"), &field.fields, columns, lists),
            FieldType::List => lists.push(field),
            kind => columns.push(Column::new(name, kind, field.required, &field.doc)),
        }
    }
}

/// The columns that end every table.
fn stamps() -> [Column; 3] {
    [
        Column::new(EXTRA, FieldType::String, false, "JSON object of fields that the catalogue does not know."),
        Column::new(EXTRACTED_AT, FieldType::Timestamp, true, "When the response arrived."),
        Column::new(COMMIT, FieldType::Integer, true, "Version of the commit that brought the row."),
    ]
}
