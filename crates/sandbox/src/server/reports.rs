//! `/reports/contact_reports/{contact_id}/...`: what one contact did.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::Service;
use super::contacts::{Who, who};
use super::page::{Page, by_position};
use super::query::Query;
use crate::account::{DAY, TRACKING_ACTIVITY_TYPES};
use crate::gate::lock;
use crate::refusal::{Refusal, json};

/// Campaigns on a page of the summary; there is no parameter for it.
const SUMMARY_ROWS: usize = 200;

pub(super) async fn activity_details(
    State(service): State<Arc<Service>>,
    Path(contact_id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let known = ["tracking_activities_list", "tracking_activity_type", "include_campaign_activity_names"];
    let query = Query::read(&service, &uri, &known)?;
    let edits = lock(&service.edits);
    let who = who(&service, &edits, &contact_id)?;
    let kinds = kinds(&query)?;
    let with_names = query.flag("include_campaign_activity_names")?.unwrap_or(true);
    let limit = query.limit(100, 100)?;
    let mut events = match who {
        Who::Generated(index) => service.account.events(index),
        Who::Edited(edited, contact) => edited.events(&service.account, contact),
    };
    events.retain(|event| kinds.iter().any(|kind| kind == event.kind));
    let slice = by_position(&query, &events, limit)?;
    let contact_id = who.id(&service);
    let mut page = Page::new("tracking_activities", &service.config);
    for event in slice.rows {
        page.push(&event.activity(&contact_id, with_names));
    }
    Ok(page.finish(None, slice.next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn activity_summary(
    State(service): State<Arc<Service>>,
    Path(contact_id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["start", "end"])?;
    let edits = lock(&service.edits);
    let who = who(&service, &edits, &contact_id)?;
    let (start, end) = query.period()?;
    let rows = match who {
        Who::Generated(index) => service.account.activity_summary(index, start, end),
        Who::Edited(edited, contact) => edited.activity_summary(&service.account, contact, start, end),
    };
    let slice = by_position(&query, &rows, SUMMARY_ROWS)?;
    let mut page = Page::with_id("contact_id", &who.id(&service), "campaign_activities", &service.config);
    slice.rows.iter().for_each(|row| page.push(row));
    Ok(page.finish(None, slice.next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn open_and_click_rates(
    State(service): State<Arc<Service>>,
    Path(contact_id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["start", "end"])?;
    let edits = lock(&service.edits);
    let who = who(&service, &edits, &contact_id)?;
    let (start, end) = query.period()?;
    if end - start > (5 * 365 + 2) * DAY * 1_000 {
        return Err(Refusal::Invalid("the range cannot exceed 5 years".to_owned()));
    }
    let rates = match who {
        Who::Generated(index) => service.account.open_and_click_rates(index, start, end),
        Who::Edited(edited, contact) => edited.open_and_click_rates(&service.account, contact, start, end),
    };
    Ok(json(StatusCode::OK, &rates))
}

/// The kinds of events that were asked for: exactly one of two parameters names them.
fn kinds(query: &Query<'_>) -> Result<Vec<String>, Refusal> {
    let listed = query.choices("tracking_activities_list", &TRACKING_ACTIVITY_TYPES)?;
    let repeated: Vec<String> = query.all("tracking_activity_type").map(str::to_owned).collect();
    let known = repeated.iter().all(|kind| TRACKING_ACTIVITY_TYPES.contains(&kind.as_str()));
    match (listed, repeated.is_empty()) {
        (Some(listed), true) => Ok(listed),
        (None, false) if known => Ok(repeated),
        (None, false) => Err(Refusal::invalid("tracking_activity_type")),
        _ => Err(Refusal::Invalid(
            "exactly one of tracking_activities_list and tracking_activity_type is required".to_owned(),
        )),
    }
}
