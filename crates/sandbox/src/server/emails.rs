//! `/emails` and `/emails/{campaign_id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;

use super::Service;
use super::page::{Page, by_id};
use super::query::Query;
use crate::account::{Campaign, parse_id};
use crate::gate::lock;
use crate::refusal::{Refusal, json};

/// A campaign with its activities.
#[derive(Debug, Serialize)]
struct Detail {
    campaign_activities: [ActivityReference; 2],
    #[serde(flatten)]
    campaign: Campaign,
}

/// An activity of a campaign. Recordings hold no document id here.
#[derive(Debug, Serialize)]
struct ActivityReference {
    campaign_activity_id: String,
    role: &'static str,
}

pub(super) async fn collection(State(service): State<Arc<Service>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["before_date", "after_date"])?;
    let limit = query.limit(50, 500)?;
    let updated = query.window("after_date", "before_date")?;
    let edits = lock(&service.edits);
    let campaigns: Vec<&Campaign> =
        service.campaigns(&edits).iter().filter(|campaign| updated.holds(campaign.updated)).collect();
    let slice = by_id(&query, &campaigns, limit, |campaign| &campaign.campaign_id)?;
    let mut page = Page::new("campaigns", &service.config);
    slice.rows.iter().for_each(|campaign| page.push(campaign));
    Ok(page.finish(None, slice.next.as_deref(), service.config.quirks.last_page))
}

pub(super) async fn one(
    State(service): State<Arc<Service>>,
    Path(campaign_id): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    Query::read(&service, &uri, &[])?;
    if parse_id(&campaign_id).is_none() {
        return Err(Refusal::bad_id("campaign_id"));
    }
    let found = service.campaigns(&lock(&service.edits)).iter().find(|known| known.campaign_id == campaign_id).cloned();
    let mut campaign = found.ok_or_else(|| Refusal::NotFound("The campaign was not found.".to_owned()))?;
    if !service.config.quirks.same_status_case {
        campaign.current_status.make_ascii_uppercase();
    }
    let (primary, permalink) = (campaign.primary_activity_id.clone(), campaign.permalink_activity_id.clone());
    let detail = Detail {
        campaign_activities: [
            ActivityReference { campaign_activity_id: primary, role: "primary_email" },
            ActivityReference { campaign_activity_id: permalink, role: "permalink" },
        ],
        campaign,
    };
    Ok(json(StatusCode::OK, &detail))
}
