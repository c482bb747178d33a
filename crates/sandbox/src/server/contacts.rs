//! `/contacts`, `/contacts/counts` and `/contacts/{contact_id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::page::Page;
use super::query::Query;
use super::{Service, variation};
use crate::account::{ContactCounts, Search, Statuses, Subresource, parse_id};
use crate::config::CursorPosition;
use crate::gate::lock;
use crate::refusal::{Refusal, json};

const KNOWN: &[&str] = &[
    "status",
    "email",
    "lists",
    "segment_id",
    "tags",
    "updated_after",
    "updated_before",
    "created_after",
    "created_before",
    "optout_after",
    "optout_before",
    "include",
    "sms_status",
    "include_count",
];
const STATUSES: &[&str] = &["all", "active", "deleted", "not_set", "pending_confirmation", "temp_hold", "unsubscribed"];
const SMS_STATUSES: &[&str] = &["all", "explicit", "unsubscribed", "pending_confirmation", "not_set"];

/// Bytes of a contact with and without its sub-resources, roughly.
const FULL: usize = 1_700;
const BARE: usize = 700;

pub(super) async fn collection(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, KNOWN)?;
    let search = search(&service, &query)?;
    let include = included(&query)?;
    let limit = query.limit(50, 500)?;
    if let Some(segment_id) = search.segment
        && !query.continues()
        && is_pending(&service, segment_id)
    {
        return Ok(json(StatusCode::ACCEPTED, &serde_json::json!({"contacts": [], "status": "processing"})));
    }
    let account = &service.account;
    let mut found = account.find(&search, first(&service, &query)?);
    let mut page = Page::new("contacts");
    page.reserve(limit * if include.is_empty() { BARE } else { FULL });
    for (_, life) in found.by_ref().take(limit) {
        variation::push_contact(&mut page, &account.contact_with(&life, &include), &service.config.quirks);
    }
    let next = found.next().map(|(position, life)| match service.config.quirks.cursor {
        CursorPosition::Offset => query.link(limit, &(position + 1).to_string()),
        CursorPosition::Keyset => query.link(limit, &account.contact_id(life.index)),
    });
    // Whether later pages repeat the count is not documented. They do not here, which is the harder case for a client.
    let counted = query.flag("include_count")?.unwrap_or_default() && !query.continues();
    let count = counted.then(|| ("contacts_count", account.find(&search, 0).map(|_| 1).sum()));
    Ok(page.finish(count, next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn counts(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["include"])?;
    let counts = service.account.census().counts;
    let asked = query.choice("include", &["new_subscriber"])?.is_some();
    let new_subscriber = counts.new_subscriber.filter(|_| asked);
    Ok(json(StatusCode::OK, &ContactCounts { new_subscriber, ..counts }))
}

pub(super) async fn one(
    State(service): State<Arc<Service>>,
    Path(contact_id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["include"])?;
    let index = index(&service, &contact_id)?;
    let contact = service.account.contact_with(&service.account.life(index), &included(&query)?);
    Ok(json(StatusCode::OK, &contact).into_response())
}

/// The index of a contact id in a path. An id that is no id is not found either, as documented.
pub(super) fn index(service: &Service, contact_id: &str) -> Result<u64, Refusal> {
    if parse_id(contact_id).is_none() {
        return Err(Refusal::bad_id("contact_id"));
    }
    service.account.index_of(contact_id).ok_or_else(|| Refusal::NotFound("The contact was not found.".to_owned()))
}

fn search(service: &Service, query: &Query<'_>) -> Result<Search, Refusal> {
    let segment =
        query.text("segment_id").map(|id| id.parse().map_err(|_| Refusal::invalid("segment_id"))).transpose()?;
    if let Some(segment) = segment {
        let alone = query.names().all(|name| ["segment_id", "limit", "next"].contains(&name));
        if !alone || !service.account.segments().iter().any(|known| known.segment_id == segment) {
            return Err(Refusal::invalid("segment_id"));
        }
    }
    let statuses = match query.choices("status", STATUSES)? {
        None => Statuses::NotDeleted,
        Some(statuses) if statuses.iter().any(|status| status == "all") => Statuses::All,
        Some(statuses) => Statuses::OneOf(statuses),
    };
    let account = &service.account;
    let bits_of_lists = |ids: Vec<&str>| account.list_bits_where(|list| ids.contains(&list.list_id.as_str()));
    let bits_of_tags = |ids: Vec<&str>| account.tag_bits_where(|tag| ids.contains(&tag.tag_id.as_str()));
    Ok(Search {
        statuses,
        updated: query.window("updated_after", "updated_before")?,
        created: query.window("created_after", "created_before")?,
        opted_out: query.window("optout_after", "optout_before")?,
        lists: query.ids("lists", 25)?.map(bits_of_lists),
        tags: query.ids("tags", 50)?.map(bits_of_tags),
        email: query.text("email").map(str::to_owned),
        sms: query.choices("sms_status", SMS_STATUSES)?,
        segment,
    })
}

fn included(query: &Query<'_>) -> Result<Vec<Subresource>, Refusal> {
    let names = Subresource::ALL.map(|(_, name)| name);
    let asked = query.choices("include", &names)?.unwrap_or_default();
    let wanted = |name: &str| asked.iter().any(|asked| asked == name);
    Ok(Subresource::ALL.into_iter().filter(|(_, name)| wanted(name)).map(|(subresource, _)| subresource).collect())
}

/// The position at which the page begins.
fn first(service: &Service, query: &Query<'_>) -> Result<u64, Refusal> {
    let Some(next) = query.next() else { return Ok(0) };
    let position = match service.config.quirks.cursor {
        CursorPosition::Offset => next.parse().ok().filter(|next| *next > 0).map(|next: u64| next - 1),
        CursorPosition::Keyset => service.account.index_of(next).map(|index| service.account.position(index)),
    };
    position.ok_or_else(|| Refusal::invalid("cursor"))
}

/// Whether a segment is still being worked out: it is for the first few requests.
fn is_pending(service: &Service, segment_id: u32) -> bool {
    let mut requests = lock(&service.segment_requests);
    let asked = requests.entry(segment_id).or_default();
    *asked = asked.saturating_add(1);
    *asked <= service.config.quirks.segment_pending
}
