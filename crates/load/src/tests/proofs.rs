//! State proves itself: nothing is made of a file that is not what was written, and from any damage a rebuild and a read of
//! everything lead back, every row once.

use super::damage::{edit, put, rebuilding};
use super::*;
use WriteMode::{Append, Merge, Replace};

/// A run that adds what is not stored yet.
fn adding(mode: WriteMode, run: &str) -> LoadPlan {
    LoadPlan { repeats: Repeats::All, ..plan(mode, &[], run) }
}

fn everybody() -> Vec<Person> {
    let phones = |id: &str, number: &str| person(id, "x", "").phone(number, &["p", "q"]);
    vec![phones("a", "1"), phones("b", "2"), person("c", "x", ""), phones("d", "3")]
}

/// Three runs, the later ones bring more.
async fn three_runs(destination: &Destination, mode: WriteMode) {
    let all = everybody();
    for (number, rows) in [(1, &all[..2]), (2, &all[..3]), (3, &all[..])] {
        let brought = if mode == Append || mode == Merge { rows } else { &all[..] };
        run(destination, adding(mode, &format!("r{number}")), brought).await.unwrap();
    }
}

/// What every reader sees once all is well: each row once.
async fn is_whole(destination: &Destination, told: &str) {
    assert_eq!(table(destination, "people", &["id"]).await, ["a", "b", "c", "d"], "{told}");
    assert_eq!(table(destination, "people_phones", &["id", "number"]).await, ["a 1", "b 2", "d 3"], "{told}");
    let lines = ["a 1 p", "a 1 q", "b 2 p", "b 2 q", "d 3 p", "d 3 q"];
    assert_eq!(table(destination, "people_phones_lines", &["id", "number", "line"]).await, lines, "{told}");
    let found = verify(destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
    assert_eq!(found, [], "{told}");
}

const DAMAGES: [&str; 4] = ["gone", "cut", "flipped", "swapped"];

async fn damage(destination: &Destination, path: &str, other: &str, kind: &str) {
    match kind {
        "gone" => destination.delete(path).await.unwrap(),
        "cut" => edit(destination, path, |content| content.truncate(content.len() / 2)).await,
        "flipped" => edit(destination, path, |content| content[20] ^= 1).await,
        _ => put(destination, path, bytes(destination, other).await).await,
    }
}

#[tokio::test]
async fn from_any_damage_of_any_file_a_rebuild_and_a_read_of_everything_lead_back() {
    for mode in [Append, Merge, Replace] {
        let sound = Destination::in_memory();
        three_runs(&sound, mode).await;
        is_whole(&sound, &format!("{mode:?}")).await;
        let mut files = table_files(&sound).await;
        files.extend(sound.list("_ctct/acme/people").await.unwrap());
        for path in &files {
            for kind in DAMAGES {
                let told = format!("{mode:?}: {path} {kind}");
                let destination = Destination::in_memory();
                three_runs(&destination, mode).await;
                let other =
                    files.iter().find(|other| *other != path && other.split('/').nth(3) == path.split('/').nth(3));
                damage(&destination, path, other.unwrap_or(&files[0]), kind).await;
                let rebuilt = rebuild(&destination, &rebuilding(&people(), false)).await.unwrap();
                assert!(matches!(rebuilt, Rebuilt::Done { .. } | Rebuilt::Sound { .. }), "{told}: {rebuilt:?}");
                let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
                assert_eq!(found, [], "{told}: right after the rebuild");
                // Everything is read again, as --full-refresh does.
                for run_id in ["r8", "r9"] {
                    let all = LoadPlan { rebuild: mode != Append, ..adding(mode, run_id) };
                    let mut session = Session::begin(&destination, all).await.unwrap();
                    session.write(page(session.version(), &everybody())).await.unwrap();
                    let absent = if mode == Merge { Absent::Go } else { Absent::Stay };
                    session.commit(RunOutcome { absent, ..outcome() }).await.unwrap();
                    is_whole(&destination, &format!("{told}, {run_id}")).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn no_flipped_bit_is_certified_by_whoever_writes_again() {
    for mode in [Merge, Append] {
        let sound = Destination::in_memory();
        three_runs(&sound, mode).await;
        for path in table_files(&sound).await {
            let size = bytes(&sound, &path).await.len();
            for at in (0..size).step_by(97) {
                let destination = Destination::in_memory();
                three_runs(&destination, mode).await;
                edit(&destination, &path, |content| content[at] ^= 1 << (at % 8)).await;
                let told = format!("{mode:?}: bit of byte {at} of {path}");
                // Another kind and another phone for everybody: each table is written again.
                let changed = everybody().into_iter().map(|person| person.phone("9", &["z"]));
                let changed: Vec<Person> =
                    changed.map(|person| Person { kind: Some("y".to_owned()), ..person }).collect();
                let error = if mode == Merge {
                    run(&destination, adding(mode, "r9"), &changed).await.unwrap_err()
                } else {
                    let options = FileOptions::default();
                    let planned = Compaction::plan(&destination, "acme", &people(), &options).await.unwrap();
                    let carried_out = planned.unwrap().carry_out("c", instant("2026-03-01")).await;
                    // A footer that is broken leaves its file out, as it is.
                    let Err(error) = carried_out else {
                        let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await;
                        assert!(!found.unwrap().findings.is_empty(), "{told}");
                        continue;
                    };
                    error
                };
                let damaged = matches!(error, LoadError::Damaged { .. } | LoadError::Columns { .. });
                assert!(damaged, "{told}: {error}");
                let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
                assert!(!found.is_empty(), "{told}");
            }
        }
    }
}

#[tokio::test]
async fn a_layout_that_is_not_known_is_left_alone() {
    for (layout, told) in [(9, "has layout 9, and this version reads layouts up to 1"), (0, "it has layout 0")] {
        let destination = Destination::in_memory();
        three_runs(&destination, Append).await;
        let head = ReportLog::new(&destination, "acme", "people").unwrap().head().await.unwrap().unwrap();
        let other = Commit { layout, ..head };
        put(&destination, "_ctct/acme/people/commits/00000000000000000003.json", other.to_text().unwrap()).await;
        let error = Session::begin(&destination, adding(Append, "r9")).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn what_readers_would_see_and_no_log_knows_is_named() {
    for (path, told) in [
        ("people/copy.parquet", "no commit wrote it"),
        ("people/account=acme/copy.parquet", "no commit wrote it"),
        ("people_phones/old/x.parquet", "no commit wrote it"),
        ("people/account=other/x.parquet", "no commit log here has the account `other`"),
    ] {
        for mode in [Append, Replace] {
            let destination = Destination::in_memory();
            three_runs(&destination, mode).await;
            put(&destination, path, "x").await;
            let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
            assert!(
                found.iter().any(|finding| finding.what.contains(told) || finding.path.contains("copy")),
                "{path}: {found:?}"
            );
            let error = Session::begin(&destination, adding(mode, "r9")).await.unwrap_err();
            assert!(error.to_string().contains(told), "{mode:?}, {path}: {error}");
        }
    }
}

#[tokio::test]
async fn destinations_in_each_other_are_refused_from_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &str| Destination::open(path, folder.path(), &StoreOptions::default()).unwrap();
    let (outer, inner, beside) = (open("out"), open("out/people"), open("out/more"));
    outer.probe().await.unwrap();
    three_runs(&outer, Append).await;
    assert!(matches!(inner.probe().await, Err(LoadError::Nested { .. })));
    beside.probe().await.unwrap();
    outer.probe().await.unwrap();
    // One that was there first is found by the outer one's runs.
    three_runs(&open("out/people_phones"), Append).await;
    let error = Session::begin(&outer, adding(Append, "r9")).await.unwrap_err();
    assert!(error.to_string().contains("another destination inside"), "{error}");
}

#[tokio::test]
async fn one_account_under_two_labels_is_refused() {
    let destination = Destination::in_memory();
    let identity = Owner { account: Some("id-1".to_owned()), ..Owner::default() };
    let of = |label: &str, run: &str| LoadPlan {
        account: label.to_owned(),
        identity: identity.clone(),
        ..adding(Append, run)
    };
    run(&destination, of("old", "r1"), &everybody()).await.unwrap();
    let error = Session::begin(&destination, of("new", "r2")).await.unwrap_err();
    assert!(matches!(&error, LoadError::TwoLabels { stored, .. } if stored == "old"), "{error}");
    let other = LoadPlan { identity: Owner::default(), ..of("new", "r2") };
    run(&destination, other, &everybody()).await.unwrap();
}

#[tokio::test]
async fn a_copy_of_another_commit_is_found_by_what_it_holds_and_not_by_its_size() {
    let people_of = |kind: &str| vec![person("a", kind, ""), person("b", kind, "")];
    for (put_at, copied_at) in [(3, 2), (3, 1), (2, 3)] {
        let destination = Destination::in_memory();
        let mut copies = Vec::new();
        for number in 1..=3 {
            run(&destination, plan(Merge, &[], &format!("r{number}")), &people_of(&number.to_string())).await.unwrap();
            let [path] = &table_files(&destination)
                .await
                .into_iter()
                .filter(|path| path.starts_with("people/"))
                .collect::<Vec<_>>()[..]
            else {
                panic!("one file");
            };
            copies.push((path.clone(), bytes(&destination, path).await));
            assert_eq!(copies[0].1.len(), copies[copies.len() - 1].1.len(), "sizes tell nothing");
            if number == 2 && put_at == 2 {
                // The log stays that of the second run.
                for path in destination.list("_ctct/acme/people").await.unwrap() {
                    copies.push((path.clone(), bytes(&destination, &path).await));
                }
            }
        }
        let told = format!("the file of commit {copied_at} under the log of commit {put_at}");
        let (path, copy) =
            copies.iter().filter(|(path, _)| path.starts_with("people/")).nth(copied_at - 1).unwrap().clone();
        if put_at == 2 {
            for path in destination.list("_ctct/acme/people").await.unwrap() {
                destination.delete(&path).await.unwrap();
            }
            for (path, content) in copies.iter().filter(|(path, _)| path.starts_with("_ctct")) {
                put(&destination, path, content.clone()).await;
            }
        }
        put(&destination, &path, copy).await;
        let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
        assert!(!found.is_empty(), "{told}");
        let rebuilt = rebuild(&destination, &rebuilding(&people(), false)).await.unwrap();
        assert!(matches!(rebuilt, Rebuilt::Done { .. }), "{told}: {rebuilt:?}");
        let found = verify(&destination, "acme", &people(), &VerifyOptions::default()).await.unwrap().findings;
        assert_eq!(found, [], "{told}");
        run(&destination, plan(Merge, &[], "r9"), &people_of("3")).await.unwrap();
        assert_eq!(table(&destination, "people", &["id", "kind"]).await, ["a 3", "b 3"], "{told}");
    }
}

#[tokio::test]
async fn a_folder_in_the_place_of_a_file_is_damage_and_says_what_to_move() {
    for (mode, place) in [(Append, "/seen/"), (Append, "/manifest/"), (Merge, "people/")] {
        let folder = tempfile::tempdir().unwrap();
        let open = || Destination::open("data", folder.path(), &StoreOptions::default()).unwrap().with_fsync(false);
        let destination = open();
        three_runs(&destination, mode).await;
        let mut files = table_files(&destination).await;
        files.extend(destination.list("_ctct/acme/people").await.unwrap());
        let path = files.iter().rfind(|path| path.contains(place)).unwrap();
        let at = folder.path().join("data").join(path);
        std::fs::remove_file(&at).unwrap();
        std::fs::create_dir(&at).unwrap();
        std::fs::write(at.join("x"), "x").unwrap();
        // A table's file is only gone, until something is to be written there.
        drop(rebuild(&destination, &rebuilding(&people(), false)).await);
        let all = || LoadPlan { rebuild: mode == Merge, ..adding(mode, "r9") };
        let error = run(&destination, all(), &everybody()).await.err();
        if let Some(error) = &error {
            assert!(matches!(error, LoadError::Damaged { .. }), "{place}: {error}");
            assert!(
                error.to_string().contains("a folder is in its place; move the folder away first"),
                "{place}: {error}"
            );
        }
        std::fs::remove_dir_all(&at).unwrap();
        let destination = open();
        rebuild(&destination, &rebuilding(&people(), false)).await.unwrap();
        let again = LoadPlan { run_id: "r10".to_owned(), ..all() };
        run(&destination, again, &everybody()).await.unwrap();
        is_whole(&destination, place).await;
    }
}
