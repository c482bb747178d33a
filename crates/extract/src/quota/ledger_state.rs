//! What a ledger keeps of a key - the day's count and the next free slot - and the rules by which it changes.
//!
//! Slots lie on a line of microseconds: the wall clock's where processes share a ledger state, a clock of its own where one
//! process keeps it. Nothing here waits or writes.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::clock::next_midnight;
use crate::{ExtractError, QuotaLimit, RateLimit};

/// Microseconds. A slot that is taken this late still counts as on time, so that the next one follows at its full pace.
/// It absorbs the millisecond of a timer; longer idleness is never saved up, so there are no bursts.
pub(super) const LATENESS: i64 = 5_000;

/// Microseconds that one slot keeps others away at most. A process whose pace is slower than that waits for the rest by
/// itself: one that dies meanwhile would hold up a faster one.
pub(super) const SLOW: i64 = 10_000_000;

/// A day, or an end of the shutting-off, that is further ahead than this was written by a clock that was wrong.
const DISTRUSTED: TimeDelta = TimeDelta::days(1);

/// Microseconds. A slot or a hold that is further ahead than this is nobody's: a hold lasts five minutes at most, and sixty
/// slots of [`SLOW`] are more than wait at a time.
pub(super) const FARTHEST: i64 = 15 * 60 * 1_000_000;

/// The requests of one API key. Before anything else, [`turn_to`](LedgerState::turn_to) makes it that of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LedgerState {
    /// Requests by the UTC day of the clock that they were sent by: today's, yesterday's, and tomorrow's where a clock
    /// was or is wrong.
    days: BTreeMap<NaiveDate, u64>,
    /// The API takes no more requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shut: Option<Shut>,
    /// The first slot that nobody has.
    pub(super) next: i64,
    /// No request before this, after the API said `throttled`.
    held_until: i64,
    /// The last change. A clock that is behind it was set back.
    seen: i64,
}

/// The API said `quota_exceeded`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shut {
    /// The midnight (UTC) after which it takes requests again, by its own clock.
    pub(super) until: DateTime<Utc>,
    /// The same moment by the clock here.
    opens: DateTime<Utc>,
    /// `x-amzn-requestid` of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<String>,
}

/// One moment: by the wall clock, and on the line of slots.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: DateTime<Utc>,
    pub(super) tick: i64,
}

/// A slot that one process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    at: i64,
    /// The slot after it.
    end: i64,
}

/// What became of a request that asked to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotPermit {
    /// Send it now; it is counted.
    Now,
    /// Wait this long for the slot, then ask again with it.
    Wait(Slot, Duration),
}

impl LedgerState {
    /// A ledger state that begins now.
    pub(super) fn new(now: Moment) -> Self {
        Self { days: BTreeMap::new(), shut: None, next: now.tick, held_until: i64::MIN, seen: now.tick }
    }

    /// Requests that a day has seen. One that was counted for a later day was sent before now all the same, by a clock
    /// that was wrong, or is now.
    pub(super) fn spent(&self, day: NaiveDate) -> u64 {
        self.days.range(day..).fold(0, |sum, (_, requests)| sum.saturating_add(*requests))
    }

    /// Counts a request whose slot has come, or finds it a slot. `mine` is the slot that it had and waited for; it is
    /// given up where a hold came in between, or where it was missed by so much that others are near.
    ///
    /// # Errors
    /// [`ExtractError::Quota`]: no request is left today. `mine` is free again.
    pub(super) fn take(
        &mut self,
        mine: Option<Slot>,
        pace: &RateLimit,
        now: Moment,
    ) -> Result<SlotPermit, ExtractError> {
        let spacing = spacing(pace).min(SLOW);
        if let Some(slot) = mine {
            let late = now.tick.saturating_sub(slot.at);
            let held = slot.at.max(now.tick) < self.held_until;
            let last = self.next == slot.end;
            if held || (last && late > LATENESS) || late > LATENESS.max(spacing / 2) {
                self.undo(slot);
            } else {
                // It was waited for by a clock that nobody sets, so it has come even where this one says otherwise.
                return self.count(pace, now.wall).map(|()| SlotPermit::Now).inspect_err(|_| self.undo(slot));
            }
        }
        self.admit(pace, now.wall)?;
        let free = self.next.max(self.held_until);
        let at = if now.tick.saturating_sub(free) > LATENESS { now.tick } else { free };
        let slot = Slot { at, end: at.saturating_add(spacing) };
        self.next = slot.end;
        match u64::try_from(at.saturating_sub(now.tick)) {
            Ok(wait) if wait > 0 => Ok(SlotPermit::Wait(slot, Duration::from_micros(wait))),
            _ => self.count(pace, now.wall).map(|()| SlotPermit::Now),
        }
    }

    /// Frees a slot that will not be used, unless somebody stands behind it already.
    pub(super) fn undo(&mut self, slot: Slot) {
        if self.next == slot.end {
            self.next = slot.at;
        }
    }

    /// Takes back the count of a request that was refused.
    pub(super) fn give_back(&mut self, now: Moment) {
        let requests = self.days.entry(now.wall.date_naive()).or_default();
        *requests = requests.saturating_sub(1);
    }

    /// Lets no request out for this long.
    pub(super) fn hold(&mut self, wait: Duration, now: Moment) {
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.held_until = self.held_until.max(now.tick.saturating_add(wait));
    }

    /// Refuses every request until the API takes some again. Gives the error that they all get.
    pub(super) fn shut(&mut self, shut: Shut) -> ExtractError {
        self.shut.get_or_insert(shut).error()
    }

    /// The moment after which the API takes requests again, where it takes none.
    pub(super) fn shut_until(&self) -> Option<DateTime<Utc>> {
        self.shut.as_ref().map(|shut| shut.until)
    }

    /// Follows a clock that was set back: the wait for the next slot stays what it was, and no day's count is lost. What
    /// was counted for a day further ahead than tomorrow is taken for today's. A slot or a hold that is further ahead than any
    /// process could have put it is not waited for, whatever wrote it.
    pub(super) fn turn_to(&mut self, now: Moment) {
        let set_back = self.seen.saturating_sub(now.tick);
        if set_back > 0 {
            self.next = self.next.saturating_sub(set_back);
            self.held_until = self.held_until.saturating_sub(set_back);
        }
        self.seen = now.tick;
        for ahead in [&mut self.next, &mut self.held_until] {
            if ahead.saturating_sub(now.tick) > FARTHEST {
                *ahead = now.tick;
            }
        }
        let today = now.wall.date_naive();
        let mut far = 0_u64;
        self.days.retain(|&day, &mut requests| {
            let ahead = day - today > DISTRUSTED;
            far = far.saturating_add(if ahead { requests } else { 0 });
            !ahead && today - day <= DISTRUSTED
        });
        if far > 0 {
            self.add(today, far);
        }
        self.shut = self.shut.take().filter(|shut| shut.holds(now.wall));
    }

    /// Adds what could not be written, and what was known, to a ledger state that was read.
    pub(super) fn catch_up(&mut self, unsaved: u64, known: &Self) {
        if let Some((&day, _)) = known.days.last_key_value() {
            self.add(day, unsaved);
        }
        self.next = self.next.max(known.next);
        self.held_until = self.held_until.max(known.held_until);
        self.shut = self.shut.take().or_else(|| known.shut.clone());
    }

    fn count(&mut self, pace: &RateLimit, wall: DateTime<Utc>) -> Result<(), ExtractError> {
        self.admit(pace, wall)?;
        self.add(wall.date_naive(), 1);
        Ok(())
    }

    fn add(&mut self, day: NaiveDate, more: u64) {
        let requests = self.days.entry(day).or_default();
        *requests = requests.saturating_add(more);
    }

    /// Takes what a process may do with it.
    #[cfg(any(test, fuzzing))]
    pub(super) fn bear(mut self, pace: &RateLimit, now: Moment) {
        let known = self.clone();
        self.turn_to(now);
        if let Ok(SlotPermit::Wait(_, wait)) = self.clone().take(None, pace, now) {
            assert!(wait.as_micros() <= FARTHEST.unsigned_abs().into());
        }
        self.catch_up(1, &known);
        if let Ok(SlotPermit::Wait(slot, _)) = self.take(None, pace, now) {
            let later = Moment { tick: slot.at, ..now };
            let _ = self.take(Some(slot), pace, later);
            self.undo(slot);
        }
        self.give_back(now);
        self.hold(Duration::from_secs(1), now);
        self.turn_to(now);
        assert!(
            self.spent(now.wall.date_naive()) >= self.days.get(&now.wall.date_naive()).copied().unwrap_or_default()
        );
    }

    fn admit(&self, pace: &RateLimit, wall: DateTime<Utc>) -> Result<(), ExtractError> {
        match &self.shut {
            Some(shut) => Err(shut.error()),
            None => within(self.spent(wall.date_naive()), pace, wall),
        }
    }
}

impl Shut {
    /// The API said so at `at` by its clock, now by the clock here.
    pub(super) fn new(at: DateTime<Utc>, request_id: Option<String>, now: DateTime<Utc>) -> Self {
        // Theirs have 36 characters. A ledger state has a fixed place to be written to.
        let request_id = request_id.map(|id| id.chars().filter(char::is_ascii_graphic).take(64).collect());
        let until = next_midnight(at);
        Self { until, opens: now + (until - at), request_id }
    }

    /// Whether requests are still refused.
    pub(super) fn holds(&self, wall: DateTime<Utc>) -> bool {
        wall < self.opens && self.opens - wall <= DISTRUSTED
    }

    pub(super) fn error(&self) -> ExtractError {
        let limit = QuotaLimit::Api { request_id: self.request_id.clone() };
        ExtractError::Quota { resets_at: self.until, limit }
    }
}

/// Whether one more request may be sent after `spent`.
pub(super) fn within(spent: u64, pace: &RateLimit, wall: DateTime<Utc>) -> Result<(), ExtractError> {
    let RateLimit { daily_requests, reserve, .. } = *pace;
    let limit = if spent < daily_requests.saturating_sub(reserve) {
        return Ok(());
    } else if spent < daily_requests {
        QuotaLimit::Reserved { daily_requests, reserve }
    } else {
        QuotaLimit::Configured { daily_requests }
    };
    Err(ExtractError::Quota { resets_at: next_midnight(wall), limit })
}

/// Microseconds between two slots, rounded up.
pub(super) fn spacing(pace: &RateLimit) -> i64 {
    let spacing = Duration::from_secs_f64(1.0 / pace.requests_per_second);
    i64::try_from(spacing.as_nanos().div_ceil(1000)).unwrap_or(i64::MAX)
}

/// A moment on the line of slots that processes share.
pub(super) fn moment(wall: DateTime<Utc>) -> Moment {
    Moment { wall, tick: wall.timestamp_micros() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: RateLimit = RateLimit { requests_per_second: 4.0, daily_requests: 10, reserve: 0, count_refused: true };

    #[test]
    fn nobody_waits_for_a_slot_or_a_hold_that_no_process_could_have_put_there() {
        let now = moment("2026-03-01T12:00:00Z".parse().unwrap());
        let (day, year) = (24 * 3600 * 1_000_000_i64, 366 * 24 * 3600 * 1_000_000_i64);
        // Each of the three by itself and with the others, and with a clock that was ahead when they were written.
        for far in [FARTHEST + 1, day, year, i64::MAX - now.tick] {
            for (next, held_until, seen) in
                [(far, 0, 0), (0, far, 0), (far, far, 0), (far, far, far), (far, 0, far / 2), (0, far, -far / 2)]
            {
                let at = |ahead: i64| now.tick.saturating_add(ahead);
                let mut book =
                    LedgerState { next: at(next), held_until: at(held_until), seen: at(seen), ..LedgerState::new(now) };
                book.turn_to(now);
                let wait = match book.take(None, &PACE, now).unwrap() {
                    SlotPermit::Now => Duration::ZERO,
                    SlotPermit::Wait(_, wait) => wait,
                };
                assert!(wait.as_micros() <= FARTHEST.unsigned_abs().into(), "{next} {held_until} {seen}: {wait:?}");
                // What follows has the pace again, in the same state.
                book.turn_to(now);
                assert!(matches!(book.take(None, &PACE, now).unwrap(), SlotPermit::Wait(_, second) if second > wait));
            }
        }
    }

    #[test]
    fn what_processes_do_put_there_is_waited_for() {
        let now = moment("2026-03-01T12:00:00Z".parse().unwrap());
        let mut book = LedgerState::new(now);
        book.hold(Duration::from_mins(5), now);
        book.turn_to(now);
        for slot in 0..4 {
            let expected = Duration::from_mins(5) + Duration::from_millis(250) * slot;
            assert!(matches!(book.take(None, &PACE, now).unwrap(), SlotPermit::Wait(_, wait) if wait == expected));
            book.turn_to(now);
        }
    }
}
