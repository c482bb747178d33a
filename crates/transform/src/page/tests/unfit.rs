//! Every column of every report against values that do not fit it, and text that is not Unicode: the record lands.

use ctct_catalog::FieldType;

use super::*;
use crate::parse_timestamp;

/// Stands for the value that is tried, in the record that has every field.
const HERE: &str = "@here@";

/// JSON texts that fit no column of this kind, members sorted.
fn unfit(kind: FieldType) -> &'static [&'static str] {
    match kind {
        FieldType::Timestamp => &[
            r#""01/02/2024""#,
            r#""20240102""#,
            r#""2024-02-30""#,
            r#""24-01-02""#,
            r#""Mon, 06 Nov 1994 08:49:37 GMT""#,
            r#""June""#,
            "true",
            "5",
            "20240102",
            "-1767225600",
            "1e400",
            "{}",
            r#"{"a":["2026-01-31"],"b":null}"#,
            "[]",
            r#"["2026-01-31"]"#,
        ],
        FieldType::Integer => &[
            "1.5",
            r#""1.5""#,
            r#""June""#,
            "true",
            "9223372036854775808",
            "1e400",
            r#""NaN""#,
            "{}",
            "[]",
            r#"[1,{"a":[1.50]}]"#,
        ],
        FieldType::Number => {
            &[r#""x""#, "true", "1e400", "-1e400", r#""NaN""#, r#""inf""#, "{}", "[]", "[1.50]", r#"{"a":1}"#]
        }
        FieldType::Boolean => &["1", "0", r#""yes""#, r#""TRUE""#, "1.0", "{}", "[]", "[true]", r#"{"a":true}"#],
        FieldType::Id | FieldType::String => &["{}", r#"{"a":{"b":[]},"c":"x"}"#, "[]", r#"["a","b"]"#, "[null]"],
        FieldType::Object => &[r#""x@y""#, r#""""#, "1", "1.50", "true", "[]", r#"[{"address":"x@y"}]"#],
        FieldType::List => &[r#""x""#, r#""""#, "1", "false", "{}", r#"{"tag_id":"x"}"#],
    }
}

/// JSON texts that fit no element of a list of objects.
const NOT_AN_OBJECT: &[&str] = &[r#""x""#, r#""""#, "1.50", "true", "[]", r#"[{"kind":"x"}]"#];

fn valid(field: &Field) -> Value {
    match (field.kind, &field.item) {
        (FieldType::Object, _) => record(&field.fields),
        (FieldType::List, Some(item)) => json!([valid(item)]),
        (FieldType::List, None) => json!([record(&field.fields)]),
        (FieldType::Timestamp, _) => json!("2026-01-31T10:20:30Z"),
        (FieldType::Integer | FieldType::Number, _) => json!(7),
        (FieldType::Boolean, _) => json!(true),
        _ => json!("text"),
    }
}

fn record(fields: &[Field]) -> Value {
    Value::Object(
        fields.iter().filter(|field| field.bound.is_none()).map(|field| (field.name.clone(), valid(field))).collect(),
    )
}

/// A place in a record: keys, and `None` for the one element of a list.
type Path = Vec<Option<String>>;

/// Every place of a record that is not required, with the values that do not fit there.
fn places(fields: &[Field], above: &Path, found: &mut Vec<(Path, FieldType, &'static [&'static str])>) {
    for field in fields.iter().filter(|field| field.bound.is_none()) {
        let mut path = above.clone();
        path.push(Some(field.name.clone()));
        if !field.required {
            found.push((path.clone(), field.kind, unfit(field.kind)));
        }
        match (field.kind, &field.item) {
            (FieldType::Object, _) => places(&field.fields, &path, found),
            (FieldType::List, Some(item)) => {
                path.push(None);
                found.push((path, item.kind, unfit(item.kind)));
            }
            (FieldType::List, None) => {
                path.push(None);
                found.push((path.clone(), FieldType::Object, NOT_AN_OBJECT));
                places(&field.fields, &path, found);
            }
            _ => {}
        }
    }
}

/// The record with [`HERE`] at the place.
fn with_mark(fields: &[Field], path: &Path) -> Value {
    let mut record = record(fields);
    let mut at = &mut record;
    for step in path {
        at = match step {
            Some(key) => &mut at[key.as_str()],
            None => &mut at[0],
        };
    }
    *at = json!(HERE);
    record
}

/// The body of a page of these records.
fn body(report: &Report, records: &[Value]) -> String {
    match &report.rows {
        Some(rows) => json!({rows.as_str(): records}).to_string(),
        None => records[0].to_string(),
    }
}

fn decode_of(decoder: &PageDecoder, body: &[u8]) -> DecodedPage {
    let fields = decoder.report.columns.iter();
    let value = |field: &Field| if field.kind == FieldType::Timestamp { "2026-01-01T00:00:00Z" } else { "x" };
    let bound: Vec<_> = fields.filter_map(|field| Some((field.bound.clone()?, value(field).to_owned()))).collect();
    let page = decoder.decode(&PageInput { body, bound: &bound, extracted_at: arrived(), commit: COMMIT });
    let page = page.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(body)));
    assert_schemas(decoder, &page);
    page
}

/// The table whose rows keep what is left over at the place, and the keys within such a row. An element of a list is kept
/// by the row that holds the list.
fn holder(report: &Report, path: &Path) -> (usize, Vec<String>) {
    let is_element = path.last() == Some(&None);
    let steps = path.get(..path.len() - usize::from(is_element)).unwrap();
    let last = steps.iter().rposition(Option::is_none).map_or(0, |last| last + 1);
    let (above, below) = steps.split_at(last);
    let mut rows_of = String::new();
    for step in above {
        match step {
            Some(key) if rows_of.is_empty() => rows_of = key.clone(),
            Some(key) => rows_of = format!("{rows_of}.{key}"),
            None => rows_of += "[]",
        }
    }
    let table = report.tables().iter().position(|table| table.path == rows_of).unwrap();
    (table, below.iter().flatten().cloned().collect())
}

fn dotted(path: &Path) -> String {
    path.iter().flatten().cloned().collect::<Vec<_>>().join(".")
}

fn decoders() -> Vec<PageDecoder> {
    let catalog = Catalog::embedded().unwrap();
    catalog.reports().map(|report| PageDecoder::new(Arc::clone(report))).chain([sixth()]).collect()
}

#[test]
fn a_value_that_does_not_fit_is_kept_beside_its_row_in_every_column_of_every_report() {
    for decoder in decoders() {
        let report = &decoder.report;
        let mut all = Vec::new();
        places(&report.columns, &Vec::new(), &mut all);
        for (path, _, values) in all {
            let marked = body(report, &[with_mark(&report.columns, &path), record(&report.columns)]);
            for value in values {
                let text = marked.replace(&format!("\"{HERE}\""), value);
                let page = decode_of(&decoder, text.as_bytes());
                let what = format!("{} {path:?} {value}", report.name);
                assert!(page.dead_letters.is_empty(), "{what}");
                assert_eq!(page.drift, [(dotted(&path), 1)].into(), "{what}");
                let records = if report.rows.is_some() { 2 } else { 1 };
                assert_eq!(page.tables[0].batch.num_rows(), records, "{what}");

                let (table, keys) = holder(report, &path);
                let value = if path.last() == Some(&None) { format!("[{value}]") } else { (*value).to_owned() };
                let kept = keys.iter().rev().fold(value, |inside, key| format!("{{\"{key}\":{inside}}}"));
                for (index, rows_of) in page.tables.iter().enumerate() {
                    let extras: Vec<Value> =
                        rows(rows_of).iter().filter_map(|row| row.get("_extra").cloned()).collect();
                    let expected = if index == table { vec![json!(kept)] } else { Vec::new() };
                    assert_eq!(extras, expected, "{what}");
                }
                // The other record is complete.
                if report.rows.is_some() {
                    let alone = decode_of(&decoder, body(report, &[record(&report.columns)]).as_bytes());
                    for (both, alone) in page.tables.iter().zip(&alone.tables) {
                        let last = |table: &TableRows| rows(table).pop();
                        assert_eq!(last(both), last(alone), "{what}");
                    }
                }
            }
        }
    }
}

/// Raw bytes and escapes that are no Unicode text, and the same with U+FFFD.
const ODD: &[(&[u8], &str)] = &[
    (b"\xe9", "\u{FFFD}"),
    (b"a\xffb\xfe", "a\u{FFFD}b\u{FFFD}"),
    (b"\xed\xa0\xbd", "\u{FFFD}\u{FFFD}\u{FFFD}"),
    (b"\xf0\x9f\xa6", "\u{FFFD}"),
    (br"\ud83d", "\u{FFFD}"),
    (br"x\uDC00y", "x\u{FFFD}y"),
    (br"\udc00\ud83d", "\u{FFFD}\u{FFFD}"),
    (br"\ud83d\ud83d\ude00", "\u{FFFD}\u{1F600}"),
    (br"\ud83d\u0041", "\u{FFFD}A"),
    (br"\ud83d\\udc00", "\u{FFFD}\\udc00"),
    (br"\ud83d\n", "\u{FFFD}\n"),
];

fn replaced(body: &str, odd: &[u8]) -> Vec<u8> {
    let (before, after) = body.split_once(HERE).unwrap();
    [before.as_bytes(), odd, after.as_bytes()].concat()
}

#[test]
fn text_that_is_not_unicode_lands_in_every_column_of_every_report() {
    for decoder in decoders() {
        let report = &decoder.report;
        let mut all = Vec::new();
        places(&report.columns, &Vec::new(), &mut all);
        for (index, (path, kind, _)) in all.into_iter().enumerate() {
            let marked = body(report, &[with_mark(&report.columns, &path), record(&report.columns)]);
            for (odd, good) in ODD.iter().cycle().skip(index).take(2) {
                let page = decode_of(&decoder, &replaced(&marked, odd));
                let what = format!("{} {path:?} {good}", report.name);
                assert!(page.dead_letters.is_empty(), "{what}");
                assert_eq!(page.drift, [(dotted(&path), 1)].into(), "{what}");
                // The same page with U+FFFD from the start, which only does not count as odd where it fits.
                let clean = marked.replace(&format!("\"{HERE}\""), &json!(good).to_string());
                let clean = decode_of(&decoder, clean.as_bytes());
                let is_text = matches!(kind, FieldType::Id | FieldType::String);
                assert_eq!(clean.drift.is_empty(), is_text, "{what}");
                for (table, clean) in page.tables.iter().zip(&clean.tables) {
                    assert_eq!(rows(table), rows(clean), "{what}");
                }
            }
        }
    }
}

#[test]
fn text_that_is_not_unicode_is_found_anywhere_in_a_page() {
    let decoder = decoder("contacts");
    let good = r#"{"contact_id":"good","first_name":"\ud83e\udd80","taggings":["t"]}"#;
    for (odd, text) in ODD {
        let page =
            |record: &str| decode_of(&decoder, &replaced(&format!(r#"{{"contacts":[{good},{record},{good}]}}"#), odd));
        let extra = |page: &DecodedPage| rows(&page.tables[0])[1].get("_extra").cloned();
        let key = json!(text).to_string();
        let shown = text;

        let unknown = page(r#"{"contact_id":"c","loyalty":{"z":["@here@"],"a":1}}"#);
        assert_eq!(extra(&unknown), Some(json!(format!(r#"{{"loyalty":{{"a":1,"z":[{key}]}}}}"#))));
        assert_eq!(unknown.drift, [("loyalty".to_owned(), 1)].into());

        let unknown_key = page(r#"{"contact_id":"c","@here@":1,"first_name":"x"}"#);
        assert_eq!(extra(&unknown_key), Some(json!(format!("{{{key}:1}}"))));
        assert_eq!(unknown_key.drift, [((*shown).to_owned(), 1)].into());
        assert_eq!(rows(&unknown_key.tables[0])[1]["first_name"], json!("x"));

        let nested_key = page(r#"{"contact_id":"c","email_address":{"@here@":[],"address":"a"}}"#);
        assert_eq!(nested_key.drift, [(format!("email_address.{shown}"), 1)].into());

        let bad_key = page(r#"{"contact_id":"@here@","updated_at":"2026-01-02T00:00:00Z","taggings":["x"]}"#);
        assert_eq!(rows(&bad_key.tables[0]).len(), 2);
        assert!(bad_key.drift.is_empty(), "{:?}", bad_key.drift);
        let [letter] = bad_key.dead_letters.as_slice() else { panic!("one dead letter") };
        assert_eq!((letter.index, letter.reason.as_str()), (1, "contact_id: text that is not Unicode"));
        assert_eq!(letter.changed_at, parse_timestamp("2026-01-02"));
        assert!(serde_json::from_str::<Value>(&letter.record).is_ok());

        let dead_anyway = page(r#"{"first_name":"@here@"}"#);
        assert_eq!((dead_anyway.dead_letters.len(), dead_anyway.drift.len()), (1, 0));

        let envelope = replaced(&format!(r#"{{"contacts":[{good}],"status":"@here@","contacts_count":1}}"#), odd);
        assert_eq!(decode_of(&decoder, &envelope).drift, [("status".to_owned(), 1)].into());
        let links = replaced(&format!(r#"{{"_links":{{"self":{{"@here@":"x"}}}},"contacts":[{good}]}}"#), odd);
        assert_eq!(decode_of(&decoder, &links).drift, [("_links".to_owned(), 1)].into());
        let unknown = replaced(&format!(r#"{{"more":["@here@"],"contacts":[{good}]}}"#), odd);
        assert_eq!(decode_of(&decoder, &unknown).drift, [("more".to_owned(), 1)].into());

        for no_json in [
            r#"{"contacts":[@here@]}"#,
            r#"{"contacts":[{"contact_id":"@here@"]}"#,
            r#"{"contacts":[{"contact_id":"@here@",}]}"#,
        ] {
            let body = replaced(no_json, odd);
            let refused = decode(&decoder, &body).expect_err(&String::from_utf8_lossy(&body));
            assert!(matches!(refused, TransformError::NotJson { .. }), "{refused}");
        }
    }
}

#[test]
fn several_odd_texts_count_by_object() {
    let body = r#"{"contacts":[
        {"contact_id":"a","taggings":["\ud83d","t","\ud83d"],"phone_numbers":[{"kind":"@"},null,{"kind":"@","phone_number":"@"}]},
        {"contact_id":"b","taggings":["\ud83d"],"first_name":"\ud83d"},
        {"contact_id":"","first_name":"\ud83d"}]}"#;
    let body: Vec<u8> = body.bytes().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    let page = decode_of(&decoder("contacts"), &body);
    let drift = [("taggings", 2), ("phone_numbers.kind", 2), ("phone_numbers.phone_number", 1), ("first_name", 1)];
    assert_eq!(page.drift, drift.map(|(path, count)| (path.to_owned(), count)).into());
    assert_eq!(page.dead_letters.len(), 1);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_page() {
    let decoder = decoder("contacts");
    let body = [b"\xEF\xBB\xBF".as_slice(), br#"{"contacts":[{"contact_id":"c","first_name":"n"}]}"#].concat();
    let page = decode_of(&decoder, &body);
    assert_eq!((page.tables[0].batch.num_rows(), page.drift.len()), (1, 0));
    assert!(decode(&decoder, b"\xEF\xBB\xBF").is_err());
}

#[test]
fn elements_that_make_no_row_leave_the_others_in_their_place() {
    let decoder = sixth();
    let body = r#"{"thing_id":"t","parts":[1,{"part_id":"p","sizes":[1,"x",null,{"b":1,"a":2},"4"]},"x",{"part_id":"q"},null],
        "outer":{"inner":{"days":["June","2026-01-31"]}}}"#;
    let page = decode(&decoder, body).unwrap();
    insta::assert_snapshot!(shown(&decoder, &page));
}

#[test]
fn a_list_that_was_asked_for_and_did_not_come_is_absent() {
    let decoder = decoder("contacts");
    let body = r#"{"contacts":[
        {"contact_id":"a","taggings":[],"custom_fields":[{"custom_field_id":"f"}],"notes":[1]},
        {"first_name":"a dead letter"},
        {"contact_id":"b","taggings":null,"custom_fields":"x"},
        {"contact_id":"c","notes":[null]}]}"#;
    let absent = |include: &str| {
        let bound = [("include".to_owned(), include.to_owned()), ("limit".to_owned(), "500".to_owned())];
        let input = PageInput { body: body.as_bytes(), bound: &bound, extracted_at: arrived(), commit: COMMIT };
        let page = decoder.decode(&input).unwrap();
        let tables = decoder.report.tables().iter().zip(page.tables);
        let absent = tables.filter(|(_, rows)| !rows.absent.is_empty());
        absent
            .map(|(table, rows)| (table.name.trim_start_matches("contacts_").to_owned(), rows.absent))
            .collect::<Vec<_>>()
    };
    let named = |names: &[(&str, &[u32])]| {
        names.iter().map(|(name, rows)| ((*name).to_owned(), rows.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(absent(""), named(&[]));
    assert_eq!(absent("taggings"), named(&[("taggings", &[1, 2])]));
    assert_eq!(
        absent("notes,custom_fields"),
        named(&[("custom_fields", &[1, 2]), ("custom_fields_choice_ids", &[1, 2]), ("notes", &[1])])
    );
    assert_eq!(absent("list_memberships"), named(&[("list_memberships", &[0, 1, 2])]));
    let unasked = decode(&decoder, body).unwrap();
    assert!(unasked.tables.iter().all(|table| table.absent.is_empty()));
}

/// The value with its keys the other way round at every level.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().rev().map(|(key, value)| (key.clone(), reversed(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

#[test]
fn the_order_of_keys_changes_nothing() {
    let record = json!({"contact_id": "c", "zip": {"b": [{"y": 1, "x": {}}], "a": null}, "first_name": ["z", {"q": 1, "p": 2}],
        "email_address": {"zip": 1, "address": {"d": 1, "c": 2}, "foo": {"n": 1, "m": 2}}, "alpha": 1, "taggings": ["t", {"k": 1, "j": 2}],
        "sms_channel": {"sms_channel_consents": [5], "beta": {"w": 1, "v": 2}}, "phone_numbers": [{"kind": [], "b": 1, "a": 2}]});
    let decoder = decoder("contacts");
    let page = |record: &Value| decoded(&decoder, &json!({"contacts": [record]}));
    let one_way = page(&record);
    assert_eq!(shown(&decoder, &one_way), shown(&decoder, &page(&reversed(&record))));
    insta::assert_snapshot!(rows(&one_way.tables[0])[0]["_extra"].as_str().unwrap());

    // Duplicate keys stay in their order, numbers as they were sent.
    let body = r#"{"contacts":[{"contact_id":"c","b":1.50,"a":{"k":2,"j":0,"k":1e2},"b":-0}]}"#;
    let page = decode(&decoder, body).unwrap();
    assert_eq!(rows(&page.tables[0])[0]["_extra"], json!(r#"{"a":{"j":0,"k":2,"k":1e2},"b":1.50,"b":-0}"#));
}

#[test]
fn a_dead_letter_tells_when_its_record_last_changed() {
    let decoder = decoder("contacts");
    let changed = |record: &str| {
        let page = decode(&decoder, format!(r#"{{"contacts":[{record}]}}"#)).unwrap();
        let [letter] = page.dead_letters.as_slice() else { panic!("one dead letter") };
        letter.changed_at
    };
    for (record, instant) in [
        (r#"{"updated_at":"2026-01-02"}"#, Some("2026-01-02")),
        (
            r#"{"updated_at":"2026-01-02","email_address":{"updated_at":"2026-01-04","opt_out_date":"2026-01-03"}}"#,
            Some("2026-01-04"),
        ),
        (r#"{"updated_at":1767225600,"email_address":{"opt_out_date":"June"}}"#, Some("2026-01-01")),
        (r#"{"updated_at":["2026-01-02"],"email_address":"x@y"}"#, None),
        (r#"{"created_at":"2026-01-02"}"#, None),
        ("{}", None),
        ("null", None),
        ("5", None),
        (r#"[{"updated_at":"2026-01-02"}]"#, None),
    ] {
        assert_eq!(changed(record), instant.and_then(parse_timestamp), "{record}");
    }
}
