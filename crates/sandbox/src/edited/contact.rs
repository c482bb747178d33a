//! One contact of an edited account: the JSON that the API sends, and what changes do to it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::object;
use crate::account::{Account, Subresource, date, parse_id, parse_moment, seconds};
use crate::change::ContactChange;
use crate::config::Quirks;
use crate::error::SandboxError;

/// A contact as JSON with all its sub-resources.
#[derive(Debug, Clone)]
pub(crate) struct EditedContact {
    /// Its index in the generated account, if it comes from there.
    pub(crate) index: Option<u64>,
    json: Map<String, Value>,
}

const LISTS: &str = "list_memberships";
const TAGS: &str = "taggings";
const ADDRESS: &str = "email_address";

impl EditedContact {
    /// The contact at a position of the generated account.
    pub(crate) fn generated(account: &Account, position: u64) -> Self {
        let index = account.index_at(position);
        let json = match serde_json::to_value(account.contact(index)) {
            Ok(Value::Object(json)) => json,
            _ => Map::new(),
        };
        Self { index: Some(index), json }
    }

    /// A new contact: what the object leaves out is made up.
    pub(super) fn new(at: i64, contact: &Value) -> Result<Self, SandboxError> {
        let mut json = object("contact", contact)?;
        if json.get("contact_id").and_then(Value::as_str).and_then(parse_id).is_none() {
            return Err(SandboxError::Lacks { kind: "contact", lacks: "a UUID as contact_id" });
        }
        let moment = json!(seconds(at));
        for key in ["update_source", "create_source"] {
            json.entry(key).or_insert_with(|| json!("Account"));
        }
        for key in ["created_at", "updated_at"] {
            json.entry(key).or_insert_with(|| moment.clone());
        }
        for (_, name) in Subresource::ALL {
            json.entry(name).or_insert_with(|| json!([]));
        }
        if let Some(Value::Object(address)) = json.get_mut(ADDRESS) {
            let texts = [("permission_to_send", "implicit"), ("opt_in_source", "Account"), ("confirm_status", "off")];
            for (key, text) in texts {
                address.entry(key).or_insert_with(|| json!(text));
            }
            for key in ["created_at", "updated_at", "opt_in_date"] {
                address.entry(key).or_insert_with(|| moment.clone());
            }
        }
        Ok(Self { index: None, json })
    }

    pub(crate) fn id(&self) -> &str {
        self.json.get("contact_id").and_then(Value::as_str).unwrap_or_default()
    }

    /// In seconds since 1970 UTC, as all moments here.
    pub(super) fn created(&self) -> i64 {
        moment(&self.json, "created_at").unwrap_or_default()
    }

    pub(super) fn updated(&self) -> i64 {
        moment(&self.json, "updated_at").unwrap_or_default()
    }

    pub(super) fn opted_out(&self) -> Option<i64> {
        moment(self.address()?, "opt_out_date")
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.json.contains_key("deleted_at")
    }

    pub(super) fn permission(&self) -> Option<&str> {
        self.address()?.get("permission_to_send")?.as_str()
    }

    pub(super) fn has_address(&self, address: &str) -> bool {
        let own = self.address().and_then(|found| found.get("address")).and_then(Value::as_str);
        own.is_some_and(|own| own.eq_ignore_ascii_case(address))
    }

    pub(super) fn is_on_list(&self, list_id: &str) -> bool {
        self.ids(LISTS).any(|id| id == list_id)
    }

    pub(super) fn has_tag(&self, tag_id: &str) -> bool {
        self.ids(TAGS).any(|id| id == tag_id)
    }

    /// Permissions of the consents of its SMS channel; `None` if it has no channel.
    pub(super) fn sms_permissions(&self) -> Option<impl Iterator<Item = &str>> {
        let consents = self.json.get("sms_channel")?.get("sms_channel_consents").and_then(Value::as_array);
        Some(consents.into_iter().flatten().filter_map(|consent| consent.get("sms_consent_permission")?.as_str()))
    }

    /// The contact with these sub-resources.
    pub(crate) fn with(&self, include: &[Subresource]) -> impl Serialize {
        let mut json = self.json.clone();
        for (subresource, name) in Subresource::ALL {
            if !include.contains(&subresource) {
                json.shift_remove(name);
            }
        }
        json
    }

    /// The contact with all sub-resources.
    pub(crate) fn json(&self) -> Value {
        Value::Object(self.json.clone())
    }

    /// What happens to the contact at a moment.
    pub(super) fn apply(&mut self, at: i64, change: &ContactChange, quirks: &Quirks) -> Result<(), SandboxError> {
        let moves_updated_at = match change {
            ContactChange::Fields(fields) => {
                let fields = object("change of a contact", fields)?;
                let moves = !fields.contains_key("updated_at");
                fields.into_iter().for_each(|(key, value)| self.set(&key, value));
                moves
            }
            ContactChange::CustomField { custom_field_id, value } => {
                self.set_custom_field(custom_field_id, value.as_deref());
                quirks.custom_field_change_moves_updated_at
            }
            ContactChange::Tag(tag_id) => {
                self.add(TAGS, tag_id);
                quirks.tag_change_moves_updated_at
            }
            ContactChange::Untag(tag_id) => {
                self.lose(TAGS, tag_id);
                quirks.tag_change_moves_updated_at
            }
            ContactChange::Join(list_id) => {
                self.set("deleted_at", Value::Null);
                self.add(LISTS, list_id);
                quirks.list_add_moves_updated_at
            }
            ContactChange::Leave(list_id) => {
                self.lose(LISTS, list_id);
                quirks.list_removal_moves_updated_at
            }
            ContactChange::Unsubscribe => {
                let out = json!({"permission_to_send": "unsubscribed", "opt_out_source": "Contact", "opt_out_date": seconds(at)});
                self.change_address(at, &out)?;
                false
            }
            ContactChange::Resubscribe => {
                let back = json!({
                    "permission_to_send": "explicit", "opt_in_source": "Contact", "opt_in_date": seconds(at),
                    "opt_out_source": null, "opt_out_date": null, "opt_out_reason": null,
                });
                self.change_address(at, &back)?;
                false
            }
            ContactChange::Delete => {
                self.set("deleted_at", json!(date(at)));
                self.set(LISTS, json!([]));
                quirks.deletion_moves_updated_at
            }
            ContactChange::Revive => {
                self.set("deleted_at", Value::Null);
                quirks.deletion_moves_updated_at
            }
        };
        if moves_updated_at {
            self.set("updated_at", json!(seconds(at)));
        }
        Ok(())
    }

    /// Takes the contact off a list, which moves nothing.
    pub(super) fn lose_list(&mut self, list_id: &str) {
        self.lose(LISTS, list_id);
    }

    fn address(&self) -> Option<&Map<String, Value>> {
        self.json.get(ADDRESS)?.as_object()
    }

    fn ids(&self, key: &str) -> impl Iterator<Item = &str> {
        self.json.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    fn set(&mut self, key: &str, value: Value) {
        set(&mut self.json, key, value);
    }

    fn rows(&mut self, key: &str) -> Option<&mut Vec<Value>> {
        self.json.entry(key).or_insert_with(|| json!([])).as_array_mut()
    }

    /// Adds an id; ids stay in ascending order, as recorded.
    fn add(&mut self, key: &str, id: &str) {
        if let Some(ids) = self.rows(key)
            && let Err(place) = ids.binary_search_by(|known| known.as_str().cmp(&Some(id)))
        {
            ids.insert(place, json!(id));
        }
    }

    fn lose(&mut self, key: &str, id: &str) {
        if let Some(ids) = self.rows(key) {
            ids.retain(|known| known != id);
        }
    }

    fn set_custom_field(&mut self, custom_field_id: &str, value: Option<&str>) {
        let Some(fields) = self.rows("custom_fields") else { return };
        fields.retain(|field| field.get("custom_field_id").is_none_or(|id| id != custom_field_id));
        fields.extend(value.map(|value| json!({"custom_field_id": custom_field_id, "value": value})));
    }

    fn change_address(&mut self, at: i64, keys: &Value) -> Result<(), SandboxError> {
        let Some(Value::Object(address)) = self.json.get_mut(ADDRESS) else {
            return Err(SandboxError::Lacks { kind: "contact", lacks: "an email address" });
        };
        object("change of an address", keys)?.into_iter().for_each(|(key, value)| set(address, &key, value));
        set(address, "updated_at", json!(seconds(at)));
        Ok(())
    }
}

/// The live API leaves keys without a value out.
fn set(json: &mut Map<String, Value>, key: &str, value: Value) {
    if value.is_null() {
        json.shift_remove(key);
    } else {
        json.insert(key.to_owned(), value);
    }
}

fn moment(json: &Map<String, Value>, key: &str) -> Option<i64> {
    parse_moment(json.get(key)?.as_str()?).map(|millis| millis.div_euclid(1_000))
}
