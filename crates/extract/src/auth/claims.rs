//! What an access token says of itself. The API's tokens are JSON web tokens (vendor's guide, "Update your applications");
//! nothing here trusts one: the API does the checking, and a token of another form has no claims.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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
    /// The user, in the three ways in which tokens name one.
    #[serde(deserialize_with = "text")]
    platform_user_id: Option<String>,
    #[serde(deserialize_with = "text")]
    uid: Option<String>,
    #[serde(deserialize_with = "text")]
    sub: Option<String>,
}

/// A text or a number, as text; anything else does not name anybody.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

impl Claims {
    /// Reads the claims of a token; none where it has another form.
    pub(crate) fn of(token: &str) -> Self {
        let payload = token.split('.').nth(1);
        let payload = payload.and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok());
        payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default()
    }

    /// Its user, with the claim that names it: ids of two claims are never compared.
    pub(crate) fn user(&self) -> Option<String> {
        let claims = [("platform_user_id", &self.platform_user_id), ("uid", &self.uid), ("sub", &self.sub)];
        claims.into_iter().find_map(|(claim, user)| Some(format!("{claim}={}", user.as_ref()?)))
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
