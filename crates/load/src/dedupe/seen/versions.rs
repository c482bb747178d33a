//! Versions of records by their hashes: the newest of each key, and older ones that may come again.

use crate::dedupe::fingerprint;
use crate::dedupe::index::{Combine, Entry, Index, Sorted};
use crate::dedupe::seen::UNDATED;
use crate::error::LoadError;

/// The newest version of each key by the key's hash, and older ones by the hash of key and content.
#[derive(Debug)]
pub(super) struct Versions {
    index: Index,
}

impl Default for Versions {
    fn default() -> Self {
        Self { index: Index::new(Combine::Newest) }
    }
}

impl Versions {
    pub(super) fn of(index: Index) -> Self {
        Self { index }
    }

    /// The newest version of a key, or the version of a [`version_name`].
    pub(super) fn entry(&self, key: u128) -> Result<Option<Entry>, LoadError> {
        if self.index.is_empty() { Ok(None) } else { self.index.get(key) }
    }

    /// Puts in what takes the place of what has its key.
    pub(super) fn put(&mut self, entry: Entry) -> Result<(), LoadError> {
        self.index.insert(entry)
    }

    /// Puts in a version that is not the newest one of its key. Where nothing tells that it is older, it would be held to be
    /// a new version if it came again, so it need not be known.
    pub(super) fn put_version(&mut self, entry: Entry) -> Result<(), LoadError> {
        if entry.at == UNDATED { Ok(()) } else { self.index.insert(Entry { key: version_name(entry), ..entry }) }
    }

    /// Puts in a version of which it is not known yet whether it is the newest one of its key.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), LoadError> {
        match self.entry(entry.key)? {
            Some(newest) if precedes(entry, newest) => self.put_version(entry),
            Some(newest) if newest.content != entry.content => {
                self.put_version(newest)?;
                self.put(entry)
            }
            _ => self.put(entry),
        }
    }

    /// All entries.
    pub(super) fn entries(&self) -> Result<Sorted<'_>, LoadError> {
        self.index.sorted()
    }

    /// All entries; where newer versions have the same key, theirs.
    pub(super) fn entries_with<'a>(&'a self, newer: &'a Self) -> Result<Sorted<'a>, LoadError> {
        self.index.sorted_with(&newer.index)
    }
}

/// Whether a version is older than another one of its key: by its instant, and where those tell nothing, by its order.
pub(crate) fn precedes(version: Entry, other: Entry) -> bool {
    let dated = version.at != UNDATED && other.at != UNDATED;
    if dated && version.at != other.at { version.at < other.at } else { version.order < other.order }
}

/// What names a version that is not the newest one of its key.
pub(super) fn version_name(entry: Entry) -> u128 {
    fingerprint::of_numbers(entry.key, &[entry.content])
}
