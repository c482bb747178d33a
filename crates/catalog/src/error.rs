//! What can be wrong with a catalog file.

/// A catalog file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The text is not YAML of the right shape.
    #[error("{file}: {source}")]
    Parse {
        /// File name of the report.
        file: String,
        /// Where and why parsing stopped.
        source: Box<serde_saphyr::Error>,
    },
    /// The file parses but contradicts itself or another file.
    #[error("{file}: {reason}")]
    Invalid {
        /// File name of the report.
        file: String,
        /// What is wrong.
        reason: String,
    },
}
