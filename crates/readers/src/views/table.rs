//! A stored table as readers see it: the view of its files, of the newest version of each row, and of those of a moment.

use ctct_catalog::{COMMIT, EXTRACTED_AT, OptionKind, Report, Role, Table};
use ctct_load::WriteMode;
use ctct_load::{DELETE_REASON, DELETED_AT, VALID_FROM, VALID_TO};
use ctct_pipeline::document::ReportConfig;
use ctct_pipeline::stored_table::StoredTable;

use super::files::{self, column};
use super::script::Script;
use crate::dialect::{Dialect, SqlType, ViewColumn};

/// The column of the account, which every table has as a folder.
pub(crate) const ACCOUNT: &str = "account";
/// The column of current views that says whether a row counts as deleted.
pub(crate) const IS_DELETED: &str = "is_deleted";

/// One table of a report as the pipeline stores it, and the views over it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableViews<'a> {
    pub(crate) config: &'a ReportConfig,
    pub(crate) table: &'a Table,
    /// Whether it has a file: engines refuse to read a folder that is not there.
    pub(crate) has_files: bool,
    /// Whether its files have the account as a column too.
    pub(crate) account_column: bool,
}

impl<'a> TableViews<'a> {
    pub(crate) fn name(&self) -> &'a str {
        &self.table.name
    }

    /// The report that it is a table of.
    pub(crate) fn report(&self) -> &'a Report {
        &self.config.report
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
    fn folder_columns(&self) -> Vec<ViewColumn> {
        StoredTable::folders_of(self.config).iter().map(|folder| column(folder.field())).collect()
    }

    /// Columns of the current view, the same whatever the write mode: those of the catalog, the folders, and, for the
    /// report's own table, what says that a row is gone.
    pub(crate) fn current_columns(&self) -> Vec<ViewColumn> {
        let mut columns: Vec<ViewColumn> = self.table.schema.fields().iter().map(|field| column(field)).collect();
        let folders = self.folder_columns().into_iter();
        let folders: Vec<_> = folders.filter(|folder| !columns.iter().any(|own| own.name == folder.name)).collect();
        columns.extend(folders);
        if self.is_root() {
            columns.extend([
                ViewColumn::new(
                    DELETED_AT,
                    SqlType::Instant,
                    "When a complete read found that the row was deleted; null while it exists.",
                ),
                ViewColumn::new(DELETE_REASON, SqlType::Text, "Why the row counts as deleted; null while it exists."),
                ViewColumn::new(
                    IS_DELETED,
                    SqlType::Flag,
                    "Whether the row is deleted, according to the API or to a complete read.",
                ),
            ]);
        }
        columns
    }

    /// The current columns as a select list over stored rows, which go by `alias`.
    pub(crate) fn selected(&self, dialect: Dialect, alias: &str) -> String {
        let marked = self.is_root() && self.config.write_mode == WriteMode::Merge;
        let own_deletion = self.report().roles_of(self.name()).and_then(|roles| roles.column(Role::DeletedAt));
        let name = |name: &str| format!("{alias}.{}", dialect.name(name));
        let columns: Vec<String> = self
            .current_columns()
            .iter()
            .map(|column| match column.name.as_str() {
                DELETED_AT | DELETE_REASON if !marked => dialect.null(column),
                IS_DELETED => {
                    let own = own_deletion.map(|column| format!("{} IS NOT NULL", name(column)));
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
        let tables = StoredTable::of_report_in(self.config, root, self.account_column);
        if let Some(table) = tables.iter().find(|table| table.name() == self.name()) {
            files::view(script, &table.layout(), self.has_files);
        }
    }

    /// Writes the view of the newest version of each row, and what gives the one of an earlier moment.
    pub(crate) fn versions(&self, script: &mut Script) {
        let name = self.name();
        let (from, to) = (script.dialect.name(VALID_FROM), script.dialect.name(VALID_TO));
        let select = match self.config.write_mode {
            _ if !self.periods().is_empty() => {
                self.newest(script, self.has_history().then(|| format!("{to} IS NULL")).as_deref())
            }
            WriteMode::Replace => self.stored(script, None),
            WriteMode::Merge if !self.has_history() => self.stored(script, None),
            WriteMode::Merge => self.stored(script, Some(&format!("r.{to} IS NULL"))),
            // Append and partition: a row whose partition changed may be in two of them.
            _ => self.newest(script, None),
        };
        let doc = if self.periods().is_empty() {
            "The newest version of each row."
        } else {
            "The newest version of each row; of periods with the same activity, the one that was read last."
        };
        let doc = format!("{} {doc}", self.table.doc);
        script.view(&format!("{name}_current"), &doc, &self.current_columns(), &select);
        if self.keeps_versions() {
            let moment = script.moment();
            let select = match (self.has_history(), self.periods().is_empty()) {
                (true, true) => {
                    let held = format!("r.{from} <= {moment} AND (r.{to} IS NULL OR {moment} < r.{to})");
                    self.stored(script, Some(&held))
                }
                (true, false) => {
                    let held = format!("{from} <= {moment} AND ({to} IS NULL OR {moment} < {to})");
                    self.newest(script, Some(&held))
                }
                (false, _) => {
                    let read = format!("{} <= {moment}", script.dialect.name(EXTRACTED_AT));
                    self.newest(script, Some(&read))
                }
            };
            script.function(&format!("{name}_as_of"), &self.current_columns(), &select);
        }
    }

    /// Stored rows for which a condition holds.
    fn stored(&self, script: &Script, condition: Option<&str>) -> String {
        let condition = condition.map(|condition| format!("\nWHERE {condition}")).unwrap_or_default();
        format!("SELECT\n  {}\nFROM {} AS r{condition}", self.selected(script.dialect, "r"), script.name(self.name()))
    }

    /// Key columns that only say which period was asked for. The same activity is in the rows of every period that holds it,
    /// so these do not tell two things apart.
    fn periods(&self) -> Vec<&'a str> {
        let report = &self.config.report;
        let is_period = |kind| matches!(kind, OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd);
        let options = || report.options.iter().filter(|option| is_period(option.kind));
        let asked = |param: &str| options().any(|option| option.params.iter().any(|name| name == param));
        let columns = report.columns.iter().filter(|field| field.bound.as_deref().is_some_and(asked));
        columns.map(|field| field.name.as_str()).filter(|name| report.key.iter().any(|key| key == name)).collect()
    }

    /// The newest version of each row, of those for which a condition holds. A child row goes with its parent's.
    fn newest(&self, script: &Script, condition: Option<&str>) -> String {
        let dialect = script.dialect;
        let root = self.root();
        let periods = self.periods();
        let key = root.key.iter().map(String::as_str).filter(|name| !periods.contains(name));
        let key: Vec<&str> = [ACCOUNT].into_iter().chain(key).collect();
        let names: Vec<String> = key.iter().map(|name| dialect.name(name)).collect();
        let (commit, read) = (dialect.name(COMMIT), dialect.name(EXTRACTED_AT));
        let condition = condition.map(|condition| format!("\n  WHERE {condition}")).unwrap_or_default();
        let order: Vec<String> = periods.iter().map(|name| format!(", {} DESC", dialect.name(name))).collect();
        let order = order.concat();
        let stored = format!("{}{condition}", script.name(&root.name));
        let (outdated, changed, stored) = self.outdated(dialect, &names.join(", "), &stored);
        let ranked = if self.is_root() { "*".to_owned() } else { format!("{}, {commit}, {read}", names.join(", ")) };
        let versions = format!(
            "(\n  SELECT {ranked}, row_number() OVER (PARTITION BY {} ORDER BY {outdated}{commit} DESC, {changed}{read} DESC{order}) AS \
             {}\n  FROM {stored}\n)",
            names.join(", "),
            dialect.name(RANK),
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

impl TableViews<'_> {
    /// What versions of a row are ordered by besides the commits and reads that brought them, and where they are selected from.
    /// A version that changed before one that was stored earlier came from a server that lags behind. An instant of change
    /// that lies more than a day after the read tells nothing.
    fn outdated(&self, dialect: Dialect, key: &str, stored: &str) -> (String, String, String) {
        let names: Vec<String> =
            self.config.report.changed_columns().iter().map(|column| dialect.name(column)).collect();
        let [own, others @ ..] = &names[..] else { return (String::new(), String::new(), stored.to_owned()) };
        let (commit, read) = (dialect.name(COMMIT), dialect.name(EXTRACTED_AT));
        let told = |changed: &str| format!("CASE WHEN {changed} <= {read} + INTERVAL 1 DAY THEN {changed} END");
        let before = dialect.name(CHANGED_BEFORE);
        let stored = format!(
            "(\n    SELECT *, max({}) OVER (PARTITION BY {key} ORDER BY {commit}, {read} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 \
             PRECEDING) AS {before}\n    FROM {stored}\n  ) AS v",
            told(own)
        );
        let outdated = format!("CASE WHEN {own} < {before} THEN 1 ELSE 0 END, ");
        let greatest = if others.is_empty() { own.clone() } else { format!("greatest({})", names.join(", ")) };
        (outdated, format!("{} DESC NULLS LAST, ", told(&greatest)), stored)
    }
}

/// Numbers the versions of a row, the newest first.
const RANK: &str = "_rank";
/// When a row had changed last by the versions that were stored before one.
const CHANGED_BEFORE: &str = "_changed_before";
