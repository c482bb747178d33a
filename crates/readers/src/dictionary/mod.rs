//! The data dictionary: tables column by column, as Markdown pages and as JSON.

mod json;
pub mod markdown;

use arrow_schema::DataType;
use ctct_pipeline::stored_table::Column;

pub use json::json;

/// The type of a column in the Parquet file.
pub fn parquet(column: &Column) -> &'static str {
    match column.data_type() {
        DataType::Timestamp(..) => "INT64 TIMESTAMP(MICROS, adjusted to UTC)",
        DataType::Int64 => "INT64",
        DataType::Float64 => "DOUBLE",
        DataType::Boolean => "BOOLEAN",
        _ => "BYTE_ARRAY STRING",
    }
}
