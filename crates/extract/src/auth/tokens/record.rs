//! What is written down of one account: its sign-in, and what a renewal must know beside it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;
use zeroize::Zeroizing;

use super::Claim;
use crate::scrub::hidden;
use crate::{AccessToken, Identity, SignIn};

/// The format that this version writes.
const FORMAT: u32 = 1;
/// Claims that a record keeps of processes that never stored a response: the oldest ones are the interesting ones.
const MOST_CLAIMS: usize = 8;

/// A sign-in with its history.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) sign_in: SignIn,
    /// How long the access token was good for when it came, where that is known.
    pub(crate) lifetime: Option<Duration>,
    /// The refresh token of the generation before, until the access token of this one has worked.
    pub(crate) previous: Option<SecretString>,
    /// Hash of the refresh token in the configuration that the account began with.
    pub(crate) seed: Option<String>,
    /// Who set out to renew this generation. Whoever stores the response clears it.
    pub(crate) claims: Vec<Claim>,
}

impl Record {
    /// A person's sign-in, or a token that was given.
    pub(crate) fn new(sign_in: SignIn) -> Self {
        let lifetime = sign_in.expires_at.and_then(|end| (end - sign_in.renewed_at).to_std().ok());
        Self { sign_in, lifetime, previous: None, seed: None, claims: Vec::new() }
    }

    /// How long the access token is good for still, `None` where nobody knows.
    ///
    /// Its end is known by the server's clock, its beginning by the clock of the host that renewed it. Either may differ
    /// from this host's, so the one that leaves it more time is believed, within its lifetime: a 401 corrects that at
    /// the price of one request, while a renewal too many costs a token.
    pub(crate) fn remaining(&self, now: DateTime<Utc>) -> Option<Duration> {
        let (end, lifetime) = (self.sign_in.expires_at?, self.lifetime?);
        let by_renewer = self.sign_in.renewed_at.checked_add_signed(chrono::TimeDelta::from_std(lifetime).ok()?)?;
        Some((end.max(by_renewer) - now).to_std().unwrap_or_default().min(lifetime))
    }

    /// Whether its access token may still work.
    pub(super) fn is_usable(&self, now: DateTime<Utc>) -> bool {
        self.sign_in.access_token.is_some() && self.remaining(now) != Some(Duration::ZERO)
    }

    /// The same tokens for the client of another sign-in; `None` where it is this one's client.
    pub(super) fn of_client(mut self, other: &SignIn) -> Option<Self> {
        let exposed = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let client =
            |of: &SignIn| (of.client_id.clone(), exposed(&of.client_secret).map(Zeroizing::new), of.token_url.clone());
        if client(&self.sign_in) == client(other) {
            return None;
        }
        self.sign_in.client_id.clone_from(&other.client_id);
        self.sign_in.client_secret.clone_from(&other.client_secret);
        self.sign_in.token_url.clone_from(&other.token_url);
        Some(self)
    }

    /// Notes a claim, once however often its token was sent.
    pub(crate) fn claim(&mut self, claim: Claim) {
        if self.claims.iter().any(|noted| noted.id == claim.id) {
            return;
        }
        if self.claims.len() >= MOST_CLAIMS {
            self.claims.remove(MOST_CLAIMS / 2);
        }
        self.claims.push(claim);
    }

    /// The JSON text.
    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Larger than any record, or else growing would leave copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(32 << 10));
        let SignIn { account, application, client_id, client_secret, token_url, scopes, .. } = &self.sign_in;
        let written = Written {
            format: FORMAT,
            account: account.clone(),
            generation: self.sign_in.generation,
            application: application.clone(),
            client_id: client_id.clone(),
            client_secret: client_secret.clone(),
            token_url: token_url.clone(),
            scopes: scopes.clone(),
            access_token: self.sign_in.access_token.as_ref().map(|token| token.secret().clone()),
            expires_at: self.sign_in.expires_at,
            lifetime_seconds: self.lifetime.map(|lifetime| lifetime.as_secs_f64()),
            refresh_token: self.sign_in.refresh_token.clone(),
            server: self.sign_in.server.clone(),
            identity: self.sign_in.identity.clone(),
            previous_refresh_token: self.previous.clone(),
            signed_in_at: self.sign_in.signed_in_at,
            renewed_at: self.sign_in.renewed_at,
            seed: self.seed.clone(),
            claims: self.claims.clone(),
        };
        // Nothing in it can fail to be written: no map, no foreign type, no I/O.
        _ = serde_json::to_writer_pretty(&mut *json, &written);
        json
    }

    /// Reads the JSON text of an account.
    ///
    /// # Errors
    /// What is wrong with it, without a word of its content.
    pub(crate) fn from_json(json: &[u8], account: &str) -> Result<Self, String> {
        if json.iter().all(u8::is_ascii_whitespace) {
            return Err("it is empty".to_owned());
        }
        // What serde says may quote a value.
        let broken = |error: serde_json::Error| format!("it is no sign-in (line {})", error.line());
        let Head { format } = serde_json::from_slice(json).map_err(broken)?;
        if format > FORMAT {
            return Err(format!("it is of format {format}, which a newer ctct-etl wrote; this one knows {FORMAT}"));
        }
        let written: Written = serde_json::from_slice(json).map_err(broken)?;
        if written.account != account {
            return Err("it is of another account".to_owned());
        }
        let lifetime = written.lifetime_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let sign_in = SignIn {
            account: written.account,
            application: written.application,
            client_id: written.client_id,
            client_secret: written.client_secret,
            token_url: written.token_url,
            scopes: written.scopes,
            access_token: written.access_token.map(AccessToken::from),
            expires_at: written.expires_at,
            refresh_token: written.refresh_token,
            server: written.server,
            identity: written.identity,
            signed_in_at: written.signed_in_at,
            renewed_at: written.renewed_at,
            generation: written.generation,
        };
        let (previous, seed, claims) = (written.previous_refresh_token, written.seed, written.claims);
        Ok(Self { sign_in, lifetime, previous, seed, claims })
    }
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// A record as JSON. The one place where secrets are written.
#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    account: String,
    generation: u64,
    application: String,
    client_id: String,
    #[serde(default, serialize_with = "reveal", deserialize_with = "conceal", skip_serializing_if = "Option::is_none")]
    client_secret: Option<SecretString>,
    token_url: Url,
    scopes: Vec<String>,
    #[serde(default, serialize_with = "reveal", deserialize_with = "conceal", skip_serializing_if = "Option::is_none")]
    access_token: Option<SecretString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lifetime_seconds: Option<f64>,
    #[serde(default, serialize_with = "reveal", deserialize_with = "conceal", skip_serializing_if = "Option::is_none")]
    refresh_token: Option<SecretString>,
    #[serde(default, serialize_with = "reveal", deserialize_with = "conceal", skip_serializing_if = "Option::is_none")]
    previous_refresh_token: Option<SecretString>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<Url>,
    #[serde(default, skip_serializing_if = "is_unknown")]
    identity: Identity,
    signed_in_at: DateTime<Utc>,
    renewed_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<Claim>,
}

/// Whether nothing is known that would be worth writing.
fn is_unknown(identity: &Identity) -> bool {
    *identity == Identity::default()
}

#[expect(clippy::ref_option, reason = "serde passes the field")]
fn reveal<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

fn conceal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(hidden))
}
