//! What the commit records that are kept say of files: which they name, and which they took away.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::proof::Proof;
use crate::log::record::Commit;

/// A file by the log.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) proof: Proof,
    /// Where it waited for its commit, where a record tells.
    pub(crate) staged: Option<String>,
}

/// The files of some records, the oldest first, or of a manifest. What commits before the first of the records wrote is only in
/// the manifest.
#[derive(Debug)]
pub(crate) struct NamedFiles<'a> {
    live: BTreeMap<&'a str, Named>,
    removed: BTreeMap<&'a str, i64>,
    versions: BTreeSet<i64>,
    /// Whether nothing but what is named was ever written.
    complete: bool,
}

impl<'a> NamedFiles<'a> {
    pub(crate) fn new(records: &'a [Commit]) -> Self {
        let mut live: BTreeMap<&str, Named> = BTreeMap::new();
        let mut removed = BTreeMap::new();
        for commit in records {
            if commit.rebuilt {
                live.clear();
            }
            for path in &commit.removed {
                live.remove(path.as_str());
                removed.insert(path.as_str(), commit.version);
            }
            live.extend(commit.files.iter().map(|file| {
                let staged = Some(file.staged.clone()).filter(|staged| !staged.is_empty());
                (file.path.as_str(), Named { proof: Proof::of(file, commit.version), staged })
            }));
        }
        Self { live, removed, versions: records.iter().map(|commit| commit.version).collect(), complete: false }
    }

    /// The same by the files of the manifest of the newest of these records, which knows those of records that were pruned too.
    pub(crate) fn by(records: &'a [Commit], files: Option<impl Iterator<Item = (&'a str, &'a Proof)>>) -> Self {
        let named = Self::new(records);
        let Some(files) = files else { return named };
        let live = files.map(|(path, proof)| {
            let staged = named.get(path).and_then(|named| named.staged.clone());
            (path, Named { proof: proof.clone(), staged })
        });
        Self { live: live.collect(), complete: true, ..named }
    }

    /// The file as the record that last wrote it names it; `None` where no record does.
    pub(crate) fn get(&self, path: &str) -> Option<&Named> {
        self.live.get(path)
    }

    /// Every file that the tables should hold, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &Named)> {
        self.live.iter().map(|(path, named)| (*path, named))
    }

    /// Why a file that is in a table should not be, if the records tell: they do not name it, and `version`, which its
    /// footer has, does not excuse it.
    pub(crate) fn stray(&self, path: &str, version: i64) -> Option<String> {
        if self.live.contains_key(path) {
            return None;
        }
        match self.removed.get(path) {
            Some(by) => Some(format!("commit {by} removed it, and it is back")),
            None if self.versions.contains(&version) => {
                Some(format!("it says that it is of commit {version}, and the record of that commit does not list it"))
            }
            None if self.complete && self.versions.last().is_some_and(|newest| version <= *newest) => {
                Some("no commit names it".to_owned())
            }
            None => None,
        }
    }
}
