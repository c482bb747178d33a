//! Signing in: how a person lets an application read an account. Three ways lead to the same [`SignIn`](crate::SignIn): a
//! browser that comes back to this host, a browser whose address is pasted, a code that is typed in on another device.
//!
//! A [`SignInAttempt`] talks to the authorization server. [`Loopback`] is the page that a browser comes back to.

mod account_summary;
mod application;
mod attempt;
mod device;
mod endpoint;
mod failure;
mod loopback;
mod returned;

use url::Url;

pub use account_summary::AccountSummary;
pub use application::{Application, Applications};
pub use attempt::{Authorization, SignInAttempt};
pub use device::DeviceCode;
pub use failure::SignInFailure;
pub use loopback::{Loopback, Visitor};
pub use returned::AuthorizationCode;

use crate::ExtractError;

/// Where the vendor serves the API (vendor's OpenAPI description: `host`, `basePath`).
const VENDORS_API: &str = "https://api.cc.email/v3";
/// The token endpoint's path on every server that is like the vendor's.
const TOKEN_PATH: &str = "/oauth2/default/v1/token";

/// What a sign-in asks for: exactly what reading needs, and a refresh token (vendor's guide, "Scopes").
pub const SCOPES: [&str; 4] = ["contact_data", "campaign_data", "account_read", "offline_access"];

/// The authorization server's endpoints. There is no discovery document, so they are fixed (vendor's guide, "Server flow").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Where a person signs in.
    pub authorize_url: Url,
    /// Where codes and refresh tokens are exchanged.
    pub token_url: Url,
    /// Where a device asks for a code.
    pub device_url: Url,
}

impl Authority {
    /// The vendor's server.
    ///
    /// # Panics
    /// Never: what it parses is written below.
    pub fn vendor() -> Self {
        let below = Url::parse("https://authz.constantcontact.com").and_then(|server| Self::below(&server));
        #[expect(clippy::expect_used, reason = "the text above is a URL")]
        below.expect("the vendor's server has a URL")
    }

    /// Another server with the same paths, a sandbox perhaps. Only scheme, host and port of `server` count.
    ///
    /// # Errors
    /// [`ExtractError::Config`]: it is no `http` or `https` URL, or it holds a user name.
    pub fn at(server: &Url) -> Result<Self, ExtractError> {
        let unfit = |reason: &str| ExtractError::Config { key: "server", reason: reason.to_owned() };
        if !matches!(server.scheme(), "http" | "https") || server.host().is_none() {
            return Err(unfit("must be an http or https URL with a host"));
        }
        if !server.username().is_empty() || server.password().is_some() {
            return Err(unfit("must hold no user name or password"));
        }
        Self::below(server).map_err(|_| unfit("must be an http or https URL with a host"))
    }

    /// The API that goes with a token endpoint: the vendor's, or `/v3` on the same server where that has the vendor's paths.
    ///
    /// # Panics
    /// Never: what it parses is written above.
    pub fn api_beside(token_url: &Url) -> Url {
        if token_url.path() == TOKEN_PATH
            && *token_url != Self::vendor().token_url
            && let Ok(api) = token_url.join("/v3")
        {
            return api;
        }
        #[expect(clippy::expect_used, reason = "the text is a URL")]
        VENDORS_API.parse().expect("the vendor's API has a URL")
    }

    fn below(server: &Url) -> Result<Self, url::ParseError> {
        Ok(Self {
            authorize_url: server.join("/oauth2/default/v1/authorize")?,
            token_url: server.join(TOKEN_PATH)?,
            device_url: server.join("/oauth2/default/v1/device/authorize")?,
        })
    }
}
