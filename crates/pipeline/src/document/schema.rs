//! The JSON Schema of a pipeline file, for editors: made from the same key tables that the decoder uses, and from the
//! catalog. What it cannot say (dates that exist, a start before its end) only the decoder checks.

use ctct_catalog::{Catalog, OptionKind, Param, ParamType, Report, ReportOption};
use ctct_load::{Cloud, PartitionBy, StoreOptionKind};
use serde_json::{Map, Value, json};

use crate::document::Period;
use crate::document::dates::MAX_DAYS_BACK;
use crate::document::keys::{self, Key, Shape};
use crate::document::write::fitting;

/// The schema (draft 2020-12) of version 1 of a pipeline file, for the reports of this catalog.
pub fn schema(catalog: &Catalog) -> Value {
    let mut definitions = Map::new();
    let mut define = |name: &str, schema: Value| definitions.insert(name.to_owned(), schema);
    define(
        "env",
        object(&[("env", json!({"type": "string", "minLength": 1}))], "The value of an environment variable."),
    );
    define("text", any_of([json!({"type": "string"}), reference("env")]));
    define("secret", secret());
    define(
        "days_back",
        object(
            &[("days_back", json!({"type": "integer", "minimum": 0, "maximum": MAX_DAYS_BACK}))],
            "The day this many days before the run.",
        ),
    );
    define("date", any_of([json!({"type": "string", "pattern": DATE}), reference("days_back"), reference("env")]));
    define("moment", any_of([json!({"type": "string", "pattern": MOMENT}), reference("days_back"), reference("env")]));
    for report in catalog.reports() {
        define(&format!("report_{}", report.name), report_schema(report));
    }
    define("report", any_report(catalog));

    let mut root = mapping(keys::PIPELINE, None);
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("ctct-etl pipeline"));
    if let Some(source) = root.get_mut("properties").and_then(|properties| properties.get_mut("source")) {
        one_right(source);
    }
    root.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
const MOMENT: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$";
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
const UUID: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";

/// A mapping with the keys of a table and no others. `report` is the one whose columns it may name.
fn mapping(keys: &[Key], report: Option<&Report>) -> Map<String, Value> {
    let properties = keys.iter().map(|key| (key.name.to_owned(), described(shape(&key.shape, report), key.doc)));
    let required: Vec<&str> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties.collect()));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

fn shape(shape: &Shape, report: Option<&Report>) -> Value {
    match shape {
        Shape::Version => json!({"const": keys::VERSION}),
        Shape::Text => reference("text"),
        Shape::Name => any_of([json!({"type": "string", "pattern": NAME}), reference("env")]),
        Shape::Timezone => {
            any_of([json!({"type": "string", "examples": ["UTC", "America/New_York"]}), reference("env")])
        }
        Shape::Pattern(pattern) => any_of([json!({"type": "string", "pattern": pattern}), reference("env")]),
        Shape::Count { min, max: u64::MAX } => json!({"type": "integer", "minimum": min}),
        Shape::Count { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Shape::Rate { max } => json!({"type": "number", "exclusiveMinimum": 0, "maximum": max}),
        Shape::Choice(values) => any_of([json!({"enum": values}), reference("env")]),
        Shape::Secret => reference("secret"),
        Shape::StoreOptions => store_options(),
        Shape::Headers => json!({"type": "object", "additionalProperties": reference("secret")}),
        Shape::Mapping(keys) => Value::Object(mapping(keys, report)),
        Shape::OneKey(keys) => {
            let mut schema = mapping(keys, report);
            schema.insert("minProperties".to_owned(), json!(1));
            schema.insert("maxProperties".to_owned(), json!(1));
            Value::Object(schema)
        }
        Shape::AnyOf(shapes) => any_of(shapes.iter().map(|one| self::shape(one, report))),
        Shape::OneOrMany(one) => one_or_many(&self::shape(one, report), None),
        Shape::Reports => json!({"type": "array", "minItems": 1, "items": reference("report")}),
        Shape::Report => json!({"const": report.map(|report| &report.name)}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Share => json!({"type": "number", "minimum": 0, "maximum": 1}),
        Shape::Date => any_of([json!({"type": "string", "pattern": DATE}), reference("env")]),
        Shape::Column => column(report, PartitionBy::Column),
        Shape::HashedColumn => column(report, |column| PartitionBy::Bucket { column, count: 2 }),
        Shape::TimestampColumn => column(report, PartitionBy::Month),
    }
}

/// Options of every object store: which of them the one of the URL takes, `validate` says.
fn store_options() -> Value {
    let mut properties = Map::new();
    for option in Cloud::ALL.iter().flat_map(|cloud| cloud.options()) {
        let value = match option.kind {
            StoreOptionKind::Text => any_of([json!({"type": ["string", "number"]}), reference("env")]),
            StoreOptionKind::File => reference("text"),
            StoreOptionKind::Flag => any_of([json!({"type": "boolean"}), reference("env")]),
            StoreOptionKind::Secret => reference("secret"),
        };
        properties.entry(option.name.to_owned()).or_insert_with(|| described(value, option.doc));
    }
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// One entry of `reports`: its name decides which of the report schemas holds, so that an editor offers its options.
fn any_report(catalog: &Catalog) -> Value {
    let names: Vec<&str> = catalog.reports().map(|report| report.name.as_str()).collect();
    let docs: Vec<String> = catalog.reports().map(|report| format!("{}: {}", report.name, report.doc)).collect();
    let cases = catalog.reports().map(|report| {
        json!({
            "if": {"properties": {"report": {"const": report.name}}, "required": ["report"]},
            "then": reference(&format!("report_{}", report.name)),
        })
    });
    json!({
        "type": "object",
        "properties": {"report": {"enum": names, "description": docs.join("\n\n")}},
        "required": ["report"],
        "allOf": cases.collect::<Vec<_>>(),
    })
}

fn report_schema(report: &Report) -> Value {
    let mut schema = mapping(keys::REPORT, Some(report));
    schema.insert("description".to_owned(), json!(report.doc));
    let mut required = vec!["report"];
    let mut rules = vec![json!({
        "if": {"properties": {"write_mode": {"const": "partition"}}, "required": ["write_mode"]},
        "then": {"required": ["partition_by"]},
    })];
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for option in &report.options {
            properties.insert(option.name.clone(), option_schema(option, report));
        }
    }
    for option in report.options.iter().filter(|option| option.required && option.default.is_empty()) {
        required.push(&option.name);
    }
    for duration in report.options.iter().filter(|option| option.kind == OptionKind::Duration) {
        rules.extend(Period::ALL.map(|period| period_rule(report, &duration.name, period)));
    }
    schema.insert("required".to_owned(), json!(required));
    schema.insert("allOf".to_owned(), Value::Array(rules));
    Value::Object(schema)
}

/// A single date wants the one day, a range both ends, and neither wants the other's.
fn period_rule(report: &Report, duration: &str, period: Period) -> Value {
    let names = |wanted: bool| {
        let of_period = move |option: &&ReportOption| match option.kind {
            OptionKind::Day => (period == Period::SingleDate) == wanted,
            OptionKind::RangeStart | OptionKind::RangeEnd => (period == Period::DateRange) == wanted,
            _ => false,
        };
        report.options.iter().filter(of_period).map(|option| option.name.clone())
    };
    let forbidden: Map<String, Value> = names(false).map(|name| (name, json!(false))).collect();
    json!({
        "if": {"properties": {duration: {"const": period.name()}}, "required": [duration]},
        "then": {"required": names(true).collect::<Vec<_>>(), "properties": forbidden},
    })
}

fn option_schema(option: &ReportOption, report: &Report) -> Value {
    let param = option.params.first().and_then(|name| report.param(name));
    let values = param.map(|param| param.values.clone()).unwrap_or_default();
    let most = param.and_then(|param| param.max_items);
    let picked = |values: &[String]| any_of([json!({"enum": values}), reference("env")]);
    let mut schema = match option.kind {
        OptionKind::Ids => {
            let from =
                option.from.as_ref().map(|source| object(&[("from", json!({"const": source.report}))], &option.doc));
            let Value::Object(mut ids) = one_or_many(&value(param), most) else { return Value::Bool(true) };
            if let Some(Value::Array(forms)) = ids.get_mut("anyOf") {
                forms.extend(from);
            }
            Value::Object(ids)
        }
        OptionKind::Value => value(param),
        OptionKind::Values => one_or_many(&value(param), most),
        OptionKind::Choice => picked(&values),
        OptionKind::Choices => one_or_many(&picked(&values), most),
        OptionKind::Subresources => {
            let words: Vec<String> = ["all", "none"].map(str::to_owned).into_iter().chain(values).collect();
            one_or_many(&picked(&words), most)
        }
        OptionKind::Duration => picked(&Period::ALL.map(|period| period.name().to_owned())),
        OptionKind::Instant => reference("moment"),
        OptionKind::Day | OptionKind::RangeStart | OptionKind::RangeEnd => reference("date"),
    };
    if let (Value::Object(schema), false) = (&mut schema, option.default.is_empty()) {
        schema.insert("default".to_owned(), json!(option.default));
    }
    described(schema, &option.doc)
}

/// One value of a parameter.
fn value(param: Option<&Param>) -> Value {
    let Some(param) = param else { return reference("text") };
    let own = match (param.kind, param.format.as_deref()) {
        (_, Some("uuid")) => json!({"type": "string", "pattern": UUID}),
        (ParamType::Integer, _) => {
            let bounds = [("minimum", param.min), ("maximum", param.max)];
            let bounds = bounds.into_iter().filter_map(|(name, bound)| Some((name.to_owned(), json!(bound?))));
            let mut number: Map<String, Value> = [("type".to_owned(), json!("integer"))].into_iter().collect();
            number.extend(bounds);
            any_of([Value::Object(number), json!({"type": "string", "pattern": "^-?[0-9]+$"})])
        }
        _ => json!({"type": ["string", "number"]}),
    };
    any_of([own, reference("env")])
}

/// Exactly one way to read the account.
fn one_right(source: &mut Value) {
    if let Value::Object(source) = source {
        let rights = ["account", "access_token", "sandbox"].map(|key| json!({"required": [key]}));
        source.insert("anyOf".to_owned(), json!(rights));
        let others = json!({"properties": {"access_token": false, "base_url": false}});
        source.insert("dependentSchemas".to_owned(), json!({"sandbox": others}));
    }
}

fn secret() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    any_of([
        object(&[("env", text.clone())], "Read from an environment variable when the run starts."),
        object(&[("file", text)], "Read from a file when the run starts."),
    ])
}

fn column(report: Option<&Report>, partition: impl Fn(String) -> PartitionBy) -> Value {
    let columns = report.map(|report| fitting(report, partition)).unwrap_or_default();
    any_of([json!({"enum": columns}), reference("env")])
}

fn one_or_many(one: &Value, most: Option<usize>) -> Value {
    let mut list = json!({"type": "array", "minItems": 1, "uniqueItems": true, "items": one});
    if let (Value::Object(list), Some(most)) = (&mut list, most) {
        list.insert("maxItems".to_owned(), json!(most));
    }
    any_of([one.clone(), list])
}

fn object(required: &[(&str, Value)], doc: &str) -> Value {
    let properties: Map<String, Value> =
        required.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    json!({
        "type": "object",
        "description": doc,
        "properties": properties,
        "required": names,
        "additionalProperties": false,
    })
}

fn described(mut schema: Value, doc: &str) -> Value {
    if let Value::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), json!(doc));
    }
    schema
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// Any of these; forms of forms are laid side by side, which reads better in an editor.
fn any_of(forms: impl IntoIterator<Item = Value>) -> Value {
    let mut flat = Vec::new();
    for form in forms {
        match form {
            Value::Object(mut form) if form.len() == 1 && form.contains_key("anyOf") => {
                if let Some(Value::Array(inner)) = form.remove("anyOf") {
                    flat.extend(inner);
                }
            }
            form => flat.push(form),
        }
    }
    json!({"anyOf": flat})
}

#[cfg(test)]
mod tests;
