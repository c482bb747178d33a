//! What each write mode leaves for readers, on every store.

use arrow_array::Array;

use super::*;
use WriteMode::{Append, Partition, Replace};

fn by_month() -> Vec<PartitionBy> {
    vec![PartitionBy::Month("created_at".to_owned())]
}

#[tokio::test]
async fn append_keeps_the_rows_of_every_run() {
    on_each_store(async |destination| {
        let first = [person("b", "x", "2026-01-01").phone("1", &["p", "q"]), person("a", "y", "")];
        let done = run(&destination, plan(Append, &[], "r1"), &first).await.unwrap();
        assert_eq!(done.version, 1);
        let totals: Vec<_> = done.tables.iter().map(|table| (table.table.as_str(), table.rows, table.files)).collect();
        assert_eq!(totals, [("people", 2, 1), ("people_phones", 1, 1), ("people_phones_lines", 2, 1)]);
        run(&destination, plan(Append, &[], "r2"), &[person("a", "z", "")]).await.unwrap();

        assert_eq!(table(&destination, "people", &["id", "kind", "_commit"]).await, ["a y 1", "a z 2", "b x 1"]);
        assert_eq!(table(&destination, "people_phones_lines", &["id", "number", "line"]).await, ["b 1 p", "b 1 q"]);
        // The second run had no phones, so it added no file for them.
        assert_eq!(
            table_files(&destination).await,
            [
                "people/account=acme/00000000000000000001-r1-00000.parquet",
                "people/account=acme/00000000000000000002-r2-00000.parquet",
                "people_phones/account=acme/00000000000000000001-r1-00001.parquet",
                "people_phones_lines/account=acme/00000000000000000001-r1-00002.parquet",
            ]
        );
        assert_eq!(
            state_files(&destination).await,
            [
                "_ctct/acme/people/commits/00000000000000000001.json",
                "_ctct/acme/people/commits/00000000000000000002.json",
                "_ctct/acme/people/manifest/00000000000000000002-r2.jsonl.zst",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn an_empty_report_has_a_file_with_the_full_schema_in_every_table() {
    on_each_store(async |destination| {
        for mode in [Append, Replace] {
            let report = people();
            run(&destination, plan(mode, &[], "r"), &[]).await.unwrap();
            for expected in report.tables() {
                let root = format!("{}/account=acme", expected.name);
                let files = destination.list(&root).await.unwrap();
                let file = ParquetRecordBatchReaderBuilder::try_new(bytes(&destination, &files[0]).await).unwrap();
                let names = |schema: &Schema| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
                assert_eq!(names(file.schema()), names(&expected.schema));
                assert_eq!(file.metadata().file_metadata().num_rows(), 0);
            }
        }
        // The replacing run took away what the appending one had left.
        assert_eq!(
            table_files(&destination).await,
            ["people", "people_phones", "people_phones_lines"]
                .map(|name| format!("{name}/account=acme/part-00000.parquet"))
        );
    })
    .await;
}

#[tokio::test]
async fn replace_leaves_the_rows_of_the_last_run_alone() {
    on_each_store(async |destination| {
        let mut small_files = plan(Replace, &[], "r1");
        small_files.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
        let mut session = Session::begin(&destination, small_files).await.unwrap();
        for id in ["a", "b", "c"] {
            session.write(page(1, &[person(id, "x", "").phone("1", &[])])).await.unwrap();
        }
        let done = session.commit(outcome()).await.unwrap();
        assert_eq!(done.tables[0].files, 3);
        assert_eq!(table(&destination, "people", &["id"]).await, ["a", "b", "c"]);

        run(&destination, plan(Replace, &[], "r2"), &[person("b", "y", "")]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id", "kind"]).await, ["b y"]);
        assert!(table(&destination, "people_phones", &["id"]).await.is_empty());
        assert_eq!(
            table_files(&destination).await,
            ["people", "people_phones", "people_phones_lines"]
                .map(|name| format!("{name}/account=acme/part-00000.parquet"))
        );
        let head = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
        assert_eq!(head.removed.len(), 5, "{:?}", head.removed);
    })
    .await;
}

#[tokio::test]
async fn a_row_that_comes_again_on_the_next_page_stands_in_a_snapshot_once() {
    on_each_store(async |destination| {
        for mode in [Replace, Partition] {
            let mut session = Session::begin(&destination, plan(mode, &by_month(), "r1")).await.unwrap();
            let version = session.version();
            let pushed_down = person("b", "x", "2026-01-02").phone("1", &["p"]);
            for rows in [[person("a", "x", "2026-01-03"), pushed_down.clone()], [pushed_down, person("c", "x", "")]] {
                session.write(page(version, &rows)).await.unwrap();
            }
            session.commit(outcome()).await.unwrap();
            let rows = table(&destination, "people", &["id"]).await;
            assert_eq!(rows.iter().filter(|row| row.ends_with(" b")).count(), 1, "{mode:?}: {rows:?}");
            assert_eq!(rows.len(), 3, "{mode:?}: {rows:?}");
            assert_eq!(table(&destination, "people_phones_lines", &["line"]).await.len(), 1, "{mode:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn replace_of_one_account_leaves_the_others_alone() {
    on_each_store(async |destination| {
        let other = LoadPlan { account: "acme2".to_owned(), ..plan(Replace, &[], "r0") };
        run(&destination, other, &[person("other", "x", "")]).await.unwrap();
        run(&destination, plan(Replace, &[], "r1"), &[person("a", "x", "")]).await.unwrap();
        run(&destination, plan(Replace, &[], "r2"), &[person("b", "x", "")]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id"]).await, ["b", "other"]);
    })
    .await;
}

#[tokio::test]
async fn partition_replaces_the_partitions_that_it_touches_and_no_other() {
    on_each_store(async |destination| {
        let first = [
            person("a", "x", "2026-01-05").phone("1", &["p"]),
            person("b", "x", "2026-02-05").phone("2", &[]),
            person("c", "x", ""),
        ];
        run(&destination, plan(Partition, &by_month(), "r1"), &first).await.unwrap();
        run(&destination, plan(Partition, &by_month(), "r2"), &[person("d", "y", "2026-01-31")]).await.unwrap();

        assert_eq!(
            table(&destination, "people", &["id"]).await,
            [
                "created_at_month=2026-01 d",
                "created_at_month=2026-02 b",
                "created_at_month=__HIVE_DEFAULT_PARTITION__ c",
            ]
        );
        // The phone of `a` went with `a`, though the second run had no phone.
        assert_eq!(table(&destination, "people_phones", &["id"]).await, ["created_at_month=2026-02 b"]);
        assert!(table(&destination, "people_phones_lines", &["id"]).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_partition_with_more_files_shrinks_to_what_the_next_run_has() {
    on_each_store(async |destination| {
        let mut many = plan(Partition, &by_month(), "r1");
        many.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
        let mut session = Session::begin(&destination, many).await.unwrap();
        for id in ["a", "b", "c"] {
            session.write(page(1, &[person(id, "x", "2026-01-01")])).await.unwrap();
        }
        assert_eq!(session.commit(outcome()).await.unwrap().tables[0].files, 3);
        run(&destination, plan(Partition, &by_month(), "r2"), &[person("d", "x", "2026-01-02")]).await.unwrap();
        assert_eq!(
            destination.list("people").await.unwrap(),
            ["people/account=acme/created_at_month=2026-01/part-00000.parquet"]
        );
    })
    .await;
}

#[tokio::test]
async fn an_appended_partition_can_be_replaced() {
    on_each_store(async |destination| {
        run(&destination, plan(Append, &by_month(), "r1"), &[person("a", "x", "2026-01-01").phone("1", &[])])
            .await
            .unwrap();
        run(&destination, plan(Partition, &by_month(), "r2"), &[person("b", "x", "2026-01-01")]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id"]).await, ["created_at_month=2026-01 b"]);
        // The only file of phones was taken away, and a table never is without a file.
        assert_eq!(destination.list("people_phones").await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn other_partitions_than_those_stored_are_refused_unless_all_is_replaced() {
    on_each_store(async |destination| {
        run(&destination, plan(Replace, &by_month(), "r1"), &[person("a", "x", "2026-01-01")]).await.unwrap();
        let refused = run(&destination, plan(Append, &[], "r2"), &[]).await.unwrap_err();
        insta::allow_duplicates! { insta::assert_snapshot!(refused, @"report `people` of account `acme` is stored partitioned by month(created_at), and the pipeline says nothing; keep the old partition_by, write to another destination, or use write_mode replace") }

        run(&destination, plan(Replace, &[], "r3"), &[person("a", "x", "2026-01-01")]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id"]).await, ["a"]);
        assert_eq!(destination.list("people").await.unwrap(), ["people/account=acme/part-00000.parquet"]);
    })
    .await;
}

#[tokio::test]
async fn an_abandoned_run_leaves_nothing() {
    on_each_store(async |destination| {
        let mut tiny = plan(Append, &[], "r1");
        tiny.files.row_group_bytes = 1;
        let mut session = Session::begin(&destination, tiny).await.unwrap();
        session.write(page(1, &[person("a", "x", "")])).await.unwrap();
        session.dead_letter(&letter("{}")).await.unwrap();
        session.abandon().await;
        assert!(state_files(&destination).await.is_empty());
        assert!(table_files(&destination).await.is_empty());
    })
    .await;
}

pub(crate) fn letter(record: &str) -> DeadLetterLine {
    let reason = "created_at: not a timestamp".to_owned();
    let bound = [("period_start".to_owned(), "2026-01-01".to_owned())].into();
    let (extracted_at, record) = (Some(DateTime::UNIX_EPOCH), record.to_owned());
    DeadLetterLine { request_id: Some("4711".to_owned()), index: 7, reason, bound, extracted_at, record }
}

#[tokio::test]
async fn dead_letters_are_seen_with_the_commit_one_a_line() {
    on_each_store(async |destination| {
        let mut session = Session::begin(&destination, plan(Append, &[], "r1")).await.unwrap();
        session.dead_letter(&letter(r#"{"id": "1",  "n": 1.50}"#)).await.unwrap();
        session.dead_letter(&letter("{\n}")).await.unwrap();
        session.dead_letter(&letter("no json")).await.unwrap();
        let done = session.commit(outcome()).await.unwrap();
        assert_eq!(done.dead_letters, 3);
        let file = bytes(&destination, "_ctct/acme/people/dead_letters/00000000000000000001-r1.jsonl.zst").await;
        let text = String::from_utf8(zstd::decode_all(&file[..]).unwrap()).unwrap();
        let line = |record| {
            let of_the_page = r#""bound":{"period_start":"2026-01-01"},"extracted_at":"1970-01-01T00:00:00Z""#;
            let reason = "created_at: not a timestamp";
            format!(r#"{{"request_id":"4711","index":7,"reason":"{reason}",{of_the_page},"record":{record}}}"#)
        };
        let expected = [line(r#"{"id": "1",  "n": 1.50}"#), line(r#""{\n}""#), line(r#""no json""#)];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn ids_are_distinct_and_sorted_and_a_missing_table_is_told_from_an_empty_one() {
    on_each_store(async |destination| {
        assert!(distinct_ids(&destination, "acme", "people", "id").await.unwrap().is_none());
        run(&destination, plan(Append, &[], "r1"), &[]).await.unwrap();
        assert_eq!(distinct_ids(&destination, "acme", "people", "id").await.unwrap().unwrap().len(), 0);
        for (run_id, ids) in [("r2", ["c", "a"]), ("r3", ["b", "a"])] {
            let rows = ids.map(|id| person(id, "x", ""));
            run(&destination, plan(Append, &[], run_id), &rows).await.unwrap();
        }
        let ids = distinct_ids(&destination, "acme", "people", "id").await.unwrap().unwrap();
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(distinct_ids(&destination, "acme2", "people", "id").await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn ids_that_are_folders_are_read_from_the_folders() {
    on_each_store(async |destination| {
        let by_id = [PartitionBy::Column("id".to_owned())];
        let rows = [person("a/b", "x", ""), person("a", "x", "")];
        run(&destination, plan(Append, &by_id, "r1"), &rows).await.unwrap();
        let ids = distinct_ids(&destination, "acme", "people", "id").await.unwrap().unwrap();
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), ["a", "a/b"]);
    })
    .await;
}
