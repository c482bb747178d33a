//! What the token endpoint sends (vendor's guide, "OAuth 2.0"), for signing in and for renewing alike.

use std::time::Duration;

use chrono::{DateTime, Utc};
use oauth2::basic::BasicTokenType;
use oauth2::{RefreshToken, Scope, TokenResponse};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::auth::claims::Claims;

/// The token endpoint's reply. `oauth2`'s own type refuses one whose `expires_in` is a text, as some clients saw it. Its
/// client asks for `Serialize`, and nothing here uses it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct TokenReply {
    pub(crate) access_token: oauth2::AccessToken,
    token_type: BasicTokenType,
    pub(crate) refresh_token: Option<RefreshToken>,
    /// Seconds.
    #[serde(default, deserialize_with = "number_or_text")]
    expires_in: Option<f64>,
    /// Separated by spaces. Absent where it is what was asked for (RFC 6749, section 5.1).
    scope: Option<String>,
}

impl TokenReply {
    /// How long the access token is good for since it was issued, from the reply or else from the token itself.
    pub(crate) fn lifetime(&self, issued: DateTime<Utc>) -> Option<Duration> {
        let given = self.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        given.or_else(|| Claims::of(self.access_token.secret()).lifetime(issued)).filter(|life| !life.is_zero())
    }

    /// What was granted, where the reply says so.
    pub(crate) fn scopes(&self) -> Option<Vec<String>> {
        Some(self.scope.as_ref()?.split_whitespace().map(str::to_owned).collect())
    }
}

/// A number, or a text that is one; anything else is as good as nothing.
fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

impl TokenResponse for TokenReply {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}
