//! Catalogue entry and parameters to pages of bytes: pacing, quota, sign-in, retries, paging.
//!
//! A [`Client`] stands for one API key in one run. It owns the limiter that every request passes, the retries that the
//! run may still make, and the meter. [`Client::crawl`] follows one chain of pages; run as many crawls at once as you
//! like, the client keeps the pace. A [`Page`] is bytes: this crate reads only the envelope (are the rows there, how
//! many are there in all, where is the next page) and knows no Arrow. What it asks for and what the envelope is called
//! comes from the catalogue.

mod auth;
mod clock;
mod config;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http;
mod quota;
mod scrub;

pub use auth::identity::Identity;
pub use auth::private::read_secret;
pub use auth::sign_in::{
    AccountSummary, Application, Applications, Authority, Authorization, AuthorizationCode, DeviceCode, Loopback,
    SCOPES, SignInAttempt, SignInFailure, Visitor,
};
pub use auth::token::{AccessToken, RefreshGrant, Token};
pub use auth::tokens::{Accounts, Claim, SignIn, TokenKey};
pub use clock::Clock;
pub use config::{ClientConfig, Pace, Pending, Retry, is_in_clear};
pub use error::{ExtractError, GaveUp, NoRenewal, Place, QuotaLimit};
pub use http::api_error::{ApiError, Reply};
pub use http::client::Client;
pub use http::crawl::{Crawl, Page, PageMark, SPANS};
pub use http::meter::Usage;
pub use http::policy::RetryAdvice;
pub use http::request::Request;
pub use quota::{Ledger, Today};
pub use scrub::{hide, printable, scrubbed, shown};
pub use secrecy::SecretString;
pub use url::Url;

#[cfg(test)]
mod tests;
