//! The columns of a stored table: those of the catalog, and those that merging adds.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array, UInt64Array, new_null_array};
use arrow_buffer::ScalarBuffer;
use arrow_row::{RowConverter, Rows};
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use ctct_catalog::{COMMIT, EXTRACTED_AT, ORDINAL, PARENT_ORDINAL, Report, Table};

use crate::error::LoadError;
use crate::files::layout::FileLayout;
use crate::files::stored_schema::{DELETE_REASON, DELETED_AT, VALID_FROM, VALID_TO, stored_key, stored_schema};
use crate::log::record::WriteMode;
use crate::merge::block::{Columns, converter};

/// The table as merging stores it: with [`stored_schema`], sorted by [`stored_key`].
pub(crate) fn stored_table(report: &Report, table: &Table, history: bool) -> Table {
    Table {
        schema: stored_schema(table, WriteMode::Merge, history),
        key: stored_key(report, table, history),
        ..table.clone()
    }
}

/// One table as merging sees it. Rows of a run are sorted and spilled as *delta* rows: those of the stored table, then
/// the number of their partition and the sequence of their parent row, which counts parent rows in the order in which
/// they came.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) layout: Arc<FileLayout>,
    /// Of a stored row: the report's key, by which rows are merged.
    pub(crate) columns: Columns,
    /// Columns that make two versions of a row differ.
    pub(crate) content: Vec<usize>,
    /// Number of the table that its rows hang on; `None` for the report's own table.
    pub(crate) parent: Option<usize>,
    /// What tells how lists compare, in child tables.
    pub(crate) list: Option<ListShape>,
    /// Columns whose greatest value tells which version of a row is newer, in the report's own table.
    pub(crate) changed: Vec<usize>,
    pub(crate) commit: usize,
    /// `_deleted_at` and `_delete_reason`, in the report's own table.
    pub(crate) deleted: Option<(usize, usize)>,
    /// `_valid_from` and `_valid_to`, with history.
    pub(crate) valid: Option<(usize, usize)>,
    /// Schema of delta rows.
    pub(crate) delta: SchemaRef,
    /// What delta rows are sorted by.
    pub(crate) order: Arc<SortOrder>,
}

/// What rows are sorted by.
#[derive(Debug)]
pub(crate) struct SortOrder {
    table: String,
    columns: Vec<usize>,
    converter: RowConverter,
}

impl SortOrder {
    /// By these columns of the schema, ascending. `table` is for messages.
    pub(crate) fn new(table: &str, schema: &Schema, columns: Vec<usize>) -> Result<Self, ArrowError> {
        let converter = converter(schema, &columns)?;
        Ok(Self { table: table.to_owned(), columns, converter })
    }

    /// Name of the table.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// What the rows are sorted by, in a form that compares by its bytes.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Rows, LoadError> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|at| Arc::clone(rows.column(*at))).collect();
        self.converter.convert_columns(&columns).map_err(self.failed("sort"))
    }

    /// Names the table and what was tried in an error of Arrow's.
    pub(crate) fn failed(&self, action: &'static str) -> impl FnOnce(ArrowError) -> LoadError + use<> {
        let table = self.table.clone();
        move |source| LoadError::Arrow { table, action, source }
    }
}

/// How rows of a list compare where their order does not count.
#[derive(Debug)]
pub(crate) struct ListShape {
    /// Columns whose values are those of the row itself, and not its place.
    pub(crate) own: Vec<usize>,
    pub(crate) own_rows: RowConverter,
    /// For a list within a list, the columns that name the row that it hangs on.
    pub(crate) link: Vec<usize>,
    pub(crate) link_rows: RowConverter,
    /// For each list within this one, the columns that name a row to it.
    pub(crate) names: Vec<(usize, Vec<usize>, RowConverter)>,
}

impl ListShape {
    fn new(
        report: &Report,
        table: &Table,
        schema: &Schema,
        content: &[usize],
        index: impl Fn(&str) -> Result<usize, LoadError>,
        failed: impl Fn(ArrowError) -> LoadError,
    ) -> Result<Self, LoadError> {
        let places = [ORDINAL, PARENT_ORDINAL];
        let name = |at: &usize| schema.field(*at).name().as_str();
        let own: Vec<usize> = content.iter().copied().filter(|at| !places.contains(&name(at))).collect();
        // A nested list carries what names the row that it hangs on; the report's key is the same for all.
        let carried = |nested: &Table| {
            let names = nested.key.iter().filter(|name| *name != ORDINAL && !report.key.contains(name));
            names.cloned().collect::<Vec<String>>()
        };
        let link = if table.parent == Some(0) { Vec::new() } else { carried(table) };
        let link: Vec<usize> = link.iter().map(|name| index(name)).collect::<Result<_, _>>()?;
        let here = report.tables().iter().position(|other| other.name == table.name);
        let mut names = Vec::new();
        for (at, nested) in report.tables().iter().enumerate().filter(|(_, nested)| nested.parent == here) {
            let columns = carried(nested).into_iter();
            let columns = columns.map(|name| index(if name == PARENT_ORDINAL { ORDINAL } else { &name }));
            let columns: Vec<usize> = columns.collect::<Result<_, _>>()?;
            let rows = converter(schema, &columns).map_err(&failed)?;
            names.push((at, columns, rows));
        }
        let own_rows = converter(schema, &own).map_err(&failed)?;
        let link_rows = converter(schema, &link).map_err(&failed)?;
        Ok(Self { own, own_rows, link, link_rows, names })
    }
}

impl Shape {
    /// The shape of one of the report's tables. `layout` lays out the files of the table as it is stored.
    pub(crate) fn new(
        report: &Report,
        table: &Table,
        history: bool,
        changed: &[String],
        layout: impl FnOnce(&Table) -> Result<FileLayout, LoadError>,
    ) -> Result<Self, LoadError> {
        let layout = Arc::new(layout(&stored_table(report, table, history))?);
        let schema = Arc::clone(layout.schema());
        let lacks = |name: &str| LoadError::Shape { table: table.name.clone(), reason: format!("it has no `{name}`") };
        let index = |name: &str| schema.index_of(name).map_err(|_| lacks(name));

        let keys: Vec<usize> = report.key.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let valid = if history { Some((index(VALID_FROM)?, index(VALID_TO)?)) } else { None };
        let deleted = if table.parent.is_none() { Some((index(DELETED_AT)?, index(DELETE_REASON)?)) } else { None };
        let own = [COMMIT, EXTRACTED_AT, DELETED_AT, DELETE_REASON, VALID_FROM, VALID_TO];
        let fields = schema.fields();
        let content: Vec<usize> = (0..fields.len()).filter(|at| !own.contains(&fields[*at].name().as_str())).collect();

        let mut delta = fields.to_vec();
        delta.push(Arc::new(Field::new("partition", DataType::UInt32, false)));
        delta.push(Arc::new(Field::new("sequence", DataType::UInt64, false)));
        let delta = without_metadata(&delta);
        let (partition, sequence) = (fields.len(), fields.len() + 1);
        let rest = table.key.iter().filter(|name| !report.key.contains(name));
        let rest = rest.filter_map(|name| schema.index_of(name).ok());
        let sort: Vec<usize> =
            [partition].into_iter().chain(keys.iter().copied()).chain([sequence]).chain(rest).collect();
        let failed = || layout.arrow_error("sort");
        let list = match table.parent {
            None => None,
            Some(_) => Some(ListShape::new(report, table, &schema, &content, index, |error| failed()(error))?),
        };
        let changed = changed.iter().filter(|_| table.parent.is_none());
        let changed = changed.filter_map(|name| {
            let at = schema.index_of(name).ok()?;
            matches!(schema.field(at).data_type(), DataType::Timestamp(..)).then_some(at)
        });
        Ok(Self {
            columns: Columns::new(&schema, keys, index(EXTRACTED_AT)?).map_err(failed())?,
            parent: table.parent,
            list,
            changed: changed.collect(),
            content,
            commit: index(COMMIT)?,
            deleted,
            valid,
            order: Arc::new(SortOrder::new(&table.name, &delta, sort).map_err(failed())?),
            delta,
            layout,
        })
    }

    /// Name of the table.
    pub(crate) fn table(&self) -> &str {
        self.layout.table()
    }

    /// Schema of stored rows.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    /// A run's rows as delta rows. `rows` has the catalog's columns without partition folders.
    pub(crate) fn delta_rows(
        &self,
        rows: &RecordBatch,
        partitions: Vec<u32>,
        sequences: Vec<u64>,
    ) -> Result<RecordBatch, LoadError> {
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        for field in self.schema().fields().iter().skip(columns.len()) {
            columns.push(if field.name() == VALID_FROM {
                Arc::clone(rows.column(self.columns.extracted_at))
            } else {
                new_null_array(field.data_type(), count)
            });
        }
        columns.push(Arc::new(UInt32Array::from(partitions)));
        columns.push(Arc::new(UInt64Array::from(sequences)));
        RecordBatch::try_new(Arc::clone(&self.delta), columns).map_err(self.layout.arrow_error("extend"))
    }

    /// The rows with other values in some of their columns.
    pub(crate) fn with_columns(
        &self,
        rows: &RecordBatch,
        changed: Vec<(usize, ArrayRef)>,
    ) -> Result<RecordBatch, LoadError> {
        let mut columns = rows.columns().to_vec();
        for (at, column) in changed {
            columns[at] = column;
        }
        RecordBatch::try_new(rows.schema(), columns).map_err(self.layout.arrow_error("change"))
    }
}

/// A timestamp column as the tables have them.
pub(crate) fn instants(values: TimestampMicrosecondArray) -> ArrayRef {
    Arc::new(values.with_timezone(ctct_catalog::UTC))
}

/// The numbers of a batch's partitions and parent rows, which are its last columns.
pub(crate) fn hidden(delta: &RecordBatch) -> (ScalarBuffer<u32>, ScalarBuffer<u64>) {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{UInt32Type, UInt64Type};
    let last = delta.num_columns();
    let partitions = delta.column(last - 2).as_primitive::<UInt32Type>().values().clone();
    (partitions, delta.column(last - 1).as_primitive::<UInt64Type>().values().clone())
}

/// The schema without comments, which only take room in files that nobody else reads.
fn without_metadata(fields: &[FieldRef]) -> SchemaRef {
    let bare = |field: &FieldRef| Arc::new(field.as_ref().clone().with_metadata(std::collections::HashMap::new()));
    Arc::new(Schema::new(fields.iter().map(bare).collect::<Vec<FieldRef>>()))
}
