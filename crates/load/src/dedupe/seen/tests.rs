//! What a run drops, what it leaves for the next one, and that over any history nothing is lost and nothing is twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::new_null_array;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::prelude::*;

use super::*;
use crate::tests::faults::Failing;
use crate::tests::{Person, bytes, instant, on_each_store, outcome, page, person, plan, state_files, table};
use crate::*;

fn since() -> Repeats {
    Repeats::Since { columns: vec!["created_at".to_owned()] }
}

fn newest_first() -> Repeats {
    Repeats::NewestFirst { id: "kind".to_owned(), by: "created_at".to_owned() }
}

fn plan_of(repeats: &Repeats, run: &str) -> LoadPlan {
    LoadPlan { repeats: repeats.clone(), ..plan(WriteMode::Append, &[], run) }
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

/// A run of these pages; the next one asks from `from` on.
async fn run(
    destination: &Destination,
    plan: LoadPlan,
    from: Option<&str>,
    pages: &[&[Person]],
) -> Result<Committed, LoadError> {
    let mut session = Session::begin(destination, plan).await?;
    session.remember_from(from.map(instant));
    for people in pages {
        session.write(still(session.version(), people)).await?;
    }
    Box::pin(session.commit(outcome())).await
}

async fn head(destination: &Destination) -> Commit {
    ReportLog::new(destination, "acme", "people").unwrap().head().await.unwrap().unwrap()
}

async fn seen_files(destination: &Destination) -> Vec<String> {
    destination.list("_ctct/acme/people/seen").await.unwrap()
}

#[tokio::test]
async fn an_overlap_that_is_read_again_adds_only_what_changed() {
    on_each_store(async |destination| {
        let old = [
            person("same", "x", "2026-01-10").phone("1", &["p"]),
            person("parent", "x", "2026-01-10"),
            person("child", "x", "2026-01-10").phone("1", &["p"]),
            person("grandchild", "x", "2026-01-10").phone("1", &["p", "q"]),
            person("before", "x", "2026-01-01"),
        ];
        let first = run(&destination, plan_of(&since(), "r1"), Some("2026-01-10"), &[&old]).await.unwrap();
        assert_eq!((first.repeated, first.tables[0].rows), (0, 5));
        // What lies before the next window is not remembered.
        assert_eq!(head(&destination).await.seen.unwrap().rows, 4);

        let new = [
            person("new", "x", "2026-01-11"),
            person("child", "x", "2026-01-10").phone("2", &["p"]),
            old[0].clone(),
            person("parent", "y", "2026-01-10"),
            person("grandchild", "x", "2026-01-10").phone("1", &["q", "p"]),
            person("before", "x", "2026-01-01"),
        ];
        let second = run(&destination, plan_of(&since(), "r2"), Some("2026-01-10"), &[&new]).await.unwrap();
        // A list in another order is the same, and so is what lies before all that is remembered.
        assert_eq!((second.repeated, second.tables[0].rows), (3, 3));
        assert_eq!(
            table(&destination, "people", &["id", "kind", "_commit"]).await,
            [
                "before x 1",
                "child x 1",
                "child x 2",
                "grandchild x 1",
                "new x 2",
                "parent x 1",
                "parent y 2",
                "same x 1",
            ]
        );
        // The phones went with their people, under the right ones.
        assert_eq!(
            table(&destination, "people_phones", &["id", "number", "_commit"]).await,
            ["child 1 1", "child 2 2", "grandchild 1 1", "same 1 1"]
        );
        assert_eq!(
            table(&destination, "people_phones_lines", &["id", "line", "_commit"]).await,
            ["child p 1", "child p 2", "grandchild p 1", "grandchild q 1", "same p 1"]
        );
        assert_eq!(seen_files(&destination).await, [head(&destination).await.seen.unwrap().path]);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_again_what_it_was_is_added_again() {
    on_each_store(async |destination| {
        let at = |kind: &str, day: &str| [person("p", kind, day)];
        let (x, y) = (at("x", "2026-01-10"), at("y", "2026-01-10"));
        let late = at("z", "2026-01-08");
        let from = Some("2026-01-10");
        // Twice in the same instant, within one run, and beside a version that comes late and is older.
        for (run_id, pages) in [("r1", vec![&x]), ("r2", vec![&y]), ("r3", vec![&x]), ("r4", vec![&x, &y, &x])] {
            let pages: Vec<&[Person]> = pages.into_iter().map(|page| &page[..]).collect();
            run(&destination, plan_of(&since(), run_id), from, &pages).await.unwrap();
        }
        run(&destination, plan_of(&since(), "r5"), from, &[&late]).await.unwrap();
        run(&destination, plan_of(&since(), "r6"), from, &[&x]).await.unwrap();
        run(&destination, plan_of(&since(), "r7"), from, &[&late, &x]).await.unwrap();
        let stored = table(&destination, "people", &["_commit", "kind"]).await;
        assert_eq!(stored, ["1 x", "2 y", "3 x", "4 x", "4 y", "5 z"]);
    })
    .await;
}

#[tokio::test]
async fn rows_with_one_instant_at_the_boundary_are_added_once_each() {
    on_each_store(async |destination| {
        let rows = ["a", "b", "c"].map(|id| person(id, "x", "2026-01-10"));
        for (run_id, upto) in [("r1", 1), ("r2", 2), ("r3", 3), ("r4", 3)] {
            run(&destination, plan_of(&since(), run_id), Some("2026-01-10"), &[&rows[..upto]]).await.unwrap();
        }
        assert_eq!(table(&destination, "people", &["id", "_commit"]).await, ["a 1", "b 2", "c 3"]);
    })
    .await;
}

#[tokio::test]
async fn rows_without_an_instant_are_remembered_for_good() {
    on_each_store(async |destination| {
        let rows = [person("a", "x", ""), person("b", "x", "2026-01-01")];
        for (run_id, from) in [("r1", "2026-01-01"), ("r2", "2026-02-01"), ("r3", "2026-03-01")] {
            run(&destination, plan_of(&since(), run_id), Some(from), &[&rows[..1]]).await.unwrap();
        }
        run(&destination, plan_of(&since(), "r4"), Some("2026-03-01"), &[&rows]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id", "_commit"]).await, ["a 1", "b 4"]);
        assert_eq!(head(&destination).await.seen.unwrap().rows, 1);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_one_run_reads_twice_is_added_once() {
    on_each_store(async |destination| {
        let rows = [person("a", "x", "2026-01-01"), person("b", "x", "2026-01-01")];
        let changed = [person("a", "y", "2026-01-02"), rows[1].clone()];
        // The first two lie before what is remembered for the next run.
        let done =
            run(&destination, plan_of(&since(), "r1"), Some("2026-02-01"), &[&rows, &rows, &changed]).await.unwrap();
        assert_eq!(done.repeated, 3);
        assert_eq!(table(&destination, "people", &["id", "kind"]).await, ["a x", "a y", "b x"]);
        assert_eq!(head(&destination).await.seen.unwrap().rows, 0);
    })
    .await;
}

#[tokio::test]
async fn the_bound_is_taken_down_to_the_second() {
    let destination = Destination::in_memory();
    let row = [person("a", "x", "2026-01-10T12:00:00.100Z")];
    let late = Some("2026-01-10T12:00:00.900Z");
    run(&destination, plan_of(&since(), "r1"), late, &[&row]).await.unwrap();
    assert_eq!(run(&destination, plan_of(&since(), "r2"), late, &[&row]).await.unwrap().repeated, 1);
}

#[tokio::test]
async fn a_run_that_adds_nothing_keeps_the_file_of_the_last_one() {
    on_each_store(async |destination| {
        let row = [person("a", "x", "2026-01-10")];
        run(&destination, plan_of(&since(), "r1"), Some("2026-01-10"), &[&row]).await.unwrap();
        let before = state_files(&destination).await;
        let first = head(&destination).await.seen;
        let done = run(&destination, plan_of(&since(), "r2"), Some("2026-01-20"), &[&row]).await.unwrap();
        assert_eq!((done.repeated, done.tables.iter().map(|table| table.files).sum::<u64>()), (1, 0));
        assert_eq!(head(&destination).await.seen, first.map(|first| first.carried_over()));
        // Only the record came.
        assert_eq!(state_files(&destination).await.len(), before.len() + 1);
    })
    .await;
}

#[tokio::test]
async fn a_report_that_is_read_whole_adds_what_differs_from_the_newest_version() {
    on_each_store(async |destination| {
        let row = |id: &str, kind: &str| person(id, kind, "2026-01-01");
        let runs: [(&str, &[Person]); 4] = [
            ("r1", &[row("a", "x"), row("b", "x")]),
            ("r2", &[row("a", "y"), row("b", "x")]),
            ("r3", &[row("a", "x")]),
            ("r4", &[row("a", "x"), row("b", "x")]),
        ];
        for (run_id, rows) in runs {
            run(&destination, plan_of(&Repeats::All, run_id), None, &[rows]).await.unwrap();
        }
        // `a` went back to what it was, which is a version of its own; `b` was away for a run.
        assert_eq!(
            table(&destination, "people", &["id", "kind", "_commit"]).await,
            ["a x 1", "a x 3", "a y 2", "b x 1"]
        );
        assert_eq!(head(&destination).await.seen.unwrap().rows, 2);
    })
    .await;
}

#[tokio::test]
async fn newest_first_takes_what_is_not_stored_however_old() {
    on_each_store(async |destination| {
        let event = |id: &str, second: i64| {
            let created_at = instant("2026-01-01").timestamp_micros() + second * 1_000_000;
            Person { id: id.to_owned(), kind: Some("k".to_owned()), created_at: Some(created_at), phones: vec![] }
        };
        let plan = |run_id| plan_of(&newest_first(), run_id);
        let first = [event("e100", 100), event("e95", 95), event("e50", 50)];
        let read_at = instant("2026-02-01");
        let mut session = Session::begin(&destination, plan("r1")).await.unwrap();
        session.write(still(session.version(), &first)).await.unwrap();
        session.set_mark("k", "opens", read_at);
        assert_eq!(session.distinct_records().await.unwrap(), 3);
        Box::pin(session.commit(outcome())).await.unwrap();

        let report = crate::tests::people();
        let mut session = Session::begin(&destination, plan("r2")).await.unwrap();
        assert_eq!(session.mark("k", "opens"), Some(read_at));
        assert_eq!((session.mark("k", "clicks"), session.mark("nobody", "opens")), (None, None));
        let known = session.known();
        assert!(known.holds_all(&report, &still(2, &first)).unwrap());
        let again = [event("e2099", 2_300_000_000), event("e100", 100), event("late", 90), event("e10", 10)];
        assert!(!known.holds_all(&report, &still(2, &again)).unwrap());
        session.write(still(2, &again)).await.unwrap();
        assert!(!known.holds_all(&report, &still(2, &again)).unwrap(), "what this run brings was not stored before");
        let done = Box::pin(session.commit(outcome())).await.unwrap();
        assert_eq!(done.repeated, 1);
        assert_eq!(
            table(&destination, "people", &["id", "_commit"]).await,
            ["e10 2", "e100 1", "e2099 2", "e50 1", "e95 1", "late 2"]
        );
        // A run that brings nothing new leaves the file and the older mark; a mark of another question is kept.
        let before = head(&destination).await.seen.unwrap();
        for (run_id, question, writes) in [("r3", "opens", false), ("r4", "clicks", true)] {
            let mut session = Session::begin(&destination, plan(run_id)).await.unwrap();
            session.write(still(session.version(), &again)).await.unwrap();
            session.set_mark("k", question, read_at);
            Box::pin(session.commit(outcome())).await.unwrap();
            assert_eq!(head(&destination).await.seen.unwrap().path != before.path, writes);
        }
        let session = Session::begin(&destination, plan("r5")).await.unwrap();
        assert_eq!((session.mark("k", "opens"), session.mark("k", "clicks")), (Some(read_at), Some(read_at)));
        session.abandon().await;
    })
    .await;
}

#[tokio::test]
async fn a_merging_run_remembers_what_it_brings_and_leaves_its_rows_alone() {
    let mut seen = SeenRows::new(newest_first(), &[], false);
    let rows = [person("a", "k", "2026-01-01")];
    let report = crate::tests::people();
    for _ in 0..2 {
        let (destination, listing) = (Destination::in_memory(), crate::log::StoredState::default());
        let page = seen.unseen(&destination, &report, &listing, still(1, &rows)).await.unwrap();
        assert_eq!(page[0].batch.num_rows(), 1);
    }
    assert_eq!((seen.dropped(), seen.distinct()), (0, 1));
}

#[test]
fn all_that_a_run_wrote_is_known_to_it() {
    let mut seen = SeenRows::new(since(), &[], true);
    seen.remember_from(Some(instant("2026-02-01")));
    let entry = |number: u64| {
        let key = u128::from(number.wrapping_mul(0x9E37_79B9_7F4A_7C15)) << 64 | u128::from(number);
        Entry { key, content: number + 1, at: 0, order: 0 }
    };
    for number in 0..300_000 {
        let record_state = seen.record_state(entry(number)).unwrap();
        assert!(seen.meet(entry(number), record_state).unwrap());
    }
    for number in (0..300_000).step_by(17) {
        assert_eq!(seen.record_state(entry(number)).unwrap(), RecordState::Known, "{number}");
    }
    assert_eq!(seen.distinct(), 300_000);
}

#[tokio::test]
async fn a_large_file_is_read_in_pieces_and_shrinks_when_most_of_it_is_of_no_use() {
    on_each_store(async |destination| {
        let entry = |at: u64| {
            let hash = |salt: u64| (at + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (at << 17);
            Entry {
                key: u128::from(hash(1)) << 64 | u128::from(at),
                content: hash(2),
                at: if at.is_multiple_of(7) { UNDATED } else { at.cast_signed() },
                order: 0,
            }
        };
        let mut entries: Vec<Entry> = (0..400_000).map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.key);
        let path = "_ctct/acme/people/seen/large.seen".to_owned();
        let all = entries.iter().copied().map(Ok);
        let stored = file::write(&destination, path.clone(), path, Some(7), all).await.unwrap();
        assert!(stored.bytes > 4 << 20, "{}", stored.bytes);
        let Read::Usable { index, from } = file::read(&destination, &stored).await.unwrap() else {
            panic!("it cannot be used");
        };
        assert_eq!(from, Some(7));
        let read: Vec<Entry> = index.sorted().unwrap().map(Result::unwrap).collect();
        assert!(read == entries);

        let mut seen = SeenRows::new(since(), &[], true);
        let complete = Complete::From(7);
        seen.stored = Arc::new(Stored { versions: Versions::of(index), complete });
        seen.previous = Some(stored);
        seen.from = Some(150_000);
        let kept = seen.finish(&destination, "_ctct/staging", "new".to_owned()).await.unwrap().unwrap();
        assert_eq!(kept.path, "_ctct/acme/people/seen/large.seen", "less than half is of no use");
        seen.from = Some(399_000);
        let shrunk = seen.finish(&destination, "_ctct/staging", "new".to_owned()).await.unwrap().unwrap();
        let expected = entries.iter().filter(|entry| entry.at >= 399_000).count();
        assert_eq!((shrunk.path.as_str(), shrunk.rows), ("new", expected as u64));
    })
    .await;
}

#[tokio::test]
async fn a_list_that_did_not_come_is_no_change_where_nothing_else_tells_one() {
    let destination = Destination::in_memory();
    let person_at = |day: &str| person("a", "x", day).phone("1", &["p"]);
    run(&destination, plan_of(&since(), "r1"), None, &[&[person_at("2026-01-10")]]).await.unwrap();
    for (run_id, day, rows) in [("r2", "2026-01-10", 0), ("r3", "2026-01-11", 1), ("r4", "2026-01-11", 0)] {
        let mut session = Session::begin(&destination, plan_of(&since(), run_id)).await.unwrap();
        let mut lacking = still(session.version(), &[person("a", "x", day)]);
        lacking[1].absent = vec![0];
        session.write(lacking).await.unwrap();
        let done = Box::pin(session.commit(outcome())).await.unwrap();
        assert_eq!(done.tables[0].rows, rows, "{run_id}");
    }
}

#[tokio::test]
async fn without_a_file_that_can_be_used_the_tables_tell_what_is_new() {
    let old = [
        person("a", "x", "2026-01-10").phone("1", &["p", "q"]).phone("2", &[]),
        person("b", "x", "2026-01-10"),
        person("undated", "x", ""),
    ];
    for damage in 0..6 {
        let destination = Destination::in_memory();
        let by = if damage % 2 == 0 { vec![] } else { vec![PartitionBy::Column("kind".to_owned())] };
        let plan = |run_id: &str| LoadPlan { partition_by: by.clone(), ..plan_of(&since(), run_id) };
        run(&destination, plan("r1"), None, &[&old]).await.unwrap();
        let path = head(&destination).await.seen.unwrap().path;
        let key = destination.key(&path).unwrap();
        let mut content = bytes(&destination, &path).await.to_vec();
        match damage {
            0 | 1 => destination.delete(&path).await.unwrap(),
            2 => content.truncate(content.len() - 1),
            3 => content[10] ^= 1,
            _ => content = vec![0; content.len()],
        }
        if damage > 1 {
            destination.store.put(&key, content.into()).await.unwrap();
        }
        let again = [
            person("a", "x", "2026-01-10").phone("2", &[]).phone("1", &["q", "p"]),
            person("b", "", "2026-01-11"),
            old[2].clone(),
        ];
        let done = run(&destination, plan("r2"), None, &[&again]).await.unwrap();
        assert_eq!((done.repeated, done.tables[0].rows), (2, 1), "{damage}");
        assert_eq!(seen_files(&destination).await, [head(&destination).await.seen.unwrap().path]);
        // A value that no folder can carry is known again too.
        destination.delete(&head(&destination).await.seen.unwrap().path).await.unwrap();
        assert_eq!(run(&destination, plan("r3"), None, &[&again]).await.unwrap().repeated, 3, "{damage}");
    }
}

#[tokio::test]
async fn a_file_that_a_newer_commit_took_away_is_that_runs_victory() {
    let destination = Destination::in_memory();
    let row = |kind: &str| [person("a", kind, "2026-01-10")];
    run(&destination, plan_of(&since(), "r1"), None, &[&row("x")]).await.unwrap();
    let first = head(&destination).await;
    run(&destination, plan_of(&since(), "r2"), None, &[&row("y")]).await.unwrap();
    let log = ReportLog::new(&destination, "acme", "people").unwrap();
    let error = SeenRows::begin(
        &destination,
        &plan_of(&since(), "r3"),
        &log,
        Some(&first),
        &crate::log::StoredState::default(),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, LoadError::Fenced { version: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_run_of_another_mode_takes_the_file_away() {
    on_each_store(async |destination| {
        run(&destination, plan_of(&since(), "r1"), None, &[&[person("a", "x", "2026-01-10")]]).await.unwrap();
        run(&destination, plan(WriteMode::Replace, &[], "r2"), None, &[&[]]).await.unwrap();
        assert!(head(&destination).await.seen.is_none());
        assert!(seen_files(&destination).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_run_that_dies_after_any_mutation_adds_nothing_twice_and_leaves_one_file() {
    let first = [person("a", "x", "2026-01-10"), person("b", "x", "2026-01-10")];
    let second = [first[0].clone(), person("b", "y", "2026-01-10"), person("c", "x", "2026-01-11")];
    let prepared = Arc::new(InMemory::new());
    let on = |memory: &Arc<InMemory>| Destination::with_store(Arc::clone(memory) as Arc<dyn ObjectStore>, "memory://");
    run(&on(&prepared), plan_of(&since(), "r1"), Some("2026-01-10"), &[&first]).await.unwrap();
    let mut deaths = 0;
    for applies in [false, true] {
        for step in 0.. {
            let memory = Arc::new(prepared.fork());
            let failing = Failing::new(&memory, step, applies).destination();
            let died = run(&failing, plan_of(&since(), "r2"), Some("2026-01-10"), &[&second]).await.is_err();
            deaths += usize::from(died);
            let sound = on(&memory);
            run(&sound, plan_of(&since(), "r3"), Some("2026-01-10"), &[&second]).await.unwrap();
            let rows = table(&sound, "people", &["id", "kind"]).await;
            assert_eq!(rows, ["a x", "b x", "b y", "c x"], "step {step}");
            assert_eq!(seen_files(&sound).await, [head(&sound).await.seen.unwrap().path], "step {step}");
            assert!(sound.list("_ctct/acme/people/staging").await.unwrap().is_empty(), "step {step}");
            if !died {
                break;
            }
        }
    }
    assert!(deaths > 8, "{deaths}");
}

/// A change of a record: the record, the second at which it changed, and the seconds until the API shows it.
type Change = (u8, i64, i64);

const OVERLAP: i64 = 10;

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((0..5_u8, 0..120_i64, 0..=OVERLAP), 1..40)
}

/// Moments at which runs begin, the last one after everything.
fn runs() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::btree_set(0..130_i64, 1..8).prop_map(|moments| moments.into_iter().chain([200]).collect())
}

fn second(second: i64) -> DateTime<Utc> {
    instant("2026-01-01") + TimeDelta::seconds(second)
}

fn at_second(id: String, kind: String, at: i64) -> Person {
    Person { id, kind: Some(kind), created_at: Some(second(at).timestamp_micros()), phones: Vec::new() }
}

/// Pages in some order, with some of them twice.
fn shuffled(mut rows: Vec<Person>, seed: usize) -> Vec<Person> {
    let twice: Vec<Person> = rows.iter().skip(seed % 3).step_by(3).cloned().collect();
    rows.extend(twice);
    let length = rows.len().max(1);
    rows.rotate_left(seed % length);
    rows
}

fn finished<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn windows_over_any_history_bring_every_version_that_they_showed_once(
        changes in changes(), runs in runs(), seed in 0..100_usize,
    ) {
        finished(async {
            let destination = Destination::in_memory();
            let mut shown = BTreeSet::new();
            let mut bound = i64::MIN;
            for (number, moment) in runs.iter().enumerate() {
                let mut current: BTreeMap<u8, i64> = BTreeMap::new();
                for (record, at, _) in changes.iter().filter(|(_, at, lag)| at + lag <= *moment) {
                    current.entry(*record).and_modify(|newest| *newest = *at.max(newest)).or_insert(*at);
                }
                current.retain(|_, at| *at >= bound);
                let rows = current.iter().map(|(record, at)| at_second(format!("r{record}"), format!("v{at}"), *at));
                let rows = shuffled(rows.collect(), seed + number);
                shown.extend(current.iter().map(|(record, at)| format!("r{record} v{at}")));
                bound = moment - OVERLAP;
                let mut session = Session::begin(&destination, plan_of(&since(), &format!("run{number}"))).await.unwrap();
                session.remember_from(Some(second(bound)));
                for page in rows.chunks(1 + seed % 4) {
                    session.write(still(session.version(), page)).await.unwrap();
                }
                Box::pin(session.commit(outcome())).await.unwrap();
            }
            let stored = table(&destination, "people", &["id", "kind"]).await;
            assert_eq!(stored, shown.iter().cloned().collect::<Vec<_>>());
            // The last version of every record arrived, however late the API showed it.
            let mut last: BTreeMap<u8, i64> = BTreeMap::new();
            for (record, at, _) in &changes {
                last.entry(*record).and_modify(|newest| *newest = *at.max(newest)).or_insert(*at);
            }
            for (record, at) in last {
                assert!(shown.contains(&format!("r{record} v{at}")), "r{record} v{at} is missing");
            }
        });
    }

    #[test]
    fn newest_first_brings_every_event_once(changes in changes(), runs in runs(), seed in 0..100_usize) {
        finished(async {
            let destination = Destination::in_memory();
            for (number, moment) in runs.iter().enumerate() {
                let plan = plan_of(&newest_first(), &format!("run{number}"));
                let mut session = Session::begin(&destination, plan).await.unwrap();
                for id in 0..5_u8 {
                    let name = format!("k{id}");
                    let of_id = changes.iter().enumerate().filter(|(_, change)| change.0 == id);
                    let visible = of_id.filter(|(_, (_, at, lag))| at + lag <= *moment);
                    let mut events: Vec<Person> =
                        visible.map(|(event, (_, at, _))| at_second(format!("e{event:02}"), name.clone(), *at)).collect();
                    events.sort_by_key(|event| std::cmp::Reverse(event.created_at));
                    let enough = session.mark(&name, "all").map(|mark| mark - TimeDelta::seconds(OVERLAP));
                    let known = session.known();
                    // Paging stops with the first page that ends before what is wanted and holds nothing new.
                    for page in events.chunks(1 + seed % 4) {
                        let rows = still(session.version(), page);
                        let new = !known.holds_all(&crate::tests::people(), &rows).unwrap();
                        session.write(rows).await.unwrap();
                        let last = page.last().unwrap().created_at.unwrap();
                        if !new && enough.is_some_and(|enough| last < enough.timestamp_micros()) {
                            break;
                        }
                    }
                    session.set_mark(&name, "all", second(*moment));
                }
                Box::pin(session.commit(outcome())).await.unwrap();
            }
            let expected: Vec<String> = (0..changes.len()).map(|event| format!("e{event:02}")).collect();
            assert_eq!(table(&destination, "people", &["id"]).await, expected);
        });
    }

    #[test]
    fn whole_reads_bring_a_row_whenever_it_differs_from_the_last(
        snapshots in prop::collection::vec(prop::collection::btree_map(0..6_u8, 0..3_u8, 0..6), 1..8), seed in 0..100_usize,
    ) {
        finished(async {
            let destination = Destination::in_memory();
            let mut newest = BTreeMap::new();
            let mut expected = Vec::new();
            for (number, snapshot) in snapshots.iter().enumerate() {
                for (record, kind) in snapshot {
                    if newest.insert(*record, *kind) != Some(*kind) {
                        expected.push(format!("r{record} k{kind} {}", number + 1));
                    }
                }
                let rows = snapshot.iter().map(|(record, kind)| at_second(format!("r{record}"), format!("k{kind}"), 0));
                let rows = shuffled(rows.collect(), seed + number);
                let plan = plan_of(&Repeats::All, &format!("run{number}"));
                run(&destination, plan, None, &[&rows]).await.unwrap();
            }
            expected.sort();
            assert_eq!(table(&destination, "people", &["id", "kind", "_commit"]).await, expected);
        });
    }
}
