//! Uploads in parts: what is sent, what is given back, and how much waits in memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, UploadPart,
};

use super::*;
use crate::destination::upload::Upload;

/// What became of the uploads of a store.
#[derive(Debug, Default)]
struct Seen {
    parts: Mutex<Vec<usize>>,
    aborted: AtomicUsize,
}

/// A store in memory that tells the sizes of parts, and fails one of them.
#[derive(Debug)]
struct Parts {
    inner: InMemory,
    seen: Arc<Seen>,
    fails_at: usize,
}

impl std::fmt::Display for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}

#[derive(Debug)]
struct Watched {
    inner: Box<dyn MultipartUpload>,
    seen: Arc<Seen>,
    fails_at: usize,
}

#[async_trait::async_trait]
impl MultipartUpload for Watched {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let mut parts = self.seen.parts.lock().unwrap();
        parts.push(part.content_length());
        if parts.len() > self.fails_at {
            return Box::pin(async { Err(StoreError::Generic { store: "Parts", source: "on purpose".into() }) });
        }
        self.inner.put_part(part)
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> StoreResult<()> {
        self.seen.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}

#[async_trait::async_trait]
impl ObjectStore for Parts {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(Watched { inner, seen: Arc::clone(&self.seen), fails_at: self.fails_at }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
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

/// A destination with parts of so many bytes, of which the one after `fails_at` fails.
fn destination(part_bytes: usize, fails_at: usize) -> (Destination, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let store = Parts { inner: InMemory::new(), seen: Arc::clone(&seen), fails_at };
    let mut destination = Destination::with_store(Arc::new(store), "memory://");
    destination.part_bytes = part_bytes;
    (destination, seen)
}

#[tokio::test]
async fn parts_grow_so_that_no_file_needs_more_than_a_store_takes() {
    let (destination, seen) = destination(2, usize::MAX);
    let mut upload = Upload::new(&destination, "file".to_owned());
    // In pieces that do not go into parts evenly.
    for _ in 0..700 {
        upload.put(Bytes::from_static(b"0123456789")).await.unwrap();
    }
    upload.finish().await.unwrap();
    let parts = seen.parts.lock().unwrap().clone();
    assert_eq!(bytes(&destination, "file").await.len(), 7_000);
    assert!(parts[..1_000].iter().all(|bytes| *bytes == 2), "one size, as long as that will do");
    assert!(parts[1_000..2_000].iter().all(|bytes| *bytes == 4));
    assert_eq!((parts.len(), parts[2_000], parts.last()), (2_167, 6, Some(&4)));
}

#[tokio::test]
async fn an_upload_that_fails_gives_its_parts_back() {
    let (destination, seen) = destination(4, 2);
    let mut upload = Upload::new(&destination, "file".to_owned());
    let failed = upload.put(Bytes::from_static(b"0123456789abcdef")).await.unwrap_err();
    assert!(failed.is_transient(), "{failed}");
    assert_eq!((seen.parts.lock().unwrap().len(), seen.aborted.load(Ordering::SeqCst)), (3, 1));
    upload.abort().await;
    assert_eq!(seen.aborted.load(Ordering::SeqCst), 1, "once is enough");
    assert_eq!(destination.size("file").await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_fails_leaves_no_upload_open() {
    let (destination, seen) = destination(64, 6);
    let mut plan = plan(WriteMode::Append, &[PartitionBy::Column("kind".to_owned())], "r1");
    plan.files = FileOptions { row_group_bytes: 1, ..plan.files };
    let mut session = Session::begin(&destination, plan).await.unwrap();
    let rows: Vec<Person> = (0..20).map(|at| person(&format!("{at}"), &format!("kind {}", at % 4), "")).collect();
    // The failure shows at this write or at the commit; whichever, the session is given up.
    if session.write(page(1, &rows)).await.is_ok() {
        session.commit(outcome()).await.unwrap_err();
    } else {
        session.abandon().await;
    }
    assert!(seen.aborted.load(Ordering::SeqCst) > 0);
    assert!(destination.list("").await.unwrap().is_empty(), "nothing is left");
}

#[tokio::test]
async fn files_that_wait_for_a_whole_part_are_closed_before_they_fill_the_memory() {
    let mut held = Vec::new();
    for waiting_bytes in [usize::MAX, 0] {
        let (destination, _) = destination(64 << 10, usize::MAX);
        let mut plan = plan(WriteMode::Append, &[PartitionBy::Column("kind".to_owned())], "r1");
        plan.files = FileOptions { row_group_bytes: 1, memory_bytes: 1, waiting_bytes, ..plan.files };
        let mut session = Session::begin(&destination, plan).await.unwrap();
        let mut most = 0;
        for round in 0..40 {
            let rows: Vec<Person> =
                (0..50).map(|at| person(&format!("{round}-{at}"), &format!("kind {at}"), "")).collect();
            session.write(page(1, &rows)).await.unwrap();
            most = most.max(session.held_bytes());
        }
        session.commit(outcome()).await.unwrap();
        held.push(most);
    }
    // Three tables may each have one part of 64 KiB that is filling.
    assert!(held[0] > 3 * (64 << 10) && held[1] <= 3 * (64 << 10), "{held:?}");
}
