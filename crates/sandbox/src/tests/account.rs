//! The generated account: its bytes are fixed, its ids lead back, its history holds together.

use std::collections::HashSet;

use crate::{Account, Contact, SandboxConfig};

fn account(contacts: u64, days_later: u32) -> Account {
    Account::new(&SandboxConfig { contacts, days_later, ..SandboxConfig::default() })
}

fn all(account: &Account) -> impl Iterator<Item = Contact> {
    (0..account.contacts()).map(|index| account.contact(index))
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let account = account(1_000, 0);
    let contacts: Vec<Contact> = (0..4).map(|index| account.contact(index)).collect();
    insta::assert_json_snapshot!("contacts", contacts);
    insta::assert_json_snapshot!("activities", account.activities(1));
    insta::assert_json_snapshot!("activity_summary", account.activity_summary(1, 0, i64::MAX));
    insta::assert_json_snapshot!("lists", account.lists());
    insta::assert_json_snapshot!("custom_fields", account.custom_fields());
    insta::assert_json_snapshot!("campaigns", account.campaigns().iter().take(5).collect::<Vec<_>>());
}

#[test]
fn another_seed_makes_another_account() {
    let other = Account::new(&SandboxConfig { seed: 8, ..SandboxConfig::default() });
    assert_ne!(account(1_000, 0).contact(0), other.contact(0));
}

#[test]
fn every_contact_id_leads_back_to_its_index() {
    for contacts in [1, 2, 3, 1_000, 5_000_000_000] {
        let account = account(contacts, 0);
        let step = (contacts / 2_000).max(1);
        let mut ids = HashSet::new();
        for index in (0..contacts).step_by(usize::try_from(step).unwrap()) {
            let id = account.contact_id(index);
            assert_eq!(account.index_of(&id), Some(index));
            assert_eq!(&id[14..15], "1", "a time-based UUID");
            assert!(ids.insert(id));
        }
    }
    let account = account(1_000, 0);
    assert_eq!(account.index_of("1618ae62-4752-11e9-9c8a-fa163e6b01c1"), None);
    assert_eq!(account.index_of(""), None);
}

#[test]
fn a_contact_beyond_the_account_is_not_found() {
    let (small, large) = (account(10, 0), account(20, 0));
    assert_eq!(small.index_of(&large.contact_id(15)), None);
    assert_eq!(large.index_of(&large.contact_id(15)), Some(15));
}

#[test]
fn nothing_is_later_than_the_anchor_day() {
    let account = account(2_000, 0);
    let text = all(&account).map(|contact| serde_json::to_string(&contact).unwrap()).collect::<String>();
    assert!(!text.contains("\"2026-"), "the anchor is 2026-01-01");
    for index in 0..2_000 {
        assert!(account.activities(index).iter().all(|activity| activity.created_time.as_str() < "2026-01-01"));
    }
    assert!(account.campaigns().iter().all(|campaign| campaign.updated_at.as_str() < "2026-01-01"));
}

#[test]
fn distributions_are_those_that_were_measured() {
    let account = account(5_000, 0);
    let contacts: Vec<Contact> = all(&account).collect();
    let count = |choose: &dyn Fn(&Contact) -> bool| contacts.iter().filter(|contact| choose(contact)).count();
    let rows = |length: &dyn Fn(&Contact) -> usize| contacts.iter().map(length).sum::<usize>() * 10 / contacts.len();
    assert!((5..=30).contains(&count(&|c| c.email_address.is_none())));
    assert!((200..=600).contains(&count(&|c| c.deleted_at.is_some())));
    assert!((300..=1_000).contains(&count(&|c| c.email_address.as_ref().is_some_and(|a| a.opt_out_date.is_some()))));
    assert!((200..=400).contains(&count(&|c| c.sms_channel.is_some())));
    assert!((10..=20).contains(&rows(&|c| c.phone_numbers.as_ref().unwrap().len())));
    assert!((8..=12).contains(&rows(&|c| c.street_addresses.as_ref().unwrap().len())));
    assert!((20..=35).contains(&rows(&|c| c.list_memberships.as_ref().unwrap().len())));
    assert!((10..=20).contains(&rows(&|c| c.taggings.as_ref().unwrap().len())));
    assert!((15..=25).contains(&rows(&|c| c.custom_fields.as_ref().unwrap().len())));
    assert!(count(&|c| c.custom_fields.as_ref().unwrap().iter().any(|f| f.choice_ids.is_some())) > 500);
    assert!(count(&|c| c.first_name.is_some_and(|name| !name.is_ascii())) > 200);
    let bytes: usize = contacts.iter().map(|contact| serde_json::to_vec(contact).unwrap().len()).sum();
    assert!((1_350..=1_500).contains(&(bytes / contacts.len())), "{}", bytes / contacts.len());
    let import = &contacts[imported(&contacts)].updated_at;
    let one_second = contacts.iter().filter(|contact| contact.updated_at == *import).count();
    assert!(one_second > 100, "an import touches many contacts in one second: {one_second}");
    let addresses: HashSet<_> = contacts.iter().filter_map(|c| c.email_address.as_ref().map(|a| &a.address)).collect();
    assert_eq!(addresses.len(), count(&|c| c.email_address.is_some()));
}

/// A contact whose second of change is shared by most.
fn imported(contacts: &[Contact]) -> usize {
    let mut seen = std::collections::HashMap::<&str, (usize, usize)>::new();
    for (index, contact) in contacts.iter().enumerate() {
        seen.entry(&contact.updated_at).or_insert((0, index)).0 += 1;
    }
    seen.into_values().max().unwrap().1
}

#[test]
fn dates_of_a_contact_hold_together() {
    for contact in all(&account(3_000, 0)) {
        assert!(contact.created_at <= contact.updated_at);
        if let Some(deleted) = &contact.deleted_at {
            assert_eq!(deleted.len(), 10);
            assert!(contact.created_at[..10] <= **deleted);
            assert_eq!(contact.list_memberships, Some(Vec::new()));
        }
        let Some(address) = contact.email_address else { continue };
        let left = address.permission_to_send == "unsubscribed";
        assert_eq!((left, left), (address.opt_out_date.is_some(), address.opt_out_source.is_some()));
        assert_eq!(address.updated_at, address.opt_out_date.unwrap_or(contact.created_at));
    }
}

#[test]
fn engagement_agrees_with_campaigns_summaries_and_opt_outs() {
    let account = account(2_000, 0);
    let sent: HashSet<&str> =
        account.campaigns().iter().filter(|c| c.sent.is_some()).map(|c| c.primary_activity_id.as_str()).collect();
    let (mut sends, mut opt_outs) = (0, 0);
    for index in 0..2_000 {
        let activities = account.activities(index);
        assert!(activities.is_sorted_by(|a, b| a.created_time >= b.created_time));
        let keys: HashSet<_> =
            activities.iter().map(|a| (&a.created_time, a.tracking_activity_type, &a.campaign_activity_id)).collect();
        assert_eq!(keys.len(), activities.len());
        let of = |kind: &str| activities.iter().filter(|a| a.tracking_activity_type == kind).count();
        let mails = activities.iter().filter(|a| a.tracking_activity_type.starts_with("em_"));
        assert!(mails.clone().all(|a| sent.contains(a.campaign_activity_id.as_str())));
        let summary = account.activity_summary(index, 0, i64::MAX);
        let total = |count: &dyn Fn(&crate::ActivitySummary) -> u32| summary.iter().map(count).sum::<u32>() as usize;
        assert_eq!(total(&|row| row.em_sends), of("em_sends"));
        assert_eq!(total(&|row| row.em_opens), of("em_opens"));
        assert_eq!(total(&|row| row.em_clicks), of("em_clicks"));
        assert_eq!(total(&|row| row.em_bounces), of("em_bounces"));
        assert_eq!(total(&|row| row.em_forwards), of("em_forwards"));
        assert_eq!(total(&|row| row.em_unsubscribes), of("em_optouts"));
        if let Some(opt_out) = activities.iter().find(|a| a.tracking_activity_type == "em_optouts") {
            let left = account.contact(index).email_address.unwrap().opt_out_date.unwrap();
            assert_eq!(opt_out.created_time, left.replace('Z', ".000Z"));
            opt_outs += 1;
        }
        sends += of("em_sends");
    }
    assert!(opt_outs > 50, "{opt_outs}");
    assert!((5..=20).contains(&(sends / 2_000)), "{}", sends / 2_000);
}

#[test]
fn later_days_add_to_the_history_and_change_nothing_of_it() {
    let (before, after) = (account(3_000, 0), account(3_000, 30));
    assert_eq!(after.contacts(), 3_000 + 30 * 3);
    let (mut left, mut deleted, mut edited) = (0, 0, 0);
    for index in 0..3_000 {
        let (old, new) = (before.contact(index), after.contact(index));
        assert_eq!((&old.contact_id, &old.created_at), (&new.contact_id, &new.created_at));
        if old == new {
            continue;
        }
        let moved = new.updated_at.as_str() >= "2026-01-01";
        let opted_out = |c: &Contact| c.email_address.as_ref().is_some_and(|a| a.opt_out_date.is_some());
        if opted_out(&new) && !opted_out(&old) {
            left += 1;
            assert!(new.email_address.as_ref().unwrap().updated_at.as_str() >= "2026-01-01");
            assert!(moved || new.updated_at == old.updated_at, "unsubscribing moves no updated_at of a contact");
        } else {
            assert!(moved, "a change moves updated_at");
        }
        deleted += usize::from(new.deleted_at.is_some() && old.deleted_at.is_none());
        edited += usize::from(moved);
        let known = before.activities(index);
        let then: Vec<_> =
            after.activities(index).into_iter().filter(|a| a.created_time.as_str() < "2026-01-01").collect();
        assert_eq!(then, known);
    }
    assert!(left > 5 && deleted > 2 && edited > 50, "{left} {deleted} {edited}");
    let new = after.contact(3_050);
    assert!(new.created_at.as_str() >= "2026-01-01" && new.created_at.as_str() < "2026-01-31");
    assert!(after.campaigns().len() > before.campaigns().len());
}

#[test]
fn unsubscribing_moves_the_address_and_not_the_contact() {
    let (before, after) = (account(3_000, 0), account(3_000, 60));
    let only_left = |index: &u64| {
        let (old, new) = (before.contact(*index), after.contact(*index));
        let permission = |c: &Contact| c.email_address.as_ref().map(|a| a.permission_to_send);
        permission(&old) != permission(&new) && old.updated_at == new.updated_at
    };
    let left: Vec<u64> = (0..3_000).filter(only_left).collect();
    assert!(left.len() > 3, "{}", left.len());
    for index in left {
        let (old, new) = (before.contact(index), after.contact(index));
        let (old_address, new_address) = (old.email_address.unwrap(), new.email_address.unwrap());
        assert_eq!(new_address.permission_to_send, "unsubscribed");
        assert!(new_address.updated_at > old_address.updated_at);
        assert_eq!((old.updated_at, old.job_title), (new.updated_at, new.job_title));
    }
}

#[test]
fn what_moves_updated_at_can_be_switched_off() {
    let plain = account(2_000, 0);
    let mut config = SandboxConfig { contacts: 2_000, ..SandboxConfig::default() };
    config.quirks.list_add_moves_updated_at = false;
    config.quirks.tag_change_moves_updated_at = false;
    config.quirks.deletion_moves_updated_at = false;
    let mut earlier = 0;
    for (moved, still) in all(&plain).zip(all(&Account::new(&config))) {
        assert!(still.updated_at <= moved.updated_at);
        earlier += usize::from(still.updated_at < moved.updated_at);
        assert_eq!(Contact { updated_at: moved.updated_at.clone(), ..still }, moved, "nothing else differs");
    }
    assert!(earlier > 200, "{earlier}");
}
