//! The schema as Spark writes it to the footers of its own files. Spark reads a schema from there before it makes one of the
//! Parquet types, and nowhere else does it find the columns' comments.

use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};

/// The footer's key (Spark's source, `ParquetReadSupport.SPARK_METADATA_KEY`).
pub(crate) const SPARK_SCHEMA: &str = "org.apache.spark.sql.parquet.row.metadata";

/// The schema as Spark's JSON; `None` where a column has a type that no table of a report has.
pub(crate) fn spark_schema(schema: &Schema) -> Option<String> {
    let fields: Vec<Value> = schema.fields().iter().map(|field| described(field)).collect::<Option<_>>()?;
    Some(json!({"type": "struct", "fields": fields}).to_string())
}

fn described(field: &Field) -> Option<Value> {
    let data_type = match field.data_type() {
        DataType::Utf8View => "string",
        DataType::Int64 => "long",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Timestamp(..) => "timestamp",
        _ => return None,
    };
    let (name, nullable) = (field.name(), field.is_nullable());
    let metadata = field.metadata().get("comment").map_or_else(|| json!({}), |comment| json!({"comment": comment}));
    Some(json!({"name": name, "type": data_type, "nullable": nullable, "metadata": metadata}))
}
