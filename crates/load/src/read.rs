//! Reads parts of a stored Parquet file: a synchronous reader that fetches ranges, for use on a blocking thread. Every
//! part is of the object as it was listed: one that was overwritten since is told, not mixed up.

use std::io::Read;
use std::ops::Range;

use bytes::{Buf, Bytes};
use chrono::DateTime;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::{Destination, LoadError};

/// Bytes that are fetched at a time where the reader does not say how many it wants.
const READ_AHEAD_BYTES: u64 = 256 << 10;

/// One stored object. Its methods block on the store, so it must not be used on a thread that drives tokio.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    destination: Destination,
    object: ObjectMeta,
    runtime: Handle,
}

impl StoredFile {
    /// An object as it was listed. To be called within a tokio runtime.
    pub(crate) fn new(destination: &Destination, object: ObjectMeta) -> Self {
        Self { destination: destination.clone(), object, runtime: Handle::current() }
    }

    /// The object at a key, of this size, whatever stands there when it is read.
    pub(crate) fn at(destination: &Destination, location: Path, size: u64) -> Self {
        let last_modified = DateTime::UNIX_EPOCH;
        Self::new(destination, ObjectMeta { location, last_modified, size, e_tag: None, version: None })
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.object.size
    }

    /// Its path as people are shown it.
    pub(crate) fn shown(&self) -> String {
        self.destination.shown(self.destination.relative(&self.object.location))
    }

    /// What failed while the object was read.
    pub(crate) fn failed(&self, error: ParquetError) -> LoadError {
        let path = self.shown();
        match error {
            ParquetError::External(cause) => match cause.downcast::<StoreError>() {
                Ok(cause) => match *cause {
                    StoreError::Precondition { .. } | StoreError::NotFound { .. } => LoadError::Overtaken { path },
                    source => LoadError::Store { action: "read", path, source },
                },
                Err(cause) => LoadError::Damaged { path, reason: format!("it is no Parquet file: {cause}") },
            },
            error => LoadError::Damaged { path, reason: format!("it is no Parquet file: {error}") },
        }
    }

    /// The bytes of a range, which the file has.
    pub(crate) fn fetch(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        self.runtime.block_on(self.clone().get(range))
    }

    /// Starts to fetch a range that will be wanted.
    pub(crate) fn fetch_ahead(&self, range: Range<u64>) -> JoinHandle<Result<Bytes, ParquetError>> {
        self.runtime.spawn(self.clone().get(range))
    }

    /// The result of [`Self::fetch_ahead`].
    pub(crate) fn fetched(&self, ahead: JoinHandle<Result<Bytes, ParquetError>>) -> Result<Bytes, ParquetError> {
        self.runtime.block_on(ahead).unwrap_or_else(|error| Err(ParquetError::External(Box::new(error))))
    }

    async fn get(self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        // A page of nulls has no bytes, and stores refuse to send none.
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.start..range.end.min(self.object.size))),
            if_match: self.object.e_tag.clone(),
            ..GetOptions::default()
        };
        let external = |error: StoreError| ParquetError::External(Box::new(error));
        let found = self.destination.store.get_opts(&self.object.location, options).await.map_err(external)?;
        found.bytes().await.map_err(external)
    }
}

impl Length for StoredFile {
    fn len(&self) -> u64 {
        self.object.size
    }
}

impl ChunkReader for StoredFile {
    type T = Stream;

    fn get_read(&self, start: u64) -> Result<Stream, ParquetError> {
        Ok(Stream { file: self.clone(), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.fetch(start..start + length as u64)
    }
}

/// A file read from some place onwards.
#[derive(Debug)]
pub(crate) struct Stream {
    file: StoredFile,
    at: u64,
    ahead: Bytes,
}

impl Read for Stream {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        if self.ahead.is_empty() && self.at < self.file.object.size {
            let fetched = self.file.fetch(self.at..self.at + READ_AHEAD_BYTES).map_err(std::io::Error::other)?;
            self.at += fetched.len() as u64;
            self.ahead = fetched;
        }
        let count = target.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut target[..count]);
        Ok(count)
    }
}
