//! What is decided before anything is merged: which versions are older than the one that counts, and which rows go from one
//! partition to another.
//!
//! ```text
//! the run's rows and the stored ones of each partition, in outline -> older versions, and rows that are not stored there
//!                    rows that are not stored there -> the other partitions -> rows that move
//! ```
//!
//! A column that divides a report is held to stay as it is as long as a row lives. Where the API breaks that, the row is
//! looked for in all partitions that its key may be in, and leaves the one that it was in. A run that brings only rows that
//! are stored where it puts them looks for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_row::OwnedRow;
use object_store::ObjectMeta;
use tokio::runtime::Handle;

use crate::destination::Destination;
use crate::error::LoadError;
use crate::files::read::StoredFile;
use crate::log::manifest::Manifest;
use crate::merge::block::{Block, Cursor, Span, each_row};
use crate::merge::columns::Shape;
use crate::merge::group::{Moves, Verdict};
use crate::merge::mentions::{Mention, MentionShape, Mentions};
use crate::merge::outline::Parents;
use crate::merge::runs::DeltaRun;
use crate::merge::stored::{StoredBlocks, TableFile};

/// Judges the versions that a run brings.
pub(crate) struct Judge<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) shape: &'a Shape,
    pub(crate) parents: &'a Parents,
    /// Partitions that the run brought rows for.
    pub(crate) touched: &'a BTreeSet<u32>,
    /// The stored file of the report's own table in each partition.
    pub(crate) stored: &'a BTreeMap<u32, ObjectMeta>,
    /// What these files are.
    pub(crate) manifest: &'a Manifest,
    /// For each partition which others may hold the same key: those with the same number. `None` where a key says in which
    /// partition its row is.
    pub(crate) families: Option<&'a [u32]>,
    /// Whether a version may be older than the stored one. What a run reads to take the place of everything may not.
    pub(crate) compares_stored: bool,
    /// Arrow bytes that may be in memory.
    pub(crate) memory_bytes: usize,
}

/// A stored row that is open.
struct Open {
    changed: Option<i64>,
    /// When the last of the key's versions began or ended, with history.
    until: i64,
}

impl Judge<'_> {
    /// Adds to the verdict what follows from all rows together. Blocks on the store: for a thread that does not drive tokio,
    /// within a runtime.
    pub(crate) fn judge(&self, verdict: &mut Verdict) -> Result<(), LoadError> {
        if self.families.is_none() && self.shape.changed.is_empty() && verdict.unsure.is_empty() {
            return Ok(());
        }
        let keys = MentionShape::of(self.shape)?;
        let mut strange = Mentions::new(&keys, self.memory_bytes);
        let mut told = BTreeSet::new();
        for partition in self.touched {
            if self.partition(*partition, verdict, &mut strange)? {
                told.insert(*partition);
            }
        }
        if self.families.is_some() && !strange.is_empty() {
            let strange = strange.finish()?;
            let moves = self.moves(&keys, &strange, verdict, &mut told)?;
            verdict.moves = moves.map(|(run, partitions)| Moves { run, columns: keys.into_columns(), partitions });
        }
        told.into_iter().try_for_each(|partition| self.prove(partition))
    }

    /// Refuses a stored file that is not the one that was written: what it told would leave out what the run brought, and
    /// nothing would read all of the file.
    fn prove(&self, partition: u32) -> Result<(), LoadError> {
        let Some(object) = self.stored.get(&partition) else { return Ok(()) };
        let file = StoredFile::new(self.destination, object.clone());
        let proof = self.manifest.get(file.path()).cloned();
        Handle::current().block_on(file.proven(proof.as_ref())).map(drop)
    }

    /// Judges the versions of one partition, and gathers those of rows that are not stored there. Tells whether one is left out
    /// because of what is stored.
    fn partition(&self, partition: u32, verdict: &mut Verdict, strange: &mut Mentions<'_>) -> Result<bool, LoadError> {
        let mut told = false;
        let outline = &self.parents.outline;
        let opened = self.open(partition)?;
        let mut stored = opened.as_ref().map(|table| Cursor::new(table.blocks(false)));
        let mut came = self.parents.rows(partition);
        while let Some((block, row)) = came.peek()? {
            let key = block.key(row).owned();
            let versions = came.take_equal(key.row())?;
            let open = match &mut stored {
                Some(stored) => self.find(stored, &key)?,
                None => None,
            };
            let mut is_in = open.is_some();
            for (block, row) in each_row(&versions) {
                let sequence = block.sequences[row];
                if verdict.unsure.contains(sequence) && !is_in {
                    verdict.outside.insert(sequence);
                }
                is_in = !verdict.outside.contains(sequence);
            }
            let stored = open.as_ref().filter(|_| self.compares_stored).and_then(|open| open.changed);
            let mut newest = stored;
            for (block, row) in each_row(&versions) {
                let changed = outline.changed(block, row);
                told |= is_older(changed, stored);
                if is_older(changed, newest) {
                    verdict.outdated.insert(block.sequences[row]);
                }
                newest = newest.max(changed);
            }
            if let Some(families) = self.families.filter(|_| open.is_none()) {
                let family = families[partition as usize];
                each_row(&versions).try_for_each(|(block, row)| {
                    strange.push((block, row), self.version(block, row, partition, family))
                })?;
            }
        }
        Ok(told)
    }

    fn version(&self, block: &Block, row: usize, place: u32, division: u32) -> Mention {
        let changed = self.parents.outline.changed(block, row);
        Mention { at: block.extracted_at(row), changed, place, division, sequence: block.sequences[row] }
    }

    fn open(&self, partition: u32) -> Result<Option<TableFile<'_>>, LoadError> {
        let Some(object) = self.stored.get(&partition) else { return Ok(None) };
        let file = StoredFile::new(self.destination, object.clone());
        TableFile::open_outline(file, self.shape, &self.parents.outline).map(Some)
    }

    /// The open row of a key among the next stored rows.
    fn find(&self, stored: &mut Cursor<StoredBlocks<'_>>, key: &OwnedRow) -> Result<Option<Open>, LoadError> {
        loop {
            if stored.is_between_blocks() {
                stored.blocks.skip_below(key.row());
            }
            if stored.take_below(Some(key.row()))?.is_none() {
                break;
            }
        }
        let spans: Vec<Span> = stored.take_equal(key.row())?;
        let outline = &self.parents.outline;
        let until = each_row(&spans).filter_map(|(block, row)| outline.held_until(block, row)).max();
        let open = each_row(&spans).filter(|(block, row)| outline.is_open(block, *row));
        let changed = open.map(|(block, row)| outline.changed(block, row)).reduce(Option::max);
        Ok(changed.map(|changed| Open { changed, until: until.unwrap_or(i64::MIN) }))
    }

    /// Looks for the rows in other partitions; what moves, and between which.
    fn moves(
        &self,
        keys: &MentionShape,
        strange: &DeltaRun,
        verdict: &mut Verdict,
        told: &mut BTreeSet<u32>,
    ) -> Result<Option<(DeltaRun, BTreeSet<u32>)>, LoadError> {
        let families = self.families.unwrap_or_default();
        let (elsewhere, also) = self.elsewhere(keys, strange, families)?;
        let mut moves = Mentions::new(keys, self.memory_bytes);
        let mut partitions = BTreeSet::new();
        for family in families.iter().copied().collect::<BTreeSet<u32>>() {
            let mut versions = keys.rows(strange, family);
            let (mut also, mut elsewhere) = (keys.rows(&also, family), keys.rows(&elsewhere, family));
            while let Some((block, row)) = versions.peek()? {
                let key = block.key(row).owned();
                let of_key = |spans: &[Span]| -> Vec<(Mention, Arc<Block>, usize)> {
                    let mention =
                        |(block, row): (&Arc<Block>, usize)| (keys.mention(block, row, family), Arc::clone(block), row);
                    each_row(spans).map(mention).collect()
                };
                let mut came = of_key(&versions.take_equal(key.row())?);
                came.extend(of_key(&also.take_equal(key.row())?));
                came.sort_by_key(|(version, ..)| version.sequence);
                let stored = of_key(&elsewhere.take_equal(key.row())?);
                let stored: Vec<Mention> = stored.into_iter().map(|(mention, ..)| mention).collect();

                let mut newest =
                    stored.iter().filter_map(|stored| stored.changed.filter(|_| self.compares_stored)).max();
                let mut from = stored.iter().map(|stored| stored.at).max().unwrap_or(i64::MIN);
                let mut has_left = false;
                let mut places: Vec<u32> = stored.iter().map(|stored| stored.place).collect();
                for (version, block, row) in came {
                    if is_older(version.changed, newest) {
                        verdict.outdated.insert(version.sequence);
                        told.extend(stored.iter().map(|stored| stored.place));
                        continue;
                    }
                    newest = newest.max(version.changed);
                    from = version.at.max(from.saturating_add(1));
                    let note = |place: u32| Mention { at: from, division: place, place, ..version };
                    for left in places.iter().filter(|place| **place != version.place) {
                        self.refuse_unknown_lists(verdict, *left, version.sequence)?;
                        moves.push((&block, row), note(*left))?;
                        partitions.insert(*left);
                        has_left = true;
                    }
                    // It begins where the one that it left ended, whatever the clocks of their hosts said.
                    if has_left && from > version.at {
                        moves.push((&block, row), note(version.place))?;
                    }
                    places = vec![version.place];
                }
            }
        }
        Ok(if moves.is_empty() { None } else { Some((moves.finish()?, partitions)) })
    }

    /// Refuses to move a row whose lists are not all known: what is stored of them would be left behind.
    fn refuse_unknown_lists(&self, verdict: &Verdict, left: u32, sequence: u64) -> Result<(), LoadError> {
        if verdict.absent.iter().all(|absent| !absent.contains(sequence)) {
            return Ok(());
        }
        let path = self.stored.get(&left).map_or("", |object| self.destination.relative(&object.location));
        Err(LoadError::Moved {
            path: self.destination.shown(path),
            reason: "one of the row's lists did not come with it, and what is stored of the list would be left behind"
                .to_owned(),
        })
    }

    /// Where rows stand that are not stored in the partition that the run has them in; and the versions of these rows that
    /// the run has in the partitions where they stand.
    fn elsewhere(
        &self,
        keys: &MentionShape,
        strange: &DeltaRun,
        families: &[u32],
    ) -> Result<(DeltaRun, DeltaRun), LoadError> {
        let mut elsewhere = Mentions::new(keys, self.memory_bytes);
        let mut also = Mentions::new(keys, self.memory_bytes);
        for partition in self.stored.keys() {
            let family = families[*partition as usize];
            let mut versions = keys.rows(strange, family);
            if versions.peek()?.is_none() {
                continue;
            }
            let opened = self.open(*partition)?;
            let mut stored = opened.as_ref().map(|table| Cursor::new(table.blocks(false)));
            let mut came = self.parents.rows(*partition);
            while let Some((block, row)) = versions.peek()? {
                let key = block.key(row).owned();
                let spans = versions.take_equal(key.row())?;
                let strangers =
                    |(block, row): (&Arc<Block>, usize)| keys.mention(block, row, family).place != *partition;
                let (Some(stored), true) = (&mut stored, each_row(&spans).any(strangers)) else { continue };
                let Some(open) = self.find(stored, &key)? else { continue };
                let Some((block, row)) = each_row(&spans).next() else { continue };
                let mention =
                    Mention { at: open.until, changed: open.changed, place: *partition, division: family, sequence: 0 };
                elsewhere.push((block, row), mention)?;
                while came.take_below(Some(key.row()))?.is_some() {}
                for (block, row) in each_row(&came.take_equal(key.row())?) {
                    also.push((block, row), self.version(block, row, *partition, family))?;
                }
            }
        }
        Ok((elsewhere.finish()?, also.finish()?))
    }
}

/// Whether a version changed before the newest one. What has no instant came later.
fn is_older(changed: Option<i64>, newest: Option<i64>) -> bool {
    matches!((changed, newest), (Some(changed), Some(newest)) if changed < newest)
}
