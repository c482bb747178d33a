//! Where tables are written: a folder or a bucket, a prefix in it, and the address that people are shown.

pub(crate) mod checksum;
pub(crate) mod file_options;
pub(crate) mod folder;
mod objects;
pub(crate) mod scratch;
pub(crate) mod stop;
pub(crate) mod store;
pub(crate) mod sweep;
mod unlogged;
pub(crate) mod upload;

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::ErrorKind;
use std::panic::AssertUnwindSafe;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use url::Url;

use crate::destination::file_options::{FileOptions, FileSettings};
use crate::destination::folder::{ACCOUNT, STATE_FOLDER};
use crate::destination::stop::StopFlag;
use crate::destination::store::{BucketAddress, Cloud, StoreOptions};
use crate::error::LoadError;
use crate::error::fault::{io_kind, is_conflict};

/// Part of a local file that is held in memory while it is written: small, since hundreds of files may be open.
const LOCAL_PART_BYTES: usize = 64 << 10;
/// Times that a write is done again because its folder was tidied away.
const FOLDER_ATTEMPTS: usize = 8;
/// Times that a create is done again because the store decided for none of two that met, which S3 asks for.
const CONFLICT_ATTEMPTS: usize = 4;
/// Objects that a folder has at the most: a report of one account has some thousands.
const LISTED_AT_MOST: usize = 1_000_000;
/// Objects one after the other that a listing may bring again: a page of a listing.
const LISTED_AGAIN: usize = 1_000;
/// Part of an upload to an object store: the 5 MiB that S3 asks for at least.
const STORE_PART_BYTES: usize = 5 << 20;

/// A folder on disk, or a prefix in a store, that holds tables and their commit logs.
#[derive(Clone)]
pub struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// For what may be lost in a power cut: local writes are left to the system to flush.
    pub(crate) pages: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
    /// The folder, where the store is the local disk.
    folder: Option<PathBuf>,
    /// Size of the parts that a file is uploaded in, in bytes.
    pub(crate) part_bytes: usize,
    /// What a user says of the files.
    files: FileSettings,
    /// Whether somebody wants the work to end.
    pub(crate) stop: StopFlag,
    /// Objects that a listing of a folder may have.
    listed_at_most: usize,
}

/// What a URL names.
enum Location {
    Memory,
    Folder(PathBuf),
    Bucket(BucketAddress),
}

impl Location {
    /// Reads a URL or a path. The error says what is wrong, and what would be right.
    fn parse(url: &str) -> Result<Self, String> {
        match url.split_once("://") {
            None if url.is_empty() => Err("it is empty, name a folder".to_owned()),
            None => Ok(Self::Folder(PathBuf::from(url))),
            Some(("memory", _)) => Ok(Self::Memory),
            Some(("file", rest)) => {
                let rest = rest.strip_prefix("localhost/").map_or_else(|| rest.to_owned(), |path| format!("/{path}"));
                let path = percent_encoding::percent_decode_str(&rest);
                let path = path.decode_utf8().map_err(|_| "its path is not UTF-8".to_owned())?;
                Ok(Self::Folder(PathBuf::from(path.as_ref())))
            }
            Some((scheme, _)) => match Cloud::of_scheme(scheme) {
                Some(cloud) => BucketAddress::parse(cloud, url).map(Self::Bucket),
                None => Err(format!(
                    "{scheme}:// is not a supported kind of destination; use a folder (`./data`), `file:///path`, `s3://`, `gs://` or `az://`"
                )),
            },
        }
    }
}

/// The address alone: a client's own `Debug` may show keys.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Destination {
    /// Opens a plain path, a `file://` URL, `memory://`, or a bucket: `s3://BUCKET/PREFIX`, `gs://` and `az://`, with
    /// `options`, which nothing else takes. Relative paths, `file://./data` among them, start at `base_dir`, which must
    /// be absolute. Nothing is created, written or asked before the first write or [`Self::probe`].
    ///
    /// # Errors
    /// The URL names no destination, the path cannot be made absolute, or options or credentials are missing or wrong.
    pub fn open(url: &str, base_dir: &FilePath, options: &StoreOptions) -> Result<Self, LoadError> {
        let refuse = |reason: String| LoadError::Url { url: redacted(url), reason };
        match Location::parse(url).map_err(refuse)? {
            Location::Memory => Ok(Self::in_memory()),
            Location::Bucket(bucket) => {
                let store = bucket.open(options).map_err(refuse)?;
                Ok(Self { prefix: bucket.prefix().clone(), ..Self::with_store(store, bucket.shown()) })
            }
            Location::Folder(folder) => {
                let folder = absolute(&base_dir.join(folder));
                let prefix = Path::from_absolute_path(&folder)
                    .map_err(|_| refuse("the path has a character that no destination can have".to_owned()))?;
                Ok(Self {
                    store: Arc::new(LocalFileSystem::new().with_fsync(true)),
                    pages: Arc::new(LocalFileSystem::new()),
                    prefix,
                    url: folder.to_string_lossy().into_owned(),
                    folder: Some(folder),
                    part_bytes: LOCAL_PART_BYTES,
                    files: FileSettings::default(),
                    stop: StopFlag::default(),
                    listed_at_most: LISTED_AT_MOST,
                })
            }
        }
    }

    /// Checks a URL as far as that goes without options, credentials and the store itself.
    ///
    /// # Errors
    /// [`LoadError::Url`].
    pub fn check_url(url: &str) -> Result<(), LoadError> {
        Location::parse(url).map(drop).map_err(|reason| LoadError::Url { url: redacted(url), reason })
    }

    /// A destination in this process's memory, empty. Clones share it.
    pub fn in_memory() -> Self {
        Self::with_store(Arc::new(InMemory::new()), "memory://")
    }

    /// A destination at the root of any store. `url` is only shown, and must hold no secret.
    pub fn with_store(store: Arc<dyn ObjectStore>, url: impl Into<String>) -> Self {
        let pages = Arc::clone(&store);
        let (part_bytes, files, stop) = (STORE_PART_BYTES, FileSettings::default(), StopFlag::default());
        let (prefix, listed_at_most) = (Path::ROOT, LISTED_AT_MOST);
        Self { store, pages, prefix, url: url.into(), folder: None, part_bytes, files, stop, listed_at_most }
    }

    /// The same destination with Parquet files that are written so.
    #[must_use]
    pub fn with_files(self, files: FileSettings) -> Self {
        Self { files, ..self }
    }

    /// The same destination, where work ends once this flag says so.
    #[must_use]
    pub fn with_stop(self, stop: StopFlag) -> Self {
        Self { stop, ..self }
    }

    /// The same destination, where a folder has fewer objects.
    #[cfg(test)]
    pub(crate) fn listing_at_most(self, objects: usize) -> Self {
        Self { listed_at_most: objects, ..self }
    }

    /// Whether work here is to end.
    pub fn stop(&self) -> &StopFlag {
        &self.stop
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

    /// The same destination with its store behind another, which tests let fail.
    #[must_use]
    pub fn behind(mut self, store: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        self.store = store(self.store);
        self.pages = Arc::clone(&self.store);
        self
    }

    /// The address that people are shown: an absolute path on the local disk, a URL elsewhere. It holds no secret.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is a folder of the local disk, where reading a file twice costs nothing.
    pub(crate) fn is_local(&self) -> bool {
        self.folder.is_some()
    }

    /// How files are written that suit the destination and its user, and the memory for it. An object store gets parts of 5 MiB, and each table may have
    /// one that is filling, so it needs more memory than a disk.
    pub fn file_options(&self) -> FileOptions {
        let default = FileOptions::default();
        let suitable = match self.folder {
            Some(_) => default,
            None => FileOptions { memory_bytes: 64 << 20, waiting_bytes: 40 << 20, ..default },
        };
        suitable.with(&self.files)
    }

    /// The store and the prefix of a folder of `_ctct` that is no account's, for what hosts share beside the tables. `name`
    /// takes letters only.
    pub fn shared(&self, name: &str) -> (Arc<dyn ObjectStore>, Path) {
        // No account's folder begins with a dot.
        (Arc::clone(&self.store), self.prefix.clone().join(STATE_FOLDER).join(format!(".{name}")))
    }

    /// Checks what commits rest on: the destination can be written, a create of what exists fails, and a listing shows
    /// what was written; and that objects can be read and deleted, without which a run would only fail at its end, when
    /// everything is fetched. Four requests; five for the first run of all, which makes the object that the others meet. It
    /// stays: to remove it would spoil the check of another run, and a run that died before would leave its own for good.
    ///
    /// # Errors
    /// The store cannot be written, creates over what exists ([`LoadError::Unconditional`]), or lists late
    /// ([`LoadError::Unlisted`]).
    pub async fn probe(&self) -> Result<(), LoadError> {
        // No account's folder begins with a dot.
        let folder = format!("{STATE_FOLDER}/.probe");
        let key = format!("{folder}/created");
        self.sweep(&folder, |_| true).await;
        let exists = match self.create(&key, "probe".into()).await {
            Ok(()) => {
                if let Err(error) = self.refuse_nested().await {
                    self.delete(&key).await?;
                    self.tidy(&folder).await;
                    return Err(error);
                }
                self.create(&key, "probe".into()).await
            }
            exists => exists,
        };
        match exists {
            Ok(()) => return Err(LoadError::Unconditional { url: self.url.clone() }),
            Err(LoadError::Store { source: StoreError::AlreadyExists { .. }, .. }) => {}
            Err(error) => return Err(self.explained(error).await),
        }
        if !self.list(&folder).await?.contains(&key) {
            return Err(LoadError::Unlisted { url: self.url.clone() });
        }
        let read = async { self.store.get(&self.key(&key)?).await.map(drop).map_err(self.failed("read", &key)) };
        read.await?;
        // To delete what is not there takes the same right.
        self.delete(&format!("{folder}/deleted")).await
    }

    /// Refuses a destination in a folder of another one that has tables or state in it: that one's readers would see its rows.
    /// The other way round is found by the outer one's runs, which list the folders of their tables.
    async fn refuse_nested(&self) -> Result<(), LoadError> {
        let parts: Vec<_> = self.prefix.parts().collect();
        for depth in (0..parts.len()).rev() {
            let outer: Path = parts[..depth].iter().cloned().collect();
            let probe = outer.clone().join(STATE_FOLDER).join(".probe").join("created");
            // Whoever may not look there cannot tell.
            if self.store.head(&probe).await.is_err() {
                continue;
            }
            let below = outer.clone().join(parts[depth].clone());
            let Ok(found) = self.store.list_with_delimiter(Some(&below)).await else { continue };
            let is_account = |path: &Path| path.filename().is_some_and(|name| name.starts_with(&format!("{ACCOUNT}=")));
            let name = parts[depth].as_ref();
            if name == STATE_FOLDER || found.common_prefixes.iter().any(is_account) {
                let (url, folder) = (self.url.clone(), name.to_owned());
                let outer = if self.is_local() { format!("/{outer}") } else { outer.to_string() };
                return Err(LoadError::Nested { url, folder, outer });
            }
        }
        Ok(())
    }

    /// The error of a create, or that the file system has no hard links where that is why.
    async fn explained(&self, error: LoadError) -> LoadError {
        let Some(root) = self.folder.clone() else { return error };
        let lacks =
            tokio::task::spawn_blocking(move || lacks_hard_links(&root, |from, to| std::fs::hard_link(from, to)));
        if lacks.await.unwrap_or_default() { LoadError::NoHardLinks { path: self.url.clone() } } else { error }
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

    /// Names the file and the operation in an error of the store. A folder where a file should be is damage.
    pub(crate) fn failed(&self, action: &'static str, relative: &str) -> impl FnOnce(StoreError) -> LoadError {
        let path = self.shown(relative);
        move |source| match io_kind(&source) {
            Some(ErrorKind::IsADirectory) => {
                LoadError::Damaged { path, reason: "a folder is in its place; move the folder away first".to_owned() }
            }
            _ => LoadError::Store { action, path, source },
        }
    }

    /// Creates an object, and fails with the store's `AlreadyExists` if there is one.
    pub(crate) async fn create(&self, relative: &str, payload: PutPayload) -> Result<(), LoadError> {
        let key = self.key(relative)?;
        let put = async || self.retidied(|| self.store.put_opts(&key, payload.clone(), PutMode::Create.into())).await;
        let mut done = put().await;
        for _ in 0..CONFLICT_ATTEMPTS {
            match &done {
                Err(error) if is_conflict(error) => done = put().await,
                _ => break,
            }
        }
        done.map(drop).map_err(self.failed("create", relative))
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
        self.delete_all(vec![self.key(relative)?]).await.map_err(self.failed("delete", relative))
    }

    /// Whether there is an object at this path.
    pub(crate) async fn exists(&self, relative: &str) -> Result<bool, LoadError> {
        Ok(self.size(relative).await?.is_some())
    }

    /// Size of the object at this path in bytes; `None` where there is none.
    pub(crate) async fn size(&self, relative: &str) -> Result<Option<u64>, LoadError> {
        match self.store.head(&self.key(relative)?).await {
            Ok(object) => Ok(Some(object.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look up", relative)(error)),
        }
    }

    /// The paths below a folder, sorted; none if there is no such folder.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<String>, LoadError> {
        let found = self.objects(folder).await?;
        let mut paths: Vec<String> = found.iter().map(|object| self.relative(&object.location).to_owned()).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// Removes a folder and all that is in it. On the local disk that includes files that a killed writer left half
    /// written, which no listing shows.
    pub(crate) async fn remove_folder(&self, relative: &str) -> Result<(), LoadError> {
        if let Some(root) = &self.folder {
            match tokio::fs::remove_dir_all(root.join(relative)).await {
                // Where a run still writes there, a later one will remove it.
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                    let source = StoreError::Generic { store: "LocalFileSystem", source: Box::new(error) };
                    return Err(self.failed("delete", relative)(source));
                }
                _ => self.tidy(relative).await,
            }
            return Ok(());
        }
        let keys: Vec<_> = self.list(relative).await?.iter().map(|path| self.key(path)).collect::<Result<_, _>>()?;
        self.delete_all(keys).await.map_err(self.failed("delete", relative))
    }

    /// Removes objects; those that are not there are removed already.
    async fn delete_all(&self, keys: Vec<Path>) -> Result<(), StoreError> {
        use futures::{FutureExt as _, StreamExt as _, stream};
        let deleted = async {
            let mut deleted = self.store.delete_stream(stream::iter(keys).map(Ok).boxed());
            while let Some(done) = deleted.next().await {
                match done {
                    Ok(_) | Err(StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        // The client for S3 panics at a response to DeleteObjects that names an object which was not in the request.
        AssertUnwindSafe(deleted).catch_unwind().await.unwrap_or_else(|_| {
            let source = "the store's answer to DeleteObjects names other objects than were to be deleted; for a server \
                          that does not know DeleteObjects set `disable_bulk_delete: true` in `destination.options`";
            Err(StoreError::Generic { store: "S3", source: source.into() })
        })
    }

    /// The objects below a folder, in no order; none if there is no such folder.
    pub(crate) async fn objects(&self, folder: &str) -> Result<Vec<ObjectMeta>, LoadError> {
        use futures::TryStreamExt as _;
        let prefix = self.key(folder)?;
        let mut listed = self.store.list(Some(&prefix));
        let (mut found, mut known, mut repeats): (Vec<ObjectMeta>, _, _) = (Vec::new(), HashSet::new(), 0);
        let names = BuildHasherDefault::<DefaultHasher>::default();
        loop {
            self.stop.check()?;
            let object = match listed.try_next().await {
                Ok(Some(object)) => object,
                Ok(None) => return Ok(found),
                Err(StoreError::NotFound { .. }) => return Ok(Vec::new()),
                Err(error) => return Err(self.failed("list", folder)(error)),
            };
            // A file that is replaced while a disk lists its folder may come twice.
            repeats = if known.insert(names.hash_one(object.location.as_ref())) { 0 } else { repeats + 1 };
            let reason = if repeats > LISTED_AGAIN {
                let again = self.relative(&object.location);
                format!("it repeats what it listed before, such as `{again}`")
            } else if found.len() >= self.listed_at_most {
                format!("it lists more than {} objects", self.listed_at_most)
            } else {
                if repeats == 0 {
                    found.push(object);
                }
                continue;
            };
            return Err(LoadError::Endless { path: self.shown(folder), reason });
        }
    }

    /// Removes from a folder of the local disk what killed processes left of files that they were writing, where `dead`
    /// takes the file's path, and folders that are empty and dead. No listing of a store shows either. What cannot be
    /// removed stays for the next time.
    pub(crate) async fn sweep(&self, relative: &str, dead: impl Fn(&str) -> bool + Send + 'static) {
        let Some(root) = self.folder.clone() else { return };
        let folder = root.join(relative);
        let swept = tokio::task::spawn_blocking(move || sweep::sweep(&root, &folder, dead));
        if swept.await.is_err() {
            tracing::debug!(folder = relative, "could not remove unfinished files");
        }
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

/// Whether files can be written below a folder and yet not be linked: `link` makes a hard link.
fn lacks_hard_links(root: &FilePath, link: impl Fn(&FilePath, &FilePath) -> std::io::Result<()>) -> bool {
    let folder = root.join(STATE_FOLDER).join(".probe");
    let names = [folder.join("link-from"), folder.join("link-to")];
    let [from, to] = &names;
    // What an earlier look has left behind.
    let remove = || names.iter().for_each(|path| drop(std::fs::remove_file(path)));
    remove();
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(from, "probe"));
    let lacks = written.is_ok() && link(from, to).is_err();
    remove();
    lacks
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
    // Both fail only for URLs that can have no user.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_file_system_without_hard_links_is_told_from_one_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("data");
        // What vfat, FUSE and s3fs say.
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::Unsupported, io::ErrorKind::Other] {
            assert!(lacks_hard_links(&root, |_, _| Err(kind.into())), "{kind:?}");
        }
        assert!(!lacks_hard_links(&root, |from, to| std::fs::hard_link(from, to)));
        let probe = root.join(STATE_FOLDER).join(".probe");
        assert_eq!(std::fs::read_dir(probe).unwrap().count(), 0, "nothing is left behind");
        let file = folder.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        assert!(
            !lacks_hard_links(&file, |_, _| Err(io::ErrorKind::PermissionDenied.into())),
            "nothing can be written there"
        );
    }
}
