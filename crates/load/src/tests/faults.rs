//! Runs that meet each other, die, or lose a response: what readers see then, and what the next run makes of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use super::*;
use WriteMode::{Append, Merge, Partition, Replace};

/// A store that fails its mutations from the `calls_left`-th on, before or after they are applied.
#[derive(Debug)]
pub(crate) struct Failing {
    inner: Arc<InMemory>,
    calls_left: AtomicUsize,
    applies: bool,
    /// Fails one call only.
    once: bool,
    flaw: Option<Flaw>,
    /// where a response is lost, retries as a client does by itself.
    resends: bool,
}

/// What a store does that no run can live with.
#[derive(Debug, PartialEq)]
enum Flaw {
    /// It ignores create-if-absent.
    Overwrites,
    /// Listings do not show what was just written.
    ListsLate,
}

impl Failing {
    pub(crate) fn new(inner: &Arc<InMemory>, calls_left: usize, applies: bool) -> Self {
        let inner = Arc::clone(inner);
        Self { inner, calls_left: AtomicUsize::new(calls_left), applies, once: false, flaw: None, resends: false }
    }

    pub(crate) fn destination(self) -> Destination {
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

/// A destination over this memory whose mutations fail after so many of them.
pub(crate) fn dies_after(inner: &Arc<InMemory>, calls: usize) -> Destination {
    Failing::new(inner, calls, false).destination()
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
        if self.flaw == Some(Flaw::Overwrites) {
            options.mode = object_store::PutMode::Overwrite;
        }
        if self.resends && self.fails() {
            self.inner.put_opts(path, payload.clone(), options.clone()).await?;
            return self.inner.put_opts(path, payload, options).await;
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
        if self.flaw == Some(Flaw::ListsLate) { Box::pin(futures::stream::empty()) } else { self.inner.list(prefix) }
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
        insta::allow_duplicates! { insta::assert_snapshot!(fenced, @"report `people` of account `acme`: another run (`r2`) committed version 2 first; nothing of this run was kept") }

        assert_eq!(table(&destination, "people", &["id"]).await, ["a", "c"]);
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_found_to_be_ones_own() {
    // Three data files and the manifest are put before the record.
    let memory = Arc::new(InMemory::new());
    let store = Failing { once: true, ..Failing::new(&memory, 4, true) };
    let destination = store.destination();
    let done = run(&destination, plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap();
    assert_eq!(done.version, 1);
    assert_eq!(table(&destination, "people", &["id"]).await, ["a"]);
}

#[tokio::test]
async fn a_lost_answer_that_the_client_itself_sent_again_for_is_found_to_be_ones_own() {
    // Three data files and the manifest are put before the record, and each counts twice.
    let memory = Arc::new(InMemory::new());
    let store = Failing { once: true, resends: true, ..Failing::new(&memory, 8, true) };
    assert_eq!(run(&store.destination(), plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap().version, 1);
}

#[tokio::test]
async fn a_commit_that_did_not_get_through_is_an_error_and_keeps_its_staging() {
    let memory = Arc::new(InMemory::new());
    let store = Failing { once: true, ..Failing::new(&memory, 4, false) };
    let destination = store.destination();
    let failed = run(&destination, plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap_err();
    insta::assert_snapshot!(failed, @"cannot create `memory://_ctct/acme/people/commits/00000000000000000001.json`: the store failed, see the cause and run again");
    assert!(failed.is_transient());
    assert!(table_files(&destination).await.is_empty());
}

/// The state before the run that dies: two months, one of them in several files where the mode has them, and a table of
/// phones.
async fn prepare(destination: &Destination, plan: &LoadPlan) {
    let plan = LoadPlan { run_id: "r0".to_owned(), ..plan.clone() };
    let mut session = Session::begin(destination, plan).await.unwrap();
    for (id, day) in [("a", "2026-01-01"), ("b", "2026-01-02"), ("c", "2026-02-01")] {
        session.write(page(1, &[person(id, "old", day).phone("1", &["p"])])).await.unwrap();
    }
    session.commit(outcome()).await.unwrap();
}

async fn change(destination: &Destination, plan: &LoadPlan, run: &str) -> Result<Committed, LoadError> {
    let plan = LoadPlan { run_id: run.to_owned(), ..plan.clone() };
    let mut session = Session::begin(destination, plan).await?;
    let version = session.version();
    for (id, day) in [("b", "2026-01-02"), ("d", "2026-01-03")] {
        session.write(page(version, &[person(id, "new", day)])).await?;
    }
    session.dead_letter(&super::modes::letter("{}")).await?;
    session.commit(outcome()).await
}

/// All that a reader sees.
async fn seen(destination: &Destination) -> Vec<Vec<String>> {
    let columns = ["id", "kind", "number", "line", "_valid_from", "_valid_to"];
    let mut seen = Vec::new();
    for name in ["people", "people_phones", "people_phones_lines"] {
        seen.push(table(destination, name, &columns).await);
    }
    seen
}

#[tokio::test]
async fn a_run_that_dies_after_any_mutation_loses_nothing_and_doubles_nothing() {
    let by = [PartitionBy::Month("created_at".to_owned())];
    for (mode, history) in [(Append, false), (Replace, false), (Partition, false), (Merge, false), (Merge, true)] {
        let files = FileOptions { row_group_bytes: 1, file_bytes: 1, ..FileOptions::default() };
        let plan = LoadPlan { history, files, ..plan(mode, &by, "") };
        let expected = {
            let destination = Destination::in_memory();
            prepare(&destination, &plan).await;
            change(&destination, &plan, "r1").await.unwrap();
            seen(&destination).await
        };
        let mut deaths = 0;
        for applies in [false, true] {
            for step in 0.. {
                let memory = Arc::new(InMemory::new());
                let sound = Destination::with_store(Arc::clone(&memory) as Arc<dyn ObjectStore>, "memory://");
                prepare(&sound, &plan).await;
                let before = seen(&sound).await;
                let died = change(&Failing::new(&memory, step, applies).destination(), &plan, "r1").await.is_err();
                deaths += usize::from(died);

                // A version of the past may be beside the one that holds.
                let columns: &[&str] = if history { &["id", "_valid_to"] } else { &["id"] };
                let rows = table(&sound, "people", columns).await;
                let mut once = rows.clone();
                once.dedup();
                if mode != Append {
                    assert_eq!(rows, once, "{mode:?}, step {step}: a reader saw a row twice");
                }
                let log = ReportLog::new(&sound, "acme", "people").unwrap();
                let head = log.recover().await.unwrap().unwrap();
                let after = seen(&sound).await;
                assert_eq!(&after, if head.version == 2 { &expected } else { &before }, "{mode:?}, step {step}");

                // The next run, whatever it finds, brings the state that was wanted.
                if head.version == 1 {
                    change(&sound, &plan, "r2").await.unwrap();
                    assert_eq!(seen(&sound).await, expected);
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
async fn a_file_that_is_replaced_while_a_merge_reads_it_is_told() {
    on_each_store(async |destination| {
        let people = [person("a", "x", "")];
        run(&destination, plan(Merge, &[], "r1"), &people).await.unwrap();
        let path = "people/account=acme/part-00000.parquet";
        let store = Arc::new(Replacing { inner: Arc::clone(&destination.store), once: AtomicUsize::new(0) });
        let mut replacing = destination.clone();
        replacing.store = store;
        let told = run(&replacing, plan(Merge, &[], "r2"), &[person("a", "y", "")]).await.unwrap_err();
        assert!(matches!(&told, LoadError::Overtaken { path: told } if told.ends_with(path)), "{told}");
        assert!(destination.list("_ctct/acme/people/staging").await.unwrap().is_empty());
        assert_eq!(table(&destination, "people", &["id", "kind"]).await, ["a x"]);
    })
    .await;
}

/// A store in which the file of the report's own table was overwritten an instant before it is read. Tables are read side
/// by side, so which file comes first is not known.
#[derive(Debug)]
struct Replacing {
    inner: Arc<dyn ObjectStore>,
    once: AtomicUsize,
}

impl std::fmt::Display for Replacing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Replacing")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Replacing {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        if path.as_ref().ends_with("people/account=acme/part-00000.parquet")
            && self.once.fetch_add(1, Ordering::SeqCst) == 0
        {
            let same = self.inner.get_opts(path, GetOptions::default()).await?.bytes().await?;
            self.inner.put_opts(path, same.into(), PutOptions::default()).await?;
        }
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn the_next_run_publishes_what_a_killed_one_committed() {
    let memory = Arc::new(InMemory::new());
    // Dies at the first rename: three data files, the manifest and the record are there.
    let store = Failing::new(&memory, 5, false).destination();
    let rows = [person("a", "x", "").phone("1", &["p"])];
    run(&store, plan(Append, &[], "r1"), &rows).await.unwrap_err();
    let destination = Destination::with_store(memory, "memory://");
    assert!(table_files(&destination).await.is_empty());

    let session = Session::begin(&destination, plan(Append, &[], "r2")).await.unwrap();
    assert_eq!(session.version(), 2);
    assert_eq!(session.previous().unwrap().state.watermark, Some(instant("2026-02-01")));
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
    let store = Failing { flaw: Some(Flaw::Overwrites), ..Failing::new(&memory, usize::MAX, true) };
    let refused = store.destination().probe().await.unwrap_err();
    insta::assert_snapshot!(refused, @"`memory://` overwrites an object although it was to be created only if absent, so two runs could both commit; use a store that honors conditional writes (S3 `If-None-Match`)");
    on_each_store(async |destination| {
        for _ in 0..2 {
            destination.probe().await.unwrap();
            assert_eq!(state_files(&destination).await, ["_ctct/.probe/created"]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_store_that_lists_late_is_refused() {
    let memory = Arc::new(InMemory::new());
    let store = Failing { flaw: Some(Flaw::ListsLate), ..Failing::new(&memory, usize::MAX, true) };
    let refused = store.destination().probe().await.unwrap_err();
    insta::assert_snapshot!(refused, @"`memory://` does not list an object right after it was written, so a run could miss the last commit; use a store whose listings are consistent");
    assert!(!refused.is_transient());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let destination = Destination::open("file/below", folder.path(), &StoreOptions::default()).unwrap();
    let refused = destination.probe().await.unwrap_err().to_string();
    let shown = refused.replace(folder.path().to_str().unwrap(), "<folder>");
    insta::assert_snapshot!(shown, @"cannot create `<folder>/file/below/_ctct/.probe/created`: a file is where a folder must be, move it or choose another destination");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_folder_that_another_report_tidies_away_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::open("d", folder.path(), &StoreOptions::default()).unwrap();
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
