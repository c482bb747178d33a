//! The dated facts of one contact: when it came, changed, unsubscribed, was deleted. All that filters look at, and cheap,
//! because a filter that matches little scans all of the account.

use super::Account;
use super::moments::DAY;
use crate::draws::{Draws, Topic};

/// Permission to send, as the API spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    Explicit,
    Implicit,
    NotSet,
    PendingConfirmation,
    TempHold,
    Unsubscribed,
}

impl Permission {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Implicit => "implicit",
            Self::NotSet => "not_set",
            Self::PendingConfirmation => "pending_confirmation",
            Self::TempHold => "temp_hold",
            Self::Unsubscribed => "unsubscribed",
        }
    }

    /// Whether campaigns go to such contacts.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Explicit | Self::Implicit)
    }
}

/// The dated facts of one contact. Nothing here lies after the account's last moment.
#[derive(Debug, Clone)]
pub(crate) struct Life {
    pub(crate) index: u64,
    pub(crate) created: i64,
    /// When the details last changed by hand or by an import; the moment of creation if never.
    pub(crate) edited: i64,
    /// How often the details changed.
    pub(crate) revision: u64,
    /// When the contact joined one more list than it came with.
    pub(crate) joined: Option<i64>,
    /// When the contact got one more tag than it came with.
    pub(crate) tagged: Option<i64>,
    pub(crate) opted_out: Option<i64>,
    pub(crate) deleted: Option<i64>,
    /// `None`: no email address.
    pub(crate) permission: Option<Permission>,
    /// Whether an address came with consent of its own.
    pub(crate) was_explicit: bool,
    /// `updated_at` of the contact: unsubscribing does not move it.
    pub(crate) updated: i64,
}

impl Life {
    /// Whether campaigns go to the contact.
    pub(crate) fn is_active(&self) -> bool {
        self.deleted.is_none() && self.permission.is_some_and(Permission::is_active)
    }
}

/// Time that the account reaches back from its anchor.
const HISTORY: i64 = 6 * 365 * DAY;

/// Imports touch many contacts in the same second, one import every so often.
const IMPORT_EVERY: i64 = 45 * DAY;

impl Account {
    /// The dated facts of a contact.
    pub(crate) fn life(&self, index: u64) -> Life {
        let mut draws = Draws::new(self.seed, Topic::Life, index);
        let created = self.created(index, draws.bits() >> 44);
        let mut after = |share: u64, days: u64| {
            let happens = draws.permille(share);
            let delay = draws.low(days * DAY.unsigned_abs()).cast_signed();
            happens.then_some(created + 1 + delay)
        };
        let deleted = after(90, 2_000).filter(|at| *at < self.now);
        // Nothing happens to a contact once it is deleted.
        let end = deleted.unwrap_or(self.now);
        let opted_out = after(220, 2_000).filter(|at| *at < end);
        let joined = after(250, 1_500).filter(|at| *at < end);
        let tagged = after(200, 1_500).filter(|at| *at < end);
        let (edited, revision) = self.edits(created, end, &mut draws);
        let kind = draws.below(1_000);
        let permission = match kind {
            0..6 => Permission::PendingConfirmation,
            6..11 => Permission::TempHold,
            11..15 => Permission::NotSet,
            15..230 => Permission::Explicit,
            _ => Permission::Implicit,
        };
        let has_email = draws.fraction() >= self.without_email;
        let opted_out = opted_out.filter(|_| has_email && permission.is_active());
        let moved = [
            joined.filter(|_| self.list_add_moves_updated_at),
            tagged.filter(|_| self.tag_change_moves_updated_at),
            deleted.filter(|_| self.deletion_moves_updated_at),
        ];
        Life {
            index,
            created,
            edited,
            revision,
            joined,
            tagged,
            opted_out,
            deleted,
            was_explicit: permission == Permission::Explicit,
            permission: has_email.then_some(if opted_out.is_some() { Permission::Unsubscribed } else { permission }),
            updated: moved.into_iter().flatten().fold(edited, i64::max),
        }
    }

    /// Creation rises with the index. The account grew ever faster until its anchor, and evenly since.
    /// `jitter` is a random number of 20 bits.
    fn created(&self, index: u64, jitter: u64) -> i64 {
        const STEPS: u128 = 1 << 20;
        if index < self.anchored {
            let left = u128::from(self.anchored - index) * STEPS - u128::from(jitter);
            let whole = u128::from(self.anchored) * STEPS;
            // The part left, squared: small for most contacts, so most are young. Two steps keep within 128 bits.
            let part = left * left / whole;
            let age = u128::from(HISTORY.unsigned_abs()) * part / whole;
            self.anchor - 1 - i64::try_from(age).unwrap_or(HISTORY)
        } else {
            let since = u128::from(index - self.anchored) * STEPS + u128::from(jitter);
            let seconds = since * u128::from(DAY.unsigned_abs()) / (u128::from(self.growth.max(1)) * STEPS);
            self.anchor + i64::try_from(seconds).unwrap_or_default()
        }
    }

    /// When the details last changed before `end`, and how often they did.
    fn edits(&self, created: i64, end: i64, draws: &mut Draws) -> (i64, u64) {
        let imported = draws.permille(200);
        let every = 20 * DAY + draws.low(1_500 * DAY.unsigned_abs()).cast_signed();
        let (first, every) = if imported {
            let since_import = (created - self.import).rem_euclid(IMPORT_EVERY);
            (created - since_import + IMPORT_EVERY, IMPORT_EVERY)
        } else {
            (created + every, every)
        };
        if first >= end {
            return (created, 0);
        }
        let count = (end - 1 - first) / every;
        (first + count * every, count.unsigned_abs() + 1)
    }
}
