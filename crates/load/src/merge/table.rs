//! Merges one partition of a table: the stored file, sorted by the report's key, with what a run brings, sorted alike.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::Array;
use arrow_ord::ord::{DynComparator, make_comparator};
use arrow_schema::ArrowError;
use arrow_schema::SortOptions;
use tokio::runtime::Handle;

use crate::destination::Destination;
use crate::destination::folder::decode;
use crate::error::LoadError;
use crate::files::encode::FileTotals;
use crate::files::read::StoredFile;
use crate::log::manifest::Manifest;
use crate::log::reach::Reach;
use crate::merge::block::{Block, Cursor, Span, count, each_row};
use crate::merge::columns::Shape;
use crate::merge::group::{Group, Groups, Lane, Verdict, Version};
use crate::merge::lists::canonical;
use crate::merge::outline::Parents;
use crate::merge::output::{NewFile, Output};
use crate::merge::stored::{StoredBlocks, TableFile};
use crate::merge::{Leftover, MergeTotals};

/// One partition of a table, or of a list and those within it, and what is to be merged there. Lists within each other are
/// merged together: their rows name each other by their places, so that either none is written again or each that differs.
pub(crate) struct TableMerge<'a> {
    pub(crate) destination: &'a Destination,
    /// What the stored files are.
    pub(crate) manifest: &'a Manifest,
    /// The tables, a list before those within it.
    pub(crate) lanes: Vec<Lane<'a>>,
    /// Number of the commit.
    pub(crate) version: i64,
    pub(crate) leftover: Leftover,
    pub(crate) partition: u32,
    /// The run's parent rows; `None` in the report's own table.
    pub(crate) parents: Option<&'a Parents>,
    pub(crate) verdict: &'a Verdict,
    /// Which stored rows the run could have brought.
    pub(crate) reach: &'a Reach,
    /// Folders of the partition.
    pub(crate) folders: &'a str,
    /// For each table where a new file goes, relative to the destination.
    pub(crate) paths: Vec<String>,
}

/// What merging came to in one table.
pub(crate) struct Merged {
    /// The new file; `None` where nothing changed.
    pub(crate) file: Option<(String, FileTotals)>,
    pub(crate) totals: MergeTotals,
    /// Rows of the report's own table that were there and within reach, and are there no more because the run did not bring
    /// them.
    pub(crate) removed: u64,
    /// All rows that were there and within reach.
    pub(crate) stored: u64,
    /// Rows of the report's own table that were there, and left because they are not what the tables keep.
    pub(crate) left: u64,
}

impl<'a> TableMerge<'a> {
    /// Merges with the stored file of each table, if there is one. Blocks on the store: for a thread that does not drive
    /// tokio, within a runtime.
    pub(crate) fn run(&self, stored: Vec<Option<StoredFile>>) -> Result<Vec<Merged>, LoadError> {
        let opened = self.open(&stored)?;
        if opened.iter().any(Option::is_some) {
            let compared = self.walk(&opened, |_| Ok(None))?;
            if !compared.changed {
                return Ok(compared.merged);
            }
        }
        // What is written again must be what was written.
        let runtime = Handle::current();
        let proven = stored.into_iter().map(|file| file.map(|file| runtime.block_on(self.prove(file))).transpose());
        let opened = self.open(&proven.collect::<Result<Vec<_>, _>>()?)?;
        let file =
            |lane: usize| NewFile::new(self.destination, self.lanes[lane].shape, self.paths[lane].clone()).map(Some);
        Ok(self.walk(&opened, file)?.merged)
    }

    fn open(&self, stored: &[Option<StoredFile>]) -> Result<Vec<Option<TableFile<'_>>>, LoadError> {
        let open = |(file, lane): (&Option<StoredFile>, &Lane<'a>)| {
            file.clone().map(|file| TableFile::open(file, lane.shape)).transpose()
        };
        stored.iter().zip(&self.lanes).map(open).collect()
    }

    async fn prove(&self, file: StoredFile) -> Result<StoredFile, LoadError> {
        let proof = self.manifest.get(file.path());
        file.proven(proof).await
    }

    fn walk(
        &self,
        stored: &[Option<TableFile<'_>>],
        file: impl Fn(usize) -> Result<Option<NewFile>, LoadError>,
    ) -> Result<Walked, LoadError> {
        let mut tables = Vec::with_capacity(self.lanes.len());
        for (at, lane) in self.lanes.iter().enumerate() {
            tables.push(TableWalk {
                shape: lane.shape,
                leftover: self.leftover,
                output: Output::new(lane.shape, self.version, file(at)?),
                totals: MergeTotals::default(),
                comparators: None,
                reach: Within { reach: self.reach, folders: self.folders, known: None, of_period: None },
                counts: self.parents.is_none(),
                removed: 0,
                stored: 0,
                left: 0,
            });
        }
        let mut walk = Walk { lanes: &self.lanes, tables };
        let walked = self.steps(stored, &mut walk);
        let mut done = Walked { changed: false, merged: Vec::new() };
        let mut failed = walked.err();
        for TableWalk { mut output, totals, removed, stored, left, .. } in walk.tables {
            let changed = output.changed();
            done.changed |= changed;
            if failed.is_some() || !changed {
                output.abort();
            }
            match output.finish() {
                Ok(file) => done.merged.push(Merged { file, totals, removed, stored, left }),
                Err(error) => {
                    output.abort();
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(done), Err)
    }

    fn steps(&self, stored: &[Option<TableFile<'_>>], walk: &mut Walk<'_>) -> Result<(), LoadError> {
        let all = walk.tables.iter().any(|table| table.output.wants_all()) || self.leftover != Leftover::Stay;
        let blocks = stored.iter().map(|table| table.as_ref().map(|table| Cursor::new(table.blocks(all))));
        let mut stored: Vec<_> = blocks.collect();
        let mut groups = Groups::new(&self.lanes, self.parents, self.verdict, self.partition);
        while let Some(group) = groups.next()? {
            let mut before = Vec::with_capacity(stored.len());
            for (table, stored) in walk.tables.iter_mut().zip(&mut stored) {
                before.push(match stored {
                    Some(stored) => {
                        table.pass(stored, Some(&group))?;
                        stored.take_equal(group.key.row())?
                    }
                    None => Vec::new(),
                });
            }
            let left =
                if self.parents.is_none() && groups.leaves(&group) { walk.tables[0].living(&before[0]) } else { 0 };
            walk.tables[0].left += left;
            walk.settle(&group, before)?;
            if walk.is_decided() {
                return Ok(());
            }
        }
        for (table, stored) in walk.tables.iter_mut().zip(&mut stored) {
            if let Some(stored) = stored {
                table.pass(stored, None)?;
            }
        }
        Ok(())
    }
}

struct Walked {
    changed: bool,
    merged: Vec<Merged>,
}

/// One pass over the rows of tables that are merged together.
struct Walk<'a> {
    lanes: &'a [Lane<'a>],
    tables: Vec<TableWalk<'a>>,
}

/// One pass over the rows of one table.
struct TableWalk<'a> {
    shape: &'a Shape,
    leftover: Leftover,
    output: Output<'a>,
    totals: MergeTotals,
    comparators: Option<Comparators>,
    reach: Within<'a>,
    /// Whether it is the report's own table, whose rows are counted.
    counts: bool,
    removed: u64,
    stored: u64,
    left: u64,
}

/// Which stored rows the run could have brought.
struct Within<'a> {
    reach: &'a Reach,
    folders: &'a str,
    /// What was found for the rows of the last block.
    known: Option<(Arc<Block>, Vec<bool>)>,
    /// Which rows of the last block are of the period that the run asked for.
    of_period: Option<(Arc<Block>, Vec<bool>)>,
}

impl Within<'_> {
    fn count(&mut self, shape: &Shape, span: &Span) -> u64 {
        if *self.reach == Reach::default() {
            return span.len as u64;
        }
        if self.known.as_ref().is_none_or(|(block, _)| !Arc::ptr_eq(block, &span.block)) {
            let within = self.reach.within(&span.block.rows);
            self.known = Some((Arc::clone(&span.block), within));
        }
        let after = self.reach.changed_after.map_or(i64::MIN, |after| after.timestamp_micros());
        let changed = |row| shape.changed.iter().filter_map(|at| span.block.instant_or_none(*at, row)).max();
        let within = |row: &usize| {
            self.known.as_ref().is_some_and(|(_, within)| within[*row])
                && changed(*row).is_none_or(|changed| changed >= after)
        };
        if self.folders_are_out() { 0 } else { span.rows().filter(within).count() as u64 }
    }

    /// Whether a row is of the period that the run asked for. What the API tells of one day says nothing of the others.
    fn is_of_period(&mut self, block: &Arc<Block>, row: usize) -> bool {
        if self.reach.period.is_empty() {
            return true;
        }
        if self.of_period.as_ref().is_none_or(|(known, _)| !Arc::ptr_eq(known, block)) {
            let period = Reach { bound: self.reach.period.clone(), ..Reach::default() };
            self.of_period = Some((Arc::clone(block), period.within(&block.rows)));
        }
        let is_bound =
            |key: &str, value: &str| self.reach.period.iter().any(|(column, text)| column == key && *text != value);
        !self.levels().any(|(key, value)| is_bound(key, &value))
            && self.of_period.as_ref().is_some_and(|(_, rows)| rows[row])
    }

    /// Whether the folders name another value than those that the run asked for.
    fn folders_are_out(&self) -> bool {
        self.levels().any(|(key, value)| {
            let ids = self.reach.ids.as_ref().is_some_and(|(column, ids)| column == key && !ids.contains(&value));
            ids || self.reach.bound.iter().any(|(column, text)| column == key && *text != value)
        })
    }

    fn levels(&self) -> impl Iterator<Item = (&str, String)> {
        let levels = self.folders.split('/').filter_map(|level| level.split_once('='));
        levels.filter_map(|(key, value)| Some((key, decode(value)?)))
    }
}

/// Compares the content of rows of two blocks.
struct Comparators {
    left: Arc<Block>,
    right: Arc<Block>,
    columns: Vec<DynComparator>,
}

impl Walk<'_> {
    /// Whether all that was asked is known.
    fn is_decided(&self) -> bool {
        self.tables.iter().any(|table| table.output.is_decided())
    }

    /// Brings what the run has for a key together with what is stored in each table.
    fn settle(&mut self, group: &Group, stored: Vec<Vec<Span>>) -> Result<(), LoadError> {
        let mut settling: Vec<Settling<'_>> = Vec::with_capacity(stored.len());
        for (table, spans) in self.tables.iter().zip(stored) {
            settling.push(table.settling(spans));
        }
        // What holds, and each version that differs from the one before, with the instant from which it holds.
        let mut current: Vec<Vec<Span>> = settling.iter().map(|table| table.open.clone()).collect();
        for (rows, came) in self.versions(group) {
            if !self.differ(&current, &rows)? {
                continue;
            }
            for (at, rows) in rows.iter().enumerate() {
                let Some(rows) = *rows else { continue };
                let table = &mut self.tables[at];
                if table.same(&current[at], rows)? {
                    continue;
                }
                table.totals.replace(count(&current[at]), count(rows));
                let settling = &mut settling[at];
                // No two versions begin at once: each held for a while, and rows stay in the order of their time.
                settling.from = came.max(settling.from.saturating_add(1));
                settling.changes.push((rows, settling.from));
                current[at] = rows.to_vec();
            }
        }
        self.tables.iter_mut().zip(settling).try_for_each(|(table, settling)| table.settle(&settling))
    }

    /// The versions that count, with the rows of each table and the instant at which they came. Without history that is the
    /// last one, with the lists that came last where some did not come with it.
    fn versions<'g>(&self, group: &'g Group) -> Vec<(Vec<Option<&'g [Span]>>, i64)> {
        let rows = |version: &'g Version| version.rows.iter().map(Option::as_deref).collect::<Vec<_>>();
        if self.tables.iter().any(|table| table.shape.valid.is_some()) {
            return group.versions.iter().map(|version| (rows(version), version.from)).collect();
        }
        let Some((last, before)) = group.versions.split_last() else { return Vec::new() };
        let mut known = rows(last);
        for version in before.iter().rev() {
            if known.iter().all(Option::is_some) {
                break;
            }
            known.iter_mut().zip(&version.rows).for_each(|(known, rows)| *known = known.or(rows.as_deref()));
        }
        vec![(known, last.from)]
    }

    /// Whether rows that came differ from those that hold. The order of a list's rows does not count.
    fn differ(&mut self, current: &[Vec<Span>], came: &[Option<&[Span]>]) -> Result<bool, LoadError> {
        let mut alike = true;
        for ((table, current), came) in self.tables.iter_mut().zip(current).zip(came) {
            let Some(came) = *came else { continue };
            if count(current) != count(came) {
                return Ok(true);
            }
            alike = alike && table.same(current, came)?;
        }
        let Some(first) = self.lanes.first().filter(|lane| !alike && lane.shape.list.is_some()) else {
            return Ok(!alike);
        };
        let held: Vec<Option<&[Span]>> = current.iter().zip(came).map(|(held, came)| came.map(|_| &held[..])).collect();
        let failed = || first.shape.layout.arrow_error("compare");
        Ok(canonical(self.lanes, &held).map_err(failed())? != canonical(self.lanes, came).map_err(failed())?)
    }
}

/// What becomes of the rows of one key in one table.
struct Settling<'g> {
    open: Vec<Span>,
    closed: Vec<Span>,
    /// Versions that take the place of what is open, each with the instant from which it holds.
    changes: Vec<(&'g [Span], i64)>,
    /// The last instant so far at which a version began or ended.
    from: i64,
}

impl TableWalk<'_> {
    /// Deals with the stored rows before the group's key, or with all that are left: the run did not bring them.
    fn pass(&mut self, stored: &mut Cursor<StoredBlocks<'_>>, until: Option<&Group>) -> Result<(), LoadError> {
        let key = until.map(|group| group.key.row());
        let skips = self.leftover == Leftover::Stay && !self.output.wants_all();
        loop {
            if skips {
                // Only rows that have a counterpart are of interest.
                let Some(key) = key else { return Ok(()) };
                if stored.is_between_blocks() {
                    stored.blocks.skip_below(key);
                }
            }
            let Some(span) = stored.take_below(key)? else { return Ok(()) };
            match self.leftover {
                Leftover::Stay => self.output.keep(&span)?,
                Leftover::Marked(at) => self.mark(&span, at)?,
                Leftover::Gone(at) => self.go(&span, at)?,
            }
            if self.output.is_decided() {
                return Ok(());
            }
        }
    }

    /// Marks rows of the report's own table as deleted, but those that are marked already.
    fn mark(&mut self, span: &Span, at: i64) -> Result<(), LoadError> {
        let rows = &span.block;
        for (span, lives) in span.divided(|row| self.is_open(rows, row) && !self.is_marked(rows, row)) {
            if !lives {
                self.output.keep(&span)?;
                continue;
            }
            self.totals.deleted += span.len as u64;
            self.count(&span, true);
            if self.shape.valid.is_none() {
                self.output.mark(&span, at)?;
                continue;
            }
            for row in span.rows() {
                let row = Span { block: Arc::clone(&span.block), start: row, len: 1 };
                let at = self.after(std::slice::from_ref(&row), at);
                self.output.close(&row, at)?;
                self.output.mark(&row, at)?;
            }
        }
        Ok(())
    }

    /// Takes rows away, or with history ends them.
    fn go(&mut self, span: &Span, at: i64) -> Result<(), LoadError> {
        let of_period: Vec<bool> = span.rows().map(|row| self.reach.is_of_period(&span.block, row)).collect();
        let goes = |row: usize| of_period[row - span.start] && self.is_open(&span.block, row);
        for (span, goes) in span.divided(goes) {
            if !goes {
                self.output.keep(&span)?;
                continue;
            }
            self.totals.deleted += span.len as u64;
            for (span, marked) in span.divided(|row| self.is_marked(&span.block, row)) {
                if !marked {
                    self.count(&span, true);
                }
            }
            if self.shape.valid.is_some() {
                self.output.close(&span, at)?;
            } else {
                self.output.drop_rows();
            }
        }
        Ok(())
    }

    /// Counts rows that were there, and that are gone because the run did not bring them.
    fn count(&mut self, span: &Span, gone: bool) {
        if !self.counts || self.leftover == Leftover::Stay {
            return;
        }
        let rows = self.reach.count(self.shape, span);
        self.stored += rows;
        self.removed += if gone { rows } else { 0 };
    }

    /// How many of these rows hold and are not marked.
    fn living(&self, spans: &[Span]) -> u64 {
        let lives = |(block, row): &(&Arc<Block>, usize)| self.is_open(block, *row) && !self.is_marked(block, *row);
        each_row(spans).filter(lives).count() as u64
    }

    /// The stored rows of a key, before anything takes their place.
    fn settling<'g>(&self, stored: Vec<Span>) -> Settling<'g> {
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for span in stored {
            for (span, is_open) in span.divided(|row| self.is_open(&span.block, row)) {
                if is_open { open.push(span) } else { closed.push(span) }
            }
        }
        let from = self.after(&closed, self.after(&open, i64::MIN));
        Settling { open, closed, changes: Vec::new(), from }
    }

    /// Writes what became of the rows of a key.
    fn settle(&mut self, settling: &Settling<'_>) -> Result<(), LoadError> {
        let Settling { open, closed, changes, .. } = settling;
        for span in open {
            if !self.is_marked(&span.block, span.start) {
                self.count(span, false);
            }
        }
        if changes.is_empty() {
            self.totals.unchanged += count(open) as u64;
        }
        let output = &mut self.output;
        closed.iter().try_for_each(|span| output.keep(span))?;
        match changes.as_slice() {
            [] => open.iter().try_for_each(|span| output.keep(span)),
            [.., (last, _)] if self.shape.valid.is_none() => {
                output.drop_rows();
                last.iter().try_for_each(|span| output.add(span))
            }
            [(_, first), ..] => {
                open.iter().try_for_each(|span| output.close(span, *first))?;
                let ends = changes.iter().skip(1).map(|(_, from)| Some(*from)).chain([None]);
                for ((rows, from), until) in changes.iter().zip(ends) {
                    rows.iter().try_for_each(|span| output.add_version(span, *from, until))?;
                }
                Ok(())
            }
        }
    }

    /// The instant, or the last at which rows of history began or ended, if that is later. Hosts' clocks differ, but
    /// versions follow each other in the order in which they came.
    fn after(&self, rows: &[Span], instant: i64) -> i64 {
        let Some((from, to)) = self.shape.valid else { return instant };
        let last = |(block, row): (&Arc<Block>, usize)| {
            let column = if block.rows.column(to).is_null(row) { from } else { to };
            block.instant(column, row)
        };
        each_row(rows).map(last).fold(instant, i64::max)
    }

    /// Whether rows of two versions have the same content, and are not marked as deleted.
    fn same(&mut self, left: &[Span], right: &[Span]) -> Result<bool, LoadError> {
        if count(left) != count(right) {
            return Ok(false);
        }
        for ((left, left_row), (right, right_row)) in each_row(left).zip(each_row(right)) {
            if self.is_marked(left, left_row) {
                return Ok(false);
            }
            let known = |known: &Comparators| Arc::ptr_eq(&known.left, left) && Arc::ptr_eq(&known.right, right);
            let comparators = match self.comparators.take() {
                Some(comparators) if known(&comparators) => comparators,
                _ => Comparators::new(self.shape, left, right).map_err(self.shape.layout.arrow_error("compare"))?,
            };
            let differs = comparators.columns.iter().any(|compare| compare(left_row, right_row) != Ordering::Equal);
            self.comparators = Some(comparators);
            if differs {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the row holds, and is not a version of the past.
    fn is_open(&self, block: &Block, row: usize) -> bool {
        self.shape.valid.is_none_or(|(_, to)| block.rows.column(to).is_null(row))
    }

    fn is_marked(&self, block: &Block, row: usize) -> bool {
        self.shape.deleted.is_some_and(|(at, _)| block.rows.column(at).is_valid(row))
    }
}

impl Comparators {
    fn new(shape: &Shape, left: &Arc<Block>, right: &Arc<Block>) -> Result<Self, ArrowError> {
        let column =
            |at: &usize| make_comparator(left.rows.column(*at), right.rows.column(*at), SortOptions::default());
        let columns = shape.content.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Self { left: Arc::clone(left), right: Arc::clone(right), columns })
    }
}
