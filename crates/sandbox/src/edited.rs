//! The account once it was edited: everything that can change, held in memory as the API sends it.
//!
//! The first edit copies the generated account, so edit small ones. What cannot change (tags, custom fields, segments) and
//! what contacts did before is still the generated account's.

mod contact;
mod engagement;
mod search;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::account::{Account, Campaign, ContactList, millis, parse_id, seconds};
use crate::change::Change;
use crate::config::{ContactOrder, Quirks};
use crate::draws::mix;
use crate::error::SandboxError;
pub(crate) use contact::EditedContact;
use engagement::Tracked;

/// An account that was edited.
#[derive(Debug)]
pub(crate) struct EditedAccount {
    /// In the order of the API.
    contacts: Vec<EditedContact>,
    /// By ascending id, the order of the API.
    lists: Vec<ContactList>,
    /// Newest first, the order of the API.
    campaigns: Vec<Campaign>,
    /// Events that were added, by contact, in the order of adding.
    tracked: HashMap<String, Vec<Tracked>>,
}

impl EditedAccount {
    /// A copy of a generated account.
    pub(crate) fn of(account: &Account) -> Self {
        Self {
            contacts: (0..account.contacts()).map(|position| EditedContact::generated(account, position)).collect(),
            lists: account.lists().to_vec(),
            campaigns: account.campaigns().to_vec(),
            tracked: HashMap::new(),
        }
    }

    /// Lists of the email channel, deleted ones included, by ascending id.
    pub(crate) fn lists(&self) -> &[ContactList] {
        &self.lists
    }

    /// Campaigns of every status, newest first.
    pub(crate) fn campaigns(&self) -> &[Campaign] {
        &self.campaigns
    }

    /// Contacts of every status in the order of the API.
    pub(crate) fn contacts(&self) -> &[EditedContact] {
        &self.contacts
    }

    /// The contact with this id.
    pub(crate) fn contact(&self, contact_id: &str) -> Option<&EditedContact> {
        self.position(contact_id).and_then(|position| self.contacts.get(position))
    }

    /// The position of a contact in the order of the API.
    pub(crate) fn position(&self, contact_id: &str) -> Option<usize> {
        let wanted = parse_id(contact_id)?;
        self.contacts.iter().position(|contact| parse_id(contact.id()) == Some(wanted))
    }

    /// Makes a change, at a moment in seconds since 1970 UTC.
    ///
    /// # Errors
    /// The change is about something that is not there, or brings something that is. Then nothing changed.
    pub(crate) fn apply(&mut self, at: i64, change: &Change, quirks: &Quirks) -> Result<(), SandboxError> {
        match change {
            Change::CreateContact(contact) => self.create_contact(at, contact, quirks.contact_order)?,
            Change::Contact(contact_id, change) => {
                let position = self.position(contact_id).ok_or_else(|| unknown("contact", contact_id))?;
                if let Some(contact) = self.contacts.get_mut(position) {
                    contact.apply(at, change, quirks)?;
                }
            }
            Change::PurgeContact(contact_id) => {
                let position = self.position(contact_id).ok_or_else(|| unknown("contact", contact_id))?;
                self.contacts.remove(position);
                self.tracked.remove(contact_id);
            }
            Change::CreateList { list_id, name } => self.create_list(at, list_id, name)?,
            Change::RenameList { list_id, name } => {
                let list = self.list(list_id)?;
                list.name.clone_from(name);
                list.updated_at = seconds(at);
            }
            Change::DeleteList { list_id } => {
                self.list(list_id)?.deleted_at = Some(seconds(at));
                self.contacts.iter_mut().for_each(|contact| contact.lose_list(list_id));
            }
            Change::CreateCampaign { campaign_id, campaign_activity_id, name, status } => {
                let campaign = campaign(at, campaign_id, campaign_activity_id, name, status);
                self.create_campaign(campaign)?;
            }
            Change::ChangeCampaign { campaign_id, status } => {
                let campaign = self.campaigns.iter_mut().find(|campaign| campaign.campaign_id == *campaign_id);
                let campaign = campaign.ok_or_else(|| unknown("campaign", campaign_id))?;
                campaign.current_status.clone_from(status);
                (campaign.updated, campaign.updated_at) = (at, millis(at));
            }
            Change::Track { contact_id, campaign_activity_id, name, kind } => {
                let contact = self.contact(contact_id).ok_or_else(|| unknown("contact", contact_id))?;
                let contact_id = contact.id().to_owned();
                let event =
                    Tracked { at, kind, activity_id: campaign_activity_id.clone(), activity_name: name.clone() };
                self.tracked.entry(contact_id).or_default().push(event);
            }
        }
        Ok(())
    }

    fn create_contact(&mut self, at: i64, contact: &Value, order: ContactOrder) -> Result<(), SandboxError> {
        let contact = EditedContact::new(at, contact)?;
        if self.position(contact.id()).is_some() {
            return Err(taken("contact", contact.id()));
        }
        let position = match order {
            ContactOrder::CreatedDescending => {
                self.contacts.partition_point(|known| known.created() > contact.created())
            }
            // Anywhere, but the same place in every run.
            ContactOrder::Shuffled => {
                let places = self.contacts.len() as u64 + 1;
                usize::try_from(mix(places) % places).unwrap_or_default()
            }
        };
        self.contacts.insert(position, contact);
        Ok(())
    }

    fn list(&mut self, list_id: &str) -> Result<&mut ContactList, SandboxError> {
        self.lists.iter_mut().find(|list| list.list_id == list_id).ok_or_else(|| unknown("list", list_id))
    }

    fn create_list(&mut self, at: i64, list_id: &str, name: &str) -> Result<(), SandboxError> {
        let list = ContactList {
            list_id: list_id.to_owned(),
            name: name.to_owned(),
            description: None,
            favorite: false,
            created_at: seconds(at),
            updated_at: seconds(at),
            deleted_at: None,
            membership_count: None,
        };
        match self.lists.binary_search_by(|known| known.list_id.as_str().cmp(list_id)) {
            Ok(_) => return Err(taken("list", list_id)),
            Err(place) => self.lists.insert(place, list),
        }
        Ok(())
    }

    fn create_campaign(&mut self, campaign: Campaign) -> Result<(), SandboxError> {
        if self.campaigns.iter().any(|known| known.campaign_id == campaign.campaign_id) {
            return Err(taken("campaign", &campaign.campaign_id));
        }
        let place = self.campaigns.partition_point(|known| known.created_at > campaign.created_at);
        self.campaigns.insert(place, campaign);
        Ok(())
    }
}

fn campaign(at: i64, campaign_id: &str, campaign_activity_id: &str, name: &str, status: &str) -> Campaign {
    Campaign {
        campaign_id: campaign_id.to_owned(),
        created_at: millis(at),
        current_status: status.to_owned(),
        name: name.to_owned(),
        kind: "NEWSLETTER",
        type_code: 10,
        updated_at: millis(at),
        primary_activity_id: campaign_activity_id.to_owned(),
        permalink_activity_id: campaign_activity_id.to_owned(),
        sent: (status == "Done").then_some(at),
        updated: at,
    }
}

fn unknown(kind: &'static str, id: &str) -> SandboxError {
    SandboxError::Unknown { kind, id: id.to_owned() }
}

fn taken(kind: &'static str, id: &str) -> SandboxError {
    SandboxError::Taken { kind, id: id.to_owned() }
}

/// The object that a change brings.
fn object(kind: &'static str, value: &Value) -> Result<Map<String, Value>, SandboxError> {
    value.as_object().cloned().ok_or(SandboxError::Lacks { kind, lacks: "keys: it is no object" })
}
