//! The requests of one API key: how many a day, how fast, counted where every process that uses the key sees it.
//!
//! Three stores keep the same state: memory, a file for the processes of one host, a log of leases in an object store
//! for hosts. Whoever is at the head of a process' queue has the process' one slot and waits for it; processes take
//! their slots in the order in which they ask.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod leases;
mod ledger_file;
mod ledger_state;
mod log;
mod shared_ledger;

use std::path::Path as FilePath;
use std::sync::{Arc, Mutex as Cell, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use object_store::ObjectStore;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use self::ledger_file::LedgerFile;
use self::ledger_state::{LedgerState, Moment, SLOW, Shut, Slot, SlotPermit, spacing};
use self::shared_ledger::SharedLedger;
use crate::{Clock, ExtractError, RateLimit};

/// Counts the requests of one API key and keeps their pace, together with every other process that uses the key.
/// Clones share it.
///
/// The day is the UTC day of the clock that a client has, and waiting goes by tokio's. Where processes share a ledger
/// their clocks must run, and agree: one host has one clock.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<LedgerInner>);

#[derive(Debug)]
struct LedgerInner {
    /// Whoever holds the lock is at the head of this process' queue.
    head: Mutex<()>,
    /// When this process sent its last request: a slow one keeps its own pace.
    sent: Cell<Option<Instant>>,
    store: LedgerStore,
}

/// Where a ledger's state is kept.
#[derive(Debug)]
enum LedgerStore {
    Memory(MemoryLedger),
    File(LedgerFile),
    Shared(Arc<SharedLedger>),
}

/// What a ledger knows of the current day (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today {
    /// The day.
    pub day: NaiveDate,
    /// Requests that were sent, by all that share the ledger.
    pub spent: u64,
    /// The API said `quota_exceeded`: it takes requests again at this moment.
    pub shut_until: Option<DateTime<Utc>>,
}

impl Today {
    /// Requests that a run with this pace may still send today.
    pub fn left(&self, pace: &RateLimit) -> u64 {
        match self.shut_until {
            Some(_) => 0,
            None => pace.daily_requests.saturating_sub(pace.reserve).saturating_sub(self.spent),
        }
    }
}

impl Ledger {
    /// For this process alone, forgotten at its end.
    pub fn in_memory() -> Self {
        Self::on(LedgerStore::Memory(MemoryLedger::default()))
    }

    /// In a file of this folder, shared by the processes of this host. `key` names the API key; it need not be fit for a
    /// file name.
    ///
    /// Nothing is read or made before the first request. A file that cannot be opened then is an error; one that cannot
    /// be written later (a full disk) is not: the run continues with the count that it knows, and warns once.
    pub fn in_folder(folder: &FilePath, key: &str) -> Self {
        Self::on(LedgerStore::File(LedgerFile::new(folder, &name(key))))
    }

    /// In objects below a prefix, shared by hosts: requests are leased in blocks. `owner` names this process, for who
    /// reads the objects. The clocks of hosts may differ by two seconds. Nothing is read or made before the first request.
    pub fn in_store(store: Arc<dyn ObjectStore>, prefix: Path, key: &str, owner: &str) -> Self {
        Self::on(LedgerStore::Shared(Arc::new(SharedLedger::new(store, prefix.join(name(key)), owner))))
    }

    fn on(store: LedgerStore) -> Self {
        Self(Arc::new(LedgerInner { head: Mutex::new(()), sent: Cell::default(), store }))
    }

    /// What is known of the day of `now`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn today(&self, now: DateTime<Utc>) -> Result<Today, ExtractError> {
        let state = match &self.0.store {
            LedgerStore::Memory(memory) => memory.change(now, |state, _| state.clone()),
            LedgerStore::File(file) => file.look(now).await?,
            LedgerStore::Shared(shared) => return shared.today(now).await,
        };
        let day = now.date_naive();
        Ok(Today { day, spent: state.spent(day), shut_until: state.shut_until() })
    }

    /// Gives back what was leased for this process and not used, so that other hosts need not wait for it and the day
    /// does not lose it. For the end of a run; where nothing is leased it does nothing. What fails is only logged.
    pub async fn release(&self, clock: &Clock) {
        if let LedgerStore::Shared(shared) = &self.0.store {
            shared.release(clock).await;
        }
    }

    /// Waits for a slot of the pace and counts a request of the day: what a client does before each request. Who is
    /// dropped while it waits leaves its slot to the next, unless another process stands behind it already.
    ///
    /// # Errors
    /// [`ExtractError::Quota`], at once: no request is left today. The ledger cannot be read or written.
    pub async fn take(&self, pace: &RateLimit, clock: &Clock) -> Result<(), ExtractError> {
        let _head = self.0.head.lock().await;
        self.wait_if_slow(pace).await;
        let mut waiting = Waiting { store: &self.0.store, clock, slot: None };
        loop {
            let mine = waiting.slot;
            let permit = match &self.0.store {
                LedgerStore::Memory(memory) => memory.change(clock.now(), |state, now| state.take(mine, pace, now)),
                LedgerStore::File(file) => file.change(clock, |state, now| state.take(mine, pace, now)).await?,
                LedgerStore::Shared(shared) => return shared.take(pace, clock).await,
            };
            // It is used, or given up.
            waiting.slot = None;
            match permit? {
                SlotPermit::Now => {
                    *self.0.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                    return Ok(());
                }
                SlotPermit::Wait(slot, wait) => {
                    waiting.slot = Some(slot);
                    sleep(wait).await;
                }
            }
        }
    }

    /// Waits out what a pace slower than [`SLOW`] asks for beyond that, without a slot that others would stand behind.
    async fn wait_if_slow(&self, pace: &RateLimit) {
        let spacing = Duration::from_micros(spacing(pace).unsigned_abs());
        let sent = *self.0.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sent) = sent.filter(|_| spacing > Duration::from_micros(SLOW.unsigned_abs())) {
            sleep(spacing.saturating_sub(sent.elapsed())).await;
        }
    }

    /// Lets no request out for this long, whoever wants to send it.
    pub(crate) async fn hold(&self, wait: Duration, clock: &Clock) -> Result<(), ExtractError> {
        match &self.0.store {
            LedgerStore::Memory(memory) => memory.change(clock.now(), |state, now| state.hold(wait, now)),
            LedgerStore::File(file) => file.change(clock, |state, now| state.hold(wait, now)).await?,
            LedgerStore::Shared(shared) => shared.hold(wait, clock).await,
        }
        Ok(())
    }

    /// Refuses every request until the API's next midnight: it said `quota_exceeded` at `at`, by its clock. Gives the
    /// error that they all get.
    pub(crate) async fn shut(&self, at: DateTime<Utc>, request_id: Option<String>, clock: &Clock) -> ExtractError {
        let shut = Shut::new(at, request_id, clock.now());
        match &self.0.store {
            LedgerStore::Memory(memory) => memory.change(clock.now(), |state, _| state.shut(shut)),
            LedgerStore::File(file) => {
                file.change(clock, |state, _| state.shut(shut)).await.unwrap_or_else(|error| error)
            }
            LedgerStore::Shared(shared) => shared.shut(shut, clock).await,
        }
    }

    /// Takes back the count of a request that the API refused, where refused ones do not count.
    pub(crate) async fn give_back(&self, clock: &Clock) -> Result<(), ExtractError> {
        match &self.0.store {
            LedgerStore::Memory(memory) => memory.change(clock.now(), LedgerState::give_back),
            LedgerStore::File(file) => file.change(clock, LedgerState::give_back).await?,
            LedgerStore::Shared(shared) => shared.give_back(clock),
        }
        Ok(())
    }
}

/// A slot that is waited for. Dropped with it, it is free again.
struct Waiting<'a> {
    store: &'a LedgerStore,
    clock: &'a Clock,
    slot: Option<Slot>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        match self.store {
            LedgerStore::Memory(memory) => memory.change(self.clock.now(), |state, _| state.undo(slot)),
            LedgerStore::File(file) => file.undo(slot, self.clock),
            // There a slot that was waited for is nobody's.
            LedgerStore::Shared(_) => {}
        }
    }
}

/// A state that nobody else has.
#[derive(Debug, Default)]
struct MemoryLedger {
    /// The start of the line of slots.
    start: OnceLock<Instant>,
    state: Cell<Option<LedgerState>>,
}

impl MemoryLedger {
    fn change<T>(&self, wall: DateTime<Utc>, change: impl FnOnce(&mut LedgerState, Moment) -> T) -> T {
        let tick = self.start.get_or_init(Instant::now).elapsed().as_micros();
        let now = Moment { wall, tick: i64::try_from(tick).unwrap_or(i64::MAX) };
        // Nothing panics while it is held, and a count is never half written.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = state.get_or_insert_with(|| LedgerState::new(now));
        state.turn_to(now);
        change(state, now)
    }
}

/// A name for files and objects: what can be read of the key, and a checksum that tells keys apart.
fn name(key: &str) -> String {
    let readable: String = key.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("{readable}-{}", checksum(key.as_bytes()))
}

/// Eight hexadecimal digits.
fn checksum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("{:08x}", digest.first_chunk().map_or(0, |first| u32::from_be_bytes(*first)))
}
