//! A key's pace and count shared by hosts: each process leases the next free lease of time, and the requests that fit in
//! it, from a log in an object store.
//!
//! A lease is half a minute long at most, so that one put pays for a hundred requests, and a newcomer waits for its first
//! slot no longer than that. Between leases of different processes is a guard of two seconds, for their clocks differ:
//! hosts that take turns use 30 of 32 slots, a lone one all of them. Requests of a block that were not sent are returned
//! with the next lease, or at the end by [`SharedLedger::release`].
//!
//! What one process learns (`throttled`, `quota_exceeded`) others read with their next lease.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex as Cell, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use super::Today;
use super::leases::{LeaseEntry, LeasePermit, Leases};
use super::ledger_state::{Shut, moment};
use super::log::{LeaseLog, Put, Tail};
use crate::{Clock, ExtractError, RateLimit};

/// Microseconds before a lease's end at which the next one is asked for: a few answers of a slow store.
const AHEAD: i64 = 1_500_000;

/// Times that the store is asked before a request fails, beyond what the store's client repeats by itself.
const ATTEMPTS: u32 = 5;

/// Wait before the second attempt; doubled for each one after it.
const BACKOFF: Duration = Duration::from_millis(500);

/// This process' part in the log.
#[derive(Debug)]
pub(super) struct SharedLedger {
    log: LeaseLog,
    owner: String,
    state: Cell<Leases>,
    /// The lease that is being asked for. It continues when whoever asked for it is dropped.
    asking: Mutex<Option<JoinHandle<Result<(), ExtractError>>>>,
    /// Whoever holds the lock writes to the log.
    writing: Mutex<()>,
}

impl SharedLedger {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: Path, owner: &str) -> Self {
        Self {
            log: LeaseLog::new(store, prefix),
            owner: unique(owner),
            state: Cell::default(),
            asking: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    pub(super) async fn take(self: &Arc<Self>, pace: &RateLimit, clock: &Clock) -> Result<(), ExtractError> {
        loop {
            let now = moment(clock.now());
            let (permit, soon_over) = {
                let mut state = self.state();
                (state.take(pace, now)?, state.held.back().is_some_and(|last| last.until - now.tick < AHEAD))
            };
            match permit {
                LeasePermit::Now => {
                    if let Some(mut asking) = self.asking.try_lock().ok().filter(|_| soon_over) {
                        asking.take_if(|asked| asked.is_finished());
                        asking.get_or_insert_with(|| self.ask(pace, clock));
                    }
                    return Ok(());
                }
                LeasePermit::Wait(wait) => sleep(wait).await,
                LeasePermit::Lease => {
                    let mut asking = self.asking.lock().await;
                    // What failed ahead of time may work now.
                    asking.take_if(|asked| asked.is_finished());
                    let asked = asking.get_or_insert_with(|| self.ask(pace, clock)).await;
                    *asking = None;
                    match asked {
                        Ok(leased) => leased?,
                        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                        // The runtime is ending, and this task with it.
                        Err(_) => {}
                    }
                }
            }
        }
    }

    pub(super) async fn hold(&self, wait: Duration, clock: &Clock) {
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let until = moment(clock.now()).tick.saturating_add(wait);
        self.state().hold(until);
        self.tell(LeaseEntry::Hold(until), clock).await;
    }

    pub(super) async fn shut(&self, shut: Shut, clock: &Clock) -> ExtractError {
        let shut = self.state().shut.get_or_insert(shut).clone();
        self.tell(LeaseEntry::Shut(shut.clone()), clock).await;
        shut.error()
    }

    pub(super) fn give_back(&self, clock: &Clock) {
        self.state().unused(clock.now().date_naive(), 1);
    }

    /// Returns what was leased and not sent, the time as well.
    pub(super) async fn release(&self, clock: &Clock) {
        if let Some(asked) = self.asking.lock().await.take() {
            // Whatever became of it, it is over.
            _ = asked.await;
        }
        let unused = {
            let mut state = self.state();
            for lease in std::mem::take(&mut state.held) {
                state.unused(lease.day, lease.left);
            }
            state.unused.1
        };
        if unused > 0 {
            self.tell(LeaseEntry::Return, clock).await;
        }
    }

    pub(super) async fn today(&self, wall: DateTime<Utc>) -> Result<Today, ExtractError> {
        let day = wall.date_naive();
        let known = self.state().tail.clone();
        let tail = self.log.tail(day, &known).await.map_err(|source| self.unreachable(1, source))?;
        let state = self.state();
        let mine: u64 = state.held.iter().filter(|lease| lease.day == day).map(|lease| lease.left).sum();
        let unused = mine + if state.unused.0 == day { state.unused.1 } else { 0 };
        let shut = tail.lease.as_ref().and_then(|lease| lease.shut.clone()).or_else(|| state.shut.clone());
        Ok(Today {
            day,
            spent: tail.spent().saturating_sub(unused),
            shut_until: shut.filter(|shut| shut.holds(wall)).map(|shut| shut.until),
        })
    }

    fn ask(self: &Arc<Self>, pace: &RateLimit, clock: &Clock) -> JoinHandle<Result<(), ExtractError>> {
        let (hosts, entry, clock) = (Arc::clone(self), LeaseEntry::Next(*pace), clock.clone());
        tokio::spawn(async move { hosts.append(entry, &clock).await })
    }

    /// Adds what others should know. They get on without it.
    async fn tell(&self, entry: LeaseEntry, clock: &Clock) {
        if let Err(error) = self.append(entry, clock).await {
            warn!(%error, "other hosts were not told");
        }
    }

    /// Adds an entry to the log, after whatever others add at the same time.
    async fn append(&self, entry: LeaseEntry, clock: &Clock) -> Result<(), ExtractError> {
        let _writing = self.writing.lock().await;
        let id = unique(&self.owner);
        let (mut attempt, mut wait) = (1, BACKOFF);
        loop {
            match self.try_append(&entry, &id, clock).await {
                Ok(appended) => return appended,
                Err(source) if attempt == ATTEMPTS => return Err(self.unreachable(attempt, source)),
                Err(error) => warn!(%error, attempt, "the quota ledger in the object store does not answer"),
            }
            sleep(wait).await;
            (attempt, wait) = (attempt + 1, wait * 2);
        }
    }

    /// The outer error is the store's.
    async fn try_append(
        &self,
        entry: &LeaseEntry,
        id: &str,
        clock: &Clock,
    ) -> Result<Result<(), ExtractError>, StoreError> {
        let day = clock.now().date_naive();
        let mut tail = self.state().tail.clone();
        // Where nobody came since this process' last lease, one put does it.
        let mut current = false;
        if tail.day != day {
            (tail, current) = (self.log.tail(day, &tail).await?, true);
        }
        loop {
            // It may be the very lease that is to be written: an earlier put was not answered.
            if tail.lease.as_ref().is_some_and(|lease| lease.id == id) {
                self.state().accept(tail);
                return Ok(Ok(()));
            }
            let proposed = self.state().propose(entry, &tail, &self.owner, id, moment(clock.now()));
            let lease = match proposed {
                Ok(lease) => lease,
                Err(error) if current => return Ok(Err(error)),
                Err(_) => {
                    (tail, current) = (self.log.tail(day, &tail).await?, true);
                    continue;
                }
            };
            let sequence = tail.sequence + 1;
            match self.log.put(day, sequence, &lease).await? {
                Put::Written => {
                    self.state().accept(Tail { day, sequence, lease: Some(lease) });
                    if sequence == 1 {
                        tokio::spawn(self.log.clone().forget_before(day));
                    }
                    return Ok(Ok(()));
                }
                Put::Taken => (tail, current) = (self.log.after(tail, sequence).await?, true),
            }
        }
    }

    fn unreachable(&self, attempts: u32, source: StoreError) -> ExtractError {
        ExtractError::LedgerStore { path: self.log.prefix().to_string(), attempts, source }
    }

    fn state(&self) -> MutexGuard<'_, Leases> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that no other process and no other lease has.
fn unique(name: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii_graphic).take(120).collect();
    format!("{name}-{:016x}", RandomState::new().hash_one(std::time::Instant::now()))
}
