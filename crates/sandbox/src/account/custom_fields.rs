//! Custom fields of the account and their values on contacts.

use serde::Serialize;

use super::life::Life;
use super::lists::numbered;
use super::moments::{self, DAY};
use super::{Account, names};
use crate::draws::{Draws, Topic};

/// A custom field of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct CustomField {
    pub custom_field_id: String,
    pub label: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    pub version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<Choice>>,
    pub updated_at: String,
    pub created_at: String,
}

/// How a custom field is shown and what it takes. Strings have none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_negative: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal_places: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_format: Option<&'static str>,
}

/// A choice of a select field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct Choice {
    pub custom_field_id: String,
    pub choice_id: u32,
    pub choice_label: &'static str,
    pub display_order: u32,
    pub created_at: String,
    pub updated_at: String,
}

/// The value of a custom field on a contact: text, whatever the type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the vendor's names")]
pub struct ContactCustomField {
    pub custom_field_id: String,
    pub value: String,
    /// Only for select fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice_ids: Option<Vec<String>>,
}

/// Custom fields, newest first, as recorded.
pub(super) fn custom_fields(account: &Account, count: u32) -> Vec<CustomField> {
    (0..u64::from(count)).map(|index| custom_field(account, index)).collect()
}

fn custom_field(account: &Account, index: u64) -> CustomField {
    let mut draws = Draws::new(account.seed, Topic::CustomFieldCatalogue, index);
    let labels: [&str; 10] = std::array::from_fn(|place| names::CUSTOM_FIELDS.get(place).map_or("", |field| field.0));
    let place = usize::try_from(index).unwrap_or_default() % labels.len();
    let (_, kind, choices) = names::CUSTOM_FIELDS.get(place).copied().unwrap_or(("", "string", &[]));
    let label = numbered(&labels, index);
    let custom_field_id = account.node.draw(&mut draws);
    let created = account.anchor - (100 + index.cast_signed() * 7) * DAY;
    let choice = |(choice_label, display_order): (&&'static str, u32)| Choice {
        custom_field_id: custom_field_id.clone(),
        choice_id: u32::try_from(index).unwrap_or_default() * 100 + 100_000 + display_order,
        choice_label,
        display_order,
        created_at: moments::millis(created),
        updated_at: moments::millis(created),
    };
    CustomField {
        name: label.to_lowercase().replace([' ', '-'], "_"),
        label,
        kind,
        metadata: metadata(kind),
        version: if kind.starts_with("date") { 2 } else { 1 },
        choices: (!choices.is_empty()).then(|| choices.iter().zip(1..).map(choice).collect()),
        updated_at: moments::seconds(created),
        created_at: moments::seconds(created),
        custom_field_id,
    }
}

fn metadata(kind: &str) -> Option<Metadata> {
    let none = Metadata::default();
    match kind {
        "single_select" => Some(Metadata { display_type: Some("radio"), ..none }),
        "multi_select" => Some(Metadata { display_type: Some("checkbox"), ..none }),
        "number" => Some(Metadata { allow_negative: Some(false), decimal_places: Some(0), ..none }),
        "currency" => Some(Metadata { currency_code: Some("USD"), decimal_places: Some(2), ..none }),
        "date" | "datetime" => Some(Metadata { display_format: Some("MM/DD/YYYY"), ..none }),
        _ => None,
    }
}

/// Values on one contact that the vendor allows.
const MOST_VALUES: usize = 25;

impl Account {
    /// About two values, whatever the number of fields.
    pub(super) fn contact_custom_fields(&self, life: &Life) -> Vec<ContactCustomField> {
        let mut draws = Draws::new(self.seed ^ life.revision, Topic::CustomFields, life.index);
        let share = 2_000 / (self.custom_fields.len() as u64).max(3);
        let mut values = Vec::new();
        for field in &self.custom_fields {
            if draws.permille(share) && values.len() < MOST_VALUES {
                values.push(value(field, &mut draws));
            }
        }
        values
    }
}

fn value(field: &CustomField, draws: &mut Draws) -> ContactCustomField {
    let choices = field.choices.as_deref().unwrap_or_default();
    let most = if field.kind == "multi_select" { draws.below(3) + 1 } else { 1 };
    let first = draws.below(choices.len() as u64);
    let chosen: Vec<&Choice> = choices
        .iter()
        .cycle()
        .skip(usize::try_from(first).unwrap_or_default())
        .zip(0..most)
        .map(|(choice, _)| choice)
        .collect();
    let value = match field.kind {
        "date" => moments::date(draws.between(0, 20_000 * DAY)),
        "datetime" => moments::seconds(draws.between(10_000 * DAY, 20_000 * DAY)),
        "number" => draws.below(6).to_string(),
        "currency" => format!("{}.{:02}", draws.low(5_000), draws.below(100)),
        "single_select" | "multi_select" => {
            chosen.iter().map(|choice| choice.choice_label).collect::<Vec<_>>().join(",")
        }
        _ => draws.pick(&["Tesla S 2017", "blue", "n/a", "Zoë's friend", "see notes; \"urgent\"", "東京"]).to_owned(),
    };
    ContactCustomField {
        custom_field_id: field.custom_field_id.clone(),
        value,
        choice_ids: field.choices.is_some().then(|| chosen.iter().map(|choice| choice.choice_id.to_string()).collect()),
    }
}
