//! Records with an odd value in an optional field, for the share of them that the configuration asks for.
//!
//! Which records, which field and which value follow from the seed and the record's text, so that the same record is the
//! same in every answer.

use serde_json::{Map, Value, json};

use crate::config::SandboxConfig;
use crate::draws::{Draws, Topic, mix};

/// Fields that name a record. They are never odd.
const KEYS: &[&str] = &[
    "contact_id",
    "list_id",
    "tag_id",
    "custom_field_id",
    "segment_id",
    "campaign_id",
    "campaign_activity_id",
    "created_time",
    "tracking_activity_type",
];
/// Stands for half of a surrogate pair until the record is written.
const HALF: char = '\u{10FFFF}';

/// Makes records odd.
pub(super) struct Oddities {
    share: f64,
    seed: u64,
}

impl Oddities {
    pub(super) fn new(config: &SandboxConfig) -> Self {
        Self { share: config.unfit, seed: config.seed }
    }

    /// The record's JSON with an odd value, if it is one that has one.
    pub(super) fn of(&self, record: &[u8]) -> Option<Vec<u8>> {
        if self.share <= 0.0 {
            return None;
        }
        let hash = record.iter().fold(0, |hash, byte| mix(hash ^ u64::from(*byte)));
        let mut draws = Draws::new(self.seed, Topic::Unfit, hash);
        if draws.fraction() >= self.share {
            return None;
        }
        let mut fields: Map<String, Value> = serde_json::from_slice(record).ok()?;
        let optional: Vec<String> = fields.keys().filter(|key| !KEYS.contains(&key.as_str())).cloned().collect();
        if optional.is_empty() {
            return None;
        }
        let name = draws.pick(&optional.iter().collect::<Vec<_>>());
        let value = fields.get_mut(name)?;
        *value = odd(name, value, &mut draws);
        let text = Value::Object(fields).to_string();
        Some(text.replace(HALF, "\\ud83d").into_bytes())
    }
}

/// Something that does not fit in the place of the value.
fn odd(name: &str, value: &Value, draws: &mut Draws) -> Value {
    match value {
        Value::Array(elements) => {
            let of_objects = elements.first().is_some_and(Value::is_object);
            let element = if of_objects { json!("odd") } else { json!({"odd": true}) };
            Value::Array(elements.iter().cloned().chain([element]).collect())
        }
        Value::Object(_) if draws.below(2) == 0 => json!("odd"),
        Value::Object(_) => json!(["odd"]),
        Value::String(_) if name.ends_with("_at") || name.ends_with("_on") => {
            json!(draws.pick(&["01/02/2024", "20240102", "2024-02-30", "yesterday"]))
        }
        Value::String(text) => match draws.below(3) {
            0 => json!({"odd": text}),
            1 => json!([text]),
            _ => json!(format!("{text}{HALF}")),
        },
        _ => match draws.below(3) {
            0 => json!("odd"),
            1 => json!({"odd": value}),
            _ => json!([value]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_record_has_its_key_and_one_odd_value() {
        let record = json!({"contact_id": "c", "first_name": "Ann", "created_at": "2026-01-31T00:00:00Z", "taggings": ["t"],
            "phone_numbers": [{"kind": "home"}], "birthday_day": 3, "email_address": {"address": "a@b"}});
        let odd_of = |seed, share| {
            let config = SandboxConfig { seed, unfit: share, ..SandboxConfig::default() };
            Oddities::new(&config).of(record.to_string().as_bytes())
        };
        for seed in 0..100 {
            let odd = odd_of(seed, 1.0).unwrap();
            assert_eq!(odd_of(seed, 1.0).unwrap(), odd, "the same record is the same in every answer");
            let text = String::from_utf8(odd).unwrap().replace("\\ud83d", "half");
            let odd: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(odd["contact_id"], record["contact_id"]);
            let names = record.as_object().unwrap().keys();
            assert_eq!(names.filter(|name| odd[name.as_str()] != record[name.as_str()]).count(), 1, "{text}");
        }
        assert_eq!(odd_of(1, 0.0), None);
        let share = (0..1_000).filter(|seed| odd_of(*seed, 0.05).is_some()).count();
        assert!((20..100).contains(&share), "{share}");
    }
}
