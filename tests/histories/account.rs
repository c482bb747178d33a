//! Histories told to the sandbox and to the model: what a happening means for the account as it is at the time.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_sandbox::{Change, ContactChange};
use serde_json::json;

use crate::history::{Happening, What};
use crate::model::Model;

/// Makes changes of happenings. Ids are never used twice.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) model: Model,
    created: u32,
    /// The instant that each row showed at its last change.
    changed: HashMap<String, DateTime<Utc>>,
}

/// What can be changed while a page waits, by the kind of cursor: a cursor with the id of a purged contact is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purges {
    Allowed,
    Deleted,
}

impl Account {
    /// The change that a happening is, with the moment that its row carries. The model has made it already.
    pub(crate) fn change(
        &mut self,
        happening: &Happening,
        server_now: DateTime<Utc>,
        purges: Purges,
    ) -> (DateTime<Utc>, Change) {
        let at = server_now - TimeDelta::seconds(happening.late);
        let change = self.meaning(happening, purges);
        // A row that changes late shows an instant of the past, but none before that of its last change.
        let of = match &change {
            Change::Contact(id, _) | Change::PurgeContact(id) => id.clone(),
            Change::CreateContact(contact) => contact["contact_id"].as_str().unwrap_or_default().to_owned(),
            Change::CreateList { list_id, .. }
            | Change::RenameList { list_id, .. }
            | Change::DeleteList { list_id } => list_id.clone(),
            Change::CreateCampaign { campaign_id, .. } | Change::ChangeCampaign { campaign_id, .. } => {
                campaign_id.clone()
            }
            Change::Track { .. } => String::new(),
        };
        let at = self.changed.get(&of).map_or(at, |last| at.max(*last));
        self.changed.insert(of, at);
        self.model.apply(at, &change);
        (at, change)
    }

    fn meaning(&mut self, happening: &Happening, purges: Purges) -> Change {
        let Happening { what, who, variant, .. } = *happening;
        let pick = |ids: Vec<String>| (!ids.is_empty()).then(|| ids[who % ids.len()].clone());
        let chosen = match what {
            What::Create => None,
            What::CreateList => return self.create_list(),
            What::RenameList => {
                let list = pick(self.model.open_lists());
                let name = format!("List {variant}");
                return list.map_or_else(|| self.create_list(), |list_id| Change::RenameList { list_id, name });
            }
            What::DeleteList => {
                let list = pick(self.model.open_lists());
                return list.map_or_else(|| self.create_list(), |list_id| Change::DeleteList { list_id });
            }
            What::CreateCampaign => return self.create_campaign(),
            What::ChangeCampaign => {
                let campaign = pick(self.model.campaigns.keys().cloned().collect());
                let status = ["Draft", "Scheduled", "Done", "Removed"][usize::from(variant % 4)].to_owned();
                return campaign.map_or_else(
                    || self.create_campaign(),
                    |campaign_id| Change::ChangeCampaign { campaign_id, status },
                );
            }
            _ => pick(self.model.ids()),
        };
        let Some(id) = chosen else { return self.create_contact(variant) };
        let has_address = self.model.contact(&id).unwrap().get("email_address").is_some();
        let list = {
            let lists = self.model.open_lists();
            (!lists.is_empty()).then(|| lists[usize::from(variant) % lists.len()].clone())
        };
        let change = match (what, list) {
            (What::SetField, _) => ContactChange::CustomField {
                custom_field_id: format!("0000000{}-0000-1000-8000-0000000f1e1d", variant % 3),
                value: (variant % 5 > 0).then(|| format!("value {}", variant % 5)),
            },
            (What::Tag, _) => ContactChange::Tag(tag(variant)),
            (What::Untag, _) => ContactChange::Untag(tag(variant)),
            (What::Join, Some(list)) => ContactChange::Join(list),
            (What::Leave, Some(list)) => ContactChange::Leave(list),
            (What::Unsubscribe, _) if has_address => ContactChange::Unsubscribe,
            (What::Resubscribe, _) if has_address => ContactChange::Resubscribe,
            (What::Purge, _) if purges == Purges::Allowed => return Change::PurgeContact(id),
            (What::Delete | What::Purge, _) => ContactChange::Delete,
            (What::Revive, _) => ContactChange::Revive,
            // Few names, so that a change at times changes nothing but `updated_at`.
            _ => ContactChange::Fields(json!({"first_name": (["Ann", "Bea", "Zoë 🌷"])[usize::from(variant % 3)]})),
        };
        Change::Contact(id, change)
    }

    fn create_contact(&mut self, variant: u8) -> Change {
        let id = self.id(0xc0de);
        let mut contact = json!({"contact_id": id, "first_name": "Ann", "last_name": format!("No. {variant}")});
        if !variant.is_multiple_of(8) {
            contact["email_address"] = json!({"address": format!("c{}@example.com", self.created)});
        }
        if variant.is_multiple_of(3) {
            let kinds = if variant.is_multiple_of(2) { &["home", "work"][..] } else { &["other"] };
            let phone = |kind: &&str| {
                json!({
                    "phone_number_id": self.id_of(0xf0e, kind), "phone_number": format!("+1-781-555-{variant:04}"),
                    "kind": kind, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
                    "update_source": "Account", "create_source": "Account",
                })
            };
            contact["phone_numbers"] = kinds.iter().map(phone).collect();
        }
        if variant.is_multiple_of(5) {
            contact["sms_channel"] = json!({
                "sms_channel_id": self.id_of(0x5e5, "sms"), "sms_address": "7815550100", "dial_code": "1",
                "country_code": "US", "update_source": "Contact", "create_source": "Contact",
                "sms_channel_consents": [{"sms_consent_permission": "explicit", "consent_type": "promotional_sms"}],
            });
        }
        Change::CreateContact(contact)
    }

    fn create_list(&mut self) -> Change {
        let list_id = self.id(0x1157);
        Change::CreateList { name: format!("List {}", self.created), list_id }
    }

    fn create_campaign(&mut self) -> Change {
        let campaign_id = self.id(0xca3);
        Change::CreateCampaign {
            campaign_activity_id: campaign_id.replace("0ca3", "0ac7"),
            name: format!("Campaign {}", self.created),
            status: "Draft".to_owned(),
            campaign_id,
        }
    }

    /// The next id. Ids do not rise with the time of creation.
    fn id(&mut self, kind: u16) -> String {
        self.created += 1;
        format!("{:08x}-0000-1000-8000-00000000{kind:04x}", self.created.wrapping_mul(0x9e37_79b1))
    }

    /// An id of something that belongs to the contact of the last id.
    fn id_of(&self, kind: u16, name: &str) -> String {
        format!("{:08x}-{:04x}-1000-8000-00000000{kind:04x}", self.created, name.len())
    }
}

fn tag(variant: u8) -> String {
    format!("0000000{}-0000-1000-8000-000000000a61", variant % 3)
}
