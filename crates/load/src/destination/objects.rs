//! Small objects, read and written at once, and what is right below a folder.

use bytes::Bytes;
use object_store::{Error as StoreError, Extensions, ListResult, ObjectStore, ObjectStoreExt};

use crate::destination::Destination;
use crate::error::LoadError;

impl Destination {
    /// The content of an object; `None` where there is none at this path.
    pub(crate) async fn get(&self, relative: &str) -> Result<Option<Bytes>, LoadError> {
        match self.store.get(&self.key(relative)?).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(self.failed("read", relative))?)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", relative)(error)),
        }
    }

    /// Writes an object, over the one that is there.
    pub(crate) async fn put(&self, relative: &str, bytes: Bytes) -> Result<(), LoadError> {
        let key = self.key(relative)?;
        let put = self.retidied(|| self.store.put(&key, bytes.clone().into())).await;
        put.map(drop).map_err(self.failed("write", relative))
    }

    /// The objects and folders right below a folder; none if there is no such folder.
    pub(crate) async fn children(&self, relative: &str) -> Result<ListResult, LoadError> {
        match self.store.list_with_delimiter(Some(&self.key(relative)?)).await {
            Err(StoreError::NotFound { .. }) => {
                Ok(ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Extensions::default() })
            }
            found => found.map_err(self.failed("list", relative)),
        }
    }
}
