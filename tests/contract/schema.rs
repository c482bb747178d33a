//! From the vendor's Swagger 2 schemas to JSON Schema, made stricter: a property that the vendor does not name is an error.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::vendor::Vendor;

/// Keywords that mean the same in both.
const SHARED: [&str; 9] =
    ["type", "enum", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"];
/// Keywords that say nothing about a body, or (`format`) more than the live API keeps to.
pub(crate) const DROPPED: [&str; 5] = ["description", "example", "format", "readOnly", "default"];

/// A validator of bodies.
pub(crate) fn validator(vendor: &Vendor, schema: &Value) -> Validator {
    jsonschema::draft4::new(&converted(vendor, schema)).unwrap()
}

/// Panics with every place at which a body breaks the schema.
pub(crate) fn assert_valid(validator: &Validator, body: &Value, what: &str) {
    let errors: Vec<String> =
        validator.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}\n{}", errors.join("\n"));
}

/// The schema with its references filled in. The vendor's schemas do not refer to themselves.
fn converted(vendor: &Vendor, schema: &Value) -> Value {
    let schema = vendor.resolve(schema).as_object().unwrap();
    let mut converted_schema = Map::new();
    for (key, value) in schema {
        let value = match key.as_str() {
            "properties" => {
                let properties = value.as_object().unwrap().iter();
                properties.map(|(name, property)| (name.clone(), converted(vendor, property))).collect()
            }
            "items" => converted(vendor, value),
            shared if SHARED.contains(&shared) => value.clone(),
            dropped if DROPPED.contains(&dropped) || dropped.starts_with("x-") => continue,
            // `allOf` and the like would need more thought than "no further properties".
            other => panic!("a keyword that was not met so far: {other}"),
        };
        converted_schema.insert(key.clone(), value);
    }
    if schema.contains_key("properties") {
        converted_schema.insert("additionalProperties".to_owned(), json!(false));
    }
    Value::Object(converted_schema)
}

/// Every property of a schema, as dotted paths: `contacts[].email_address.address`.
pub(crate) fn properties(vendor: &Vendor, schema: &Value) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    described(vendor, "", schema, &mut paths);
    paths
}

fn described(vendor: &Vendor, place: &str, schema: &Value, paths: &mut BTreeSet<String>) {
    let schema = vendor.resolve(schema);
    if let Some(items) = schema.get("items") {
        described(vendor, &format!("{place}[]"), items, paths);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = below(place, name);
        described(vendor, &path, property, paths);
        paths.insert(path);
    }
}

/// Adds every property of a body.
pub(crate) fn sent(place: &str, body: &Value, paths: &mut BTreeSet<String>) {
    match body {
        Value::Array(items) => items.iter().for_each(|item| sent(&format!("{place}[]"), item, paths)),
        Value::Object(object) => {
            for (name, value) in object {
                let path = below(place, name);
                sent(&path, value, paths);
                paths.insert(path);
            }
        }
        _ => {}
    }
}

fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}
