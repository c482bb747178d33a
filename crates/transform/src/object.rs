//! JSON objects on arrow-json's tape to struct arrays.
//!
//! arrow-json lets a program bring its own decoder for a type. This one replaces the reader's struct decoder,
//! for three reasons. The reader's stops the page at the first value that does not fit, with that value in the
//! message; this one leaves the column null and keeps the value with its row. The reader's drops unknown keys, or stops
//! at them; this one keeps them with their row too. And the reader's converts silently (1.5 to the integer 1); `values`
//! does not.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::NullBufferBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt16Type;
use arrow_array::{Array, ArrayRef, ListArray, NullArray, StructArray, UInt16Array};
use arrow_buffer::NullBuffer;
use arrow_json::reader::{ArrayDecoder, DecoderContext, DecoderFactory, Tape, TapeElement};
use arrow_schema::ArrowError;
use arrow_schema::{DataType, FieldRef, Fields};

use crate::extra::{self, Leftover, Leftovers};
use crate::values;
use crate::wire::{self, BARE, MISFIT, RECORD};

/// Why a row of a struct array cannot land. Each row has the first reason found, as a number in the `_misfit` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The element of the list is not an object, or not a bare value of the list's type.
    Element,
    /// The required field at this index has a value that does not fit.
    Unfit(u16),
    /// The required field at this index is absent, null or empty.
    Missing(u16),
}

impl Misfit {
    /// The number that stands for it; 0 stands for a row that fits.
    fn code(self) -> u16 {
        match self {
            Self::Element => 1,
            Self::Unfit(field) => 2 * field + 2,
            Self::Missing(field) => 2 * field + 3,
        }
    }

    /// The misfit that the number stands for.
    pub(crate) fn from_code(code: u16) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::Element),
            even if even % 2 == 0 => Some(Self::Unfit(even / 2 - 1)),
            odd => Some(Self::Missing(odd / 2 - 1)),
        }
    }
}

/// The numbers of the rows' misfits.
pub(crate) fn codes(object: &StructArray) -> &[u16] {
    let column = object.column_by_name(MISFIT).and_then(|column| column.as_primitive_opt::<UInt16Type>());
    column.map_or(&[], |codes| codes.values())
}

/// Puts an [`ObjectDecoder`] wherever the schema has a struct.
#[derive(Debug)]
pub(crate) struct ObjectDecoders;

impl DecoderFactory for ObjectDecoders {
    fn make_default_decoder(
        &self,
        context: &DecoderContext,
        field: &FieldRef,
        nullable: bool,
    ) -> Result<Option<Box<dyn ArrayDecoder>>, ArrowError> {
        let DataType::Struct(fields) = field.data_type() else { return Ok(None) };
        let nested = |field: &FieldRef| match field.data_type() {
            DataType::Struct(_) | DataType::List(_) => context.make_decoder(field, true).map(Some),
            _ => Ok(None),
        };
        // The last two fields are `_extra` and `_misfit`, which no JSON key may claim.
        let known = fields.len().saturating_sub(2);
        Ok(Some(Box::new(ObjectDecoder {
            fields: fields.clone(),
            nested: fields.iter().take(known).map(nested).collect::<Result<_, _>>()?,
            bare: field.name() == BARE,
            nullable,
        })))
    }
}

struct ObjectDecoder {
    fields: Fields,
    /// One entry per known field: the decoder of an object or a list, nothing for a scalar.
    nested: Vec<Option<Box<dyn ArrayDecoder>>>,
    /// Whether the value itself, instead of an object around it, is the one field.
    bare: bool,
    /// Whether null may stand for the object; only the body itself may not.
    nullable: bool,
}

/// Where the values of a batch of objects stand on the tape, and what was noted while looking for them.
struct Found {
    rows: usize,
    /// By field, then by row; 0 where a row lacks the field, which is where the tape has its null.
    positions: Vec<u32>,
    misfits: Vec<u16>,
    /// What has no column to go to.
    leftovers: Leftovers,
}

impl Found {
    fn new(fields: usize, rows: usize) -> Self {
        Self { rows, positions: vec![0; fields * rows], misfits: vec![0; rows], leftovers: Leftovers::default() }
    }

    fn field(&self, field: usize) -> &[u32] {
        self.positions.get(field * self.rows..(field + 1) * self.rows).unwrap_or_default()
    }

    fn position(&self, field: usize, row: usize) -> u32 {
        self.field(field).get(row).copied().unwrap_or_default()
    }

    fn place(&mut self, field: usize, row: usize, position: u32) {
        if let Some(slot) = self.positions.get_mut(field * self.rows + row) {
            *slot = position;
        }
    }

    fn note(&mut self, row: usize, misfit: Misfit) {
        if let Some(code @ 0) = self.misfits.get_mut(row) {
            *code = misfit.code();
        }
    }
}

impl ArrayDecoder for ObjectDecoder {
    fn decode(&mut self, tape: &Tape<'_>, positions: &[u32]) -> Result<ArrayRef, ArrowError> {
        let rows = positions.len();
        let mut found = Found::new(self.nested.len(), rows);
        let mut nulls = NullBufferBuilder::new(rows);
        for (row, &position) in positions.iter().enumerate() {
            match tape.get(position) {
                TapeElement::Null if self.nullable => nulls.append_null(),
                _ if self.bare => {
                    nulls.append_non_null();
                    found.place(0, row, position);
                }
                TapeElement::StartObject(end) => {
                    nulls.append_non_null();
                    self.walk(tape, &mut found, row, position + 1..end)?;
                }
                _ if self.nullable => {
                    nulls.append_null();
                    found.note(row, Misfit::Element);
                }
                _ => return Err(ArrowError::JsonError("the body is not an object".to_owned())),
            }
        }

        let mut columns = Vec::with_capacity(self.fields.len());
        for index in 0..self.nested.len() {
            columns.push(self.column(tape, &mut found, index)?);
        }
        let mut nulls = nulls.finish();
        if self.bare && found.misfits.iter().any(|code| *code != 0) {
            let fits: NullBuffer = found.misfits.iter().map(|code| *code == 0).collect();
            nulls = NullBuffer::union(nulls.as_ref(), Some(&fits));
        }
        self.require(&mut found, &columns, nulls.as_ref());
        columns.push(Arc::new(found.leftovers.finish(tape, rows)));
        columns.push(Arc::new(UInt16Array::from(found.misfits)));
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows)?))
    }
}

impl ObjectDecoder {
    /// Goes over the keys of one object. Of duplicate keys the last counts, and what the others hold is left over.
    fn walk(&self, tape: &Tape<'_>, found: &mut Found, row: usize, span: Range<u32>) -> Result<(), ArrowError> {
        let mut expected = 0;
        let mut at = span.start;
        while at < span.end {
            let TapeElement::String(key) = tape.get(at) else { return Err(ArrowError::JsonError("no key".to_owned())) };
            match self.find(tape.get_string(key), expected) {
                Some(index) => {
                    let earlier = found.position(index, row);
                    if earlier != 0 {
                        found.leftovers.add(row, earlier, Leftover::Value);
                    }
                    found.place(index, row, at + 1);
                    expected = index + 1;
                }
                None => found.leftovers.add(row, at + 1, Leftover::Value),
            }
            at = tape.next(at + 1, "value")?;
        }
        Ok(())
    }

    /// Index of the known field of this name. Objects repeat their keys in one order, so the search starts at the
    /// field after the last one found.
    fn find(&self, key: &str, expected: usize) -> Option<usize> {
        let known = self.nested.len();
        let is_named = |index: &usize| self.fields.get(*index).is_some_and(|field| field.name() == key);
        (expected..known).find(is_named).or_else(|| (0..expected.min(known)).find(is_named))
    }

    /// The column of a field: null where the value does not fit.
    fn column(&mut self, tape: &Tape<'_>, found: &mut Found, index: usize) -> Result<ArrayRef, ArrowError> {
        let kind = self.kind(index).clone();
        if kind == DataType::Null {
            return Ok(Arc::new(NullArray::new(found.rows)));
        }
        let mut unfit = Vec::new();
        if self.nested.get(index).is_none_or(Option::is_none) {
            let texts: Vec<Option<&str>> = (0..)
                .zip(found.field(index))
                .map(|(row, position)| match tape.get(*position) {
                    TapeElement::String(text) | TapeElement::Number(text) => Some(tape.get_string(text)),
                    TapeElement::True => Some("true"),
                    TapeElement::False => Some("false"),
                    TapeElement::StartObject(_) | TapeElement::StartList(_) => {
                        unfit.push(row);
                        None
                    }
                    _ => None,
                })
                .collect();
            let column = values::column(&kind, &texts, |row| unfit.push(row));
            for row in unfit {
                self.leave(found, index, row);
            }
            return Ok(column);
        }

        let is_list = matches!(kind, DataType::List(_));
        for (row, position) in (0..).zip(found.field(index)) {
            match tape.get(*position) {
                TapeElement::Null => {}
                TapeElement::StartList(_) if is_list => {}
                TapeElement::StartObject(_) if !is_list => {}
                _ => unfit.push(row),
            }
        }
        for row in unfit {
            self.leave(found, index, row);
            found.place(index, row, 0);
        }
        let Some(Some(nested)) = self.nested.get_mut(index) else { return Ok(Arc::new(NullArray::new(found.rows))) };
        let column = nested.decode(tape, found.field(index))?;
        if let Some(object) = column.as_struct_opt() {
            gather_inside(found, index, object);
        } else if let Some(list) = column.as_list_opt::<i32>() {
            gather_elements(tape, found, index, list)?;
        }
        Ok(column)
    }

    /// Keeps a value that does not fit the field's column.
    fn leave(&self, found: &mut Found, index: usize, row: usize) {
        if self.fields.get(index).is_some_and(|field| wire::is_required(field)) {
            found.note(row, Misfit::Unfit(number(index)));
        } else if self.bare {
            // It has no key here: the object around the list keeps it.
            found.note(row, Misfit::Element);
        } else {
            found.leftovers.add(row, found.position(index, row), Leftover::Value);
        }
    }

    /// Notes the rows that lack a required field.
    fn require(&self, found: &mut Found, columns: &[ArrayRef], nulls: Option<&NullBuffer>) {
        for (index, column) in columns.iter().enumerate() {
            if !self.fields.get(index).is_some_and(|field| wire::is_required(field)) {
                continue;
            }
            let texts = column.as_string_view_opt();
            for row in 0..found.rows {
                let present = nulls.is_none_or(|nulls| nulls.is_valid(row));
                let empty = column.is_null(row) || texts.is_some_and(|texts| texts.value(row).is_empty());
                if present && empty {
                    found.note(row, Misfit::Missing(number(index)));
                }
            }
        }
    }

    fn kind(&self, index: usize) -> &DataType {
        self.fields.get(index).map_or(&DataType::Null, |field| field.data_type())
    }
}

/// Keeps what is left over in the objects of a field under the field's name.
fn gather_inside(found: &mut Found, index: usize, object: &StructArray) {
    for (row, text) in extra::of(object).into_iter().flat_map(|texts| texts.iter().enumerate()) {
        if let Some(text) = text {
            found.leftovers.add(row, found.position(index, row), Leftover::Inside(text.to_owned()));
        }
    }
}

/// Keeps the elements of a field's lists that make no row, under the field's name. Records are dead letters instead.
fn gather_elements(tape: &Tape<'_>, found: &mut Found, index: usize, list: &ListArray) -> Result<(), ArrowError> {
    let is_records = matches!(list.data_type(), DataType::List(element) if element.name() == RECORD);
    let codes = list.values().as_struct_opt().map_or(&[][..], codes);
    if is_records || codes.iter().all(|code| *code == 0) {
        return Ok(());
    }
    let mut rest = codes;
    for (row, length) in list.offsets().lengths().enumerate() {
        let Some((these, after)) = rest.split_at_checked(length) else { break };
        rest = after;
        if these.iter().all(|code| *code == 0) {
            continue;
        }
        let position = found.position(index, row);
        let mut elements = Vec::new();
        let mut at = position + 1;
        for code in these {
            if *code != 0 {
                elements.push(at);
            }
            at = tape.next(at, "list value")?;
        }
        found.leftovers.add(row, position, Leftover::Elements(elements));
    }
    Ok(())
}

/// The index of a field as a misfit's code has it. No catalog file has 30,000 fields in one object.
fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX / 2 - 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_misfit_has_a_number_of_its_own() {
        let fields = [0, 1, 2, number(30_000)];
        let misfits = fields.iter().flat_map(|field| [Misfit::Unfit(*field), Misfit::Missing(*field)]);
        for misfit in misfits.chain([Misfit::Element]) {
            assert_ne!(misfit.code(), 0);
            assert_eq!(Misfit::from_code(misfit.code()), Some(misfit));
        }
        assert_eq!(Misfit::from_code(0), None);
        assert_eq!(Misfit::Missing(number(usize::MAX)).code(), u16::MAX - 2);
    }
}
