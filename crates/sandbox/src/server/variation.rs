//! Forms of rows that the live API was not seen to send, or only at times: for tests of what a client must survive.
//!
//! These go through a JSON tree, which costs; the plain form never does.

use serde::Serialize;
use serde_json::{Map, Value};

use super::page::Page;
use crate::config::Quirks;

const CONTACT: &[&str] = &[
    "email_address",
    "first_name",
    "last_name",
    "job_title",
    "company_name",
    "birthday_month",
    "birthday_day",
    "anniversary",
    "deleted_at",
    "sms_channel",
];
const EMAIL_ADDRESS: &[&str] = &["opt_in_source", "opt_in_date", "opt_out_source", "opt_out_date", "opt_out_reason"];
const LIST: &[&str] = &["description", "deleted_at"];

/// Writes a contact as the quirks want it.
pub(super) fn push_contact(page: &mut Page, contact: &impl Serialize, quirks: &Quirks) {
    if !(quirks.nulls || quirks.omit_empty_subresources || quirks.unknown_field) {
        return page.push(contact);
    }
    let mut contact = tree(contact);
    if quirks.omit_empty_subresources {
        contact.retain(|_, value| value.as_array().is_none_or(|rows| !rows.is_empty()));
    }
    if quirks.nulls {
        if let Some(Value::Object(address)) = contact.get_mut("email_address") {
            add_nulls(address, EMAIL_ADDRESS);
        }
        add_nulls(&mut contact, CONTACT);
    }
    if quirks.unknown_field {
        contact.insert("loyalty".to_owned(), serde_json::json!({"tier": "gold", "points": 120}));
    }
    page.push(&contact);
}

/// Writes a list as the quirks want it.
pub(super) fn push_list(page: &mut Page, list: &impl Serialize, quirks: &Quirks) {
    if !quirks.nulls {
        return page.push(list);
    }
    let mut list = tree(list);
    add_nulls(&mut list, LIST);
    page.push(&list);
}

fn tree(row: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(row) {
        Ok(Value::Object(row)) => row,
        _ => Map::new(),
    }
}

fn add_nulls(row: &mut Map<String, Value>, keys: &[&str]) {
    for key in keys {
        row.entry(*key).or_insert(Value::Null);
    }
}
