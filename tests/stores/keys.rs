//! What stores do with keys and bytes: many keys, odd ones, large files, and many writers of one key.

use std::collections::BTreeSet;

use ctct_load::{LoadError, PartitionBy, Session, WriteMode, decode_folder};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload};

use crate::sessions::{load, noise, outcome, page, plan};
use crate::store::Store;

/// More than one page of a listing.
const MANY: usize = 1_205;

#[tokio::test(flavor = "multi_thread")]
async fn one_of_sixteen_creates_at_once_wins() {
    for store in Store::atomic("create") {
        let client = store.client();
        for round in 0..5 {
            let key = Path::from(format!("one-{round}"));
            let create = async |writer: usize| {
                client.put_opts(&key, PutPayload::from(format!("{writer}")), PutMode::Create.into()).await.is_ok()
            };
            let created = futures::future::join_all((0..16).map(create)).await;
            let winners: Vec<usize> = (0..16).filter(|writer| created[*writer]).collect();
            let held = client.get(&key).await.unwrap().bytes().await.unwrap();
            // A writer whose answer was lost, and whose client sent again, does not know that it has won: there may be none
            // that does, and never two.
            assert!(winners.len() <= 1, "{}, round {round}: {winners:?}", store.name);
            assert!(winners.iter().all(|winner| held == winner.to_string()), "{}", store.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_eight_commits_at_once_wins_and_the_others_leave_nothing() {
    for store in Store::atomic("commit") {
        let destination = store.destination();
        let begin = async |run: usize| {
            let run = format!("run{run}");
            let mut session =
                Session::begin(&destination, plan(&destination, WriteMode::Append, &[], &run)).await.unwrap();
            session.write(page(&[(run, String::new())])).await.unwrap();
            session
        };
        let sessions = futures::future::join_all((0..8).map(begin)).await;
        let commits = futures::future::join_all(sessions.into_iter().map(|session| session.commit(outcome()))).await;
        let winners: Vec<usize> = (0..8).filter(|run| commits[*run].is_ok()).collect();
        let fenced =
            commits.iter().filter(|commit| matches!(commit, Err(LoadError::Fenced { version: 1, .. }))).count();
        assert_eq!((winners.len(), fenced), (1, 7), "{}: {commits:#?}", store.name);
        let rows = store.rows("contact_lists").await;
        assert_eq!(rows.len(), 1, "{}", store.name);
        assert_eq!(rows[0]["name"], format!("run{}", winners[0]), "{}", store.name);
        let state = store.keys("_ctct").await;
        assert_eq!(state.len(), 2, "{}: the record and its manifest: {state:?}", store.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_many_parts_arrives_whole() {
    let rows = noise(3_600);
    for store in Store::all("parts") {
        let destination = store.destination();
        let committed = load(&destination, plan(&destination, WriteMode::Replace, &[], "large"), &rows).await.unwrap();
        let [table] = committed.tables.as_slice() else { panic!("{committed:?}") };
        assert!(table.files == 1 && table.bytes > 10 << 20, "more than two parts of 5 MiB: {table:?}");

        let [key] = store.keys("contact_lists").await.try_into().unwrap();
        let object = store.client().head(&Path::parse(&key).unwrap()).await.unwrap();
        assert_eq!(object.size, table.bytes, "{}", store.name);
        let found = store.rows("contact_lists").await;
        assert_eq!(found.len(), rows.len(), "{}", store.name);
        for row in found {
            let at: usize = row["list_id"].as_str().unwrap().parse().unwrap();
            assert_eq!((row["name"].as_str(), row["description"].as_str()), (Some(&*rows[at].0), Some(&*rows[at].1)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partition_values_with_any_character_survive_the_store() {
    let names = [
        "a b",
        "50%",
        "%2F",
        "a/b",
        "a+b=c&d",
        "ü-ß-漢",
        "#?;:@,$",
        "..",
        ".hidden",
        "it's \"quoted\"",
        "back\\slash",
        "~*()!",
    ];
    let rows: Vec<(String, String)> = names.iter().map(|name| ((*name).to_owned(), format!("of {name}"))).collect();
    let by = [PartitionBy::Column("name".to_owned())];
    for store in Store::all("odd +=%25 ü") {
        let destination = store.destination();
        for run in ["first", "second"] {
            let plan = plan(&destination, WriteMode::Replace, &by, run);
            load(&destination, plan, &rows).await.unwrap();
            let keys = store.keys("contact_lists").await;
            let folder = |key: &String| {
                let folder = key.split('/').find_map(|part| part.strip_prefix("name=")).unwrap().to_owned();
                decode_folder(&folder).unwrap()
            };
            let folders: BTreeSet<String> = keys.iter().map(folder).collect();
            assert_eq!(folders, names.iter().map(|name| (*name).to_owned()).collect(), "{}", store.name);
            assert_eq!(keys.len(), names.len(), "{}, {run}: {keys:?}", store.name);
            let texts: BTreeSet<String> =
                store.rows("contact_lists").await.iter().map(|row| row["description"].to_string()).collect();
            assert_eq!(texts.len(), names.len(), "{}", store.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_more_than_a_thousand_keys_is_whole() {
    let rows: Vec<(String, String)> = (0..MANY).map(|at| (format!("n{at}"), String::new())).collect();
    let by = [PartitionBy::Column("name".to_owned())];
    for store in Store::all("many") {
        let destination = store.destination();
        load(&destination, plan(&destination, WriteMode::Replace, &by, "first"), &rows).await.unwrap();
        assert_eq!(store.keys("contact_lists").await.len(), MANY, "{}", store.name);

        // A snapshot without partitions takes the place of every file of the table, and knows them by listing it.
        load(&destination, plan(&destination, WriteMode::Replace, &[], "second"), &rows[..1]).await.unwrap();
        let left = store.keys("contact_lists").await;
        assert_eq!(left, ["contact_lists/account=acme/part-00000.parquet"], "{}", store.name);
    }
}
