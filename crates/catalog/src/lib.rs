//! What the Constant Contact v3 API offers, as data: one YAML file per report under `reports/`, embedded in the binary.
//!
//! ```text
//! reports/*.yaml --Catalog::embedded--> Report: path, parameters, paging, options
//!                                       Table:  columns with their Arrow types, key, parent, origins
//!                                       roles:  what tables and columns mean to readers
//! ```
//!
//! Start at [`Report`], which has the shape of a file, key by key; [`Catalog`] finds reports by name. A [`Table`] is derived: a
//! report fills one for its records and one for each nested list. [`TableRoles`] says what columns are for, so that views can
//! be written without naming any.
//!
//! Files are checked when they are read: an unknown key, a column that is not there or a reference into nothing is a
//! [`CatalogError`]. A test reads all that are embedded, so the other crates rely on them.
//!
//! Every other crate reads its facts about the API from here; none is written anywhere else. This crate never does I/O, and
//! knows nothing of pipelines, accounts or rows.

mod check;
mod error;
mod report;
mod role;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::CatalogError;
pub use report::{
    AlsoAsk, Cell, Count, Direction, Duplicates, Field, FieldType, Gap, IdSource, Ignored, Limit, Meaning, OptionKind,
    Order, Paging, Param, ParamPlace, ParamType, Report, ReportOption, Watermark,
};
pub use role::{Activity, Role, Subject, TableRoles, ValueType};
pub use table::{COMMIT, EXTRA, EXTRACTED_AT, OCCURRENCE, ORDINAL, Origin, PARENT_ORDINAL, Reference, Table, UTC};

/// The embedded report files: name and text, sorted by name.
static EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/reports.rs"));

/// Every report that can be asked for, by name.
#[derive(Debug, Clone)]
pub struct Catalog {
    reports: BTreeMap<String, Arc<Report>>,
}

impl Catalog {
    /// The catalog that ships in the binary.
    ///
    /// # Errors
    /// An embedded file does not parse. A test reads every one, so a released binary never returns this.
    pub fn embedded() -> Result<Self, CatalogError> {
        Self::from_files(EMBEDDED.iter().copied())
    }

    /// A catalog from `(file name, text)` pairs.
    ///
    /// # Errors
    /// A file does not parse, contradicts itself, or repeats a report; the message names the file.
    pub fn from_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, CatalogError> {
        let mut catalog = Self { reports: BTreeMap::new() };
        for (file, text) in files {
            catalog = catalog.with_file(file, text)?;
        }
        check::references(&catalog)?;
        Ok(catalog)
    }

    /// This catalog and one report more.
    ///
    /// # Errors
    /// The text does not parse, contradicts itself, or names a report that is already here.
    pub fn with_file(mut self, file: &str, text: &str) -> Result<Self, CatalogError> {
        let mut report: Report = serde_saphyr::from_str(text)
            .map_err(|source| CatalogError::Parse { file: file.to_owned(), source: Box::new(source) })?;
        check::report(file, &report)?;
        if report.duplicates == Some(Duplicates::Counted) {
            report.key.push(OCCURRENCE.to_owned());
        }
        (report.tables, report.roles) = table::tables(&report);
        if self.reports.contains_key(&report.name) {
            return Err(CatalogError::Invalid {
                file: file.to_owned(),
                reason: format!("report `{}` is already in the catalog", report.name),
            });
        }
        self.reports.insert(report.name.clone(), Arc::new(report));
        Ok(self)
    }

    /// The report of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Report>> {
        self.reports.get(name)
    }

    /// All reports, by name.
    pub fn reports(&self) -> impl Iterator<Item = &Arc<Report>> {
        self.reports.values()
    }
}

#[cfg(test)]
mod tests;
