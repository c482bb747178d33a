//! Which stored rows a run could have brought: only those can be missing from what it read.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Which stored rows a run could have brought. The default: every row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// A column of the report's own table and the ids that the run asked for: rows of other ids are out of reach.
    pub ids: Option<(String, Arc<HashSet<String>>)>,
    /// Columns of the report's own table and the text that each has in the rows that the run asked for.
    pub bound: Vec<(String, String)>,
    /// Those of them that say of which period the rows are. What the API tells of one period says nothing of the others, so
    /// a merge that takes the place of all rows leaves theirs.
    pub period: Vec<(String, String)>,
    /// Rows whose changed-at lies before this instant are out of reach; those without one are not.
    pub changed_after: Option<DateTime<Utc>>,
}
