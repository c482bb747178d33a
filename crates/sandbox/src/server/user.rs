//! `/account/summary` and `/account/user/privileges`: whose account a token opens, and what it may do.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::Service;
use super::query::Query;
use crate::refusal::{self, Refusal};
use crate::user::User;

#[derive(Debug, Serialize)]
struct Privilege {
    privilege_id: u32,
    privilege_name: &'static str,
}

pub(super) async fn summary(
    State(service): State<Arc<Service>>,
    Extension(user): Extension<User>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let query = Query::read(&service, &uri, &["extra_fields"])?;
    let extra = query.choices("extra_fields", &["physical_address", "company_logo"])?.unwrap_or_default();
    let owner = user.owner(&service.config.quirks);
    let mut summary = json!({
        "contact_email": user.email(),
        "contact_phone": "7815550100",
        // Documented in upper case, recorded in lower case.
        "country_code": "us",
        "encoded_account_id": owner.encoded_account_id(service.config.seed),
        "encoded_partner_id": "a01-15dl",
        "first_name": "Lola",
        "last_name": "Zang",
        "organization_name": owner.organization(),
        "state_code": "ma",
        "time_zone_id": "US/Eastern",
    });
    if extra.iter().any(|field| field == "physical_address") {
        summary["physical_address"] = json!({
            "address_line1": "123 Maple Street", "city": "Waltham", "country_code": "US", "postal_code": "02451", "state_code": "MA",
        });
    }
    if extra.iter().any(|field| field == "company_logo") {
        summary["company_logo"] = json!({"url": "https://example.com/logo.png"});
    }
    Ok(refusal::json(StatusCode::OK, &summary))
}

pub(super) async fn privileges(
    State(service): State<Arc<Service>>,
    Extension(user): Extension<User>,
    uri: Uri,
) -> Result<Response, Refusal> {
    Query::read(&service, &uri, &[])?;
    let privileges: Vec<Privilege> = user
        .privileges(&service.config)
        .zip(30..)
        .map(|(privilege_name, privilege_id)| Privilege { privilege_id, privilege_name })
        .collect();
    Ok(refusal::json(StatusCode::OK, &privileges))
}
