//! `write_mode` and `partition_by`: how rows meet what is already there. What a partition can be made of is the
//! writer's to say; here an error gets its place in the file and a suggestion.

use ctct_catalog::Report;
use ctct_load::{LoadError, PartitionBy, WriteMode};

use super::fields::{Decoder, mapping, not_in_list, suggestion, text};
use super::keys::{BUCKET, PARTITIONS, WRITE_MODES};
use crate::document::error::ConfigError;
use crate::document::node::{Node, Value};

/// Reads `write_mode`; `append` where the pipeline is silent.
pub(crate) fn write_mode(node: Option<&Node>, decoder: &mut Decoder<'_>) -> Option<WriteMode> {
    let Some(node) = node else { return Some(WriteMode::Append) };
    let mode = text(node, decoder.environment).and_then(|mode| match mode.value.as_str() {
        "append" => Ok(WriteMode::Append),
        "replace" => Ok(WriteMode::Replace),
        "partition" => Ok(WriteMode::Partition),
        "merge" => Ok(WriteMode::Merge),
        _ => Err(not_in_list(node, &mode, WRITE_MODES)),
    });
    decoder.keep(mode)
}

/// Reads `partition_by`: one partition, or a list of them.
pub(crate) fn partition_by(node: &Node, report: &Report, decoder: &mut Decoder<'_>) -> Vec<PartitionBy> {
    let items = if let Value::Sequence(items) = &node.value { items.as_slice() } else { std::slice::from_ref(node) };
    if items.is_empty() {
        decoder.errors.push(ConfigError::at(node, "the list is empty").help("remove `partition_by`, or name a column"));
    }
    let mut partitions: Vec<PartitionBy> = Vec::new();
    for item in items {
        let Some(partition) = partition(item, report, decoder) else { continue };
        if partitions.iter().any(|other| other.hive_key() == partition.hive_key()) {
            decoder.errors.push(ConfigError::at(item, "duplicate partition"));
        } else {
            partitions.push(partition);
        }
    }
    partitions
}

/// The columns of the report's own table that a partition can be made of.
pub(crate) fn fitting(report: &Report, partition: impl Fn(String) -> PartitionBy) -> Vec<&str> {
    let table = report.tables().first();
    let names = table.into_iter().flat_map(|table| table.schema.fields()).map(|field| field.name().as_str());
    // Columns that start with `_` say when and how a row came; no reader looks for them in a folder.
    names.filter(|name| !name.starts_with('_') && partition((*name).to_owned()).validate(report).is_ok()).collect()
}

fn partition(node: &Node, report: &Report, decoder: &mut Decoder<'_>) -> Option<PartitionBy> {
    if node.get("env").is_some() || !matches!(node.value, Value::Mapping(_)) {
        return by_column(node, report, decoder, PartitionBy::Column);
    }
    let fields = decoder.fields(node, PARTITIONS)?;
    let entries = decoder.keep(mapping(node))?;
    let [entry] = entries else {
        decoder.errors.push(
            ConfigError::at(node, "a partition has exactly one of year, month, day and bucket")
                .help("write one list item for each"),
        );
        return None;
    };
    match entry.key.as_str() {
        "year" => by_column(&entry.value, report, decoder, PartitionBy::Year),
        "month" => by_column(&entry.value, report, decoder, PartitionBy::Month),
        "day" => by_column(&entry.value, report, decoder, PartitionBy::Day),
        _ => {
            let bucket = decoder.fields(fields.get("bucket")?, BUCKET)?;
            let count = bucket.count32("count", decoder);
            let hashed = |column| PartitionBy::Bucket { column, count: count.unwrap_or(2) };
            let partition = by_column(bucket.get("column")?, report, decoder, hashed);
            partition.filter(|_| count.is_some())
        }
    }
}

fn by_column(
    node: &Node,
    report: &Report,
    decoder: &mut Decoder<'_>,
    partition: impl Fn(String) -> PartitionBy,
) -> Option<PartitionBy> {
    let read = text(node, decoder.environment).and_then(|name| {
        let made = partition(name.value.clone());
        let fitting = fitting(report, &partition);
        if fitting.contains(&name.value.as_str()) {
            return Ok(made);
        }
        let known = report.tables().first().is_some_and(|table| table.schema.field_with_name(&name.value).is_ok());
        match made.validate(report) {
            Err(LoadError::Partition { reason, .. }) if known => Err(match reason.split_once("; ") {
                Some((what, instead)) => ConfigError::at(node, what).help(instead),
                None => ConfigError::at(node, reason),
            }),
            _ => Err(ConfigError::at(node, format!("`{}` has no column {}", report.name, name.shown()))
                .help(suggestion(&name.value, &fitting))),
        }
    });
    decoder.keep(read)
}
