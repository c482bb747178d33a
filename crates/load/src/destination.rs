//! Where tables are written: a store, a prefix in it, and the address that people are shown.

use std::io::ErrorKind;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use url::Url;
use uuid::Uuid;

use crate::LoadError;
use crate::error::io_kind;
use crate::log::STATE_FOLDER;

/// Part of a local file that is held in memory while it is written: small, since hundreds of files may be open.
const LOCAL_PART_BYTES: usize = 64 << 10;
/// Times that a write is done again because its folder was tidied away.
const FOLDER_ATTEMPTS: usize = 8;
/// Part of an upload to an object store: the 5 MiB that S3 asks for at least.
const STORE_PART_BYTES: usize = 5 << 20;

/// A folder on disk, or a prefix in a store, that holds tables and their commit logs.
#[derive(Debug, Clone)]
pub struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
    /// The folder, where the store is the local disk.
    folder: Option<PathBuf>,
    /// Size of the parts that a file is uploaded in, in bytes.
    pub(crate) part_bytes: usize,
}

impl Destination {
    /// Opens a plain path, a `file://` URL or `memory://`. Relative paths, `file://./data` among them, start at
    /// `base_dir`, which must be absolute. Nothing is created or written before the first write or [`Self::probe`].
    ///
    /// # Errors
    /// The URL names a store that this version does not know, or the path cannot be made absolute.
    pub fn open(url: &str, base_dir: &FilePath) -> Result<Self, LoadError> {
        let refuse = |reason: String| LoadError::Url { url: redacted(url), reason };
        let folder = match url.split_once("://") {
            None if url.is_empty() => return Err(refuse("it is empty, name a folder".to_owned())),
            None => PathBuf::from(url),
            Some(("memory", _)) => return Ok(Self::in_memory()),
            Some(("file", rest)) => {
                let rest = rest.strip_prefix("localhost/").map_or_else(|| rest.to_owned(), |path| format!("/{path}"));
                let path = percent_encoding::percent_decode_str(&rest);
                let path = path.decode_utf8().map_err(|_| refuse("its path is not UTF-8".to_owned()))?;
                PathBuf::from(path.as_ref())
            }
            Some((scheme @ ("s3" | "s3a" | "gs" | "az" | "azure" | "abfs" | "abfss"), _)) => {
                return Err(refuse(format!(
                    "{scheme}:// is not in this version yet; use a folder (`./data`) or `file:///path`"
                )));
            }
            Some((scheme, _)) => {
                return Err(refuse(format!(
                    "{scheme}:// is no kind of destination; use a folder (`./data`) or `file:///path`"
                )));
            }
        };
        let folder = absolute(&base_dir.join(folder));
        let prefix = Path::from_absolute_path(&folder)
            .map_err(|_| refuse("the path has a character that no destination can have".to_owned()))?;
        Ok(Self {
            store: Arc::new(LocalFileSystem::new().with_fsync(true)),
            prefix,
            url: folder.to_string_lossy().into_owned(),
            folder: Some(folder),
            part_bytes: LOCAL_PART_BYTES,
        })
    }

    /// A destination in this process's memory, empty. Clones share it.
    pub fn in_memory() -> Self {
        Self::with_store(Arc::new(InMemory::new()), "memory://")
    }

    /// A destination at the root of any store. `url` is only shown, and must hold no secret.
    pub fn with_store(store: Arc<dyn ObjectStore>, url: impl Into<String>) -> Self {
        Self { store, prefix: Path::ROOT, url: url.into(), folder: None, part_bytes: STORE_PART_BYTES }
    }

    /// The same destination with or without flushing every local write to the disk, folders included, before it counts
    /// as done. It is on from the start: a run of nine small tables takes some 3 ms longer for it. Without it a power
    /// cut (not a crash of the process) can lose what the system had not written back. Object stores are durable by
    /// themselves: there it changes nothing.
    #[must_use]
    pub fn with_fsync(mut self, fsync: bool) -> Self {
        if self.folder.is_some() {
            self.store = Arc::new(LocalFileSystem::new().with_fsync(fsync));
        }
        self
    }

    /// The address that people are shown: an absolute path on the local disk, a URL elsewhere. It holds no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Checks that the destination can be written and that a second create of one key fails, which commits rest on.
    /// What it writes it removes.
    ///
    /// # Errors
    /// The store cannot be written, or creates over what exists ([`LoadError::Unconditional`]).
    pub async fn probe(&self) -> Result<(), LoadError> {
        let key = format!("{STATE_FOLDER}/probe-{}", Uuid::now_v7());
        self.create(&key, "probe".into()).await?;
        let second = self.create(&key, "probe".into()).await;
        self.delete(&key).await?;
        self.tidy(STATE_FOLDER).await;
        match second {
            Ok(()) => Err(LoadError::Unconditional { url: self.url.clone() }),
            Err(LoadError::Store { source: StoreError::AlreadyExists { .. }, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The key in the store of a path relative to the destination. Every part is taken as it stands: what needs
    /// encoding was encoded before.
    pub(crate) fn key(&self, relative: &str) -> Result<Path, LoadError> {
        let text = if self.prefix.is_root() { relative.to_owned() } else { format!("{}/{relative}", self.prefix) };
        Path::parse(text).map_err(|error| LoadError::Store {
            action: "use the path",
            path: self.shown(relative),
            source: StoreError::from(error),
        })
    }

    /// The path relative to the destination of a key in the store; the inverse of [`Self::key`].
    pub(crate) fn relative<'a>(&self, key: &'a Path) -> &'a str {
        let text = key.as_ref();
        text.strip_prefix(self.prefix.as_ref()).map_or(text, |rest| rest.trim_start_matches('/'))
    }

    /// A relative path as people are shown it.
    pub(crate) fn shown(&self, relative: &str) -> String {
        let slash = if self.url.ends_with('/') { "" } else { "/" };
        format!("{}{slash}{relative}", self.url)
    }

    /// Names the file and the operation in an error of the store.
    pub(crate) fn failed(&self, action: &'static str, relative: &str) -> impl FnOnce(StoreError) -> LoadError {
        let path = self.shown(relative);
        move |source| LoadError::Store { action, path, source }
    }

    /// Creates an object, and fails with the store's `AlreadyExists` if there is one.
    pub(crate) async fn create(&self, relative: &str, payload: PutPayload) -> Result<(), LoadError> {
        let key = self.key(relative)?;
        let put = self.retidied(|| self.store.put_opts(&key, payload.clone(), PutMode::Create.into())).await;
        put.map(drop).map_err(self.failed("create", relative))
    }

    /// Does a write, and does it again when its folder was gone: between the making of a folder and of the first file in
    /// it, a report beside this one may [`Self::tidy`] it away.
    pub(crate) async fn retidied<T, W>(&self, write: impl Fn() -> W) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, StoreError>>,
    {
        for _ in 0..FOLDER_ATTEMPTS {
            match write().await {
                Err(error) if self.folder.is_some() && io_kind(&error) == Some(ErrorKind::NotFound) => {}
                done => return done,
            }
        }
        write().await
    }

    /// Removes an object; one that is not there is removed already.
    pub(crate) async fn delete(&self, relative: &str) -> Result<(), LoadError> {
        match self.store.delete(&self.key(relative)?).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", relative)(error)),
        }
    }

    /// Whether there is an object at this path.
    pub(crate) async fn exists(&self, relative: &str) -> Result<bool, LoadError> {
        match self.store.head(&self.key(relative)?).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("look up", relative)(error)),
        }
    }

    /// The paths below a folder, sorted; none if there is no such folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        use futures::TryStreamExt as _;
        let prefix = self.key(folder)?;
        let found: Result<Vec<_>, _> = self.store.list(Some(&prefix)).try_collect().await;
        let mut paths: Vec<String> = match found {
            Ok(found) => found.iter().map(|object| self.relative(&object.location).to_owned()).collect(),
            Err(StoreError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(self.failed("list", folder)(error)),
        };
        paths.sort_unstable();
        Ok(paths)
    }

    /// Removes a folder of the local disk and its parents up to the destination, as long as they are empty. Object
    /// stores have no empty folders. Failure is of no consequence: an empty folder holds nothing.
    pub(crate) async fn tidy(&self, relative: &str) {
        let Some(root) = self.folder.clone() else { return };
        let folder = root.join(relative);
        let removal = tokio::task::spawn_blocking(move || {
            let parents = folder.ancestors().take_while(|parent| parent.starts_with(&root) && *parent != root);
            for parent in parents {
                // A folder that is missing was removed with its last file; its parents may still be empty.
                match std::fs::remove_dir(parent) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => break,
                    _ => {}
                }
            }
        });
        if removal.await.is_err() {
            tracing::debug!(folder = relative, "could not remove an empty folder");
        }
    }
}

/// The path without `.` and `..`, which object paths do not have. Symbolic links stay as they are.
fn absolute(path: &FilePath) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// A URL without user, password, query and fragment.
fn redacted(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else { return url.split(['?', '#']).next().unwrap_or_default().to_owned() };
    // Both fail only for URLs that can have neither.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}
