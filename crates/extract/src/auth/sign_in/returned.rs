//! What the authorization server sends back by way of the browser, in the query of the redirect URI.

use std::fmt;

use oauth2::CsrfToken;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::SignInFailure;
use crate::ApiError;
use crate::scrub::{hidden, printable};

/// A code that is exchanged for tokens. It works once and for five minutes (vendor's guide, "Server flow"). It can
/// neither be displayed nor serialised, and `Debug` hides it:
///
/// ```compile_fail,E0277
/// fn displayed(code: ctct_extract::AuthorizationCode) -> String {
///     format!("{code}")
/// }
/// ```
/// ```compile_fail,E0277
/// fn serialised(code: ctct_extract::AuthorizationCode) -> impl serde::Serialize {
///     code
/// }
/// ```
#[derive(Clone)]
pub struct AuthorizationCode(SecretString);

impl AuthorizationCode {
    pub(crate) fn secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationCode(...)")
    }
}

/// The code in the query that a browser brought: `code` and `state`, or `error` and `state` (RFC 6749, section 4.1.2).
/// Nothing of it counts unless `state` is that of this attempt.
pub(super) fn code_in_query(query: &str, state: &CsrfToken) -> Result<AuthorizationCode, SignInFailure> {
    let value = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|pair| pair.1)
    };
    if value("state").as_deref() != Some(state.secret()) {
        return Err(SignInFailure::OtherState);
    }
    if let Some(error) = value("error") {
        let message = value("error_description").unwrap_or_default();
        return Err(SignInFailure::Denied(ApiError { key: printable(&error), message: printable(&message) }));
    }
    match value("code") {
        Some(code) => Ok(AuthorizationCode(hidden(code.into_owned()))),
        None => Err(SignInFailure::NoCode),
    }
}

/// The code in what a person pasted: the full address that the browser ended on, its query, or the code alone. A code
/// alone brings no `state`; that it is of this attempt shows when it is exchanged, since the verifier fits no other.
pub(super) fn code_in_pasted(pasted: &str, state: &CsrfToken) -> Result<AuthorizationCode, SignInFailure> {
    let pasted = pasted.trim().trim_matches(['"', '\'', '<', '>']).trim();
    let (before, after) = pasted.split_once('?').unwrap_or(("", pasted));
    let query = after.split('#').next().unwrap_or_default();
    if !before.is_empty() || query.contains('=') && query.contains("state") {
        return code_in_query(query, state);
    }
    if pasted.is_empty() || pasted.contains(|c: char| c.is_whitespace() || c.is_control()) || pasted.contains("://") {
        return Err(SignInFailure::NoCode);
    }
    Ok(AuthorizationCode(hidden(pasted.to_owned())))
}
