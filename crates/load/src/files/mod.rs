//! The Parquet files of tables: which folder a row goes to, how it is sorted and encoded, what a footer says, and how columns
//! are read back.

pub(crate) mod dropped_columns;
pub(crate) mod encode;
pub(crate) mod footer;
pub(crate) mod ids;
pub(crate) mod layout;
pub(crate) mod partition;
pub(crate) mod plan;
pub(crate) mod read;
pub(crate) mod small;
pub(crate) mod sort;
pub(crate) mod source;
pub(crate) mod spark_schema;
pub(crate) mod stored_rows;
pub(crate) mod stored_schema;
pub(crate) mod text_columns;
pub(crate) mod writer;
