//! A faithful, seeded Constant Contact v3 API, for demos and tests.
//!
//! [`Account`] generates an account of any size: each contact is a pure function of the seed and its index, so nothing of
//! the size of the account is ever in memory. [`Sandbox`] serves it over HTTP with the API's paging, filters, errors,
//! limits and oddities, and with the authorisation server where its users sign in; [`SandboxConfig`] says how large, how
//! fast, what goes wrong, and which behaviour to show where the live API is not documented or was seen to vary.

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
