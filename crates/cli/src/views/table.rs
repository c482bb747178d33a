//! A stored table as readers see it: the view of its files, of the newest version of each row, and of those of a moment.

use ctct_catalog::{COMMIT, EXTRACTED_AT, Table};
use ctct_load::{DELETE_REASON, DELETED_AT, VALID_FROM, VALID_TO};
use ctct_pipeline::{ReportConfig, StoredTable, WriteMode};

use super::dialect::{Column, Dialect, Kind};
use super::files::{self, column};
use super::script::Script;

/// The column of the account, which every table has as a folder.
pub(crate) const ACCOUNT: &str = "account";
/// The column of current views that says whether a row is held to be gone.
pub(crate) const IS_DELETED: &str = "is_deleted";
/// When the API says that a row was deleted, where it does.
const API_DELETED_AT: &str = "deleted_at";

/// One table of a report as the pipeline stores it, and the views over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableViews<'a> {
    pub(crate) config: &'a ReportConfig,
    pub(crate) table: &'a Table,
    /// Whether it has a file: engines refuse to read a folder that is not there.
    pub(crate) has_files: bool,
}

impl<'a> TableViews<'a> {
    pub(crate) fn name(&self) -> &'a str {
        &self.table.name
    }

    /// The report's own table.
    pub(crate) fn root(&self) -> &'a Table {
        // A report has a table of its own, before those of its lists.
        self.config.report.tables().first().unwrap_or(self.table)
    }

    pub(crate) fn is_root(&self) -> bool {
        self.table.parent.is_none()
    }

    /// Whether replaced versions are kept with the span in which they held.
    pub(crate) fn has_history(&self) -> bool {
        self.config.write_mode == WriteMode::Merge && self.config.delivery.history
    }

    /// Whether what was known at an earlier moment can be told.
    pub(crate) fn keeps_versions(&self) -> bool {
        self.config.write_mode == WriteMode::Append || self.has_history()
    }

    /// Columns that are folders: the account, then the partitions from the outside in.
    fn folder_columns(&self) -> Vec<Column> {
        StoredTable::folders_of(self.config).iter().map(|folder| column(folder.field())).collect()
    }

    /// Columns of the current view, the same whatever the write mode: those of the catalogue, the folders, and, for the
    /// report's own table, what says that a row is gone.
    pub(crate) fn current_columns(&self) -> Vec<Column> {
        let mut columns: Vec<Column> = self.table.schema.fields().iter().map(|field| column(field)).collect();
        let folders = self.folder_columns().into_iter();
        let folders: Vec<_> = folders.filter(|folder| !columns.iter().any(|own| own.name == folder.name)).collect();
        columns.extend(folders);
        if self.is_root() {
            columns.extend([
                Column::new(
                    DELETED_AT,
                    Kind::Instant,
                    "When a complete read found the row gone; null while it is there.",
                ),
                Column::new(DELETE_REASON, Kind::Text, "Why the row is held to be gone; null while it is there."),
                Column::new(
                    IS_DELETED,
                    Kind::Flag,
                    "Whether the row is gone, by what the API says or by a complete read.",
                ),
            ]);
        }
        columns
    }

    /// The current columns as a select list over stored rows, which go by `alias`.
    pub(crate) fn selected(&self, dialect: Dialect, alias: &str) -> String {
        let marked = self.is_root() && self.config.write_mode == WriteMode::Merge;
        let own_deletion = self.table.schema.field_with_name(API_DELETED_AT).is_ok();
        let name = |name: &str| format!("{alias}.{}", dialect.name(name));
        let columns: Vec<String> = self
            .current_columns()
            .iter()
            .map(|column| match column.name.as_str() {
                DELETED_AT | DELETE_REASON if !marked => dialect.null(column),
                IS_DELETED => {
                    let own = own_deletion.then(|| format!("{} IS NOT NULL", name(API_DELETED_AT)));
                    let mark = marked.then(|| format!("{} IS NOT NULL", name(DELETED_AT)));
                    let gone: Vec<String> = own.into_iter().chain(mark).collect();
                    let gone = if gone.is_empty() { "FALSE".to_owned() } else { gone.join(" OR ") };
                    format!("({gone}) AS {}", dialect.name(IS_DELETED))
                }
                other => name(other),
            })
            .collect();
        columns.join(",\n  ")
    }

    /// Writes the view of the files themselves. `root` is where the reader finds the tables.
    pub(crate) fn base(&self, script: &mut Script, root: &str) {
        let tables = StoredTable::of_report_in(self.config, root);
        if let Some(table) = tables.iter().find(|table| table.name() == self.name()) {
            files::view(script, &table.layout(), self.has_files);
        }
    }

    /// Writes the view of the newest version of each row, and what gives the one of an earlier moment.
    pub(crate) fn versions(&self, script: &mut Script) {
        let name = self.name();
        let select = match self.config.write_mode {
            WriteMode::Replace => self.stored(script, None),
            WriteMode::Merge if !self.has_history() => self.stored(script, None),
            WriteMode::Merge => self.stored(script, Some(&format!("r.{} IS NULL", script.dialect.name(VALID_TO)))),
            // Append and partition: a row whose partition changed may stand in two of them.
            _ => self.newest(script, None),
        };
        let doc = format!("{} The newest version of each row.", self.table.doc);
        script.view(&format!("{name}_current"), &doc, &self.current_columns(), &select);
        if self.keeps_versions() {
            let moment = script.moment();
            let select = if self.has_history() {
                let (from, to) = (script.dialect.name(VALID_FROM), script.dialect.name(VALID_TO));
                let held = format!("r.{from} <= {moment} AND (r.{to} IS NULL OR {moment} < r.{to})");
                self.stored(script, Some(&held))
            } else {
                self.newest(script, Some(&moment))
            };
            script.function(&format!("{name}_as_of"), &self.current_columns(), &select);
        }
    }

    /// Stored rows for which a condition holds.
    fn stored(&self, script: &Script, condition: Option<&str>) -> String {
        let condition = condition.map(|condition| format!("\nWHERE {condition}")).unwrap_or_default();
        format!("SELECT\n  {}\nFROM {} AS r{condition}", self.selected(script.dialect, "r"), script.name(self.name()))
    }

    /// The newest version of each row, of those that were read up to a moment. A child row goes with its parent's.
    fn newest(&self, script: &Script, until: Option<&str>) -> String {
        let dialect = script.dialect;
        let root = self.root();
        let key: Vec<&str> = [ACCOUNT].into_iter().chain(root.key.iter().map(String::as_str)).collect();
        let names: Vec<String> = key.iter().map(|name| dialect.name(name)).collect();
        let (commit, read) = (dialect.name(COMMIT), dialect.name(EXTRACTED_AT));
        let until = until.map(|moment| format!("\n  WHERE {read} <= {moment}")).unwrap_or_default();
        let ranked = if self.is_root() { "*".to_owned() } else { format!("{}, {commit}, {read}", names.join(", ")) };
        let versions = format!(
            "(\n  SELECT {ranked}, row_number() OVER (PARTITION BY {} ORDER BY {commit} DESC, {read} DESC) AS {}\n  \
             FROM {}{until}\n)",
            names.join(", "),
            dialect.name(RANK),
            script.name(&root.name),
        );
        let newest = dialect.name(RANK);
        let columns = self.selected(dialect, "r");
        if self.is_root() {
            return format!("SELECT\n  {columns}\nFROM {versions} AS r\nWHERE r.{newest} = 1");
        }
        // A version of the parent is told by its key, its commit and when it was read; its child rows have the same three.
        let same = names.iter().chain([&commit, &read]).map(|name| format!("r.{name} = p.{name}"));
        let same = same.collect::<Vec<_>>().join(" AND ");
        let name = script.name(self.name());
        format!("SELECT\n  {columns}\nFROM {name} AS r\nJOIN {versions} AS p\n  ON {same}\nWHERE p.{newest} = 1")
    }
}

/// Numbers the versions of a row, the newest first.
const RANK: &str = "_rank";
