//! What runs that take the place of stored rows may take away, and what stays.

use std::collections::HashSet;

use super::*;
use WriteMode::{Append, Partition, Replace};

fn by_month() -> Vec<PartitionBy> {
    vec![PartitionBy::Month("created_at".to_owned())]
}

/// So many people from a number on; even ones of kind `x` in January, others of kind `y` in February.
fn people_from(first: usize, count: usize) -> Vec<Person> {
    let of = |number: usize| {
        let (kind, day) = if number.is_multiple_of(2) { ("x", "2026-01-05") } else { ("y", "2026-02-05") };
        person(&format!("p{number:04}"), kind, day).phone("1", &["l"])
    };
    (first..first + count).map(of).collect()
}

async fn commit_of(
    destination: &Destination,
    plan: LoadPlan,
    rows: &[Person],
    outcome: RunOutcome,
) -> Result<Committed, LoadError> {
    let mut session = Session::begin(destination, plan).await?;
    session.write(page(session.version(), rows)).await?;
    Box::pin(session.commit(outcome)).await
}

#[tokio::test]
async fn a_snapshot_that_lacks_too_many_keys_publishes_nothing() {
    let none = Reach::default();
    let of_ids = |ids: &[&str]| Reach {
        ids: Some(("kind".to_owned(), Arc::new(ids.iter().map(|id| (*id).to_owned()).collect::<HashSet<_>>()))),
        ..Reach::default()
    };
    let january =
        Reach { bound: vec![("created_at".to_owned(), "2026-01-05T12:00:00Z".to_owned())], ..Reach::default() };
    let late = Reach { changed_after: Some(instant("2026-02-01")), ..Reach::default() };
    // How many are stored, how many of those come again, the brake and what the run could bring: what goes, of how many.
    #[expect(clippy::type_complexity, reason = "a row of the table below")]
    let cases: [(usize, usize, Brake, &Reach, Option<(u64, u64)>); 14] = [
        (200, 0, Brake::Usual, &none, Some((200, 200))),
        (200, 100, Brake::Usual, &none, Some((100, 200))),
        (200, 150, Brake::Usual, &none, None),
        (200, 139, Brake::Usual, &none, Some((61, 200))),
        (10, 1, Brake::Usual, &none, None),
        (10, 0, Brake::Usual, &none, Some((10, 10))),
        (10, 0, Brake::Off, &none, None),
        (10, 8, Brake::Share(0.1), &none, Some((2, 10))),
        (10, 9, Brake::Share(0.1), &none, None),
        (10, 0, Brake::Share(1.0), &none, None),
        (10, 0, Brake::Usual, &of_ids(&["x"]), Some((5, 5))),
        (10, 0, Brake::Usual, &of_ids(&["z"]), None),
        (10, 0, Brake::Usual, &january, Some((5, 5))),
        (10, 0, Brake::Usual, &late, Some((5, 5))),
    ];
    for (number, (stored, again, brake, reach, stopped)) in cases.into_iter().enumerate() {
        let destination = Destination::in_memory();
        let plan = |mode, run| LoadPlan { changed: vec!["created_at".to_owned()], ..plan(mode, &[], run) };
        // Versions are not keys: every one is stored twice.
        for run_id in ["r1", "r2"] {
            run(&destination, plan(Append, run_id), &people_from(0, stored)).await.unwrap();
        }
        let before = table_files(&destination).await;
        let outcome = RunOutcome { brake, reach: reach.clone(), ..outcome() };
        let rows = [people_from(0, again), people_from(1000, 3)].concat();
        let done = commit_of(&destination, plan(Replace, "r3"), &rows, outcome).await;
        match (done, stopped) {
            (Err(LoadError::TooMuchRemoved { removed, stored, .. }), Some(expected)) => {
                assert_eq!((removed, stored), expected, "{number}");
                assert_eq!(table_files(&destination).await, before, "{number}");
                assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty(), "{number}");
            }
            (Ok(done), None) => {
                let within = if *reach == none || brake == Brake::Off { (stored - again) as u64 } else { done.removed };
                assert_eq!(done.removed, within, "{number}");
                assert_eq!(table(&destination, "people", &["id"]).await.len(), again + 3, "{number}");
            }
            (done, _) => panic!("{number}: {done:?}"),
        }
    }
}

#[tokio::test]
async fn a_partition_counts_only_where_it_is_touched() {
    let destination = Destination::in_memory();
    run(&destination, plan(Partition, &by_month(), "r1"), &people_from(0, 10)).await.unwrap();
    let outcome = || RunOutcome { brake: Brake::Usual, ..outcome() };
    let january: Vec<Person> = people_from(0, 10).into_iter().step_by(2).collect();
    let done = commit_of(&destination, plan(Partition, &by_month(), "r2"), &january[..2], outcome()).await.unwrap();
    assert_eq!((done.removed, table(&destination, "people", &["id"]).await.len()), (3, 7));
    let new = [person("new", "x", "2026-01-20")];
    let error = commit_of(&destination, plan(Partition, &by_month(), "r3"), &new, outcome()).await.unwrap_err();
    assert!(matches!(error, LoadError::TooMuchRemoved { removed: 2, stored: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_key_in_a_partition_that_is_not_touched_is_damage() {
    let destination = Destination::in_memory();
    run(&destination, plan(Partition, &by_month(), "r1"), &people_from(0, 4)).await.unwrap();
    let moved = [person("p0000", "x", "2026-03-05")];
    let error = run(&destination, plan(Partition, &by_month(), "r2"), &moved).await.unwrap_err();
    insta::assert_snapshot!(error.to_string(), @"`memory://people/account=acme/created_at_month=2026-01` holds a row that this run has in another partition: created_at changed, and this run does not write that partition; nothing was published");
    let full = LoadPlan { rebuild: true, ..plan(Partition, &by_month(), "r3") };
    run(&destination, full, &moved).await.unwrap();
    assert_eq!(table(&destination, "people", &["id"]).await, ["created_at_month=2026-03 p0000"]);
}

#[tokio::test]
async fn rows_that_could_not_be_read_again_stay_with_their_lists() {
    for (mode, by) in [(Replace, vec![]), (Replace, by_month()), (Partition, by_month())] {
        let destination = Destination::in_memory();
        let first = [
            person("a", "x", "2026-01-05").phone("1", &["p"]),
            person("b", "x", "2026-01-05").phone("2", &["q", "r"]),
            person("c", "x", "2026-02-05").phone("3", &[]),
        ];
        run(&destination, plan(mode, &by, "r1"), &first).await.unwrap();
        let outcome = RunOutcome { carry_over: true, brake: Brake::Usual, ..outcome() };
        let again = [person("a", "y", "2026-01-05").phone("4", &[]), person("d", "y", "2026-02-05")];
        let done = commit_of(&destination, plan(mode, &by, "r2"), &again, outcome).await.unwrap();
        assert_eq!(done.removed, 0);
        let last = |rows: Vec<String>| {
            let mut rows: Vec<String> = rows
                .iter()
                .map(|row| row.rsplit_once("=2026-0").map_or(row.clone(), |(_, row)| row[2..].to_owned()))
                .collect();
            rows.sort();
            rows
        };
        assert_eq!(
            last(table(&destination, "people", &["id", "kind", "_commit"]).await),
            ["a y 2", "b x 1", "c x 1", "d y 2"],
            "{mode:?}"
        );
        assert_eq!(
            last(table(&destination, "people_phones", &["id", "number"]).await),
            ["a 4", "b 2", "c 3"],
            "{mode:?}"
        );
        assert_eq!(last(table(&destination, "people_phones_lines", &["id", "line"]).await), ["b q", "b r"], "{mode:?}");
    }
}

#[tokio::test]
async fn of_appended_rows_that_stay_the_newest_version_does() {
    let destination = Destination::in_memory();
    let changed = |mode, run| LoadPlan { changed: vec!["created_at".to_owned()], ..plan(mode, &[], run) };
    let [new, old] = ["2026-01-05", "2026-01-01"].map(|day| [person("a", day, day).phone(day, &["p"])]);
    for (run_id, rows) in [("r1", &new), ("r2", &old)] {
        run(&destination, changed(Append, run_id), rows).await.unwrap();
    }
    let outcome = RunOutcome { carry_over: true, ..outcome() };
    commit_of(&destination, changed(Replace, "r3"), &[person("b", "x", "")], outcome.clone()).await.unwrap();
    assert_eq!(table(&destination, "people", &["id", "kind"]).await, ["a 2026-01-05", "b x"]);
    assert_eq!(table(&destination, "people_phones", &["number"]).await, ["2026-01-05"]);
    // Rows that are in other folders cannot stay.
    let by = LoadPlan { partition_by: by_month(), ..changed(Replace, "r4") };
    let error = commit_of(&destination, by, &[person("b", "x", "")], outcome).await.unwrap_err();
    assert!(matches!(error, LoadError::CannotStay { .. }), "{error}");
}

#[tokio::test]
async fn a_full_refresh_of_merged_rows_keeps_those_that_could_not_be_read() {
    let destination = Destination::in_memory();
    run(&destination, plan(WriteMode::Merge, &[], "r1"), &people_from(0, 3)).await.unwrap();
    let full = |run| LoadPlan { rebuild: true, ..plan(WriteMode::Merge, &[], run) };
    let stays = RunOutcome { carry_over: true, absent: Absent::Go, ..outcome() };
    commit_of(&destination, full("r2"), &people_from(0, 1), stays).await.unwrap();
    assert_eq!(table(&destination, "people", &["id"]).await, ["p0000", "p0001", "p0002"]);
    let goes = RunOutcome { absent: Absent::Go, ..outcome() };
    commit_of(&destination, full("r3"), &people_from(0, 1), goes).await.unwrap();
    assert_eq!(table(&destination, "people", &["id"]).await, ["p0000"]);
}

#[tokio::test]
async fn values_that_no_folder_can_carry_are_counted_in_every_mode() {
    let long = "x".repeat(201);
    let odd = ["", "ok", NULL_FOLDER, long.as_str(), "ä b/c"];
    let rows: Vec<Person> =
        odd.iter().enumerate().map(|(at, kind)| person(&format!("p{at}"), kind, "2026-01-05")).collect();
    let by_kind = [PartitionBy::Column("kind".to_owned())];
    for mode in [Append, Replace] {
        let destination = Destination::in_memory();
        let done = run(&destination, plan(mode, &by_kind, "r1"), &rows).await.unwrap();
        assert_eq!(done.not_in_folders, BTreeMap::from([("kind".to_owned(), 3)]), "{mode:?}");
    }
    let destination = Destination::in_memory();
    let by_bucket = [PartitionBy::Bucket { column: "kind".to_owned(), count: 2 }];
    assert!(run(&destination, plan(Append, &by_bucket, "r1"), &rows).await.unwrap().not_in_folders.is_empty());
}
