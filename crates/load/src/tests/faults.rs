//! Runs that meet each other, die, or lose an answer: what readers see then, and what the next run makes of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use super::*;
use WriteMode::{Append, Partition, Replace};

/// A store that fails its mutations from the `calls_left`-th on, before or after they are applied.
#[derive(Debug)]
struct Failing {
    inner: Arc<InMemory>,
    calls_left: AtomicUsize,
    applies: bool,
    /// Fails one call only.
    once: bool,
    /// Ignores create-if-absent.
    overwrites: bool,
}

impl Failing {
    fn new(inner: &Arc<InMemory>, calls_left: usize, applies: bool) -> Self {
        let inner = Arc::clone(inner);
        Self { inner, calls_left: AtomicUsize::new(calls_left), applies, once: false, overwrites: false }
    }

    fn destination(self) -> Destination {
        Destination::with_store(Arc::new(self), "memory://")
    }

    /// Whether this mutation is to fail.
    fn fails(&self) -> bool {
        let left = self.calls_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let fails = left.is_err();
        if fails && self.once {
            self.calls_left.store(usize::MAX, Ordering::SeqCst);
        }
        fails
    }

    async fn mutate<T>(&self, mutation: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
        let fails = self.fails();
        if fails && !self.applies {
            return Err(dead());
        }
        let done = mutation.await;
        if fails { Err(dead()) } else { done }
    }
}

fn dead() -> StoreError {
    StoreError::Generic { store: "Failing", source: "the process died".into() }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Failing")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> StoreResult<PutResult> {
        if self.overwrites {
            options.mode = object_store::PutMode::Overwrite;
        }
        self.mutate(self.inner.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        if !self.fails() {
            return self.inner.delete_stream(paths);
        }
        if self.applies {
            let mut done = self.inner.delete_stream(paths);
            return Box::pin(futures::stream::once(async move {
                while futures::StreamExt::next(&mut done).await.is_some() {}
                Err(dead())
            }));
        }
        Box::pin(futures::stream::once(async { Err(dead()) }))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.mutate(self.inner.copy_opts(from, to, options)).await
    }
}

#[tokio::test]
async fn the_second_of_two_runs_is_fenced_and_harms_nothing() {
    on_each_store(async |destination| {
        run(&destination, plan(Append, &[], "r0"), &[person("a", "x", "")]).await.unwrap();
        let mut first = Session::begin(&destination, plan(Append, &[], "r1")).await.unwrap();
        let mut second = Session::begin(&destination, plan(Append, &[], "r2")).await.unwrap();
        first.write(page(2, &[person("b", "x", "")])).await.unwrap();
        second.write(page(2, &[person("c", "x", "")])).await.unwrap();
        // A run that starts now must leave both stagings alone: either may still commit.
        Session::begin(&destination, plan(Append, &[], "r3")).await.unwrap().abandon().await;
        second.commit(outcome()).await.unwrap();
        let fenced = first.commit(outcome()).await.unwrap_err();
        insta::allow_duplicates! { insta::assert_snapshot!(fenced, @"report `people` of account `acme`: another run (`r2`) committed version 2 first; nothing of this run was kept, start it again") }

        assert_eq!(table(&destination, "people", &["id"]).await, ["a", "c"]);
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_found_to_be_ones_own() {
    // Three data files are put before the record.
    let memory = Arc::new(InMemory::new());
    let store = Failing { once: true, ..Failing::new(&memory, 3, true) };
    let destination = store.destination();
    let done = run(&destination, plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap();
    assert_eq!(done.version, 1);
    assert_eq!(table(&destination, "people", &["id"]).await, ["a"]);
}

#[tokio::test]
async fn a_commit_that_did_not_get_through_is_an_error_and_keeps_its_staging() {
    let memory = Arc::new(InMemory::new());
    let store = Failing { once: true, ..Failing::new(&memory, 3, false) };
    let destination = store.destination();
    let failed = run(&destination, plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap_err();
    insta::assert_snapshot!(failed, @"cannot create `memory://_ctct/acme/people/commits/00000000000000000001.json`: the store failed, see the cause and run again");
    assert!(failed.is_transient());
    assert!(table_files(&destination).await.is_empty());
}

/// The state before the run that dies: two months, one of them in several files, and a table of phones.
async fn prepare(destination: &Destination, mode: WriteMode, by: &[PartitionBy]) {
    let mut small = plan(mode, by, "r0");
    small.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
    let mut session = Session::begin(destination, small).await.unwrap();
    for (id, day) in [("a", "2026-01-01"), ("b", "2026-01-02"), ("c", "2026-02-01")] {
        session.write(page(1, &[person(id, "old", day).phone("1", &["p"])])).await.unwrap();
    }
    session.commit(outcome()).await.unwrap();
}

async fn change(
    destination: &Destination,
    mode: WriteMode,
    by: &[PartitionBy],
    run: &str,
) -> Result<Committed, LoadError> {
    let mut small = plan(mode, by, run);
    small.files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
    let mut session = Session::begin(destination, small).await?;
    let version = session.version();
    for (id, day) in [("b", "2026-01-02"), ("d", "2026-01-03")] {
        session.write(page(version, &[person(id, "new", day)])).await?;
    }
    session.dead_letter(&super::modes::letter("{}")).await?;
    session.commit(outcome()).await
}

#[tokio::test]
async fn a_run_that_dies_after_any_mutation_loses_nothing_and_doubles_nothing() {
    let by = [PartitionBy::Month("created_at".to_owned())];
    for mode in [Append, Replace, Partition] {
        let expected = {
            let destination = Destination::in_memory();
            prepare(&destination, mode, &by).await;
            change(&destination, mode, &by, "r1").await.unwrap();
            table(&destination, "people", &["id", "kind"]).await
        };
        let mut deaths = 0;
        for applies in [false, true] {
            for step in 0.. {
                let memory = Arc::new(InMemory::new());
                let sound = Destination::with_store(Arc::clone(&memory) as Arc<dyn ObjectStore>, "memory://");
                prepare(&sound, mode, &by).await;
                let before = table(&sound, "people", &["id", "kind"]).await;
                let died = change(&Failing::new(&memory, step, applies).destination(), mode, &by, "r1").await.is_err();
                deaths += usize::from(died);

                let seen = table(&sound, "people", &["id"]).await;
                let mut once = seen.clone();
                once.dedup();
                if mode != Append {
                    assert_eq!(seen, once, "{mode:?}, step {step}: a reader saw a row twice");
                }
                let log = ReportLog::new(&sound, "acme", "people").unwrap();
                let head = log.recover().await.unwrap().unwrap();
                let after = table(&sound, "people", &["id", "kind"]).await;
                assert_eq!(&after, if head.version == 2 { &expected } else { &before }, "{mode:?}, step {step}");

                // The next run, whatever it finds, brings the state that was wanted.
                if head.version == 1 {
                    change(&sound, mode, &by, "r2").await.unwrap();
                    assert_eq!(table(&sound, "people", &["id", "kind"]).await, expected);
                }
                assert!(sound.list("_ctct/acme/people/staging").await.unwrap().is_empty(), "{mode:?}, step {step}");
                assert_eq!(sound.list("_ctct/acme/people/dead_letters").await.unwrap().len(), 1);
                if !died {
                    break;
                }
            }
        }
        assert!(deaths > 15, "{mode:?}: {deaths}");
    }
}

#[tokio::test]
async fn the_next_run_publishes_what_a_killed_one_committed() {
    let memory = Arc::new(InMemory::new());
    // Dies at the first rename: three data files and the record are there.
    let store = Failing::new(&memory, 4, false).destination();
    let rows = [person("a", "x", "").phone("1", &["p"])];
    run(&store, plan(Append, &[], "r1"), &rows).await.unwrap_err();
    let destination = Destination::with_store(memory, "memory://");
    assert!(table_files(&destination).await.is_empty());

    let session = Session::begin(&destination, plan(Append, &[], "r2")).await.unwrap();
    assert_eq!(session.version(), 2);
    assert_eq!(session.previous().unwrap().watermark, Some(instant("2026-02-01")));
    assert_eq!(table(&destination, "people", &["id"]).await, ["a"]);
    assert_eq!(table(&destination, "people_phones_lines", &["line"]).await, ["p"]);
}

#[tokio::test]
async fn staging_based_on_an_older_version_is_removed_at_the_next_start() {
    on_each_store(async |destination| {
        let mut dead = plan(Append, &[], "dead");
        dead.files.row_group_bytes = 1;
        dead.files.file_bytes = 1;
        let mut session = Session::begin(&destination, dead).await.unwrap();
        session.write(page(1, &[person("a", "x", "")])).await.unwrap();
        session.write(page(1, &[])).await.unwrap();
        run(&destination, plan(Append, &[], "r1"), &[]).await.unwrap();
        drop(session);
        Session::begin(&destination, plan(Append, &[], "r2")).await.unwrap();
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_store_that_overwrites_where_it_should_create_is_refused() {
    let memory = Arc::new(InMemory::new());
    let store = Failing { overwrites: true, ..Failing::new(&memory, usize::MAX, true) };
    let refused = store.destination().probe().await.unwrap_err();
    insta::assert_snapshot!(refused, @"`memory://` overwrites an object that was to be created only if absent, so two runs could both commit; use a store that honours conditional writes (S3 `If-None-Match`)");
    on_each_store(async |destination| {
        destination.probe().await.unwrap();
        assert!(state_files(&destination).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let destination = Destination::open("file/below", folder.path()).unwrap();
    let refused = destination.probe().await.unwrap_err().to_string();
    let shown = refused.replace(folder.path().to_str().unwrap(), "<folder>");
    let shown = regex_free(&shown);
    insta::assert_snapshot!(shown, @"cannot create `<folder>/file/below/_ctct/probe`: a file is in the way of a folder, move it or choose another destination");
}

/// The text without the probe's random part.
fn regex_free(text: &str) -> String {
    let Some((before, rest)) = text.split_once("/probe-") else { return text.to_owned() };
    let after = rest.find('`').map_or("", |at| &rest[at..]);
    format!("{before}/probe{after}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_folder_that_another_report_tidies_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::open("d", folder.path()).unwrap();
    let write = |report: &'static str| {
        let destination = destination.clone();
        tokio::spawn(async move {
            for _ in 0..300 {
                let state = format!("{report}/staging/0");
                destination.create(&format!("_ctct/acme/{state}/file"), "x".into()).await.unwrap();
                destination.delete(&format!("_ctct/acme/{state}/file")).await.unwrap();
                destination.tidy(&format!("_ctct/acme/{state}")).await;
            }
        })
    };
    for writer in ["contacts", "contact_lists", "email_campaigns"].map(write) {
        writer.await.unwrap();
    }
}
