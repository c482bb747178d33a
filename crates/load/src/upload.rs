//! Streams one object to the store in parts, so that a file is never whole in memory.

use std::collections::VecDeque;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};

use crate::{Destination, LoadError};

/// An object on its way. It can be seen at its path only after [`Self::finish`].
#[derive(Debug)]
pub(crate) struct Upload {
    destination: Destination,
    path: String,
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    /// Starts an upload; nothing reaches the store before a whole part is there.
    pub(crate) fn new(destination: &Destination, path: String) -> Self {
        Self { destination: destination.clone(), path, pending: VecDeque::new(), pending_bytes: 0, parts: None }
    }

    /// Where the object will be, relative to the destination.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Bytes that are held because they do not fill a part yet.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Adds bytes, and sends every part that is full. All parts but the last have one size, which some stores ask for.
    pub(crate) async fn put(&mut self, bytes: Bytes) -> Result<(), LoadError> {
        self.pending_bytes += bytes.len();
        self.pending.push_back(bytes);
        while self.pending_bytes >= self.destination.part_bytes {
            let part = self.take(self.destination.part_bytes);
            self.send(part).await?;
        }
        Ok(())
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
        if let Some(parts) = &mut self.parts {
            parts.complete().await.map_err(self.destination.failed("complete", &self.path))?;
        }
        Ok(())
    }

    /// Gives the parts back to the store. What cannot be given back ends with the store's own clean-up.
    pub(crate) async fn abort(mut self) {
        if let Some(parts) = &mut self.parts
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
        let parts = if let Some(parts) = &mut self.parts {
            parts
        } else {
            let key = self.destination.key(&self.path)?;
            let opened = self.destination.retidied(|| self.destination.store.put_multipart(&key)).await;
            self.parts.insert(opened.map_err(self.destination.failed("write", &self.path))?)
        };
        parts.put_part(part).await.map_err(self.destination.failed("write", &self.path))
    }
}
