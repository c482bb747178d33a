//! What `verify` finds, and that it finds nothing where nothing is wrong.

use arrow_array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow_schema::TimeUnit;
use arrow_select::concat::concat_batches;
use ctct_catalog::Table;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::damage::{edit, fresh, plain, put, record_path, three_commits};
use super::*;
use WriteMode::{Append, Merge, Partition, Replace};

fn counting() -> VerifyOptions {
    VerifyOptions { count: true, ..VerifyOptions::default() }
}

/// What was found, a line each, and how to repair it.
async fn findings(destination: &Destination) -> String {
    let verified = verify(destination, "acme", &people(), &counting()).await.unwrap();
    let lines =
        verified.findings.iter().map(|finding| format!("  {}: {} -> {:?}", finding.path, finding.what, finding.fix));
    plain(destination, &lines.collect::<Vec<_>>().join("\n"))
}

#[tokio::test]
async fn sound_tables_of_every_mode_have_no_findings() {
    let month = PartitionBy::Month("created_at".to_owned());
    let kind = PartitionBy::Column("kind".to_owned());
    let id = PartitionBy::Column("id".to_owned());
    let bucket = PartitionBy::Bucket { column: "id".to_owned(), count: 3 };
    let both = [kind.clone(), bucket];
    let divisions: [&[PartitionBy]; 5] = [&[], &[month], &[kind], &both, &[id]];
    on_each_store(async |destination| {
        for mode in [Append, Replace, Partition] {
            // Partitions are replaced one by one only where a row stays in its own.
            let stays = |by: &[PartitionBy]| !by.is_empty() && by.iter().all(|by| by.column() != "kind");
            for (number, by) in divisions.iter().enumerate().filter(|(_, by)| mode != Partition || stays(by)) {
                let destination = fresh(&destination, &format!("{mode:?} {number}"));
                let first = [
                    person("b", "x", "2026-01-05").phone("1", &["p", "q"]).phone("2", &[]),
                    person("a", "y", "2026-02-05").phone("1", &["r"]),
                    person("c", "", ""),
                ];
                let mut small = plan(mode, by, "r1");
                small.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
                let mut session = Session::begin(&destination, small).await.unwrap();
                for row in &first {
                    session.write(page(1, std::slice::from_ref(row))).await.unwrap();
                }
                session.commit(outcome()).await.unwrap();
                run(&destination, plan(mode, by, "r2"), &[person("b", "x", "2026-01-05").phone("3", &[])])
                    .await
                    .unwrap();
                run(&destination, plan(mode, by, "r3"), &[]).await.unwrap();
                let verified = verify(&destination, "acme", &people(), &counting()).await.unwrap();
                assert_eq!(verified.findings, [], "{mode:?} {by:?}");
                let expected = table(&destination, "people", &[]).await.len() as u64;
                assert_eq!(verified.tables[0].rows, expected, "{mode:?} {by:?}");
                assert_eq!(verified.tables[0].files, verified.tables[0].hashed, "{mode:?} {by:?}");
                // An id that is a folder is no less counted; where it is appended twice it counts once.
                let current = if mode == Append { 3 } else { expected };
                assert_eq!(verified.current_rows, current, "{mode:?} {by:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn each_file_is_checked_against_its_record() {
    on_each_store(async |destination| {
        let mut told = Vec::new();
        for kind in [
            "cut",
            "changed",
            "gone",
            "foreign",
            "not parquet",
            "unknown to its record",
            "record cut",
            "newest record cut",
            "log gone",
            "ahead of the log",
        ] {
            let destination = fresh(&destination, kind);
            three_commits(&destination, Append).await;
            let files = destination.list("people").await.unwrap();
            match kind {
                "cut" => edit(&destination, &files[0], |content| content.truncate(100)).await,
                // A byte of a page: neither the size nor the footer tell.
                "changed" => edit(&destination, &files[0], |content| content[30] ^= 1).await,
                "gone" => destination.delete(&files[0]).await.unwrap(),
                "foreign" => {
                    let other = LoadPlan { account: "other".to_owned(), ..plan(Append, &[], "r1") };
                    run(&destination, other, &[person("z", "x", "")]).await.unwrap();
                    let theirs = destination.list("people/account=other").await.unwrap();
                    let content = bytes(&destination, &theirs[0]).await;
                    put(&destination, "people/account=acme/copy.parquet", content).await;
                }
                "not parquet" => put(&destination, "people/account=acme/x.parquet", "x").await,
                "unknown to its record" => {
                    let content = bytes(&destination, &files[0]).await;
                    put(&destination, "people/account=acme/copy.parquet", content).await;
                }
                "record cut" => edit(&destination, &record_path(1), |content| content.truncate(100)).await,
                "newest record cut" => edit(&destination, &record_path(3), |content| content.truncate(100)).await,
                "log gone" => {
                    for version in 1..=3 {
                        destination.delete(&record_path(version)).await.unwrap();
                    }
                }
                _ => {
                    for version in 2..=3 {
                        destination.delete(&record_path(version)).await.unwrap();
                    }
                }
            }
            told.push(format!("{kind}:\n{}", findings(&destination).await));
        }
        insta::allow_duplicates! { insta::assert_snapshot!(told.join("\n")) }
    })
    .await;
}

#[tokio::test]
async fn rows_in_the_folder_of_another_partition_are_found() {
    let month = PartitionBy::Month("created_at".to_owned());
    let bucket = PartitionBy::Bucket { column: "id".to_owned(), count: 50 };
    for by in [month, PartitionBy::Year("created_at".to_owned()), bucket] {
        assert_eq!(PartitionBy::parse(&by.to_string()), Some(by.clone()));
        let destination = Destination::in_memory();
        let people = [person("a", "x", "2026-01-05"), person("b", "x", "2025-02-05")];
        let by = [by];
        run(&destination, plan(Merge, &by, "r1"), &people).await.unwrap();
        assert_eq!(findings(&destination).await, "", "{by:?}");
        // Two files change places, and nothing else tells.
        let files = destination.list("people/account=acme").await.unwrap();
        let [one, two] = files.as_slice() else { panic!("{files:?}") };
        let contents = (bytes(&destination, one).await, bytes(&destination, two).await);
        put(&destination, one, contents.1).await;
        put(&destination, two, contents.0).await;
        accept(&destination).await;
        destination.delete(&record_path(1)).await.unwrap();
        let told = findings(&destination).await;
        let of_each = told.lines().filter(|line| line.ends_with("it has 1 row of another partition -> Refresh"));
        assert_eq!((told.lines().count(), of_each.count()), (2, 2), "{told}");
    }
}

#[tokio::test]
async fn a_file_whose_record_was_pruned_is_checked_by_its_footer() {
    on_each_store(async |destination| {
        three_commits(&destination, Append).await;
        destination.delete(&record_path(1)).await.unwrap();
        let verified = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap();
        assert_eq!(verified.findings, []);
        assert_eq!((verified.records, verified.tables[0].files, verified.tables[0].hashed), (2, 2, 2));
        // No record tells which file is gone, but what the tables should hold is known.
        let files = destination.list("people").await.unwrap();
        destination.delete(&files[0]).await.unwrap();
        let told = findings(&destination).await;
        insta::allow_duplicates! { insta::assert_snapshot!(told) }
    })
    .await;
}

#[tokio::test]
async fn a_file_without_a_record_is_read_to_its_end() {
    on_each_store(async |destination| {
        three_commits(&destination, Append).await;
        destination.delete(&record_path(1)).await.unwrap();
        for table in ["people", "people_phones_lines"] {
            let files = destination.list(table).await.unwrap();
            // The first pages, which hold the key; the footer is sound.
            edit(&destination, &files[0], |content| content[4..200].fill(0xff)).await;
        }
        let told = findings(&destination).await;
        insta::allow_duplicates! { insta::assert_snapshot!(told) }
    })
    .await;
}

/// One row of a merged table: its key's columns and what merging adds.
#[derive(Debug, Clone, Copy)]
struct Merged {
    id: &'static str,
    ordinal: i64,
    from: i64,
    to: Option<i64>,
    deleted: Option<i64>,
}

fn merged(id: &'static str) -> Merged {
    Merged { id, ordinal: 0, from: 1, to: None, deleted: None }
}

/// Writes merged tables as a merge leaves them: one sorted anchor a partition, with the columns that merging adds.
async fn write_merged(destination: &Destination, history: bool, tables: &[(&str, &str, Vec<Merged>)], lacking: &str) {
    let report = people();
    let mut files = Vec::new();
    for table in report.tables() {
        let mut parts: Vec<_> = tables.iter().filter(|(name, ..)| *name == table.name).cloned().collect();
        if parts.is_empty() {
            parts.push((&table.name, "kind=x", Vec::new()));
        }
        for (_, partition, rows) in parts {
            let content = merged_file(table, history, &rows, lacking);
            let path = format!("{}/account=acme/{partition}/part-00000.parquet", table.name);
            put(destination, &path, content.clone()).await;
            files.push(CommittedFile {
                table: table.name.clone(),
                path,
                staged: String::new(),
                rows: rows.len() as u64,
                bytes: content.len() as u64,
                sha256: crate::destination::checksum::hex(&<sha2::Sha256 as sha2::Digest>::digest(&content)),
                partition: partition.to_owned(),
                joined: false,
                commits: None,
            });
        }
    }
    let log = ReportLog::new(destination, "acme", "people").unwrap();
    let listing = crate::log::inventory::Listing::default();
    let commit = Commit {
        format: RECORD_FORMAT,
        version: 1,
        run_id: "r1".to_owned(),
        pipeline: "daily".to_owned(),
        account: "acme".to_owned(),
        identity: crate::Owner::default(),
        report: "people".to_owned(),
        committed_at: instant("2026-01-01"),
        write_mode: Merge,
        history,
        partition_by: vec!["kind".to_owned()],
        key: Vec::new(),
        window: Window::default(),
        state: ReportState::default(),
        account_column: false,
        layout: LAYOUT_VERSION,
        inventory: Inventory::after(None, &listing, 1, &files, &[]),
        rebuilt: false,
        files,
        removed: Vec::new(),
        dead_letters: None,
        raw: None,
        seen: None,
        manifest: None,
        failed: None,
        answers: None,
        rows: BTreeMap::new(),
        stats: BTreeMap::new(),
    };
    log.commit(&commit).await.unwrap();
}

fn merged_file(table: &Table, history: bool, rows: &[Merged], lacking: &str) -> Vec<u8> {
    let parent = table.parent.is_none();
    let at =
        |values: Vec<Option<i64>>| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) as ArrayRef;
    let column = |field: &Field| -> ArrayRef {
        match field.name().as_str() {
            "id" | "number" => Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.id))),
            "_ordinal" => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.ordinal))),
            "_parent_ordinal" => Arc::new(Int64Array::from(vec![0; rows.len()])),
            "_extracted_at" => at(vec![Some(1); rows.len()]),
            "_commit" => Arc::new(Int64Array::from(vec![1; rows.len()])),
            "_valid_from" => at(rows.iter().map(|row| Some(row.from)).collect()),
            "_valid_to" => at(rows.iter().map(|row| row.to).collect()),
            "_deleted_at" => at(rows.iter().map(|row| row.deleted).collect()),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    };
    let instant = |name: &str, nullable| {
        Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), nullable)
    };
    let string = |field: &Field| match field.data_type() {
        DataType::Utf8View => field.clone().with_data_type(DataType::Utf8),
        _ => field.clone(),
    };
    let mut fields: Vec<Field> = table.schema.fields().iter().map(|field| string(field)).collect();
    if parent {
        fields.extend([instant("_deleted_at", true), Field::new("_delete_reason", DataType::Utf8, true)]);
    }
    if history {
        fields.extend([instant("_valid_from", false), instant("_valid_to", true)]);
    }
    fields.retain(|field| field.name() != "kind" && field.name() != lacking);
    let columns = fields.iter().map(column).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let pairs = [
        ("ctct.account", "acme"),
        ("ctct.report", "people"),
        ("ctct.table", &table.name),
        ("ctct.commit", "1"),
        ("ctct.run", "r1"),
        ("ctct.write_mode", "merge"),
        ("ctct.history", if history { "true" } else { "false" }),
        ("ctct.partition_by", "[\"kind\"]"),
    ];
    let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value.to_owned())).to_vec();
    // Two rows a group, so that order is seen across groups and batches.
    let properties =
        WriterProperties::builder().set_key_value_metadata(Some(pairs)).set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&concat_batches(&batch.schema(), [&batch]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn rows_of_merged_tables_are_checked_against_each_other() {
    let child = |id, ordinal| Merged { ordinal, ..merged(id) };
    let closed = |id, from, to| Merged { from, to: Some(to), ..merged(id) };
    let people = |rows: &[Merged]| ("people", "kind=x", rows.to_vec());
    let others = |rows: &[Merged]| ("people", "kind=y", rows.to_vec());
    let phones = |rows: &[Merged]| ("people_phones", "kind=x", rows.to_vec());
    let lines = |rows: &[Merged]| ("people_phones_lines", "kind=x", rows.to_vec());
    let [a, b, c] = ["a", "b", "c"].map(merged);
    let cases = [
        (
            "sound",
            false,
            vec![
                people(&[a, b, c]),
                others(&[merged("d")]),
                phones(&[child("a", 0), child("a", 1), child("c", 0)]),
                lines(&[child("a", 0)]),
            ],
            "",
        ),
        ("twice in a partition", false, vec![people(&[a, b, b, c])], ""),
        ("twice over partitions", false, vec![people(&[a, b]), others(&[b, c])], ""),
        ("out of order", false, vec![people(&[a, c, b])], ""),
        ("child out of order", false, vec![people(&[a]), phones(&[child("a", 1), child("a", 0)])], ""),
        ("child without parent", false, vec![people(&[a]), phones(&[child("a", 0), child("b", 0), child("c", 0)])], ""),
        (
            "grandchild without parent",
            false,
            vec![people(&[a, b]), phones(&[child("a", 0)]), lines(&[child("a", 0), child("b", 0)])],
            "",
        ),
        (
            "marked as deleted",
            false,
            vec![people(&[a, Merged { deleted: Some(9), ..b }]), phones(&[child("b", 0)])],
            "",
        ),
        (
            "sound history",
            true,
            vec![people(&[closed("a", 1, 2), Merged { from: 2, ..a }, b]), phones(&[child("a", 0)])],
            "",
        ),
        ("two open versions", true, vec![people(&[Merged { from: 1, ..a }, Merged { from: 2, ..a }])], ""),
        ("history out of order", true, vec![people(&[Merged { from: 2, ..a }, closed("a", 1, 2)])], ""),
        ("no column", false, vec![people(&[a])], "_deleted_at"),
    ];
    let mut told = Vec::new();
    for (case, history, tables, lacking) in cases {
        let destination = Destination::in_memory();
        write_merged(&destination, history, &tables, lacking).await;
        let verified = verify(&destination, "acme", &super::people(), &counting()).await.unwrap();
        let found = findings(&destination).await;
        // The same with one row at a time in memory.
        let small = VerifyOptions { count: true, key_bytes: 1, ..VerifyOptions::default() };
        assert_eq!(verify(&destination, "acme", &super::people(), &small).await.unwrap(), verified, "{case}");
        told.push(format!("{case}: {} current\n{found}", verified.current_rows).trim_end().to_owned());
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn an_appended_child_belongs_to_the_version_of_its_parent_in_the_same_commit() {
    let destination = Destination::in_memory();
    run(&destination, plan(Append, &[], "r1"), &[person("a", "x", "").phone("1", &[])]).await.unwrap();
    // The second commit's file of people is swapped for one without `b`, of the same size or not: its children stay.
    run(&destination, plan(Append, &[], "r2"), &[person("b", "x", "").phone("2", &[])]).await.unwrap();
    let files = destination.list("people").await.unwrap();
    destination.delete(&files[1]).await.unwrap();
    let report = people();
    rebuild(&destination, &super::damage::rebuilding(&report, false)).await.unwrap();
    assert_eq!(findings(&destination).await, "");
    assert_eq!(table(&destination, "people_phones", &["id"]).await, ["a"], "what has no parent any more goes with it");
}
