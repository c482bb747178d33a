//! `/contacts`, `/contacts/counts` and `/contacts/{contact_id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::page::Page;
use super::query::Query;
use super::{Service, variation};
use crate::account::{ContactCounts, Search, Statuses, Subresource, parse_id};
use crate::config::CursorPosition;
use crate::edited::{EditedAccount, EditedContact};
use crate::edits::Edits;
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
    let counted = query.flag("include_count")?.unwrap_or_default();
    let counted = counted && (!query.continues() || service.config.quirks.count_on_every_page);
    let mut page = Page::new("contacts", &service.config);
    page.reserve(limit * if include.is_empty() { BARE } else { FULL });
    let asked = Asked { search, include, limit, counted };
    let edits = lock(&service.edits);
    let (next, count) = if let Some(edited) = edits.account() {
        edited_rows(&service, edited, &query, &asked, &mut page)?
    } else {
        // Requests for the generated account need not wait for each other.
        drop(edits);
        generated_rows(&service, &query, &asked, &mut page)?
    };
    let count = count.map(|count| ("contacts_count", count));
    Ok(page.finish(count, next.as_deref(), service.config.quirks.last_page))
}

/// What a request for contacts asks for.
struct Asked {
    search: Search,
    include: Vec<Subresource>,
    limit: usize,
    counted: bool,
}

/// Writes a page of the generated account. Returns the link to the next one, and the count if it was asked for.
fn generated_rows(
    service: &Service,
    query: &Query<'_>,
    asked: &Asked,
    page: &mut Page,
) -> Result<(Option<String>, Option<u64>), Refusal> {
    let account = &service.account;
    let first = match (query.next(), service.config.quirks.cursor) {
        (None, _) => Some(0),
        (Some(next), CursorPosition::Offset) => position(next),
        (Some(next), CursorPosition::Keyset) => account.index_of(next).map(|index| account.position(index)),
    };
    let mut found = account.find(&asked.search, first.ok_or_else(|| Refusal::invalid("cursor"))?);
    for (_, life) in found.by_ref().take(asked.limit) {
        variation::push_contact(page, &account.contact_with(&life, &asked.include), &service.config.quirks);
    }
    let next = found.next().map(|(position, life)| match service.config.quirks.cursor {
        CursorPosition::Offset => query.link(asked.limit, &(position + 1).to_string()),
        CursorPosition::Keyset => query.link(asked.limit, &account.contact_id(life.index)),
    });
    Ok((next, asked.counted.then(|| account.find(&asked.search, 0).map(|_| 1).sum())))
}

/// Writes a page of an edited account. Its positional cursors count matches, as an offset of a database does: a contact that
/// comes or goes between two pages shifts the others. A contact that a cursor names and that was purged makes it invalid.
fn edited_rows(
    service: &Service,
    edited: &EditedAccount,
    query: &Query<'_>,
    asked: &Asked,
    page: &mut Page,
) -> Result<(Option<String>, Option<u64>), Refusal> {
    let found: Vec<(usize, &EditedContact)> = edited.find(&service.account, &asked.search).collect();
    let first = match (query.next(), service.config.quirks.cursor) {
        (None, _) => Some(0),
        (Some(next), CursorPosition::Offset) => position(next).and_then(|first| usize::try_from(first).ok()),
        (Some(next), CursorPosition::Keyset) => {
            edited.position(next).map(|first| found.partition_point(|(position, _)| *position < first))
        }
    };
    let first = first.ok_or_else(|| Refusal::invalid("cursor"))?;
    for (_, contact) in found.iter().skip(first).take(asked.limit) {
        variation::push_contact(page, &contact.with(&asked.include), &service.config.quirks);
    }
    let next = found.get(first.saturating_add(asked.limit)).map(|(_, contact)| match service.config.quirks.cursor {
        CursorPosition::Offset => query.link(asked.limit, &(first + asked.limit + 1).to_string()),
        CursorPosition::Keyset => query.link(asked.limit, contact.id()),
    });
    Ok((next, asked.counted.then_some(found.len() as u64)))
}

/// The position in a positional cursor, which counts from 1.
fn position(next: &str) -> Option<u64> {
    next.parse().ok().filter(|next| *next > 0).map(|next: u64| next - 1)
}

pub(super) async fn counts(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["include"])?;
    let counts = service.census(&lock(&service.edits)).counts;
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
    let edits = lock(&service.edits);
    let include = included(&query)?;
    match who(&service, &edits, &contact_id)? {
        Who::Generated(index) => {
            Ok(json(StatusCode::OK, &service.account.contact_with(&service.account.life(index), &include)))
        }
        Who::Edited(_, contact) => Ok(json(StatusCode::OK, &contact.with(&include))),
    }
}

/// Whom a path is about.
#[derive(Clone, Copy)]
pub(super) enum Who<'a> {
    /// The contact at this index of the generated account.
    Generated(u64),
    /// A contact of the edited account.
    Edited(&'a EditedAccount, &'a EditedContact),
}

impl Who<'_> {
    /// The id as the account writes it, whatever the case in the path.
    pub(super) fn id(&self, service: &Service) -> String {
        match self {
            Self::Generated(index) => service.account.contact_id(*index),
            Self::Edited(_, contact) => contact.id().to_owned(),
        }
    }
}

/// The contact with the id of a path. A malformed id is not found either, as documented.
pub(super) fn who<'a>(service: &Service, edits: &'a Edits, contact_id: &str) -> Result<Who<'a>, Refusal> {
    if parse_id(contact_id).is_none() {
        return Err(Refusal::bad_id("contact_id"));
    }
    let found = match edits.account() {
        None => service.account.index_of(contact_id).map(Who::Generated),
        Some(edited) => edited.contact(contact_id).map(|contact| Who::Edited(edited, contact)),
    };
    found.ok_or_else(|| Refusal::NotFound("The contact was not found.".to_owned()))
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
    let owned = |ids: Vec<&str>| ids.into_iter().map(str::to_owned).collect();
    Ok(Search {
        statuses,
        updated: query.window("updated_after", "updated_before")?,
        created: query.window("created_after", "created_before")?,
        opted_out: query.window("optout_after", "optout_before")?,
        lists: query.ids("lists", 25)?.map(owned),
        tags: query.ids("tags", 50)?.map(owned),
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

/// Whether a segment is still being worked out: it is for the first few requests.
fn is_pending(service: &Service, segment_id: u32) -> bool {
    let mut requests = lock(&service.segment_requests);
    let asked = requests.entry(segment_id).or_default();
    *asked = asked.saturating_add(1);
    *asked <= service.config.quirks.segment_pending
}
