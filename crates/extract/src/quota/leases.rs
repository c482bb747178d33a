//! The leases of one process, and the rules by which it gets the next. Nothing here waits or asks.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::NaiveDate;
use tracing::warn;

use super::ledger_state::{LATENESS, Moment, SLOW, Shut, spacing, within};
use super::log::{Lease, Tail};
use crate::{ExtractError, RateLimit};

/// Microseconds of a process' first lease; it may have little to do.
const FIRST: i64 = 8_000_000;

/// Microseconds of any other lease.
const SLICE: i64 = 30_000_000;

/// The part of what is left of the day that one lease takes at most: a process that dies with it costs the others no more.
const SHARE: u64 = 50;

/// Microseconds between leases of different processes: clocks may differ by this much.
const GUARD: i64 = 2_000_000;

/// Microseconds. A lease that ends later than this was written by a clock that was wrong: twenty processes do not queue
/// for longer.
const DISTRUSTED: i64 = 11 * 60 * 1_000_000;

/// The leases of one process, and what it knows.
#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) tail: Tail,
    /// Leases in order; the first may have begun.
    pub(super) held: VecDeque<HeldLease>,
    /// No request before this: the last one's slot and the spacing, or the end of a hold.
    next: i64,
    /// Requests of a day that were leased and not sent.
    pub(super) unused: (NaiveDate, u64),
    pub(super) shut: Option<Shut>,
    /// The last change. A clock that is behind it was set back.
    seen: i64,
    leased: bool,
}

/// A lease of this process.
#[derive(Debug)]
pub(super) struct HeldLease {
    pub(super) day: NaiveDate,
    from: i64,
    pub(super) until: i64,
    pub(super) left: u64,
}

/// What a request meets.
pub(super) enum LeasePermit {
    Now,
    Wait(Duration),
    /// There is no lease.
    Lease,
}

/// What is added to the log.
#[derive(Debug, Clone)]
pub(super) enum LeaseEntry {
    /// The next lease.
    Next(RateLimit),
    /// No request until a moment.
    Hold(i64),
    Shut(Shut),
    /// Nothing but what is returned.
    Return,
}

impl Leases {
    /// Sends a request in a slot of a lease, if there is one.
    pub(super) fn take(&mut self, pace: &RateLimit, now: Moment) -> Result<LeasePermit, ExtractError> {
        self.turn_to(now);
        if let Some(shut) = &self.shut {
            return Err(shut.error());
        }
        while let Some(lease) = self.held.front_mut() {
            let free = lease.from.max(self.next);
            let at = if now.tick - free > LATENESS { now.tick } else { free };
            if lease.left == 0 || at >= lease.until || lease.day != now.wall.date_naive() {
                let (day, left) = (lease.day, lease.left);
                self.unused(day, left);
                self.held.pop_front();
            } else if at > now.tick {
                return Ok(LeasePermit::Wait(Duration::from_micros(at.abs_diff(now.tick))));
            } else {
                lease.left -= 1;
                self.next = at.saturating_add(spacing(pace));
                return Ok(LeasePermit::Now);
            }
        }
        if spacing(pace) > SLOW && self.next > now.tick {
            return Ok(LeasePermit::Wait(Duration::from_micros(self.next.abs_diff(now.tick))));
        }
        Ok(LeasePermit::Lease)
    }

    /// Lets no request out before a moment.
    pub(super) fn hold(&mut self, until: i64) {
        self.next = self.next.max(until);
    }

    /// Follows a clock that was set back: this process' leases stay as far away as they were.
    fn turn_to(&mut self, now: Moment) {
        let set_back = self.seen.saturating_sub(now.tick);
        if set_back > 0 {
            self.next -= set_back;
            for lease in &mut self.held {
                lease.from -= set_back;
                lease.until -= set_back;
            }
            // The last lease that is known here is this process' own.
            if let Some(lease) = &mut self.tail.lease {
                lease.until -= set_back;
            }
        }
        self.seen = now.tick;
        self.shut = self.shut.take().filter(|shut| shut.holds(now.wall));
    }

    /// Takes note of requests that were leased and not sent.
    pub(super) fn unused(&mut self, day: NaiveDate, requests: u64) {
        if self.unused.0 == day {
            self.unused.1 += requests;
        } else if day > self.unused.0 {
            self.unused = (day, requests);
        }
    }

    /// The lease that follows a tail.
    pub(super) fn propose(
        &mut self,
        entry: &LeaseEntry,
        tail: &Tail,
        owner: &str,
        id: &str,
        now: Moment,
    ) -> Result<Lease, ExtractError> {
        self.turn_to(now);
        let last = tail.lease.as_ref();
        let mine = last.is_some_and(|last| last.owner == owner);
        let free = match last {
            Some(last) if last.until.saturating_sub(now.tick) > DISTRUSTED => {
                warn!(owner = last.owner, "a host's clock is far ahead of this one's; its lease is not waited for");
                now.tick + GUARD
            }
            Some(last) if mine => last.until.max(now.tick),
            Some(last) => last.until.saturating_add(GUARD).max(now.tick),
            None => now.tick,
        };
        let returned = if self.unused.0 == tail.day { self.unused.1 } else { 0 };
        let spent = tail.spent().saturating_sub(returned);
        let shut = last.and_then(|last| last.shut.clone()).filter(|shut| shut.holds(now.wall));
        let (id, owner) = (id.to_owned(), owner.to_owned());
        let nothing = Lease { id, owner, from: free, until: free, requests: 0, returned, spent, shut };
        match entry {
            LeaseEntry::Next(pace) => {
                if let Some(shut) = nothing.shut {
                    return Err(self.shut.insert(shut).error());
                }
                within(spent, pace, now.wall)?;
                let (spacing, length) = (spacing(pace).max(1), if self.leased { SLICE } else { FIRST });
                let slots = u64::try_from(length / spacing).unwrap_or_default().max(1);
                let left = pace.daily_requests.saturating_sub(pace.reserve).saturating_sub(spent);
                let requests = slots.min((left / SHARE).max(1));
                // A process that is slower than this waits by itself, and not where others stand behind it.
                let length = spacing.min(SLOW).saturating_mul(i64::try_from(requests).unwrap_or(i64::MAX));
                Ok(Lease { until: free.saturating_add(length), requests, spent: spent + requests, ..nothing })
            }
            LeaseEntry::Hold(until) => Ok(Lease { until: free.max(*until), ..nothing }),
            LeaseEntry::Shut(shut) => Ok(Lease { shut: Some(shut.clone()), ..nothing }),
            LeaseEntry::Return => match last {
                // Nobody stands behind this lease, and others may stand before it.
                Some(last) if mine && last.requests > 0 => {
                    let over = last.from.max(self.next).max(now.tick).min(free);
                    Ok(Lease { from: over, until: over, ..nothing })
                }
                _ => Ok(nothing),
            },
        }
    }

    /// Takes note of a lease of this process that the log has.
    pub(super) fn accept(&mut self, tail: Tail) {
        if let Some(lease) = &tail.lease {
            if self.unused.0 == tail.day {
                self.unused.1 = self.unused.1.saturating_sub(lease.returned);
            }
            if lease.requests > 0 {
                let Lease { from, until, requests: left, .. } = *lease;
                self.held.push_back(HeldLease { day: tail.day, from, until, left });
                self.leased = true;
            }
        }
        self.tail = tail;
    }
}

impl Tail {
    /// Requests of its day.
    pub(super) fn spent(&self) -> u64 {
        if self.sequence == 0 { 0 } else { self.lease.as_ref().map_or(0, |lease| lease.spent) }
    }
}
