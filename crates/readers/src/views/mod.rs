//! SQL views over the tables of a pipeline, as text: for DuckDB and for Spark.
//!
//! ```text
//! pipeline, stored definitions -> views over the files -> newest versions, versions as of a moment
//!                                                      -> contacts with custom fields, engagement
//! ```
//!
//! The SQL is fixed: what custom fields are called is read when it is made. Names of views are the same whatever the write
//! mode, so that queries outlive a change of it.

mod custom_fields;
mod engagement;
mod files;
mod script;
mod table;

use std::collections::BTreeSet;

use ctct_catalog::{Catalog, Report, Role, Subject, TableRoles};
use ctct_load::{Destination, LoadError, accounts_with, distinct_ids, text_rows};
use ctct_pipeline::after_run::RUNS_TABLE;
use ctct_pipeline::document::ReportConfig;
use ctct_pipeline::stored_table::Layout;

use crate::dialect::Dialect;
use custom_fields::{CustomFields, Definition};
use engagement::EngagementSource;
use script::Script;
use table::TableViews;

/// What the views of a pipeline are made of.
#[derive(Debug)]
pub struct Views<'a> {
    catalog: &'a Catalog,
    reports: Vec<&'a ReportConfig>,
    /// Tables that have a file.
    stored: BTreeSet<String>,
    fields: Vec<Definition>,
    /// Whether files have the account as a column too.
    account_column: bool,
}

impl<'a> Views<'a> {
    /// Looks at what the destination holds of these reports, and of the table of runs: whether there are files, and what
    /// custom fields are called.
    ///
    /// # Errors
    /// The store fails, or a file with definitions is damaged; with the name of the report.
    pub async fn read(
        catalog: &'a Catalog,
        reports: Vec<&'a ReportConfig>,
        with_runs: bool,
        destination: &Destination,
    ) -> Result<Self, (String, LoadError)> {
        let account_column = destination.file_options().account_column;
        let mut views = Self { catalog, reports, stored: BTreeSet::new(), fields: Vec::new(), account_column };
        for config in &views.reports {
            let report = &config.report;
            for table in report.tables() {
                let accounts = accounts_with(destination, &table.name).await;
                if !accounts.map_err(|error| (report.name.clone(), error))?.is_empty() {
                    views.stored.insert(table.name.clone());
                }
            }
        }
        if with_runs {
            let runs = accounts_with(destination, RUNS_TABLE).await;
            if !runs.map_err(|error| (RUNS_TABLE.to_owned(), error))?.is_empty() {
                views.stored.insert(RUNS_TABLE.to_owned());
            }
        }
        let fields = views.fields(destination).await;
        views.fields = fields.map_err(|error| (views.names_of_fields().unwrap_or_default().to_owned(), error))?;
        Ok(views)
    }

    /// The custom fields: by their definitions, or where none are stored by the ids that contacts have.
    async fn fields(&self, destination: &Destination) -> Result<Vec<Definition>, LoadError> {
        let Some(contacts) = self.report(Subject::Contacts) else { return Ok(Vec::new()) };
        if let Some((report, columns)) = self.stored_names().and_then(|of| Some((of, custom_fields::defining(of)?))) {
            return Ok(custom_fields::definitions(report, text_rows(destination, &report.name, &columns).await?));
        }
        let has_values = |roles: &&TableRoles| roles.holds() == Some(Subject::CustomFieldValues);
        let values = contacts.roles().iter().find(has_values);
        let Some((values, id)) = values.and_then(|values| Some((values.table(), values.column(Role::CustomFieldId)?)))
        else {
            return Ok(Vec::new());
        };
        let mut fields = Vec::new();
        for account in accounts_with(destination, values).await? {
            let ids = distinct_ids(destination, &account, values, id).await?;
            let ids = ids.iter().flatten().flatten().map(str::to_owned);
            fields.extend(custom_fields::nameless(&account, ids));
        }
        Ok(fields)
    }

    /// The report of the pipeline whose own table holds this.
    fn report(&self, holding: Subject) -> Option<&'a Report> {
        self.reports.iter().map(|config| &*config.report).find(|report| report.holds == Some(holding))
    }

    /// The report with the names of custom fields, where they are stored.
    fn stored_names(&self) -> Option<&'a Report> {
        self.report(Subject::CustomFields).filter(|report| self.stored.contains(&report.name))
    }

    /// The report that knows the names of custom fields, whether the pipeline has it or not.
    fn names_of_fields(&self) -> Option<&'a str> {
        self.catalog.holding(Subject::CustomFields).map(|report| report.name.as_str())
    }

    /// Tables that have no file yet, whose views are empty; a report stands for all of its tables.
    pub fn missing(&self) -> Vec<&'a str> {
        let of_report = |config: &&'a ReportConfig| {
            let tables = config.report.tables().iter().map(|table| table.name.as_str());
            let missing: Vec<&str> = tables.filter(|table| !self.stored.contains(*table)).collect();
            if missing.len() == config.report.tables().len() { vec![config.report.name.as_str()] } else { missing }
        };
        self.reports.iter().flat_map(of_report).collect()
    }

    /// The report that would name the custom fields of stored contacts, where they go by their ids because it is not stored.
    pub fn lacks_names(&self) -> Option<&'a str> {
        let contacts = self.report(Subject::Contacts).filter(|contacts| self.stored.contains(&contacts.name));
        contacts.filter(|_| self.stored_names().is_none()).and_then(|_| self.names_of_fields())
    }

    fn tables(&self) -> impl Iterator<Item = TableViews<'a>> {
        self.reports.iter().flat_map(|config| {
            config.report.tables().iter().map(|table| TableViews {
                config,
                table,
                has_files: self.stored.contains(&table.name),
                account_column: self.account_column,
            })
        })
    }

    /// The SQL. `location` is where the reader finds the tables.
    pub fn sql(&self, dialect: Dialect, schema: Option<&str>, location: &str) -> String {
        let location = reached(dialect, location);
        let root = location.trim_end_matches('/');
        let mut script = Script::new(dialect, schema, &self.remarks());
        for table in self.tables() {
            table.base(&mut script, root);
        }
        if self.stored.contains(RUNS_TABLE) {
            files::view(&mut script, &Layout::of_runs(root, self.account_column), true);
        }
        for table in self.tables() {
            table.versions(&mut script);
        }
        let contacts =
            self.tables().find(|table| table.is_root() && table.config.report.holds == Some(Subject::Contacts));
        if let Some((contacts, tables)) =
            contacts.and_then(|of| Some((of, CustomFields::of(of.report(), self.catalog)?)))
        {
            let columns = custom_fields::columns(self.fields.clone(), &custom_fields::taken(&contacts));
            custom_fields::view(&mut script, &contacts, &tables, &columns);
        }
        let events = self.report(Subject::Events).and_then(EngagementSource::events);
        if let Some(source) = events.or_else(|| self.report(Subject::EventCounts).and_then(EngagementSource::counts)) {
            engagement::views(&mut script, &source, self.report(Subject::Campaigns));
        }
        script.finish()
    }

    /// What a reader of the SQL should know first.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![
            "Generated by ctct-etl views: create it again after the pipeline or its custom fields change.".to_owned(),
        ];
        let missing = self.missing();
        if !missing.is_empty() {
            remarks.push(format!(
                "Not stored yet, so these views are empty until they are created again: {}.",
                missing.join(", ")
            ));
        }
        if let Some(report) = self.lacks_names() {
            remarks.push(format!("Custom fields are named by their ids: the report {report} has their names."));
        }
        remarks
    }
}

/// Reports that the views over these need too, where the pipeline has them: names of custom fields and of campaigns.
pub fn needed<'a>(reports: &[String], catalog: &'a Catalog) -> Vec<&'a str> {
    let name = |holding| catalog.holding(holding).map(|report| report.name.as_str());
    let wants = |holding| name(holding).is_some_and(|name| reports.iter().any(|report| report == name));
    let with = [(Subject::Contacts, Subject::CustomFields), (Subject::Events, Subject::Campaigns)];
    with.into_iter().filter(|(report, _)| wants(*report)).filter_map(|(_, other)| name(other)).collect()
}

/// An address as the engine names it: Spark knows S3 as `s3a` and a folder by its URL.
fn reached(dialect: Dialect, location: &str) -> String {
    match dialect {
        Dialect::DuckDb => location.to_owned(),
        Dialect::Spark if location.starts_with('/') => format!("file://{location}"),
        Dialect::Spark => match location.strip_prefix("s3://") {
            Some(rest) => format!("s3a://{rest}"),
            None => location.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests;
