//! Whether the pages of a list bring new keys. A server may give ever new links to rows that were read, with something in
//! them that differs each time.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use ctct_catalog::Report;

/// Keys that are remembered. Once there are more, only every second one is looked at, then every fourth, and so on.
const REMEMBERED: usize = 1 << 16;
/// Pages in a row, and keys in them, without a new one.
const PAGES: u32 = 3;
const KEYS: u32 = 24;

/// The keys of a list so far.
#[derive(Debug)]
pub(super) struct NewKeys {
    seen: HashSet<u64>,
    /// Of the keys' hashes, those that this divides are looked at.
    every: u64,
    old_pages: u32,
    old_keys: u32,
}

impl Default for NewKeys {
    fn default() -> Self {
        Self { seen: HashSet::new(), every: 1, old_pages: 0, old_keys: 0 }
    }
}

impl NewKeys {
    /// Takes note of a page's rows. Whether there has been nothing new for a while.
    ///
    /// # Errors
    /// The keys of the batch cannot be compared, which would be a defect of this program.
    pub(super) fn ended_with(&mut self, report: &Report, batch: &RecordBatch) -> Result<bool, ArrowError> {
        let columns: Vec<ArrayRef> = report.key.iter().filter_map(|name| batch.column_by_name(name).cloned()).collect();
        if columns.is_empty() || batch.num_rows() == 0 {
            return Ok(false);
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
        let (mut old, mut is_new) = (0, false);
        for row in &rows {
            let mut hasher = DefaultHasher::new();
            row.data().hash(&mut hasher);
            let hash = hasher.finish();
            if hash.is_multiple_of(self.every) {
                let is_first = self.seen.insert(hash);
                is_new |= is_first;
                old += u32::from(!is_first);
            }
        }
        if self.seen.len() > REMEMBERED {
            self.every *= 2;
            let every = self.every;
            self.seen.retain(|hash| hash.is_multiple_of(every));
        }
        if is_new {
            (self.old_pages, self.old_keys) = (0, 0);
        } else if old > 0 {
            self.old_pages += 1;
            self.old_keys += old;
        }
        // Where all keys are looked at, a small page says as much as a large one.
        Ok(self.old_pages >= PAGES && (self.every == 1 || self.old_keys >= KEYS))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::StringViewArray;
    use ctct_catalog::Catalog;

    use super::*;

    /// After how many pages of these keys it is over.
    fn read(pages: impl IntoIterator<Item = std::ops::Range<u32>>) -> Option<usize> {
        let report = Arc::clone(Catalog::embedded().unwrap().get("contacts").unwrap());
        let mut keys = NewKeys::default();
        pages.into_iter().position(|page| {
            let ids: StringViewArray = page.map(|key| Some(format!("{key:08}"))).collect();
            let batch = RecordBatch::try_from_iter([("contact_id", Arc::new(ids) as ArrayRef)]).unwrap();
            keys.ended_with(&report, &batch).unwrap()
        })
    }

    #[test]
    fn a_list_that_begins_again_ends_soon() {
        assert_eq!(read((0..).map(|_| 0..500)), Some(3));
        assert_eq!(read((0..).map(|_| 0..1)), Some(3));
        assert_eq!(read((0..).map(|page| page * 5 % 10..page * 5 % 10 + 5)), Some(4), "two pages by turns");
        // After many more keys than are remembered.
        let (pages, again) = (600_u32, 0..600_u32);
        let end = read((0..pages).chain(again).map(|page| page * 500..page * 500 + 500)).unwrap();
        assert!((600..640).contains(&end), "{end}");
    }

    #[test]
    fn a_list_that_goes_on_is_read_to_its_end() {
        assert_eq!(read((0..1_000).map(|page| page * 500..page * 500 + 500)), None);
        assert_eq!(read((0..1_000).map(|page| page * 250..page * 250 + 500)), None, "pages that overlap by half");
        assert_eq!(read((0..1_000).map(|_| 0..0)), None);
    }
}
