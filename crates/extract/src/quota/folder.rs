//! A book in a small file, read, changed and written under the file's lock, so that the processes of a host share it.
//!
//! The file is written in place and not synced: a killed process loses nothing that it wrote, and a request is not worth
//! a disk's milliseconds. Reading and writing some hundred cached bytes takes microseconds, less than handing them to
//! another thread, so it is done where it is asked for.
//!
//! The file holds the last two states of the book, each a line with a checksum. A damaged one leaves the other, which is
//! one request behind. Where both are damaged or gone, this process goes on with the count that it knows; one that has
//! just begun knows nothing and counts from 0, with the next slot one second away: the API itself ends a day whose
//! requests are used up, and that is written down again.

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

use super::book::{Book, Moment, Slot, moment};
use super::checksum;
use crate::{Clock, ExtractError};

/// Bytes of a line, its line break included.
const LINE: usize = 512;

/// Between two tries for a lock that another process has: it needs it for some microseconds.
const BUSY: Duration = Duration::from_millis(1);

/// A process that holds the lock this long is frozen. The others do not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Microseconds. After damage nobody knows who sent a request just now.
const AFTER_DAMAGE: i64 = 1_000_000;

/// A book in a file.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    /// The number of the last line that was read or written.
    change: u64,
    /// The book as this process last saw it.
    known: Option<Book>,
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
struct Line<B> {
    /// Counts up; the larger one is in force.
    change: u64,
    book: B,
}

/// The book while nobody else in this process, nor in another one that sees the file's lock, changes it.
struct Session<'a> {
    path: &'a Path,
    state: MutexGuard<'a, State>,
    /// The file's lock is held, so it may be written.
    locked: bool,
}

impl Folder {
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(format!("{name}.ledger")), state: Mutex::default() }
    }

    /// Changes the book.
    pub(super) async fn change<T>(
        &self,
        clock: &Clock,
        change: impl FnOnce(&mut Book, Moment) -> T,
    ) -> Result<T, ExtractError> {
        Ok(self.session(clock).await?.change(clock, change))
    }

    /// The book as it is, without leaving a trace.
    pub(super) async fn look(&self, wall: DateTime<Utc>) -> Result<Book, ExtractError> {
        let now = moment(wall);
        if !self.path.exists() && self.state().known.is_none() {
            return Ok(Book::new(now));
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

    async fn session(&self, clock: &Clock) -> Result<Session<'_>, ExtractError> {
        let start = Instant::now();
        loop {
            if let Some(session) = self.try_session(clock, start.elapsed() >= PATIENCE)? {
                return Ok(session);
            }
            sleep(BUSY).await;
        }
    }

    /// `None`: another process holds the lock. Who has `waited` long enough goes on without it.
    fn try_session(&self, clock: &Clock, waited: bool) -> Result<Option<Session<'_>>, ExtractError> {
        let mut session = Session { path: &self.path, state: self.state(), locked: false };
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

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    fn change<T>(&mut self, clock: &Clock, change: impl FnOnce(&mut Book, Moment) -> T) -> T {
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

    /// The book in the file, with what could not be written to it; without the file, the book as it was last seen.
    fn read(&mut self, now: Moment) -> Book {
        let state = &mut *self.state;
        if let Some(file) = state.file.as_mut().filter(|_| self.locked) {
            match read(file) {
                Ok(Some(Line { change, mut book })) => {
                    (state.change, state.damaged) = (change, false);
                    if let Some(known) = state.known.as_ref().filter(|_| state.unsaved > 0) {
                        book.catch_up(state.unsaved, known);
                    }
                    return book;
                }
                Ok(None) if std::mem::replace(&mut state.damaged, true) => {}
                Ok(None) => {
                    let spent = state.known.as_ref().map_or(0, |known| known.spent(now.wall.date_naive()));
                    error!(path = %self.path.display(), spent, "the quota ledger is damaged; counting goes on from here");
                }
                Err(error) => self.warn(&error),
            }
        }
        let fresh = || {
            let mut book = Book::new(now);
            book.next += AFTER_DAMAGE;
            book
        };
        self.state.known.clone().unwrap_or_else(fresh)
    }

    fn write(&mut self, book: Book, counted: u64) {
        let state = &mut *self.state;
        let line = Line { change: state.change + 1, book: &book };
        let written = match state.file.as_mut().filter(|_| self.locked) {
            Some(file) => write(file, &line),
            None => Ok(false),
        };
        match written {
            Ok(true) => {
                state.change += 1;
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

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.state.file.as_ref().filter(|_| self.locked) {
            // Cannot fail where locking could; closing the file would end the lock too.
            _ = file.unlock();
        }
    }
}

/// Opens the file. A new one appears whole, so that an empty one is always a damaged one.
fn open(path: &Path, clock: &Clock) -> io::Result<File> {
    let existing = || OpenOptions::new().read(true).write(true).open(path);
    match existing() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return opened,
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut fresh = NamedTempFile::new_in(folder)?;
    write(fresh.as_file_mut(), &Line { change: 0, book: &Book::new(moment(clock.now())) })?;
    match fresh.persist_noclobber(path) {
        // Another process was faster.
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => existing(),
        persisted => Ok(persisted?),
    }
}

/// The line in force; `None`: there is no whole one.
fn read(file: &mut File) -> io::Result<Option<Line<Book>>> {
    let mut bytes = Vec::with_capacity(2 * LINE);
    file.seek(SeekFrom::Start(0))?;
    file.take(2 * LINE as u64).read_to_end(&mut bytes)?;
    Ok(bytes.chunks(LINE).filter_map(parse).max_by_key(|line| line.change))
}

fn parse(line: &[u8]) -> Option<Line<Book>> {
    let (check, text) = line.split_at_checked(8)?;
    let text = text.trim_ascii();
    if check == checksum(text).as_bytes() { serde_json::from_slice(text).ok() } else { None }
}

/// Writes a line over the older one; whether it did.
fn write(file: &mut File, line: &Line<&Book>) -> io::Result<bool> {
    let text = serde_json::to_string(line)?;
    let text = format!("{} {text:<width$}\n", checksum(text.as_bytes()), width = LINE - 10);
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
