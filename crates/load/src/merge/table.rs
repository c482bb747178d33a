//! Merges one partition of one table: the stored file, sorted by the report's key, with what a run brings, sorted alike.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, DynComparator, make_comparator};
use arrow::compute::SortOptions;
use arrow::error::ArrowError;

use crate::encode::FileTotals;
use crate::merge::block::{Block, Cursor, Span, count, each_row};
use crate::merge::columns::Shape;
use crate::merge::group::{Group, Groups, Parents};
use crate::merge::output::{NewFile, Output};
use crate::merge::runs::Run;
use crate::merge::stored::{StoredBlocks, StoredTable};
use crate::merge::{MergeTotals, Vanished};
use crate::read::StoredFile;
use crate::{Destination, LoadError};

/// One partition of one table, and what is to be merged there.
pub(crate) struct TableMerge<'a> {
    pub(crate) destination: &'a Destination,
    pub(crate) shape: &'a Shape,
    /// Number of the commit.
    pub(crate) version: i64,
    pub(crate) vanished: Vanished,
    pub(crate) partition: u32,
    pub(crate) delta: &'a Run,
    /// The run's parent rows; `None` in the report's own table.
    pub(crate) parents: Option<&'a Parents>,
    /// Where a new file goes, relative to the destination.
    pub(crate) path: String,
}

/// What merging came to.
pub(crate) struct Merged {
    /// The new file; `None` where nothing changed.
    pub(crate) file: Option<(String, FileTotals)>,
    pub(crate) totals: MergeTotals,
}

impl TableMerge<'_> {
    /// Merges with the stored file, if there is one. Blocks on the store: for a thread that does not drive tokio, within
    /// a runtime.
    pub(crate) fn run(&self, stored: Option<StoredFile>) -> Result<Merged, LoadError> {
        let stored = stored.map(|file| StoredTable::open(file, self.shape)).transpose()?;
        if stored.is_some() {
            let compared = self.walk(stored.as_ref(), None)?;
            if !compared.changed {
                return Ok(compared.merged);
            }
        }
        let file = NewFile::new(self.destination, self.shape, self.path.clone())?;
        Ok(self.walk(stored.as_ref(), Some(file))?.merged)
    }

    fn walk(&self, stored: Option<&StoredTable<'_>>, file: Option<NewFile>) -> Result<Walked, LoadError> {
        let mut walk = Walk {
            shape: self.shape,
            vanished: self.vanished,
            output: Output::new(self.shape, self.version, file),
            totals: MergeTotals::default(),
            comparators: None,
        };
        let walked = self.steps(stored, &mut walk);
        let changed = walk.output.changed();
        if walked.is_err() || !changed {
            walk.output.abort();
        }
        walked?;
        Ok(Walked { changed, merged: Merged { file: walk.output.finish()?, totals: walk.totals } })
    }

    fn steps(&self, stored: Option<&StoredTable<'_>>, walk: &mut Walk<'_>) -> Result<(), LoadError> {
        let all = walk.output.wants_all();
        let mut stored = stored.map(|table| Cursor::new(table.blocks(all || self.vanished != Vanished::Stay)));
        let mut groups = Groups::new(self.shape, self.delta, self.parents, self.partition);
        while let Some(group) = groups.next()? {
            let mut before = Vec::new();
            if let Some(stored) = &mut stored {
                walk.pass(stored, Some(&group))?;
                before = stored.take_equal(group.key.row())?;
            }
            walk.settle(&group, before)?;
            if walk.output.is_decided() {
                return Ok(());
            }
        }
        match &mut stored {
            Some(stored) => walk.pass(stored, None),
            None => Ok(()),
        }
    }
}

struct Walked {
    changed: bool,
    merged: Merged,
}

/// One pass over the rows.
struct Walk<'a> {
    shape: &'a Shape,
    vanished: Vanished,
    output: Output<'a>,
    totals: MergeTotals,
    comparators: Option<Comparators>,
}

/// Compares the content of rows of two blocks.
struct Comparators {
    left: Arc<Block>,
    right: Arc<Block>,
    columns: Vec<DynComparator>,
}

impl Walk<'_> {
    /// Deals with the stored rows before the group's key, or with all that are left: the run did not bring them.
    fn pass(&mut self, stored: &mut Cursor<StoredBlocks<'_>>, until: Option<&Group>) -> Result<(), LoadError> {
        let key = until.map(|group| group.key.row());
        let skips = self.vanished == Vanished::Stay && !self.output.wants_all();
        loop {
            if skips {
                // Only rows that have a counterpart are of interest.
                let Some(key) = key else { return Ok(()) };
                if stored.is_between_blocks() {
                    stored.blocks.skip_below(key);
                }
            }
            let Some(span) = stored.take_below(key)? else { return Ok(()) };
            match self.vanished {
                Vanished::Stay => self.output.keep(&span)?,
                Vanished::Marked(at) => self.mark(&span, at)?,
                Vanished::Gone(at) => self.go(&span, at)?,
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
        for (span, open) in span.divided(|row| self.is_open(&span.block, row)) {
            if !open {
                self.output.keep(&span)?;
                continue;
            }
            self.totals.deleted += span.len as u64;
            if self.shape.valid.is_some() {
                self.output.close(&span, at)?;
            } else {
                self.output.drop_rows();
            }
        }
        Ok(())
    }

    /// Brings what the run has for a key together with what is stored.
    fn settle(&mut self, group: &Group, stored: Vec<Span>) -> Result<(), LoadError> {
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        for span in stored {
            for (span, is_open) in span.divided(|row| self.is_open(&span.block, row)) {
                if is_open { open.push(span) } else { closed.push(span) }
            }
        }
        // Without history only the last version counts.
        let first = if self.shape.valid.is_some() { 0 } else { group.versions.len().saturating_sub(1) };

        // What holds, and each version that differs from the one before, with the instant from which it holds.
        let mut current: &[Span] = &open;
        let mut changes: Vec<(&[Span], i64)> = Vec::new();
        let mut from = self.after(&closed, self.after(&open, i64::MIN));
        for version in group.versions.iter().skip(first) {
            if !self.same(current, &version.rows)? {
                self.totals.replace(count(current), count(&version.rows));
                from = from.max(version.extracted_at);
                changes.push((&version.rows, from));
                current = &version.rows;
            }
        }
        if changes.is_empty() {
            self.totals.unchanged += count(&open) as u64;
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
