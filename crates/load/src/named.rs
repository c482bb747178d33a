//! What the commit records that are kept say of files: which they name, and which they took away.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{Commit, CommittedFile};

/// The files of some records, the oldest first. What commits before the first of them wrote is not among them.
#[derive(Debug)]
pub(crate) struct NamedFiles<'a> {
    live: BTreeMap<&'a str, (&'a Commit, &'a CommittedFile)>,
    removed: BTreeMap<&'a str, i64>,
    versions: BTreeSet<i64>,
}

impl<'a> NamedFiles<'a> {
    pub(crate) fn new(records: &'a [Commit]) -> Self {
        let mut live = BTreeMap::new();
        let mut removed = BTreeMap::new();
        for commit in records {
            if commit.rebuilt {
                live.clear();
            }
            for path in &commit.removed {
                live.remove(path.as_str());
                removed.insert(path.as_str(), commit.version);
            }
            live.extend(commit.files.iter().map(|file| (file.path.as_str(), (commit, file))));
        }
        Self { live, removed, versions: records.iter().map(|commit| commit.version).collect() }
    }

    /// The file as the record that last wrote it names it; `None` where no record does.
    pub(crate) fn get(&self, path: &str) -> Option<(&'a Commit, &'a CommittedFile)> {
        self.live.get(path).copied()
    }

    /// Every file that the tables should hold, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, (&'a Commit, &'a CommittedFile))> {
        self.live.iter().map(|(path, named)| (*path, *named))
    }

    /// Why a file that stands in a table should not, if the records tell: they do not name it, and `version`, which its
    /// footer has, does not excuse it.
    pub(crate) fn stray(&self, path: &str, version: i64) -> Option<String> {
        if self.live.contains_key(path) {
            return None;
        }
        match self.removed.get(path) {
            Some(by) => Some(format!("commit {by} took it away, and it is back")),
            None if self.versions.contains(&version) => {
                Some(format!("it is of commit {version}, whose record does not name it"))
            }
            None => None,
        }
    }
}
