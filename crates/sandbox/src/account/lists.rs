//! Lists, tags and segments, and which contact belongs to which.

use serde::Serialize;

use super::life::Life;
use super::moments::{self, DAY};
use super::{Account, names};
use crate::draws::{Draws, Topic};

/// A contact list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct ContactList {
    pub list_id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<&'static str>,
    pub favorite: bool,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// Only when asked for by `include_membership_count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub membership_count: Option<u64>,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Tag {
    pub tag_id: String,
    pub name: String,
    /// Only when asked for by `include_count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contacts_count: Option<u64>,
    pub created_at: String,
    pub updated_at: String,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Segment {
    pub name: String,
    pub segment_id: u32,
    pub created_at: String,
    pub edited_at: String,
}

/// Lists and tags that contacts can belong to: one bit each.
pub(crate) const MEMBER_BITS: usize = 64;

/// Lists by ascending id, the order in which the API sends them.
pub(super) fn lists(account: &Account, count: u32) -> Vec<ContactList> {
    let mut lists: Vec<ContactList> = (0..u64::from(count)).map(|index| list(account, index)).collect();
    lists.sort_by(|a, b| a.list_id.cmp(&b.list_id));
    lists
}

/// The lists of the SMS channel, by ascending id.
pub(super) fn sms_lists(account: &Account) -> Vec<ContactList> {
    let mut lists: Vec<ContactList> = ["SMS alerts", "SMS offers"]
        .into_iter()
        .zip(1_u64 << 32..)
        .map(|(name, index)| ContactList { name: name.to_owned(), deleted_at: None, ..list(account, index) })
        .collect();
    lists.sort_by(|a, b| a.list_id.cmp(&b.list_id));
    lists
}

fn list(account: &Account, index: u64) -> ContactList {
    let mut draws = Draws::new(account.seed, Topic::ListCatalogue, index);
    let created = account.anchor - draws.between(10 * DAY, 2_500 * DAY);
    let renamed = draws.permille(220);
    // One list in ten is deleted, and of a small account none.
    let deleted = index % 10 == 9;
    let updated = if renamed { draws.between(created, account.anchor) } else { created };
    ContactList {
        list_id: account.node.draw(&mut draws),
        name: numbered(names::LISTS, index),
        description: draws.permille(60).then_some("Kept by the front desk — do not rename"),
        favorite: draws.permille(150),
        created_at: moments::seconds(created),
        updated_at: moments::seconds(updated),
        deleted_at: deleted.then(|| moments::seconds(draws.between(updated, account.anchor))),
        membership_count: None,
    }
}

/// Tags by ascending id, the order in which the API sends them.
pub(super) fn tags(account: &Account, count: u32) -> Vec<Tag> {
    let tag = |index| {
        let mut draws = Draws::new(account.seed, Topic::TagCatalogue, index);
        let created = account.anchor - draws.between(10 * DAY, 2_000 * DAY);
        Tag {
            tag_id: account.node.draw(&mut draws),
            name: numbered(names::TAGS, index),
            contacts_count: None,
            created_at: moments::seconds(created),
            updated_at: moments::seconds(created),
        }
    };
    let mut tags: Vec<Tag> = (0..u64::from(count)).map(tag).collect();
    tags.sort_by(|a, b| a.tag_id.cmp(&b.tag_id));
    tags
}

/// Segments, most recently edited first.
pub(super) fn segments(account: &Account) -> Vec<Segment> {
    let segment = |(segment_id, name): (u32, &&str)| {
        let created = account.anchor - i64::from(segment_id) * 20 * DAY;
        Segment {
            name: (*name).to_owned(),
            segment_id,
            created_at: moments::millis(created),
            edited_at: moments::millis(created + 3 * DAY),
        }
    };
    (14..).zip(names::SEGMENTS).map(segment).collect()
}

/// The name at this place; a pool that is used up begins again with a number.
pub(super) fn numbered(pool: &[&str], index: u64) -> String {
    let length = pool.len() as u64;
    let name =
        pool.iter().cycle().nth(usize::try_from(index % length).unwrap_or_default()).copied().unwrap_or_default();
    if index < length { name.to_owned() } else { format!("{name} {}", index / length + 1) }
}

impl Account {
    /// The lists of a contact: bit n stands for the list at place n. A deleted contact is on none.
    pub(crate) fn list_bits(&self, life: &Life) -> u64 {
        if life.deleted.is_some() {
            return 0;
        }
        let mut draws = Draws::new(self.seed, Topic::Lists, life.index);
        let count = draws.pick(&[0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 3, 2, 2, 3, 4, 3, 3, 2]);
        let extra = u64::from(life.joined.is_some());
        // A deleted list has lost its members.
        drawn_bits(&mut draws, count + extra, self.lists.len()) & self.open_lists
    }

    /// The tags of a contact: bit n stands for the tag at place n.
    pub(crate) fn tag_bits(&self, life: &Life) -> u64 {
        let mut draws = Draws::new(self.seed, Topic::Tags, life.index);
        let count = draws.pick(&[0, 0, 1, 1, 1, 2, 2, 3]);
        drawn_bits(&mut draws, count + u64::from(life.tagged.is_some()), self.tags.len())
    }

    /// Whether a contact belongs to a segment: only contacts that campaigns go to do.
    pub(crate) fn in_segment(&self, life: &Life, segment_id: u32) -> bool {
        life.is_active() && Draws::new(self.seed ^ u64::from(segment_id), Topic::Segments, life.index).permille(180)
    }

    /// Ids in ascending order, as recorded.
    pub(super) fn list_memberships(&self, life: &Life) -> Vec<String> {
        chosen(self.list_bits(life), self.lists.iter().map(|list| &list.list_id))
    }

    pub(super) fn taggings(&self, life: &Life) -> Vec<String> {
        chosen(self.tag_bits(life), self.tags.iter().map(|tag| &tag.tag_id))
    }
}

/// Up to `count` bits below `places`. One draw more keeps the bits of the draws before.
fn drawn_bits(draws: &mut Draws, count: u64, places: usize) -> u64 {
    let places = places.min(MEMBER_BITS) as u64;
    if places == 0 { 0 } else { (0..count).fold(0, |bits, _| bits | (1 << draws.below(places))) }
}

fn chosen<'a>(bits: u64, ids: impl Iterator<Item = &'a String>) -> Vec<String> {
    ids.take(MEMBER_BITS).enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, id)| id.clone()).collect()
}
