//! One sorted run of entries, in memory or in a temporary file.

use super::Entry;
use crate::destination::scratch::Scratch;
use crate::error::LoadError;

/// Entries of a block, which a lookup reads.
const BLOCK: usize = 128;
/// Blocks that are read at once where all of a run is read.
const BLOCKS_AHEAD: usize = 16;
/// Bytes of an entry in a file.
const BYTES: usize = 40;
/// Bits of the filter for each entry, and how many of them an entry sets: one lookup in a hundred is in vain.
const BITS: usize = 10;
const PROBES: u64 = 5;

/// Entries in the order of their keys, each key once.
#[derive(Debug)]
pub(super) struct Run {
    level: u32,
    count: usize,
    place: EntryStore,
    filter: Filter,
    /// First key of each block.
    fences: Vec<u128>,
}

#[derive(Debug)]
enum EntryStore {
    Memory(Vec<Entry>),
    File(Scratch),
}

impl Run {
    pub(super) fn level(&self) -> u32 {
        self.level
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, key: u128) -> Result<Option<Entry>, LoadError> {
        if !self.filter.may_have(key) {
            return Ok(None);
        }
        let found = |entries: &[Entry]| {
            entries.binary_search_by_key(&key, |entry| entry.key).ok().and_then(|at| entries.get(at)).copied()
        };
        match &self.place {
            EntryStore::Memory(entries) => Ok(found(entries)),
            EntryStore::File(_) => {
                let Some(block) = self.fences.partition_point(|fence| *fence <= key).checked_sub(1) else {
                    return Ok(None);
                };
                Ok(found(&self.read(block * BLOCK, BLOCK)?))
            }
        }
    }

    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { run: Some(self), at: 0, read: Vec::new().into_iter() }
    }

    /// So many entries from a place on, or those that are left.
    fn read(&self, first: usize, most: usize) -> Result<Vec<Entry>, LoadError> {
        let last = (first + most).min(self.count);
        match &self.place {
            EntryStore::Memory(entries) => Ok(entries[first.min(last)..last].to_vec()),
            EntryStore::File(scratch) => {
                let mut bytes = vec![0; last.saturating_sub(first) * BYTES];
                scratch.read((first * BYTES) as u64, &mut bytes)?;
                Ok(bytes.chunks_exact(BYTES).map(decoded).collect())
            }
        }
    }
}

/// The entries of a run, one after the other.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    run: Option<&'a Run>,
    at: usize,
    read: std::vec::IntoIter<Entry>,
}

impl Entries<'_> {
    /// Entries that are there already.
    pub(super) fn of(sorted: Vec<Entry>) -> Self {
        Self { run: None, at: 0, read: sorted.into_iter() }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry>, LoadError> {
        if let Some(entry) = self.read.next() {
            return Ok(Some(entry));
        }
        let Some(run) = self.run.filter(|run| self.at < run.count) else { return Ok(None) };
        let read = run.read(self.at, BLOCKS_AHEAD * BLOCK)?;
        self.at += read.len();
        self.read = read.into_iter();
        Ok(self.read.next())
    }
}

/// Gathers a run from entries that come in the order of their keys.
#[derive(Debug)]
pub(crate) struct RunBuilder {
    level: u32,
    count: usize,
    scratch: Option<Scratch>,
    /// Entries that are not in the file yet.
    waiting: Vec<Entry>,
    fences: Vec<u128>,
    filter: Filter,
    last: Option<u128>,
}

impl RunBuilder {
    /// A run of a level that will have about so many entries.
    pub(crate) fn new(level: u32, entries: usize) -> Self {
        let (waiting, fences) = (Vec::new(), Vec::new());
        Self { level, count: 0, scratch: None, waiting, fences, filter: Filter::new(entries), last: None }
    }

    /// Adds an entry behind the others; `false` where it does not belong there.
    pub(crate) fn push(&mut self, entry: Entry) -> Result<bool, LoadError> {
        if self.last.is_some_and(|last| last >= entry.key) {
            return Ok(false);
        }
        self.last = Some(entry.key);
        if self.count.is_multiple_of(BLOCK) {
            self.fences.push(entry.key);
        }
        self.filter.add(entry.key);
        self.waiting.push(entry);
        self.count += 1;
        if self.waiting.len() >= IN_MEMORY {
            self.flush()?;
        }
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), LoadError> {
        let scratch = match &mut self.scratch {
            Some(scratch) => scratch,
            none => none.insert(Scratch::new()?),
        };
        for entries in self.waiting.chunks(BLOCKS_AHEAD * BLOCK) {
            let mut bytes = Vec::with_capacity(entries.len() * BYTES);
            for entry in entries {
                encode(entry, &mut bytes);
            }
            scratch.append(&bytes)?;
        }
        self.waiting.clear();
        Ok(())
    }

    /// The run, in memory where it has no more than so many entries and none is in a file yet; `None` where it has none.
    pub(super) fn finish(mut self, in_memory: usize) -> Result<Option<Run>, LoadError> {
        if self.count == 0 {
            return Ok(None);
        }
        let place = if self.scratch.is_none() && self.count <= in_memory {
            EntryStore::Memory(std::mem::take(&mut self.waiting))
        } else {
            self.flush()?;
            match self.scratch.take() {
                Some(scratch) => EntryStore::File(scratch),
                None => return Ok(None),
            }
        };
        let Self { level, count, fences, filter, .. } = self;
        Ok(Some(Run { level, count, place, filter, fences }))
    }
}

/// Entries that a run may have without a file: 1 MiB.
const IN_MEMORY: usize = 20_000;

/// A Bloom filter: tells of most keys that they are not there.
#[derive(Debug)]
struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// A filter for so many keys.
    fn new(keys: usize) -> Self {
        Self { words: vec![0; (keys.max(1) * BITS).div_ceil(64)] }
    }

    fn bits(&self) -> u64 {
        self.words.len() as u64 * 64
    }

    fn add(&mut self, key: u128) {
        for bit in places(key, self.bits()) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    fn may_have(&self, key: u128) -> bool {
        places(key, self.bits()).all(|bit| self.words[bit / 64] & (1 << (bit % 64)) != 0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "both halves of the key are used, and bits are counted in usize")]
fn places(key: u128, bits: u64) -> impl Iterator<Item = usize> {
    let (first, step) = (key as u64, (key >> 64) as u64 | 1);
    (0..PROBES).map(move |probe| (first.wrapping_add(probe.wrapping_mul(step)) % bits) as usize)
}

fn encode(entry: &Entry, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.key.to_le_bytes());
    bytes.extend_from_slice(&entry.content.to_le_bytes());
    bytes.extend_from_slice(&entry.at.to_le_bytes());
    bytes.extend_from_slice(&entry.order.to_le_bytes());
}

fn decoded(bytes: &[u8]) -> Entry {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    Entry {
        key: u128::from(word(0)) | (u128::from(word(8)) << 64),
        content: word(16),
        at: word(24).cast_signed(),
        order: word(32).cast_signed(),
    }
}
