//! What is wrong with one file or folder.

/// A file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The file, as people are shown it.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}
