//! The account changes while it is read, and every filter, count and cursor follows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Peer, ids, small};
use crate::{Change, ContactChange, CursorPosition, SandboxConfig, SandboxError};

const LIST: &str = "11111111-0000-1000-8000-000000000001";
const CAMPAIGN: &str = "22222222-0000-4000-8000-000000000001";
const ACTIVITY: &str = "33333333-0000-4000-8000-000000000001";

/// A moment so many seconds after noon.
fn at(seconds: i64) -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

/// The same as the API writes it.
fn text(seconds: i64) -> String {
    at(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The id of a contact of the tests.
fn id(number: u32) -> String {
    format!("{number:08x}-0000-1000-8000-00000000c0de")
}

/// An account of nothing but these contacts; contact n comes n seconds after noon.
async fn peer_of(contacts: u32, config: SandboxConfig) -> Peer {
    let peer = Peer::start(SandboxConfig { contacts: 0, lists: 0, campaigns: 0, ..config }).await;
    (0..contacts).for_each(|number| create(&peer, number, i64::from(number)));
    peer
}

fn create(peer: &Peer, number: u32, seconds: i64) {
    peer.sandbox.edit(at(seconds), &creation(number)).unwrap();
}

fn creation(number: u32) -> Change {
    let address = json!({"address": format!("c{number}@example.com")});
    Change::CreateContact(json!({"contact_id": id(number), "first_name": "Ann", "email_address": address}))
}

fn change(peer: &Peer, seconds: i64, number: u32, change: ContactChange) {
    peer.sandbox.edit(at(seconds), &Change::Contact(id(number), change)).unwrap();
}

/// The numbers of the contacts that a query finds, over all pages.
async fn found(peer: &Peer, query: &str) -> Vec<u32> {
    numbers(&peer.rows(&format!("/contacts?{query}"), "contacts").await)
}

fn numbers(rows: &[Value]) -> Vec<u32> {
    ids(rows, "contact_id").iter().map(|id| u32::from_str_radix(&id[..8], 16).unwrap()).collect()
}

async fn contact(peer: &Peer, number: u32) -> Value {
    let all = "custom_fields,list_memberships,phone_numbers,street_addresses,taggings,notes";
    peer.body(&format!("/contacts/{}?include={all}", id(number))).await
}

#[tokio::test]
async fn a_created_contact_comes_with_what_the_api_always_sends() {
    let peer = peer_of(1, small()).await;
    let expected = json!({
        "contact_id": id(0), "first_name": "Ann",
        "email_address": {
            "address": "c0@example.com", "permission_to_send": "implicit", "created_at": text(0), "updated_at": text(0),
            "opt_in_source": "Account", "opt_in_date": text(0), "confirm_status": "off",
        },
        "update_source": "Account", "create_source": "Account", "created_at": text(0), "updated_at": text(0),
        "custom_fields": [], "phone_numbers": [], "street_addresses": [], "list_memberships": [], "taggings": [], "notes": [],
    });
    assert_eq!(contact(&peer, 0).await, expected);
    assert_eq!(peer.sandbox.contacts_now(), [expected]);
    let bare = peer.body(&format!("/contacts/{}", id(0))).await;
    assert!(bare.get("taggings").is_none() && bare.get("first_name").is_some());
}

#[tokio::test]
async fn contacts_come_newest_first_wherever_they_were_put() {
    let peer = peer_of(3, small()).await;
    create(&peer, 9, 1);
    let dated = json!({"contact_id": id(8), "created_at": text(-5), "updated_at": text(-5)});
    peer.sandbox.edit(at(60), &Change::CreateContact(dated)).unwrap();
    assert_eq!(found(&peer, "").await, [2, 9, 1, 0, 8]);
    assert_eq!(found(&peer, &format!("created_after={}", text(0))).await, [2, 9, 1]);
    assert_eq!(found(&peer, &format!("created_before={}", text(0))).await, [8]);
}

#[tokio::test]
async fn a_changed_field_moves_updated_at() {
    let peer = peer_of(3, small()).await;
    change(&peer, 100, 1, ContactChange::Fields(json!({"first_name": "Bea", "job_title": "Baker"})));
    change(&peer, 101, 1, ContactChange::Fields(json!({"job_title": null})));
    let row = contact(&peer, 1).await;
    assert_eq!((&row["first_name"], row.get("job_title")), (&json!("Bea"), None));
    assert_eq!((&row["created_at"], &row["updated_at"]), (&json!(text(1)), &json!(text(101))));
    assert_eq!(found(&peer, &format!("updated_after={}", text(100))).await, [1]);
    assert_eq!(found(&peer, &format!("updated_after={}", text(101))).await, Vec::<u32>::new());
    assert_eq!(found(&peer, &format!("updated_before={}", text(100))).await, [2, 0]);
}

#[tokio::test]
async fn a_change_may_be_older_than_what_is_there() {
    let peer = peer_of(1, small()).await;
    change(&peer, 100, 0, ContactChange::Fields(json!({"first_name": "Bea"})));
    change(&peer, 40, 0, ContactChange::Fields(json!({"first_name": "Cid"})));
    let row = contact(&peer, 0).await;
    assert_eq!((&row["first_name"], &row["updated_at"]), (&json!("Cid"), &json!(text(40))));
    change(&peer, 0, 0, ContactChange::Fields(json!({"updated_at": text(7)})));
    assert_eq!(contact(&peer, 0).await["updated_at"], text(7));
}

#[tokio::test]
async fn tags_custom_fields_and_lists_move_updated_at_as_the_quirks_say() {
    let tag = "44444444-0000-1000-8000-000000000001".to_owned();
    let field = "55555555-0000-1000-8000-000000000001".to_owned();
    for moves in [true, false] {
        let mut config = small();
        config.quirks.tag_change_moves_updated_at = moves;
        config.quirks.custom_field_change_moves_updated_at = moves;
        config.quirks.list_add_moves_updated_at = moves;
        config.quirks.list_removal_moves_updated_at = moves;
        config.quirks.deletion_moves_updated_at = moves;
        let peer = peer_of(1, config).await;
        let set = |value: &str| ContactChange::CustomField {
            custom_field_id: field.clone(),
            value: Some(value.to_owned()).filter(|value| !value.is_empty()),
        };
        let changes = [
            (ContactChange::Tag(tag.clone()), "taggings", json!([tag])),
            (ContactChange::Untag(tag.clone()), "taggings", json!([])),
            (ContactChange::Join(LIST.to_owned()), "list_memberships", json!([LIST])),
            (ContactChange::Leave(LIST.to_owned()), "list_memberships", json!([])),
            (set("1"), "custom_fields", json!([{"custom_field_id": field, "value": "1"}])),
            (set("2"), "custom_fields", json!([{"custom_field_id": field, "value": "2"}])),
            (set(""), "custom_fields", json!([])),
            (ContactChange::Delete, "deleted_at", json!("2026-03-01")),
            (ContactChange::Revive, "deleted_at", Value::Null),
        ];
        for (seconds, (what, key, value)) in (10..).zip(changes) {
            change(&peer, seconds, 0, what.clone());
            let row = contact(&peer, 0).await;
            assert_eq!(row[key], value, "{what:?}");
            assert_eq!(row["updated_at"], text(if moves { seconds } else { 0 }), "{what:?}");
        }
    }
}

#[tokio::test]
async fn ids_of_lists_stay_in_order_and_are_found() {
    let peer = peer_of(3, small()).await;
    let lists: Vec<String> = (0..3).map(|number| format!("{LIST:.35}{number}")).collect();
    for list in [&lists[2], &lists[0], &lists[1], &lists[0]] {
        change(&peer, 9, 0, ContactChange::Join(list.clone()));
    }
    change(&peer, 9, 2, ContactChange::Join(lists[1].clone()));
    assert_eq!(contact(&peer, 0).await["list_memberships"], json!(lists));
    assert_eq!(found(&peer, &format!("lists={}", lists[1])).await, [2, 0]);
    assert_eq!(found(&peer, &format!("lists={},{}", lists[2], lists[0])).await, [0]);
}

#[tokio::test]
async fn unsubscribing_moves_the_address_and_only_optout_after_finds_it() {
    let peer = peer_of(3, small()).await;
    change(&peer, 100, 1, ContactChange::Unsubscribe);
    let row = contact(&peer, 1).await;
    let address = &row["email_address"];
    assert_eq!((&row["updated_at"], &address["updated_at"]), (&json!(text(1)), &json!(text(100))));
    assert_eq!((&address["opt_out_date"], &address["permission_to_send"]), (&json!(text(100)), &json!("unsubscribed")));
    assert_eq!(found(&peer, &format!("status=all&updated_after={}", text(50))).await, Vec::<u32>::new());
    assert_eq!(found(&peer, &format!("status=all&optout_after={}", text(99))).await, [1]);
    assert_eq!(found(&peer, "status=unsubscribed").await, [1]);
    assert_eq!(found(&peer, "status=active").await, [2, 0]);
    change(&peer, 110, 1, ContactChange::Resubscribe);
    let row = contact(&peer, 1).await;
    assert_eq!((row["email_address"].get("opt_out_date"), &row["updated_at"]), (None, &json!(text(1))));
    assert_eq!(row["email_address"]["updated_at"], text(110));
    assert_eq!(found(&peer, "status=all&optout_after=2020-01-01").await, Vec::<u32>::new());
}

#[tokio::test]
async fn a_deleted_contact_is_hidden_until_a_list_or_a_revival_brings_it_back() {
    let peer = peer_of(4, small()).await;
    change(&peer, 5, 1, ContactChange::Join(LIST.to_owned()));
    change(&peer, 100, 1, ContactChange::Delete);
    change(&peer, 100, 2, ContactChange::Delete);
    assert_eq!(found(&peer, "").await, [3, 0]);
    assert_eq!(found(&peer, "status=deleted").await, [2, 1]);
    assert_eq!(found(&peer, "status=all").await, [3, 2, 1, 0]);
    assert_eq!(found(&peer, &format!("status=all&updated_after={}", text(50))).await, [2, 1]);
    assert_eq!(contact(&peer, 1).await["list_memberships"], json!([]));
    change(&peer, 110, 1, ContactChange::Join(LIST.to_owned()));
    change(&peer, 110, 2, ContactChange::Revive);
    assert_eq!(found(&peer, "").await, [3, 2, 1, 0]);
    assert_eq!(contact(&peer, 1).await.get("deleted_at"), None);
}

#[tokio::test]
async fn a_purged_contact_leaves_no_trace() {
    let peer = peer_of(3, small()).await;
    peer.sandbox.edit(at(9), &Change::PurgeContact(id(1))).unwrap();
    assert_eq!(found(&peer, "status=all").await, [2, 0]);
    assert_eq!(peer.get(&format!("/contacts/{}", id(1))).await.status, 404);
    let activities = format!("/reports/contact_reports/{}/activity_details?tracking_activities_list=em_sends", id(1));
    assert_eq!(peer.get(&activities).await.status, 404);
    assert_eq!(peer.sandbox.contacts_now().len(), 2);
    assert!(peer.sandbox.activities_now(&id(1)).is_empty());
    create(&peer, 1, 100);
    assert_eq!(found(&peer, "status=all").await, [1, 2, 0]);
}

#[tokio::test]
async fn counts_follow_every_change() {
    let peer = peer_of(5, small()).await;
    let list = |name: &str| Change::CreateList { list_id: LIST.to_owned(), name: name.to_owned() };
    peer.sandbox.edit(at(0), &list("News")).unwrap();
    (0..4).for_each(|number| change(&peer, 50, number, ContactChange::Join(LIST.to_owned())));
    change(&peer, 60, 0, ContactChange::Unsubscribe);
    change(&peer, 60, 1, ContactChange::Delete);
    let page = peer.body("/contacts?status=all&include_count=true&limit=2").await;
    assert_eq!(page["contacts_count"], 5);
    assert_eq!(peer.body("/contacts?include_count=true&limit=2").await["contacts_count"], 4);
    let counts = peer.body("/contacts/counts").await;
    assert_eq!(counts, json!({"total": 4, "explicit": 0, "implicit": 3, "pending": 0, "unsubscribed": 1}));
    for (of, members) in [("all", 3), ("active", 2)] {
        let lists = peer.rows(&format!("/contact_lists?include_membership_count={of}"), "lists").await;
        assert_eq!(lists[0]["membership_count"], members);
    }
    assert_eq!(peer.sandbox.lists_now()[0].membership_count, Some(3));
}

#[tokio::test]
async fn later_pages_repeat_the_count_if_told_to() {
    for (repeats, expected) in [(false, [Some(5), None, None]), (true, [Some(5); 3])] {
        let mut config = small();
        config.quirks.count_on_every_page = repeats;
        let pages = peer_of(5, config).await.pages("/contacts?status=all&include_count=true&limit=2").await;
        let counts: Vec<_> = pages.iter().map(|page| page["contacts_count"].as_u64()).collect();
        assert_eq!(counts, expected);
    }
}

#[tokio::test]
async fn lists_come_are_renamed_and_are_deleted_with_their_memberships() {
    let peer = peer_of(1, small()).await;
    let edit = |seconds, change| peer.sandbox.edit(at(seconds), &change).unwrap();
    edit(1, Change::CreateList { list_id: LIST.to_owned(), name: "News".to_owned() });
    change(&peer, 2, 0, ContactChange::Join(LIST.to_owned()));
    edit(3, Change::RenameList { list_id: LIST.to_owned(), name: "Letters".to_owned() });
    let row = &peer.rows("/contact_lists?status=all", "lists").await[0];
    assert_eq!(
        row,
        &json!({"list_id": LIST, "name": "Letters", "favorite": false, "created_at": text(1), "updated_at": text(3)})
    );
    edit(4, Change::DeleteList { list_id: LIST.to_owned() });
    assert!(peer.rows("/contact_lists", "lists").await.is_empty());
    let row = &peer.rows("/contact_lists?status=deleted", "lists").await[0];
    assert_eq!((&row["deleted_at"], &row["updated_at"]), (&json!(text(4)), &json!(text(3))));
    let member = contact(&peer, 0).await;
    assert_eq!((&member["list_memberships"], &member["updated_at"]), (&json!([]), &json!(text(2))));
}

#[tokio::test]
async fn campaigns_come_newest_first_and_change_their_status() {
    let peer = peer_of(0, small()).await;
    for number in [1, 3, 2] {
        let create = Change::CreateCampaign {
            campaign_id: format!("{CAMPAIGN:.35}{number}"),
            campaign_activity_id: ACTIVITY.to_owned(),
            name: format!("Issue {number}"),
            status: "Draft".to_owned(),
        };
        peer.sandbox.edit(at(number), &create).unwrap();
    }
    let sent = Change::ChangeCampaign { campaign_id: format!("{CAMPAIGN:.35}2"), status: "Done".to_owned() };
    peer.sandbox.edit(at(60), &sent).unwrap();
    let rows = peer.rows("/emails?limit=2", "campaigns").await;
    assert_eq!(ids(&rows, "name"), ["Issue 3", "Issue 2", "Issue 1"]);
    assert_eq!(serde_json::to_value(peer.sandbox.campaigns_now()).unwrap(), json!(rows));
    let after = peer.rows(&format!("/emails?after_date={}", text(30)), "campaigns").await;
    assert_eq!((ids(&after, "name"), &after[0]["current_status"]), (vec!["Issue 2".to_owned()], &json!("Done")));
    let detail = peer.body(&format!("/emails/{CAMPAIGN:.35}2")).await;
    assert_eq!(detail["campaign_activities"][0]["campaign_activity_id"], ACTIVITY);
}

#[tokio::test]
async fn events_come_newest_first_and_late_ones_find_their_place() {
    let peer = peer_of(1, small()).await;
    for (seconds, kind) in [(10, "em_sends"), (30, "em_opens"), (30, "em_clicks"), (20, "em_opens")] {
        let track = Change::Track {
            contact_id: id(0),
            campaign_activity_id: ACTIVITY.to_owned(),
            name: "Issue".to_owned(),
            kind,
        };
        peer.sandbox.edit(at(seconds), &track).unwrap();
    }
    let path = format!("/reports/contact_reports/{}", id(0));
    let details = format!("{path}/activity_details?tracking_activities_list=em_sends,em_opens,em_clicks&limit=3");
    let rows = peer.rows(&details, "tracking_activities").await;
    let expected = [(30, "em_clicks"), (30, "em_opens"), (20, "em_opens"), (10, "em_sends")];
    for (row, (seconds, kind)) in rows.iter().zip(expected) {
        assert_eq!(row["created_time"], text(seconds).replace('Z', ".000Z"));
        assert_eq!((&row["tracking_activity_type"], &row["contact_id"]), (&json!(kind), &json!(id(0))));
    }
    assert_eq!(serde_json::to_value(peer.sandbox.activities_now(&id(0))).unwrap(), json!(rows));
    let period = "start=2026-03-01&end=2026-03-02";
    let summary = peer.rows(&format!("{path}/activity_summary?{period}"), "campaign_activities").await;
    let counts = ["em_sends", "em_opens", "em_clicks", "em_bounces"].map(|kind| summary[0][kind].as_u64().unwrap());
    assert_eq!((summary.len(), counts), (1, [1, 2, 1, 0]));
    let rates = peer.body(&format!("{path}/open_and_click_rates?{period}")).await;
    assert_eq!((&rates["included_activities_count"], &rates["average_open_rate"]), (&json!(1), &json!(1.0)));
}

#[tokio::test]
async fn an_edited_account_answers_as_the_generated_one_did() {
    let mut config = small();
    config.quirks.segment_pending = 0;
    let (plain, edited) = (Peer::start(config.clone()).await, Peer::start(config).await);
    let list_id = LIST.to_owned();
    edited.sandbox.edit(at(0), &Change::CreateList { list_id: list_id.clone(), name: String::new() }).unwrap();
    edited.sandbox.edit(at(0), &Change::DeleteList { list_id }).unwrap();
    let account = plain.sandbox.account();
    let contact = account.contact_id(10);
    let (list, tag) = (&account.lists()[2].list_id, &account.tags()[1].tag_id);
    for path in [
        "/contacts?status=all&limit=500&include_count=true&include=list_memberships,taggings,notes".to_owned(),
        "/contacts?status=active,deleted&limit=300".to_owned(),
        "/contacts?status=temp_hold,not_set".to_owned(),
        "/contacts?updated_after=2025-06-01&created_before=2025-06-01&limit=500".to_owned(),
        "/contacts?optout_after=2025-01-01&limit=500".to_owned(),
        format!("/contacts?lists={list}&tags={tag}&limit=500"),
        "/contacts?sms_status=all".to_owned(),
        "/contacts/counts".to_owned(),
        format!("/contacts/{contact}?include=phone_numbers"),
        "/contact_lists?include_membership_count=all".to_owned(),
        "/contact_tags?include_count=true".to_owned(),
        "/emails?limit=500".to_owned(),
        format!("/reports/contact_reports/{contact}/activity_details?tracking_activities_list=em_sends,em_opens"),
        format!("/reports/contact_reports/{contact}/activity_summary?start=2000-01-01&end=2030-01-01"),
        format!("/reports/contact_reports/{contact}/open_and_click_rates?start=2023-01-01&end=2026-01-01"),
    ] {
        assert_eq!(edited.body(&path).await, plain.body(&path).await, "{path}");
    }
    let members = plain.body("/contacts?segment_id=14").await;
    assert!(members["contacts"].as_array().unwrap().len() > 10);
    assert_eq!(edited.body("/contacts?segment_id=14").await, members);
    assert_eq!(edited.sandbox.contacts_now(), plain.sandbox.contacts_now());
}

#[tokio::test]
async fn a_contact_that_leaves_the_matches_shifts_its_neighbours_past_a_positional_cursor() {
    let peer = peer_of(6, small()).await;
    // Contact 5 was on the first page. Once it is deleted, contact 3 is there, and the second page begins with 2.
    peer.sandbox.edit_before("/contacts", 2, at(100), Change::Contact(id(5), ContactChange::Delete));
    assert_eq!(found(&peer, "limit=2").await, [5, 4, 2, 1, 0]);
    // It stays among all contacts, so that nothing shifts.
    let peer = peer_of(6, small()).await;
    peer.sandbox.edit_before("/contacts", 2, at(100), Change::Contact(id(5), ContactChange::Delete));
    assert_eq!(found(&peer, "limit=2&status=all").await, [5, 4, 3, 2, 1, 0]);
    // With an upper bound, a change is enough.
    let peer = peer_of(6, small()).await;
    let fields = ContactChange::Fields(json!({"first_name": "Bea"}));
    peer.sandbox.edit_before("/contacts", 2, at(100), Change::Contact(id(5), fields));
    assert_eq!(found(&peer, &format!("limit=2&status=all&updated_before={}", text(50))).await, [5, 4, 2, 1, 0]);
    // And one that is purged shifts them whatever the filter.
    let peer = peer_of(6, small()).await;
    peer.sandbox.edit_before("/contacts", 2, at(100), Change::PurgeContact(id(4)));
    assert_eq!(found(&peer, "limit=2&status=all").await, [5, 4, 2, 1, 0]);
}

#[tokio::test]
async fn a_contact_that_comes_shifts_the_others_down_so_that_one_shows_twice() {
    let peer = peer_of(6, small()).await;
    peer.sandbox.edit_before("/contacts", 2, at(100), creation(6));
    assert_eq!(found(&peer, "limit=2").await, [5, 4, 4, 3, 2, 1, 0]);
    // A change lets one into a filtered crawl, in the place that its creation gives it.
    let peer = peer_of(6, small()).await;
    let fields = ContactChange::Fields(json!({"first_name": "Bea"}));
    peer.sandbox.edit_before("/contacts", 2, at(100), Change::Contact(id(0), fields));
    assert_eq!(found(&peer, &format!("limit=2&updated_after={}", text(1))).await, [5, 4, 3, 2, 0]);
}

#[tokio::test]
async fn a_cursor_that_holds_an_id_does_not_shift() {
    let mut config = small();
    config.quirks.cursor = CursorPosition::Keyset;
    let peer = peer_of(6, config).await;
    peer.sandbox.edit_before("/contacts", 2, at(100), Change::Contact(id(5), ContactChange::Delete));
    peer.sandbox.edit_before("/contacts", 2, at(101), creation(6));
    // The contact that the cursor names leaves the matches itself: the next one takes its place.
    peer.sandbox.edit_before("/contacts", 3, at(102), Change::Contact(id(1), ContactChange::Delete));
    assert_eq!(found(&peer, "limit=2").await, [5, 4, 3, 2, 0]);
    let next = peer.body("/contacts?limit=2").await["_links"]["next"]["href"].as_str().unwrap().to_owned();
    peer.sandbox.edit(at(103), &Change::PurgeContact(id(3))).unwrap();
    assert_eq!(peer.get(next.strip_prefix("/v3").unwrap()).await.status, 400);
}

#[tokio::test]
async fn a_waiting_change_is_seen_by_its_request_and_by_no_earlier_one() {
    let peer = peer_of(1, small()).await;
    let named = |name: &str| Change::Contact(id(0), ContactChange::Fields(json!({"first_name": name})));
    peer.sandbox.edit_before("/contacts", 3, at(30), named("Cid"));
    peer.sandbox.edit_before("/contacts", 2, at(20), named("Bea"));
    peer.sandbox.edit_before("/emails", 1, at(40), named("Dan"));
    let mut seen = Vec::new();
    for path in ["/contacts", "/contact_lists", "/contacts", "/contacts", "/emails", "/contacts"] {
        peer.body(path).await;
        seen.push(peer.sandbox.contacts_now()[0]["first_name"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen, ["Ann", "Ann", "Bea", "Cid", "Dan", "Dan"]);
    peer.sandbox.edit_before("/contacts", 9, at(60), named("Fay"));
    peer.sandbox.edit_before("/contacts", 8, at(50), named("Eve"));
    peer.sandbox.wait_no_longer().unwrap();
    assert_eq!(peer.sandbox.contacts_now()[0]["first_name"], "Fay");
}

#[tokio::test]
async fn changes_of_what_is_not_there_are_refused() {
    let peer = peer_of(1, small()).await;
    let edit = |change| peer.sandbox.edit(at(0), &change);
    assert!(matches!(edit(Change::PurgeContact(id(7))), Err(SandboxError::Unknown { kind: "contact", .. })));
    let delete = Change::Contact(id(7), ContactChange::Delete);
    assert!(matches!(edit(delete.clone()), Err(SandboxError::Unknown { .. })));
    assert!(matches!(edit(creation(0)), Err(SandboxError::Taken { .. })));
    assert!(matches!(edit(Change::CreateContact(json!({"first_name": "Ann"}))), Err(SandboxError::Lacks { .. })));
    edit(Change::CreateContact(json!({"contact_id": id(1)}))).unwrap();
    assert!(matches!(
        edit(Change::Contact(id(1), ContactChange::Unsubscribe)),
        Err(SandboxError::Lacks { kind: "contact", .. })
    ));
    assert!(matches!(edit(Change::DeleteList { list_id: LIST.to_owned() }), Err(SandboxError::Unknown { .. })));
    peer.sandbox.edit_before("/contacts", 1, at(0), delete);
    let answer = peer.get("/contacts").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("the sandbox has no contact"), "{}", answer.text);
    assert_eq!(peer.get("/contacts").await.status, 200);
}

#[tokio::test]
async fn the_clock_can_be_set_for_dates_cursors_and_the_quota() {
    let mut config = SandboxConfig { daily_requests: 3, ..small() };
    config.quirks.cursor_lifetime = Some(Duration::from_mins(1));
    config.quirks.access_token_lifetime = Duration::from_hours(48);
    let peer = Peer::start(config).await;
    peer.sandbox.set_time(at(0));
    let answer = peer.get("/contacts?limit=10").await;
    assert_eq!(answer.headers["date"], "Sun, 01 Mar 2026 12:00:00 GMT");
    let next = answer.json()["_links"]["next"]["href"].as_str().unwrap().strip_prefix("/v3").unwrap().to_owned();
    peer.sandbox.set_time(at(59));
    assert_eq!(peer.get(&next).await.status, 200);
    peer.sandbox.set_time(at(60));
    assert_eq!(peer.get(&next).await.status, 400);
    assert_eq!(peer.get("/contacts").await.status, 429);
    peer.sandbox.set_time(at(12 * 3_600));
    peer.sandbox.set_time_before("/contacts", 2, at(12 * 3_600 + 5));
    for second in ["00", "05"] {
        let answer = peer.get("/contacts").await;
        let date = format!("Mon, 02 Mar 2026 00:00:{second} GMT");
        assert_eq!((answer.status, &answer.headers["date"]), (200, &date.parse().unwrap()));
    }
    peer.sandbox.set_time_before("/contacts", 1, at(12 * 3_600 + 6));
    peer.sandbox.wait_no_longer().unwrap();
    assert_eq!(peer.sandbox.time(), at(12 * 3_600 + 6));
}
