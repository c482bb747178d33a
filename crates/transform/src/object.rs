//! JSON objects on arrow-json's tape to struct arrays.
//!
//! arrow-json lets a program bring its own decoder for a type. This one stands in for the reader's struct decoder,
//! for three reasons. The reader's stops the page at the first value that does not fit, with that value in the
//! message; this one notes the row and goes on. The reader's drops unknown keys, or stops at them; this one keeps them
//! with their row. And the reader's converts in silence (1.5 to the integer 1); `values` does not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullArray, NullBufferBuilder, StructArray, UInt16Array};
use arrow::buffer::NullBuffer;

use arrow::datatypes::{DataType, FieldRef, Fields};
use arrow::error::ArrowError;
use arrow::json::reader::{ArrayDecoder, DecoderContext, DecoderFactory, Tape, TapeElement};

use crate::unknown::Unknown;
use crate::values;
use crate::wire::{self, BARE};

/// What in a row of a struct array does not fit. Each row has the first found, as a number in the `_misfit` column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The element of the list is no object.
    NotAnObject,
    /// The field at this index has a value of another kind.
    Kind(u16),
    /// The required field at this index is absent, null or empty.
    Missing(u16),
}

impl Misfit {
    /// The number that stands for it; 0 stands for a row that fits.
    fn code(self) -> u16 {
        match self {
            Self::NotAnObject => 1,
            Self::Kind(field) => 2 * field + 2,
            Self::Missing(field) => 2 * field + 3,
        }
    }

    /// The misfit that the number stands for.
    pub(crate) fn from_code(code: u16) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::NotAnObject),
            even if even % 2 == 0 => Some(Self::Kind(even / 2 - 1)),
            odd => Some(Self::Missing(odd / 2 - 1)),
        }
    }
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
}

impl Found {
    fn new(fields: usize, rows: usize) -> Self {
        Self { rows, positions: vec![0; fields * rows], misfits: vec![0; rows] }
    }

    fn field(&self, field: usize) -> &[u32] {
        self.positions.get(field * self.rows..(field + 1) * self.rows).unwrap_or_default()
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
        let mut unknown = Unknown::default();
        let mut nulls = NullBufferBuilder::new(rows);
        for (row, &position) in positions.iter().enumerate() {
            match tape.get(position) {
                TapeElement::Null if self.nullable => nulls.append_null(),
                _ if self.bare => {
                    nulls.append_non_null();
                    self.place(tape, &mut found, 0, row, position);
                }
                TapeElement::StartObject(end) => {
                    nulls.append_non_null();
                    self.walk(tape, &mut found, &mut unknown, row, position + 1..end)?;
                }
                _ if self.nullable => {
                    nulls.append_null();
                    found.note(row, Misfit::NotAnObject);
                }
                _ => return Err(ArrowError::JsonError("the body is not an object".to_owned())),
            }
        }

        let nulls = nulls.finish();
        let mut columns = Vec::with_capacity(self.fields.len());
        for index in 0..self.nested.len() {
            columns.push(self.column(tape, &mut found, index)?);
        }
        self.require(&mut found, &columns, nulls.as_ref());
        columns.push(Arc::new(unknown.finish(rows)));
        columns.push(Arc::new(UInt16Array::from(found.misfits)));
        Ok(Arc::new(StructArray::try_new_with_length(self.fields.clone(), columns, nulls, rows)?))
    }
}

impl ObjectDecoder {
    /// Goes over the keys of one object. Of a key that stands twice, the last counts.
    fn walk(
        &self,
        tape: &Tape<'_>,
        found: &mut Found,
        unknown: &mut Unknown,
        row: usize,
        span: std::ops::Range<u32>,
    ) -> Result<(), ArrowError> {
        let mut expected = 0;
        let mut at = span.start;
        while at < span.end {
            let TapeElement::String(key) = tape.get(at) else { return Err(ArrowError::JsonError("no key".to_owned())) };
            let key = tape.get_string(key);
            match self.find(key, expected) {
                Some(index) => {
                    self.place(tape, found, index, row, at + 1);
                    expected = index + 1;
                }
                None => unknown.add(tape, row, key, at + 1),
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

    fn place(&self, tape: &Tape<'_>, found: &mut Found, index: usize, row: usize, position: u32) {
        let fits = match (self.kind(index), tape.get(position)) {
            (_, TapeElement::Null) | (DataType::Null, _) => true,
            (DataType::Struct(_), element) => matches!(element, TapeElement::StartObject(_)),
            (DataType::List(_), element) => matches!(element, TapeElement::StartList(_)),
            (_, element) => !matches!(element, TapeElement::StartObject(_) | TapeElement::StartList(_)),
        };
        if fits {
            found.place(index, row, position);
        } else {
            found.note(row, Misfit::Kind(number(index)));
        }
    }

    fn column(&mut self, tape: &Tape<'_>, found: &mut Found, index: usize) -> Result<ArrayRef, ArrowError> {
        if let Some(Some(nested)) = self.nested.get_mut(index) {
            return nested.decode(tape, found.field(index));
        }
        if self.kind(index) == &DataType::Null {
            return Ok(Arc::new(NullArray::new(found.rows)));
        }
        let texts: Vec<Option<&str>> = found.field(index).iter().map(|position| text(tape, *position)).collect();
        Ok(values::column(self.kind(index), &texts, |row| found.note(row, Misfit::Kind(number(index)))))
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

/// The index of a field as it stands in a misfit's code. No catalogue file has 30,000 fields in one object.
fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX / 2 - 2)
}

/// A scalar as text; null is `None`.
fn text<'a>(tape: &Tape<'a>, position: u32) -> Option<&'a str> {
    match tape.get(position) {
        TapeElement::String(index) | TapeElement::Number(index) => Some(tape.get_string(index)),
        TapeElement::True => Some("true"),
        TapeElement::False => Some("false"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_misfit_has_a_number_of_its_own() {
        let fields = [0, 1, 2, number(30_000)];
        let misfits = fields.iter().flat_map(|field| [Misfit::Kind(*field), Misfit::Missing(*field)]);
        for misfit in misfits.chain([Misfit::NotAnObject]) {
            assert_ne!(misfit.code(), 0);
            assert_eq!(Misfit::from_code(misfit.code()), Some(misfit));
        }
        assert_eq!(Misfit::from_code(0), None);
        assert_eq!(Misfit::Missing(number(usize::MAX)).code(), u16::MAX - 2);
    }
}
