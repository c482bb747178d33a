//! The SHA-256 of a stored file, read as a stream.

use futures::TryStreamExt;
use object_store::{Error as StoreError, ObjectStoreExt};
use sha2::{Digest, Sha256};

use crate::record::hex;
use crate::{Destination, LoadError};

/// The SHA-256 of a file in hex; `None` where it is not there.
pub(crate) async fn sha256(destination: &Destination, path: &str) -> Result<Option<String>, LoadError> {
    let found = match destination.store.get(&destination.key(path)?).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(destination.failed("read", path)(error)),
    };
    let mut digest = Sha256::new();
    let mut stream = found.into_stream();
    while let Some(bytes) = stream.try_next().await.map_err(destination.failed("read", path))? {
        digest.update(&bytes);
    }
    Ok(Some(hex(&digest.finalize())))
}
