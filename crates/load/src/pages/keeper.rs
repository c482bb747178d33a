//! Keeps the pages of a run as they come.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use super::chain::Object;
use super::{KeptPage, object};
use crate::destination::{Destination, folder};
use crate::error::LoadError;
use crate::log::page_tally::PageTally;

/// Bytes of bodies that may wait to be kept or be on their way.
const QUEUE_BYTES: u32 = 8 << 20;
/// Pages that go into one object at most.
const OBJECT_PAGES: usize = 1024;

/// Writes the pages of one run, an object at a time.
#[derive(Debug)]
pub struct PageKeeper {
    destination: Destination,
    store: Arc<dyn ObjectStore>,
    folder: String,
    /// The run's name in file names.
    run: String,
    sequence: u64,
    tally: PageTally,
    bytes: u64,
}

impl PageKeeper {
    pub(super) fn new(destination: &Destination, folder: String, run: &str, raw: bool, sequence: u64) -> Self {
        // Pages that wait for a commit are not flushed to the local disk: that takes longer than all the rest of keeping
        // them, and what a power cut takes away is known by its checksum and asked for again. What stays for good is
        // flushed, since one day nothing can be asked for again.
        let store = Arc::clone(if raw { &destination.store } else { &destination.pages });
        let (destination, run) = (destination.clone(), folder::encode(run));
        Self { destination, store, folder, run, sequence, tally: PageTally::default(), bytes: 0 }
    }

    /// Keeps these pages as one object. They must be in the order of their crawls.
    ///
    /// # Errors
    /// The store fails. The same pages may be given again.
    pub async fn keep(&mut self, pages: Vec<KeptPage>) -> Result<(), LoadError> {
        if pages.is_empty() {
            return Ok(());
        }
        let added = pages.len();
        let object = spawn_blocking(move || object::encode(&pages)).await;
        let object = object.map_err(|_| LoadError::Task { task: "compress pages".to_owned() })?;
        let object = Bytes::from(object.map_err(|source| LoadError::Pages { source })?);
        let path = Object::path(&self.folder, self.sequence, &self.run);
        let key = self.destination.key(&path)?;
        let put = self.destination.retidied(|| self.store.put(&key, object.clone().into())).await;
        put.map_err(self.destination.failed("write", &path))?;
        // Only now: an object that is written twice has one name.
        self.sequence += 1;
        self.tally.add(&path, &object, added);
        self.bytes += object.len() as u64;
        Ok(())
    }

    /// The same in a task of its own, so that nobody waits for the store. All pages that wait go into one object: the
    /// slower the store, the larger its objects.
    pub fn spawn(self) -> PageQueue {
        let (sender, waiting) = unbounded_channel();
        let space = Arc::new(Semaphore::new(QUEUE_BYTES as usize));
        PageQueue { sender, space, task: tokio::spawn(self.keep_all(waiting)) }
    }

    async fn keep_all(mut self, mut waiting: UnboundedReceiver<Waiting>) -> Result<Self, LoadError> {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, OBJECT_PAGES).await > 0 {
            let (pages, space): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
            self.keep(pages).await?;
            drop(space);
        }
        Ok(self)
    }

    /// Where the pages are, relative to the destination: what a commit names where they stay for good.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Pages that were kept.
    pub fn pages(&self) -> u64 {
        self.tally.pages
    }

    /// What was kept, to be named by the commit where it stays for good.
    pub fn tally(&self) -> PageTally {
        self.tally
    }

    /// Compressed bytes that were kept.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A page, and its share of the space of the queue.
type Waiting = (KeptPage, OwnedSemaphorePermit);

/// A [`PageKeeper`] in a task of its own. When it is dropped the task still keeps what waits, if the runtime lives.
#[derive(Debug)]
pub struct PageQueue {
    sender: UnboundedSender<Waiting>,
    space: Arc<Semaphore>,
    task: JoinHandle<Result<PageKeeper, LoadError>>,
}

impl PageQueue {
    /// Hands a page over; waits while 8 MiB are on their way. Returns whether it will be kept: if not, the store has
    /// failed, and [`Self::finish`] says how.
    pub async fn push(&self, page: KeptPage) -> bool {
        let share = u32::try_from(page.body.len()).unwrap_or(QUEUE_BYTES).clamp(1, QUEUE_BYTES);
        // The semaphore is never closed.
        let Ok(space) = Arc::clone(&self.space).acquire_many_owned(share).await else { return false };
        self.sender.send((page, space)).is_ok()
    }

    /// Waits until all pages are kept.
    ///
    /// # Errors
    /// The first failure of the store. Pages from then on are not kept.
    pub async fn finish(self) -> Result<PageKeeper, LoadError> {
        drop(self.sender);
        self.task.await.map_err(|_| LoadError::Task { task: "keep pages".to_owned() })?
    }
}
