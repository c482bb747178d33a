//! The plain model: what the account holds, by the rules of the documentation and none of the sandbox's code, and what the
//! tables may hold of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ctct_sandbox::{Change, ContactChange};
use serde_json::{Map, Value, json};

/// An account.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// What moves a contact's `updated_at`: tags, custom fields, joining, leaving, deletion.
    pub(crate) moves: [bool; 5],
    pub(crate) contacts: BTreeMap<String, Contact>,
    pub(crate) lists: BTreeMap<String, Value>,
    pub(crate) campaigns: BTreeMap<String, Value>,
    /// Whether a read of contacts is under way, or was stopped half-way.
    pub(crate) reading: bool,
    /// Whether a contact was created, and whether one was purged, while it was.
    created: bool,
    purged: bool,
}

/// A contact of the account.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is its own yes or no")]
pub(crate) struct Contact {
    /// As it is; `None` once purged.
    pub(crate) now: Option<Value>,
    /// What the tables may hold of it. More than one if no filter finds the latest change.
    pub(crate) held: Vec<Option<Value>>,
    /// Whether a complete read did not bring it.
    pub(crate) vanished: Vanished,
    /// Whether a run that begins now finds it, by the one filter or the other.
    found_by_update: bool,
    found_by_opt_out: bool,
    /// Whether the read that is under way brings it.
    due: bool,
    /// Whether either the read that is under way or the next one brings it: it changed after a run that was stopped.
    due_by_the_next: bool,
    /// Whether it changed since the read began.
    touched: bool,
}

/// Whether the tables may say that a contact has vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vanished {
    No,
    /// It was purged, or skipped by a read that others shifted.
    Perhaps,
    Yes,
}

impl Model {
    /// Contacts that are there, by id.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.contacts.iter().filter(|(_, contact)| contact.now.is_some()).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn contact(&self, id: &str) -> Option<&Value> {
        self.contacts.get(id)?.now.as_ref()
    }

    /// Lists that are not deleted, by id.
    pub(crate) fn open_lists(&self) -> Vec<String> {
        let open = self.lists.iter().filter(|(_, list)| list.get("deleted_at").is_none());
        open.map(|(id, _)| id.clone()).collect()
    }

    /// Lists as the API sends them, with their counts of members.
    pub(crate) fn lists(&self) -> Vec<Value> {
        let is_on = |contact: &Value, id: &str| contact["list_memberships"].as_array().unwrap().contains(&json!(id));
        let counted = |(id, list): (&String, &Value)| {
            let members = self.contacts.values().filter_map(|contact| contact.now.as_ref());
            let mut list = list.clone();
            list["membership_count"] = json!(members.filter(|contact| is_on(contact, id)).count());
            list
        };
        self.lists.iter().map(counted).collect()
    }

    /// A change takes place.
    pub(crate) fn apply(&mut self, at: DateTime<Utc>, change: &Change) {
        let moment = json!(at.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        match change {
            Change::CreateContact(contact) => {
                let id = contact["contact_id"].as_str().unwrap().to_owned();
                let now = created(contact, &moment);
                let contact = Contact {
                    now: Some(now.clone()),
                    held: vec![None, Some(now)],
                    vanished: Vanished::No,
                    found_by_update: true,
                    found_by_opt_out: false,
                    due: false,
                    due_by_the_next: false,
                    touched: true,
                };
                assert!(self.contacts.insert(id, contact).is_none(), "ids are used once");
                self.created = true;
            }
            Change::Contact(id, change) => self.change_contact(id, at, &moment, change),
            Change::PurgeContact(id) => {
                self.contacts.get_mut(id).unwrap().purge();
                self.purged = true;
                self.others_shift();
            }
            Change::CreateList { list_id, name } => {
                let list = json!({
                    "list_id": list_id, "name": name, "favorite": false, "created_at": moment, "updated_at": moment,
                });
                self.lists.insert(list_id.clone(), list);
            }
            Change::RenameList { list_id, name } => {
                let list = self.lists.get_mut(list_id).unwrap();
                (list["name"], list["updated_at"]) = (json!(name), moment);
            }
            Change::DeleteList { list_id } => {
                self.lists.get_mut(list_id).unwrap()["deleted_at"] = moment;
                for contact in self.contacts.values_mut() {
                    let is_on = |now: &&Value| now["list_memberships"].as_array().unwrap().contains(&json!(list_id));
                    if let Some(mut now) = contact.now.as_ref().filter(is_on).cloned() {
                        lose(&mut now["list_memberships"], list_id);
                        contact.becomes(now, false);
                    }
                }
            }
            Change::CreateCampaign { campaign_id, name, status, .. } => {
                let moment = millis(at);
                let campaign = json!({
                    "campaign_id": campaign_id, "created_at": moment, "current_status": status, "name": name,
                    "type": "NEWSLETTER", "type_code": 10, "updated_at": moment,
                });
                self.campaigns.insert(campaign_id.clone(), campaign);
            }
            Change::ChangeCampaign { campaign_id, status } => {
                let campaign = self.campaigns.get_mut(campaign_id).unwrap();
                (campaign["current_status"], campaign["updated_at"]) = (json!(status), millis(at));
            }
            Change::Track { .. } => panic!("events have a model of their own"),
        }
    }

    fn change_contact(&mut self, id: &str, at: DateTime<Utc>, moment: &Value, change: &ContactChange) {
        let [tags, fields, joining, leaving, deletion] = self.moves;
        let contact = self.contacts.get_mut(id).unwrap();
        let mut now = contact.now.clone().unwrap();
        let mut visible = *change == ContactChange::Unsubscribe;
        let moves = match change {
            ContactChange::Fields(changed) => {
                changed.as_object().unwrap().iter().for_each(|(key, value)| now[key] = value.clone());
                true
            }
            ContactChange::CustomField { custom_field_id, value } => {
                let rows = now["custom_fields"].as_array_mut().unwrap();
                rows.retain(|row| row["custom_field_id"] != *custom_field_id);
                rows.extend(value.iter().map(|value| json!({"custom_field_id": custom_field_id, "value": value})));
                fields
            }
            ContactChange::Tag(tag) => {
                gain(&mut now["taggings"], tag);
                tags
            }
            ContactChange::Untag(tag) => {
                lose(&mut now["taggings"], tag);
                tags
            }
            ContactChange::Join(list) => {
                now.as_object_mut().unwrap().remove("deleted_at");
                gain(&mut now["list_memberships"], list);
                joining
            }
            ContactChange::Leave(list) => {
                lose(&mut now["list_memberships"], list);
                leaving
            }
            ContactChange::Unsubscribe => {
                let address = now["email_address"].as_object_mut().unwrap();
                address.insert("permission_to_send".to_owned(), json!("unsubscribed"));
                address.insert("opt_out_source".to_owned(), json!("Contact"));
                address.insert("opt_out_date".to_owned(), moment.clone());
                address.insert("updated_at".to_owned(), moment.clone());
                contact.found_by_opt_out = true;
                false
            }
            ContactChange::Resubscribe => {
                let address = now["email_address"].as_object_mut().unwrap();
                address.remove("opt_out_source");
                address.remove("opt_out_date");
                address.insert("permission_to_send".to_owned(), json!("explicit"));
                address.insert("opt_in_source".to_owned(), json!("Contact"));
                address.insert("opt_in_date".to_owned(), moment.clone());
                address.insert("updated_at".to_owned(), moment.clone());
                contact.found_by_opt_out = false;
                false
            }
            ContactChange::Delete => {
                now["deleted_at"] = json!(at.format("%Y-%m-%d").to_string());
                now["list_memberships"] = json!([]);
                deletion
            }
            ContactChange::Revive => {
                now.as_object_mut().unwrap().remove("deleted_at");
                deletion
            }
        };
        if moves {
            now["updated_at"] = moment.clone();
            contact.found_by_update = true;
            visible = true;
        }
        contact.becomes(now, visible);
        if *change == ContactChange::Resubscribe {
            self.others_shift();
        }
    }

    /// A contact left the rows of a query. With positional cursors, a read that is under way then skips another: by the
    /// count alone can it know, so what it must have brought is open until the next read that is proven whole.
    fn others_shift(&mut self) {
        if self.reading {
            for contact in self.contacts.values_mut() {
                contact.is_found_no_more();
                (contact.due, contact.due_by_the_next) = (false, false);
            }
        }
    }

    /// A run begins. It may go on with the pages of one that was stopped.
    pub(crate) fn begins(&mut self) {
        for contact in self.contacts.values_mut() {
            let found = contact.found_by_update || contact.found_by_opt_out;
            if self.reading {
                contact.due_by_the_next |= found;
            } else {
                (contact.due, contact.due_by_the_next) = (found || contact.due_by_the_next, false);
                contact.touched = false;
            }
            contact.is_found_no_more();
        }
        (self.created, self.purged) = (self.created && self.reading, self.purged && self.reading);
        self.reading = true;
    }

    /// A run ended that read all that it had to, and all contacts if it `swept`. It was `quiet` if nothing happened since
    /// the first of its pages was read.
    pub(crate) fn ends(&mut self, quiet: bool, swept: bool) {
        // One came and one went: as many were read as were counted, though one may have been skipped.
        let counts_lie = self.created && self.purged;
        for contact in self.contacts.values_mut() {
            if swept && counts_lie && contact.vanished == Vanished::No {
                contact.vanished = Vanished::Perhaps;
            }
            if contact.now.is_none() {
                contact.vanished = if swept && quiet { Vanished::Yes } else { contact.vanished };
            } else if (contact.due && !contact.touched) || (swept && quiet) {
                contact.held = vec![contact.now.clone()];
                contact.vanished = Vanished::No;
            }
            contact.due = false;
        }
        self.reading = false;
    }
}

impl Contact {
    /// `visible`: a filter finds the change.
    fn becomes(&mut self, now: Value, visible: bool) {
        self.held.push(Some(now.clone()));
        self.now = Some(now);
        self.touched = true;
        self.due_by_the_next &= visible;
    }

    fn purge(&mut self) {
        self.now = None;
        self.vanished = Vanished::Perhaps;
        self.is_found_no_more();
    }

    fn is_found_no_more(&mut self) {
        (self.found_by_update, self.found_by_opt_out) = (false, false);
    }
}

/// A new contact: what is not said is made up.
fn created(contact: &Value, moment: &Value) -> Value {
    let mut now: Map<String, Value> = contact.as_object().unwrap().clone();
    let mut set = |key: &str, value: &Value| drop(now.insert(key.to_owned(), value.clone()));
    let empty = json!([]);
    set("update_source", &json!("Account"));
    set("create_source", &json!("Account"));
    set("created_at", moment);
    set("updated_at", moment);
    for key in ["custom_fields", "phone_numbers", "street_addresses", "list_memberships", "taggings", "notes"] {
        let value = contact.get(key).unwrap_or(&empty);
        set(key, value);
    }
    if let Some(address) = now.get_mut("email_address") {
        address["permission_to_send"] = json!("implicit");
        address["confirm_status"] = json!("off");
        address["opt_in_source"] = json!("Account");
        for key in ["created_at", "updated_at", "opt_in_date"] {
            address[key] = moment.clone();
        }
    }
    Value::Object(now)
}

fn gain(ids: &mut Value, id: &str) {
    let ids = ids.as_array_mut().unwrap();
    if !ids.contains(&json!(id)) {
        ids.push(json!(id));
        ids.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

fn lose(ids: &mut Value, id: &str) {
    ids.as_array_mut().unwrap().retain(|known| known != id);
}

fn millis(at: DateTime<Utc>) -> Value {
    json!(at.format("%Y-%m-%dT%H:%M:%S.000Z").to_string())
}
