//! Catalogue entry and parameters to pages of bytes: pacing, quota, sign-in, retries, paging.
//!
//! A [`Client`] stands for one API key in one run. It owns the limiter that every request passes, the retries that the
//! run may still make, and the meter. [`Client::crawl`] follows one chain of pages; run as many crawls at once as you
//! like, the client keeps the pace. A [`Page`] is bytes: this crate reads only the envelope (are the rows there, how
//! many are there in all, where is the next page) and knows no Arrow. What it asks for and what the envelope is called
//! comes from the catalogue.

mod api_error;
mod bounds;
mod claims;
mod client;
mod clock;
mod config;
mod crawl;
mod credentials;
mod envelope;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod identity;
mod limiter;
mod meter;
mod policy;
mod private;
mod progress;
mod quota;
mod request;
mod retries;
mod scrub;
mod sign_in;
mod token;
mod token_reply;
mod tokens;
mod transport;

pub use api_error::{ApiError, Reply};
pub use client::Client;
pub use clock::Clock;
pub use config::{ClientConfig, Pace, Pending, Retry, is_in_clear};
pub use crawl::{Crawl, Page, PageMark, SPANS};
pub use error::{ExtractError, GaveUp, NoRenewal, Place, QuotaLimit};
pub use identity::Identity;
pub use meter::Usage;
pub use policy::RetryAdvice;
pub use private::read_secret;
pub use quota::{Ledger, Today};
pub use request::Request;
pub use scrub::{hide, printable, scrubbed, shown};
pub use secrecy::SecretString;
pub use sign_in::{
    AccountSummary, Application, Applications, Authority, Authorization, AuthorizationCode, DeviceCode, Loopback,
    SCOPES, SignInAttempt, SignInFailure, Visitor,
};
pub use token::{AccessToken, RefreshGrant, Token};
pub use tokens::{Accounts, Claim, SignIn, TokenKey};
pub use url::Url;

#[cfg(test)]
mod tests;
