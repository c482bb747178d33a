//! Streams one object to the store in parts, so that no file is in memory all at once.

use std::collections::VecDeque;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::destination::Destination;
use crate::error::LoadError;

/// Parts after which they grow: an upload may have 10,000. Up to 5 GiB all parts but the last have one size, which some
/// stores ask for; above it each thousand is one size larger, which is enough up to 270 GiB.
const PARTS_OF_A_SIZE: usize = 1_000;

/// An object on its way. It can be seen at its path only after [`Self::finish`].
#[derive(Debug)]
pub(crate) struct Upload {
    destination: Destination,
    path: String,
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
    parts: Option<Box<dyn MultipartUpload>>,
    sent_parts: usize,
    sent_bytes: u64,
}

impl Upload {
    /// Starts an upload; nothing reaches the store before a full part is there.
    pub(crate) fn new(destination: &Destination, path: String) -> Self {
        let (pending, pending_bytes, parts, sent_parts, sent_bytes) = (VecDeque::new(), 0, None, 0, 0);
        Self { destination: destination.clone(), path, pending, pending_bytes, parts, sent_parts, sent_bytes }
    }

    /// Where the object will be, relative to the destination.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Bytes that are held because they do not fill a part yet.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Adds bytes, and sends every part that is full.
    pub(crate) async fn put(&mut self, bytes: Bytes) -> Result<(), LoadError> {
        self.pending_bytes += bytes.len();
        self.pending.push_back(bytes);
        while self.pending_bytes >= self.part_bytes() {
            let part = self.take(self.part_bytes());
            self.send(part).await?;
        }
        Ok(())
    }

    /// Size of the next part.
    fn part_bytes(&self) -> usize {
        self.destination.part_bytes * (1 + self.sent_parts / PARTS_OF_A_SIZE)
    }

    /// Sends the rest and makes the object visible.
    pub(crate) async fn finish(mut self) -> Result<(), LoadError> {
        let rest = self.take(self.pending_bytes);
        if self.parts.is_none() {
            let key = self.destination.key(&self.path)?;
            let store = &self.destination.store;
            let put = self.destination.retidied(|| store.put(&key, rest.clone())).await;
            return put.map(drop).map_err(self.destination.failed("write", &self.path));
        }
        if rest.content_length() > 0 {
            self.send(rest).await?;
        }
        let Some(parts) = &mut self.parts else { return Ok(()) };
        let Err(error) = parts.complete().await else { return Ok(()) };
        // When only the response was lost, another request no longer finds the upload, although the object is there and complete.
        if matches!(self.destination.size(&self.path).await, Ok(Some(size)) if size == self.sent_bytes) {
            return Ok(());
        }
        self.give_back().await;
        Err(self.destination.failed("complete", &self.path)(error))
    }

    /// Gives the parts back to the store. What cannot be given back ends with the store's own clean-up.
    pub(crate) async fn abort(mut self) {
        self.give_back().await;
    }

    async fn give_back(&mut self) {
        if let Some(mut parts) = self.parts.take()
            && let Err(error) = parts.abort().await
        {
            tracing::debug!(path = self.path, %error, "could not abort an upload");
        }
    }

    fn take(&mut self, wanted: usize) -> PutPayload {
        let mut part = Vec::new();
        let mut missing = wanted;
        while missing > 0
            && let Some(mut front) = self.pending.pop_front()
        {
            if front.len() > missing {
                self.pending.push_front(front.split_off(missing));
            }
            missing -= front.len();
            part.push(front);
        }
        self.pending_bytes -= wanted - missing;
        part.into_iter().collect()
    }

    async fn send(&mut self, part: PutPayload) -> Result<(), LoadError> {
        let bytes = part.content_length() as u64;
        let key = self.destination.key(&self.path)?;
        let parts = match self.parts.take() {
            Some(parts) => Ok(parts),
            None => self.destination.retidied(|| self.destination.store.put_multipart(&key)).await,
        };
        let sent = match parts {
            Ok(parts) => self.parts.insert(parts).put_part(part).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            self.give_back().await;
            return Err(self.destination.failed("write", &self.path)(error));
        }
        self.sent_parts += 1;
        self.sent_bytes += bytes;
        Ok(())
    }
}
