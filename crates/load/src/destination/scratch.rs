//! A temporary file without a name, which is gone with the process however that ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use crate::error::LoadError;

/// Bytes kept aside on local disk.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: Mutex<File>,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self, LoadError> {
        Ok(Self { file: Mutex::new(tempfile::tempfile().map_err(full)?) })
    }

    /// Adds bytes at the end; returns where they begin.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<u64, LoadError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = file.seek(SeekFrom::End(0)).map_err(full)?;
        file.write_all(bytes).map_err(full)?;
        Ok(offset)
    }

    /// Fills the buffer with what begins at a place.
    pub(crate) fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), LoadError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(bytes)).map_err(full)
    }
}

/// The error of a temporary file that cannot be written or read.
pub(crate) fn full(source: io::Error) -> LoadError {
    LoadError::Scratch { folder: std::env::temp_dir().to_string_lossy().into_owned(), source }
}
