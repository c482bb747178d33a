//! The generated account. Every value is a pure function of the configuration and an index: nothing of the size of the
//! account is ever held, and no clock is read.

mod campaigns;
mod census;
mod contacts;
mod custom_fields;
mod engagement;
mod identity;
mod life;
mod lists;
mod moments;
mod names;
mod search;

use std::sync::OnceLock;

pub use campaigns::Campaign;
pub use census::{Census, ContactCounts, Members};
pub use contacts::{Contact, EmailAddress, Note, PhoneNumber, SmsChannel, SmsConsent, StreetAddress, Subresource};
pub use custom_fields::{Choice, ContactCustomField, CustomField, Metadata};
pub use engagement::{ActivitySummary, OpenAndClickRates, TRACKING_ACTIVITY_TYPES, TrackingActivity};
pub use lists::{ContactList, Segment, Tag};

pub(crate) use engagement::Event;
pub(crate) use identity::{parse as parse_id, random_id};
pub(crate) use moments::{DAY, date, millis, parse as parse_moment, seconds};
pub(crate) use search::{Search, Statuses, Window, is_active};

use crate::config::SandboxConfig;
use crate::draws::{Draws, Topic};
use campaigns::LandingPage;
use identity::{Node, Permutation, TIME_BITS};

/// An account as the API would show it: the truth that answers can be compared with.
#[derive(Debug)]
pub struct Account {
    seed: u64,
    contacts: u64,
    /// Contacts of the anchor day; the others came later.
    anchored: u64,
    /// Contacts that come per day after the anchor.
    growth: u64,
    anchor: i64,
    /// The end of the history: everything happened before it.
    now: i64,
    /// A moment of an import.
    import: i64,
    node: Node,
    ids: Permutation,
    /// `None`: newest first.
    order: Option<Permutation>,
    lists: Vec<ContactList>,
    sms_lists: Vec<ContactList>,
    /// Bits of the lists that are not deleted.
    open_lists: u64,
    tags: Vec<Tag>,
    custom_fields: Vec<CustomField>,
    campaigns: Vec<Campaign>,
    landing_pages: Vec<LandingPage>,
    segments: Vec<Segment>,
    /// Of so many campaigns, so many go to a contact.
    sends: (u64, u64),
    without_email: f64,
    list_add_moves_updated_at: bool,
    tag_change_moves_updated_at: bool,
    deletion_moves_updated_at: bool,
    census: OnceLock<Census>,
}

impl Account {
    /// The account of a configuration. Cheap at any size.
    pub fn new(config: &SandboxConfig) -> Self {
        let seed = config.seed;
        let days = u64::from(config.days_later);
        let growth = config.contacts.div_ceil(1_000);
        let contacts = config.contacts + growth * days;
        let anchor = moments::midnight(config.today);
        let shuffled = config.quirks.contact_order.is_shuffled();
        let mut account = Self {
            seed,
            contacts,
            anchored: config.contacts,
            growth,
            anchor,
            now: anchor + i64::from(config.days_later) * DAY,
            import: anchor - Draws::new(seed, Topic::Imports, 0).between(DAY, 40 * DAY),
            node: Node::new(&mut Draws::new(seed, Topic::Node, 0)),
            ids: Permutation::new(1 << TIME_BITS, &mut Draws::new(seed, Topic::Ids, 0)),
            order: shuffled.then(|| Permutation::new(contacts, &mut Draws::new(seed, Topic::Order, 0))),
            lists: Vec::new(),
            sms_lists: Vec::new(),
            open_lists: 0,
            tags: Vec::new(),
            custom_fields: Vec::new(),
            campaigns: Vec::new(),
            landing_pages: Vec::new(),
            segments: Vec::new(),
            sends: (u64::from(config.campaigns), u64::from(config.sends)),
            without_email: config.quirks.without_email,
            list_add_moves_updated_at: config.quirks.list_add_moves_updated_at,
            tag_change_moves_updated_at: config.quirks.tag_change_moves_updated_at,
            deletion_moves_updated_at: config.quirks.deletion_moves_updated_at,
            census: OnceLock::new(),
        };
        account.lists = lists::lists(&account, config.lists);
        account.sms_lists = lists::sms_lists(&account);
        account.open_lists = account.list_bits_where(|list| list.deleted_at.is_none());
        account.tags = lists::tags(&account, config.tags);
        account.custom_fields = custom_fields::custom_fields(&account, config.custom_fields);
        account.campaigns = campaigns::campaigns(&account, config.campaigns);
        account.landing_pages = campaigns::landing_pages(&account);
        account.segments = lists::segments(&account);
        account
    }

    /// How many contacts there are, deleted ones included.
    pub fn contacts(&self) -> u64 {
        self.contacts
    }

    /// The id of the contact at an index. Ids are in no order of the index.
    pub fn contact_id(&self, index: u64) -> String {
        self.node.id(self.ids.apply(index))
    }

    /// The index of the contact with this id, if there is one.
    pub fn index_of(&self, contact_id: &str) -> Option<u64> {
        let time = self.node.time(contact_id)?;
        Some(self.ids.invert(time)).filter(|index| *index < self.contacts)
    }

    /// Lists of the email channel, deleted ones included, by ascending id.
    pub fn lists(&self) -> &[ContactList] {
        &self.lists
    }

    /// Lists of the SMS channel, by ascending id.
    pub fn sms_lists(&self) -> &[ContactList] {
        &self.sms_lists
    }

    /// Tags, by ascending id.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Custom fields, newest first.
    pub fn custom_fields(&self) -> &[CustomField] {
        &self.custom_fields
    }

    /// Email campaigns of every status, newest first.
    pub fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// Segments, most recently edited first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Counts over all of the account. The first call walks over every contact, later calls cost nothing.
    pub fn census(&self) -> &Census {
        self.census.get_or_init(|| Census::take(self))
    }

    /// Bits of the lists that a predicate chooses.
    pub(crate) fn list_bits_where(&self, choose: impl Fn(&ContactList) -> bool) -> u64 {
        bits(self.lists.iter().map(choose))
    }

    /// Bits of the tags that a predicate chooses.
    pub(crate) fn tag_bits_where(&self, choose: impl Fn(&Tag) -> bool) -> u64 {
        bits(self.tags.iter().map(choose))
    }
}

fn bits(chosen: impl Iterator<Item = bool>) -> u64 {
    (0..u64::BITS).zip(chosen).fold(0, |bits, (place, chosen)| bits | (u64::from(chosen) << place))
}
