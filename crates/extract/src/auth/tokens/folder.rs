//! Sign-ins as files of one folder: `NAME.json`, readable to its owner alone, replaced in one step, and `NAME.lock`, which
//! whoever changes it holds.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::{Record, is_account_name};
use crate::{ExtractError, auth::private};

/// More than any sign-in has.
const MAX_BYTES: u64 = 1 << 20;
/// Between two looks at a lock that another process holds.
const LOCK_POLL: Duration = Duration::from_millis(25);
/// Longer than a renewal with all its retries takes; whoever holds a lock longer was stopped, and the next run tries again.
const LOCK_PATIENCE: Duration = Duration::from_mins(10);

/// A folder of sign-ins.
#[derive(Debug, Clone)]
pub(super) struct TokenFolder(PathBuf);

/// Nobody else changes the account while this lives: no other process, and no other task of this one.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file is what lets go")] File);

impl TokenFolder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file of an account.
    pub(super) fn file(&self, account: &str) -> PathBuf {
        self.0.join(format!("{account}.json"))
    }

    /// The accounts that have a file, sorted.
    pub(super) fn names(&self) -> Result<Vec<String>, ExtractError> {
        if !self.is_private()? {
            return Ok(Vec::new());
        }
        let failed = |error| failed("list", &self.0)(error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.filter(|name| is_account_name(name)).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) fn read(&self, account: &str) -> Result<Option<Record>, ExtractError> {
        if !self.is_private()? {
            return Ok(None);
        }
        let path = self.file(account);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let length = check_mode(&path, &file.metadata().map_err(failed("read", &path))?, 0o600)?;
        // Of the right size from the beginning: growing would leave copies behind.
        let mut json =
            Zeroizing::new(Vec::with_capacity(usize::try_from(length.min(MAX_BYTES)).unwrap_or_default() + 1));
        file.take(MAX_BYTES).read_to_end(&mut json).map_err(failed("read", &path))?;
        let record = Record::from_json(&json, account).map_err(|reason| ExtractError::TokensDamaged {
            account: account.to_owned(),
            path: path.display().to_string(),
            reason,
        })?;
        Ok(Some(record))
    }

    /// Replaces an account's file, durably: whoever looks finds the old one or the new one, after a loss of power too.
    /// The caller holds the lock.
    pub(super) fn write(&self, record: &Record) -> Result<(), ExtractError> {
        let path = self.file(&record.sign_in.account);
        private::replace(&path, &record.to_json()).map_err(failed("write", &path))
    }

    /// Removes an account's file. The caller holds the lock.
    pub(super) fn remove(&self, account: &str) -> Result<bool, ExtractError> {
        let path = self.file(account);
        let removed = private::remove(&path).and_then(|removed| private::sync_folder(&self.0).map(|()| removed));
        removed.map_err(failed("remove", &path))
    }

    /// Locks an account, once whoever holds the lock has let go of it.
    pub(super) async fn lock(&self, account: &str) -> Result<Lock, ExtractError> {
        let start = Instant::now();
        loop {
            if let Some(lock) = self.try_lock(account)? {
                return Ok(lock);
            }
            if start.elapsed() > LOCK_PATIENCE {
                return Err(failed("lock", &self.lock_file(account))(ErrorKind::TimedOut.into()));
            }
            sleep(LOCK_POLL).await;
        }
    }

    /// Locks an account, unless somebody else holds the lock.
    pub(super) fn try_lock(&self, account: &str) -> Result<Option<Lock>, ExtractError> {
        self.make()?;
        let path = self.lock_file(account);
        let file = private::only_owner(OpenOptions::new().write(true).create(true).truncate(false)).open(&path);
        let file = file.map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
        }
    }

    fn lock_file(&self, account: &str) -> PathBuf {
        self.0.join(format!("{account}.lock"))
    }

    /// Makes the folder where there is none.
    fn make(&self) -> Result<(), ExtractError> {
        if self.is_private()? {
            return Ok(());
        }
        private::make_folder(&self.0).map_err(failed("make", &self.0))
    }

    /// Whether the folder is there.
    ///
    /// # Errors
    /// Others than its owner may look into it.
    fn is_private(&self) -> Result<bool, ExtractError> {
        match fs::metadata(&self.0) {
            Ok(folder) => check_mode(&self.0, &folder, 0o700).map(|_| true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed("read", &self.0)(error)),
        }
    }
}

/// Refuses what others than its owner may read. Tells the length.
fn check_mode(path: &Path, metadata: &fs::Metadata, tight: u32) -> Result<u64, ExtractError> {
    match private::open_mode(metadata) {
        None => Ok(metadata.len()),
        Some(mode) => Err(ExtractError::TokensOpen { path: path.into(), mode, tight }),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExtractError {
    let path = path.display().to_string();
    move |source| ExtractError::TokenStore { action, path, source }
}
