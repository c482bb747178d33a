//! Write mode `merge` case by case: what readers find, which files change, and what is refused.

use super::merge_model::timed_page;
use super::*;
use WriteMode::{Append, Merge, Partition, Replace};

const PLAIN: [&str; 4] = ["id", "kind", "_commit", "_deleted_at"];
const VERSIONS: [&str; 5] = ["id", "kind", "_commit", "_valid_from", "_valid_to"];

fn by_month() -> Vec<PartitionBy> {
    vec![PartitionBy::Month("created_at".to_owned())]
}

/// A run of these pages, each with the instant of its response in microseconds.
async fn merge(
    destination: &Destination,
    plan: LoadPlan,
    absent: Absent,
    pages: &[(i64, Vec<Person>)],
) -> Result<Committed, LoadError> {
    let mut session = Box::pin(Session::begin(destination, plan)).await?;
    for (at, people) in pages {
        let page = timed_page(session.version(), *at, people);
        session.write(page).await?;
    }
    Box::pin(session.commit(RunOutcome { absent, committed_at: micros(900), ..outcome() })).await
}

/// A run of one page that arrived at the run's number times 100.
async fn merge_page(destination: &Destination, number: i64, people: &[Person]) -> Committed {
    let plan = plan(Merge, &[], &format!("r{number}"));
    merge(destination, plan, Absent::Stay, &[(number * 100, people.to_vec())]).await.unwrap()
}

fn historic(run: &str) -> LoadPlan {
    LoadPlan { history: true, ..plan(Merge, &[], run) }
}

fn micros(at: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap()
}

fn totals(committed: &Committed, table: usize) -> [u64; 4] {
    let MergeTotals { inserted, updated, unchanged, deleted } = committed.tables[table].merge.unwrap();
    [inserted, updated, unchanged, deleted]
}

#[tokio::test]
async fn the_first_load_is_sorted_and_has_each_key_once() {
    on_each_store(async |destination| {
        let pages = [
            (100, vec![person("c", "old", "").phone("1", &["p"]), person("a", "x", "")]),
            (110, vec![person("b", "x", ""), person("c", "new", "").phone("2", &[])]),
        ];
        let done = merge(&destination, plan(Merge, &[], "r1"), Absent::Stay, &pages).await.unwrap();
        assert_eq!(totals(&done, 0), [3, 0, 0, 0]);
        assert_eq!(
            table_files(&destination).await,
            ["people", "people_phones", "people_phones_lines"]
                .map(|name| format!("{name}/account=acme/part-00000.parquet"))
        );
        let rows = read(&destination, "people/account=acme/part-00000.parquet").await;
        let kinds: Vec<_> = rows.iter().map(|row| format!("{} {}", row["id"], row["kind"])).collect();
        assert_eq!(kinds, [r#""a" "x""#, r#""b" "x""#, r#""c" "new""#]);
        // The phone of the version that lost went with it.
        assert_eq!(table(&destination, "people_phones", &["id", "number"]).await, ["c 2"]);
        assert!(table(&destination, "people_phones_lines", &["id"]).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn rows_take_the_place_of_those_with_their_key() {
    on_each_store(async |destination| {
        merge_page(&destination, 1, &["a", "b", "c"].map(|id| person(id, "x", ""))).await;
        let done =
            merge_page(&destination, 2, &[person("b", "y", ""), person("c", "x", ""), person("d", "x", "")]).await;
        assert_eq!(totals(&done, 0), [1, 1, 1, 0]);
        // `c` was read again as it was, and still is of the first commit.
        let expected = ["a x 1 null", "b y 2 null", "c x 1 null", "d x 2 null"];
        assert_eq!(table(&destination, "people", &PLAIN).await, expected);
    })
    .await;
}

#[tokio::test]
async fn child_rows_follow_their_parent() {
    on_each_store(async |destination| {
        let first = [
            person("a", "x", "").phone("1", &["p", "q"]).phone("2", &["r"]),
            person("b", "x", "").phone("3", &["s"]),
            person("c", "x", "").phone("4", &[]),
        ];
        merge_page(&destination, 1, &first).await;
        let second = [person("a", "x", "").phone("2", &["r"]).phone("1", &["p"]), person("b", "x", "")];
        let done = merge_page(&destination, 2, &second).await;
        assert_eq!(totals(&done, 0), [0, 0, 2, 0]);
        assert_eq!(totals(&done, 1), [0, 2, 0, 1]);
        assert_eq!(
            table(&destination, "people_phones", &["id", "_ordinal", "number", "_commit"]).await,
            ["a 0 2 2", "a 1 1 2", "c 0 4 1"]
        );
        assert_eq!(
            table(&destination, "people_phones_lines", &["id", "number", "_ordinal", "line"]).await,
            ["a 1 0 p", "a 2 0 r"]
        );
    })
    .await;
}

/// The files of a table with what tells whether they were written again.
async fn states(destination: &Destination) -> BTreeMap<String, (Option<String>, DateTime<Utc>)> {
    let mut states = BTreeMap::new();
    for path in table_files(destination).await {
        let object = destination.store.head(&destination.key(&path).unwrap()).await.unwrap();
        states.insert(path, (object.e_tag, object.last_modified));
    }
    states
}

#[tokio::test]
async fn only_partitions_in_which_a_row_changed_are_written() {
    on_each_store(async |destination| {
        let first = [
            person("a", "x", "2026-01-05").phone("1", &[]),
            person("b", "x", "2026-02-05").phone("2", &[]),
            person("c", "x", "2026-03-05").phone("3", &[]),
        ];
        merge(&destination, plan(Merge, &by_month(), "r1"), Absent::Stay, &[(100, first.to_vec())]).await.unwrap();
        let before = states(&destination).await;
        let second =
            vec![person("a", "x", "2026-01-05").phone("1", &[]), person("b", "y", "2026-02-05").phone("2", &[])];
        let done = merge(&destination, plan(Merge, &by_month(), "r2"), Absent::Stay, &[(200, second)]).await.unwrap();
        let mut after = states(&destination).await;
        assert_eq!(done.tables.iter().map(|table| table.files).collect::<Vec<_>>(), [1, 0, 0]);

        let written = "people/account=acme/created_at_month=2026-02/part-00000.parquet";
        assert_ne!(after[written], before[written]);
        after.insert(written.to_owned(), before[written].clone());
        assert_eq!(after, before);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_changes_nothing_writes_no_file_and_moves_the_state() {
    on_each_store(async |destination| {
        let people = [person("a", "x", "").phone("1", &["p"]), person("b", "x", "")];
        merge_page(&destination, 1, &people).await;
        let before = states(&destination).await;
        let mut session = Session::begin(&destination, plan(Merge, &[], "r2")).await.unwrap();
        session.write(timed_page(2, 200, &people)).await.unwrap();
        let state = ReportState { watermark: Some(instant("2026-03-01")), ..ReportState::default() };
        let done = session.commit(RunOutcome { state: state.clone(), ..outcome() }).await.unwrap();
        assert_eq!((done.version, totals(&done, 0), totals(&done, 1)), (2, [0, 0, 2, 0], [0, 0, 1, 0]));
        assert_eq!(states(&destination).await, before);
        let head = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
        assert_eq!((head.version, head.files.len(), head.state), (2, 0, state));

        // Nor does a run without any row.
        let done = merge_page(&destination, 3, &[]).await;
        assert_eq!((done.version, states(&destination).await), (3, before));
    })
    .await;
}

#[tokio::test]
async fn a_run_brings_what_holds_now_though_its_clock_is_behind() {
    on_each_store(async |destination| {
        let run = async |number: i64, at: i64, absent, people: &[Person]| {
            let pages = [(at, people.to_vec())];
            merge(&destination, plan(Merge, &[], &format!("r{number}")), absent, &pages).await.unwrap()
        };
        let both = [person("a", "old", "").phone("1", &[]), person("b", "x", "")];
        run(1, 500, Absent::Stay, &both).await;
        let done = run(2, 200, Absent::Mark(micros(250)), &[person("a", "new", "")]).await;
        assert_eq!(totals(&done, 0), [0, 1, 0, 1]);
        assert_eq!(table(&destination, "people", &PLAIN).await, ["a new 2 null", "b x 2 250"]);
        assert!(table(&destination, "people_phones", &["id", "number"]).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn versions_follow_each_other_in_the_order_of_runs_though_a_clock_is_behind() {
    on_each_store(async |destination| {
        let run = async |number: i64, absent, pages: &[(i64, Vec<Person>)]| {
            merge(&destination, historic(&format!("r{number}")), absent, pages).await.unwrap()
        };
        let a = |kind: &str| vec![person("a", kind, "").phone(kind, &[])];
        run(1, Absent::Stay, &[(500, a("u"))]).await;
        run(2, Absent::Stay, &[(200, a("v")), (600, a("w")), (300, a("x"))]).await;
        let versions = ["a u 1 500 501", "a v 2 501 600", "a w 2 600 601", "a x 2 601 null"];
        assert_eq!(table(&destination, "people", &VERSIONS).await, versions);
        let phones = table(&destination, "people_phones", &["id", "number", "_commit", "_valid_from", "_valid_to"]);
        assert_eq!(phones.await, versions);

        // Two rows of each version of a list stand together.
        let lists = |number: &str| vec![person("b", "x", "").phone(number, &[]).phone("2", &[])];
        run(3, Absent::Stay, &[(700, lists("1")), (710, lists("3"))]).await;
        let findings = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
        assert_eq!(findings, []);

        run(4, Absent::Mark(micros(400)), &[]).await;
        let open = table(&destination, "people", &["kind", "_deleted_at", "_valid_from", "_valid_to"]).await;
        assert!(open.contains(&"x null 601 601".to_owned()) && open.contains(&"x 601 601 null".to_owned()), "{open:?}");
    })
    .await;
}

#[tokio::test]
async fn rows_that_a_complete_read_did_not_bring_are_marked_once_and_cleared_when_they_come_again() {
    on_each_store(async |destination| {
        merge_page(&destination, 1, &["a", "b"].map(|id| person(id, "x", "").phone("1", &[]))).await;
        let sweep = |number: i64, people: Vec<Person>| {
            let plan = plan(Merge, &[], &format!("r{number}"));
            let destination = destination.clone();
            async move {
                let absent = Absent::Mark(micros(number * 100 + 50));
                merge(&destination, plan, absent, &[(number * 100, people)]).await.unwrap()
            }
        };
        let done = sweep(2, vec![person("a", "x", "").phone("1", &[])]).await;
        assert_eq!(totals(&done, 0), [0, 0, 1, 1]);
        let columns = ["id", "_deleted_at", "_delete_reason", "_commit"];
        let marked = ["a null null 1", "b 250 not in a complete read 2"];
        assert_eq!(table(&destination, "people", &columns).await, marked);
        // What hangs on a marked row stays.
        assert_eq!(table(&destination, "people_phones", &["id"]).await, ["a", "b"]);

        let done = sweep(3, vec![person("a", "x", "").phone("1", &[])]).await;
        assert_eq!(totals(&done, 0), [0, 0, 1, 0]);
        assert_eq!(table(&destination, "people", &columns).await, marked);

        merge_page(&destination, 4, &[person("b", "x", "").phone("1", &[])]).await;
        assert_eq!(table(&destination, "people", &columns).await, ["a null null 1", "b null null 4"]);
    })
    .await;
}

#[tokio::test]
async fn rows_go_with_their_children_where_the_run_is_all_there_is() {
    on_each_store(async |destination| {
        let first = [
            person("a", "x", "2026-01-05").phone("1", &["p"]),
            person("b", "x", "2026-01-06").phone("2", &["q"]),
            person("c", "x", "2026-02-05").phone("3", &["r"]),
        ];
        merge(&destination, plan(Merge, &by_month(), "r1"), Absent::Stay, &[(100, first.to_vec())]).await.unwrap();
        let pages = [(200, vec![first[1].clone()])];
        let done = merge(&destination, plan(Merge, &by_month(), "r2"), Absent::Go, &pages).await.unwrap();
        assert_eq!(totals(&done, 0), [0, 0, 1, 2]);
        assert_eq!(table(&destination, "people", &["id", "_commit"]).await, ["created_at_month=2026-01 b 1"]);
        assert_eq!(table(&destination, "people_phones_lines", &["line"]).await, ["created_at_month=2026-01 q"]);
    })
    .await;
}

#[tokio::test]
async fn history_keeps_every_version_with_its_time() {
    on_each_store(async |destination| {
        let run = async |number: i64, absent, pages: &[(i64, Vec<Person>)]| {
            merge(&destination, historic(&format!("r{number}")), absent, pages).await.unwrap()
        };
        let a = |kind: &str, number: &str| vec![person("a", kind, "").phone(number, &[])];
        run(1, Absent::Stay, &[(100, a("x", "1"))]).await;
        // Three versions in one run, of which the second is like the first.
        run(2, Absent::Stay, &[(200, a("y", "1")), (210, a("y", "2")), (220, a("z", "2"))]).await;
        assert_eq!(
            table(&destination, "people", &VERSIONS).await,
            ["a x 1 100 200", "a y 2 200 220", "a z 2 220 null"]
        );
        // Children have a time of their own.
        let phones = ["id", "number", "_commit", "_valid_from", "_valid_to"];
        assert_eq!(table(&destination, "people_phones", &phones).await, ["a 1 1 100 210", "a 2 2 210 null"]);

        let before = states(&destination).await;
        run(3, Absent::Stay, &[(300, a("z", "2"))]).await;
        assert_eq!(states(&destination).await, before);

        run(4, Absent::Mark(micros(450)), &[]).await;
        run(5, Absent::Stay, &[(500, a("z", "2"))]).await;
        let versions = table(&destination, "people", &["kind", "_deleted_at", "_valid_from", "_valid_to"]).await;
        assert_eq!(
            versions,
            ["x null 100 200", "y null 200 220", "z 450 450 500", "z null 220 450", "z null 500 null"]
        );
        assert_eq!(table(&destination, "people_phones", &phones).await, ["a 1 1 100 210", "a 2 2 210 null"]);

        run(6, Absent::Go, &[]).await;
        let open = table(&destination, "people", &["_valid_to"]).await;
        assert_eq!(open, ["200", "220", "450", "500", "900"]);
        assert_eq!(table(&destination, "people_phones", &phones).await, ["a 1 1 100 210", "a 2 2 210 900"]);
    })
    .await;
}

#[tokio::test]
async fn files_have_the_stored_schema_with_comments_and_say_how_they_are_sorted() {
    on_each_store(async |destination| {
        merge(&destination, historic("r1"), Absent::Stay, &[]).await.unwrap();
        for table in people().tables() {
            let path = format!("{}/account=acme/part-00000.parquet", table.name);
            let file = ParquetRecordBatchReaderBuilder::try_new(bytes(&destination, &path).await).unwrap();
            let wanted = stored_schema(table, Merge, true);
            let fields = |schema: &Schema| {
                let fields = schema.fields().iter();
                fields.map(|f| (f.name().clone(), f.is_nullable(), f.metadata()["comment"].clone())).collect::<Vec<_>>()
            };
            assert_eq!(fields(file.schema()), fields(&wanted));
        }
        let names = |mode, history| {
            let schema = stored_schema(&people().tables()[0], mode, history);
            schema.fields().iter().skip(8).map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert!(names(Append, false).is_empty());
        assert_eq!(names(Merge, false), [DELETED_AT, DELETE_REASON]);
        assert_eq!(names(Merge, true), [DELETED_AT, DELETE_REASON, VALID_FROM, VALID_TO]);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_merged_is_refused_before_anything_is_written() {
    let destination = Destination::in_memory();
    let refuse =
        async |by: PartitionBy| Session::begin(&destination, plan(Merge, &[by], "r1")).await.unwrap_err().to_string();
    insta::assert_snapshot!(refuse(PartitionBy::Column("kind".to_owned())).await, @"report `people`, partition_by kind: `kind` may change while a row lives, and merge would leave the row in two partitions; divide by a column that stays as it is (id, created_at), by year, month, day or bucket where it has many values");
    insta::assert_snapshot!(refuse(PartitionBy::Column("id".to_owned())).await, @"report `people`, partition_by id: every row would have a folder of its own; divide by a bucket of the column");
    for fine in [PartitionBy::Bucket { column: "id".to_owned(), count: 4 }, PartitionBy::Year("created_at".to_owned())]
    {
        Session::begin(&destination, plan(Merge, &[fine], "r1")).await.unwrap();
    }
}

#[test]
fn rows_that_only_their_folder_could_tell_apart_are_refused() {
    let by_id = [PartitionBy::Column("id".to_owned())];
    let check = |id: &str| {
        let rows = page(1, &[person("a", "x", ""), person(id, "x", "")]);
        PartitionBy::refuse_unnameable_keys(&by_id, &people(), &rows[0].batch)
    };
    check("b").unwrap();
    let refused = check("").unwrap_err();
    insta::assert_snapshot!(refused, @"report `people`, partition_by id: a row's key cannot be the name of a folder, and merging needs it there; divide by a bucket of the column");
}

#[tokio::test]
async fn a_rebuild_without_a_log_is_refused_where_files_lie() {
    on_each_store(async |destination| {
        run(&destination, plan(Append, &by_month(), "r1"), &[person("a", "x", "2026-01-05")]).await.unwrap();
        for path in destination.list("_ctct").await.unwrap() {
            destination.delete(&path).await.unwrap();
        }
        let rebuild = LoadPlan { rebuild: true, ..plan(Merge, &[], "r2") };
        let refused = run(&destination, rebuild, &[person("b", "x", "")]).await.unwrap_err();
        assert!(matches!(refused, LoadError::Damaged { .. }), "{refused}");
        assert_eq!(table(&destination, "people", &["id"]).await, ["created_at_month=2026-01 a"]);
    })
    .await;
}

#[tokio::test]
async fn tables_of_another_mode_are_refused_unless_they_are_rebuilt() {
    on_each_store(async |destination| {
        let people = [person("a", "x", "2026-01-05").phone("1", &[]), person("b", "x", "2026-02-05")];
        run(&destination, plan(Append, &by_month(), "r1"), &people).await.unwrap();
        let refused = run(&destination, plan(Merge, &by_month(), "r2"), &people).await.unwrap_err();
        insta::allow_duplicates! { insta::assert_snapshot!(refused, @"report `people` of account `acme` is stored by write_mode append, and the pipeline says merge") }

        let rebuild = |plan| LoadPlan { rebuild: true, ..plan };
        run(&destination, rebuild(plan(Merge, &by_month(), "r2")), &people).await.unwrap();
        assert_eq!(
            destination.list("people").await.unwrap(),
            ["2026-01", "2026-02"]
                .map(|month| format!("people/account=acme/created_at_month={month}/part-00000.parquet"))
        );
        for other in [
            plan(Append, &by_month(), "r3"),
            plan(Replace, &by_month(), "r3"),
            plan(Partition, &by_month(), "r3"),
            LoadPlan { history: true, ..plan(Merge, &by_month(), "r3") },
        ] {
            let refused = Session::begin(&destination, other).await.unwrap_err();
            assert!(matches!(refused, LoadError::ModeChanged { .. }), "{refused}");
        }
        let refused = Session::begin(&destination, plan(Merge, &[], "r3")).await.unwrap_err();
        assert!(matches!(refused, LoadError::Repartitioned { .. }), "{refused}");

        // Other folders and columns: what was in the old ones is gone.
        run(&destination, rebuild(historic("r3")), &people[..1]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id", "_valid_to"]).await, ["a null"]);
        run(&destination, rebuild(plan(Append, &[], "r4")), &people[1..]).await.unwrap();
        run(&destination, plan(Append, &[], "r5"), &people[..1]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id"]).await, ["a", "b"]);
        assert!(read(&destination, "people/account=acme/part-00000.parquet").await[0].get("_valid_from").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_does_not_need_the_old_files_to_be_sound() {
    on_each_store(async |destination| {
        merge_page(&destination, 1, &[person("a", "x", ""), person("b", "x", "")]).await;
        let path = destination.key("people/account=acme/part-00000.parquet").unwrap();
        destination.store.put(&path, "no parquet".into()).await.unwrap();
        let pages = [(200, vec![person("b", "y", "")])];
        let damaged = merge(&destination, plan(Merge, &[], "r2"), Absent::Stay, &pages).await.unwrap_err();
        assert!(matches!(damaged, LoadError::Damaged { .. }), "{damaged}");
        let rebuild = LoadPlan { rebuild: true, ..plan(Merge, &[], "r3") };
        merge(&destination, rebuild, Absent::Go, &[(300, vec![person("b", "y", "")])]).await.unwrap();
        assert_eq!(table(&destination, "people", &["id", "kind"]).await, ["b y"]);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_older_than_a_column_is_merged_and_a_newer_one_is_told() {
    on_each_store(async |destination| {
        let people = [person("a", "x", ""), person("b", "x", "")];
        merge_page(&destination, 1, &people).await;
        let path = "people/account=acme/part-00000.parquet";
        // The same rows without `score`, which is null in all of them, and then with a column more.
        for (change, works) in [("score", true), ("more", false)] {
            let old = ParquetRecordBatchReaderBuilder::try_new(bytes(&destination, path).await).unwrap();
            let old = old.build().unwrap().next().unwrap().unwrap();
            let fields = old
                .schema()
                .fields()
                .iter()
                .zip(old.columns())
                .filter(|(field, _)| field.name() != change)
                .map(|(field, column)| (field.name().clone(), Arc::clone(column), field.is_nullable()))
                .collect::<Vec<_>>();
            let more = (change == "more").then(|| (change.to_owned(), Arc::clone(old.column(0)), true));
            let rewritten = RecordBatch::try_from_iter_with_nullable(fields.into_iter().chain(more)).unwrap();
            let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), rewritten.schema(), None).unwrap();
            writer.write(&rewritten).unwrap();
            let file = writer.into_inner().unwrap();
            destination.store.put(&destination.key(path).unwrap(), file.into()).await.unwrap();
            accept(&destination).await;

            let plan = plan(Merge, &[], &format!("r-{change}"));
            let pages = [(200, vec![person("a", "x", ""), person("b", "y", "")])];
            let merged = merge(&destination, plan, Absent::Stay, &pages).await;
            if works {
                assert_eq!(totals(&merged.unwrap(), 0), [0, 1, 1, 0]);
                assert_eq!(table(&destination, "people", &["id", "kind", "score"]).await, ["a x null", "b y null"]);
            } else {
                let refused = merged.unwrap_err();
                assert!(matches!(refused, LoadError::Columns { .. }), "{refused}");
                assert!(refused.to_string().contains("a column `more` that is not known"), "{refused}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn rows_that_do_not_fit_into_memory_make_the_same_tables() {
    let mut seen = Vec::new();
    for memory_bytes in [1, 60_000, 14 << 20] {
        let destination = Destination::in_memory();
        for number in 1..4_i64 {
            let mut plan = plan(Merge, &by_month(), &format!("r{number}"));
            plan.files.memory_bytes = memory_bytes;
            plan.files.row_group_bytes = 20_000;
            let mut session = Session::begin(&destination, plan).await.unwrap();
            for page in 0..12_i64 {
                let people: Vec<Person> = (0..30)
                    .map(|at| (at * 37 + page * 11 + number * 5) % 200)
                    .map(|id| {
                        let day = format!("2026-0{}-05", 1 + id % 3);
                        person(&format!("{id:04}"), &format!("{}", page % 5), &day).phone(&format!("{page}"), &["p"])
                    })
                    .collect();
                session.write(timed_page(number, number * 1000 + page, &people)).await.unwrap();
                assert!(session.held_bytes() <= memory_bytes);
            }
            session.commit(outcome()).await.unwrap();
        }
        let mut all = Vec::new();
        for (name, columns) in [("people", &PLAIN[..]), ("people_phones_lines", &["id", "number", "_ordinal", "line"])]
        {
            all.push(table(&destination, name, columns).await);
        }
        seen.push(all);
    }
    assert!(seen[0][0].len() > 150);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[2]);
}

#[tokio::test]
async fn many_row_groups_are_merged_by_range_and_row_by_row() {
    let destination = Destination::in_memory();
    let everybody = |kind: &str| (0..3000).map(|id| person(&format!("{id:05}"), kind, "")).collect::<Vec<_>>();
    let run = async |number: i64, people: Vec<Person>| {
        let mut plan = plan(Merge, &[], &format!("r{number}"));
        plan.files.row_group_bytes = 30_000;
        merge(&destination, plan, Absent::Stay, &[(number * 100, people)]).await.unwrap()
    };
    run(1, everybody("x")).await;
    let file = bytes(&destination, "people/account=acme/part-00000.parquet").await;
    let groups = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
    assert!(groups.num_row_groups() > 5, "{}", groups.num_row_groups());
    // Every second row of the first third, then few far apart.
    let changed = |id: usize| (id < 1000 && id.is_multiple_of(2)) || id % 500 == 3;
    let second: Vec<Person> =
        everybody("y").into_iter().enumerate().filter(|(id, _)| changed(*id)).map(|(_, p)| p).collect();
    let done = run(2, second.clone()).await;
    assert_eq!(totals(&done, 0), [0, second.len() as u64, 0, 0]);
    let expected: Vec<String> =
        (0..3000).map(|id| format!("{id:05} {}", if changed(id) { "y 2" } else { "x 1" })).collect();
    assert_eq!(table(&destination, "people", &["id", "kind", "_commit"]).await, expected);
    let again = bytes(&destination, "people/account=acme/part-00000.parquet").await;
    let after = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&again).unwrap();
    assert!(after.num_row_groups().abs_diff(groups.num_row_groups()) < 3, "row groups keep their size");
}
