//! The SHA-256 of a stored file, read once from its beginning to its end.

use std::io::Read;

use futures::TryStreamExt;
use object_store::{Error as StoreError, GetResult, GetResultPayload, ObjectStoreExt};
use sha2::{Digest, Sha256};

use crate::destination::Destination;
use crate::error::LoadError;

/// Bytes of a local file that are read at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// The SHA-256 of a file in hex; `None` where it is not there.
pub(crate) async fn sha256(destination: &Destination, path: &str) -> Result<Option<String>, LoadError> {
    let found = match destination.store.get(&destination.key(path)?).await {
        Ok(found) => found,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(destination.failed("read", path)(error)),
    };
    of(destination, path, found, |_| Ok(())).await.map(Some)
}

/// The SHA-256 in hex of what a store gave. What comes over a network is handed on, so that it need not be fetched again; a
/// file of the local disk is not.
pub(crate) async fn of(
    destination: &Destination,
    path: &str,
    found: GetResult,
    mut keep: impl FnMut(&[u8]) -> Result<(), LoadError>,
) -> Result<String, LoadError> {
    let mut file = match found {
        GetResult { payload: GetResultPayload::File(file, _), .. } if destination.is_local() => file,
        found => {
            let mut digest = Sha256::new();
            let mut stream = found.into_stream();
            while let Some(bytes) = stream.try_next().await.map_err(destination.failed("read", path))? {
                destination.stop.check()?;
                digest.update(&bytes);
                keep(&bytes)?;
            }
            return Ok(hex(&digest.finalize()));
        }
    };
    let stop = destination.stop.clone();
    let read = tokio::task::spawn_blocking(move || {
        let (mut digest, mut buffer) = (Sha256::new(), vec![0; CHUNK_BYTES]);
        loop {
            if let Err(stopped) = stop.check() {
                return Ok(Err(stopped));
            }
            match file.read(&mut buffer)? {
                0 => return Ok::<_, std::io::Error>(Ok(hex(&digest.finalize()))),
                read => digest.update(&buffer[..read]),
            }
        }
    });
    let read = read.await.map_err(|_| LoadError::Task { task: format!("read `{path}`") })?;
    read.unwrap_or_else(|source| {
        let source = StoreError::Generic { store: "LocalFileSystem", source: Box::new(source) };
        Err(destination.failed("read", path)(source))
    })
}

/// The SHA-256 of bytes in hex.
pub(crate) fn of_bytes(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// The first half of a SHA-256 as a number.
pub(crate) fn first_half(digest: Sha256) -> u128 {
    digest.finalize().iter().take(16).fold(0, |half, byte| (half << 8) | u128::from(*byte))
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
