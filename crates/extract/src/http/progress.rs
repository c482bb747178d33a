//! Whether a crawl gets anywhere. A server that hands out ever new links to what was read already would be followed until the
//! day's requests are used up, every day.

use std::collections::HashSet;

use crate::http::envelope::Envelope;

/// Pages in a row whose rows all came before, and rows on them. One such page can come of rows that were inserted meanwhile,
/// and small ones of events that are equal.
const REPEATED: u32 = 3;
const REPEATED_ROWS: u64 = 100;
/// Pages in a row without a row, or without another one. A filter that is applied after the page was cut may empty some.
const EMPTY: u32 = 50;
/// Pages more than the count says, beside half of it: rows come while others are read.
const SPARE_PAGES: u64 = 10;

/// What a crawl has brought.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Of the pages with rows.
    digests: HashSet<u64>,
    repeated: u32,
    /// Rows of the pages that repeat.
    repeated_rows: u64,
    empty: u32,
    rows: u64,
    /// The largest page, and the largest count of all rows.
    page: u64,
    counted: Option<u64>,
}

impl Progress {
    /// Takes note of a page that links to another.
    ///
    /// # Errors
    /// Why following the link makes no sense.
    pub(crate) fn page(&mut self, page: &Envelope) -> Result<(), String> {
        let rows = page.rows;
        self.rows += rows.count;
        self.page = self.page.max(rows.count);
        self.counted = self.counted.max(page.count);
        if rows.count == 0 {
            self.empty += 1;
        } else if self.digests.insert(rows.digest) {
            (self.empty, self.repeated, self.repeated_rows) = (0, 0, 0);
        } else {
            self.repeated += 1;
            self.repeated_rows += rows.count;
        }
        if self.repeated >= EMPTY || (self.repeated >= REPEATED && self.repeated_rows >= REPEATED_ROWS) {
            return Err(format!("{} pages in a row brought only rows that had come before", self.repeated));
        }
        if self.empty >= EMPTY {
            return Err(format!("{EMPTY} pages in a row brought no rows, and each links to another"));
        }
        match self.counted.filter(|counted| self.rows > counted + counted / 2 + SPARE_PAGES * self.page) {
            Some(counted) => Err(format!("{} rows came, of {counted} that the API counts", self.rows)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::envelope::Rows;

    /// How many of these pages, each as a digest and a number of rows, are read before the crawl ends.
    fn read(count: Option<u64>, pages: impl IntoIterator<Item = (u64, u64)>) -> usize {
        let mut progress = Progress::default();
        let page = |(digest, count_of_rows)| Envelope {
            next: Some("/v3".to_owned()),
            count,
            oldest: None,
            rows: Rows { count: count_of_rows, digest },
        };
        pages.into_iter().take(10_000).take_while(|of| progress.page(&page(*of)).is_ok()).count()
    }

    #[test]
    fn pages_that_bring_nothing_new_end_a_crawl_soon() {
        let same = |_| (7, 500);
        assert_eq!(read(None, (0..).map(same)), 3);
        assert_eq!(read(None, (0..).map(|at| (at % 2, 500))), 4, "two pages by turns");
        assert_eq!(read(None, (0..).map(|_| (0, 0))), 49);
        assert_eq!(read(None, (0..).map(|_| (7, 1))), 50, "small pages may hold equal events");
        assert_eq!(read(None, (0..).map(|at| (at.min(100), 500))), 103, "a tail that repeats");
        assert_eq!(read(Some(1_000), (0..).map(|at| (at, 500))), 13, "more than is counted");
        assert_eq!(read(Some(0), (0..).map(|at| (at, 1))), 10);
    }

    #[test]
    fn a_crawl_that_brings_something_goes_on() {
        assert_eq!(read(None, (0..).map(|at| (at, 500))), 10_000);
        // Rows that were inserted meanwhile push a page back, again and again.
        assert_eq!(read(None, (0..).map(|at| (at / 2, 500))), 10_000);
        assert_eq!(read(None, (0..).map(|at| (at, u64::from(at % 40 == 0)))), 10_000);
        assert_eq!(read(Some(500 * 9_000), (0..).map(|at| (at, 500))), 10_000);
    }
}
