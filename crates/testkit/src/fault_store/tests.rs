//! The store does to a mutation what its script says, and is the store behind it otherwise.

use std::time::Duration;

use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutMode};

use super::*;
use crate::Hold;

fn path(text: &str) -> Path {
    Path::from(text)
}

fn memory() -> (Arc<InMemory>, FaultStore) {
    let inner = Arc::new(InMemory::new());
    (Arc::clone(&inner), FaultStore::new(inner))
}

async fn listed(store: &dyn ObjectStore) -> Vec<String> {
    let mut found: Vec<String> =
        store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    found.sort();
    found
}

#[tokio::test]
async fn without_a_fault_it_is_the_store_behind_it() {
    let (inner, store) = memory();
    let put = store.put_opts(&path("a"), "1".into(), PutMode::Create.into()).await.unwrap();
    assert!(matches!(
        store.put_opts(&path("a"), "2".into(), PutMode::Create.into()).await,
        Err(Error::AlreadyExists { .. })
    ));
    assert_eq!(store.head(&path("a")).await.unwrap().e_tag, put.e_tag);
    store.rename(&path("a"), &path("b")).await.unwrap();
    store.copy(&path("b"), &path("c")).await.unwrap();
    let mut upload = store.put_multipart(&path("d")).await.unwrap();
    for part in ["x", "y"] {
        upload.put_part(part.into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(inner.get(&path("d")).await.unwrap().bytes().await.unwrap(), "xy");
    store.delete(&path("c")).await.unwrap();
    assert_eq!(listed(&store).await, ["b", "d"]);
    let mutations: Vec<String> = store.mutations().iter().map(ToString::to_string).collect();
    assert_eq!(
        mutations,
        ["Put a", "Put a", "Copy b", "Delete a", "Copy c", "Part d", "Part d", "Complete d", "Delete c"]
    );
    assert_eq!(store.met(), 0);
}

#[tokio::test]
async fn a_rename_that_is_no_single_step_can_break_in_the_middle() {
    let (inner, store) = memory();
    inner.put(&path("a"), "1".into()).await.unwrap();
    store.script(Spot::nth(0).by(Operation::Delete), Fault::Crash);
    store.rename(&path("a"), &path("b")).await.unwrap_err();
    assert_eq!(listed(inner.as_ref()).await, ["a", "b"]);
}

#[tokio::test]
async fn a_rename_of_a_local_disk_is_one_step() {
    let folder = tempfile::tempdir().unwrap();
    let inner = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    inner.put(&path("a"), "1".into()).await.unwrap();
    let store = FaultStore::with_atomic_rename(Arc::clone(&inner) as Arc<dyn ObjectStore>);
    store.script(Spot::nth(0), Fault::FailAfterApply);
    store.rename(&path("a"), &path("b")).await.unwrap_err();
    assert_eq!(listed(inner.as_ref()).await, ["b"]);
    assert_eq!(store.mutations().len(), 1);
}

#[tokio::test]
async fn rejected_is_not_applied_and_a_lost_answer_is() {
    let (inner, store) = memory();
    store.script(Spot::nth(1).on("*.json"), Fault::Reject);
    store.script(Spot::nth(2).on("*.json"), Fault::FailAfterApply);
    store.script(Spot::nth(0).by(Operation::Delete), Fault::RejectAs(io::ErrorKind::StorageFull));
    for name in ["0.json", "x", "1.json", "2.json", "3.json"] {
        let put = store.put(&path(name), "1".into()).await;
        assert_eq!(put.is_err(), ["1.json", "2.json"].contains(&name), "{name}");
    }
    let full = store.delete(&path("x")).await.unwrap_err();
    assert!(std::error::Error::source(&full).unwrap().downcast_ref::<io::Error>().is_some());
    assert_eq!(listed(inner.as_ref()).await, ["0.json", "2.json", "3.json", "x"]);
    assert_eq!(store.met(), 3);
}

#[tokio::test]
async fn a_part_that_is_rejected_is_not_in_the_object() {
    let (inner, store) = memory();
    store.script(Spot::nth(1).by(Operation::Part), Fault::Reject);
    let mut upload = store.put_multipart(&path("a")).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    upload.put_part("y".into()).await.unwrap_err();
    upload.put_part("z".into()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(inner.get(&path("a")).await.unwrap().bytes().await.unwrap(), "xz");
}

#[tokio::test]
async fn after_a_crash_nothing_works_and_nothing_is_applied() {
    for (fault, left) in [(Fault::Crash, vec!["a"]), (Fault::CrashAfterApply, vec!["a", "b"])] {
        let (inner, store) = memory();
        store.script(Spot::nth(1), fault);
        store.put(&path("a"), "1".into()).await.unwrap();
        store.put(&path("b"), "1".into()).await.unwrap_err();
        store.put(&path("c"), "1".into()).await.unwrap_err();
        store.delete(&path("a")).await.unwrap_err();
        store.get(&path("a")).await.unwrap_err();
        store.put_multipart(&path("d")).await.unwrap_err();
        assert!(store.list(None).try_collect::<Vec<_>>().await.is_err());
        assert_eq!(listed(inner.as_ref()).await, left);
        assert_eq!(store.mutations().len(), 2);
    }
}

#[tokio::test]
async fn a_crash_leaves_the_half_of_a_file_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let inner: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    for (dies, left) in [(false, 0), (true, 1)] {
        let store = FaultStore::with_atomic_rename(Arc::clone(&inner));
        let mut upload = store.put_multipart(&path("a")).await.unwrap();
        upload.put_part("x".into()).await.unwrap();
        if dies {
            store.script(Spot::nth(0), Fault::Crash);
            upload.complete().await.unwrap_err();
        } else {
            upload.abort().await.unwrap();
        }
        drop(upload);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), left);
    }
}

#[tokio::test]
async fn a_mutation_waits_until_it_is_let_go() {
    let (inner, store) = memory();
    let (store, hold) = (Arc::new(store), Hold::new());
    store.script(Spot::nth(0), Fault::Hold(hold.clone()));
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.put(&path("a"), "1".into()).await }
    });
    hold.reached().await;
    store.put(&path("b"), "1".into()).await.unwrap();
    assert_eq!(listed(inner.as_ref()).await, ["b"]);
    hold.release();
    waiting.await.unwrap().unwrap();
    assert_eq!(listed(inner.as_ref()).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_mutation_takes_time_of_the_paused_clock_alone() {
    let (_, store) = memory();
    store.script(Spot::every(), Fault::Slow(Duration::from_mins(1)));
    let before = tokio::time::Instant::now();
    for name in ["a", "b"] {
        store.put(&path(name), "1".into()).await.unwrap();
    }
    assert_eq!(before.elapsed().as_secs(), 120);
}
