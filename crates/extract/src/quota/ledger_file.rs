//! A ledger in a small file, read, changed and written under the file's lock, so that the processes of a host share it.
//!
//! The file is written in place and not synced: a killed process loses nothing that it wrote, and a request is not worth
//! a disk's milliseconds. Reading and writing some hundred cached bytes takes microseconds, less than handing them to
//! another thread, so it is done where it is asked for.
//!
//! The file holds the last two states of the ledger, each a line with a checksum. A damaged one leaves the other, which is
//! one request behind. So does a line of another key's file: the checksum is of the name too. Where both are damaged or gone,
//! the file is set aside and this process continues with the count that it knows; one that has just begun knows nothing and counts from 0, with the next slot one second away: the API itself ends a day whose
//! requests are used up, and that is written down again.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::checksum;
use super::ledger_state::{LedgerState, Moment, Slot, moment};
use crate::{Clock, ExtractError};

/// Bytes of a line, its line break included.
const LINE: usize = 512;

/// Between two tries for a lock that another process has: it needs it for some microseconds.
const BUSY: Duration = Duration::from_millis(1);

/// A process that holds the lock this long is frozen. The others do not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Microseconds. After damage nobody knows who sent a request just now.
const AFTER_DAMAGE: i64 = 1_000_000;

/// A ledger in a file.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    state: Mutex<FileState>,
}

#[derive(Debug, Default)]
struct FileState {
    file: Option<File>,
    /// The number of the last line that was read or written.
    change: u64,
    /// The state as this process last saw it.
    known: Option<LedgerState>,
    /// Requests that were counted and could not be written.
    unsaved: u64,
    warned: bool,
    /// The damage of the file was told.
    damaged: bool,
    /// Another process did not let go of the lock; nobody waits for it again.
    frozen: bool,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LedgerLine<B> {
    /// Counts up; the larger one is in force.
    change: u64,
    pub(super) book: B,
}

/// The state while nobody else in this process, nor in another one that sees the file's lock, changes it.
struct LedgerSession<'a> {
    path: &'a Path,
    state: MutexGuard<'a, FileState>,
    /// The file's lock is held, so it may be written.
    locked: bool,
}

impl LedgerFile {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(format!("{name}.ledger")), state: Mutex::default() }
    }

    /// Changes the state.
    pub(super) async fn change<T>(
        &self,
        clock: &Clock,
        change: impl FnOnce(&mut LedgerState, Moment) -> T,
    ) -> Result<T, ExtractError> {
        Ok(self.session(clock).await?.change(clock, change))
    }

    /// The state as it is, without leaving a trace.
    pub(super) async fn look(&self, wall: DateTime<Utc>) -> Result<LedgerState, ExtractError> {
        let now = moment(wall);
        if !self.path.exists() && self.state().known.is_none() {
            return Ok(LedgerState::new(now));
        }
        let mut book = self.session(&Clock::fixed(wall)).await?.read(now);
        book.turn_to(now);
        Ok(book)
    }

    /// Frees a slot, unless the file is busy: then it stays a hole.
    pub(super) fn undo(&self, slot: Slot, clock: &Clock) {
        if let Ok(Some(mut session)) = self.try_session(clock, false) {
            session.change(clock, |book, _| book.undo(slot));
        }
    }

    async fn session(&self, clock: &Clock) -> Result<LedgerSession<'_>, ExtractError> {
        let start = Instant::now();
        loop {
            if let Some(session) = self.try_session(clock, start.elapsed() >= PATIENCE)? {
                return Ok(session);
            }
            sleep(BUSY).await;
        }
    }

    /// `None`: another process holds the lock. Who has `waited` long enough goes on without it.
    fn try_session(&self, clock: &Clock, waited: bool) -> Result<Option<LedgerSession<'_>>, ExtractError> {
        let mut session = LedgerSession { path: &self.path, state: self.state(), locked: false };
        let waited = waited || session.state.frozen;
        let file = match session.state.file.take().map_or_else(|| open(&self.path, clock), Ok) {
            Ok(file) => session.state.file.insert(file),
            Err(error) if is_full(&error) => {
                session.warn(&error);
                return Ok(Some(session));
            }
            Err(source) => return Err(ExtractError::LedgerFile { path: self.path.clone(), source }),
        };
        match file.try_lock() {
            Ok(()) => (session.locked, session.state.frozen) = (true, false),
            Err(TryLockError::WouldBlock) if !waited => return Ok(None),
            Err(error) => {
                session.state.frozen = true;
                session.warn(&error.into());
            }
        }
        Ok(Some(session))
    }

    fn state(&self) -> MutexGuard<'_, FileState> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LedgerSession<'_> {
    fn change<T>(&mut self, clock: &Clock, change: impl FnOnce(&mut LedgerState, Moment) -> T) -> T {
        // Asked under the lock, so that no other process was here later.
        let now = moment(clock.now());
        let mut book = self.read(now);
        book.turn_to(now);
        let (day, before) = (now.wall.date_naive(), book.spent(now.wall.date_naive()));
        let changed = change(&mut book, now);
        let counted = book.spent(day).saturating_sub(before);
        self.write(book, counted);
        changed
    }

    /// The state in the file, with what could not be written to it; without the file, the state as it was last seen.
    fn read(&mut self, now: Moment) -> LedgerState {
        let state = &mut *self.state;
        if let Some(file) = state.file.as_mut().filter(|_| self.locked) {
            match read(file, self.path) {
                Ok(Some(LedgerLine { change, mut book })) => {
                    (state.change, state.damaged) = (change, false);
                    if let Some(known) = state.known.as_ref().filter(|_| state.unsaved > 0) {
                        book.catch_up(state.unsaved, known);
                    }
                    return book;
                }
                Ok(None) if std::mem::replace(&mut state.damaged, true) => {}
                Ok(None) => {
                    let spent = state.known.as_ref().map_or(0, |known| known.spent(now.wall.date_naive()));
                    let aside = aside(self.path);
                    // Somebody may want to look at it; what counts is written over it.
                    let kept = copy_aside(self.path, &aside).is_ok();
                    let (path, aside) = (self.path.display(), aside.display());
                    let aside = if kept { format!("; a copy is in {aside}") } else { String::new() };
                    error!(%path, spent, "the quota ledger is damaged; requests are counted from here on{aside}");
                }
                Err(error) => self.warn(&error),
            }
        }
        let fresh = || {
            let mut book = LedgerState::new(now);
            book.next += AFTER_DAMAGE;
            book
        };
        self.state.known.clone().unwrap_or_else(fresh)
    }

    fn write(&mut self, book: LedgerState, counted: u64) {
        let state = &mut *self.state;
        let line = LedgerLine { change: state.change.saturating_add(1), book: &book };
        let written = match state.file.as_mut().filter(|_| self.locked) {
            Some(file) => write(file, &line, self.path),
            None => Ok(false),
        };
        match written {
            Ok(true) => {
                state.change = line.change;
                state.unsaved = 0;
            }
            Ok(false) => state.unsaved += counted,
            Err(error) => {
                state.unsaved += counted;
                self.warn(&error);
            }
        }
        self.state.known = Some(book);
    }

    fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.state.warned, true) {
            let path = self.path.display();
            warn!(%path, %error, "cannot use the quota ledger; other processes do not see this one's requests");
        }
    }
}

impl Drop for LedgerSession<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.state.file.as_ref().filter(|_| self.locked) {
            // Cannot fail where locking could; closing the file would end the lock too.
            _ = file.unlock();
        }
    }
}

/// Opens the file. A new one appears complete, so that an empty one is always a damaged one.
fn open(path: &Path, clock: &Clock) -> io::Result<File> {
    let existing = || OpenOptions::new().read(true).write(true).open(path);
    match existing() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut fresh = NamedTempFile::new_in(folder)?;
    write(fresh.as_file_mut(), &LedgerLine { change: 0, book: &LedgerState::new(moment(clock.now())) }, path)?;
    match fresh.persist_noclobber(path) {
        // Another process was faster.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => existing(),
        persisted => Ok(persisted?),
    }
}

/// Where a damaged file is copied to.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("ledger.damaged")
}

/// Copies a damaged file, or the beginning of one that is endless.
fn copy_aside(path: &Path, aside: &Path) -> io::Result<()> {
    let mut found = Vec::new();
    File::open(path)?.take(4 * LINE as u64).read_to_end(&mut found)?;
    fs::write(aside, found)
}

/// The checksum of a line in the file of this name.
fn check(text: &[u8], path: &Path) -> String {
    let name = path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
    checksum(&[name, b" ", text].concat())
}

/// The line in force; `None`: there is no complete one.
fn read(file: &mut File, path: &Path) -> io::Result<Option<LedgerLine<LedgerState>>> {
    let mut bytes = Vec::with_capacity(2 * LINE);
    file.seek(SeekFrom::Start(0))?;
    file.take(2 * LINE as u64).read_to_end(&mut bytes)?;
    Ok(bytes.chunks(LINE).filter_map(|line| parse(line, path)).max_by_key(|line| line.change))
}

pub(super) fn parse(line: &[u8], path: &Path) -> Option<LedgerLine<LedgerState>> {
    let (found, text) = line.split_at_checked(8)?;
    let text = text.trim_ascii();
    // The first versions did not count the name in.
    let holds = found == check(text, path).as_bytes() || found == checksum(text).as_bytes();
    if holds { serde_json::from_slice(text).ok() } else { None }
}

fn text(line: &LedgerLine<&LedgerState>, path: &Path) -> io::Result<String> {
    let text = serde_json::to_string(line)?;
    Ok(format!("{} {text:<width$}\n", check(text.as_bytes(), path), width = LINE - 10))
}

/// Writes a line and reads it again.
#[cfg(any(test, fuzzing))]
pub(super) fn reread(line: &LedgerLine<LedgerState>, path: &Path) {
    let written = text(&LedgerLine { change: line.change, book: &line.book }, path).unwrap_or_default();
    let again = parse(written.as_bytes(), path).map(|again| (again.change, again.book));
    assert_eq!(again, Some((line.change, line.book.clone())));
}

/// Writes a line over the older one; whether it did.
fn write(file: &mut File, line: &LedgerLine<&LedgerState>, path: &Path) -> io::Result<bool> {
    let text = text(line, path)?;
    if text.len() != LINE {
        return Err(io::Error::other("its line is too long"));
    }
    file.seek(SeekFrom::Start(if line.change.is_multiple_of(2) { 0 } else { LINE as u64 }))?;
    file.write_all(text.as_bytes())?;
    Ok(true)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
