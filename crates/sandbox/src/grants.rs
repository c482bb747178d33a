//! The grant of the one user: which refresh token works, which access tokens are valid. Holds no clock and does no I/O.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use crate::account::random_id;
use crate::config::{Quirks, RefreshToken};
use crate::draws::{Draws, Topic};

/// Tokens of one grant.
pub(crate) struct Grants {
    draws: Draws,
    client_id: String,
    /// The refresh token that works.
    refresh: String,
    /// Refresh tokens that were rotated away, and until when they still work.
    rotated: HashMap<String, DateTime<Utc>>,
    /// Access tokens and when they end.
    access: HashMap<String, DateTime<Utc>>,
    revoked: bool,
}

/// Beyond this a grace period is for ever.
const MOST_GRACE: Duration = Duration::from_hours(24 * 365);

/// What the token endpoint hands out. Tokens are never printed, not even these.
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
}

impl Grants {
    pub(crate) fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed, Topic::Tokens, 0);
        Self {
            client_id: random_id(&mut draws),
            refresh: opaque(&mut draws, 43),
            draws,
            rotated: HashMap::new(),
            access: HashMap::new(),
            revoked: false,
        }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The refresh token that works now.
    pub(crate) fn refresh_token(&self) -> &str {
        &self.refresh
    }

    /// Whether this access token works now.
    pub(crate) fn allows(&self, access_token: &str, now: DateTime<Utc>) -> bool {
        !self.revoked && self.access.get(access_token).is_some_and(|end| now < *end)
    }

    /// A new access token.
    pub(crate) fn access_token(&mut self, quirks: &Quirks, now: DateTime<Utc>) -> String {
        let end = now + quirks.access_token_lifetime;
        self.access.retain(|_, end| now < *end);
        let token = self.json_web_token(quirks, now, end);
        self.access.insert(token.clone(), end);
        token
    }

    /// Trades a refresh token; `None` if it does not work.
    pub(crate) fn refresh(&mut self, token: &str, quirks: &Quirks, now: DateTime<Utc>) -> Option<Issued> {
        let current = token == self.refresh;
        if !current && self.rotated.contains_key(token) && quirks.reuse_revokes_grant {
            self.revoked = true;
        }
        let in_grace = self.rotated.get(token).is_some_and(|end| now < *end);
        if self.revoked || !(current || in_grace) {
            return None;
        }
        if quirks.refresh_revokes_access {
            self.access.clear();
        }
        if current && quirks.refresh_token == RefreshToken::Rotating {
            let next = opaque(&mut self.draws, 43);
            let grace = now + quirks.refresh_grace.min(MOST_GRACE);
            self.rotated.insert(std::mem::replace(&mut self.refresh, next), grace);
        }
        let refresh_token = (quirks.refresh_token != RefreshToken::Omitted).then(|| self.refresh.clone());
        Some(Issued { access_token: self.access_token(quirks, now), refresh_token })
    }

    /// A token in the form of the live ones: three parts, some thousand characters, expiry and scopes readable.
    fn json_web_token(&mut self, quirks: &Quirks, now: DateTime<Utc>, end: DateTime<Utc>) -> String {
        let claims = serde_json::json!({
            "ver": 1,
            "jti": format!("AT.{}", opaque(&mut self.draws, 43)),
            "iss": "https://identity.constantcontact.com/oauth2/default",
            "aud": "https://api.cc.email/v3",
            "iat": now.timestamp(),
            "exp": end.timestamp(),
            "cid": self.client_id,
            "uid": opaque(&mut self.draws, 20),
            "scp": quirks.granted_scopes,
            "sub": "sandbox@example.com",
            "platform_user_id": random_id(&mut self.draws),
        });
        let header = r#"{"kid":"sandbox","alg":"RS256"}"#;
        let signature = opaque(&mut self.draws, 342);
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()))
    }
}

/// So many random characters.
fn opaque(draws: &mut Draws, length: usize) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    (0..length).map(|_| draws.pick(&alphabet)).collect()
}
