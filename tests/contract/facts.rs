//! What the repository keeps of the vendor's description, for those who do not have it: names, types, bounds and choices of the
//! operations that the program or the sandbox knows, and none of its prose.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use ctct_catalog::Catalog;
use serde_json::{Map, Value, json};

use crate::parameter::Parameter;
use crate::sandbox_answers::{ENDPOINTS, ERRORS};
use crate::schema::DROPPED;
use crate::vendor::{Operation, Vendor};

/// Where it is.
pub(crate) fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("contract/facts.json")
}

/// The facts in the form of the description.
fn facts(vendor: &Vendor) -> Value {
    let catalog = Catalog::embedded().unwrap();
    let paths: BTreeSet<&str> = catalog.reports().map(|report| report.path.as_str()).chain(ENDPOINTS).collect();
    let operations: Map<String, Value> = paths
        .iter()
        .map(|path| ((*path).to_owned(), json!({"get": operation(vendor.operation(path).unwrap())})))
        .collect();
    let (mut definitions, mut wanted) = (Map::new(), names(&json!(operations)));
    wanted.extend(ERRORS.map(str::to_owned));
    while let Some(name) = wanted.pop_first() {
        let schema = without_prose(vendor.definition(&name));
        wanted.extend(names(&schema).into_iter().filter(|other| *other != name && !definitions.contains_key(other)));
        definitions.insert(name, schema);
    }
    definitions.sort_keys();
    json!({"basePath": "/v3", "paths": operations, "definitions": definitions})
}

fn operation(operation: Operation<'_>) -> Value {
    let responses = operation.statuses().into_iter().map(|status| {
        let body = operation.body_if_any(status).map(|schema| json!({"schema": without_prose(schema)}));
        (status.to_string(), body.unwrap_or_else(|| json!({})))
    });
    let security: Vec<Value> = operation.scopes().map(|scopes| json!({"any": scopes})).collect();
    json!({
        "operationId": operation.id(),
        "parameters": operation.parameters().map(parameter).collect::<Vec<_>>(),
        "responses": responses.collect::<Map<_, _>>(),
        "security": security,
    })
}

/// A parameter with what its prose says in the keys that say it elsewhere.
fn parameter(parameter: Parameter<'_>) -> Value {
    let Value::Object(mut kept) = without_prose(parameter.0) else { panic!("a parameter is an object") };
    if let Some(default) = parameter.0.get("default") {
        kept.insert("default".to_owned(), default.clone());
    }
    let choices = parameter.choices();
    if !choices.is_empty() && !parameter.is_repeated() {
        kept.insert("enum".to_owned(), json!(choices));
    }
    let format = (parameter.is_list().then_some("csv")).or(parameter.is_instant().then_some("date-time"));
    if let Some(format) = format {
        kept.insert("format".to_owned(), json!(format));
    }
    Value::Object(kept)
}

fn without_prose(schema: &Value) -> Value {
    match schema {
        Value::Object(entries) => {
            let kept = entries.iter().filter(|(key, value)| {
                // A property may have the name of a keyword.
                let is_keyword = !value.is_object();
                let is_prose = is_keyword && *key != "format" && DROPPED.contains(&key.as_str());
                !(key.starts_with("x-") || is_prose || *key == "example")
            });
            let mut kept: Map<String, Value> = kept.map(|(key, value)| (key.clone(), without_prose(value))).collect();
            // A whole number by its type that is a text by its example.
            if entries.get("type") == Some(&json!("integer")) && entries.get("example").is_some_and(Value::is_string) {
                kept.insert("example".to_owned(), json!(""));
            }
            kept.into()
        }
        Value::Array(items) => items.iter().map(without_prose).collect(),
        other => other.clone(),
    }
}

/// Names of the definitions that are referred to.
fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(entries) => {
            let own = entries.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/definitions/"));
            own.map(str::to_owned).into_iter().chain(entries.values().flat_map(names)).collect()
        }
        Value::Array(items) => items.iter().flat_map(names).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn the_kept_facts_are_those_of_the_description() {
    let Some(vendor) = Vendor::reference() else { return };
    let text = serde_json::to_string_pretty(&facts(vendor)).unwrap() + "\n";
    if env::var_os("UPDATE_CONTRACT").is_some() {
        fs::write(file(), &text).unwrap();
    }
    assert!(fs::read_to_string(file()).unwrap() == text, "UPDATE_CONTRACT=1 writes them again");
}
