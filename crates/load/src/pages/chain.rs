//! Which of the kept objects belong together, and which of the pages in them follow each other.
//!
//! Several runs may have kept pages in one folder: one after the other, each resuming where the one before had stopped,
//! or two at once. Pages of two runs that resumed from the same place must not be mixed: cursors are positions, and rows
//! move between the two readings. The names tell. A run begins with a sequence number above all that it found, so whatever
//! has a smaller one than a run's first object was there before it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use super::KeptPage;

/// An object in a folder of pages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    pub(super) sequence: u64,
    pub(super) run: String,
    /// Relative to the destination.
    pub(super) path: String,
    /// Compressed size.
    pub(super) bytes: u64,
}

impl Object {
    /// What a path names; `None` where it is no object of pages.
    pub(super) fn from_path(path: &str, bytes: u64) -> Option<Self> {
        let name = path.rsplit('/').next()?.strip_suffix(".zst")?;
        let (digits, run) = name.split_once('-')?;
        let sequence = (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)?;
        Some(Self { sequence: sequence.parse().ok()?, run: run.to_owned(), path: path.to_owned(), bytes })
    }

    /// The path of an object.
    pub(super) fn path(folder: &str, sequence: u64, run: &str) -> String {
        format!("{folder}/{sequence:020}-{run}.zst")
    }
}

/// The objects of a run and of the runs that it resumed from, in order. Without a run, those of the one that wrote last.
pub(super) fn line(mut objects: Vec<Object>, run: Option<&str>) -> Vec<Object> {
    objects.sort_unstable();
    let mut line = Vec::new();
    let mut run = run.map(str::to_owned);
    // From the last run back: each resumed from what has a smaller sequence number than its own first.
    while let Some(last) = objects.last() {
        let run = run.take().unwrap_or_else(|| last.run.clone());
        if let Some(first) = objects.iter().find(|object| object.run == run).map(|object| object.sequence) {
            line.extend(objects.iter().filter(|object| object.run == run).rev().cloned());
            objects.retain(|object| object.sequence < first);
        }
    }
    line.reverse();
    line
}

/// How far the kept pages of a crawl go.
#[derive(Clone, PartialEq, Eq)]
pub struct CrawlEnd {
    /// Number of the last page.
    pub number: u32,
    /// Its link to the next; `None` where the crawl is complete.
    pub next: Option<String>,
}

/// Without the link, which holds the filters.
impl fmt::Debug for CrawlEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrawlEnd").field("number", &self.number).field("complete", &self.next.is_none()).finish()
    }
}

/// Follows the pages of a line of runs.
#[derive(Debug, Default)]
pub(super) struct Chains {
    ends: BTreeMap<String, CrawlEnd>,
    /// Of crawls with a gap, the last page behind it.
    left_out: BTreeMap<String, u32>,
}

impl Chains {
    /// Takes the page, if it is the next of its crawl. One that lies behind a gap is left out, and so is one that was
    /// taken before. A first page begins its crawl again: a run had to start it over.
    pub(super) fn take(&mut self, page: &KeptPage) -> bool {
        let end = CrawlEnd { number: page.number, next: page.next.clone() };
        match self.ends.entry(page.crawl.clone()) {
            Entry::Vacant(none) if page.number == 1 => _ = none.insert(end),
            Entry::Occupied(mut last) if page.number == 1 || page.number.checked_sub(1) == Some(last.get().number) => {
                last.insert(end);
            }
            _ => {
                let left_out = self.left_out.entry(page.crawl.clone()).or_default();
                *left_out = page.number.max(*left_out);
                return false;
            }
        }
        true
    }

    pub(super) fn ends(&self) -> &BTreeMap<String, CrawlEnd> {
        &self.ends
    }

    /// Whether pages lie behind a gap that no later run closed.
    pub(super) fn has_gap(&self) -> bool {
        let end = |crawl: &str| self.ends.get(crawl).map_or(0, |end| end.number);
        self.left_out.iter().any(|(crawl, number)| *number > end(crawl))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(objects: &str, run: Option<&str>) -> String {
        let objects = objects.split(' ').map(|name| {
            let (run, sequence) = name.split_at(1);
            Object::from_path(&Object::path("f", sequence.parse().unwrap(), run), 0).unwrap()
        });
        let line = line(objects.collect(), run);
        line.iter().map(|object| format!("{}{}", object.run, object.sequence)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_line_is_a_run_and_those_that_it_went_on_from() {
        for (objects, want) in [
            ("a0 a1 a2", "a0 a1 a2"),
            ("a0 a1 b2 b3 c4", "a0 a1 b2 b3 c4"),
            // Two at once from the same place: the one that wrote last.
            ("a0 a1 b2 c2 c3 b3 b4", "a0 a1 b2 b3 b4"),
            ("a0 a1 b2 b3 c2", "a0 a1 b2 b3"),
            ("b0 c0", "c0"),
            // One that began later, while an older one still wrote.
            ("a0 b1 a1 a2 b2 b3", "a0 b1 b2 b3"),
            ("a0 b1 a1 b2 a2 a3", "a0 a1 a2 a3"),
            // And the next resumes from the one that wrote last.
            ("a0 b1 a1 b2 a2 a3 d4", "a0 a1 a2 a3 d4"),
            ("a0 b1 a1 b2 b3 d4 d5", "a0 b1 b2 b3 d4 d5"),
        ] {
            assert_eq!(shown(objects, None), want, "{objects}");
        }
    }

    #[test]
    fn the_line_of_a_run_has_nothing_of_those_beside_it() {
        for (run, want) in [("b", "a0 b1 b3"), ("c", "a0 c1 c4"), ("a", "a0")] {
            assert_eq!(shown("a0 b1 c1 b3 c4", Some(run)), want);
        }
        assert_eq!(shown("a0 b1", Some("x")), "a0 b1", "a run that kept nothing itself resumed from what was there");
    }

    #[test]
    fn only_names_of_objects_are_objects() {
        for path in
            ["f/.DS_Store", "f/1-a.zst", "f/00000000000000000001.zst", "f/0000000000000000000x-a.zst", "f/x.zst"]
        {
            assert_eq!(Object::from_path(path, 0), None, "{path}");
        }
        let path = Object::path("f", u64::MAX, "019a-b");
        let object = Object::from_path(&path, 7).unwrap();
        assert_eq!((object.sequence, object.run.as_str(), object.bytes), (u64::MAX, "019a-b", 7));
    }
}
