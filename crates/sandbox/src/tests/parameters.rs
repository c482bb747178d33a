//! Parameters that are out of range, malformed or missing, and knobs that change the form of a row.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Peer, small, with};

#[tokio::test]
async fn values_that_cannot_be_are_refused_as_an_array_of_errors() {
    let peer = Peer::start(small()).await;
    let id = peer.sandbox.account().contact_id(3);
    let report = format!("/reports/contact_reports/{id}");
    let lists = vec![id.as_str(); 26].join(",");
    let tags = vec![id.as_str(); 51].join(",");
    for path in [
        "/contacts?limit=0",
        "/contacts?limit=501",
        "/contacts?limit=ten",
        "/contacts?status=gone",
        "/contacts?status=active,gone",
        "/contacts?include=everything",
        "/contacts?include=sms_channel",
        "/contacts?include_count=yes",
        "/contacts?updated_after=yesterday",
        "/contacts?lists=general",
        "/contacts?sms_status=implicit",
        &format!("/contacts?lists={lists}"),
        &format!("/contacts?tags={tags}"),
        "/contact_lists?limit=1001",
        "/contact_lists?include_membership_count=bogus",
        "/contact_lists?channel_type=fax",
        "/contact_tags?limit=501",
        "/contact_custom_fields?limit=101",
        "/emails?limit=501",
        "/emails?after_date=spring",
        &format!("{report}/activity_details"),
        &format!("{report}/activity_details?tracking_activities_list=em_sends&tracking_activity_type=em_opens"),
        &format!("{report}/activity_details?tracking_activities_list=em_reads"),
        &format!("{report}/activity_details?tracking_activity_type=em_reads"),
        &format!("{report}/activity_details?tracking_activities_list=em_sends&limit=101"),
        &format!("{report}/activity_summary"),
        &format!("{report}/activity_summary?start=2025-01-01"),
        &format!("{report}/activity_summary?start=2025-01-02&end=2025-01-01"),
        &format!("{report}/open_and_click_rates?start=2010-01-01&end=2025-01-01"),
    ] {
        let answer = peer.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()[0]["error_key"], "contacts.api.validation.error", "{path}");
        assert!(answer.json()[0]["error_message"].is_string(), "{path}");
    }
    let said = peer.get("/contact_lists?include_membership_count=bogus").await.json();
    assert_eq!(said[0]["error_message"], "include_membership_count does not have a valid value");
}

#[tokio::test]
async fn ids_that_are_unknown_or_none_are_not_found() {
    let peer = Peer::start(small()).await;
    let unknown = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";
    for path in
        ["/contacts/{}", "/emails/{}", "/reports/contact_reports/{}/activity_summary?start=2025-01-01&end=2025-02-01"]
    {
        for id in [unknown, "not-an-id", "1618ae624752 11e99c8afa163e6b01c1"] {
            let answer = peer.get(&path.replace("{}", id)).await;
            assert_eq!(answer.status, 404, "{path} {id}");
            assert_eq!(answer.json()[0]["error_key"], "contacts.api.not_found");
        }
    }
    let said = peer.get("/contacts/not-an-id").await.json();
    assert_eq!(
        said,
        serde_json::json!([{"error_key": "contacts.api.not_found", "error_message": "contact_id is in an invalid format."}])
    );
    assert_eq!(peer.get("/nothing").await.status, 403);
}

#[tokio::test]
async fn unknown_parameters_are_ignored_unless_told_otherwise() {
    let mut config = small();
    let peer = Peer::start(config.clone()).await;
    assert_eq!(peer.body("/contact_tags?updated_after=2030-01-01").await, peer.body("/contact_tags").await);
    config.quirks.reject_unknown_parameters = true;
    let peer = Peer::start(config).await;
    assert_eq!(peer.get("/contact_tags?updated_after=2030-01-01").await.status, 400);
    assert_eq!(peer.rows("/contact_tags?limit=4", "tags").await.len(), 15);
}

#[tokio::test]
async fn a_limit_can_be_clamped() {
    let mut config = small();
    config.quirks.clamp_limit = true;
    let peer = Peer::start(config).await;
    assert_eq!(peer.body("/contact_tags?limit=9000").await["tags"].as_array().unwrap().len(), 15);
    assert_eq!(peer.body("/contact_tags?limit=0").await["tags"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn subresources_come_only_when_asked_for_and_empty_when_there_are_none() {
    let peer = Peer::start(small()).await;
    let bare = peer.body("/contacts?limit=300").await.to_string();
    for key in ["custom_fields", "phone_numbers", "street_addresses", "list_memberships", "taggings", "notes"] {
        assert!(!bare.contains(&format!("\"{key}\"")), "{key}");
        let rows = peer.rows(&format!("/contacts?limit=300&include={key}"), "contacts").await;
        assert!(rows.iter().all(|row| row[key].is_array()), "{key}");
        assert!(rows.iter().any(|row| row[key] == serde_json::json!([])), "{key}");
    }
    assert!(!bare.contains("null"));
}

#[tokio::test]
async fn one_contact_is_the_row_of_the_collection() {
    let peer = Peer::start(small()).await;
    let account = peer.sandbox.account();
    let every = "custom_fields,phone_numbers,street_addresses,list_memberships,taggings,notes";
    let one = peer.body(&format!("/contacts/{}?include={every}", account.contact_id(42))).await;
    assert_eq!(one, serde_json::to_value(account.contact(42)).unwrap());
    let rows = peer.rows(&format!("/contacts?status=all&include={every}&limit=300"), "contacts").await;
    assert_eq!(rows[299 - 42], one);
}

#[tokio::test]
async fn rows_can_hold_nulls_unknown_keys_and_no_empty_subresources() {
    let mut config = small();
    config.quirks.nulls = true;
    config.quirks.unknown_field = true;
    config.quirks.omit_empty_subresources = true;
    let peer = Peer::start(config).await;
    let rows = peer.rows("/contacts?limit=300&include=notes", "contacts").await;
    assert!(rows.iter().all(|row| row.get("sms_channel").is_some() && row.get("deleted_at").is_some()));
    assert!(rows.iter().any(|row| row["first_name"].is_null()));
    assert!(rows.iter().all(|row| row["loyalty"]["tier"] == "gold"));
    assert!(rows.iter().any(|row| row.get("notes").is_none()) && rows.iter().any(|row| row["notes"].is_array()));
    let lists = peer.rows("/contact_lists", "lists").await;
    assert!(lists.iter().all(|list| list.get("description").is_some()));
}

#[tokio::test]
async fn reports_are_those_of_the_account() {
    let peer = Peer::start(small()).await;
    let account = peer.sandbox.account();
    let all = crate::TRACKING_ACTIVITY_TYPES.join(",");
    for index in [0, 50, 120, 299] {
        let report = format!("/reports/contact_reports/{}", account.contact_id(index));
        let details = peer
            .rows(&format!("{report}/activity_details?tracking_activities_list={all}"), "tracking_activities")
            .await;
        let shouted = report.replace(&account.contact_id(index), &account.contact_id(index).to_uppercase());
        let again = peer
            .rows(&format!("{shouted}/activity_details?tracking_activities_list={all}"), "tracking_activities")
            .await;
        assert_eq!(details, again);
        assert_eq!(serde_json::Value::Array(details), serde_json::to_value(account.activities(index)).unwrap());
        let repeated =
            "tracking_activity_type=em_opens&tracking_activity_type=em_clicks&include_campaign_activity_names=false";
        let opens = peer.rows(&format!("{report}/activity_details?{repeated}"), "tracking_activities").await;
        assert!(
            opens
                .iter()
                .all(|row| row["tracking_activity_type"] != "em_sends" && row.get("campaign_activity_name").is_none())
        );
        let summary =
            peer.body(&format!("{report}/activity_summary?start=2025-01-01&end=2025-12-31T23:59:59.999Z")).await;
        let (start, end) = (1_735_689_600_000, 1_767_225_599_999);
        assert_eq!(summary["contact_id"], account.contact_id(index));
        assert_eq!(
            summary["campaign_activities"],
            serde_json::to_value(account.activity_summary(index, start, end)).unwrap()
        );
        let rates =
            peer.body(&format!("{report}/open_and_click_rates?start=2025-01-01&end=2025-12-31T23:59:59.999Z")).await;
        assert_eq!(rates["included_activities_count"], summary["campaign_activities"].as_array().unwrap().len());
    }
}

#[tokio::test]
async fn the_connection_can_be_checked() {
    let peer = Peer::start(small()).await;
    assert_eq!(peer.body("/account/summary").await["encoded_account_id"], "p07e0000000007");
    assert!(peer.body("/account/summary?extra_fields=physical_address").await["physical_address"].is_object());
    let privileges = peer.body("/account/user/privileges").await;
    assert!(privileges.as_array().unwrap().iter().any(|row| row["privilege_name"] == "contacts:read"));
}

#[tokio::test]
async fn answers_are_compressed_when_switched_on() {
    let mut config = small();
    config.quirks.gzip = true;
    let compressed = Peer::start(config).await;
    let plain = Peer::start(small()).await;
    let path = "/contacts?limit=300";
    assert_eq!(compressed.get(path).await.text, plain.get(path).await.text);
    let raw = super::Client::builder().no_proxy().no_gzip().build().unwrap();
    let request =
        raw.get(format!("{}{path}", compressed.sandbox.base_url())).bearer_auth(compressed.sandbox.access_token());
    let response = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert!(response.bytes().await.unwrap().len() * 3 < plain.get(path).await.text.len());
}

#[tokio::test]
async fn an_empty_account_has_empty_collections() {
    let config = crate::SandboxConfig { contacts: 0, lists: 0, tags: 0, custom_fields: 0, campaigns: 0, ..small() };
    let peer = Peer::start(config).await;
    for (path, text) in [
        ("/contacts?status=all", r#"{"contacts":[]}"#),
        ("/contact_lists", r#"{"lists":[]}"#),
        ("/contact_tags", r#"{"tags":[]}"#),
        ("/contact_custom_fields", r#"{"custom_fields":[]}"#),
        ("/emails", r#"{"campaigns":[]}"#),
        ("/contacts/counts", r#"{"total":0,"explicit":0,"implicit":0,"pending":0,"unsubscribed":0}"#),
    ] {
        assert_eq!(peer.get(path).await.text, text);
    }
}

#[tokio::test]
async fn another_order_at_each_request_is_the_same_answer() {
    let plain = Peer::start(small()).await;
    let reordered = Peer::start(with(|config| config.quirks.reorder = true)).await;
    let path = "/contacts?limit=50&include=list_memberships,taggings,custom_fields,street_addresses";
    let bytes = async |peer: &Peer| peer.get(path).await.text;
    let (one, other, same) = (bytes(&reordered).await, bytes(&reordered).await, bytes(&plain).await);
    assert!(one != other);
    // Rows keep their order; below them, lists are compared as sets.
    let tree = |text: &str| sorted(serde_json::from_str(text).unwrap(), 0);
    assert!(tree(&one) == tree(&same) && tree(&other) == tree(&same));
    let first_lists = |text: &str| {
        let body: Value = serde_json::from_str(text).unwrap();
        let rows = body["contacts"].as_array().unwrap().clone();
        rows.iter().map(|row| row["list_memberships"].to_string()).collect::<Vec<_>>()
    };
    assert_ne!(first_lists(&one), first_lists(&other), "lists of a row change their order");
}

fn sorted(value: Value, depth: usize) -> Value {
    match value {
        Value::Object(object) => {
            let entries: BTreeMap<_, _> =
                object.into_iter().map(|(key, value)| (key, sorted(value, depth + 1))).collect();
            entries.into_iter().collect()
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(|item| sorted(item, depth + 1)).collect();
            if depth > 1 {
                items.sort_by_key(ToString::to_string);
            }
            Value::from(items)
        }
        scalar => scalar,
    }
}
