//! A table as readers find it: the columns of its files, the folders above them, where it is, and how it joins. The table of
//! runs is one too, without a report.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use ctct_catalog::{COMMIT, EXTRACTED_AT, ORDINAL, Origin, PARENT_ORDINAL, Report, Table};
use ctct_load::{
    Destination, PartitionBy, StoreOptions, VALID_FROM, WriteMode, account_field, encode_folder, stored_schema,
};

use crate::after_run::runs_table::{RUNS_TABLE, runs_schema};
use crate::document::{Pipeline, ReportConfig};

/// A table of a report, as one pipeline stores it or as every pipeline does.
#[derive(Debug)]
pub struct StoredTable<'a> {
    /// Its report.
    pub report: &'a Report,
    /// The table as the catalog has it.
    pub table: &'a Table,
    /// Columns of its files.
    pub columns: Vec<Column>,
    /// Columns that readers take from the folders' names, from the outside in.
    pub folders: Vec<Column>,
    /// Its folder, absolute; absent where no pipeline says it.
    pub location: Option<String>,
    /// Columns that tell the versions of a row apart, where a pipeline says that there may be several.
    versions: &'static [&'static str],
}

/// What an engine has to know of a table to read it.
#[derive(Debug)]
pub struct Layout {
    /// Its name.
    pub name: String,
    /// What it is, its key included.
    pub comment: String,
    /// Columns of its files.
    pub columns: Vec<Column>,
    /// Columns that readers take from the folders' names, from the outside in.
    pub folders: Vec<Column>,
    /// Its folder, absolute; absent where no pipeline says it.
    pub location: Option<String>,
}

impl Layout {
    /// The table of runs below a root, which is a folder or an address; with the account as a column of the files too, where
    /// `account_column` is set.
    pub fn of_runs(root: &str, account_column: bool) -> Self {
        let schema = runs_schema(account_column);
        let column = |field: &FieldRef| Column { field: Arc::clone(field), origin: Origin::Program };
        Self {
            name: RUNS_TABLE.to_owned(),
            comment: "How each report of each run ended. Key: run_id + report.".to_owned(),
            columns: schema.fields().iter().map(column).collect(),
            folders: vec![account()],
            location: Some(format!("{root}/{RUNS_TABLE}")),
        }
    }

    /// Columns of the files, then those of the folders, as readers show them.
    pub fn all_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(&self.folders)
    }
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    field: FieldRef,
    /// Where it comes from.
    pub origin: Origin,
}

impl Column {
    /// Its name.
    pub fn name(&self) -> &str {
        self.field.name()
    }

    /// Its Arrow type.
    pub fn data_type(&self) -> &DataType {
        self.field.data_type()
    }

    /// Whether it may be null.
    pub fn is_nullable(&self) -> bool {
        self.field.is_nullable()
    }

    /// Its Arrow field.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// What it is, in one sentence.
    pub fn comment(&self) -> &str {
        self.field.metadata().get("comment").map_or("", String::as_str)
    }

    /// The type as Arrow readers see it.
    pub fn arrow(&self) -> &'static str {
        match self.data_type() {
            DataType::Timestamp(..) => "timestamp[us, UTC]",
            DataType::Date32 => "date",
            DataType::Int64 => "int64",
            DataType::Int32 => "int32",
            DataType::Float64 => "float64",
            DataType::Boolean => "bool",
            _ => "string",
        }
    }

    fn folder(name: &str, data_type: DataType, nullable: bool, comment: &str) -> Self {
        let field = Field::new(name, data_type, nullable);
        let field = field.with_metadata([("comment".to_owned(), comment.to_owned())]);
        Self { field: Arc::new(field), origin: Origin::Program }
    }
}

impl<'a> StoredTable<'a> {
    /// The tables of a report in any pipeline that says nothing of how to write it.
    pub fn of_report(report: &'a Report) -> Vec<Self> {
        let new = |table| Self::new(report, table, WriteMode::Append, false, &[], None, false);
        report.tables().iter().map(new).collect()
    }

    /// The tables that a pipeline writes for one of its reports. A relative destination starts from `base`.
    pub fn of_pipeline(pipeline: &Pipeline, config: &'a ReportConfig, base: &Path) -> Vec<Self> {
        Self::of_report_in(config, &root(pipeline, base), pipeline.destination.files.account_column)
    }

    /// The tables that a pipeline writes for one of its reports below a root, which is a folder or an address; with the account
    /// as a column of the files too, where `account_column` is set.
    pub fn of_report_in(config: &'a ReportConfig, root: &str, account_column: bool) -> Vec<Self> {
        let stored = |table: &'a Table| {
            let location = format!("{root}/{}", encode_folder(&table.name));
            let ReportConfig { report, write_mode, partition_by, delivery, .. } = config;
            Self::new(report, table, *write_mode, delivery.history, partition_by, Some(location), account_column)
        };
        config.report.tables().iter().map(stored).collect()
    }

    /// What an engine has to know of it.
    pub fn layout(&self) -> Layout {
        Layout {
            name: self.name().to_owned(),
            comment: self.comment(),
            columns: self.columns.clone(),
            folders: self.folders.clone(),
            location: self.location.clone(),
        }
    }

    /// The columns that a pipeline's folders make for a report.
    pub fn folders_of(config: &ReportConfig) -> Vec<Column> {
        folders(&config.report, &config.partition_by)
    }

    fn new(
        report: &'a Report,
        table: &'a Table,
        mode: WriteMode,
        history: bool,
        partition_by: &[PartitionBy],
        location: Option<String>,
        account_column: bool,
    ) -> Self {
        let own = account_column.then(|| Column { field: Arc::new(account_field()), origin: Origin::Program });
        let stored = stored_schema(table, mode, history);
        // What a pipeline adds stands behind the catalog's columns.
        let origins = table.origins.iter().cloned().chain(std::iter::repeat(Origin::Program));
        let is_folder = |name: &str| {
            partition_by.iter().any(|entry| matches!(entry, PartitionBy::Column(column) if column == name))
        };
        let columns = stored.fields().iter().zip(origins).filter(|(field, _)| !is_folder(field.name()));
        let versions: &[&str] = match mode {
            WriteMode::Append if location.is_some() => &[COMMIT, EXTRACTED_AT],
            WriteMode::Merge if history => &[VALID_FROM],
            _ => &[],
        };
        Self {
            report,
            table,
            columns: columns.map(|(field, origin)| Column { field: Arc::clone(field), origin }).chain(own).collect(),
            folders: folders(report, partition_by),
            location,
            versions,
        }
    }

    /// Its name, which its folder has too.
    pub fn name(&self) -> &str {
        &self.table.name
    }

    /// Columns of the files, then those of the folders, as readers show them.
    pub fn all_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().chain(&self.folders)
    }

    /// What the table is, its key included.
    pub fn comment(&self) -> String {
        format!("{} Key: {}.", self.table.doc, self.table.key.join(" + "))
    }

    /// The table whose rows this one's belong to.
    pub fn parent(&self) -> Option<&'a Table> {
        self.report.tables().get(self.table.parent?)
    }

    /// Pairs of columns, its own and the parent's, that are equal in a row and the row that it belongs to.
    pub fn joins_on(&self) -> Vec<(&'a str, &'a str)> {
        let Some(parent) = self.parent() else { return Vec::new() };
        let pair = |name: &'a String| match name.as_str() {
            ORDINAL => (PARENT_ORDINAL, ORDINAL),
            name => (name, name),
        };
        let versions = self.versions.iter().map(|name| (*name, *name));
        [("account", "account")].into_iter().chain(parent.key.iter().map(pair)).chain(versions).collect()
    }

    /// `TABLE.COLUMN` that a column holds ids of.
    pub fn refers(&self, column: &str) -> Option<String> {
        let reference = self.table.references.iter().find(|reference| reference.column == column)?;
        Some(format!("{}.{}", reference.table, reference.to))
    }
}

/// The folder or the address below which a pipeline's tables are, without a slash at its end. A relative one starts from `base`.
pub fn root(pipeline: &Pipeline, base: &Path) -> String {
    let url = pipeline.destination.url.as_str();
    let folder = local_folder(url, base).map(|folder| folder.to_string_lossy().into_owned());
    folder.unwrap_or_else(|| url.to_owned()).trim_end_matches('/').to_owned()
}

/// The folder on this host that a path or a `file://` URL names, absolute. A relative one starts from `base`.
pub fn local_folder(url: &str, base: &Path) -> Option<PathBuf> {
    let is_folder = url.split_once("://").is_none_or(|(scheme, _)| scheme == "file");
    let opened = is_folder.then(|| Destination::open(url, base, &StoreOptions::default()).ok()).flatten();
    opened.map(|destination| PathBuf::from(destination.url()))
}

fn account() -> Column {
    Column::folder("account", DataType::Utf8View, false, "The account, as the pipeline names it.")
}

/// The columns that folders make, from the outside in.
fn folders(report: &Report, partition_by: &[PartitionBy]) -> Vec<Column> {
    std::iter::once(account()).chain(partition_by.iter().map(|entry| folder(report, entry))).collect()
}

/// The column that a level of partition folders makes.
fn folder(report: &Report, entry: &PartitionBy) -> Column {
    let column = entry.column();
    let of_parent = |what: &str| format!("{what} of `{}.{column}`, in UTC.", report.name);
    let (data_type, comment) = match entry {
        PartitionBy::Column(_) => return by_value(report, column),
        PartitionBy::Year(_) => (DataType::Int32, of_parent("Year")),
        PartitionBy::Month(_) => (DataType::Utf8View, of_parent("Month")),
        PartitionBy::Day(_) => (DataType::Date32, of_parent("Day")),
        PartitionBy::Bucket { count, .. } => {
            (DataType::Int32, format!("Bucket of `{}.{column}`, of {count}, by its hash.", report.name))
        }
    };
    Column::folder(&entry.hive_key(), data_type, true, &comment)
}

/// A column that is in the name of the folder and not in the files. A value that no folder can be named by is null there.
fn by_value(report: &Report, column: &str) -> Column {
    let found = report.tables().first().and_then(|table| Some((table, table.schema.index_of(column).ok()?)));
    let (field, origin) = found.map_or_else(
        || (Field::new(column, DataType::Utf8View, true), Origin::Program),
        |(table, at)| {
            let origin = table.origins.get(at).cloned().unwrap_or(Origin::Program);
            (table.schema.field(at).clone().with_nullable(true), origin)
        },
    );
    Column { field: Arc::new(field), origin }
}
