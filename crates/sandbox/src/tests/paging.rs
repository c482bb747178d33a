//! Every collection can be read to its end, whatever form the end has.

use std::collections::HashSet;

use super::{Peer, ids, small};
use crate::{ContactOrder, CursorPosition, LastPage};

#[tokio::test]
async fn contacts_are_read_to_the_end_for_every_form_of_last_page_and_cursor() {
    for last_page in [LastPage::Absent, LastPage::Empty, LastPage::NextNull, LastPage::HrefNull] {
        for cursor in [CursorPosition::Offset, CursorPosition::Keyset] {
            for contact_order in [ContactOrder::CreatedDescending, ContactOrder::Shuffled] {
                let mut config = small();
                config.quirks.last_page = last_page;
                config.quirks.cursor = cursor;
                config.quirks.contact_order = contact_order;
                let peer = Peer::start(config).await;
                let pages = peer.pages("/contacts?status=all&limit=70").await;
                assert_eq!(pages.len(), 5);
                let rows: Vec<_> = pages.iter().flat_map(|page| page["contacts"].as_array().unwrap().clone()).collect();
                let found: HashSet<_> = ids(&rows, "contact_id").into_iter().collect();
                assert_eq!((rows.len(), found.len()), (300, 300));
                let end = pages.last().unwrap().get("_links").map(ToString::to_string);
                let expected = match last_page {
                    LastPage::Absent => None,
                    LastPage::Empty => Some("{}"),
                    LastPage::NextNull => Some(r#"{"next":null}"#),
                    LastPage::HrefNull => Some(r#"{"next":{"href":null}}"#),
                };
                assert_eq!(end.as_deref(), expected);
            }
        }
    }
}

#[tokio::test]
async fn a_page_can_hold_fewer_rows_than_asked_for() {
    let mut config = small();
    config.quirks.most_rows = Some(40);
    let peer = Peer::start(config).await;
    let pages = peer.pages("/contacts?status=all&limit=500").await;
    let rows: Vec<_> = pages.iter().map(|page| page["contacts"].as_array().unwrap().len()).collect();
    assert_eq!(rows, [40, 40, 40, 40, 40, 40, 40, 20]);
    assert_eq!(peer.pages("/contact_lists?limit=7&status=all").await.len(), 3);
}

#[tokio::test]
async fn contacts_come_newest_first_and_in_no_order_of_their_ids() {
    let peer = Peer::start(small()).await;
    let rows = peer.rows("/contacts?status=all&limit=500", "contacts").await;
    let created = ids(&rows, "created_at");
    assert!(created.is_sorted_by(|a, b| a >= b));
    assert!(!ids(&rows, "contact_id").is_sorted());
}

#[tokio::test]
async fn a_cursor_carries_limit_filters_and_includes() {
    let peer = Peer::start(small()).await;
    let pages = peer.pages("/contacts?status=deleted&include=list_memberships&limit=5").await;
    assert!(pages.len() > 1);
    for page in &pages {
        for contact in page["contacts"].as_array().unwrap() {
            assert!(contact["deleted_at"].is_string());
            assert_eq!(contact["list_memberships"], serde_json::json!([]));
            assert_eq!(contact.get("notes"), None);
        }
    }
    assert!(pages.iter().rev().skip(1).all(|page| page["contacts"].as_array().unwrap().len() == 5));
    assert!(!pages.last().unwrap()["contacts"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn every_collection_is_read_to_the_end() {
    let mut config = small();
    config.campaigns = 130;
    let peer = Peer::start(config).await;
    let account = peer.sandbox.account();
    let contact = account.contact_id(10);
    let collections = [
        ("/contact_lists?status=all&limit=7".to_owned(), "lists", account.lists().len()),
        ("/contact_tags?limit=4".to_owned(), "tags", account.tags().len()),
        ("/contact_custom_fields?limit=3".to_owned(), "custom_fields", account.custom_fields().len()),
        ("/emails?limit=20".to_owned(), "campaigns", account.campaigns().len()),
        ("/segments?limit=1".to_owned(), "segments", account.segments().len()),
        (
            format!(
                "/reports/contact_reports/{contact}/activity_details?tracking_activities_list=em_sends,em_opens&limit=3"
            ),
            "tracking_activities",
            account
                .activities(10)
                .iter()
                .filter(|a| ["em_sends", "em_opens"].contains(&a.tracking_activity_type))
                .count(),
        ),
    ];
    for (path, key, count) in collections {
        assert!(count > 0, "{path}");
        assert_eq!(peer.rows(&path, key).await.len(), count, "{path}");
    }
}

#[tokio::test]
async fn the_summary_has_200_campaigns_on_a_page() {
    let mut config = small();
    config.campaigns = 500;
    config.sends = 480;
    let peer = Peer::start(config).await;
    let account = peer.sandbox.account();
    // The oldest contacts were there for all campaigns; some left early.
    let index = (0..20).find(|index| account.activity_summary(*index, 0, i64::MAX).len() > 400).unwrap();
    let rows = account.activity_summary(index, 0, i64::MAX);
    let path = format!(
        "/reports/contact_reports/{}/activity_summary?start=2000-01-01T00:00:00-0500&end=2100-01-01",
        account.contact_id(index)
    );
    let pages = peer.pages(&path).await;
    assert!(pages.iter().rev().skip(1).all(|page| page["campaign_activities"].as_array().unwrap().len() == 200));
    let served = pages.iter().flat_map(|page| page["campaign_activities"].as_array().unwrap().clone()).collect();
    assert_eq!(serde_json::to_value(rows).unwrap(), serde_json::Value::Array(served));
}

#[tokio::test]
async fn a_cursor_that_was_changed_or_belongs_elsewhere_is_refused() {
    let peer = Peer::start(small()).await;
    let page = peer.body("/contacts?limit=10").await;
    let href = page["_links"]["next"]["href"].as_str().unwrap();
    assert!(href.starts_with("/v3/contacts?cursor="));
    let cursor = href.split_once('=').unwrap().1;
    let mut changed = cursor.to_owned();
    changed.replace_range(8..9, if &cursor[8..9] == "A" { "B" } else { "A" });
    for path in [
        format!("/contacts?cursor={changed}"),
        format!("/contacts?cursor={}", &cursor[4..]),
        "/contacts?cursor=%%%".to_owned(),
        "/contacts?cursor=bGltaXQ9MSZuZXh0PTI=".to_owned(),
        format!("/contact_tags?cursor={cursor}"),
    ] {
        let answer = peer.get(&path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()[0]["error_key"], "contacts.api.validation.error");
    }
    // Other parameters beside a good cursor are ignored.
    let beside = peer.body(&format!("/contacts?cursor={cursor}&limit=3&status=deleted")).await;
    assert_eq!(beside, peer.body(&format!("/contacts?cursor={cursor}")).await);
}

#[tokio::test]
async fn a_cursor_ends_after_its_lifetime() {
    let mut config = small();
    config.quirks.cursor_lifetime = Some(std::time::Duration::ZERO);
    let peer = Peer::start(config).await;
    let page = peer.body("/contacts?limit=10").await;
    let href = page["_links"]["next"]["href"].as_str().unwrap();
    assert_eq!(peer.get(href.strip_prefix("/v3").unwrap()).await.status, 400);
}
