//! What was stored before a run began, for those who decide whether a page brings anything new.

use std::sync::Arc;

use ctct_catalog::Report;
use ctct_transform::TableRows;

use super::versions::{precedes, version_name};
use super::{Stored, entries_of};
use crate::error::LoadError;

/// The records that were stored before a run began, as far as they are remembered. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Known {
    stored: Option<Arc<Stored>>,
    dates: Arc<Vec<String>>,
}

impl Known {
    pub(super) fn new(stored: &Arc<Stored>, dates: &[String]) -> Self {
        Self { stored: Some(Arc::clone(stored)), dates: Arc::new(dates.to_vec()) }
    }

    /// Whether every record of a page was stored before the run just as it is in the page: as the newest version of its key,
    /// or as an older one.
    ///
    /// # Errors
    /// What does not fit into memory cannot be read back.
    pub fn holds_all(&self, report: &Report, page: &[TableRows]) -> Result<bool, LoadError> {
        if page.first().is_some_and(|rows| rows.batch.num_rows() == 0) {
            return Ok(true);
        }
        let Some(stored) = &self.stored else { return Ok(false) };
        let Some(entries) = entries_of(report, page, &self.dates) else { return Ok(false) };
        for entry in entries {
            let known = match stored.versions.entry(entry.key)? {
                Some(newest) if newest.content == entry.content => true,
                Some(newest) if precedes(entry, newest) => stored.versions.entry(version_name(entry))?.is_some(),
                _ => false,
            };
            if !known {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
