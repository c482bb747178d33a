//! Reads parts of a stored Parquet file: a synchronous reader that fetches ranges, for use on a blocking thread.

use std::io::Read;

use bytes::{Buf, Bytes};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use crate::Destination;

/// Bytes that are fetched at a time where the reader does not say how many it wants.
const READ_AHEAD_BYTES: u64 = 256 << 10;

/// One stored object. Its methods block on the store, so it must not be used on a thread that drives tokio.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    destination: Destination,
    key: Path,
    size: u64,
    runtime: Handle,
}

impl StoredFile {
    /// The object at this key, of this size. To be called within a tokio runtime.
    pub(crate) fn new(destination: &Destination, key: Path, size: u64) -> Self {
        Self { destination: destination.clone(), key, size, runtime: Handle::current() }
    }

    fn fetch(&self, start: u64, end: u64) -> Result<Bytes, ParquetError> {
        let range = start..end.min(self.size);
        let fetched = self.runtime.block_on(self.destination.store.get_range(&self.key, range));
        fetched.map_err(|error| ParquetError::External(Box::new(error)))
    }
}

impl Length for StoredFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for StoredFile {
    type T = Stream;

    fn get_read(&self, start: u64) -> Result<Stream, ParquetError> {
        Ok(Stream { file: self.clone(), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.fetch(start, start + length as u64)
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
        if self.ahead.is_empty() && self.at < self.file.size {
            let fetched = self.file.fetch(self.at, self.at + READ_AHEAD_BYTES).map_err(std::io::Error::other)?;
            self.at += fetched.len() as u64;
            self.ahead = fetched;
        }
        let count = target.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut target[..count]);
        Ok(count)
    }
}
