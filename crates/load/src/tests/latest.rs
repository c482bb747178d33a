//! Which version of a row a snapshot holds, on whatever pages and in whatever order its versions came.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn plan_of(mode: WriteMode, run: &str) -> LoadPlan {
    let by = if mode == WriteMode::Partition {
        vec![PartitionBy::Bucket { column: "id".to_owned(), count: 2 }]
    } else {
        vec![]
    };
    LoadPlan { changed: vec!["created_at".to_owned()], ..plan(mode, &by, run) }
}

async fn kinds(destination: &Destination) -> Vec<String> {
    table(destination, "people", &["id", "kind"])
        .await
        .iter()
        .map(|row| row.rsplit(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

#[tokio::test]
async fn the_greater_changed_at_counts_whatever_page_it_came_on() {
    let old = person("a", "old", "2026-01-01").phone("1", &["p"]);
    let new = person("a", "new", "2026-01-02").phone("2", &["q", "r"]);
    let tied = person("a", "tied", "2026-01-02").phone("3", &[]);
    let undated = person("a", "undated", "");
    let other = person("b", "other", "2026-01-01").phone("9", &["z"]);
    let cases: Vec<(Vec<Vec<&Person>>, &str, u64)> = vec![
        (vec![vec![&old, &other], vec![&new]], "new", 1),
        (vec![vec![&new, &other], vec![&old]], "new", 1),
        (vec![vec![&old, &other, &new]], "new", 1),
        (vec![vec![&new, &other, &old]], "new", 1),
        (vec![vec![&old], vec![&new], vec![&other], vec![&old], vec![&new]], "new", 2),
        (vec![vec![&old], vec![&new, &other], vec![&tied]], "tied", 2),
        (vec![vec![&other], vec![&old], vec![&new, &tied, &old]], "tied", 3),
        // Nothing tells that it is older, so what came later counts.
        (vec![vec![&new, &other], vec![&undated]], "undated", 1),
        (vec![vec![&undated, &other], vec![&old]], "old", 1),
        (vec![vec![&new, &other], vec![&new]], "new", 0),
    ];
    for mode in [WriteMode::Replace, WriteMode::Partition] {
        for (number, (pages, expected, outdated)) in cases.iter().enumerate() {
            on_each_store(async |destination| {
                let mut session = Session::begin(&destination, plan_of(mode, "r1")).await.unwrap();
                for rows in pages {
                    let rows: Vec<Person> = rows.iter().map(|row| (*row).clone()).collect();
                    // The place of a row on its page does not count.
                    let mut tables = page(1, &rows);
                    tables[0].batch = without_places(&tables[0].batch);
                    session.write(tables).await.unwrap();
                }
                assert_eq!(session.distinct_records().await.unwrap(), 2);
                let done = Box::pin(session.commit(outcome())).await.unwrap();
                assert_eq!(
                    kinds(&destination).await,
                    [format!("{expected} a"), "other b".to_owned()],
                    "{mode:?} {number}"
                );
                assert_eq!(done.outdated, *outdated, "{mode:?} {number}");
                let winner =
                    [&old, &new, &tied, &undated].into_iter().find(|row| row.kind.as_deref() == Some(*expected));
                let phones = winner.unwrap().phones.len() + 1;
                assert_eq!(table(&destination, "people_phones", &["number"]).await.len(), phones, "{mode:?} {number}");
                assert_eq!(done.tables[1].rows, phones as u64);
            })
            .await;
        }
    }
}

/// The rows without the columns that follow their place.
fn without_places(batch: &RecordBatch) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    for name in ["score", "active"] {
        let (at, field) = batch.schema_ref().column_with_name(name).unwrap();
        columns[at] = arrow_array::new_null_array(field.data_type(), batch.num_rows());
    }
    RecordBatch::try_new(batch.schema(), columns).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_snapshot_has_one_row_a_key_and_the_newest(
        versions in prop::collection::vec((0..5_u8, 1..20_u32), 0..40), page_rows in 1..6_usize, files in prop::bool::ANY,
    ) {
        let work = async {
            let destination = Destination::in_memory();
            let mut plan = plan_of(WriteMode::Replace, "r1");
            if files {
                plan.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
            }
            let mut session = Session::begin(&destination, plan).await.unwrap();
            let rows: Vec<Person> = versions
                .iter()
                .map(|(record, day)| person(&format!("r{record}"), &format!("v{day}"), &format!("2026-01-{day:02}")))
                .collect();
            for rows in rows.chunks(page_rows) {
                let mut tables = page(1, rows);
                tables[0].batch = without_places(&tables[0].batch);
                session.write(tables).await.unwrap();
            }
            Box::pin(session.commit(outcome())).await.unwrap();
            let mut newest: BTreeMap<u8, u32> = BTreeMap::new();
            for (record, day) in &versions {
                let day = *day.max(newest.get(record).unwrap_or(&0));
                newest.insert(*record, day);
            }
            let expected: BTreeSet<String> = newest.iter().map(|(record, day)| format!("r{record} v{day}")).collect();
            let found = table(&destination, "people", &["id", "kind"]).await;
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        };
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }
}
