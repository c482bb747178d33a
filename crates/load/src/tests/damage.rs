//! Stored state that contradicts itself: every kind is found before a run begins, and a rebuild repairs it.

use object_store::memory::InMemory;

use super::*;
use WriteMode::{Append, Replace};

pub(super) fn record_path(version: i64) -> String {
    format!("_ctct/acme/people/commits/{version:020}.json")
}

pub(super) async fn put(destination: &Destination, path: &str, bytes: impl Into<Bytes>) {
    destination.store.put(&destination.key(path).unwrap(), bytes.into().into()).await.unwrap();
}

pub(super) async fn edit(destination: &Destination, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut content = bytes(destination, path).await.to_vec();
    edit(&mut content);
    put(destination, path, content).await;
}

/// A run whose next watermark is this day.
pub(super) async fn run_until(destination: &Destination, plan: LoadPlan, rows: &[Person], watermark: &str) {
    let mut session = Box::pin(Session::begin(destination, plan)).await.unwrap();
    let version = session.version();
    if !rows.is_empty() {
        session.write(page(version, rows)).await.unwrap();
    }
    let state = ReportState {
        watermark: Some(instant(watermark)),
        since: Some(instant("2025-01-01")),
        query: "all".to_owned(),
        progress: Some(Progress {
            through: Some("c".to_owned()),
            also: Vec::new(),
            of: "a question".to_owned(),
            period: Vec::new(),
        }),
        ..ReportState::default()
    };
    Box::pin(session.commit(RunOutcome { state, ..outcome() })).await.unwrap();
}

/// Two commits that bring rows and one that finds nothing new.
pub(super) async fn three_commits(destination: &Destination, mode: WriteMode) {
    let first = [person("a", "x", "").phone("1", &["p"]), person("b", "x", "")];
    run_until(destination, plan(mode, &[], "r1"), &first, "2026-01-01").await;
    run_until(destination, plan(mode, &[], "r2"), &[person("c", "y", "").phone("2", &["q"])], "2026-01-02").await;
    if mode == Append {
        run_until(destination, plan(mode, &[], "r3"), &[], "2026-01-03").await;
    }
}

/// The files of the report's own table that a commit wrote, by name.
async fn file_of(destination: &Destination, version: i64) -> String {
    let files = destination.list("people").await.unwrap();
    files.into_iter().find(|path| path.contains(&format!("/{version:020}-"))).unwrap()
}

/// Every way in which the state of appended tables can be broken here.
const KINDS: [&str; 15] = [
    "the log is gone",
    "the newest record is cut",
    "a byte of the newest record is another",
    "the newest record is of another account",
    "the newest record is under another's number",
    "the newest records are gone",
    "the record that names the newest files is gone",
    "the record that names the newest files is cut",
    "a file of the newest change is gone",
    "a file of the newest change is shorter",
    "an older file is gone",
    "an older file is shorter",
    "a table is gone",
    "all tables are gone",
    "a file came from elsewhere",
];

pub(super) async fn break_it(destination: &Destination, kind: &str) {
    let remove = async |path: &str| destination.delete(path).await.unwrap();
    let cut = |content: &mut Vec<u8>| content.truncate(content.len() / 2);
    match kind {
        "the log is gone" => {
            for version in 1..=3 {
                remove(&record_path(version)).await;
            }
        }
        "the newest record is cut" => edit(destination, &record_path(3), cut).await,
        "a byte of the newest record is another" => edit(destination, &record_path(3), |text| text[100] ^= 1).await,
        "the newest record is of another account" => {
            let log = ReportLog::new(destination, "acme", "people").unwrap();
            let head = log.head().await.unwrap().unwrap();
            let other = Commit { account: "other".to_owned(), ..head };
            put(destination, &record_path(3), other.to_text().unwrap()).await;
        }
        "the newest record is under another's number" => {
            let second = bytes(destination, &record_path(2)).await;
            put(destination, &record_path(3), second).await;
        }
        "the newest records are gone" => {
            remove(&record_path(3)).await;
            remove(&record_path(2)).await;
        }
        "the record that names the newest files is gone" => remove(&record_path(2)).await,
        "the record that names the newest files is cut" => edit(destination, &record_path(2), cut).await,
        "a file of the newest change is gone" => remove(&file_of(destination, 2).await).await,
        "a file of the newest change is shorter" => edit(destination, &file_of(destination, 2).await, cut).await,
        "an older file is gone" => remove(&file_of(destination, 1).await).await,
        "an older file is shorter" => edit(destination, &file_of(destination, 1).await, cut).await,
        "a table is gone" => {
            for path in destination.list("people_phones").await.unwrap() {
                remove(&path).await;
            }
        }
        "all tables are gone" => {
            for path in table_files(destination).await {
                remove(&path).await;
            }
        }
        "a file came from elsewhere" => {
            let content = bytes(destination, &file_of(destination, 1).await).await;
            put(destination, "people/account=acme/copy.parquet", content).await;
        }
        kind => panic!("{kind}"),
    }
}

/// Text without what differs between stores and from time to time.
pub(super) fn plain(destination: &Destination, text: &str) -> String {
    let url = destination.url();
    let text = if url.ends_with('/') { text.replace(url, "<url>/") } else { text.replace(url, "<url>") };
    let words = text.split(' ').map(|word| match word.trim_end_matches([',', ':']) {
        number if number.len() > 2 && number.bytes().all(|byte| byte.is_ascii_digit()) => word.replace(number, "<n>"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn refusal(destination: &Destination, mode: WriteMode) -> String {
    match Session::begin(destination, plan(mode, &[], "r9")).await {
        Ok(session) => format!("begins with version {}", session.version()),
        Err(error) => {
            let damaged = matches!(error, LoadError::Damaged { .. } | LoadError::NewerFormat { .. });
            assert!(damaged, "{error:?}");
            plain(destination, &error.to_string())
        }
    }
}

#[tokio::test]
async fn every_kind_of_damage_is_found_before_a_run_begins() {
    on_each_store(async |destination| {
        let folder = destination.url().to_owned();
        let mut told = Vec::new();
        for kind in KINDS {
            let destination = fresh(&destination, kind);
            three_commits(&destination, Append).await;
            break_it(&destination, kind).await;
            let before = everything(&destination).await;
            told.push(format!("{kind}:\n  {}", refusal(&destination, Append).await));
            assert_eq!(everything(&destination).await, before, "{kind}: looking must change nothing");
        }
        assert!(!told.join("\n").contains(&folder) || folder == "memory://");
        insta::allow_duplicates! { insta::assert_snapshot!(told.join("\n")) }
    })
    .await;
}

/// An empty destination of the same kind.
pub(super) fn fresh(like: &Destination, name: &str) -> Destination {
    if like.url() == "memory://" {
        return Destination::in_memory();
    }
    Destination::open(&name.replace(' ', "-"), std::path::Path::new(like.url()), &StoreOptions::default()).unwrap()
}

/// Every object with its size.
pub(super) async fn everything(destination: &Destination) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for folder in ["_ctct", "people", "people_phones", "people_phones_lines"] {
        let objects = destination.objects(folder).await.unwrap();
        found.extend(objects.iter().map(|object| (destination.relative(&object.location).to_owned(), object.size)));
    }
    found.sort();
    found
}

#[tokio::test]
async fn an_anchor_from_an_older_copy_is_found() {
    on_each_store(async |destination| {
        let anchor = "people/account=acme/part-00000.parquet";
        run_until(&destination, plan(Replace, &[], "r1"), &[person("a", "x", "")], "2026-01-01").await;
        let older = bytes(&destination, anchor).await;
        let rows = [person("a", "x", ""), person("b", "another kind", "")];
        run_until(&destination, plan(Replace, &[], "r2"), &rows, "2026-01-02").await;
        put(&destination, anchor, older).await;
        let told = refusal(&destination, Replace).await;
        insta::allow_duplicates! { insta::assert_snapshot!(told, @"`<url>/people/account=acme/part-00000.parquet` is damaged: commit 2 wrote <n> bytes there and it has <n>: it was changed, or put back from an older copy") }
    })
    .await;
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_left_alone() {
    on_each_store(async |destination| {
        three_commits(&destination, Append).await;
        edit(&destination, &record_path(3), |text| {
            let newer = String::from_utf8(text.clone()).unwrap().replace("\"format\": 1", "\"format\": 2");
            *text = newer.into_bytes();
        })
        .await;
        let told = refusal(&destination, Append).await;
        insta::allow_duplicates! { insta::assert_snapshot!(told, @"`<url>/_ctct/acme/people/commits/00000000000000000003.json` has format 2, and this version reads formats up to 1") }
        let before = everything(&destination).await;
        let report = people();
        let error = rebuild(&destination, &rebuilding(&report, false)).await.unwrap_err();
        assert!(matches!(error, LoadError::NewerFormat { .. }), "{error}");
        assert_eq!(everything(&destination).await, before);
    })
    .await;
}

pub(super) fn rebuilding(report: &Report, dry_run: bool) -> Rebuild<'_> {
    let at = instant("2026-03-01");
    Rebuild { pipeline: "daily", account: "acme", report, run_id: "repair", at, dry_run }
}

/// What a rebuild did, for people.
fn shown(destination: &Destination, rebuilt: &Rebuilt) -> String {
    let losses = |losses: &[Loss]| {
        let lines = losses.iter().map(|loss| format!("\n    {}: {}", loss.path, loss.reason));
        lines.collect::<Vec<_>>().concat()
    };
    let text = match rebuilt {
        Rebuilt::Nothing => "nothing to rebuild from".to_owned(),
        Rebuilt::Sound { version, moved } => format!("sound at {version}, {} moved", moved.len()),
        Rebuilt::Refused(files) => format!("refused{}", losses(files)),
        Rebuilt::Done { record, tables, moved, lost, damaged } => {
            let rows: Vec<_> =
                tables.iter().map(|(name, table)| format!("{name} {}/{}", table.files, table.rows)).collect();
            let watermark = record.state.watermark.map_or_else(|| "none".to_owned(), |at| at.date_naive().to_string());
            format!(
                "version {}, watermark {watermark}, progress {}, query `{}`; files/rows {}; {} moved{}{}",
                record.version,
                record.state.progress.is_some(),
                record.state.query,
                rows.join(", "),
                moved.len(),
                losses(lost),
                losses(damaged)
            )
        }
    };
    plain(destination, &text)
}

#[tokio::test]
async fn a_rebuild_mends_every_kind_of_damage_and_never_leaves_the_watermark_ahead() {
    on_each_store(async |destination| {
        let report = people();
        let mut told = Vec::new();
        for kind in KINDS {
            let destination = fresh(&destination, kind);
            three_commits(&destination, Append).await;
            break_it(&destination, kind).await;
            let before = everything(&destination).await;
            let would = rebuild(&destination, &rebuilding(&report, true)).await.unwrap();
            assert_eq!(everything(&destination).await, before, "{kind}: a dry run changes nothing");
            let rebuilt = rebuild(&destination, &rebuilding(&report, false)).await.unwrap();
            assert_eq!(shown(&destination, &rebuilt), shown(&destination, &would), "{kind}");
            told.push(format!("{kind}:\n  {}", shown(&destination, &rebuilt)));
            if matches!(rebuilt, Rebuilt::Refused(_)) {
                assert_eq!(everything(&destination).await, before, "{kind}: a refusal changes nothing");
                continue;
            }
            if matches!(rebuilt, Rebuilt::Sound { .. }) {
                // The manifest proves the files without the record that wrote them.
                let found = verify(&destination, "acme", &report, &VerifyOptions::default()).await.unwrap().findings;
                assert_eq!(found, [], "{kind}");
                continue;
            }
            let Rebuilt::Done { record, moved, lost, .. } = &rebuilt else { panic!("{kind}: {rebuilt:?}") };
            assert_eq!(moved.len(), destination.list("_ctct/acme/people/damaged").await.unwrap().len());
            let log = ReportLog::new(&destination, "acme", "people").unwrap();
            assert_eq!(log.head().await.unwrap().as_ref(), Some(record.as_ref()), "{kind}");
            let staging = destination.list("_ctct/acme/people/staging").await.unwrap();
            assert!(staging.is_empty(), "{kind}: {staging:?}");
            let again =
                rebuild(&destination, &Rebuild { run_id: "again", ..rebuilding(&report, false) }).await.unwrap();
            assert_eq!(again, Rebuilt::Sound { version: record.version, moved: Vec::new() }, "{kind}");
            // Runs go on, and every table can be read.
            run(&destination, plan(Append, &[], "r9"), &[person("z", "x", "")]).await.unwrap();
            for table in report.tables() {
                assert!(!destination.list(&table.name).await.unwrap().is_empty(), "{kind}: {}", table.name);
            }
            let found = verify(&destination, "acme", &report, &VerifyOptions::default()).await.unwrap().findings;
            assert!(found.is_empty(), "{kind}: {lost:?} {found:?}");
        }
        insta::allow_duplicates! { insta::assert_snapshot!(told.join("\n")) }
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_goes_back_to_the_oldest_partition_that_was_put_back() {
    let destination = Destination::in_memory();
    let by = [PartitionBy::Month("created_at".to_owned())];
    let anchor = "people/account=acme/created_at_month=2026-01/part-00000.parquet";
    let write = async |run: &str, rows: &[Person], day: &str| {
        run_until(&destination, plan(WriteMode::Partition, &by, run), rows, day).await;
    };
    write("r1", &[person("a", "x", "2026-01-05"), person("b", "y", "2026-02-05")], "2026-01-01").await;
    let older = bytes(&destination, anchor).await;
    write("r2", &[person("a", "x", "2026-01-05"), person("c", "x", "2026-01-05")], "2026-01-02").await;
    write("r3", &[person("d", "y", "2026-02-05")], "2026-01-03").await;
    put(&destination, anchor, older).await;
    let report = people();
    let rebuilt = rebuild(&destination, &rebuilding(&report, false)).await.unwrap();
    insta::assert_snapshot!(shown(&destination, &rebuilt));
    let Rebuilt::Done { record, .. } = rebuilt else { panic!() };
    assert_eq!(
        (record.write_mode, record.partition_by.as_slice()),
        (WriteMode::Partition, &["month(created_at)".to_owned()][..])
    );
}

#[tokio::test]
async fn a_commit_that_was_published_in_part_and_lost_its_record_is_read_again() {
    let memory = Arc::new(InMemory::new());
    let destination = Destination::with_store(Arc::clone(&memory) as Arc<dyn object_store::ObjectStore>, "memory://");
    run_until(&destination, plan(Append, &[], "r1"), &[person("a", "x", "")], "2026-01-01").await;
    // Three files, the manifest, the record, the removal of the last manifest, the move of one file; then it dies.
    let dies = super::faults::dies_after(&memory, 7);
    let mut session = Session::begin(&dies, plan(Append, &[], "r2")).await.unwrap();
    session.write(page(2, &[person("b", "x", "").phone("1", &["p"])])).await.unwrap();
    let state = ReportState { watermark: Some(instant("2026-01-02")), ..ReportState::default() };
    session.commit(RunOutcome { state, ..outcome() }).await.unwrap_err();
    destination.delete(&record_path(2)).await.unwrap();

    let report = people();
    let rebuilt = rebuild(&destination, &rebuilding(&report, false)).await.unwrap();
    let Rebuilt::Done { record, .. } = rebuilt else { panic!() };
    assert_eq!((record.version, record.state.watermark), (3, Some(instant("2026-01-01"))));
}

#[tokio::test]
async fn a_rebuild_without_anything_stored_does_nothing() {
    on_each_store(async |destination| {
        let report = people();
        let rebuilt = rebuild(&destination, &rebuilding(&report, false)).await.unwrap();
        assert_eq!(rebuilt, Rebuilt::Nothing);
        assert!(everything(&destination).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_and_a_run_fence_each_other() {
    on_each_store(async |destination| {
        three_commits(&destination, Append).await;
        let mut session = Session::begin(&destination, plan(Append, &[], "r4")).await.unwrap();
        session.write(page(4, &[person("z", "x", "")])).await.unwrap();
        break_it(&destination, "an older file is gone").await;
        let report = people();
        let Rebuilt::Done { record, .. } = rebuild(&destination, &rebuilding(&report, false)).await.unwrap() else {
            panic!()
        };
        assert_eq!(record.version, 4);
        assert!(matches!(session.commit(outcome()).await, Err(LoadError::Fenced { .. })));
        assert_eq!(refusal(&destination, Append).await, "begins with version 5");
    })
    .await;
}

#[tokio::test]
async fn an_older_record_that_is_damaged_is_moved_aside_and_the_newest_stays() {
    on_each_store(async |destination| {
        three_commits(&destination, Append).await;
        edit(&destination, &record_path(1), Vec::clear).await;
        let report = people();
        let rebuilt = rebuild(&destination, &rebuilding(&report, false)).await.unwrap();
        assert_eq!(
            plain(&destination, &format!("{rebuilt:?}")),
            "Sound { version: 3, moved: [\"<url>/_ctct/acme/people/damaged/00000000000000000001-repair.json\"] }"
        );
        assert_eq!(refusal(&destination, Append).await, "begins with version 4");
    })
    .await;
}

#[tokio::test]
async fn a_commit_without_files_keeps_naming_the_one_that_had_some() {
    on_each_store(async |destination| {
        three_commits(&destination, Append).await;
        let head = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
        assert_eq!((head.version, head.inventory.changed, head.files.len()), (3, 2, 0));
        let found = everything(&destination).await;
        for (name, table) in &head.inventory.tables {
            let files: Vec<u64> = found
                .iter()
                .filter(|(path, _)| path.starts_with(&format!("{name}/")))
                .map(|(_, bytes)| *bytes)
                .collect();
            assert_eq!((table.files, table.bytes), (files.len() as u64, files.iter().sum()));
        }
    })
    .await;
}

/// Commits without rows, as of a day long after the records were written.
async fn many_commits(destination: &Destination, count: usize) {
    for number in 0..count {
        let session = Session::begin(destination, plan(Append, &[], &format!("r{number}"))).await.unwrap();
        let committed_at = Utc::now() + chrono::TimeDelta::days(31);
        session.commit(RunOutcome { committed_at, ..outcome() }).await.unwrap();
    }
}

async fn versions(destination: &Destination) -> Vec<i64> {
    let log = ReportLog::new(destination, "acme", "people").unwrap();
    log.records().await.unwrap().iter().map(|record| record.version).collect()
}

#[tokio::test]
async fn old_records_are_pruned_but_the_newest_and_the_one_that_names_the_files() {
    on_each_store(async |destination| {
        run(&destination, plan(Append, &[], "first"), &[person("a", "x", "")]).await.unwrap();
        many_commits(&destination, 24).await;
        let kept: Vec<i64> = [1].into_iter().chain(6..=25).collect();
        assert_eq!(versions(&destination).await, kept);
        // The gaps mean nothing, neither to a run nor to those who look.
        run(&destination, plan(Append, &[], "last"), &[person("b", "x", "")]).await.unwrap();
        assert_eq!(verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings, []);
        assert_eq!(table(&destination, "people", &["id"]).await, ["a", "b"]);
    })
    .await;
}

#[tokio::test]
async fn young_records_are_not_pruned() {
    let destination = Destination::in_memory();
    for number in 0..25 {
        run(&destination, plan(Append, &[], &format!("r{number}")), &[]).await.unwrap();
    }
    assert_eq!(versions(&destination).await.len(), 25);
}

#[tokio::test]
async fn a_commit_holds_though_old_records_cannot_be_pruned() {
    let memory = Arc::new(InMemory::new());
    let destination = Destination::with_store(Arc::clone(&memory) as Arc<dyn object_store::ObjectStore>, "memory://");
    many_commits(&destination, 21).await;
    // The record is created, and nothing after it works.
    let dies = super::faults::dies_after(&memory, 1);
    let session = Session::begin(&dies, plan(Append, &[], "last")).await.unwrap();
    let committed_at = Utc::now() + chrono::TimeDelta::days(31);
    let committed = session.commit(RunOutcome { committed_at, ..outcome() }).await.unwrap();
    assert_eq!(committed.version, 22);
    assert_eq!(versions(&destination).await.last(), Some(&22));
}

#[tokio::test]
async fn a_survey_tells_what_is_stored_and_changes_nothing() {
    Box::pin(on_each_store(async |destination| {
        let report = people();
        let empty = survey(&destination, "acme", &report, 5).await.unwrap();
        assert!(empty.head.is_none() && empty.damage.is_none() && empty.history.is_empty());
        three_commits(&destination, Append).await;
        let mut running = Session::begin(&destination, plan(Append, &[], "running")).await.unwrap();
        running.dead_letter(&super::modes::letter("{}")).await.unwrap();
        running.write(page(4, &[person("z", "x", "")])).await.unwrap();
        put(&destination, &format!("_ctct/acme/people/staging/{:020}/dead/x.parquet", 1), "1234").await;
        let before = everything(&destination).await;
        let found = survey(&destination, "acme", &report, 2).await.unwrap();
        assert_eq!(everything(&destination).await, before);
        let versions: Vec<_> = found.history.iter().map(|commit| commit.version).collect();
        assert_eq!((found.records, versions), (3, vec![3, 2]));
        // Rows of the first commit come from footers, since its record was not asked for.
        let tables: Vec<_> = found.tables.iter().map(|size| (size.table.as_str(), size.files, size.rows)).collect();
        assert_eq!(tables, [("people", 2, 3), ("people_phones", 2, 2), ("people_phones_lines", 2, 2)]);
        assert_eq!(
            (found.staged[0].run.as_str(), found.staged[0].group, found.staged[0].dead),
            ("dead", FileGroup { files: 1, bytes: 4 }, true)
        );
        assert!(found.damage.is_none());
        running.abandon().await;

        break_it(&destination, "an older file is gone").await;
        assert!(survey(&destination, "acme", &report, 2).await.unwrap().damage.is_some());
        break_it(&destination, "the newest record is cut").await;
        let damaged = survey(&destination, "acme", &report, 2).await.unwrap();
        assert!(damaged.head.is_none() && damaged.damage.is_some());
        assert_eq!(damaged.history.len(), 1);
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_at_once_never_take_each_other_for_damage() {
    on_each_store(async |destination| {
        for mode in [Append, Replace, WriteMode::Partition] {
            let destination = fresh(&destination, &format!("{mode:?}"));
            let runners = (0..4).map(|runner| {
                let destination = destination.clone();
                tokio::spawn(async move {
                    let by = [PartitionBy::Month("created_at".to_owned())];
                    for turn in 0..12 {
                        let day = ["2026-01-05", "2026-02-05", "2026-03-05"][(runner + turn) % 3];
                        let rows = [person(&format!("{runner}-{turn}"), "x", day).phone("1", &["p"])];
                        match run(&destination, plan(mode, &by, &format!("r{runner}-{turn}")), &rows).await {
                            Ok(_) | Err(LoadError::Fenced { .. }) => {}
                            Err(error) => panic!("{mode:?}: {error}"),
                        }
                        let found = survey(&destination, "acme", &people(), 3).await.unwrap();
                        assert!(found.damage.is_none(), "{mode:?}: {:?}", found.damage);
                    }
                })
            });
            for runner in runners.collect::<Vec<_>>() {
                runner.await.unwrap();
            }
            let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap();
            assert_eq!(found.findings, [], "{mode:?}");
        }
    })
    .await;
}
