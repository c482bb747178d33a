//! An exact map from hashes of keys to what is known of them, of any size: what does not fit into its budget of memory goes
//! to a temporary file, as sorted runs.
//!
//! Eight runs of a level become one of the next, as in a log-structured merge tree, so that an entry is written again only as
//! often as the map has grown eightfold. A run has a Bloom filter, which keeps most lookups of what is not in it away from the
//! disk, and every 128th key in memory, so that any other lookup is one read of 5 kB.

mod run;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::error::LoadError;
pub(crate) use run::RunBuilder;
use run::{Entries, Run};

/// Entries that stay in memory: 6 MiB.
const MOST: usize = 114_000;
/// Runs of one level that become one of the next.
const FAN_IN: usize = 8;

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Hash of the key.
    pub(crate) key: u128,
    /// Hash of what it names.
    pub(crate) content: u64,
    /// An instant, in microseconds.
    pub(crate) at: i64,
    /// Tells which of two entries came later.
    pub(crate) order: i64,
}

/// What becomes of two entries of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combine {
    /// The one that was put in later stays.
    Newest,
    /// Their contents are added.
    Sum,
}

/// A map from keys to entries.
#[derive(Debug)]
pub(crate) struct Index {
    combine: Combine,
    most: usize,
    young: HashMap<u128, (u64, i64, i64), BuildHasherDefault<Hashed>>,
    /// The oldest first; levels never rise from one to the next.
    runs: Vec<Run>,
}

impl Index {
    pub(crate) fn new(combine: Combine) -> Self {
        Self::within(combine, MOST)
    }

    /// An index that keeps so many entries in memory.
    pub(crate) fn within(combine: Combine, most: usize) -> Self {
        Self { combine, most, young: HashMap::default(), runs: Vec::new() }
    }

    /// An index of one sorted run.
    pub(crate) fn of_run(builder: RunBuilder) -> Result<Self, LoadError> {
        let mut index = Self::new(Combine::Newest);
        index.runs.extend(builder.finish(usize::MAX)?);
        Ok(index)
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: u128) -> Result<Option<Entry>, LoadError> {
        let mut found = self.young.get(&key).map(|value| entry(key, *value));
        for run in self.runs.iter().rev() {
            if found.is_some() && self.combine == Combine::Newest {
                break;
            }
            if let Some(older) = run.get(key)? {
                found = Some(found.map_or(older, |newer| self.combined(older, newer)));
            }
        }
        Ok(found)
    }

    /// Puts an entry in.
    pub(crate) fn insert(&mut self, new: Entry) -> Result<(), LoadError> {
        let combine = self.combine;
        self.young
            .entry(new.key)
            .and_modify(|value| {
                let content = if combine == Combine::Sum { value.0.wrapping_add(new.content) } else { new.content };
                *value = (content, new.at, new.order);
            })
            .or_insert((new.content, new.at, new.order));
        if self.young.len() >= self.most { self.spill() } else { Ok(()) }
    }

    /// Whether nothing was ever put in.
    pub(crate) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.runs.is_empty()
    }

    /// All entries in the order of their keys, each key once.
    pub(crate) fn sorted(&self) -> Result<Sorted<'_>, LoadError> {
        let mut sources: Vec<Entries<'_>> = self.runs.iter().map(Run::entries).collect();
        sources.push(Entries::of(self.young_sorted()));
        Sorted::new(self.combine, sources)
    }

    /// The entries of this map and of a newer one; where both have a key, the newer one's stays.
    pub(crate) fn sorted_with<'a>(&'a self, newer: &'a Self) -> Result<Sorted<'a>, LoadError> {
        let mut sources: Vec<Entries<'_>> = self.runs.iter().map(Run::entries).collect();
        sources.push(Entries::of(self.young_sorted()));
        sources.extend(newer.runs.iter().map(Run::entries));
        sources.push(Entries::of(newer.young_sorted()));
        Sorted::new(Combine::Newest, sources)
    }

    fn young_sorted(&self) -> Vec<Entry> {
        let mut young: Vec<Entry> = self.young.iter().map(|(key, value)| entry(*key, *value)).collect();
        young.sort_unstable_by_key(|entry| entry.key);
        young
    }

    fn spill(&mut self) -> Result<(), LoadError> {
        let mut builder = RunBuilder::new(0, self.young.len());
        for entry in self.young_sorted() {
            builder.push(entry)?;
        }
        self.young.clear();
        self.runs.extend(builder.finish(0)?);
        while let Some(level) = self.full_level() {
            let first = self.runs.partition_point(|run| run.level() > level);
            let entries = self.runs[first..].iter().map(Run::count).sum();
            let mut builder = RunBuilder::new(level + 1, entries);
            for entry in Sorted::new(self.combine, self.runs[first..].iter().map(Run::entries).collect())? {
                builder.push(entry?)?;
            }
            self.runs.truncate(first);
            self.runs.extend(builder.finish(0)?);
        }
        Ok(())
    }

    /// The level of the newest runs, where there are enough of it.
    fn full_level(&self) -> Option<u32> {
        let level = self.runs.last()?.level();
        (self.runs.iter().rev().take_while(|run| run.level() == level).count() >= FAN_IN).then_some(level)
    }

    fn combined(&self, older: Entry, newer: Entry) -> Entry {
        combined(self.combine, older, newer)
    }
}

fn entry(key: u128, (content, at, order): (u64, i64, i64)) -> Entry {
    Entry { key, content, at, order }
}

fn combined(combine: Combine, older: Entry, newer: Entry) -> Entry {
    match combine {
        Combine::Newest => newer,
        Combine::Sum => Entry { content: older.content.wrapping_add(newer.content), ..newer },
    }
}

/// Entries of several sorted sources in the order of their keys, each key once.
pub(crate) struct Sorted<'a> {
    combine: Combine,
    /// The oldest first.
    sources: Vec<Entries<'a>>,
    /// The next key of each source and its number.
    heads: BinaryHeap<Reverse<(u128, usize)>>,
    next: Vec<Option<Entry>>,
}

impl<'a> Sorted<'a> {
    fn new(combine: Combine, sources: Vec<Entries<'a>>) -> Result<Self, LoadError> {
        let next = sources.iter().map(|_| None).collect();
        let mut sorted = Self { combine, sources, heads: BinaryHeap::new(), next };
        for source in 0..sorted.sources.len() {
            sorted.advance(source)?;
        }
        Ok(sorted)
    }

    fn advance(&mut self, source: usize) -> Result<(), LoadError> {
        self.next[source] = self.sources[source].next()?;
        if let Some(entry) = &self.next[source] {
            self.heads.push(Reverse((entry.key, source)));
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Entry>, LoadError> {
        let mut found: Option<Entry> = None;
        while let Some(Reverse((key, source))) = self.heads.peek().copied() {
            if found.is_some_and(|found| found.key != key) {
                break;
            }
            self.heads.pop();
            // Of one key the oldest source comes first.
            if let Some(newer) = self.next[source] {
                found = Some(found.map_or(newer, |older| combined(self.combine, older, newer)));
            }
            self.advance(source)?;
        }
        Ok(found)
    }
}

impl Iterator for Sorted<'_> {
    type Item = Result<Entry, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take().transpose()
    }
}

/// Keys are hashes already.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn write_u128(&mut self, key: u128) {
        self.0 = (key as u64) ^ ((key >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A number as a hash.
    fn hash(number: u64) -> u128 {
        let mixed = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        mixed ^ (mixed >> 61)
    }

    fn at(number: u64, content: u64) -> Entry {
        Entry { key: hash(number), content, at: content.cast_signed(), order: 0 }
    }

    #[test]
    fn two_million_entries_are_found_again_within_a_budget_for_a_hundredth_of_them() {
        let most = 50_000;
        let mut index = Index::within(Combine::Newest, most);
        for number in 0..2_000_000 {
            index.insert(at(number, number)).unwrap();
        }
        // Some are replaced, far from where they were put in.
        for number in (0..2_000_000).step_by(1000) {
            index.insert(at(number, number + 1)).unwrap();
        }
        assert!(index.young.len() < most && index.runs.len() < 3 * FAN_IN, "{}", index.runs.len());
        for number in (0..2_000_000_u64).step_by(777) {
            let content = number + u64::from(number.is_multiple_of(1000));
            assert_eq!(index.get(hash(number)).unwrap(), Some(at(number, content)), "{number}");
        }
        for number in 2_000_000..2_010_000 {
            assert_eq!(index.get(hash(number)).unwrap(), None, "{number}");
        }
        let mut last = None;
        let mut count = 0;
        for entry in index.sorted().unwrap() {
            let key = entry.unwrap().key;
            assert!(last.is_none_or(|last| last < key));
            last = Some(key);
            count += 1;
        }
        assert_eq!(count, 2_000_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_index_is_a_map(steps in prop::collection::vec((0..60_u64, 0..9_u64), 0..400), most in 5..40_usize) {
            for combine in [Combine::Newest, Combine::Sum] {
                let mut index = Index::within(combine, most);
                let mut model: BTreeMap<u128, u64> = BTreeMap::new();
                for (number, content) in &steps {
                    index.insert(at(*number, *content)).unwrap();
                    let old = model.entry(hash(*number)).or_default();
                    *old = if combine == Combine::Sum { *old + content } else { *content };
                }
                for number in 0..60 {
                    let found = index.get(hash(number)).unwrap().map(|entry| entry.content);
                    prop_assert_eq!(found, model.get(&hash(number)).copied());
                }
                let all: Vec<(u128, u64)> =
                    index.sorted().unwrap().map(|entry| entry.map(|entry| (entry.key, entry.content)).unwrap()).collect();
                prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
            }
        }

        #[test]
        fn the_newer_of_two_maps_counts(
            old in prop::collection::vec((0..40_u64, 0..9_u64), 0..90), new in prop::collection::vec((0..40_u64, 10..19_u64), 0..90),
        ) {
            let mut indices = [&old, &new].map(|steps| {
                let mut index = Index::within(Combine::Newest, 7);
                for (number, content) in steps {
                    index.insert(at(*number, *content)).unwrap();
                }
                index
            });
            let model: BTreeMap<u128, u64> =
                old.iter().chain(&new).map(|(number, content)| (hash(*number), *content)).collect();
            let [old, new] = &mut indices;
            let all: Vec<(u128, u64)> =
                old.sorted_with(new).unwrap().map(|entry| entry.map(|entry| (entry.key, entry.content)).unwrap()).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
