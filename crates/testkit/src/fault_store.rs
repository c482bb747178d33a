//! A store that fails, waits or dies where a test says so, in front of any other store.
//!
//! Without a fault it is the store behind it: conditions of a put, `ETag`s and the order of a listing are that one's. Only a
//! rename differs by the kind of store: see [`FaultStore::new`] and [`FaultStore::with_atomic_rename`].

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, RenameTargetMode, Result,
    UploadPart,
};

use tokio::sync::RwLock;

use crate::fault::{Fault, Mutation, Operation, Spot};

/// A store with a script of faults. It counts mutations: an object put, a part, the end of an upload, a copy, a rename, a
/// removal. To begin an upload is none: nobody can tell that it happened.
#[derive(Debug)]
pub struct FaultStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn ObjectStore>,
    atomic_rename: bool,
    state: Mutex<State>,
    /// Held shared by every mutation that is under way.
    under_way: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct State {
    script: Vec<Rule>,
    asked: Vec<Mutation>,
    met: usize,
    reads: usize,
    dead: bool,
}

#[derive(Debug)]
struct Rule {
    spot: Spot,
    fault: Fault,
    /// Mutations that fitted the spot so far.
    seen: usize,
}

impl FaultStore {
    /// In front of a store whose rename is a copy and a removal, as on S3: each of them is a mutation, and the process can
    /// die in between.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self::with(inner, false)
    }

    /// In front of a store whose rename is one step, as on a local disk.
    pub fn with_atomic_rename(inner: Arc<dyn ObjectStore>) -> Self {
        Self::with(inner, true)
    }

    fn with(inner: Arc<dyn ObjectStore>, atomic_rename: bool) -> Self {
        let shared = Shared { inner, atomic_rename, state: Mutex::default(), under_way: Arc::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a fault to the script. Where several meet the same mutation, the one that was added first holds.
    pub fn script(&self, spot: Spot, fault: Fault) {
        self.shared.state().script.push(Rule { spot, fault, seen: 0 });
    }

    /// The mutations that were asked for, in order, the failed ones included, those of a dead process left out.
    pub fn mutations(&self) -> Vec<Mutation> {
        self.shared.state().asked.clone()
    }

    /// Returns when no mutation is under way, those that nobody waits for any more among them.
    pub async fn settled(&self) {
        drop(self.shared.under_way.write().await);
    }

    /// How many times something was read, listed or looked for.
    pub fn reads(&self) -> usize {
        self.shared.state().reads
    }

    /// How many mutations met a fault.
    pub fn met(&self) -> usize {
        self.shared.state().met
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> Result<()> {
        let mut state = self.state();
        state.reads += 1;
        if state.dead { Err(failure("the process is dead")) } else { Ok(()) }
    }

    /// Counts a mutation and says what it meets.
    fn meet(&self, operation: Operation, path: &Path) -> Result<Option<Fault>> {
        let mut state = self.state();
        if state.dead {
            return Err(failure("the process is dead"));
        }
        let mutation = Mutation { operation, path: path.clone() };
        let mut met = None;
        for rule in state.script.iter_mut().filter(|rule| rule.spot.fits(&mutation)) {
            if rule.spot.holds(rule.seen) && met.is_none() {
                met = Some(rule.fault.clone());
            }
            rule.seen += 1;
        }
        state.asked.push(mutation);
        state.met += usize::from(met.is_some());
        state.dead = matches!(met, Some(Fault::Crash | Fault::CrashAfterApply));
        Ok(met)
    }

    async fn mutate<T, A>(self: &Arc<Self>, operation: Operation, path: &Path, apply: A) -> Result<T>
    where
        T: Send + 'static,
        A: Future<Output = Result<T>> + Send + 'static,
    {
        let fault = self.meet(operation, path)?;
        self.carry_out(fault, apply).await
    }

    /// A mutation that is begun is carried to its end, on a task of its own: the caller may go away, and what a store does
    /// meanwhile must not go on unseen.
    async fn carry_out<T, A>(&self, fault: Option<Fault>, apply: A) -> Result<T>
    where
        T: Send + 'static,
        A: Future<Output = Result<T>> + Send + 'static,
    {
        let apply = async {
            let under_way = Arc::clone(&self.under_way).read_owned().await;
            let task = tokio::spawn(async move {
                let applied = apply.await;
                drop(under_way);
                applied
            });
            task.await?
        };
        match fault {
            None => apply.await,
            Some(Fault::Reject) => Err(failure("rejected")),
            Some(Fault::RejectAs(kind)) => {
                // What a disk says, in the name of a disk: an error of a bucket's store means something else.
                Err(Error::Generic { store: "LocalFileSystem", source: io::Error::from(kind).into() })
            }
            Some(Fault::Crash) => Err(failure("the process is dead")),
            Some(Fault::FailAfterApply) => apply.await.and(Err(failure("the response was lost"))),
            Some(Fault::CrashAfterApply) => apply.await.and(Err(failure("the process is dead"))),
            Some(Fault::Hold(hold)) => {
                hold.wait().await;
                self.alive()?;
                apply.await
            }
            Some(Fault::Slow(wait)) => {
                tokio::time::sleep(wait).await;
                self.alive()?;
                apply.await
            }
        }
    }

    async fn delete(self: &Arc<Self>, path: Result<Path>) -> Result<Path> {
        let path = path?;
        let (inner, target) = (Arc::clone(&self.inner), path.clone());
        self.mutate(Operation::Delete, &path, async move { inner.delete(&target).await }).await?;
        Ok(path)
    }
}

/// Whether a mutation is applied in spite of its fault.
fn applies(fault: Option<&Fault>) -> bool {
    !matches!(fault, Some(Fault::Reject | Fault::RejectAs(_) | Fault::Crash))
}

fn failure(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "FaultStore", source: cause.into() }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.shared.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (inner, target) = (Arc::clone(&self.shared.inner), path.clone());
        let put = async move { inner.put_opts(&target, payload, options).await };
        self.shared.mutate(Operation::Put, path, put).await
    }

    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.shared.alive()?;
        let inner = self.shared.inner.put_multipart_opts(path, options).await?;
        Ok(Box::new(Upload { shared: Arc::clone(&self.shared), path: path.clone(), inner: Some(inner) }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.shared.alive()?;
        self.shared.inner.get_opts(path, options).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.shared.alive()?;
        self.shared.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let shared = Arc::clone(&self.shared);
        paths
            .then(move |path| {
                let shared = Arc::clone(&shared);
                async move { shared.delete(path).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.shared.alive() {
            Ok(()) => self.shared.inner.list(prefix),
            Err(error) => stream::once(ready(Err(error))).boxed(),
        }
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.shared.alive() {
            Ok(()) => self.shared.inner.list_with_offset(prefix, offset),
            Err(error) => stream::once(ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.shared.alive()?;
        self.shared.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (inner, source, target) = (Arc::clone(&self.shared.inner), from.clone(), to.clone());
        let copy = async move { inner.copy_opts(&source, &target, options).await };
        self.shared.mutate(Operation::Copy, to, copy).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        if self.shared.atomic_rename {
            let (inner, source, target) = (Arc::clone(&self.shared.inner), from.clone(), to.clone());
            let rename = async move { inner.rename_opts(&source, &target, options).await };
            return self.shared.mutate(Operation::Rename, to, rename).await;
        }
        let RenameOptions { target_mode, extensions } = options;
        let mode = match target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        self.copy_opts(from, to, CopyOptions { mode, extensions }).await?;
        self.delete(from).await
    }
}

/// An object on its way in parts.
#[derive(Debug)]
struct Upload {
    shared: Arc<Shared>,
    path: Path,
    /// There until the upload ends.
    inner: Option<Box<dyn MultipartUpload>>,
}

#[async_trait::async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = match self.shared.meet(Operation::Part, &self.path) {
            Ok(fault) => fault,
            Err(error) => return ready(Err(error)).boxed(),
        };
        // Some stores take a part when they are told of it, so one that is not to be applied must not be told.
        let part = match &mut self.inner {
            Some(inner) if applies(fault.as_ref()) => inner.put_part(data),
            _ => ready(Ok(())).boxed(),
        };
        let shared = Arc::clone(&self.shared);
        async move { shared.carry_out(fault, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.shared.meet(Operation::Complete, &self.path)?;
        let inner = if applies(fault.as_ref()) { self.inner.take() } else { None };
        let complete = async move {
            match inner {
                Some(mut inner) => inner.complete().await,
                None => Err(failure("the upload has ended")),
            }
        };
        self.shared.carry_out(fault, complete).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.shared.alive()?;
        match &mut self.inner {
            Some(inner) => inner.abort().await,
            None => Ok(()),
        }
    }
}

impl Drop for Upload {
    /// What a dead process had begun stays where it is: nobody tidies up after it.
    fn drop(&mut self) {
        if self.shared.state().dead {
            std::mem::forget(self.inner.take());
        }
    }
}

#[cfg(test)]
mod tests;
