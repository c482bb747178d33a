//! Reads parts of a stored Parquet file: a synchronous reader that fetches ranges, for use on a blocking thread. Every
//! part is of the object as it was listed: one that was overwritten since is told, not mixed up.
//!
//! Whoever makes another file of what is stored asks for a [`StoredFile::proven`] one first: it is read once to its end and
//! compared with its checksum in the log. What came over a network for that is kept aside, and parts are read from there.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use chrono::DateTime;
use object_store::path::Path;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::destination::scratch::Scratch;
use crate::destination::stop::StopFlag;
use crate::destination::{Destination, checksum};
use crate::error::LoadError;
use crate::log::proof::Proof;

/// Bytes that are fetched at a time where the reader does not say how many it wants.
const READ_AHEAD_BYTES: u64 = 256 << 10;
/// Largest file whose copy is held in memory.
const IN_MEMORY_BYTES: u64 = 1 << 20;

/// One stored object. Its methods block on the store, so it must not be used on a thread that drives tokio.
#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    destination: Destination,
    object: ObjectMeta,
    runtime: Handle,
    /// The object as it was when it was proven.
    copy: Option<Copied>,
}

/// A file that was fetched from its beginning to its end.
#[derive(Debug, Clone)]
enum Copied {
    Memory(Bytes),
    Aside(Arc<Scratch>),
}

impl StoredFile {
    /// An object as it was listed. To be called within a tokio runtime.
    pub(crate) fn new(destination: &Destination, object: ObjectMeta) -> Self {
        Self { destination: destination.clone(), object, runtime: Handle::current(), copy: None }
    }

    /// The object at a key, of this size, whatever is there when it is read.
    pub(crate) fn at(destination: &Destination, location: Path, size: u64) -> Self {
        let last_modified = DateTime::UNIX_EPOCH;
        Self::new(destination, ObjectMeta { location, last_modified, size, e_tag: None, version: None })
    }

    /// The file, found to be the one that the log says. Where the log has no checksum of it, it is taken as it is.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] where it is another one; the store fails.
    pub(crate) async fn proven(self, proof: Option<&Proof>) -> Result<Self, LoadError> {
        let Some((expected, commit)) = proof.and_then(|proof| Some((proof.sha256.as_ref()?, proof.commit))) else {
            return Ok(self);
        };
        self.matching(expected, || format!("its SHA-256 is not the one that commit {commit} wrote")).await
    }

    /// The file, found to have this SHA-256; else it is damaged in the way that `what` tells.
    pub(crate) async fn matching(self, expected: &str, what: impl FnOnce() -> String) -> Result<Self, LoadError> {
        let path = self.path().to_owned();
        let options = GetOptions { if_match: self.object.e_tag.clone(), ..GetOptions::default() };
        let found = match self.destination.store.get_opts(&self.object.location, options).await {
            Ok(found) => found,
            Err(StoreError::Precondition { .. } | StoreError::NotFound { .. }) => {
                return Err(LoadError::Overtaken { path: self.shown() });
            }
            Err(error) => return Err(self.destination.failed("read", &path)(error)),
        };
        let in_memory = found.meta.size <= IN_MEMORY_BYTES;
        let (mut memory, mut aside) = (Vec::new(), None);
        let sha256 = checksum::of(&self.destination, &path, found, |bytes| {
            if in_memory {
                memory.extend_from_slice(bytes);
                return Ok(());
            }
            let aside = match &mut aside {
                Some(aside) => aside,
                none => none.insert(Scratch::new()?),
            };
            aside.append(bytes).map(drop)
        });
        if sha256.await? != expected {
            return Err(LoadError::Damaged { path: self.shown(), reason: what() });
        }
        let copy = match aside {
            Some(aside) => Some(Copied::Aside(Arc::new(aside))),
            None if memory.is_empty() => None,
            None => Some(Copied::Memory(memory.into())),
        };
        Ok(Self { copy, ..self })
    }

    /// Whether work on it is to end.
    pub(crate) fn stop(&self) -> &StopFlag {
        &self.destination.stop
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.object.size
    }

    /// Its path, relative to the destination.
    pub(crate) fn path(&self) -> &str {
        self.destination.relative(&self.object.location)
    }

    /// Its path as people are shown it.
    pub(crate) fn shown(&self) -> String {
        self.destination.shown(self.path())
    }

    /// What failed while the object was read.
    pub(crate) fn failed(&self, error: ParquetError) -> LoadError {
        let path = self.shown();
        match error {
            ParquetError::External(cause) => match cause.downcast::<StoreError>() {
                Ok(cause) => match *cause {
                    StoreError::Precondition { .. } | StoreError::NotFound { .. } => LoadError::Overtaken { path },
                    source => self.destination.failed("read", self.path())(source),
                },
                Err(cause) => LoadError::Damaged { path, reason: format!("it is not a valid Parquet file: {cause}") },
            },
            error => LoadError::Damaged { path, reason: format!("it is not a valid Parquet file: {error}") },
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
        self.range(range).await.map_err(|error| ParquetError::External(Box::new(error)))
    }

    /// The bytes of a range, as far as the file has them.
    pub(crate) async fn range(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let range = range.start..range.end.min(self.object.size);
        // A page of nulls has no bytes, and stores refuse to send none.
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(copy) = &self.copy {
            return copy.range(range);
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.object.e_tag.clone(),
            ..GetOptions::default()
        };
        self.destination.store.get_opts(&self.object.location, options).await?.bytes().await
    }
}

impl Copied {
    fn range(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Generic { store: "copy", source };
        match self {
            Self::Memory(bytes) => {
                let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
                let within = start.ok().zip(end.ok()).filter(|(start, end)| start <= end && *end <= bytes.len());
                let (start, end) = within.ok_or_else(|| failed("the file ends early".into()))?;
                Ok(bytes.slice(start..end))
            }
            Self::Aside(scratch) => {
                let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
                scratch.read(range.start, &mut bytes).map_err(|error| failed(Box::new(error)))?;
                Ok(bytes.into())
            }
        }
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
