//! The shape of a catalog file, parsed strictly: an unknown key is an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::{Activity, Role, Subject, Table, TableRoles, ValueType};

/// One report: how to ask for it, what comes back, and what a pipeline may say about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Name in pipelines and of the parent table.
    #[serde(rename = "report")]
    pub name: String,
    /// `operationId` in the vendor's OpenAPI description.
    pub operation: String,
    /// One sentence for people.
    pub doc: String,
    /// What rows of the report's own table are, where views are made of them.
    #[serde(default)]
    pub holds: Option<Subject>,
    /// Place among the reports that a first pipeline reads unless told otherwise, from 1; absent where it does not.
    #[serde(default)]
    pub starter: Option<u8>,
    /// Path below the API's base, with `{param}` for each path parameter.
    pub path: String,
    /// OAuth scope that opens it.
    pub scope: String,
    /// Key of the list of rows in the response envelope; absent where the body is the one row.
    #[serde(default)]
    pub rows: Option<String>,
    /// Columns that name a row: what `merge` goes by and files are sorted by. With [`Duplicates::Counted`] the last of them is
    /// [`OCCURRENCE`](crate::OCCURRENCE), which the file leaves out.
    pub key: Vec<String>,
    /// The order in which rows arrive.
    #[serde(default)]
    pub order: Option<Order>,
    /// How pages follow each other; absent where one response is all.
    #[serde(default)]
    pub paging: Option<Paging>,
    /// How to ask for the number of rows.
    #[serde(default)]
    pub count: Option<Count>,
    /// How the report is read incrementally; absent where every run reads all of it.
    #[serde(default)]
    pub watermark: Option<Watermark>,
    /// Columns of the report's own table of which the greatest value tells which version of a row is newer. Empty: the columns
    /// that the watermark goes by.
    #[serde(default)]
    pub changed: Vec<String>,
    /// What rows with equal keys are; absent where a key names one row.
    #[serde(default)]
    pub duplicates: Option<Duplicates>,
    /// Known keys of the envelope beside the rows and the links.
    #[serde(default)]
    pub envelope: Vec<Field>,
    /// Request parameters.
    #[serde(default)]
    pub params: Vec<Param>,
    /// Options that a pipeline may set.
    #[serde(default)]
    pub options: Vec<ReportOption>,
    /// Filters that people expect and the API silently ignores.
    #[serde(default)]
    pub ignored: Vec<Ignored>,
    /// Changes of its rows that no filter finds, so that a run which reads what changed misses them.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Columns and nested lists of a row.
    pub columns: Vec<Field>,
    /// The tables that the columns make, the parent first. Derived, never read from the file.
    #[serde(skip)]
    pub(crate) tables: Vec<Table>,
    /// What each of the tables means, in the same order. Derived, never read from the file.
    #[serde(skip)]
    pub(crate) roles: Vec<TableRoles>,
}

impl Report {
    /// The tables that this report fills: the parent table first, then one per nested list, in the order of the file.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The parameter of this name.
    pub fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    /// The pipeline option of this name.
    pub fn option(&self, name: &str) -> Option<&ReportOption> {
        self.options.iter().find(|option| option.name == name)
    }

    /// Whether a column of the report's own table keeps its value as long as the row lives.
    pub fn is_constant(&self, column: &str) -> bool {
        let marked = || self.columns.iter().any(|field| field.constant && field.name == column);
        self.key.iter().any(|name| name == column) || marked()
    }

    /// Whether a record that the parameter lets through may later be left out: it filters on what changes.
    pub fn filters_what_changes(&self, param: &Param) -> bool {
        let names_the_row = self
            .columns
            .iter()
            .any(|field| field.bound.as_deref() == Some(param.name.as_str()) && self.key.contains(&field.name));
        param.changes || !names_the_row && param.filters.iter().any(|column| !self.is_constant(column))
    }

    /// Columns of the report's own table of which the greatest value tells which version of a row is newer. Empty where nothing
    /// tells, so that the version that was read later counts.
    pub fn changed_columns(&self) -> Vec<&str> {
        if !self.changed.is_empty() {
            return self.changed.iter().map(String::as_str).collect();
        }
        let watermark = self.watermark.iter();
        let columns = watermark.flat_map(|watermark| {
            std::iter::once(watermark.column.as_str()).chain(watermark.also.iter().map(|also| also.column.as_str()))
        });
        columns.collect()
    }

    /// Rows that a page holds at most, where that is known.
    pub fn page_rows(&self) -> Option<u32> {
        let paging = self.paging.as_ref()?;
        paging.limit.as_ref().map(|limit| limit.max).or(paging.rows)
    }
}

/// What rows with equal keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// Different events: within one read of an id they get `_occurrence` 1, 2, 3, ... in order of arrival, which is part of
    /// the key.
    Counted,
}

/// The order in which rows arrive.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Column that rows are ordered by.
    pub by: String,
    /// Upwards or downwards.
    pub direction: Direction,
    /// Whether the vendor promises it; what was only seen may not be relied on.
    pub certain: bool,
}

/// Direction of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// How pages follow each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Dotted path of the link to the next page in the envelope, `_links.next.href` so far for every report.
    pub next: String,
    /// The page-size parameter, where there is one.
    #[serde(default)]
    pub limit: Option<Limit>,
    /// Rows per page where there is no such parameter.
    #[serde(default)]
    pub rows: Option<u32>,
}

/// The page-size parameter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name.
    pub param: String,
    /// Rows per page without it.
    pub default: u32,
    /// The most that the API takes; always requested, since the number of requests per day is limited.
    pub max: u32,
}

/// How to ask for the number of rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Parameter that asks for it.
    pub param: String,
    /// Key of the envelope that holds it.
    pub field: String,
}

/// How a report is read incrementally.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watermark {
    /// The pipeline option that says from when.
    pub option: String,
    /// The parameter that says up to when, for backfills.
    pub before: String,
    /// Column that the filter goes by.
    pub column: String,
    /// A second query of the same span, because the first misses its rows.
    #[serde(default)]
    pub also: Option<AlsoAsk>,
}

/// A second query of the same span of time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlsoAsk {
    /// The parameter that says from when.
    pub after: String,
    /// The parameter that says up to when.
    pub before: String,
    /// Column that the filter goes by.
    pub column: String,
}

/// A request parameter.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Its name on the wire.
    pub name: String,
    /// Type on the wire.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// Query or path.
    #[serde(default, rename = "in")]
    pub place: ParamPlace,
    /// `uuid` where each value must be one.
    #[serde(default)]
    pub format: Option<String>,
    /// Whether the API refuses a request without it.
    #[serde(default)]
    pub required: bool,
    /// Values that the API takes; empty where any goes.
    #[serde(default)]
    pub values: Vec<String>,
    /// Smallest number.
    #[serde(default)]
    pub min: Option<i64>,
    /// Largest number.
    #[serde(default)]
    pub max: Option<i64>,
    /// Most items of a `csv`.
    #[serde(default)]
    pub max_items: Option<usize>,
    /// Dotted columns that it filters on; empty where it is no filter.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Whether rows may stop fitting the filter though no column tells, as members of a segment do.
    #[serde(default)]
    pub changes: bool,
    /// What each of the values means in columns of the report's own table, so that rows can be told apart here too. One of
    /// them means any row.
    #[serde(default)]
    pub means: BTreeMap<String, Meaning>,
    /// Value that the API takes where the parameter is not sent.
    #[serde(default)]
    pub assumed: Option<String>,
    /// Whether the API takes no other parameter beside it (but the page size).
    #[serde(default)]
    pub alone: bool,
    /// Whether the API leaves out the rows of this very instant, as the word "after" says: one second less is sent, the
    /// API's resolution.
    #[serde(default)]
    pub exclusive: bool,
    /// Value that every request sends unless an option says otherwise.
    #[serde(default)]
    pub send: Option<String>,
    /// One sentence for people.
    pub doc: String,
}

/// What a row must be, by column of the report's own table. Empty: any row.
pub type Meaning = BTreeMap<String, Cell>;

/// What a cell must be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Without a value.
    Absent,
    /// With a value.
    Present,
    /// One of these.
    #[serde(untagged)]
    OneOf(Vec<String>),
}

/// Type of a parameter on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// Whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An instant, sent as `2026-01-31T00:00:00.000Z`.
    Timestamp,
    /// One of `values`.
    Choice,
    /// Several values joined by commas.
    Csv,
}

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamPlace {
    /// After the `?`.
    #[default]
    Query,
    /// In place of `{name}`.
    Path,
}

/// An option that a pipeline may set for the report.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportOption {
    /// Its key in the pipeline.
    pub name: String,
    /// Which forms it takes and what becomes of them.
    pub kind: OptionKind,
    /// Request parameters that it sets.
    #[serde(default)]
    pub params: Vec<String>,
    /// Whether the report cannot run without it.
    #[serde(default)]
    pub required: bool,
    /// Values in force when the pipeline is silent.
    #[serde(default)]
    pub default: Vec<String>,
    /// Where ids can be taken from.
    #[serde(default)]
    pub from: Option<IdSource>,
    /// One sentence for people.
    pub doc: String,
}

/// The forms that an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionKind {
    /// One id, a list of ids, or `{from: REPORT}`: one crawl per id.
    Ids,
    /// Any text or number.
    Value,
    /// A text, or a list of them.
    Values,
    /// One of the parameter's values.
    Choice,
    /// One or several of the parameter's values.
    Choices,
    /// `all`, `none`, or several of the parameter's values.
    Subresources,
    /// A date, a timestamp, or `{days_back: N}`.
    Instant,
    /// `single_date` (wants the `Day` option) or `date_range` (wants `RangeStart` and `RangeEnd`).
    Duration,
    /// A date or `{days_back: N}`: sets the first and the last instant of that day.
    Day,
    /// A date or `{days_back: N}`: sets the first instant of that day.
    RangeStart,
    /// A date or `{days_back: N}`: sets the last instant of that day.
    RangeEnd,
}

/// A column of another report that ids can be taken from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdSource {
    /// The report.
    pub report: String,
    /// The column of its parent table.
    pub column: String,
}

/// A filter that people expect and the API silently ignores.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignored {
    /// The key that people would write.
    pub name: String,
    /// Why it is refused, and what to do instead.
    pub why: String,
}

/// Changes that no filter finds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Which changes, and why they are not found.
    pub what: String,
    /// What to write so that they are.
    pub instead: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.what, self.instead)
    }
}

/// A field of a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Key in the JSON object.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Whether a row without it goes to the dead letters. Only for key columns.
    #[serde(default)]
    pub required: bool,
    /// Whether its value stays the same as long as the row lives, so that rows merged by key can be partitioned by it.
    /// Key columns do without saying so.
    #[serde(default)]
    pub constant: bool,
    /// Whether it is a sub-resource that the API sends only when asked.
    #[serde(default)]
    pub subresource: bool,
    /// What the column is for, where views are made of it.
    #[serde(default)]
    pub role: Option<Role>,
    /// What the rows of a `list` are, where views are made of them.
    #[serde(default)]
    pub holds: Option<Subject>,
    /// Which of the column's values stands for which activity; only for [`Role::EventType`].
    #[serde(default)]
    pub events: BTreeMap<Activity, String>,
    /// The activity that the column counts.
    #[serde(default)]
    pub counts: Option<Activity>,
    /// How values of custom fields of each type are read, by the API's name of the type; only for [`Role::ValueType`]. Types
    /// that are not here are text.
    #[serde(default)]
    pub value_types: BTreeMap<String, ValueType>,
    /// Versions of which dates hold whatever people typed; only for [`Role::Version`].
    #[serde(default)]
    pub free_text: Vec<i64>,
    /// `TABLE.COLUMN` that the value is an id of, where another report has it.
    #[serde(default)]
    pub refers: Option<String>,
    /// The request parameter that gives the value, for what the API does not repeat in each row.
    #[serde(default)]
    pub bound: Option<String>,
    /// Fields of an `object`, or of the objects of a `list`.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// The one column of a `list` of bare values.
    #[serde(default)]
    pub item: Option<Box<Field>>,
    /// Fields that name an element of a `list` within its parent; lists nested deeper carry them.
    #[serde(default)]
    pub key: Vec<String>,
    /// One sentence for people.
    pub doc: String,
}

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// An opaque id: a string that gets a bloom filter. Never parsed, since the vendor's own examples are malformed.
    Id,
    /// Text.
    String,
    /// An instant, from any of the spellings that the API uses.
    Timestamp,
    /// A whole number, 64 bits.
    Integer,
    /// A number, 64-bit floating point.
    Number,
    /// True or false.
    Boolean,
    /// A nested object: its fields become columns, joined by `_`.
    Object,
    /// A nested list: a child table.
    List,
}
