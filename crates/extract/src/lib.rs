//! Catalog entry and parameters to pages of bytes: pacing, quota, sign-in, retries, paging.
//!
//! ```text
//! Request --Client::crawl--> Crawl --next--> Page: bytes of the body, parameters, request id, link to the next page
//!              |      |
//!          `auth`   `quota`
//! ```
//!
//! - `http` sends requests: what is sent, how often, and what of a response is read. Start at [`Client`], which stands for one
//!   API key in one run, and at [`Crawl`], which follows one chain of pages. Run as many crawls at once as you like: the client
//!   keeps the pace.
//! - `quota` counts requests and spaces them, in a [`Ledger`] that processes and hosts share.
//! - `auth` signs accounts in ([`SignInAttempt`]), stores their tokens ([`Accounts`]) and renews them, each only once.
//!
//! A [`Page`] is bytes: this crate reads only the envelope (are the rows there, how many are there in all, where is the next
//! page). What it requests and what the envelope is called comes from the catalog. Every failure is an [`ExtractError`].
//!
//! It never knows Arrow, files of tables or pipelines, never prints, and sends the token to the configured host alone. No
//! error or log line holds a token, a query value or a part of a body.

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
pub use auth::tokens::{Accounts, Claim, SignIn, TokenKey, is_account_name};
pub use clock::Clock;
pub use config::{ClientConfig, Pending, RateLimit, RetrySettings, is_in_clear};
pub use error::{ExtractError, GaveUp, NoRenewal, QuotaLimit, RequestPlace};
pub use http::api_error::{ApiError, Reply};
pub use http::client::Client;
pub use http::crawl::{Crawl, Page, PageMark, SPANS};
pub use http::meter::Usage;
pub use http::policy::RetryAdvice;
pub use http::request::Request;
pub use http::transport::install_tls;
pub use quota::{Ledger, Today};
pub use scrub::{hide, printable, scrubbed, shown};
pub use secrecy::SecretString;
pub use url::Url;

#[cfg(test)]
mod tests;
