//! A faithful, seeded Constant Contact v3 API, for demos and tests.
//!
//! [`Account`] generates an account of any size: each contact is a pure function of the seed and its index, so nothing of
//! the size of the account is ever in memory. [`Sandbox`] serves it over HTTP with the API's paging, filters, errors,
//! limits and oddities, and with the authorization server where its users sign in; [`SandboxConfig`] says how large, how
//! fast, what goes wrong, and which behavior to show where the live API is not documented or was seen to vary.
//!
//! A project that reads the API tests against it in three steps: start it, send requests to [`Sandbox::base_url`], and compare
//! what came with [`Sandbox::account`], which is the truth.
//!
//! ```
//! use std::net::{Ipv4Addr, SocketAddr};
//!
//! use ctct_sandbox::{Faults, Sandbox, SandboxConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # rustls::crypto::ring::default_provider().install_default().ok();
//! let config = SandboxConfig { contacts: 30, requests_per_second: f64::INFINITY, ..SandboxConfig::default() };
//! let sandbox = Sandbox::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
//!
//! let url = format!("{}/contacts?status=all&limit=500", sandbox.base_url());
//! let response = reqwest::Client::new().get(url).bearer_auth(sandbox.access_token()).send().await?;
//! let page: serde_json::Value = serde_json::from_str(&response.text().await?)?;
//!
//! assert_eq!(page["contacts"].as_array().map(Vec::len), Some(30));
//! assert_eq!(sandbox.requests().total, 1);
//! sandbox.stop().await;
//!
//! // What goes wrong is set too: here every request fails with HTTP 500.
//! let faults = Faults { error_500: 1.0, ..Faults::default() };
//! let failing = SandboxConfig { faults, ..SandboxConfig::default() };
//! # drop(failing);
//! # Ok(()) }
//! ```
//!
//! It never calls another server, reads or writes a file, or depends on another crate of this workspace, so that what is wrong
//! in one is not wrong in the other as well.

mod account;
mod change;
mod config;
mod cursor;
mod draws;
mod edited;
mod edits;
mod error;
mod faults;
mod gate;
mod grants;
mod log;
mod pace;
mod refusal;
mod server;
#[cfg(test)]
mod tests;
mod user;

pub use account::{
    Account, ActivitySummary, Campaign, Census, Choice, Contact, ContactCounts, ContactCustomField, ContactList,
    CustomField, EmailAddress, Members, Metadata, Note, OpenAndClickRates, PhoneNumber, Segment, SmsChannel,
    SmsConsent, StreetAddress, Subresource, TRACKING_ACTIVITY_TYPES, Tag, TrackingActivity,
};
pub use change::{Change, ContactChange};
pub use config::{
    ClientType, ContactOrder, CursorPosition, Faults, LastPage, Quirks, RefreshToken, SandboxConfig, TokenAnswer,
};
pub use error::SandboxError;
pub use log::{RequestLog, RequestRecord, TokenRequests};
pub use server::Sandbox;
