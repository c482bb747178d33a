//! What appending runs leave, against a model that is a set: every version that a run was shown, once.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::new_null_array;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;

/// What happens between two looks at the tables.
#[derive(Debug, Clone)]
enum Step {
    /// A record gets a new version, and a new changed-at unless it changes silently.
    Change { record: u8, silently: bool },
    /// A run reads what changed in the last so many hours, or all, and says that the next one asks from so many hours ago.
    Append { hours: Option<i64>, next: i64, order: usize },
    /// A run dies before its commit.
    Killed { hours: i64 },
    /// A run reads all and takes the place of what is stored.
    Replace,
    /// The log is lost and made again from the files.
    Rebuild,
    /// The file of what is remembered is lost.
    Forget,
    /// Small files are joined.
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6_u8, prop::bool::weighted(0.3)).prop_map(|(record, silently)| Step::Change { record, silently }),
        6 => (prop::option::of(0..30_i64), 0..10_i64, 0..9_usize)
            .prop_map(|(hours, next, order)| Step::Append { hours, next, order }),
        1 => (0..30_i64).prop_map(|hours| Step::Killed { hours }),
        1 => Just(Step::Replace),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Forget),
        1 => Just(Step::Compact),
    ]
}

/// The API's record: its version and when it changed.
#[derive(Debug, Clone, Copy)]
struct Current {
    version: u32,
    hour: i64,
}

/// The row of a version, its lists in some order.
fn row(record: u8, current: Current, order: usize) -> Person {
    let at = instant("2026-01-01") + TimeDelta::hours(current.hour);
    let mut person = Person {
        id: format!("r{record}"),
        kind: Some(format!("v{}", current.version)),
        created_at: Some(at.timestamp_micros()),
        phones: Vec::new(),
    };
    for phone in 0..u32::from(record) % 3 {
        let mut lines: Vec<String> = (0..current.version % 3).map(|line| format!("l{line}")).collect();
        let length = lines.len().max(1);
        lines.rotate_left(order % length);
        person.phones.push((format!("{phone}"), lines));
    }
    let phones = person.phones.len().max(1);
    person.phones.rotate_left(order % phones);
    person
}

/// A page without what follows the place of a row in it.
fn still(version: i64, people: &[Person]) -> Vec<TableRows> {
    let mut tables = page(version, people);
    let batch = &tables[0].batch;
    let mut columns = batch.columns().to_vec();
    for name in ["score", "active"] {
        let (at, field) = batch.schema_ref().column_with_name(name).unwrap();
        columns[at] = new_null_array(field.data_type(), batch.num_rows());
    }
    tables[0].batch = RecordBatch::try_new(batch.schema(), columns).unwrap();
    tables
}

fn plan_in(mode: WriteMode, repeats: &Repeats, by: &[PartitionBy], run: &str) -> LoadPlan {
    let changed = match repeats {
        Repeats::Since { columns } => columns.clone(),
        _ => Vec::new(),
    };
    LoadPlan { repeats: repeats.clone(), changed, ..plan(mode, by, run) }
}

#[expect(clippy::too_many_lines, reason = "one history, step by step")]
async fn history(steps: &[Step], repeats: &Repeats, by: &[PartitionBy]) {
    let destination = Destination::in_memory();
    let report = people();
    let mut api: BTreeMap<u8, Current> = BTreeMap::new();
    let mut stored: BTreeSet<(u8, u32)> = BTreeSet::new();
    let mut phones: BTreeMap<(u8, u32), (usize, usize)> = BTreeMap::new();
    let windows = matches!(repeats, Repeats::Since { .. });
    let mut committed = false;
    for (number, step) in steps.iter().enumerate() {
        let (now, run) = (i64::try_from(number).unwrap(), format!("run{number}"));
        let shown = |hours: Option<i64>| -> Vec<(u8, Current)> {
            let since = hours.filter(|_| windows).map_or(i64::MIN, |hours| now - hours);
            api.iter()
                .filter(|(_, current)| current.hour >= since)
                .map(|(record, current)| (*record, *current))
                .collect()
        };
        match step {
            Step::Change { record, silently } => {
                let current = api.entry(*record).or_insert(Current { version: 0, hour: now });
                current.version += 1;
                current.hour = if *silently { current.hour } else { now };
            }
            Step::Append { hours, next, order } => {
                let mut session =
                    Session::begin(&destination, plan_in(WriteMode::Append, repeats, by, &run)).await.unwrap();
                session.remember_from(Some(instant("2026-01-01") + TimeDelta::hours(now - next)));
                let shown = shown(*hours);
                let rows: Vec<Person> = shown.iter().map(|(record, current)| row(*record, *current, *order)).collect();
                // Two queries of a window bring the same, any distance apart.
                for page in rows.chunks(2).chain(rows.chunks(3)) {
                    session.write(still(session.version(), page)).await.unwrap();
                }
                assert_eq!(session.distinct_records().await.unwrap(), shown.len() as u64);
                let done = Box::pin(session.commit(outcome())).await.unwrap();
                let new: Vec<_> =
                    shown.iter().filter(|(record, current)| stored.insert((*record, current.version))).collect();
                assert_eq!(done.tables[0].rows, new.len() as u64, "step {number}: {step:?}");
                committed = true;
            }
            Step::Killed { hours } => {
                let mut session =
                    Session::begin(&destination, plan_in(WriteMode::Append, repeats, by, &run)).await.unwrap();
                let rows: Vec<Person> =
                    shown(Some(*hours)).iter().map(|(record, current)| row(*record, *current, 0)).collect();
                session.write(still(session.version(), &rows)).await.unwrap();
                drop(session);
            }
            Step::Replace => {
                let rows: Vec<Person> = shown(None).iter().map(|(record, current)| row(*record, *current, 1)).collect();
                let mut session =
                    Session::begin(&destination, plan_in(WriteMode::Replace, &Repeats::None, by, &run)).await.unwrap();
                session.write(still(session.version(), &rows)).await.unwrap();
                Box::pin(session.commit(outcome())).await.unwrap();
                stored = shown(None).iter().map(|(record, current)| (*record, current.version)).collect();
                committed = true;
            }
            Step::Rebuild if committed => {
                for path in destination.list("_ctct/acme/people/commits").await.unwrap() {
                    destination.delete(&path).await.unwrap();
                }
                let (pipeline, account, run_id) = ("daily", "acme", run.as_str());
                let plan =
                    Rebuild { pipeline, account, report: &report, run_id, at: instant("2026-03-01"), dry_run: false };
                let rebuilt = rebuild(&destination, &plan).await.unwrap();
                assert!(matches!(rebuilt, Rebuilt::Done { .. }), "{rebuilt:?}");
            }
            Step::Forget => {
                for path in destination.list("_ctct/acme/people/seen").await.unwrap() {
                    destination.delete(&path).await.unwrap();
                }
            }
            Step::Compact => {
                let found = Compaction::plan(&destination, "acme", &report, &FileOptions::default()).await.unwrap();
                if let Some(compaction) = found.filter(|compaction| !compaction.tables().is_empty()) {
                    compaction.carry_out(&run, instant("2026-03-01")).await.unwrap();
                }
            }
            Step::Rebuild => {}
        }
        let expected: Vec<String> = stored.iter().map(|(record, version)| format!("r{record} v{version}")).collect();
        let found: Vec<String> = if by.is_empty() {
            table(&destination, "people", &["id", "kind"]).await
        } else {
            table(&destination, "people", &["id"]).await
        };
        if by.is_empty() {
            let mut expected = expected;
            expected.sort();
            assert_eq!(found, expected, "step {number}: {step:?}");
        }
        assert_eq!(found.len(), stored.len(), "step {number}: {step:?}");
        for key in &stored {
            let person = row(key.0, Current { version: key.1, hour: 0 }, 0);
            let lines = person.phones.iter().map(|(_, lines)| lines.len()).sum();
            phones.insert(*key, (person.phones.len(), lines));
        }
        let of_stored = || stored.iter().map(|key| phones[key]);
        let counts = (of_stored().map(|(phones, _)| phones).sum(), of_stored().map(|(_, lines)| lines).sum());
        let children = (
            table(&destination, "people_phones", &["id"]).await.len(),
            table(&destination, "people_phones_lines", &["id"]).await.len(),
        );
        assert_eq!(children, counts, "step {number}: {step:?}");
    }
}

fn finished<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn every_version_that_a_run_was_shown_is_stored_once(steps in prop::collection::vec(step(), 1..40)) {
        let since = Repeats::Since { columns: vec!["created_at".to_owned()] };
        finished(Box::pin(history(&steps, &since, &[])));
        finished(Box::pin(history(&steps, &Repeats::All, &[])));
    }

    #[test]
    fn so_it_is_where_columns_are_folders(steps in prop::collection::vec(step(), 1..25)) {
        let since = Repeats::Since { columns: vec!["created_at".to_owned()] };
        let by = [PartitionBy::Column("kind".to_owned()), PartitionBy::Month("created_at".to_owned())];
        finished(Box::pin(history(&steps, &since, &by)));
    }
}

#[tokio::test]
async fn a_stale_replica_adds_each_version_once_and_none_again() {
    let destination = Destination::in_memory();
    let since = Repeats::Since { columns: vec!["created_at".to_owned()] };
    let (old, new) = (person("a", "old", "2026-01-08"), person("a", "new", "2026-01-10"));
    for (number, rows) in [[&new], [&old], [&new], [&old], [&new]].into_iter().enumerate() {
        let run = format!("r{number}");
        let mut session = Session::begin(&destination, plan_in(WriteMode::Append, &since, &[], &run)).await.unwrap();
        session.remember_from(Some(instant("2026-01-09")));
        let rows: Vec<Person> = rows.into_iter().cloned().collect();
        session.write(still(session.version(), &rows)).await.unwrap();
        Box::pin(session.commit(outcome())).await.unwrap();
    }
    assert_eq!(table(&destination, "people", &["kind", "_commit"]).await, ["new 1", "old 2"]);
}
