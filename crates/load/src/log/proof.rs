//! What a file is, by the log: its size, its checksum, and whose rows it holds.

use serde::{Deserialize, Serialize};

use crate::log::record::{CommittedFile, CommittedLetters};

/// What a file is, by the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Its size.
    pub(crate) bytes: u64,
    /// Rows in it, or records of dead letters.
    pub(crate) rows: u64,
    /// SHA-256 of it in hex; absent where a version wrote it whose records are pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// The commit that wrote it.
    pub(crate) commit: i64,
    /// The first and the last commit whose rows it holds, where those are not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commits: Option<(i64, i64)>,
}

impl Proof {
    pub(crate) fn of(file: &CommittedFile, commit: i64) -> Self {
        let CommittedFile { bytes, rows, sha256, commits, .. } = file;
        Self { bytes: *bytes, rows: *rows, sha256: Some(sha256.clone()), commit, commits: *commits }
    }

    pub(crate) fn of_letters(letters: &CommittedLetters, commit: i64) -> Self {
        let CommittedLetters { records, bytes, sha256, .. } = letters;
        Self { bytes: *bytes, rows: *records, sha256: sha256.clone(), commit, commits: None }
    }

    /// The commits whose rows an appending run put there.
    pub(crate) fn commits(&self) -> (i64, i64) {
        self.commits.unwrap_or((self.commit, self.commit))
    }
}
