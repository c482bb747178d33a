//! Where a trial writes: in memory, where a rename is a copy and a removal as on S3, or in a folder, where it is one step.

use std::fs;
use std::path::Path as FilePath;
use std::sync::Arc;

use ctct_load::{Destination, StoreOptions};
use ctct_testkit::FaultStore;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use tempfile::TempDir;

use crate::stored::{Files, Stored};

/// The kinds of places.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Memory,
    Folder,
}

/// One place, empty at first.
pub(crate) enum Place {
    Memory(Arc<InMemory>),
    Folder(TempDir),
}

impl Place {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Memory => Self::Memory(Arc::new(InMemory::new())),
            Kind::Folder => Self::Folder(TempDir::new().unwrap()),
        }
    }

    /// The place as a sound process finds it.
    pub(crate) fn destination(&self) -> Destination {
        match self {
            Self::Memory(store) => Destination::with_store(Arc::clone(store) as Arc<dyn ObjectStore>, "memory://"),
            // A process that dies loses nothing that the system has; only a power cut would.
            Self::Folder(folder) => {
                Destination::open(".", folder.path(), &StoreOptions::default()).unwrap().with_fsync(false)
            }
        }
    }

    /// The place as it is found through a store that can be told to fail.
    pub(crate) fn failing(&self) -> (Destination, Arc<FaultStore>) {
        let mut failing = None;
        let destination = self.destination().behind(|store| {
            let store = match self {
                Self::Memory(_) => FaultStore::new(store),
                Self::Folder(_) => FaultStore::with_atomic_rename(store),
            };
            let store = Arc::new(store);
            failing = Some(Arc::clone(&store));
            store
        });
        (destination, failing.unwrap())
    }

    /// Everything that is there, read.
    pub(crate) async fn stored(&self) -> Stored {
        Stored::new(self.files().await)
    }

    async fn files(&self) -> Files {
        match self {
            Self::Memory(store) => {
                let mut files = Files::new();
                for object in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
                    let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
                    files.insert(object.location.to_string(), bytes);
                }
                files
            }
            Self::Folder(folder) => files_in(folder.path()),
        }
    }

    /// Another place that holds the same.
    pub(crate) async fn copy(&self) -> Self {
        let copy = Self::new(match self {
            Self::Memory(_) => Kind::Memory,
            Self::Folder(_) => Kind::Folder,
        });
        for (path, bytes) in self.files().await {
            match &copy {
                Self::Memory(store) => drop(store.put(&path.as_str().into(), bytes.into()).await.unwrap()),
                Self::Folder(folder) => {
                    let file = folder.path().join(path);
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(file, bytes).unwrap();
                }
            }
        }
        copy
    }
}

/// Every file in a folder, those that no store would list too.
pub(crate) fn files_in(folder: &FilePath) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap().into());
            }
        }
    }
    files
}
