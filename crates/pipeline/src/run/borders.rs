//! Rows that come twice because something new came in while an id was read.
//!
//! A row that comes in at the top pushes all others down, and the last row of one page comes again as the first of the next
//! where cursors are positions. Equal events look just so where a page ends between them. Which of the two it was, the first
//! page tells when it is asked for once more: nothing new is at its top, and the rows are events of their own; so many
//! new ones are there, and so many rows at most are the same ones again. What is dropped in error, a later read of the
//! complete id brings; what would be counted twice in error, nothing takes away again.

use std::collections::HashMap;

use bytes::Bytes;
use ctct_catalog::{Duplicates, Report};
use ctct_extract::Page;
use serde_json::value::RawValue;

use super::unit::Unit;

/// The pages of one id of which some begin with rows that the page before ended with.
pub(super) struct Borders {
    /// Key of the list of rows.
    rows: String,
}

impl Borders {
    /// The borders of a unit; `None` where no page begins as the one before ended, or where keys name one row.
    pub(super) fn doubtful(report: &Report, unit: &Unit) -> Option<Self> {
        if report.duplicates != Some(Duplicates::Counted) || unit.len() < 2 {
            return None;
        }
        let borders = Self { rows: report.rows.clone()? };
        let pages: Vec<Vec<&RawValue>> = unit.iter().map(|page| borders.rows_of(page)).collect();
        let doubtful = pages.windows(2).any(|pair| overlap(&pair[0], &pair[1], usize::MAX) > 0);
        doubtful.then_some(borders)
    }

    /// Takes from the pages the rows that were pushed down, by the first page as it is now.
    pub(super) fn drop_pushed(&self, unit: &mut Unit, now: Option<&Page>) {
        let pages: Vec<Vec<&RawValue>> = unit.iter().map(|page| self.rows_of(page)).collect();
        let Some(first) = pages.first() else { return };
        let mut left = now.map_or(0, |page| came_in(first, &self.rows_of(page)));
        let mut bodies = Vec::new();
        for (at, pair) in pages.windows(2).enumerate() {
            let twice = overlap(&pair[0], &pair[1], left);
            if twice > 0 {
                left -= twice;
                bodies.push((at + 1, self.body(&pair[1][twice..])));
            }
        }
        for (at, body) in bodies {
            unit[at].body = body;
        }
    }

    /// The rows of a page as its body has them; none where it is not a page, which is refused where it is decoded.
    fn rows_of<'a>(&self, page: &'a Page) -> Vec<&'a RawValue> {
        let envelope: HashMap<String, &RawValue> = serde_json::from_slice(&page.body).unwrap_or_default();
        let rows = envelope.get(&self.rows).map(|rows| serde_json::from_str(rows.get()));
        rows.and_then(Result::ok).unwrap_or_default()
    }

    /// A page of these rows.
    fn body(&self, rows: &[&RawValue]) -> Bytes {
        serde_json::to_vec(&HashMap::from([(&self.rows, rows)])).unwrap_or_default().into()
    }
}

/// Rows, `most` of them at most, that end one page and begin the next one.
fn overlap(before: &[&RawValue], after: &[&RawValue], most: usize) -> usize {
    let same = |count: &usize| equal(&before[before.len() - count..], &after[..*count]);
    (1..=most.min(before.len()).min(after.len())).rev().find(same).unwrap_or(0)
}

/// Rows that came in at the top since `then` was read: all of them where none of it is left.
fn came_in(then: &[&RawValue], now: &[&RawValue]) -> usize {
    let shifted = |count: &usize| {
        let rest = &now[*count..];
        let length = rest.len().min(then.len());
        length > 0 && equal(&rest[..length], &then[..length])
    };
    (0..now.len()).find(shifted).unwrap_or(usize::MAX)
}

fn equal(some: &[&RawValue], others: &[&RawValue]) -> bool {
    some.iter().map(|row| row.get()).eq(others.iter().map(|row| row.get()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use ctct_catalog::Catalog;
    use proptest::prelude::*;

    use super::*;

    fn page(rows: &[u8]) -> Page {
        Page {
            body: serde_json::json!({ "tracking_activities": rows }).to_string().into(),
            params: Arc::new([]),
            number: 1,
            request_id: None,
            received_at: DateTime::UNIX_EPOCH,
            server_date: None,
            count: None,
            next: None,
            last: true,
            oldest: None,
        }
    }

    /// The rows that are left of pages, when the first page is then `now`.
    fn left(pages: &[&[u8]], now: &[u8]) -> Vec<u8> {
        let catalog = Catalog::embedded().unwrap();
        let mut unit: Unit = pages.iter().map(|rows| page(rows)).collect();
        if let Some(borders) = Borders::doubtful(catalog.get("contact_activity_details").unwrap(), &unit) {
            borders.drop_pushed(&mut unit, Some(&page(now)));
        }
        let rows = |page: &Page| -> Vec<u8> {
            let body: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
            serde_json::from_value(body["tracking_activities"].clone()).unwrap()
        };
        unit.iter().flat_map(rows).collect()
    }

    #[test]
    fn equal_events_on_both_sides_of_a_border_stay_unless_something_came_in() {
        assert_eq!(left(&[&[9, 5], &[5, 4]], &[9, 5]), [9, 5, 5, 4]);
        assert_eq!(left(&[&[9, 5], &[5, 4]], &[10, 9]), [9, 5, 4]);
        assert_eq!(left(&[&[5, 5], &[5, 5], &[5]], &[5, 5]), [5, 5, 5, 5, 5]);
        assert_eq!(left(&[&[9, 5], &[9, 5], &[4]], &[11, 10]), [9, 5, 4], "two came in, and the page came again");
        assert_eq!(left(&[&[9, 5], &[5, 3], &[3]], &[10, 9]), [9, 5, 3, 3], "one came in");
        assert_eq!(left(&[&[9, 5], &[4, 3]], &[]), [9, 5, 4, 3]);
    }

    proptest! {
        /// Whatever comes in between two pages, by a cursor that counts rows: every event of before is there, as often as it
        /// happened, unless equal ones came in with it.
        #[test]
        fn every_event_is_read_as_often_as_it_happened(
            before in prop::collection::vec(0_u8..4, 0..12), pushes in prop::collection::vec(0_usize..2, 0..8), size in 2_usize..5
        ) {
            let mut events: Vec<u8> = before.clone();
            events.sort_unstable_by(|one, other| other.cmp(one));
            let (expected, mut pages, mut fresh) = (events.clone(), Vec::new(), 100_u8);
            let mut pushes = pushes.into_iter();
            let mut at = 0;
            while at < events.len() || pages.is_empty() {
                pages.push(events[at..events.len().min(at + size)].to_vec());
                at += size;
                for _ in 0..pushes.next().unwrap_or(0) {
                    events.insert(0, fresh);
                    fresh += 1;
                }
            }
            let pages: Vec<&[u8]> = pages.iter().map(Vec::as_slice).collect();
            let mut read = left(&pages, &events[..events.len().min(size)]);
            read.retain(|event| *event < 100);
            // At each border where something came in, equal events on both sides cannot be told from the same one.
            let came_in = usize::from(fresh - 100);
            prop_assert!(read.len() <= expected.len());
            // Where the first page holds nothing of before, nobody knows how much came in.
            prop_assert!(came_in >= size || read.len() + came_in >= expected.len());
            if fresh == 100 {
                prop_assert_eq!(read, expected);
            }
        }
    }
}
