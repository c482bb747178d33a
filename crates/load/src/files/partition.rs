//! How a report is divided into Hive partitions, and which row goes where.

use std::collections::HashMap;
use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow_schema::DataType;
use chrono::{DateTime, Datelike};
use ctct_catalog::{COMMIT, EXTRA, Report, Table};
use sha2::{Digest, Sha256};

use crate::destination::folder::{self, ACCOUNT, NULL_FOLDER};
use crate::error::LoadError;
use crate::log::record::WriteMode;

/// The most buckets that a column may be divided into: each is a file of its own in every table.
const MOST_BUCKETS: u32 = 4096;

/// One level of partition folders, by a column of the report's parent table. Child rows go where their parent goes.
///
/// A null goes to `__HIVE_DEFAULT_PARTITION__`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionBy {
    /// By the value: `kind=home`. The column is not repeated inside the files, as Hive has it. A value that no folder
    /// name can carry (empty, longer than 200 bytes when encoded, or the null folder's own name) goes to the null
    /// folder, and `_extra` keeps it as `{"kind": value}`.
    Column(String),
    /// By the year of a timestamp in UTC: `created_at_year=2026`.
    Year(String),
    /// By its month: `created_at_month=2026-01`.
    Month(String),
    /// By its day: `created_at_day=2026-01-31`.
    Day(String),
    /// By a hash of the value: `contact_id_bucket=07`, with zeros in front to the width of the last bucket. The bucket
    /// is the first 32 bits of the SHA-256 of the text, as a big-endian number, modulo `count`. DuckDB:
    /// `('0x' || sha256(contact_id)[1:8])::UINTEGER % 16`; Spark:
    /// `CAST(conv(substr(sha2(contact_id, 256), 1, 8), 16, 10) AS BIGINT) % 16`.
    Bucket {
        /// The column, text or whole numbers (hashed as decimal text).
        column: String,
        /// How many buckets.
        count: u32,
    },
}

impl PartitionBy {
    /// The column of the parent table that decides.
    pub fn column(&self) -> &str {
        match self {
            Self::Column(column)
            | Self::Year(column)
            | Self::Month(column)
            | Self::Day(column)
            | Self::Bucket { column, .. } => column,
        }
    }

    /// The entry that is shown so; `None` where there is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some((function, rest)) = text.split_once('(') else { return Some(Self::Column(text.to_owned())) };
        let rest = rest.strip_suffix(')')?;
        let column = rest.to_owned();
        match function {
            "year" => Some(Self::Year(column)),
            "month" => Some(Self::Month(column)),
            "day" => Some(Self::Day(column)),
            "bucket" => {
                let (column, count) = rest.split_once(", ")?;
                Some(Self::Bucket { column: column.to_owned(), count: count.parse().ok()? })
            }
            _ => None,
        }
    }

    /// The key of the folders, before the `=`.
    pub fn hive_key(&self) -> String {
        match self {
            Self::Column(column) => column.clone(),
            Self::Year(column) => format!("{column}_year"),
            Self::Month(column) => format!("{column}_month"),
            Self::Day(column) => format!("{column}_day"),
            Self::Bucket { column, .. } => format!("{column}_bucket"),
        }
    }

    /// Checks one entry against the report.
    ///
    /// # Errors
    /// The parent table has no such column, its type does not go with the function, or the folder key would clash with
    /// another column of one of the report's tables.
    pub fn validate(&self, report: &Report) -> Result<(), LoadError> {
        let refuse = |reason: String| self.refused(report, reason);
        let Some((parent, children)) = report.tables().split_first() else {
            return Err(refuse("the report has no table".to_owned()));
        };
        let column = self.column();
        let Ok(field) = parent.schema.field_with_name(column) else {
            let child = children.iter().find(|table| table.schema.field_with_name(column).is_ok());
            return Err(refuse(match child {
                Some(child) => format!(
                    "`{column}` is a column of `{}`; only columns of `{}` divide a report",
                    child.name, parent.name
                ),
                None => format!("`{}` has no column `{column}`; it has {}", parent.name, usable(parent, self)),
            }));
        };
        if !self.takes(column, field.data_type()) {
            return Err(refuse(match self {
                Self::Column(_) if matches!(field.data_type(), DataType::Timestamp(..)) => {
                    format!("`{column}` is a timestamp; divide by its year, month or day")
                }
                _ => {
                    format!("`{column}` has the wrong type for it; columns that can be used: {}", usable(parent, self))
                }
            }));
        }
        if let Self::Bucket { count, .. } = self
            && !(1..=MOST_BUCKETS).contains(count)
        {
            return Err(refuse(format!("count {count} is not between 1 and {MOST_BUCKETS}")));
        }
        let key = self.hive_key();
        if key == ACCOUNT {
            return Err(refuse(format!("the folder key `{ACCOUNT}` is taken by the account")));
        }
        // Children carry their parent's key and the commit with the parent's values, so these leave all files alike.
        let carried = matches!(self, Self::Column(_)) && (parent.key.contains(&key) || key == COMMIT);
        let owner = if matches!(self, Self::Column(_)) { children } else { report.tables() };
        match owner.iter().find(|table| !carried && table.schema.field_with_name(&key).is_ok()) {
            Some(table) => Err(refuse(format!(
                "`{}` has a column `{key}` of its own, which readers would take for the folder's value; choose another column",
                table.name
            ))),
            None => Ok(()),
        }
    }

    /// Checks all entries, and that no two make the same folder key.
    ///
    /// # Errors
    /// As [`Self::validate`]; also for write mode `partition` without any entry, for `merge` and `partition` by a column
    /// that may change, and for `merge` by all columns of the key.
    pub fn validate_all(partition_by: &[Self], mode: WriteMode, report: &Report) -> Result<(), LoadError> {
        for (at, entry) in partition_by.iter().enumerate() {
            entry.validate(report)?;
            if partition_by[..at].iter().any(|earlier| earlier.hive_key() == entry.hive_key()) {
                return Err(entry.refused(report, "it is a duplicate entry".to_owned()));
            }
        }
        if matches!(mode, WriteMode::Merge | WriteMode::Partition) {
            Self::validate_constant(partition_by, mode, report)?;
        }
        if mode == WriteMode::Merge {
            Self::validate_merge(partition_by, report)?;
        }
        if mode == WriteMode::Partition && partition_by.is_empty() {
            return Err(LoadError::Partition {
                report: report.name.clone(),
                partition: "(none)".to_owned(),
                reason: "write_mode partition replaces partitions, so it needs at least one".to_owned(),
            });
        }
        Ok(())
    }

    /// Checks that a row stays in its partition.
    fn validate_constant(partition_by: &[Self], mode: WriteMode, report: &Report) -> Result<(), LoadError> {
        let columns = report.tables().iter().take(1).flat_map(|table| table.schema.fields().iter());
        let constant: Vec<&str> =
            columns.map(|field| field.name().as_str()).filter(|name| report.is_constant(name)).collect();
        if let Some(entry) = partition_by.iter().find(|entry| !report.is_constant(entry.column())) {
            let reason = format!(
                "`{}` may change while a row lives, and {} would leave the row in two partitions; divide by a column \
                 that stays as it is ({}), by year, month, day or bucket where it has many values",
                entry.column(),
                if mode == WriteMode::Merge { "merge" } else { "partition" },
                constant.join(", ")
            );
            return Err(entry.refused(report, reason));
        }
        Ok(())
    }

    /// Checks that files keep a part of the key.
    fn validate_merge(partition_by: &[Self], report: &Report) -> Result<(), LoadError> {
        let is_folder =
            |name: &String| partition_by.iter().any(|entry| matches!(entry, Self::Column(by) if by == name));
        match partition_by.last() {
            Some(entry) if report.key.iter().all(is_folder) => {
                let reason = "every row would have a folder of its own; divide by a bucket of the column".to_owned();
                Err(entry.refused(report, reason))
            }
            _ => Ok(()),
        }
    }

    /// Refuses rows to be merged whose key is in no file and cannot be in a folder's name: they could not
    /// be told apart.
    pub(crate) fn refuse_unnameable_keys(
        partition_by: &[Self],
        report: &Report,
        parent: &RecordBatch,
    ) -> Result<(), LoadError> {
        for entry in partition_by.iter().filter(|entry| matches!(entry, Self::Column(by) if report.key.contains(by))) {
            let texts = parent.column_by_name(entry.column()).and_then(|column| column.as_string_view_opt());
            if texts.is_some_and(|texts| texts.iter().flatten().any(|text| folder::of_value(text).is_none())) {
                let reason = "a row's key cannot be the name of a folder, and merging needs it there; divide by a bucket of the column";
                return Err(entry.refused(report, reason.to_owned()));
            }
        }
        Ok(())
    }

    fn refused(&self, report: &Report, reason: String) -> LoadError {
        LoadError::Partition { report: report.name.clone(), partition: self.to_string(), reason }
    }

    /// Whether a column of this type can be divided so.
    fn takes(&self, column: &str, data_type: &DataType) -> bool {
        match self {
            Self::Column(_) => {
                column != EXTRA && matches!(data_type, DataType::Utf8View | DataType::Int64 | DataType::Boolean)
            }
            Self::Bucket { .. } => column != EXTRA && matches!(data_type, DataType::Utf8View | DataType::Int64),
            Self::Year(_) | Self::Month(_) | Self::Day(_) => matches!(data_type, DataType::Timestamp(..)),
        }
    }
}

/// The columns of the table that the entry could be by, for messages.
fn usable(table: &Table, entry: &PartitionBy) -> String {
    let fields = table.schema.fields().iter();
    let names: Vec<_> = fields
        .filter(|field| entry.takes(field.name(), field.data_type()))
        .map(|field| field.name().as_str())
        .collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl fmt::Display for PartitionBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column),
            Self::Year(column) => write!(f, "year({column})"),
            Self::Month(column) => write!(f, "month({column})"),
            Self::Day(column) => write!(f, "day({column})"),
            Self::Bucket { column, count } => write!(f, "bucket({column}, {count})"),
        }
    }
}

/// All entries as one text for messages.
pub(crate) fn listed<T: fmt::Display>(entries: &[T]) -> String {
    if entries.is_empty() {
        return "nothing".to_owned();
    }
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Gives every partition that rows of the run fall into a number, in the order of their first row.
#[derive(Debug)]
pub(crate) struct Router {
    by: Vec<PartitionBy>,
    numbers: HashMap<String, u32>,
    folders: Vec<String>,
}

impl Router {
    pub(crate) fn new(by: Vec<PartitionBy>) -> Self {
        Self { by, numbers: HashMap::new(), folders: Vec::new() }
    }

    /// The folders that rows fell into so far, by number: `key=value` joined by `/`, empty where nothing divides.
    pub(crate) fn folders(&self) -> &[String] {
        &self.folders
    }

    /// The number of the partition that rows without any value go to.
    pub(crate) fn default_partition(&mut self) -> u32 {
        let levels: Vec<_> = self.by.iter().map(|entry| format!("{}={NULL_FOLDER}", entry.hive_key())).collect();
        self.number(&levels.join("/"))
    }

    /// Whether a folder has the levels that this run's partitions have.
    pub(crate) fn fits(&self, folder: &str) -> bool {
        let levels: Vec<&str> = folder.split('/').filter(|level| !level.is_empty()).collect();
        levels.len() == self.by.len()
            && levels
                .iter()
                .zip(&self.by)
                .all(|(level, entry)| level.split_once('=').is_some_and(|(key, _)| key == entry.hive_key()))
    }

    /// For each partition the number of its family: only partitions of one family can hold the same key. `None` where the
    /// key says in which partition its row is.
    pub(crate) fn families(&self, key: &[String]) -> Option<Vec<u32>> {
        let in_key: Vec<bool> = self.by.iter().map(|entry| key.iter().any(|name| name == entry.column())).collect();
        if in_key.iter().all(|in_key| *in_key) {
            return None;
        }
        let mut numbers: HashMap<Vec<&str>, u32> = HashMap::new();
        let mut families = Vec::with_capacity(self.folders.len());
        for folder in &self.folders {
            let levels = folder.split('/').zip(&in_key).filter(|(_, in_key)| **in_key).map(|(level, _)| level);
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            families.push(*numbers.entry(levels.collect()).or_insert(next));
        }
        Some(families)
    }

    /// The partition of every row of the parent table.
    pub(crate) fn route(&mut self, parent: &RecordBatch) -> Vec<u32> {
        if self.by.is_empty() {
            let number = self.number("");
            return vec![number; parent.num_rows()];
        }
        let levels: Vec<_> = self.by.iter().map(|entry| (entry.hive_key(), Values::of(parent, entry))).collect();
        let mut folder = String::new();
        let mut routed = Vec::with_capacity(parent.num_rows());
        for row in 0..parent.num_rows() {
            folder.clear();
            for (at, (key, values)) in levels.iter().enumerate() {
                if at > 0 {
                    folder.push('/');
                }
                folder.push_str(key);
                folder.push('=');
                folder.push_str(values.folder(row).as_deref().unwrap_or(NULL_FOLDER));
            }
            routed.push(self.number(&folder));
        }
        routed
    }

    /// The number of the partition with these folders.
    pub(crate) fn number(&mut self, folder: &str) -> u32 {
        if let Some(number) = self.numbers.get(folder) {
            return *number;
        }
        let number = u32::try_from(self.folders.len()).unwrap_or(u32::MAX);
        self.folders.push(folder.to_owned());
        self.numbers.insert(folder.to_owned(), number);
        number
    }
}

/// One column of a batch with what is to become of its values.
enum Values<'a> {
    Text(&'a StringViewArray),
    Number(&'a Int64Array),
    Flag(&'a BooleanArray),
    Instant(&'a TimestampMicrosecondArray, fn(DateTime<chrono::Utc>) -> String),
    TextBucket(&'a StringViewArray, u32),
    NumberBucket(&'a Int64Array, u32),
    /// A column that is not there or has another type, which `validate` refuses.
    Nothing,
}

impl<'a> Values<'a> {
    fn of(batch: &'a RecordBatch, entry: &PartitionBy) -> Self {
        let Some(column) = batch.column_by_name(entry.column()) else { return Self::Nothing };
        let text = column.as_string_view_opt();
        let number = column.as_primitive_opt::<Int64Type>();
        let instant = column.as_primitive_opt::<TimestampMicrosecondType>();
        let found = match entry {
            PartitionBy::Column(_) => {
                let flag = column.as_boolean_opt().map(Self::Flag);
                text.map(Self::Text).or(number.map(Self::Number)).or(flag)
            }
            PartitionBy::Year(_) => instant.map(|array| Self::Instant(array, year)),
            PartitionBy::Month(_) => instant.map(|array| Self::Instant(array, month)),
            PartitionBy::Day(_) => instant.map(|array| Self::Instant(array, day)),
            PartitionBy::Bucket { count, .. } => {
                let text = text.map(|array| Self::TextBucket(array, *count));
                text.or(number.map(|array| Self::NumberBucket(array, *count)))
            }
        };
        found.unwrap_or(Self::Nothing)
    }

    /// The folder name of a row's value; `None` for the null folder.
    fn folder(&self, row: usize) -> Option<String> {
        match self {
            Self::Text(array) if array.is_valid(row) => folder::of_value(array.value(row)),
            Self::Number(array) if array.is_valid(row) => Some(array.value(row).to_string()),
            Self::Flag(array) if array.is_valid(row) => Some(array.value(row).to_string()),
            Self::Instant(array, part) if array.is_valid(row) => {
                DateTime::from_timestamp_micros(array.value(row)).map(part)
            }
            Self::TextBucket(array, count) if array.is_valid(row) => Some(bucket(array.value(row), *count)),
            Self::NumberBucket(array, count) if array.is_valid(row) => {
                Some(bucket(&array.value(row).to_string(), *count))
            }
            _ => None,
        }
    }
}

fn year(instant: DateTime<chrono::Utc>) -> String {
    format!("{:04}", instant.year())
}

fn month(instant: DateTime<chrono::Utc>) -> String {
    format!("{:04}-{:02}", instant.year(), instant.month())
}

fn day(instant: DateTime<chrono::Utc>) -> String {
    format!("{:04}-{:02}-{:02}", instant.year(), instant.month(), instant.day())
}

fn bucket(value: &str, count: u32) -> String {
    let digest = Sha256::digest(value);
    let number = digest.iter().take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    let width = count.saturating_sub(1).to_string().len();
    format!("{:0width$}", number % count.max(1))
}
