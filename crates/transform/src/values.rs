//! Columns from texts: the one place where a JSON scalar gets its Arrow type.
//!
//! A number, `true` or `false` counts as the text in the JSON, so that `"12"` and `12` are the same in a
//! column of either type. An empty string is text in a text column and null in every other, since the API may send
//! `""` for an empty optional field.

use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, NullBufferBuilder, StringViewBuilder};
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray, StringViewArray};
use arrow_buffer::ScalarBuffer;
use arrow_schema::DataType;
use ctct_catalog::UTC;

use crate::{number, timestamp};

/// A column of `data_type`, one of the types of [`ctct_catalog::FieldType::data_type`]. Rows whose text does not fit
/// are null, and are handed to `misfit`.
pub(crate) fn column(data_type: &DataType, texts: &[Option<&str>], misfit: impl FnMut(usize)) -> ArrayRef {
    match data_type {
        DataType::Timestamp(..) => {
            let instants = primitive::<TimestampMicrosecondType>(texts, timestamp::micros, misfit);
            Arc::new(instants.with_timezone(UTC))
        }
        DataType::Int64 => Arc::new(primitive::<Int64Type>(texts, number::integer, misfit)),
        DataType::Float64 => Arc::new(primitive::<Float64Type>(texts, number::float, misfit)),
        DataType::Boolean => booleans(texts, misfit),
        _ => Arc::new(strings(texts)),
    }
}

/// What a value of this type is not, for the reason of a dead letter.
pub(crate) fn complaint(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Timestamp(..) => "not a timestamp",
        DataType::Int64 => "not a whole number",
        DataType::Float64 => "not a number",
        DataType::Boolean => "not true or false",
        DataType::List(_) => "not a list",
        DataType::Struct(_) => "not an object",
        _ => "not a single value",
    }
}

/// A text column in one buffer of the right size: Arrow's own JSON reader reserves a view per byte.
pub(crate) fn strings(texts: &[Option<&str>]) -> StringViewArray {
    const INLINE: usize = 12;
    let long: usize = texts.iter().flatten().map(|text| text.len()).filter(|length| *length > INLINE).sum();
    let mut builder = StringViewBuilder::with_capacity(texts.len());
    if let Ok(block @ 1..) = u32::try_from(long) {
        builder = builder.with_fixed_block_size(block);
    }
    for text in texts {
        builder.append_option(*text);
    }
    builder.finish()
}

fn primitive<T: ArrowPrimitiveType>(
    texts: &[Option<&str>],
    parse: fn(&str) -> Option<T::Native>,
    mut misfit: impl FnMut(usize),
) -> PrimitiveArray<T> {
    let mut values = Vec::with_capacity(texts.len());
    let mut nulls = NullBufferBuilder::new(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let text = text.filter(|text| !text.is_empty());
        let value = text.and_then(parse);
        if text.is_some() && value.is_none() {
            misfit(row);
        }
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
    }
    PrimitiveArray::new(ScalarBuffer::from(values), nulls.finish())
}

fn booleans(texts: &[Option<&str>], mut misfit: impl FnMut(usize)) -> ArrayRef {
    let mut builder = BooleanBuilder::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let text = text.filter(|text| !text.is_empty());
        let value = text.and_then(number::boolean);
        if text.is_some() && value.is_none() {
            misfit(row);
        }
        builder.append_option(value);
    }
    Arc::new(builder.finish())
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_buffer::Buffer;
    use ctct_catalog::FieldType;

    use super::*;

    const TEXTS: &[Option<&str>] = &[Some("2026-01-31"), Some("12"), Some("1.5"), Some("true"), Some(""), None];

    /// Rows that are null, and rows that do not fit.
    fn outcome(kind: FieldType) -> (Vec<usize>, Vec<usize>) {
        let mut misfits = Vec::new();
        let column = column(&kind.data_type(), TEXTS, |row| misfits.push(row));
        assert_eq!(column.data_type(), &kind.data_type());
        ((0..column.len()).filter(|row| column.is_null(*row)).collect(), misfits)
    }

    #[test]
    fn each_type_takes_its_texts_and_names_the_rows_of_the_others() {
        assert_eq!(outcome(FieldType::Timestamp), (vec![1, 2, 3, 4, 5], vec![1, 2, 3]));
        assert_eq!(outcome(FieldType::Integer), (vec![0, 2, 3, 4, 5], vec![0, 2, 3]));
        assert_eq!(outcome(FieldType::Number), (vec![0, 3, 4, 5], vec![0, 3]));
        assert_eq!(outcome(FieldType::Boolean), (vec![0, 1, 2, 4, 5], vec![0, 1, 2]));
        assert_eq!(outcome(FieldType::String), (vec![5], vec![]));
    }

    #[test]
    fn text_keeps_every_character_and_one_buffer_of_its_size() {
        let long = "naïve \0 \u{1F980} \u{202E}right to left";
        let column = strings(&[Some(long), Some("short"), Some(""), None, Some(long)]);
        assert_eq!(column.iter().collect::<Vec<_>>(), [Some(long), Some("short"), Some(""), None, Some(long)]);
        let buffers = column.data_buffers();
        assert_eq!(buffers.iter().map(Buffer::len).collect::<Vec<_>>(), [2 * long.len()]);
    }
}
