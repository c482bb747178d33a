//! Searching contacts: which match, and the stable order in which they come.

use super::Account;
use super::life::{Life, Permission};
use crate::config::ContactOrder;

/// What a contact must be to be found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) statuses: Statuses,
    pub(crate) updated: Window,
    pub(crate) created: Window,
    pub(crate) opted_out: Window,
    /// Ids of lists, any of which will do.
    pub(crate) lists: Option<Vec<String>>,
    /// Ids of tags, any of which will do.
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) email: Option<String>,
    pub(crate) sms: Option<Vec<String>>,
    pub(crate) segment: Option<u32>,
}

/// Statuses to find. The statuses of the API exclude each other: deleted comes before any permission.
#[derive(Debug, Clone, Default)]
pub(crate) enum Statuses {
    #[default]
    NotDeleted,
    All,
    OneOf(Vec<String>),
}

/// Bounds in milliseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    pub(crate) after: Option<i64>,
    pub(crate) before: Option<i64>,
    pub(crate) inclusive: bool,
}

impl Window {
    pub(crate) fn holds(&self, at: i64) -> bool {
        let at = at * 1_000;
        let reaches = |edge: bool| edge && self.inclusive;
        self.after.is_none_or(|after| after < at || reaches(after == at))
            && self.before.is_none_or(|before| at < before || reaches(before == at))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.after.is_none() && self.before.is_none()
    }
}

impl Statuses {
    /// Whether a contact that is deleted or not and has this permission is among them.
    pub(crate) fn hold(&self, deleted: bool, permission: Option<&str>) -> bool {
        match self {
            Self::NotDeleted => !deleted,
            Self::All => true,
            Self::OneOf(statuses) => statuses.iter().any(|status| match status.as_str() {
                "deleted" => deleted,
                "active" => is_active(deleted, permission),
                status => !deleted && permission == Some(status),
            }),
        }
    }
}

/// Whether campaigns go to such a contact.
pub(crate) fn is_active(deleted: bool, permission: Option<&str>) -> bool {
    !deleted && matches!(permission, Some("explicit" | "implicit"))
}

/// Lists and tags of a search, as bits.
#[derive(Debug, Clone, Copy)]
struct MemberMasks {
    lists: Option<u64>,
    tags: Option<u64>,
}

impl Account {
    /// Contacts that match, from a position in the order of the API on.
    pub(crate) fn find<'a>(&'a self, search: &'a Search, from: u64) -> impl Iterator<Item = (u64, Life)> + 'a {
        let positions = match &search.email {
            None => from..self.contacts(),
            Some(email) => match self.index_in_address(email).map(|index| self.position(index)) {
                Some(position) if position >= from => position..position + 1,
                _ => 0..0,
            },
        };
        let members = MemberMasks {
            lists: search.lists.as_ref().map(|ids| self.list_bits_where(|list| ids.contains(&list.list_id))),
            tags: search.tags.as_ref().map(|ids| self.tag_bits_where(|tag| ids.contains(&tag.tag_id))),
        };
        positions
            .map(|position| (position, self.life(self.index_at(position))))
            .filter(move |(_, life)| self.matches(search, members, life))
    }

    /// The contact at a position in the order of the API.
    pub(crate) fn index_at(&self, position: u64) -> u64 {
        match &self.order {
            None => self.contacts() - 1 - position,
            Some(order) => order.apply(position),
        }
    }

    /// The position of a contact in the order of the API.
    pub(crate) fn position(&self, index: u64) -> u64 {
        match &self.order {
            None => self.contacts() - 1 - index,
            Some(order) => order.invert(index),
        }
    }

    fn matches(&self, search: &Search, members: MemberMasks, life: &Life) -> bool {
        let opted_out = || search.opted_out.is_open() || life.opted_out.is_some_and(|at| search.opted_out.holds(at));
        let email = |email: &str| {
            let address = self.contact_with(life, &[]).email_address;
            address.is_some_and(|found| found.address.eq_ignore_ascii_case(email))
        };
        let sms = |wanted: &[String]| {
            let permission = self.sms_permission(life.index);
            permission.is_some_and(|found| wanted.iter().any(|status| status == "all" || status == found))
        };
        search.statuses.hold(life.deleted.is_some(), life.permission.map(Permission::as_str))
            && search.updated.holds(life.updated)
            && search.created.holds(life.created)
            && opted_out()
            && search.segment.is_none_or(|segment| self.in_segment(life, segment))
            && members.lists.is_none_or(|lists| self.list_bits(life) & lists != 0)
            && members.tags.is_none_or(|tags| self.tag_bits(life) & tags != 0)
            && search.sms.as_deref().is_none_or(sms)
            && search.email.as_deref().is_none_or(email)
    }
}

impl ContactOrder {
    pub(super) fn is_shuffled(self) -> bool {
        self == Self::Shuffled
    }
}
