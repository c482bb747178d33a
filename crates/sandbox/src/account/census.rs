//! Counts over all of the account: one pass, made when somebody first asks.

use serde::Serialize;

use super::Account;
use super::life::Permission;
use super::lists::MEMBER_BITS;
use super::moments::DAY;

/// Counts as `/contacts/counts` sends them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct ContactCounts {
    /// The sum of the next four: deleted contacts and other permissions are outside.
    pub total: u64,
    pub explicit: u64,
    pub implicit: u64,
    pub pending: u64,
    pub unsubscribed: u64,
    /// Active contacts of the last 30 days. Only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_subscriber: Option<u64>,
}

/// Members of one list or tag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Members {
    /// Contacts of every status.
    pub all: u64,
    /// Contacts that campaigns go to.
    pub active: u64,
}

/// Counts over all of the account.
#[derive(Debug, Clone)]
pub struct Census {
    /// Contacts by permission, with `new_subscriber`.
    pub counts: ContactCounts,
    /// Members of each list, in the order of [`Account::lists`].
    pub lists: Vec<Members>,
    /// Contacts of each tag that are not deleted, in the order of [`Account::tags`].
    pub tags: Vec<u64>,
}

impl Census {
    pub(super) fn take(account: &Account) -> Self {
        let mut counts = ContactCounts { new_subscriber: Some(0), ..ContactCounts::default() };
        let (mut lists, mut tags) = ([Members::default(); MEMBER_BITS], [0; MEMBER_BITS]);
        for index in 0..account.contacts() {
            let life = account.life(index);
            if life.deleted.is_some() {
                continue;
            }
            let active = life.is_active();
            match life.permission {
                Some(Permission::Explicit) => counts.explicit += 1,
                Some(Permission::Implicit) => counts.implicit += 1,
                Some(Permission::PendingConfirmation) => counts.pending += 1,
                Some(Permission::Unsubscribed) => counts.unsubscribed += 1,
                Some(Permission::NotSet | Permission::TempHold) | None => {}
            }
            if let Some(new) =
                counts.new_subscriber.as_mut().filter(|_| active && life.created >= account.now - 30 * DAY)
            {
                *new += 1;
            }
            let (on_lists, with_tags) = (account.list_bits(&life), account.tag_bits(&life));
            for (_, members) in lists.iter_mut().enumerate().filter(|(place, _)| on_lists >> place & 1 == 1) {
                members.all += 1;
                members.active += u64::from(active);
            }
            for (_, count) in tags.iter_mut().enumerate().filter(|(place, _)| with_tags >> place & 1 == 1) {
                *count += 1;
            }
        }
        counts.total = counts.explicit + counts.implicit + counts.pending + counts.unsubscribed;
        Self {
            counts,
            lists: lists.into_iter().chain(std::iter::repeat(Members::default())).take(account.lists.len()).collect(),
            tags: tags.into_iter().chain(std::iter::repeat(0)).take(account.tags.len()).collect(),
        }
    }
}
