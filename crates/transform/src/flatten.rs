//! One struct array of records to a batch per table. Columns are moved, sliced and taken as they are, never a row at a time.
//!
//! - The fields of a nested object become columns joined by `_`.
//! - A list becomes a child table: its elements are the rows, its offsets say how often each row of the parent table
//!   is taken for the columns that the child carries.
//! - A null element makes no row. `_ordinal` is the position in the list as it was sent, so it counts null elements.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, ListArray, RecordBatch, StringViewArray, StructArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use arrow_select::filter::filter;
use arrow_select::nullif::nullif;
use arrow_select::take::take;
use ctct_catalog::{COMMIT, EXTRA, EXTRACTED_AT, OCCURRENCE, ORDINAL, PARENT_ORDINAL, Table, UTC};

use crate::wire::{self, MISFIT};
use crate::{TableRows, TransformError, extra};

/// Columns that have one value for all rows of the page.
pub(crate) struct Constants {
    /// Microseconds since 1970.
    pub(crate) extracted_at: i64,
    /// Version of the commit.
    pub(crate) commit: i64,
    /// Values of `bound` columns of the report's own table, by column; each array holds one value.
    pub(crate) bound: Vec<(String, ArrayRef)>,
    /// Names of the sub-resources that the request asked for.
    pub(crate) asked: Vec<String>,
}

/// The rows of all tables, and the drift among them.
///
/// # Errors
/// The records lack a column of a table, or have another type: the wire schema and the catalog do not agree.
pub(crate) fn flatten(
    tables: &[Table],
    records: &StructArray,
    constants: &Constants,
) -> Result<(Vec<TableRows>, BTreeMap<String, u64>), TransformError> {
    let mut pass = Flattening { tables, constants, done: Vec::with_capacity(tables.len()), drift: BTreeMap::new() };
    pass.add("", records, None, Vec::new())?;
    Ok((pass.done, pass.drift))
}

/// A list's rows in relation to the table that it is nested in.
struct Link {
    /// Index of the parent table.
    parent: usize,
    /// Row of the parent table, by row of the child.
    rows: UInt32Array,
    /// Position in the list, by row of the child.
    ordinals: Int64Array,
}

struct Flattening<'a> {
    tables: &'a [Table],
    constants: &'a Constants,
    /// Finished tables. Lists are met in the order in which the catalog lays out tables, so the next index is the
    /// next table's.
    done: Vec<TableRows>,
    drift: BTreeMap<String, u64>,
}

impl Flattening<'_> {
    /// Adds the next table from its rows, and then the tables of the lists in them. `path` leads to the rows' keys, `absent`
    /// are the records whose rows were asked for and did not come.
    fn add(
        &mut self,
        path: &str,
        rows: &StructArray,
        link: Option<&Link>,
        absent: Vec<u32>,
    ) -> Result<(), TransformError> {
        let here = self.done.len();
        let Some(table) = self.tables.get(here) else { return Err(mismatch(path)) };
        extra::count(path, rows, &mut self.drift);

        let spliced = Spliced::new(rows)?;
        let fields = table.schema.fields();
        let carried = link.and_then(|_| fields.iter().position(|field| field.name() == ORDINAL)).unwrap_or(0);
        let columns = fields.iter().enumerate().map(|(index, field)| match link {
            Some(link) if index < carried => self.carry(link, field.name()),
            Some(link) if index == carried => Ok(Arc::new(link.ordinals.clone()) as ArrayRef),
            _ => self.own(&spliced, rows, field.name()),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let batch =
            RecordBatch::try_new(Arc::clone(&table.schema), columns).map_err(TransformError::arrow(&table.name))?;
        let parent_rows = link.map(|link| self.parent_rows(link)).transpose()?;
        // What is nested in a list that did not come did not come either.
        let inherited = absent.clone();
        self.done.push(TableRows { batch, parent_rows, absent });

        for NestedList { path: name, list, subresource } in &spliced.lists {
            let absent = match subresource {
                Some(subresource) if link.is_none() => self.absent(subresource, list),
                _ => inherited.clone(),
            };
            let (elements, rows, ordinals) = elements(list)?;
            let link = Link { parent: here, rows, ordinals };
            self.add(&format!("{path}{name}."), &elements, Some(&link), absent)?;
        }
        Ok(())
    }

    /// The records whose list was asked for and did not come.
    fn absent(&self, subresource: &str, list: &ListArray) -> Vec<u32> {
        if list.null_count() == 0 || self.constants.asked.iter().all(|asked| asked != subresource) {
            return Vec::new();
        }
        (0..).zip(0..list.len()).filter(|(_, index)| list.is_null(*index)).map(|(row, _)| row).collect()
    }

    /// A column that the table takes over from its parent table.
    fn carry(&self, link: &Link, name: &str) -> Result<ArrayRef, TransformError> {
        let name = if name == PARENT_ORDINAL { ORDINAL } else { name };
        let parent = self.done.get(link.parent).and_then(|parent| parent.batch.column_by_name(name));
        take(parent.ok_or_else(|| mismatch(name))?, &link.rows, None).map_err(TransformError::arrow(name))
    }

    /// A column of the rows themselves, or one that is the same in all of them.
    fn own(&self, spliced: &Spliced, rows: &StructArray, name: &str) -> Result<ArrayRef, TransformError> {
        let count = rows.len();
        Ok(match name {
            EXTRA => Arc::new(extra::of(rows).cloned().unwrap_or_else(|| StringViewArray::new_null(count))),
            EXTRACTED_AT => {
                let instants = TimestampMicrosecondArray::from_value(self.constants.extracted_at, count);
                Arc::new(instants.with_timezone(UTC))
            }
            // Until the pages before it are known, each is the first.
            OCCURRENCE => Arc::new(Int64Array::from_value(1, count)),
            COMMIT => Arc::new(Int64Array::from_value(self.constants.commit, count)),
            _ => match spliced.columns.iter().find(|(column, _)| column == name) {
                Some((_, column)) => Arc::clone(column),
                None => self.bound(name, count)?,
            },
        })
    }

    fn bound(&self, name: &str, count: usize) -> Result<ArrayRef, TransformError> {
        let bound = self.constants.bound.iter().find(|(column, _)| column == name);
        let (_, value) = bound.ok_or_else(|| mismatch(name))?;
        take(value, &UInt32Array::from_value(0, count), None).map_err(TransformError::arrow(name))
    }

    /// The row of the report's own table that each row belongs to.
    fn parent_rows(&self, link: &Link) -> Result<UInt32Array, TransformError> {
        match self.done.get(link.parent).and_then(|parent| parent.parent_rows.as_ref()) {
            None => Ok(link.rows.clone()),
            Some(above) => {
                let rows = take(above, &link.rows, None).map_err(TransformError::arrow("parent rows"))?;
                Ok(rows.as_primitive::<UInt32Type>().clone())
            }
        }
    }
}

fn mismatch(name: &str) -> TransformError {
    let source = arrow_schema::ArrowError::SchemaError("the wire schema and the catalog do not agree".to_owned());
    TransformError::Arrow { what: format!("column `{name}`"), source }
}

/// An object with the objects nested in it taken apart.
struct Spliced {
    /// Scalars, by column name.
    columns: Vec<(String, ArrayRef)>,
    lists: Vec<NestedList>,
}

/// A list in an object.
struct NestedList {
    /// Dotted path from the object.
    path: String,
    list: ListArray,
    /// Its name, where the API sends it only when asked.
    subresource: Option<String>,
}

impl Spliced {
    fn new(rows: &StructArray) -> Result<Self, TransformError> {
        let mut spliced = Self { columns: Vec::new(), lists: Vec::new() };
        spliced.splice(&[], rows, None)?;
        Ok(spliced)
    }

    fn splice(
        &mut self,
        path: &[&str],
        object: &StructArray,
        nulls: Option<&NullBuffer>,
    ) -> Result<(), TransformError> {
        let nulls = NullBuffer::union(nulls, object.nulls());
        for (field, column) in object.fields().iter().zip(object.columns()) {
            let path = [path, &[field.name().as_str()]].concat();
            match field.data_type() {
                DataType::Struct(_) => self.splice(&path, column.as_struct(), nulls.as_ref())?,
                DataType::List(element) => {
                    let list = column.as_list::<i32>();
                    let nulls = NullBuffer::union(nulls.as_ref(), list.nulls());
                    let (offsets, values) = (list.offsets().clone(), Arc::clone(list.values()));
                    self.lists.push(NestedList {
                        path: path.join("."),
                        list: ListArray::new(Arc::clone(element), offsets, values, nulls),
                        subresource: wire::is_subresource(field).then(|| field.name().clone()),
                    });
                }
                DataType::Null => {}
                _ if [EXTRA, MISFIT].contains(&field.name().as_str()) => {}
                _ => self.columns.push((path.join("_"), masked(column, nulls.as_ref())?)),
            }
        }
        Ok(())
    }
}

/// The column with nulls where the object around it is null.
fn masked(column: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef, TransformError> {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok(Arc::clone(column)) };
    if column.nulls().is_some_and(|own| own.contains(nulls)) {
        return Ok(Arc::clone(column));
    }
    let hide = BooleanArray::new(!nulls.inner(), None);
    nullif(column, &hide).map_err(TransformError::arrow("a nested object"))
}

/// The elements of all lists that are not null, with the row of each one's list and its position in it.
fn elements(list: &ListArray) -> Result<(StructArray, UInt32Array, Int64Array), TransformError> {
    let offsets = list.value_offsets();
    let bounds = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let (first, count) = (position(bounds.0), position(bounds.1 - bounds.0));
    let values = list.values().slice(first, count);

    let mut rows = Vec::with_capacity(count);
    let mut ordinals = Vec::with_capacity(count);
    let mut hidden = false;
    for (row, (start, end)) in (0_u32..).zip(offsets.iter().zip(offsets.iter().skip(1))) {
        let length = position(end - start);
        hidden |= length > 0 && list.is_null(position(row));
        rows.extend(std::iter::repeat_n(row, length));
        ordinals.extend((0_i64..).take(length));
    }
    let (rows, ordinals) = (UInt32Array::from(rows), Int64Array::from(ordinals));
    if values.null_count() == 0 && !hidden {
        return Ok((values.as_struct().clone(), rows, ordinals));
    }

    let shown = |(index, row): (usize, &u32)| Some(values.is_valid(index) && list.is_valid(position(*row)));
    let mask: BooleanArray = rows.values().iter().enumerate().map(shown).collect();
    let keep = |array: &dyn Array| filter(array, &mask).map_err(TransformError::arrow("a list"));
    Ok((
        keep(&values)?.as_struct().clone(),
        keep(&rows)?.as_primitive().clone(),
        keep(&ordinals)?.as_primitive().clone(),
    ))
}

/// An offset or a row as an index. Arrow's offsets are never negative, and a page has fewer than 2^31 rows.
fn position(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use arrow_array::UInt16Array;
    use arrow_array::types::Int64Type;
    use arrow_buffer::OffsetBuffer;
    use arrow_schema::{Field, Fields};

    use super::*;

    fn object(columns: Vec<(&str, ArrayRef)>, nulls: Option<Vec<bool>>) -> StructArray {
        let rows = columns.first().map_or(0, |(_, column)| column.len());
        let marks: [(&str, ArrayRef); 2] =
            [(EXTRA, Arc::new(StringViewArray::new_null(rows))), (MISFIT, Arc::new(UInt16Array::from_value(0, rows)))];
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns
            .into_iter()
            .chain(marks)
            .map(|(name, column)| (Field::new(name, column.data_type().clone(), true), column))
            .unzip();
        StructArray::new(Fields::from(fields), columns, nulls.map(NullBuffer::from))
    }

    #[test]
    fn what_stands_under_a_null_does_not_show() {
        let numbers = |from: i64, to: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(from..to)) };
        let elements = object(vec![("x", numbers(0, 6))], Some(vec![true, true, true, false, true, true]));
        let element = Arc::new(Field::new("element", elements.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([1, 2, 3]);
        // The second list is null and has two elements; the first element of the third is null.
        let list =
            ListArray::new(element, offsets, Arc::new(elements), Some(NullBuffer::from(vec![true, false, true])));
        let inner = object(vec![("n", numbers(7, 10)), ("list", Arc::new(list))], Some(vec![false, true, true]));
        let rows = object(vec![("inner", Arc::new(inner))], None);

        let spliced = Spliced::new(&rows).expect("columns");
        let (name, column) = &spliced.columns[0];
        assert_eq!(name, "inner_n");
        assert_eq!(column.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, Some(8), Some(9)]);

        let NestedList { path, list, .. } = &spliced.lists[0];
        assert_eq!(path, "inner.list");
        for (list, shift) in [(list, 0), (&list.slice(1, 2), 1)] {
            let (elements, rows, ordinals) = super::elements(list).expect("elements");
            // The first list is in a null object.
            let x = elements.column(0).as_primitive::<Int64Type>();
            assert_eq!(x.values().to_vec(), [4, 5]);
            assert_eq!(rows.values().to_vec(), [2 - shift, 2 - shift]);
            assert_eq!(ordinals.values().to_vec(), [1, 2]);
        }
    }
}
