//! What a read came to, counted by keys: whether too much of it was unusable, and whether all came that the API counts.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use ctct_catalog::{Field, FieldType, Report};
use ctct_transform::parse_timestamp;
use serde_json::Value;

use crate::document::Percent;
use crate::summary::IncompleteSummary;

/// Dead letters that are told apart, so that one that comes twice counts once. Further ones each count.
const TOLD_APART: usize = 100_000;
/// Dead letters that may come however few records there are, as long as they are less than half.
const FEW: u64 = 20;

/// The dead letters of a read.
#[derive(Debug, Default)]
pub(super) struct RejectedRecords {
    /// Those that earlier runs have kept.
    known: HashSet<u64>,
    told_apart: HashSet<u64>,
    beyond: u64,
    /// How many of the different ones are not known.
    fresh: u64,
    /// The least changed-at of those whose changed-at can be read.
    first_changed: Option<DateTime<Utc>>,
    /// Whether one of them has none that can be read.
    undated: bool,
}

impl RejectedRecords {
    /// Makes a record known as one that an earlier run has kept. False once no more can be told apart.
    pub(super) fn know(&mut self, record: &str) -> bool {
        self.known.insert(hash_of(record));
        self.known.len() < TOLD_APART
    }

    /// Adds a record that cannot be used, and tells whether it is to be kept: an earlier run may have done so.
    pub(super) fn add(&mut self, report: &Report, record: &str) -> bool {
        let hash = hash_of(record);
        let is_known = self.known.contains(&hash);
        let is_new = if self.told_apart.len() < TOLD_APART {
            self.told_apart.insert(hash)
        } else {
            let is_new = !self.told_apart.contains(&hash);
            self.beyond += u64::from(is_new);
            is_new
        };
        self.fresh += u64::from(is_new && !is_known);
        match changed_at(report, record) {
            Some(at) => self.first_changed = Some(self.first_changed.map_or(at, |first| first.min(at))),
            None => self.undated = true,
        }
        !is_known
    }

    /// How many different ones no earlier run has kept.
    pub(super) fn fresh(&self) -> u64 {
        self.fresh
    }

    /// How many different ones there are.
    pub(super) fn distinct(&self) -> u64 {
        self.told_apart.len() as u64 + self.beyond
    }

    /// From where a later run must ask to get all of them again, when this one asked from `after`; `None` is the beginning.
    pub(super) fn since(&self, after: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        match self.first_changed.filter(|_| !self.undated) {
            // From `after` on all of them came, whatever their own times say.
            Some(first) => Some(after.map_or(first, |after| first.max(after))),
            None => after,
        }
    }
}

/// A read by its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Different keys that came.
    pub(super) records: u64,
    /// Different records that came and cannot be used.
    pub(super) rejected: u64,
    /// Those among them that weigh when too many are looked for.
    pub(super) weighed: u64,
    /// What the API counted on the first page, where that is a count of what was asked for.
    pub(super) counted: Option<u64>,
    /// Whether a later page counted less, so that a cursor by position may have skipped rows.
    pub(super) fell: bool,
}

impl Census {
    /// Whether so much of it is unusable that nothing of it should be published. Without an own limit that is half of it,
    /// however few that are, or more than 20 records and 5 %.
    #[expect(clippy::cast_precision_loss, reason = "shares of counts below 2^53")]
    pub(super) fn too_many_rejected(self, limit: Option<Percent>) -> bool {
        let all = self.records.saturating_add(self.rejected);
        let more_than = |share: f64| self.weighed as f64 > share * all as f64;
        match limit {
            _ if self.weighed == 0 => false,
            Some(limit) => more_than(limit.share()),
            None => self.weighed.saturating_mul(2) >= all || (self.weighed > FEW && more_than(0.05)),
        }
    }

    /// What came and what the API counts, where that is more.
    pub(super) fn incomplete(self) -> Option<IncompleteSummary> {
        let (read, counted) = (self.records.saturating_add(self.rejected), self.counted?);
        (read < counted || self.fell).then_some(IncompleteSummary { read, counted })
    }
}

fn hash_of(record: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.hash(&mut hasher);
    hasher.finish()
}

/// When a record changed, by the times that windows of the report go by: the greatest that can be read.
fn changed_at(report: &Report, record: &str) -> Option<DateTime<Utc>> {
    let watermark = report.watermark.as_ref()?;
    let record: Value = serde_json::from_str(record).ok()?;
    let also = watermark.also.iter().map(|also| also.column.as_str());
    let columns = std::iter::once(watermark.column.as_str()).chain(also);
    let times = columns.filter_map(|column| parse_timestamp(value_of(&report.columns, column, &record)?.as_str()?));
    // A window is not to begin before the API's own time does.
    times.max().filter(|at| *at >= DateTime::UNIX_EPOCH)
}

/// The value of a column in a record as it came. A field of an object is a column whose name begins with the object's.
fn value_of<'a>(fields: &[Field], column: &str, record: &'a Value) -> Option<&'a Value> {
    fields.iter().find_map(|field| match field.kind {
        FieldType::Object => {
            let inner = column.strip_prefix(field.name.as_str())?.strip_prefix('_')?;
            value_of(&field.fields, inner, record.get(&field.name)?)
        }
        _ if field.name == column => record.get(column),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn a_share_of_unusable_records_is_too_many() {
        let share = |text: &str| Percent::parse(text);
        for (rejected, records, limit, too_many) in [
            (0, 0, "", false),
            (0, 10, "0%", false),
            // Half of however few.
            (1, 0, "", true),
            (1, 1, "", true),
            (1, 2, "", false),
            (20, 20, "", true),
            (20, 21, "", false),
            // More than 20 records and 5 %.
            (20, 30, "", false),
            (21, 30, "", true),
            (21, 399, "", false),
            (21, 398, "", true),
            (150_000, 2_850_000, "", false),
            (150_001, 2_850_000, "", true),
            // What the pipeline says holds alone.
            (1, 1_000_000, "0%", true),
            (1, 99, "1%", false),
            (2, 98, "1%", true),
            (60, 40, "60%", false),
            (61, 39, "60%", true),
            (7, 0, "100%", false),
        ] {
            let census = Census { records, rejected, weighed: rejected, ..Census::default() };
            assert_eq!(census.too_many_rejected(share(limit)), too_many, "{rejected} beside {records} with `{limit}`");
        }
    }

    #[test]
    fn a_read_is_whole_by_the_count_of_its_first_page() {
        for (records, rejected, counted, fell, incomplete) in [
            (200, 0, Some(200), false, None),
            (199, 0, Some(200), false, Some((199, 200))),
            (199, 1, Some(200), false, None),
            // Rows that came meanwhile.
            (201, 0, Some(200), false, None),
            (200, 0, Some(200), true, Some((200, 200))),
            (0, 0, Some(1), false, Some((0, 1))),
            (0, 0, Some(0), false, None),
            // Nothing counted, nothing proven.
            (7, 0, None, false, None),
            (7, 0, None, true, None),
            (u64::MAX, 1, Some(u64::MAX), false, None),
        ] {
            let found = Census { records, rejected, counted, fell, ..Census::default() }.incomplete();
            let found = found.map(|IncompleteSummary { read, counted }| (read, counted));
            assert_eq!(found, incomplete, "{records} and {rejected} of {counted:?}, fell: {fell}");
        }
    }

    #[test]
    fn a_letter_that_comes_twice_counts_once() {
        let catalog = Catalog::embedded().unwrap();
        let contacts = catalog.get("contacts").unwrap();
        let mut letters = RejectedRecords::default();
        for record in ["{}", "{}", r#"{"a":1}"#, "no json"] {
            letters.add(contacts, record);
        }
        assert_eq!(letters.distinct(), 3);
        for number in 0..(TOLD_APART + 10) {
            letters.add(contacts, &number.to_string());
        }
        assert_eq!(letters.distinct(), TOLD_APART as u64 + 13);
        assert_eq!(letters.told_apart.len(), TOLD_APART);
    }

    #[test]
    fn a_letter_that_an_earlier_run_has_kept_does_not_weigh_again() {
        let catalog = Catalog::embedded().unwrap();
        let contacts = catalog.get("contacts").unwrap();
        let mut letters = RejectedRecords::default();
        letters.know("{}");
        assert!(!letters.add(contacts, "{}"), "it is kept already");
        assert_eq!((letters.distinct(), letters.fresh()), (1, 0));
        assert!(letters.add(contacts, r#"{"a":1}"#) && letters.add(contacts, r#"{"a":1}"#));
        assert_eq!((letters.distinct(), letters.fresh()), (2, 1));
        let census = |weighed| Census { records: 0, rejected: 1, weighed, ..Census::default() };
        assert!(!census(0).too_many_rejected(None) && census(1).too_many_rejected(None));
    }

    #[test]
    fn the_first_of_them_says_from_where_to_ask_again() {
        let catalog = Catalog::embedded().unwrap();
        let contacts = catalog.get("contacts").unwrap();
        let (early, middle, late) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
        let updated = |at: &str| format!(r#"{{"updated_at":"{at}"}}"#);
        let opted_out = format!(r#"{{"updated_at":"{early}","email_address":{{"opt_out_date":"{late}"}}}}"#);
        // The address's own change is not what a window goes by.
        let address = format!(r#"{{"updated_at":"{middle}","email_address":{{"updated_at":"{late}"}}}}"#);
        for (records, after, since) in [
            (vec![updated(middle), updated(late)], Some(early), Some(middle)),
            (vec![updated(middle), "{}".to_owned()], Some(early), Some(early)),
            (vec![updated(middle), updated("June")], Some(early), Some(early)),
            (vec![updated(middle), "no json".to_owned()], Some(early), Some(early)),
            (vec![opted_out], Some(middle), Some(late)),
            (vec![address], Some(early), Some(middle)),
            (vec![updated("0001-01-01T00:00:00Z")], Some(early), Some(early)),
            (vec![updated(middle), updated(late)], None, Some(middle)),
            (vec![updated(middle), "{}".to_owned()], None, None),
            (vec![updated("0001-01-01T00:00:00Z")], None, None),
        ] {
            let mut letters = RejectedRecords::default();
            for record in &records {
                letters.add(contacts, record);
            }
            assert_eq!(letters.since(after.map(at)), since.map(at), "{records:?}");
        }
    }
}
