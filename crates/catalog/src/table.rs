//! From a report's fields to the tables that it fills, with their full Arrow schemas.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};

use crate::{Field, FieldType, Report, Role, Subject, TableRoles};

/// Position of a child row in its parent's list, from 0.
pub const ORDINAL: &str = "_ordinal";
/// Position of the parent row in its own list, for lists nested in lists.
pub const PARENT_ORDINAL: &str = "_parent_ordinal";
/// Number of an event among those with the same key that one read of an id brought, from 1.
pub const OCCURRENCE: &str = "_occurrence";
/// JSON object of what the API sent and the catalog does not know.
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
    /// What a row is made of: a path within a record, such as `custom_fields[]`; empty for the record itself.
    pub path: String,
    /// Where each column comes from, in the order of the schema.
    pub origins: Vec<Origin>,
    /// Columns that hold ids of rows of other tables, in the order of the schema.
    pub references: Vec<Reference>,
    /// One sentence for people.
    pub doc: String,
}

/// Where a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A path within a record of the response, such as `email_address.address` or `custom_fields[].value`.
    Response(String),
    /// A parameter of the request.
    Request(String),
    /// This program: a position in a list, or what it knows of the request and the commit.
    Program,
}

/// A column that holds ids of rows of another table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The column.
    pub column: String,
    /// The other table.
    pub table: String,
    /// The other table's column.
    pub to: String,
}

/// A column while tables are laid out.
#[derive(Clone)]
struct Column {
    name: String,
    kind: FieldType,
    required: bool,
    doc: String,
    origin: Origin,
    /// `TABLE.COLUMN` that it refers to.
    refers: Option<String>,
    role: Option<Role>,
}

impl Column {
    /// A column that this program adds.
    fn new(name: &str, kind: FieldType, required: bool, doc: &str) -> Self {
        let (name, doc) = (name.to_owned(), doc.to_owned());
        Self { name, kind, required, doc, origin: Origin::Program, refers: None, role: None }
    }

    /// A column of a field, `name` and `path` with what it is nested in.
    fn of(field: &Field, name: String, path: String) -> Self {
        let origin = field.bound.clone().map_or(Origin::Response(path), Origin::Request);
        let Field { kind, required, doc, refers, role, .. } = field;
        Self { name, kind: *kind, required: *required, doc: doc.clone(), origin, refers: refers.clone(), role: *role }
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

/// All tables of a report with what they mean: the parent, then its lists depth first, in the order of the file.
pub(crate) fn tables(report: &Report) -> (Vec<Table>, Vec<TableRoles>) {
    let mut tables = Vec::new();
    let layout = Layout {
        name: report.name.clone(),
        parent: None,
        path: String::new(),
        bare: false,
        doc: report.doc.clone(),
        holds: report.holds,
        carried: Vec::new(),
    };
    let key = Key { own: &report.key, depth: 0 };
    lay_out(&report.columns, layout, key, &mut tables);
    tables.into_iter().unzip()
}

struct Layout {
    name: String,
    parent: Option<usize>,
    /// What a row is made of, within a record.
    path: String,
    /// Whether that is a bare value rather than an object.
    bare: bool,
    doc: String,
    holds: Option<Subject>,
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

fn lay_out(fields: &[Field], layout: Layout, key: Key<'_>, tables: &mut Vec<(Table, TableRoles)>) {
    let mut own = Vec::new();
    let mut lists = Vec::new();
    splice("", &layout.path, fields, &mut own, &mut lists);
    if layout.bare {
        for column in &mut own {
            column.origin = Origin::Response(layout.path.clone());
        }
    }

    let mut names = if key.depth == 0 { key.own.to_vec() } else { names_of(&layout.carried) };
    let mut columns = layout.carried.clone();
    if key.depth > 0 {
        columns.push(Column::new(ORDINAL, FieldType::Integer, true, "Position in the parent's list, from 0."));
        names.push(ORDINAL.to_owned());
    }
    // A child may repeat a column of its parent's key (a custom field's choices do): the parent's stays.
    own.retain(|column| !columns.iter().any(|carried| carried.name == column.name));
    columns.extend(own.iter().cloned());
    if key.depth == 0 && key.own.iter().any(|name| name == OCCURRENCE) {
        let doc = "Which of several events with the same key it is, from 1, in the order in which the API sends them.";
        columns.push(Column::new(OCCURRENCE, FieldType::Integer, true, doc));
    }
    let ids = columns.iter().filter(|column| column.kind == FieldType::Id).map(|column| column.name.clone()).collect();

    let here = tables.len();
    let stamps = stamps();
    let all = || columns.iter().chain(&stamps);
    let roles = columns.iter().filter_map(|column| Some((column.role?, column.name.clone())));
    let roles = TableRoles { table: layout.name.clone(), holds: layout.holds, columns: roles.collect() };
    let table = Table {
        name: layout.name.clone(),
        schema: Arc::new(Schema::new(all().map(Column::arrow).collect::<Vec<_>>())),
        key: names,
        ids,
        parent: layout.parent,
        path: layout.path.clone(),
        origins: all().map(|column| column.origin.clone()).collect(),
        references: columns.iter().filter_map(reference).collect(),
        doc: layout.doc,
    };
    tables.push((table, roles));

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
            name: format!("{}_{}", layout.name, list.field.name),
            parent: Some(here),
            path: format!("{}[]", list.path),
            bare: list.field.item.is_some(),
            doc: list.field.doc.clone(),
            holds: list.field.holds,
            carried,
        };
        let Field { item, fields, key: own, .. } = list.field;
        let fields = item.as_deref().map_or(&fields[..], std::slice::from_ref);
        lay_out(fields, child, Key { own, depth: key.depth + 1 }, tables);
    }
}

fn names_of(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}

/// The table and the column that a column refers to. That both exist is checked once all reports are known.
fn reference(column: &Column) -> Option<Reference> {
    let (table, to) = column.refers.as_deref()?.split_once('.').unwrap_or_default();
    Some(Reference { column: column.name.clone(), table: table.to_owned(), to: to.to_owned() })
}

/// A nested list, and where it stands within a record.
struct List<'a> {
    field: &'a Field,
    path: String,
}

/// Takes nested objects apart into columns joined by `_`, and sets nested lists aside. `path` is where the fields stand.
fn splice<'a>(prefix: &str, path: &str, fields: &'a [Field], columns: &mut Vec<Column>, lists: &mut Vec<List<'a>>) {
    for field in fields {
        let name = format!("{prefix}{}", field.name);
        let path = match path {
            "" => field.name.clone(),
            path => format!("{path}.{}", field.name),
        };
        match field.kind {
            FieldType::Object => splice(&format!("{name}_"), &path, &field.fields, columns, lists),
            FieldType::List => lists.push(List { field, path }),
            _ => columns.push(Column::of(field, name, path)),
        }
    }
}

/// The columns that end every table.
fn stamps() -> [Column; 3] {
    [
        Column::new(EXTRA, FieldType::String, false, "JSON object of fields that the catalog does not know."),
        Column::new(EXTRACTED_AT, FieldType::Timestamp, true, "When the response arrived."),
        Column::new(COMMIT, FieldType::Integer, true, "Version of the commit that brought the row."),
    ]
}
