//! What the sandbox answers, every endpoint with every parameter, against the vendor's schemas.

use std::collections::BTreeSet;

use ctct_sandbox::{Account, Faults, LastPage, Quirks, SandboxConfig};
use serde_json::{Value, json};

use crate::parameter::Parameter;
use crate::peer::{Answer, Peer, busiest, next_link, query};
use crate::schema::{assert_valid, properties, sent, validator};
use crate::vendor::{Operation, Vendor};

/// Every endpoint of the sandbox but that of tokens.
pub(crate) const ENDPOINTS: [&str; 14] = [
    "/account/summary",
    "/account/user/privileges",
    "/contact_custom_fields",
    "/contact_lists",
    "/contact_tags",
    "/contacts",
    "/contacts/counts",
    "/contacts/{contact_id}",
    "/emails",
    "/emails/{campaign_id}",
    "/reports/contact_reports/{contact_id}/activity_details",
    "/reports/contact_reports/{contact_id}/activity_summary",
    "/reports/contact_reports/{contact_id}/open_and_click_rates",
    "/segments",
];

/// Properties that the sandbox does not send, and why.
const NEVER_SENT: [(&str, &str); 13] = [
    // Optional, and of no use to a reader of contacts.
    ("/account/summary", "company_logo.external_url"),
    ("/account/summary", "company_logo.internal_id"),
    ("/account/summary", "organization_phone"),
    ("/account/summary", "physical_address.address_line2"),
    ("/account/summary", "physical_address.address_line3"),
    ("/account/summary", "physical_address.state_name"),
    ("/account/summary", "website"),
    // No field of the sandbox loses a choice, and none is of a kind that has `integer`.
    ("/contact_custom_fields", "custom_fields[].choices[].deleted_at"),
    ("/contact_custom_fields", "custom_fields[].metadata.integer"),
    // A link within a link can only be a slip of the description: recorded pages have none.
    ("/contact_tags", "_links.next.next"),
    ("/contact_tags", "_links.next.next.href"),
    // Not in recordings.
    ("/contact_tags", "tags[].tag_source"),
    ("/emails/{campaign_id}", "campaign_activities[].document_id"),
];

/// More campaigns than fit on a page of the summary. A parameter that the sandbox does not know gets 400, so that none is
/// ignored in silence.
fn config() -> SandboxConfig {
    let quirks = Quirks { reject_unknown_parameters: true, ..Quirks::default() };
    SandboxConfig { contacts: 1_000, campaigns: 300, sends: 300, quirks, ..SandboxConfig::default() }
}

/// Values to try of a parameter: every choice alone and all at once, both booleans, the bounds, both spellings of instants.
fn values(parameter: Parameter<'_>, account: &Account) -> Vec<String> {
    let contact = account.contact(1);
    let choices = parameter.choices();
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    if !choices.is_empty() {
        let mut values: Vec<String> = owned(&choices);
        values.extend(parameter.is_list().then(|| choices.join(",")));
        return values;
    }
    if parameter.is_boolean() {
        return owned(&["true", "false"]);
    }
    if parameter.is_instant() {
        return owned(&["2025-06-01T00:00:00.000Z", "2025-06-01T00:00:00-0500"]);
    }
    match parameter.name() {
        "limit" => {
            let bounds =
                [parameter.minimum(), parameter.maximum()].into_iter().flatten().map(|bound| bound.to_string());
            parameter.default().into_iter().chain(bounds).chain(["2".to_owned()]).collect()
        }
        "contact_id" => vec![busiest(account)],
        "campaign_id" => account.campaigns().iter().take(3).map(|campaign| campaign.campaign_id.clone()).collect(),
        "email" => vec![contact.email_address.unwrap().address, "nobody@example.com".to_owned()],
        "lists" => account.lists().iter().take(2).map(|list| list.list_id.clone()).collect(),
        "tags" => account.tags().iter().take(2).map(|tag| tag.tag_id.clone()).collect(),
        "segment_id" => vec![account.segments()[0].segment_id.to_string()],
        "name" => vec![account.lists()[0].name.clone()],
        "tracking_activity_type" => owned(&["em_sends"]),
        other => panic!("no value to try for {other}"),
    }
}

/// Requests to one endpoint: with what it needs alone, then with each value of each parameter.
fn targets(operation: Operation<'_>, account: &Account) -> Vec<String> {
    let mut path = format!("/v3{}", operation.path);
    let mut needed = Vec::new();
    // The types of events are required too, by one of two parameters.
    let is_needed =
        |parameter: &Parameter<'_>| parameter.is_required() || parameter.name() == "tracking_activities_list";
    for parameter in operation.parameters().filter(is_needed) {
        let value = match parameter.name() {
            "start" => "2023-03-01T00:00:00-0500".to_owned(),
            "end" => "2026-03-01T00:00:00.000Z".to_owned(),
            _ => values(parameter, account).pop().unwrap(),
        };
        if parameter.place() == "path" {
            path = path.replace(&format!("{{{}}}", parameter.name()), &value);
        } else {
            needed.push((parameter.name(), value));
        }
    }
    let target = |with: Option<(&str, &str)>| {
        let replaces = |name: &str| match with {
            Some(("tracking_activity_type", _)) => name == "tracking_activities_list",
            with => with.is_some_and(|(other, _)| other == name),
        };
        let needed = needed.iter().filter(|(name, _)| !replaces(name)).map(|(name, value)| (*name, value.as_str()));
        format!("{path}{}", query(needed.chain(with)))
    };
    let mut targets = vec![target(None)];
    for parameter in operation.parameters().filter(|parameter| parameter.place() == "query") {
        let values = values(parameter, account);
        targets.extend(values.iter().map(|value| target(Some((parameter.name(), value)))));
    }
    let include = operation.parameter("include").map(|include| include.choices().join(",")).unwrap_or_default();
    match operation.path {
        "/contacts" => targets.push(format!("{path}?status=all&include_count=true&limit=500&include={include}")),
        "/contacts/{contact_id}" => {
            let contact = |index| format!("/v3/contacts/{}?include={include}", account.contact_id(index));
            targets.extend((0..account.contacts()).map(contact));
        }
        "/contact_lists" => {
            targets.push(format!("{path}?channel_type=sms&include_sms_membership_count=true&include_count=true"));
        }
        _ => {}
    }
    targets
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_vendors_form_and_all_its_properties_are_seen() {
    let vendor = Vendor::facts();
    let peer = Peer::start(config()).await;
    let mut never_sent = BTreeSet::new();
    for path in ENDPOINTS {
        let operation = vendor.operation(path).unwrap();
        let schema = operation.body(200);
        let valid = validator(vendor, schema);
        let mut seen = BTreeSet::new();
        for target in targets(operation, peer.sandbox.account()) {
            let mut answer = peer.get(&target).await;
            if answer.status == 202 {
                assert_valid(&validator(vendor, operation.body(202)), &answer.json(), &target);
                sent("", &answer.json(), &mut seen);
                answer = peer.get(&target).await;
            }
            // The first page and three more.
            for _ in 0..4 {
                assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
                let body = answer.json();
                assert_valid(&valid, &body, &target);
                sent("", &body, &mut seen);
                let Some(next) = next_link(&body) else { break };
                answer = peer.get(next).await;
            }
        }
        never_sent.extend(properties(vendor, schema).difference(&seen).map(|property| (path, property.clone())));
    }
    let expected: BTreeSet<(&str, String)> =
        NEVER_SENT.iter().map(|(path, name)| (*path, (*name).to_owned())).collect();
    assert_eq!(never_sent, expected);
}

#[tokio::test]
async fn an_empty_links_object_is_of_the_vendors_form_too() {
    let vendor = Vendor::facts();
    let quirks = Quirks { last_page: LastPage::Empty, ..Quirks::default() };
    let peer = Peer::start(SandboxConfig { contacts: 3, quirks, ..SandboxConfig::default() }).await;
    let body = peer.get("/v3/contacts").await.json();
    assert_eq!(body["_links"], json!({}));
    assert_valid(&validator(vendor, vendor.operation("/contacts").unwrap().body(200)), &body, "/contacts");
}

/// The schemas of errors: of a service and of the gateway.
pub(crate) const ERRORS: [&str; 2] = ["APIErrorSchema", "AuthorizationErrorSchema"];

/// Services send a list of errors, the gateway one object; the description has a schema for each.
fn assert_error(vendor: &Vendor, answer: &Answer, what: &str) {
    let body = answer.json();
    let [list, object] = ERRORS;
    let name = if body.is_array() { list } else { object };
    assert_valid(&validator(vendor, vendor.definition(name)), &body, what);
    let errors = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    let complete = |error: &Value| ["error_key", "error_message"].iter().all(|key| error[key].is_string());
    assert!(!errors.is_empty() && errors.iter().all(complete), "{what}: {body}");
}

#[tokio::test]
async fn a_refusal_has_the_vendors_form_and_a_status_that_the_operation_lists() {
    let vendor = Vendor::facts();
    let peer = Peer::start(config()).await;
    let id = peer.sandbox.account().contact_id(0);
    let reports = |id: &str, rest: &str| format!("/v3/reports/contact_reports/{id}/{rest}");
    let unknown = "00000000-0000-1000-8000-000000000000";
    let refused = [
        ("/v3/contacts?status=bogus".to_owned(), 400),
        ("/v3/contacts?limit=0".to_owned(), 400),
        ("/v3/contacts?limit=501".to_owned(), 400),
        ("/v3/contacts?updated_after=yesterday".to_owned(), 400),
        ("/v3/contacts?lists=1".to_owned(), 400),
        ("/v3/contacts?cursor=bm8=".to_owned(), 400),
        ("/v3/contacts?segment_id=14&status=all".to_owned(), 400),
        ("/v3/contacts/no-id".to_owned(), 404),
        (format!("/v3/contacts/{unknown}"), 404),
        ("/v3/contacts/counts?include=all".to_owned(), 400),
        ("/v3/contact_lists?include_membership_count=bogus".to_owned(), 400),
        ("/v3/contact_lists?limit=1001".to_owned(), 400),
        ("/v3/contact_tags?limit=501".to_owned(), 400),
        ("/v3/contact_custom_fields?limit=101".to_owned(), 400),
        ("/v3/segments?sort_by=size".to_owned(), 400),
        ("/v3/emails?after_date=2026".to_owned(), 400),
        ("/v3/emails/no-id".to_owned(), 404),
        (format!("/v3/emails/{unknown}"), 404),
        ("/v3/account/summary?extra_fields=all".to_owned(), 400),
        (reports(&id, "activity_details"), 400),
        (reports(&id, "activity_details?tracking_activities_list=em_sends&limit=101"), 400),
        (reports(unknown, "activity_details?tracking_activities_list=em_sends"), 404),
        (reports(&id, "activity_summary?start=2026-01-01T00:00:00Z"), 400),
        (reports("no-id", "activity_summary?start=2026-01-01T00:00:00Z&end=2026-02-01T00:00:00Z"), 404),
        (reports(&id, "open_and_click_rates?start=2016-01-01T00:00:00Z&end=2026-02-01T00:00:00Z"), 400),
    ];
    for (target, status) in refused {
        let answer = peer.get(&target).await;
        assert_eq!(answer.status, status, "{target}");
        assert_error(vendor, &answer, &target);
        assert!(answer.json().is_array(), "{target}: services send a list");
        let (operation, _) = vendor.serving(target.split('?').next().unwrap()).unwrap();
        assert!(operation.statuses().contains(&status), "{target}: {status} is none of the operation's");
    }
}

#[tokio::test]
async fn the_gateways_refusals_have_the_vendors_form() {
    let vendor = Vendor::facts();
    let peer = Peer::limited(SandboxConfig { contacts: 3, daily_requests: 2, ..SandboxConfig::default() }).await;
    let quirks = Quirks { granted_scopes: vec!["account_read".to_owned()], ..Quirks::default() };
    let narrow = Peer::start(SandboxConfig { contacts: 3, quirks, ..SandboxConfig::default() }).await;
    let fast = Peer::limited(SandboxConfig { contacts: 3, requests_per_second: 0.001, burst: 1, ..config() }).await;
    fast.get("/v3/contacts").await;
    peer.get("/v3/contacts").await;
    peer.get("/v3/contacts").await;
    let operation = vendor.operation("/contacts").unwrap();
    for (answer, status, key) in [
        (peer.get_as("/v3/contacts", "no token").await, 401, "unauthorized"),
        (narrow.get("/v3/contacts").await, 403, "forbidden"),
        (fast.get("/v3/contacts").await, 429, "throttled"),
        (peer.get("/v3/contacts").await, 429, "quota_exceeded"),
    ] {
        assert_eq!((answer.status, &answer.json()["error_key"]), (status, &json!(key)));
        assert_error(vendor, &answer, key);
        // The gateway throttles every operation, whether it lists the status or not.
        assert!(status == 429 || operation.statuses().contains(&status), "{status}");
    }
}

#[tokio::test]
async fn the_faults_of_services_have_the_vendors_form() {
    let vendor = Vendor::facts();
    let none = Faults::default();
    for (faults, status) in [
        (Faults { error_500: 1.0, ..none }, 500),
        (Faults { throttled: 1.0, ..none }, 429),
        (Faults { spurious_401: 1.0, ..none }, 401),
    ] {
        let peer = Peer::start(SandboxConfig { contacts: 3, faults, ..SandboxConfig::default() }).await;
        let answer = peer.get("/v3/contacts").await;
        assert_eq!(answer.status, status);
        assert_error(vendor, &answer, &status.to_string());
    }
}
