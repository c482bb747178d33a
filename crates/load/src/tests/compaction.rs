//! Small files that become fewer: rows stay, readers never see one twice, and a run that dies on the way loses none.

use object_store::memory::InMemory;
use object_store::{ObjectStore, PutPayload};
use proptest::prelude::*;

use super::faults::Failing;
use super::*;
use WriteMode::{Append, Merge, Partition, Replace};

const TABLES: [&str; 3] = ["people", "people_phones", "people_phones_lines"];

fn by_month() -> Vec<PartitionBy> {
    vec![PartitionBy::Month("created_at".to_owned())]
}

/// The rows of a run: one a month, each with a phone and two lines.
fn rows_of(run: i64) -> Vec<Person> {
    let row =
        |month: i64| person(&format!("{run:03}-{month}"), "x", &format!("2026-0{month}-01")).phone("1", &["p", "q"]);
    vec![row(2), row(1)]
}

/// Every row of every table that a reader sees.
async fn seen_rows(destination: &Destination) -> Vec<String> {
    let mut seen = Vec::new();
    for (name, columns) in TABLES.iter().zip([&["id", "kind"][..], &["number"], &["number", "line"]]) {
        let columns = [&["id", "_commit", "_extracted_at", "_ordinal"], columns].concat();
        seen.extend(table(destination, name, &columns).await.into_iter().map(|row| format!("{name}: {row}")));
    }
    seen
}

fn twice(rows: &[String]) -> bool {
    rows.windows(2).any(|pair| pair[0] == pair[1])
}

async fn append(destination: &Destination, run_number: i64) -> Result<Committed, LoadError> {
    run(destination, plan(Append, &by_month(), &format!("r{run_number}")), &rows_of(run_number)).await
}

async fn planned(destination: &Destination, files: &FileOptions) -> Compaction {
    Compaction::plan(destination, "acme", &people(), files).await.unwrap().unwrap()
}

async fn head(destination: &Destination) -> Commit {
    ReportLog::new(destination, "acme", "people").unwrap().head().await.unwrap().unwrap()
}

#[tokio::test]
async fn an_appending_run_joins_small_files_of_its_partitions_on_the_way() {
    on_each_store(async |destination| {
        let mut expected = Vec::new();
        for number in 1..=20 {
            let done = append(&destination, number).await.unwrap();
            // What was joined is not told as written.
            let totals: Vec<_> = done.tables.iter().map(|table| (table.rows, table.files)).collect();
            assert_eq!(totals, [(2, 2), (2, 2), (4, 2)], "run {number}");
            assert_eq!(head(&destination).await.rows["people"], 2);
            for month in ["1", "2"] {
                expected.push(format!("created_at_month=2026-0{month} {number:03}-{month} {number}"));
            }
            expected.sort();
            assert_eq!(table(&destination, "people", &["id", "_commit"]).await, expected, "run {number}");
            assert!(table_files(&destination).await.len() <= 3 * 2 * 9, "run {number}");
        }
        assert!(!twice(&seen_rows(&destination).await));
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
        for path in destination.list("people").await.unwrap() {
            let ids: Vec<_> = read(&destination, &path).await.iter().map(|row| row["id"].clone()).collect();
            assert!(ids.is_sorted_by_key(|id| id.as_str().unwrap().to_owned()), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn partitions_that_a_run_does_not_add_to_stay_as_they_are() {
    on_each_store(async |destination| {
        for number in 1..=8 {
            append(&destination, number).await.unwrap();
        }
        let january = "people/account=acme/created_at_month=2026-01";
        let before = destination.list(january).await.unwrap();
        let february = [person("new", "x", "2026-02-02")];
        run(&destination, plan(Append, &by_month(), "r9"), &february).await.unwrap();
        assert_eq!(destination.list(january).await.unwrap(), before);
        assert_eq!(destination.list("people/account=acme/created_at_month=2026-02").await.unwrap().len(), 2);
        // The run brought no phones, so their files were left alone.
        assert_eq!(destination.list("people_phones").await.unwrap().len(), 16);
    })
    .await;
}

#[tokio::test]
async fn compaction_joins_all_small_files_and_keeps_rows_and_state() {
    on_each_store(async |destination| {
        let since = Repeats::Since { columns: vec!["created_at".to_owned()] };
        for number in 1..=5 {
            let plan = LoadPlan { repeats: since.clone(), ..plan(Append, &by_month(), &format!("r{number}")) };
            run(&destination, plan, &rows_of(number)).await.unwrap();
        }
        let (before, previous) = (seen_rows(&destination).await, head(&destination).await);
        let compaction = planned(&destination, &FileOptions::default()).await;
        let wanted: Vec<_> =
            compaction.tables().iter().map(|table| (table.partitions, table.files, table.joined_files)).collect();
        assert_eq!(wanted, [(2, 10, 0); 3]);
        // Planning changes nothing.
        assert_eq!(seen_rows(&destination).await, before);
        assert_eq!(head(&destination).await, previous);

        let done = compaction.carry_out("c1", instant("2026-03-01")).await.unwrap();
        assert_eq!(done.version, 6);
        let joined: Vec<_> =
            done.tables.iter().map(|table| (table.table.as_str(), table.files, table.joined_files)).collect();
        assert_eq!(joined, TABLES.map(|table| (table, 10, 2)));
        assert_eq!(seen_rows(&destination).await, before);
        assert_eq!(
            destination.list("people").await.unwrap(),
            [1, 2].map(|month| format!(
                "people/account=acme/created_at_month=2026-0{month}/00000000000000000006-c1-j0000{}.parquet",
                month - 1
            ))
        );
        let commit = head(&destination).await;
        assert_eq!((&commit.state, commit.write_mode), (&previous.state, Append));
        assert_eq!(commit.seen.unwrap().path, previous.seen.as_ref().unwrap().path);
        assert_eq!(commit.rows.values().sum::<u64>(), 0);
        assert!(commit.files.iter().all(|file| file.joined));

        // Again there is nothing to do, and the next run goes on as if nothing had been.
        assert!(planned(&destination, &FileOptions::default()).await.tables().is_empty());
        let again = LoadPlan { repeats: since, ..plan(Append, &by_month(), "r7") };
        assert_eq!(run(&destination, again, &rows_of(5)).await.unwrap().repeated, 2);
        assert_eq!(seen_rows(&destination).await, before);
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn joined_row_groups_are_full_and_sorted_and_files_end_where_they_should() {
    on_each_store(async |destination| {
        let mut expected = Vec::new();
        for number in 0..6 {
            let rows: Vec<Person> =
                (0..100).map(|row| person(&format!("{:03}-{number}", 99 - row), "x", "2026-01-01")).collect();
            expected.extend(rows.iter().map(|row| row.id.clone()));
            let mut small = plan(Append, &[], &format!("r{number}"));
            small.files.row_group_bytes = 4 << 10;
            run(&destination, small, &rows).await.unwrap();
        }
        expected.sort();
        let groups_of = async |path: &str| {
            let file = ParquetRecordBatchReaderBuilder::try_new(bytes(&destination, path).await).unwrap();
            file.metadata()
                .row_groups()
                .iter()
                .map(parquet::file::metadata::RowGroupMetaData::num_rows)
                .collect::<Vec<_>>()
        };
        let paths = destination.list("people").await.unwrap();
        assert!(groups_of(&paths[0]).await.len() > 1);
        planned(&destination, &FileOptions::default()).await.carry_out("c", instant("2026-03-01")).await.unwrap();
        let paths = destination.list("people").await.unwrap();
        assert_eq!(paths.len(), 1);
        assert_eq!(groups_of(&paths[0]).await, [600]);
        let ids: Vec<_> = read(&destination, &paths[0]).await.iter().map(|row| row["id"].clone()).collect();
        assert_eq!(ids, expected);
    })
    .await;
}

#[tokio::test]
async fn large_files_are_not_written_again() {
    on_each_store(async |destination| {
        let large: Vec<Person> = (0..3_000).map(|id| person(&format!("large-{id}"), "x", "")).collect();
        run(&destination, plan(Append, &[], "large"), &large).await.unwrap();
        let path = destination.list("people").await.unwrap().remove(0);
        let content = bytes(&destination, &path).await;
        for number in 0..12 {
            let mut small = plan(Append, &[], &format!("r{number}"));
            small.files.file_bytes = 16 * (content.len() as u64 - 1);
            run(&destination, small, &[person(&format!("small-{number}"), "x", "")]).await.unwrap();
        }
        assert!(destination.list("people").await.unwrap().len() < 10, "small files were joined");
        let files = FileOptions { file_bytes: content.len() as u64 * 2 - 2, ..FileOptions::default() };
        planned(&destination, &files).await.carry_out("c", instant("2026-03-01")).await.unwrap();
        assert_eq!(bytes(&destination, &path).await, content);
        assert_eq!(table(&destination, "people", &["id"]).await.len(), 3_012);
        assert_eq!(destination.list("people").await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn replaced_partitions_are_joined_into_their_anchor() {
    on_each_store(async |destination| {
        for mode in [Replace, Partition] {
            let mut many = plan(mode, &by_month(), &format!("{mode:?}"));
            many.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
            let mut session = Session::begin(&destination, many).await.unwrap();
            for number in 1..=3 {
                session.write(page(session.version(), &rows_of(number))).await.unwrap();
            }
            session.commit(outcome()).await.unwrap();
            let before = seen_rows(&destination).await;
            assert_eq!(destination.list("people").await.unwrap().len(), 6);
            planned(&destination, &FileOptions::default()).await.carry_out("c", instant("2026-03-01")).await.unwrap();
            assert_eq!(seen_rows(&destination).await, before);
            assert_eq!(
                destination.list("people").await.unwrap(),
                ["1", "2"]
                    .map(|month| format!("people/account=acme/created_at_month=2026-0{month}/part-00000.parquet"))
            );
            assert_eq!(head(&destination).await.write_mode, mode);
        }
    })
    .await;
}

#[tokio::test]
async fn there_is_nothing_to_join_in_merged_tables_and_where_nothing_is_stored() {
    let destination = Destination::in_memory();
    let nothing = Compaction::plan(&destination, "acme", &people(), &FileOptions::default()).await.unwrap();
    assert!(nothing.is_none());
    run(&destination, plan(Append, &[], "r1"), &rows_of(1)).await.unwrap();
    assert!(planned(&destination, &FileOptions::default()).await.tables().is_empty());

    let mut commit = head(&destination).await;
    (commit.version, commit.write_mode) = (2, Merge);
    ReportLog::new(&destination, "acme", "people").unwrap().commit(&commit).await.unwrap();
    let compaction = planned(&destination, &FileOptions::default()).await;
    assert_eq!((compaction.write_mode(), compaction.tables()), (Merge, vec![]));
}

#[tokio::test]
async fn files_of_an_older_schema_are_joined_and_foreign_ones_left_alone() {
    let destination = Destination::in_memory();
    let report = people();
    let table_of_people = &report.tables()[0];
    let put = async |name: &str, columns: &[usize], metadata: &[(&str, String)]| {
        let mut older = table_of_people.clone();
        older.schema = Arc::new(older.schema.project(columns).unwrap());
        let layout = Arc::new(FileLayout::new(&older, &[], metadata, &FileOptions::default()).unwrap());
        let mut encoder = TableEncoder::new(&layout).unwrap();
        encoder.push(page(1, &[person(name, "x", "2026-01-01")])[0].batch.project(columns).unwrap());
        let path = format!("people/account=acme/{name}.parquet");
        let payload = PutPayload::from(encoder.finish().unwrap().0);
        destination.store.put(&destination.key(&path).unwrap(), payload).await.unwrap();
    };
    for number in 1..=3 {
        run(&destination, plan(Append, &[], &format!("r{number}")), &[person(&format!("p{number}"), "x", "")])
            .await
            .unwrap();
    }
    let ours = [("ctct.account", "acme".to_owned()), ("ctct.table", "people".to_owned())];
    let all: Vec<usize> = (0..table_of_people.schema.fields().len()).collect();
    put("without-kind", &[&all[..1], &all[2..]].concat(), &ours).await;
    put("without-id", &all[1..], &ours).await;
    put("another-account", &all, &[("ctct.account", "b".to_owned()), ours[1].clone()]).await;
    put("another-table", &all, &[ours[0].clone(), ("ctct.table", "pets".to_owned())]).await;
    let junk = destination.key("people/account=acme/junk.parquet").unwrap();
    destination.store.put(&junk, "no Parquet".into()).await.unwrap();
    accept(&destination).await;

    let done =
        planned(&destination, &FileOptions::default()).await.carry_out("c", instant("2026-03-01")).await.unwrap();
    assert_eq!((done.tables.len(), done.tables[0].files, done.tables[0].joined_files), (1, 4, 1));
    destination.delete("people/account=acme/junk.parquet").await.unwrap();
    let left = destination.list("people").await.unwrap();
    let names: Vec<&str> = left.iter().map(|path| path.rsplit('/').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "00000000000000000005-c-j00000.parquet",
            "another-account.parquet",
            "another-table.parquet",
            "without-id.parquet"
        ]
    );
    let rows = read(&destination, &left[0]).await;
    let kinds: Vec<_> = rows.iter().map(|row| (row["id"].as_str().unwrap(), row.get("kind").is_some())).collect();
    assert_eq!(kinds, [("p1", true), ("p2", true), ("p3", true), ("without-kind", false)]);
}

#[tokio::test]
async fn a_run_that_committed_meanwhile_fences_the_compaction_off() {
    on_each_store(async |destination| {
        for number in 1..=3 {
            append(&destination, number).await.unwrap();
        }
        // One finds its files there still, the other finds them gone.
        for (run_id, gone) in [("r4", false), ("r5", true)] {
            let compaction = planned(&destination, &FileOptions::default()).await;
            if gone {
                run(&destination, plan(Replace, &by_month(), run_id), &rows_of(1)).await.unwrap();
            } else {
                append(&destination, 4).await.unwrap();
            }
            let before = seen_rows(&destination).await;
            let error = compaction.carry_out("c", instant("2026-03-01")).await.unwrap_err();
            assert!(matches!(&error, LoadError::Fenced { winner, .. } if winner == run_id), "{error}");
            assert_eq!(seen_rows(&destination).await, before);
            assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_what_was_written_is_never_joined() {
    let destination = Destination::in_memory();
    for number in 1..=8 {
        append(&destination, number).await.unwrap();
    }
    // The footer is complete, the rows are not.
    let path = destination.list("people").await.unwrap().remove(0);
    let mut content = bytes(&destination, &path).await.to_vec();
    content[4..200].fill(0xFF);
    let key = destination.key(&path).unwrap();
    destination.store.put(&key, content.into()).await.unwrap();
    let files = destination.list("people").await.unwrap().len();
    // What it brought is not published either: the next run after a rebuild resumes from the kept pages.
    let error = append(&destination, 9).await.unwrap_err();
    assert!(matches!(&error, LoadError::Damaged { .. }) && error.to_string().contains(&path), "{error}");
    let error =
        planned(&destination, &FileOptions::default()).await.carry_out("c", instant("2026-03-01")).await.unwrap_err();
    assert!(error.to_string().contains(&path), "{error}");
    assert_eq!(destination.list("people").await.unwrap().len(), files);
    assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
}

#[tokio::test]
async fn joining_that_dies_after_any_mutation_loses_nothing_and_doubles_nothing() {
    for (on_demand, runs, least) in [(true, 3, 15), (false, 8, 20)] {
        let work = async |destination: &Destination, name: &str| {
            if on_demand {
                let files = FileOptions::default();
                let compaction = Compaction::plan(destination, "acme", &people(), &files).await?;
                compaction.unwrap().carry_out(name, instant("2026-03-01")).await.map(drop)
            } else {
                run(destination, plan(Append, &by_month(), name), &rows_of(9)).await.map(drop)
            }
        };
        let on =
            |memory: &Arc<InMemory>| Destination::with_store(Arc::clone(memory) as Arc<dyn ObjectStore>, "memory://");
        let prepared = Arc::new(InMemory::new());
        for number in 1..=runs {
            append(&on(&prepared), number).await.unwrap();
        }
        let sound = on(&Arc::new(prepared.fork()));
        let before = seen_rows(&sound).await;
        work(&sound, "r9").await.unwrap();
        let (expected, files) = (seen_rows(&sound).await, table_files(&sound).await.len());
        assert_eq!(before == expected, on_demand);
        assert!(files <= 12);

        let mut deaths = 0;
        for applies in [false, true] {
            for step in 0.. {
                let memory = Arc::new(prepared.fork());
                let sound = on(&memory);
                let died = work(&Failing::new(&memory, step, applies).destination(), "r9").await.is_err();
                deaths += usize::from(died);
                assert!(!twice(&seen_rows(&sound).await), "step {step}: a reader saw a row twice");
                let log = ReportLog::new(&sound, "acme", "people").unwrap();
                let head = log.recover().await.unwrap().unwrap();
                let committed = head.version > runs;
                let found = seen_rows(&sound).await;
                assert_eq!(&found, if committed { &expected } else { &before }, "step {step}");
                if !committed {
                    work(&sound, "r10").await.unwrap();
                    assert_eq!(seen_rows(&sound).await, expected, "step {step}");
                }
                // A store that fails when files are joined and takes the commit nevertheless leaves them to the next run.
                if !on_demand && table_files(&sound).await.len() > files {
                    append(&sound, 20).await.unwrap();
                    assert!(table_files(&sound).await.len() < 2 * files, "step {step}");
                } else {
                    assert_eq!(table_files(&sound).await.len(), files, "step {step}");
                }
                assert!(sound.list("_ctct/acme/people/staging").await.unwrap().is_empty(), "step {step}");
                if !died {
                    break;
                }
            }
        }
        assert!(deaths > least, "{deaths}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_order_of_runs_and_compactions_keeps_every_row_once(
        steps in prop::collection::vec((0..4_u8, 1..4_usize, 1..4_i64), 1..30),
        row_group_bytes in prop_oneof![Just(1_usize), Just(2_000), Just(8 << 20)],
        file_bytes in prop_oneof![Just(20_000_u64), Just(400_000), Just(128 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let destination = Destination::in_memory();
            let files = FileOptions { row_group_bytes, file_bytes, ..FileOptions::default() };
            let mut expected = Vec::new();
            for (number, (action, rows, month)) in steps.into_iter().enumerate() {
                if action == 0 {
                    let Some(compaction) = Compaction::plan(&destination, "acme", &people(), &files).await.unwrap() else { continue };
                    if !compaction.tables().is_empty() {
                        compaction.carry_out(&format!("c{number}"), instant("2026-03-01")).await.unwrap();
                    }
                } else {
                    let people: Vec<Person> = (0..rows)
                        .map(|row| person(&format!("{row}"), &format!("{number}"), &format!("2026-0{month}-01")).phone("1", &["p"]))
                        .collect();
                    let plan = LoadPlan { files: files.clone(), ..plan(Append, &by_month(), &format!("r{number}")) };
                    let done = run(&destination, plan, &people).await.unwrap();
                    let line = |row: usize| format!("created_at_month=2026-0{month} {row} {number} {}", done.version);
                    expected.extend((0..rows).map(line));
                }
            }
            expected.sort();
            assert_eq!(table(&destination, "people", &["id", "kind", "_commit"]).await, expected);
            assert_eq!(table(&destination, "people_phones", &["id"]).await.len(), expected.len());
        });
    }
}
