//! Every report of the catalogue against the operation that it names: its parameters, its envelope, its columns.

use std::collections::BTreeSet;

use ctct_catalog::{Catalog, Field, FieldType, OptionKind, Param, ParamPlace, ParamType, Report};
use serde_json::Value;

use crate::parameter::Parameter;
use crate::vendor::{Operation, Vendor};

/// Parameters of the vendor's that the catalogue leaves out, and why.
const LEFT_OUT: [(&str, &str); 1] = [
    // `tracking_activities_list` says the same in one value, and the two exclude each other.
    ("contact_activity_details", "tracking_activity_type"),
];

/// Parameters that the catalogue requires and the vendor's description does not, and why.
const REQUIRED_BY_US: [(&str, &str); 1] = [
    // One of it and `tracking_activity_type` is required (vendor's prose), and the other is left out.
    ("contact_activity_details", "tracking_activities_list"),
];

/// Does something with every report and its operation.
fn for_every_report(check: impl Fn(&Vendor, &Report, Operation<'_>)) {
    let vendor = Vendor::facts();
    let catalog = Catalog::embedded().unwrap();
    for report in catalog.reports() {
        let path = &report.path;
        check(vendor, report, vendor.operation(path).unwrap_or_else(|| panic!("the vendor has no GET {path}")));
    }
}

/// The schema of a property of the response's envelope.
fn envelope<'a>(vendor: &'a Vendor, operation: Operation<'a>, key: &str) -> Option<&'a Value> {
    Some(vendor.resolve(vendor.resolve(operation.body(200)).get("properties")?.get(key)?))
}

#[test]
fn a_report_names_its_operation_and_the_scope_that_opens_it() {
    for_every_report(|_, report, operation| {
        assert_eq!(report.operation, operation.id(), "{}", report.name);
        let ways: Vec<_> = operation.scopes().collect();
        assert!(!ways.is_empty());
        assert!(ways.iter().all(|scopes| *scopes == [report.scope.as_str()]), "{}: {ways:?}", report.name);
    });
}

#[test]
fn the_parameters_are_those_of_the_vendor() {
    for_every_report(|_, report, operation| {
        let ours = report.params.iter().map(|param| param.name.as_str());
        let left_out = LEFT_OUT.iter().filter(|(name, _)| *name == report.name).map(|(_, param)| *param);
        let known: BTreeSet<&str> = ours.chain(left_out).collect();
        let theirs: BTreeSet<&str> = operation.parameters().map(Parameter::name).collect();
        assert_eq!(known, theirs, "{}", report.name);
    });
}

#[test]
fn a_parameter_takes_what_the_vendor_says() {
    for_every_report(|_, report, operation| {
        for param in &report.params {
            let what = format!("{}: parameter {}", report.name, param.name);
            let theirs = operation.parameter(&param.name).unwrap_or_else(|| panic!("{what} is none of the vendor's"));
            let place = match param.place {
                ParamPlace::Query => "query",
                ParamPlace::Path => "path",
            };
            assert_eq!(place, theirs.place(), "{what}");
            let required_by_us = REQUIRED_BY_US.contains(&(report.name.as_str(), param.name.as_str()));
            assert_eq!(param.required, theirs.is_required() || required_by_us, "{what}");
            assert!(has_type_of(param, theirs), "{what}: {:?} for {}", param.kind, theirs.0);
            let values: BTreeSet<&str> = param.values.iter().map(String::as_str).collect();
            assert_eq!(values, theirs.choices().into_iter().collect(), "{what}");
            assert_eq!(param.max_items, theirs.most_items(), "{what}");
            if let Some(most) = theirs.maximum() {
                assert!(param.max.is_some_and(|ours| ours <= most), "{what}: more than {most}");
            }
            if let Some(least) = theirs.minimum() {
                assert_eq!(param.min, Some(least), "{what}");
            }
            if let Some(send) = &param.send {
                assert_eq!(theirs.complaint(send), None, "{what}");
            }
        }
    });
}

fn has_type_of(param: &Param, theirs: Parameter<'_>) -> bool {
    match param.kind {
        ParamType::Boolean => theirs.is_boolean(),
        // A segment's id is typed as a text; the segments themselves have whole numbers for ids.
        ParamType::Integer => theirs.is_number() || param.name == "segment_id",
        ParamType::Timestamp => theirs.is_instant(),
        ParamType::Choice => !theirs.choices().is_empty() && !theirs.is_list(),
        ParamType::Csv => theirs.is_list(),
        ParamType::String => {
            theirs.choices().is_empty() && !theirs.is_list() && !theirs.is_instant() && !theirs.is_number()
        }
    }
}

/// The vendor's prose names the most rows of a page, and is stricter than the schema in one place. Where it names none
/// (segments), the default is the largest page that the API is known to take.
#[test]
fn the_page_size_is_what_the_vendors_prose_allows() {
    if Vendor::reference().is_none() {
        return;
    }
    for_every_report(|_, report, operation| {
        let limit = report.paging.as_ref().and_then(|paging| paging.limit.as_ref());
        let theirs = operation.parameters().find(|parameter| parameter.name() == "limit");
        assert_eq!(limit.is_some(), theirs.is_some(), "{}", report.name);
        if let (Some(limit), Some(theirs)) = (limit, theirs) {
            assert_eq!(limit.param, "limit", "{}", report.name);
            assert_eq!(theirs.default(), Some(limit.default.to_string()), "{}", report.name);
            let words = theirs.prose().split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
            let mut largest: Vec<String> = words.map(str::to_owned).collect();
            if largest.is_empty() {
                largest.extend(theirs.default());
            }
            assert!(largest.contains(&limit.max.to_string()), "{}: {} of {largest:?}", report.name, limit.max);
            assert_eq!(report.param("limit").unwrap().max, Some(i64::from(limit.max)), "{}", report.name);
        }
    });
}

#[test]
fn the_envelope_is_the_vendors() {
    for_every_report(|vendor, report, operation| {
        let Some(rows) = &report.rows else { return };
        let paging = report.paging.as_ref();
        let links = paging.and_then(|paging| paging.next.split('.').next());
        let fields = report.envelope.iter().map(|field| field.name.as_str());
        let ours: BTreeSet<&str> = fields.chain([rows.as_str()]).chain(links).collect();
        let body = vendor.resolve(operation.body(200));
        let theirs: BTreeSet<&str> = body["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(ours, theirs, "{}", report.name);
        for field in &report.envelope {
            assert_has_type(vendor, &report.name, field, envelope(vendor, operation, &field.name).unwrap());
        }
        if let Some(paging) = paging {
            let link = paging.next.split('.').fold(body, |schema, key| vendor.resolve(&schema["properties"][key]));
            assert_eq!(link["type"], "string", "{}: the link at {}", report.name, paging.next);
        }
        if let Some(count) = &report.count {
            assert!(operation.parameter(&count.param).is_some_and(Parameter::is_boolean), "{}", report.name);
            assert_eq!(envelope(vendor, operation, &count.field).unwrap()["type"], "integer", "{}", report.name);
        }
    });
}

#[test]
fn the_columns_are_every_property_of_a_row() {
    for_every_report(|vendor, report, operation| {
        let row = match &report.rows {
            Some(rows) => &envelope(vendor, operation, rows).unwrap()["items"],
            None => operation.body(200),
        };
        for field in report.columns.iter().filter(|field| field.bound.is_some()) {
            let param = field.bound.as_deref().unwrap();
            assert!(operation.parameter(param).is_some(), "{}: {} repeats {param}", report.name, field.name);
        }
        let sent: Vec<&Field> = report.columns.iter().filter(|field| field.bound.is_none()).collect();
        assert_has_fields(vendor, &report.name, &sent, row);
    });
}

fn assert_has_fields(vendor: &Vendor, place: &str, fields: &[&Field], schema: &Value) {
    let properties = vendor.resolve(schema)["properties"].as_object().unwrap_or_else(|| panic!("{place}: no object"));
    let ours: BTreeSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(ours, properties.keys().map(String::as_str).collect(), "{place}");
    for field in fields {
        assert_has_type(vendor, place, field, &properties[&field.name]);
    }
}

fn assert_has_type(vendor: &Vendor, place: &str, field: &Field, schema: &Value) {
    let place = format!("{place}.{}", field.name);
    let schema = vendor.resolve(schema);
    let (kind, format) = (schema["type"].as_str().unwrap(), schema.get("format").and_then(Value::as_str));
    let fits = match field.kind {
        // Ids of campaigns and accounts have no format. Those of a field's choices are typed as whole numbers there, as
        // texts with the contacts, and the example is a text.
        FieldType::Id if field.name == "choice_id" && kind == "integer" => schema["example"].is_string(),
        FieldType::Id => kind == "string" && (format == Some("uuid") || field.name.ends_with("_id")),
        FieldType::String => kind == "string" && format.is_none(),
        FieldType::Timestamp => kind == "string" && matches!(format, Some("date-time" | "date")),
        FieldType::Integer => kind == "integer",
        FieldType::Number => kind == "number",
        FieldType::Boolean => kind == "boolean",
        FieldType::Object => kind == "object",
        FieldType::List => kind == "array",
    };
    assert!(fits, "{place}: {:?} for {kind} {format:?}", field.kind);
    match (field.kind, field.item.as_deref()) {
        (FieldType::Object, _) => assert_has_fields(vendor, &place, &field.fields.iter().collect::<Vec<_>>(), schema),
        (FieldType::List, Some(item)) => assert_has_type(vendor, &place, item, &schema["items"]),
        (FieldType::List, None) => {
            assert_has_fields(vendor, &place, &field.fields.iter().collect::<Vec<_>>(), &schema["items"]);
        }
        _ => {}
    }
}

/// What has to be asked for is marked so, and nothing else.
#[test]
fn the_subresources_are_what_the_vendor_includes_on_request() {
    for_every_report(|_, report, operation| {
        let option = report.options.iter().find(|option| option.kind == OptionKind::Subresources);
        let asked = option.map(|option| operation.parameter(&option.params[0]).unwrap().choices()).unwrap_or_default();
        let marked = report.columns.iter().filter(|field| field.subresource).map(|field| field.name.as_str());
        assert_eq!(marked.collect::<BTreeSet<_>>(), asked.into_iter().collect(), "{}", report.name);
    });
}
