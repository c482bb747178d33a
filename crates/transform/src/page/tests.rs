//! Complete pages: what lands, what does not, and what is not a page.

mod model;
mod unfit;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_schema::DataType;
use chrono::{DateTime, SecondsFormat, Utc};
use ctct_catalog::Catalog;
use serde_json::{Map, Value, json};

use super::*;
use crate::TableRows;

const COMMIT: i64 = 7;

fn decoder(report: &str) -> PageDecoder {
    let catalog = Catalog::embedded().expect("the embedded catalog");
    PageDecoder::new(Arc::clone(catalog.get(report).expect("an embedded report")))
}

/// A report with what the embedded ones lack: no list of rows, an object in a list, a list in an object in a list,
/// lists of bare values of other types than text, and every scalar type.
const SIXTH: &str = "
report: sixth
operation: getSixth
doc: A sixth report.
path: /sixth
scope: contact_data
key: [thing_id]
columns:
  - {name: thing_id, type: id, required: true, doc: Id.}
  - {name: weight, type: number, doc: Weight.}
  - name: outer
    type: object
    doc: Object.
    fields:
      - {name: flag, type: boolean, doc: Flag.}
      - name: inner
        type: object
        doc: Object in an object.
        fields:
          - {name: count, type: integer, doc: Count.}
          - {name: days, type: list, item: {name: day, type: timestamp, doc: Day.}, doc: List in objects.}
  - name: parts
    type: list
    key: [part_id]
    doc: List.
    fields:
      - {name: part_id, type: id, doc: Id.}
      - name: maker
        type: object
        doc: Object in a list.
        fields:
          - {name: since, type: timestamp, doc: Since.}
          - name: sites
            type: list
            doc: List in an object in a list.
            fields:
              - {name: part_id, type: id, doc: The part again.}
              - {name: city, type: string, doc: City.}
      - {name: sizes, type: list, item: {name: size, type: integer, doc: Size.}, doc: List in a list.}
";

fn sixth() -> PageDecoder {
    let catalog =
        Catalog::embedded().and_then(|catalog| catalog.with_file("sixth.yaml", SIXTH)).expect("a sixth report");
    PageDecoder::new(Arc::clone(catalog.get("sixth").expect("the sixth report")))
}

fn arrived() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).expect("an instant")
}

fn decode(decoder: &PageDecoder, body: impl AsRef<[u8]>) -> Result<DecodedPage, TransformError> {
    decoder.decode(&PageInput { body: body.as_ref(), bound: &[], extracted_at: arrived(), commit: COMMIT })
}

fn decoded(decoder: &PageDecoder, body: &Value) -> DecodedPage {
    let page = decode(decoder, body.to_string()).expect("a page");
    assert_schemas(decoder, &page);
    page
}

fn assert_schemas(decoder: &PageDecoder, page: &DecodedPage) {
    let expected: Vec<_> = decoder.report.tables().iter().map(|table| Arc::clone(&table.schema)).collect();
    let schemas: Vec<_> = page.tables.iter().map(|table| table.batch.schema()).collect();
    assert_eq!(schemas, expected);
}

/// The rows of a table as JSON, nulls left out, timestamps as text.
fn rows(table: &TableRows) -> Vec<Value> {
    let value = |column: &dyn Array, row: usize| match column.data_type() {
        DataType::Utf8View => json!(column.as_string_view().value(row)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => json!(column.as_boolean().value(row)),
        _ => {
            let instant = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let instant = DateTime::from_timestamp_micros(instant).expect("an instant");
            json!(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
    };
    let schema = table.batch.schema();
    let row = |row: usize| {
        let columns = schema.fields().iter().zip(table.batch.columns());
        let present = columns.filter(|(_, column)| column.is_valid(row));
        Value::Object(present.map(|(field, column)| (field.name().clone(), value(column, row))).collect())
    };
    (0..table.batch.num_rows()).map(row).collect()
}

/// A page as text: each table's rows, then dead letters and drift. Constant columns are left out.
fn shown(decoder: &PageDecoder, page: &DecodedPage) -> String {
    let mut lines = Vec::new();
    for (table, layout) in page.tables.iter().zip(decoder.report.tables()) {
        lines.push(layout.name.clone());
        for (index, mut row) in rows(table).into_iter().enumerate() {
            if let Some(row) = row.as_object_mut() {
                assert_eq!(row.remove("_commit"), Some(json!(COMMIT)));
                assert_eq!(row.remove("_extracted_at"), Some(json!("2026-01-01T00:00:00Z")));
            }
            let parent = table.parent_rows.as_ref().map(|rows| format!("{} <- ", rows.value(index)));
            lines.push(format!("  {}{row}", parent.unwrap_or_default()));
        }
    }
    lines.push(format!("dead letters {:?}", page.dead_letters));
    lines.push(format!("drift {:?}", page.drift));
    lines.join("\n")
}

/// A contact with every field of the catalog, and one with as little as the API ever sends.
fn contacts() -> Value {
    json!({
        "contacts": [
            {
                "contact_id": "c-1",
                "email_address": {"address": "ann@example.com", "permission_to_send": "implicit",
                    "created_at": "2025-03-01T10:00:00Z", "updated_at": "2025-03-01T05:00:00-05:00",
                    "opt_in_source": "Contact", "opt_in_date": "2025-03-01T10:00:00.000Z", "opt_out_source": "Account",
                    "opt_out_date": "2025-03-02T10:00:00.521+0000", "opt_out_reason": "none", "confirm_status": "off"},
                "first_name": "Ann \u{1F980}", "last_name": "nul \u{0} nul", "job_title": "", "company_name": 42,
                "birthday_month": 12, "birthday_day": "31", "anniversary": "2006-11-15", "update_source": "Account",
                "create_source": "Account", "created_at": "2025-01-02T03:04:05Z", "updated_at": "2025-01-03 03:04:05 -0800",
                "deleted_at": "2026-01-31",
                "custom_fields": [
                    {"custom_field_id": "f-1", "value": "blue", "choice_ids": [1, "2"]},
                    {"custom_field_id": "f-2", "value": true},
                ],
                "phone_numbers": [{"phone_number_id": "p-1", "phone_number": "555", "kind": "home",
                    "created_at": "2025-01-02T03:04:05Z", "updated_at": "", "update_source": null, "create_source": "Contact"}],
                "street_addresses": [null, {"street_address_id": "s-1", "kind": "work", "street": "1 Main", "city": "Waltham",
                    "state": "MA", "postal_code": "02451", "country": "US", "created_at": "2025-01-02T03:04:05Z"}],
                "list_memberships": ["l-1", null, "l-2"],
                "taggings": ["t-1"],
                "notes": [{"note_id": "n-1", "created_at": "2025-01-02T03:04:05Z", "content": "\u{202E}right to left"}],
                "sms_channel": {"sms_channel_id": "m-1", "sms_address": "5551234", "dial_code": "1", "country_code": "US",
                    "update_source": "Contact", "create_source": "Contact",
                    "sms_channel_consents": [{"sms_consent_permission": "explicit", "consent_type": "promotional_sms",
                        "opt_in_date": "2025-01-02T03:04:05Z", "advertised_frequency": 4, "advertised_interval": "monthly"}]},
            },
            {"contact_id": "c-2", "email_address": null, "custom_fields": [], "taggings": null, "notes": [null]},
        ],
        "contacts_count": 2,
        "_links": {"next": {"href": "/v3/contacts?cursor=abc"}},
    })
}

#[test]
fn contacts_land_in_their_tables() {
    let decoder = decoder("contacts");
    let page = decoded(&decoder, &contacts());
    insta::assert_snapshot!(shown(&decoder, &page));
}

#[test]
fn a_report_without_a_list_of_rows_is_one_record() {
    let body = json!({
        "thing_id": "t", "weight": "1.5", "_links": [],
        "outer": {"flag": "true", "inner": {"count": 12.0, "days": ["2026-01-31", null, "2026-02-01T00:00:00+01:00"]}},
        "parts": [
            {"part_id": "p-1", "sizes": [1, "2"], "maker": {"since": "", "sites": [{"part_id": "ignored", "city": "Rome"}, {}]}},
            null,
            {"part_id": "p-2", "sizes": [null, 3], "maker": {"sites": null}},
            {"maker": null},
            {"part_id": null, "sizes": [4]},
        ],
    });
    let decoder = sixth();
    insta::assert_snapshot!(shown(&decoder, &decoded(&decoder, &body)));
}

/// An object of something else, such as an error with status 200, must not replace the one row by none.
#[test]
fn an_object_without_the_key_is_no_page_of_a_report_of_one_record() {
    for body in [json!({}), json!({"thing_id": null}), json!({"thing_id": {}}), json!({"error_key": "oops"})] {
        let refused = decode(&sixth(), body.to_string());
        assert!(matches!(&refused, Err(TransformError::NotAPage { reason }) if reason.contains("thing_id")), "{body}");
    }
}

#[test]
fn request_parameters_become_columns() {
    let body = json!({"contact_id": "c-1", "campaign_activities": [{"campaign_activity_id": "a", "em_opens": 2}]});
    let params = [("contact_id", "c-1"), ("start", "2026-01-01T00:00:00Z"), ("end", "2026-01-31T23:59:59.999Z")];
    let decoder = decoder("contact_action_summary");
    let decode = |params: &[(&str, &str)]| {
        let bound: Vec<_> = params.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let body = body.to_string();
        decoder.decode(&PageInput { body: body.as_bytes(), bound: &bound, extracted_at: arrived(), commit: COMMIT })
    };
    let page = decode(&params).expect("a page");
    assert_schemas(&decoder, &page);
    insta::assert_snapshot!(shown(&decoder, &page));

    let missing = decode(&params[..2]).expect_err("`end` is not given").to_string();
    let wrong = decode(&[params[0], params[1], ("end", "SECRET")]).expect_err("`end` is no instant").to_string();
    insta::assert_snapshot!(format!("{missing}\n{wrong}"));
}

#[test]
fn every_form_of_links_is_known_and_an_empty_page_has_every_table() {
    let decoder = decoder("contacts");
    let links = [
        json!({}),
        json!(null),
        json!({"next": null}),
        json!({"next": {}}),
        json!({"next": {"href": null}}),
        json!([7]),
    ];
    let bodies =
        links.map(|links| json!({"contacts": [], "_links": links})).into_iter().chain([json!({"contacts": []})]);
    for body in bodies {
        let page = decoded(&decoder, &body);
        assert!(page.drift.is_empty(), "{body}");
        assert!(page.tables.iter().all(|table| table.batch.num_rows() == 0), "{body}");
    }
}

#[test]
fn unknown_keys_are_kept_beside_their_row_and_counted() {
    let decoder = decoder("contacts");
    let body = r#"{"contacts":[
        {"contact_id":"c-1","foo":{"a":[1.50,true,null,{"q\"":"\u0000"}],"b":{}},"email_address":{"foo":1,"bar":[]},
         "phone_numbers":[null,{"foo":"x"},{"kind":"home"}],"sms_channel":{"zip":12345678901234567890,"sms_channel_consents":[{"foo":{}}]}},
        {"contact_id":"c-2"},
        {"contact_id":"c-3","foo":null,"email_address":{"foo":2}}],
        "total":3,"_links":{"next":{"href":"x","more":1}}}"#;
    let page = decode(&decoder, body).expect("a page");
    insta::assert_snapshot!(shown(&decoder, &page));
}

#[test]
fn a_record_without_a_usable_key_is_a_dead_letter_and_the_rest_lands() {
    let decoder = decoder("contacts");
    let bad = [
        r#"{"contact_id":null,"first_name":"SECRET"}"#,
        r#"{"contact_id":""}"#,
        r#"{"first_name":"SECRET"}"#,
        r#"{"contact_id":{"SECRET":"SECRET"}}"#,
        r#"{"contact_id":["SECRET"]}"#,
        r#""SECRET""#,
        "null",
        "[]",
        "5",
    ];
    let good = |id: usize| format!(r#"{{"contact_id":"good-{id}","taggings":["t-{id}"]}}"#);
    let records: Vec<String> = bad.iter().enumerate().flat_map(|(id, bad)| [good(id), (*bad).to_owned()]).collect();
    let body = format!(r#"{{"contacts":[{}]}}"#, records.join(" , "));
    let page = decode(&decoder, &body).expect("a page");
    assert_schemas(&decoder, &page);

    let landed: Vec<String> = rows(&page.tables[0]).iter().map(|row| row["contact_id"].to_string()).collect();
    assert_eq!(landed, (0..bad.len()).map(|id| format!("\"good-{id}\"")).collect::<Vec<_>>());
    let taggings = page.tables.iter().find(|table| table.batch.schema().column_with_name("tag_id").is_some());
    assert_eq!(rows(taggings.expect("contacts_taggings")).len(), bad.len());
    let reasons: Vec<String> = page
        .dead_letters
        .iter()
        .zip(bad)
        .enumerate()
        .map(|(id, (letter, bad))| {
            assert_eq!((letter.index, letter.record.as_str()), (2 * id + 1, bad));
            letter.reason.clone()
        })
        .collect();
    insta::assert_snapshot!(reasons.join("\n"));
    assert!(!format!("{page:?}").contains("SECRET"));
}

#[test]
fn a_body_that_is_no_page_is_an_error_without_values() {
    let decoder = decoder("contacts");
    let whole = contacts().to_string().replace("ann", "SECRET");
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" \n".to_vec(),
        b"<html><body>SECRET</body></html>".to_vec(),
        whole.as_bytes()[..whole.len() / 2].to_vec(),
        format!("{whole}{whole}").into_bytes(),
        format!("{whole} SECRET").into_bytes(),
        b"SECRET".to_vec(),
        b"\"SECRET\"".to_vec(),
        b"12".to_vec(),
        b"null".to_vec(),
        b"[{\"contact_id\":\"SECRET\"}]".to_vec(),
        b"[{\"error_key\":\"SECRET\"}]".to_vec(),
        b"{\"status\":\"SECRET\"}".to_vec(),
        b"{\"contacts\":null}".to_vec(),
        b"{\"contacts\":\"SECRET\"}".to_vec(),
        b"{\"contacts\":{\"contact_id\":\"SECRET\"}}".to_vec(),
        b"{\"contacts\":[{\"contact_id\":\"SECRET\xff]}".to_vec(),
        b"{\"contacts\":[{\"contact_id\":\"SECRET\",}]".to_vec(),
        b"{\"contacts\":\"\\ud83d SECRET\"}".to_vec(),
        b"{\"contacts\":[{\"contact_id\":SECRET}]}".to_vec(),
    ];
    let errors: Vec<String> = bodies
        .iter()
        .map(|body| decode(&decoder, body).expect_err(&String::from_utf8_lossy(body)))
        .map(|error| {
            assert!(!format!("{error:?}").contains("SECRET"));
            error.to_string()
        })
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_hostile_depth_does_not_end_the_program() {
    let decoder = decoder("contacts");
    let deep = format!("{}{}", "[{\"a\":".repeat(50_000) + "1", "}]".repeat(50_000));
    let body = format!(
        r#"{{"contacts":[{{"contact_id":"c","deep":{deep},"first_name":{deep}}}, {{"contact_id":"d","deep":{deep}}}]}}"#
    );
    let page = decode(&decoder, body).expect("a page");
    assert!(page.dead_letters.is_empty());
    let contacts = rows(&page.tables[0]);
    // A hundred levels are JSON as it came, the rest is a text of it, which every reader can parse.
    let text = serde_json::Value::from(format!("{}1{}", "[{\"a\":".repeat(49_950), "}]".repeat(49_950))).to_string();
    let deep_told = format!("{}{text}{}", "[{\"a\":".repeat(50), "}]".repeat(50));
    assert_eq!(contacts[0]["_extra"], json!(format!("{{\"deep\":{deep_told},\"first_name\":{deep_told}}}")));
    assert_eq!(contacts[1]["_extra"], json!(format!("{{\"deep\":{deep_told}}}")));
    assert_eq!(page.drift, [("deep".to_owned(), 2), ("first_name".to_owned(), 1)].into());

    let odd = format!(r#"{{"contacts":[{{"contact_id":"c","deep":{deep},"first_name":"\ud83d"}}]}}"#);
    let page = decode(&decoder, odd).expect("a page");
    assert_eq!(page.drift, [("deep".to_owned(), 1), ("first_name".to_owned(), 1)].into());
    let key = decode(&decoder, format!(r#"{{"contacts":[{{"contact_id":{deep}}}]}}"#)).expect("a page");
    assert_eq!(key.dead_letters.len(), 1);
}

#[test]
fn one_contact_may_be_very_large() {
    let decoder = decoder("contacts");
    let fields: Vec<Value> = (0..5000).map(|id| json!({"custom_field_id": id, "value": "x".repeat(2000)})).collect();
    let page = decoded(&decoder, &json!({"contacts": [{"contact_id": "c", "custom_fields": fields}]}));
    let custom_fields = rows(&page.tables[1]);
    assert_eq!(custom_fields.len(), 5000);
    assert_eq!(custom_fields[4999]["_ordinal"], json!(4999));
    assert_eq!(custom_fields[4999]["value"], json!("x".repeat(2000)));
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    let page = decode(&decoder("contacts"), r#"{"contacts":[{"contact_id":"a","contact_id":"b"}]}"#).expect("a page");
    assert_eq!(rows(&page.tables[0])[0]["contact_id"], json!("b"));
}

#[test]
fn threads_share_a_decoder() {
    fn assert_shared<T: Send + Sync + Clone>() {}
    assert_shared::<PageDecoder>();
}
