//! Bodies that were recorded or printed by the vendor, through the decoder, the errors and the sign-in of the program.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ctct_catalog::{Catalog, Report};
use ctct_extract::{Client, ClientConfig, ExtractError, Request, SecretString};
use ctct_transform::{DecodedPage, PageDecoder, PageInput, TransformError};
use serde_json::{Value, json};

use crate::cells;
use crate::scripted::{REFRESH_TOKEN, REQUEST_ID, Scripted};
use crate::vendor::{Payload, Vendor};

/// Endpoints that answer one row of a report, not a page of it.
const SINGLE_ROWS: [(&str, &str); 5] = [
    ("GET /contact_custom_fields/{custom_field_id}", "contact_custom_fields"),
    ("GET /contact_tags/{tag_id}", "contact_tags"),
    ("GET /contacts/{contact_id}", "contacts"),
    ("GET /contact_lists/{list_id}", "contact_lists"),
    ("one element of GET /contacts", "contacts"),
];

/// A row that stands for one without an example: it lacks its key, so it cannot land.
const EMPTY_ROW: &str = "spec_reports_contact_reports_contact_id_activity_summary.json";

fn is_error(payload: &Payload) -> bool {
    payload.file.starts_with("err_")
}

fn is_of_sign_in(payload: &Payload) -> bool {
    payload.file.starts_with("oauth_")
}

/// The report that a body belongs to, and the body as a page of it.
fn page_of(payload: &Payload, catalog: &Catalog) -> Option<(Arc<Report>, Value)> {
    if is_error(payload) || is_of_sign_in(payload) {
        return None;
    }
    let endpoint = payload.endpoint.split('?').next()?;
    if let Some((_, name)) = SINGLE_ROWS.iter().find(|(single, _)| *single == endpoint) {
        let report = Arc::clone(catalog.get(name)?);
        let page = json!({report.rows.as_deref()?: [payload.json()]});
        return Some((report, page));
    }
    let report = catalog.reports().find(|report| format!("GET {}", report.path) == endpoint)?;
    Some((Arc::clone(report), payload.json()))
}

fn decode(report: &Arc<Report>, body: &[u8]) -> Result<DecodedPage, TransformError> {
    let params = [
        ("contact_id", "1618ae62-4752-11e9-9c8a-fa163e6b01c1"),
        ("start", "2026-01-01T00:00:00.000Z"),
        ("end", "2026-01-31T23:59:59.999Z"),
    ];
    let bound = params.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let extracted_at = DateTime::<Utc>::UNIX_EPOCH;
    PageDecoder::new(Arc::clone(report)).decode(&PageInput { body, bound: &bound, extracted_at, commit: 1 })
}

#[test]
fn bodies_of_the_reports_decode_whole_and_cell_by_cell() {
    let Some(vendor) = Vendor::reference() else { return };
    let catalog = Catalog::embedded().unwrap();
    let mut decoded = Vec::new();
    for payload in vendor.payloads() {
        let Some((report, body)) = page_of(&payload, &catalog) else { continue };
        let page =
            decode(&report, body.to_string().as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", payload.file));
        assert!(page.drift.is_empty(), "{}: {:?}", payload.file, page.drift);
        decoded.push(report.name.clone());
        if payload.file == EMPTY_ROW {
            let [letter] = &page.dead_letters[..] else { panic!("{}: {:?}", payload.file, page.dead_letters) };
            assert!(letter.reason.starts_with("campaign_activity_id"), "{}: {}", payload.file, letter.reason);
            continue;
        }
        assert!(page.dead_letters.is_empty(), "{}: {:?}", payload.file, page.dead_letters);
        let records = match &report.rows {
            Some(rows) => body[rows].as_array().unwrap().clone(),
            None => vec![body],
        };
        assert_eq!(cells::of_page(&report, &page), cells::of_records(&report, &records), "{}", payload.file);
    }
    for report in catalog.reports() {
        assert!(decoded.contains(&report.name), "no body of {}", report.name);
    }
}

/// Bodies of other endpoints, errors among them, are refused as a whole unless they have the report's list of rows, or
/// the key of a report of one object; then every row lands or is a dead letter.
#[test]
fn bodies_of_other_endpoints_are_refused_and_lose_nothing() {
    let Some(vendor) = Vendor::reference() else { return };
    let catalog = Catalog::embedded().unwrap();
    for payload in vendor.payloads() {
        for report in catalog.reports() {
            let what = format!("{} as {}", payload.file, report.name);
            let decoded = decode(report, &payload.body);
            if !payload.is_json() {
                assert!(matches!(decoded, Err(TransformError::NotJson { .. })), "{what}: {decoded:?}");
                continue;
            }
            let body = payload.json();
            let rows = match &report.rows {
                Some(rows) => body.get(rows).and_then(Value::as_array).map(Vec::len),
                None => report.key.iter().all(|key| body.get(key).is_some()).then_some(1),
            };
            match rows {
                Some(rows) => {
                    let page = decoded.unwrap_or_else(|error| panic!("{what}: {error}"));
                    let landed = page.tables[0].batch.num_rows();
                    assert_eq!(landed + page.dead_letters.len(), rows, "{what}");
                }
                None => assert!(matches!(decoded, Err(TransformError::NotAPage { .. })), "{what}: {decoded:?}"),
            }
        }
    }
}

/// The error of one page of contacts.
async fn failure(config: ClientConfig) -> ExtractError {
    let catalog = Catalog::embedded().unwrap();
    let report = Arc::clone(catalog.get("contacts").unwrap());
    let request = Request { report, params: Vec::new() };
    Client::new(config).unwrap().crawl(request).next().await.unwrap_err()
}

fn kind(error: &ExtractError) -> &'static str {
    match error {
        ExtractError::SignIn { .. } => "sign-in",
        ExtractError::Forbidden { .. } => "forbidden",
        ExtractError::Quota { .. } => "quota",
        ExtractError::Transient { .. } => "transient",
        ExtractError::Rejected { .. } => "rejected",
        ExtractError::NotAPage { .. } => "no page",
        other => panic!("{other}"),
    }
}

/// Key and message of the first error in a body, whatever its shape.
fn said(body: &Value) -> (&str, &str) {
    let error = body.pointer("/errors/0").or_else(|| body.get(0)).unwrap_or(body);
    let text = |names: [&str; 2]| names.into_iter().find_map(|name| error.get(name)?.as_str()).unwrap();
    (text(["error_key", "error"]), text(["error_message", "error_description"]))
}

#[tokio::test]
async fn errors_arrive_as_what_they_are_with_key_message_and_request_id() {
    let Some(vendor) = Vendor::reference() else { return };
    for payload in vendor.payloads().into_iter().filter(is_error) {
        let expected = match payload.status {
            200 => "no page",
            400 | 404 => "rejected",
            401 => "sign-in",
            403 => "forbidden",
            429 if payload.file.contains("quota") => "quota",
            429 | 504 => "transient",
            other => panic!("{}: HTTP {other}", payload.file),
        };
        let server = Scripted::start((payload.status, payload.body.clone()), (500, Vec::new())).await;
        let error = failure(server.config()).await;
        let shown = error.to_string();
        assert_eq!(kind(&error), expected, "{}: {shown}", payload.file);
        assert!(shown.contains(REQUEST_ID), "{}: {shown}", payload.file);
        let Some(reply) = error.reply() else {
            assert!(shown.contains("it resets at 2026-02-01 00:00 UTC"), "{}: {shown}", payload.file);
            continue;
        };
        assert_eq!(reply.status, payload.status, "{}", payload.file);
        // A page that is none is no error of the API's: only its shape is told.
        if payload.is_json() && payload.status != 200 {
            let body = payload.json();
            let (key, message) = said(&body);
            let first = &reply.errors[0];
            assert_eq!((first.key.as_str(), first.message.as_str()), (key, message), "{}", payload.file);
            assert!(shown.contains(key) && shown.contains(message), "{}: {shown}", payload.file);
        } else {
            assert!(reply.errors.is_empty(), "{}: {shown}", payload.file);
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_being_worked_out_is_no_page_yet() {
    let Some(vendor) = Vendor::reference() else { return };
    for payload in vendor.payloads().into_iter().filter(|payload| payload.status == 202) {
        let server = Scripted::start((202, payload.body.clone()), (500, Vec::new())).await;
        let pending = ctct_extract::Pending { repeats: 0, ..ctct_extract::Pending::default() };
        let error = failure(ClientConfig { pending, ..server.config() }).await;
        assert_eq!((kind(&error), error.status()), ("transient", Some(202)), "{}: {error}", payload.file);
    }
}

#[tokio::test]
async fn replies_of_the_token_endpoint_sign_requests_or_say_why_not() {
    let Some(vendor) = Vendor::reference() else { return };
    for payload in vendor.payloads().into_iter().filter(is_of_sign_in) {
        let body = payload.json();
        let server =
            Scripted::start((200, br#"{"contacts":[]}"#.to_vec()), (payload.status, payload.body.clone())).await;
        let config = server.refreshing();
        if let Some(token) = body.get("access_token").and_then(Value::as_str) {
            let report = Arc::clone(Catalog::embedded().unwrap().get("contacts").unwrap());
            let client = Client::new(config).unwrap();
            client.crawl(Request { report, params: Vec::new() }).next().await.unwrap();
            assert_eq!(server.authorizations(), [format!("Bearer {token}")], "{}", payload.file);
            let next = body.get("refresh_token").and_then(Value::as_str).unwrap_or(REFRESH_TOKEN);
            assert!(
                is(&client.refresh_token().await.unwrap(), next),
                "{}: the token to refresh with next",
                payload.file
            );
            continue;
        }
        let error = failure(config).await;
        let shown = format!("{error} {error:?}");
        assert!(server.authorizations().is_empty(), "{}: nothing is asked without a token", payload.file);
        if payload.status == 200 {
            // A reply to another request of the sign-in: whatever it holds may be a secret.
            assert_eq!(kind(&error), "no page", "{}: {shown}", payload.file);
            let texts = body.as_object().unwrap().values().filter_map(Value::as_str);
            assert!(texts.into_iter().all(|text| !shown.contains(text)), "{}: {shown}", payload.file);
            continue;
        }
        let (key, message) = said(&body);
        // Only a grant or a client that is refused takes a person.
        let expected = if key.starts_with("invalid_") { "sign-in" } else { "rejected" };
        assert_eq!(kind(&error), expected, "{}: {shown}", payload.file);
        assert!(
            shown.contains(key) && shown.contains(message) && shown.contains(REQUEST_ID),
            "{}: {shown}",
            payload.file
        );
    }
}

/// Compares a secret without showing it.
fn is(secret: &SecretString, expected: &str) -> bool {
    use secrecy::ExposeSecret;
    secret.expose_secret() == expected
}
