//! What an access token says of itself. The API's tokens are JSON web tokens (vendor's guide, "Update your applications");
//! nothing here trusts one: the API does the checking, and a token of another form has no claims.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Deserialize;

/// The claims that are of use here. Which ones a token has is the server's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    /// The API key that it was issued to.
    pub(crate) cid: Option<String>,
    /// When it was issued, in seconds since 1970.
    iat: Option<i64>,
    /// When it ends, in seconds since 1970.
    exp: Option<i64>,
}

impl Claims {
    /// Reads the claims of a token; none where it has another form.
    pub(crate) fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1);
        let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok());
        payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
    }

    /// How long the token says that it is good for, from its own issue, or else from the given one.
    pub(crate) fn lifetime(&self, issued: DateTime<Utc>) -> Option<Duration> {
        let seconds = self.exp?.checked_sub(self.iat.unwrap_or_else(|| issued.timestamp()))?;
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_web_token_tells_its_key_and_its_end() {
        let claims = Claims::of(&token(r#"{"cid":"key","exp":1767225600,"scp":["contact_data"]}"#));
        assert_eq!(claims.cid.as_deref(), Some("key"));
        let issued = "2025-12-31T23:00:00Z".parse().unwrap();
        assert_eq!(claims.lifetime(issued), Some(Duration::from_hours(1)));
    }

    #[test]
    fn a_token_of_another_form_tells_nothing() {
        for text in ["", "opaque", "a.b.c", &token("[]"), &token(r#"{"exp":"soon"}"#)] {
            assert_eq!(Claims::of(text), Claims::default(), "{text}");
        }
    }
}
