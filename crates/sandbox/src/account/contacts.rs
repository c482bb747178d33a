//! Contacts as the API sends them: absent keys are left out, sub-resources come only when asked for.

use serde::Serialize;

use super::custom_fields::ContactCustomField;
use super::life::{Life, Permission};
use super::moments::{self, DAY};
use super::{Account, names};
use crate::draws::{Draws, Topic};

/// What `include` may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the vendor's names")]
pub enum Subresource {
    CustomFields,
    PhoneNumbers,
    StreetAddresses,
    ListMemberships,
    Taggings,
    Notes,
}

impl Subresource {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::CustomFields, "custom_fields"),
        (Self::PhoneNumbers, "phone_numbers"),
        (Self::StreetAddresses, "street_addresses"),
        (Self::ListMemberships, "list_memberships"),
        (Self::Taggings, "taggings"),
        (Self::Notes, "notes"),
    ];
}

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Contact {
    pub contact_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_address: Option<EmailAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_title: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday_month: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday_day: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anniversary: Option<String>,
    pub update_source: &'static str,
    pub create_source: &'static str,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_fields: Option<Vec<ContactCustomField>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_numbers: Option<Vec<PhoneNumber>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street_addresses: Option<Vec<StreetAddress>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_memberships: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taggings: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<Vec<Note>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms_channel: Option<SmsChannel>,
}

/// A contact's email address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct EmailAddress {
    pub address: String,
    pub permission_to_send: &'static str,
    pub created_at: String,
    pub updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_in_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_in_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_out_source: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_out_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_out_reason: Option<&'static str>,
    pub confirm_status: &'static str,
}

/// A phone number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct PhoneNumber {
    pub phone_number_id: String,
    pub phone_number: String,
    pub kind: &'static str,
    pub created_at: String,
    pub updated_at: String,
    pub update_source: &'static str,
    pub create_source: &'static str,
}

/// A street address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct StreetAddress {
    pub street_address_id: String,
    pub kind: &'static str,
    pub street: String,
    pub city: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    pub postal_code: &'static str,
    pub country: &'static str,
    pub created_at: String,
    pub updated_at: String,
}

/// A note about a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Note {
    pub note_id: String,
    pub created_at: String,
    pub content: &'static str,
}

/// The SMS channel of a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct SmsChannel {
    pub sms_channel_id: String,
    pub sms_address: String,
    pub dial_code: &'static str,
    pub country_code: &'static str,
    pub update_source: &'static str,
    pub create_source: &'static str,
    pub sms_channel_consents: Vec<SmsConsent>,
}

/// A consent on an SMS channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct SmsConsent {
    pub sms_consent_permission: &'static str,
    pub consent_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_in_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_out_date: Option<String>,
    pub advertised_frequency: String,
    pub advertised_interval: &'static str,
    pub created_at: String,
    pub updated_at: String,
}

const SOURCES: &[&str] = &["Contact", "Account"];

/// Domains kept for examples, so that no address can belong to anybody.
const DOMAINS: &[&str] = &["example.com", "example.org", "example.net"];

impl Account {
    /// A contact with all its sub-resources, as `include` with all six values brings it.
    ///
    /// `index` is below [`contacts`](Self::contacts); the date of creation rises with it.
    pub fn contact(&self, index: u64) -> Contact {
        self.contact_with(&self.life(index), &Subresource::ALL.map(|(subresource, _)| subresource))
    }

    /// A contact with these sub-resources.
    pub(crate) fn contact_with(&self, life: &Life, include: &[Subresource]) -> Contact {
        let mut draws = Draws::new(self.seed, Topic::Person, life.index);
        let plain_first = draws.pick(names::FIRST);
        let first_name = match draws.below(1_000) {
            0..60 => None,
            60..140 => Some(draws.pick(names::FIRST_UNICODE)),
            140..150 => Some(draws.pick(names::FIRST_RTL)),
            150..157 => Some(draws.pick(names::FIRST_EMOJI)),
            _ => Some(plain_first),
        };
        let last_name = (!draws.permille(50)).then(|| draws.pick(names::LAST));
        let birthday = draws.permille(250).then(|| (draws.below(12) + 1, draws.below(28) + 1));
        let anniversary = draws.permille(150).then(|| moments::date(life.created - draws.between(DAY, 9_000 * DAY)));
        let create_source = draws.pick(SOURCES);
        // What an edit changes.
        let mut details = Draws::new(self.seed ^ life.revision, Topic::Details, life.index);
        let job_title = details.permille(500).then(|| details.pick(names::JOBS));
        let company_name = details.permille(500).then(|| details.pick(names::COMPANIES));
        let asked = |subresource| include.contains(&subresource);
        Contact {
            contact_id: self.contact_id(life.index),
            email_address: life.permission.map(|permission| email_address(life, permission, plain_first, &mut draws)),
            first_name,
            last_name,
            job_title,
            company_name,
            birthday_month: birthday.and_then(|(month, _)| u8::try_from(month).ok()),
            birthday_day: birthday.and_then(|(_, day)| u8::try_from(day).ok()),
            anniversary,
            update_source: if life.revision > 0 { details.pick(SOURCES) } else { create_source },
            create_source,
            created_at: moments::seconds(life.created),
            updated_at: moments::seconds(life.updated),
            deleted_at: life.deleted.map(moments::date),
            custom_fields: asked(Subresource::CustomFields).then(|| self.contact_custom_fields(life)),
            phone_numbers: asked(Subresource::PhoneNumbers).then(|| self.phone_numbers(life)),
            street_addresses: asked(Subresource::StreetAddresses).then(|| self.street_addresses(life)),
            list_memberships: asked(Subresource::ListMemberships).then(|| self.list_memberships(life)),
            taggings: asked(Subresource::Taggings).then(|| self.taggings(life)),
            notes: asked(Subresource::Notes).then(|| self.notes(life)),
            sms_channel: self.sms_channel(life),
        }
    }

    /// The index in an address that this account made. The contact may have another address, or none.
    pub(crate) fn index_in_address(&self, address: &str) -> Option<u64> {
        let (local, _) = address.split_once('@')?;
        let (_, number) = local.rsplit_once(['.', '+'])?;
        u64::from_str_radix(number, 36).ok().filter(|index| *index < self.contacts())
    }

    fn phone_numbers(&self, life: &Life) -> Vec<PhoneNumber> {
        let mut draws = Draws::new(self.seed, Topic::Phones, life.index);
        let count = [0, 1, 1, 1, 1, 1, 1, 1, 2, 3];
        (0..draws.pick(&count))
            .map(|_| PhoneNumber {
                phone_number_id: self.node.draw(&mut draws),
                phone_number: phone_number(&mut draws),
                kind: draws.pick(&["home", "work", "mobile", "other"]),
                created_at: moments::seconds(life.created),
                updated_at: moments::seconds(life.edited),
                update_source: draws.pick(SOURCES),
                create_source: draws.pick(SOURCES),
            })
            .collect()
    }

    fn street_addresses(&self, life: &Life) -> Vec<StreetAddress> {
        let mut draws = Draws::new(self.seed ^ life.revision, Topic::Addresses, life.index);
        let count = [0, 0, 1, 1, 1, 1, 1, 1, 1, 2];
        (0..draws.pick(&count))
            .map(|_| {
                let (city, state, postal_code, country) = draws.pick(names::PLACES);
                StreetAddress {
                    street_address_id: self.node.draw(&mut draws),
                    kind: draws.pick(&["home", "work", "other"]),
                    street: format!("{} {}", draws.below(999) + 1, draws.pick(names::STREETS)),
                    city,
                    state: Some(state).filter(|state| !state.is_empty()),
                    postal_code,
                    country,
                    created_at: moments::seconds(life.created),
                    updated_at: moments::seconds(life.edited),
                }
            })
            .collect()
    }

    /// Most recent first.
    fn notes(&self, life: &Life) -> Vec<Note> {
        let mut draws = Draws::new(self.seed, Topic::Notes, life.index);
        let count = if draws.permille(120) { draws.below(3) + 1 } else { 0 };
        let mut written: Vec<i64> = (0..count).map(|_| draws.between(life.created, life.edited + 1)).collect();
        written.sort_unstable_by(|a, b| b.cmp(a));
        let note = |at| Note {
            note_id: self.node.draw(&mut draws),
            created_at: moments::seconds(at),
            content: draws.pick(names::NOTES),
        };
        written.into_iter().map(note).collect()
    }

    /// The consent on the SMS channel, if there is one.
    pub(crate) fn sms_permission(&self, index: u64) -> Option<&'static str> {
        let mut draws = Draws::new(self.seed, Topic::Sms, index);
        let consents = ["explicit", "explicit", "explicit", "unsubscribed", "pending_confirmation", "not_set"];
        draws.permille(60).then(|| draws.pick(&consents))
    }

    fn sms_channel(&self, life: &Life) -> Option<SmsChannel> {
        let permission = self.sms_permission(life.index)?;
        let mut draws = Draws::new(!self.seed, Topic::Sms, life.index);
        let since = moments::seconds(life.created);
        let consent = SmsConsent {
            sms_consent_permission: permission,
            consent_type: "promotional_sms",
            opt_in_date: (permission != "not_set").then(|| since.clone()),
            opt_out_date: (permission == "unsubscribed").then(|| moments::seconds(life.edited)),
            advertised_frequency: (draws.below(8) + 1).to_string(),
            advertised_interval: draws.pick(&["weekly", "monthly"]),
            created_at: since,
            updated_at: moments::seconds(life.edited),
        };
        Some(SmsChannel {
            sms_channel_id: self.node.draw(&mut draws),
            sms_address: format!("781555{:04}", draws.below(10_000)),
            dial_code: "1",
            country_code: "US",
            update_source: draws.pick(SOURCES),
            create_source: draws.pick(SOURCES),
            // Some channels have no consent yet.
            sms_channel_consents: if draws.permille(900) { vec![consent] } else { Vec::new() },
        })
    }
}

fn email_address(life: &Life, permission: Permission, first: &str, draws: &mut Draws) -> EmailAddress {
    let sign = if draws.permille(25) { '+' } else { '.' };
    let address = format!("{}{sign}{}@{}", first.to_lowercase(), base_36(life.index), draws.pick(DOMAINS));
    let opted_in = draws.permille(if life.opted_out.is_some() { 150 } else { 950 });
    let before = if draws.permille(700) { draws.between(0, 200 * DAY) } else { 0 };
    EmailAddress {
        address,
        permission_to_send: permission.as_str(),
        created_at: moments::seconds(life.created),
        updated_at: moments::seconds(life.opted_out.unwrap_or(life.created)),
        opt_in_source: opted_in.then(|| draws.pick(SOURCES)),
        opt_in_date: opted_in.then(|| moments::seconds(life.created - before)),
        opt_out_source: life.opted_out.map(|_| if life.left_by_mail() { "Contact" } else { "Account" }),
        opt_out_date: life.opted_out.map(moments::seconds),
        opt_out_reason: life.opted_out.and_then(|_| draws.permille(300).then(|| draws.pick(names::OPT_OUT_REASONS))),
        confirm_status: match permission {
            Permission::PendingConfirmation => "pending",
            _ if life.was_explicit && draws.permille(500) => "confirmed",
            _ => "off",
        },
    }
}

fn phone_number(draws: &mut Draws) -> String {
    let (area, line) = (draws.below(800) + 200, draws.below(10_000));
    match draws.below(3) {
        0 => format!("+1-{area}-555-{line:04}"),
        1 => format!("({area}) 555-{line:04}"),
        _ => format!("{area}555{line:04}"),
    }
}

fn base_36(number: u64) -> String {
    let mut digits = Vec::new();
    let mut rest = number;
    loop {
        // A remainder of 36 is below 36.
        digits
            .push(char::from(b"0123456789abcdefghijklmnopqrstuvwxyz"[usize::try_from(rest % 36).unwrap_or_default()]));
        rest /= 36;
        if rest == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}
