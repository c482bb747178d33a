//! Filters choose what the vendor's description says, compared with the account itself.

use serde_json::Value;

use super::{Peer, ids, small};
use crate::{Account, Contact, SandboxConfig};

/// The ids of the contacts that a predicate chooses, in the order of the API.
fn chosen(account: &Account, choose: impl Fn(&Contact) -> bool) -> Vec<String> {
    let contacts = (0..account.contacts()).rev().map(|index| account.contact(index));
    contacts.filter(|contact| choose(contact)).map(|contact| contact.contact_id).collect()
}

fn permission(contact: &Contact) -> Option<&'static str> {
    contact.email_address.as_ref().map(|address| address.permission_to_send)
}

async fn found(peer: &Peer, query: &str) -> Vec<String> {
    ids(&peer.rows(&format!("/contacts?limit=100&{query}"), "contacts").await, "contact_id")
}

fn large() -> SandboxConfig {
    SandboxConfig { contacts: 3_000, ..SandboxConfig::default() }.unlimited()
}

#[tokio::test]
async fn deleted_contacts_are_hidden_unless_asked_for() {
    let peer = Peer::start(large()).await;
    let account = peer.sandbox.account();
    let alive = chosen(account, |contact| contact.deleted_at.is_none());
    let deleted = chosen(account, |contact| contact.deleted_at.is_some());
    assert!(deleted.len() > 20);
    assert_eq!(found(&peer, "").await, alive);
    assert_eq!(found(&peer, "status=deleted").await, deleted);
    assert_eq!(found(&peer, "status=all").await, chosen(account, |_| true));
    assert_eq!(found(&peer, "updated_after=2000-01-01").await, alive);
}

#[tokio::test]
async fn statuses_follow_the_permission_of_contacts_that_are_not_deleted() {
    let peer = Peer::start(large()).await;
    let account = peer.sandbox.account();
    for status in ["unsubscribed", "not_set", "pending_confirmation", "temp_hold"] {
        let expected = chosen(account, |contact| contact.deleted_at.is_none() && permission(contact) == Some(status));
        assert!(!expected.is_empty(), "{status}");
        assert_eq!(found(&peer, &format!("status={status}")).await, expected, "{status}");
    }
    let active = |contact: &Contact| matches!(permission(contact), Some("explicit" | "implicit"));
    let either = chosen(account, |contact| contact.deleted_at.is_some() || active(contact));
    assert_eq!(found(&peer, "status=active,deleted").await, either);
}

#[tokio::test]
async fn bounds_are_exclusive_unless_told_otherwise() {
    for inclusive in [false, true] {
        let mut config = large();
        config.quirks.inclusive_bounds = inclusive;
        let peer = Peer::start(config).await;
        let account = peer.sandbox.account();
        let at = account.contact(1_500).updated_at;
        let expected = chosen(account, |contact| contact.updated_at > at || inclusive && contact.updated_at == at);
        assert_eq!(found(&peer, &format!("status=all&updated_after={at}")).await, expected);
        let expected = chosen(account, |contact| contact.updated_at < at || inclusive && contact.updated_at == at);
        assert_eq!(found(&peer, &format!("status=all&updated_before={at}")).await, expected);
    }
}

#[tokio::test]
async fn every_form_of_a_bound_means_the_same_instant() {
    let peer = Peer::start(small()).await;
    let expected = found(&peer, "created_after=2024-05-01").await;
    assert!(!expected.is_empty());
    for form in [
        "2024-05-01T00:00:00Z",
        "2024-05-01T00:00:00.000Z",
        "2024-05-01T02:00:00%2B02:00",
        "2024-05-01T02:00:00%2B0200",
        "2024-04-30T19:00:00-05:00",
    ] {
        assert_eq!(found(&peer, &format!("created_after={form}")).await, expected, "{form}");
    }
    let after = peer.get("/contacts?created_after=2024-05-01T02:00:00+02:00").await;
    assert_eq!(after.status, 400, "a plus sign that is not encoded is a space");
}

#[tokio::test]
async fn created_and_optout_bounds_choose_by_their_own_dates() {
    let peer = Peer::start(large()).await;
    let account = peer.sandbox.account();
    let created =
        chosen(account, |c| c.created_at.as_str() > "2024-01-01" && c.created_at.as_str() < "2025-01-01T00:00:00Z");
    assert_eq!(found(&peer, "status=all&created_after=2023-12-31T23:59:59Z&created_before=2025-01-01").await, created);
    let left = chosen(account, |contact| {
        contact
            .email_address
            .as_ref()
            .and_then(|a| a.opt_out_date.as_deref())
            .is_some_and(|at| at > "2025-06-01T00:00:00Z")
    });
    assert!(left.len() > 5);
    assert_eq!(found(&peer, "status=all&optout_after=2025-06-01").await, left);
}

#[tokio::test]
async fn lists_and_tags_find_members_of_any() {
    let peer = Peer::start(large()).await;
    let account = peer.sandbox.account();
    let (one, two) = (&account.lists()[0].list_id, &account.lists()[3].list_id);
    let on = |contact: &Contact| contact.list_memberships.as_ref().unwrap().iter().any(|id| id == one || id == two);
    assert_eq!(found(&peer, &format!("lists={one},{two}")).await, chosen(account, on));
    let tag = &account.tags()[2].tag_id;
    let tagged = |c: &Contact| c.deleted_at.is_none() && c.taggings.as_ref().unwrap().contains(tag);
    assert_eq!(found(&peer, &format!("tags={tag}")).await, chosen(account, tagged));
    assert_eq!(found(&peer, "tags=00000000-0000-1000-8000-000000000000").await, Vec::<String>::new());
}

#[tokio::test]
async fn email_finds_one_contact_whatever_the_signs_in_it() {
    let peer = Peer::start(large()).await;
    let account = peer.sandbox.account();
    let contacts = (0..account.contacts()).map(|index| account.contact(index));
    let plus = contacts.filter(|contact| contact.email_address.as_ref().is_some_and(|a| a.address.contains('+')));
    let mut checked = 0;
    for contact in plus.take(3).chain([account.contact(77)]) {
        let address = contact.email_address.unwrap().address;
        let query = format!("status=all&email={}", address.replace('+', "%2B"));
        assert_eq!(found(&peer, &query).await, [contact.contact_id]);
        checked += 1;
    }
    assert_eq!(checked, 4);
    assert!(found(&peer, "status=all&email=nobody@example.com").await.is_empty());
}

#[tokio::test]
async fn sms_status_finds_consents() {
    let peer = Peer::start(large()).await;
    let rows = peer.rows("/contacts?status=all&sms_status=all&limit=500", "contacts").await;
    assert!(rows.len() > 50);
    assert!(rows.iter().all(|row| row["sms_channel"].is_object()));
    let explicit = peer.rows("/contacts?status=all&sms_status=explicit&limit=500", "contacts").await;
    let consent = |row: &Value| row["sms_channel"]["sms_channel_consents"][0]["sms_consent_permission"].clone();
    assert!(explicit.iter().all(|row| consent(row) == "explicit" || consent(row).is_null()));
    assert!(explicit.len() < rows.len());
}

#[tokio::test]
async fn a_segment_is_worked_out_first() {
    let mut config = large();
    config.quirks.segment_pending = 2;
    let peer = Peer::start(config).await;
    for _ in 0..2 {
        let answer = peer.get("/contacts?segment_id=14&limit=20").await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json(), serde_json::json!({"contacts": [], "status": "processing"}));
    }
    let members = peer.rows("/contacts?segment_id=14&limit=20", "contacts").await;
    assert!(members.len() > 100);
    assert_eq!(peer.get("/contacts?segment_id=14&status=all").await.status, 400);
    assert_eq!(peer.get("/contacts?segment_id=9999").await.status, 400);
}

#[tokio::test]
async fn counts_are_those_of_the_rows() {
    let peer = Peer::start(large()).await;
    let page = peer.body("/contacts?status=unsubscribed&include_count=true&limit=1").await;
    let unsubscribed = found(&peer, "status=unsubscribed").await.len();
    assert_eq!(page["contacts_count"], unsubscribed);
    let counts = peer.body("/contacts/counts?include=new_subscriber").await;
    assert_eq!(counts["unsubscribed"], unsubscribed);
    assert_eq!(counts["pending"], found(&peer, "status=pending_confirmation").await.len());
    let sum: u64 =
        ["explicit", "implicit", "pending", "unsubscribed"].iter().map(|key| counts[key].as_u64().unwrap()).sum();
    assert_eq!(counts["total"], sum);
    assert!(counts["new_subscriber"].as_u64().unwrap() > 0);
    assert_eq!(peer.body("/contacts/counts").await.get("new_subscriber"), None);

    let lists = peer.rows("/contact_lists?include_membership_count=all", "lists").await;
    for list in lists.iter().take(4) {
        let members = found(&peer, &format!("status=all&lists={}", list["list_id"].as_str().unwrap())).await.len();
        assert_eq!(list["membership_count"], members);
    }
    let tags = peer.rows("/contact_tags?include_count=true", "tags").await;
    let tagged = found(&peer, &format!("tags={}", tags[1]["tag_id"].as_str().unwrap())).await.len();
    assert_eq!(tags[1]["contacts_count"], tagged);
}

#[tokio::test]
async fn campaigns_are_filtered_by_their_update() {
    let peer = Peer::start(small()).await;
    let all = peer.rows("/emails?limit=500", "campaigns").await;
    assert!(ids(&all, "created_at").is_sorted_by(|a, b| a >= b));
    let after: Vec<_> =
        all.iter().filter(|row| row["updated_at"].as_str().unwrap() > "2025-03-01T00:00:00.000Z").cloned().collect();
    assert!(after.len() < all.len());
    assert_eq!(peer.rows("/emails?after_date=2025-03-01", "campaigns").await, after);
    assert_eq!(peer.rows("/emails?status=Draft&updated_after=2025-03-01", "campaigns").await, all, "ignored");
    let id = all[5]["campaign_id"].as_str().unwrap();
    let detail = peer.body(&format!("/emails/{id}")).await;
    assert_eq!(detail["current_status"], all[5]["current_status"].as_str().unwrap().to_uppercase());
    assert_eq!(detail["campaign_activities"][0]["role"], "primary_email");
}

#[tokio::test]
async fn lists_can_be_chosen_by_status_name_and_channel() {
    let peer = Peer::start(small()).await;
    let account = peer.sandbox.account();
    let all = peer.rows("/contact_lists?status=all&limit=500", "lists").await;
    assert!(ids(&all, "list_id").is_sorted());
    assert_eq!(serde_json::to_value(account.lists()).unwrap(), Value::Array(all.clone()));
    let deleted = peer.rows("/contact_lists?status=deleted", "lists").await;
    assert!(!deleted.is_empty());
    assert!(deleted.iter().all(|list| list["deleted_at"].as_str().unwrap().ends_with('Z')));
    let active = peer.body("/contact_lists?include_count=true").await;
    assert_eq!(active["lists_count"], all.len() - deleted.len());
    let named = peer.rows("/contact_lists?name=General%20Interest", "lists").await;
    assert_eq!(named.len(), 1);
    assert_eq!(peer.rows("/contact_lists?channel_type=sms", "lists").await.len(), 2);
}
