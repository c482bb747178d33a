//! Why no record of a page can be decoded. No message holds a cell's value; the caller adds report and request id.

use arrow_schema::ArrowError;

/// A page of which no row can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// The body is not one JSON document: HTML, cut off, damaged, or several documents in a row.
    #[error("the body is not JSON: {reason}")]
    NotJson {
        /// What is wrong, and at which line and column.
        reason: String,
    },
    /// The body is JSON of another shape.
    #[error("the body is not a page of this report: {reason}")]
    NotAPage {
        /// What is wrong.
        reason: String,
    },
    /// The caller has no usable value for a column that repeats a request parameter.
    #[error("column `{column}` repeats request parameter `{param}`, which is {reason}")]
    Bound {
        /// The column.
        column: String,
        /// The parameter.
        param: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Arrow refuses arrays that this crate made: a defect of this crate.
    #[error("cannot build {what}, which is a bug in this program")]
    Arrow {
        /// The table or array.
        what: String,
        /// Arrow's reason. It comes from schemas and lengths, never from parsing values.
        #[source]
        source: ArrowError,
    },
}

impl TransformError {
    /// The envelope lacks the report's list of rows.
    pub(crate) fn no_list(rows: &str) -> Self {
        Self::NotAPage { reason: format!("it has no list `{rows}`") }
    }

    /// For `map_err` on Arrow's kernels.
    pub(crate) fn arrow(what: &str) -> impl FnOnce(ArrowError) -> Self {
        let what = what.to_owned();
        move |source| Self::Arrow { what, source }
    }
}
