//! Small files that no commit log speaks of, written and read in one piece: those of the table `_runs`, for example.
//!
//! Paths are relative to the destination. What comes from outside goes through [`crate::encode_folder`] first.

use std::collections::BTreeMap;

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStoreExt};

use super::Destination;
use crate::error::LoadError;

impl Destination {
    /// Creates a file, unless there is one already. Whether there was none: where the response to an earlier try got lost, the
    /// file that is found may be the caller's own.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn create_file(&self, path: &str, bytes: Bytes) -> Result<bool, LoadError> {
        match self.create(path, bytes.into()).await {
            Ok(()) => Ok(true),
            Err(LoadError::Store { source: StoreError::AlreadyExists { .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All bytes of a file; `None` where there is none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read_file(&self, path: &str) -> Result<Option<Bytes>, LoadError> {
        match self.store.get(&self.key(path)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(self.failed("read", path)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path)(error)),
        }
    }

    /// The files below a folder with their sizes in bytes; none if there is no such folder.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub async fn list_files(&self, folder: &str) -> Result<BTreeMap<String, u64>, LoadError> {
        let found = self.objects(folder).await?;
        Ok(found.iter().map(|object| (self.relative(&object.location).to_owned(), object.size)).collect())
    }

    /// Removes a file; one that is not there is removed already.
    ///
    /// # Errors
    /// The store does not remove it.
    pub async fn delete_file(&self, path: &str) -> Result<(), LoadError> {
        self.delete(path).await
    }

    /// Removes what killed processes left half written below a folder of the local disk. No listing shows it, and object
    /// stores have none. What cannot be removed stays for the next time.
    pub async fn remove_unfinished(&self, folder: &str) {
        self.sweep(folder, |_| true).await;
    }
}
