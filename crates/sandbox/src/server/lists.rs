//! `/contact_lists`, `/contact_tags`, `/contact_custom_fields` and `/segments`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::page::{Page, by_id, by_position};
use super::query::Query;
use super::{Service, variation};
use crate::account::{ContactList, Members, Tag};
use crate::gate::lock;
use crate::refusal::Refusal;

pub(super) async fn lists(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let known =
        ["include_count", "include_membership_count", "name", "status", "channel_type", "include_sms_membership_count"];
    let query = Query::read(&service, &uri, &known)?;
    // The vendor's schema says 1,000, its prose 500.
    let limit = query.limit(50, 1_000)?;
    let membership = query.choice("include_membership_count", &["all", "active"])?;
    let of_sms = query.choice("channel_type", &["email", "sms"])? == Some("sms");
    let sms_membership = query.flag("include_sms_membership_count")?.unwrap_or_default();
    let statuses = query.choices("status", &["all", "active", "deleted"])?.unwrap_or_else(|| vec!["active".to_owned()]);
    let wanted = |list: &ContactList| {
        let status = if list.deleted_at.is_some() { "deleted" } else { "active" };
        statuses.iter().any(|asked| asked == "all" || asked == status)
            && query.text("name").is_none_or(|name| name == list.name)
    };
    // Sub-resources of contacts hold no SMS list, so none has members.
    let edits = lock(&service.edits);
    let all = if of_sms { service.account.sms_lists() } else { service.lists(&edits) };
    let census = (membership.is_some() && !of_sms).then(|| service.census(&edits));
    let members =
        |place: usize| census.as_ref().and_then(|census| census.lists.get(place).copied()).unwrap_or_default();
    let counted = |(place, list): (usize, &ContactList)| {
        let Members { all, active } = members(place);
        let membership_count = match membership {
            Some("active") => Some(active),
            Some(_) => Some(all),
            None => (of_sms && sms_membership).then_some(0),
        };
        ContactList { membership_count, ..list.clone() }
    };
    let lists: Vec<ContactList> = all.iter().enumerate().filter(|(_, list)| wanted(list)).map(counted).collect();
    let slice = by_id(&query, &lists, limit, |list| &list.list_id)?;
    let mut page = Page::new("lists", &service.config);
    for list in slice.rows {
        variation::push_list(&mut page, list, &service.config.quirks);
    }
    let count = query.flag("include_count")?.unwrap_or_default().then_some(("lists_count", lists.len() as u64));
    Ok(page.finish(count, slice.next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn tags(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["include_count"])?;
    let limit = query.limit(50, 500)?;
    let counts = query.flag("include_count")?.unwrap_or_default().then(|| service.census(&lock(&service.edits)));
    let slice = by_id(&query, service.account.tags(), limit, |tag| &tag.tag_id)?;
    let mut page = Page::new("tags", &service.config);
    for tag in slice.rows {
        let place = service.account.tags().iter().position(|known| known.tag_id == tag.tag_id);
        let contacts_count = counts.as_ref().and_then(|counts| counts.tags.get(place?).copied());
        page.push(&Tag { contacts_count, ..tag.clone() });
    }
    Ok(page.finish(None, slice.next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn custom_fields(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &[])?;
    let limit = query.limit(50, 100)?;
    let slice = by_id(&query, service.account.custom_fields(), limit, |field| &field.custom_field_id)?;
    let mut page = Page::new("custom_fields", &service.config);
    slice.rows.iter().for_each(|field| page.push(field));
    Ok(page.finish(None, slice.next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn segments(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["sort_by"])?;
    let limit = query.limit(1_000, 1_000)?;
    let mut segments = service.account.segments().to_vec();
    if query.choice("sort_by", &["date", "name"])? == Some("name") {
        segments.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let slice = by_position(&query, &segments, limit)?;
    let mut page = Page::new("segments", &service.config);
    slice.rows.iter().for_each(|segment| page.push(segment));
    Ok(page.finish(None, slice.next.as_deref(), service.config.quirks.last_page))
}
