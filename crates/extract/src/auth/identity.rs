//! Whose account an access token opens, and what is enough to know it again without asking.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::claims::Claims;
use crate::{AccessToken, Client, ExtractError};

/// Bytes of a hash that are kept: enough that no two tokens or users of one account are taken for each other.
const HASH_BYTES: usize = 15;

/// Whose account an access token opens, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The vendor's id of the account, which never changes. Absent where nothing tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The account's organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tells one user from another: a hash, since some tokens name their user by address. Two users may share an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Tells the access token that was asked with last from others: a hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

impl Identity {
    /// What a token says of itself, which is never whose account it opens.
    pub fn of_token(token: &AccessToken) -> Self {
        let secret = token.secret().expose_secret();
        let user = Claims::of(secret).user().map(|user| hash(&user));
        Self { user, token: Some(hash(secret)), ..Self::default() }
    }

    /// Whether what is known here holds for that token or user too.
    pub fn holds_for(&self, other: &Self) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        same(&self.user, &other.user) || same(&self.token, &other.token)
    }

    /// Whether both are known and are not the same account.
    pub fn contradicts(&self, other: &Self) -> bool {
        matches!((&self.account, &other.account), (Some(one), Some(other)) if one != other)
    }
}

/// The organization and the account's id, as people are shown them.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, &self.account) {
            (Some(name), Some(account)) => write!(f, "{name} ({account})"),
            (None, Some(account)) => f.write_str(account),
            (_, None) => f.write_str("an unknown account"),
        }
    }
}

impl Client {
    /// What the access token in force says of itself. Sends no API request; a stored token may be renewed first.
    ///
    /// # Errors
    /// No access token is available.
    pub async fn token_identity(&self) -> Result<Identity, ExtractError> {
        Ok(self.access_token().await?.as_ref().map(Identity::of_token).unwrap_or_default())
    }

    /// Requests whose account the client reads: one request, paced and counted like every other. Where the API responds and does
    /// not tell, [`Identity::account`] is absent.
    ///
    /// # Errors
    /// The request did not get a response that would be the same the next time: as [`Client::account_summary`].
    pub async fn identify(&self) -> Result<Identity, ExtractError> {
        let summary = match self.account_summary().await {
            Ok(summary) => Some(summary),
            Err(
                error @ (ExtractError::Forbidden { .. }
                | ExtractError::Rejected { .. }
                | ExtractError::Redirect { .. }
                | ExtractError::NotAPage { .. }
                | ExtractError::BodyTooLarge { .. }),
            ) => {
                tracing::debug!(%error, "the account summary does not tell the account");
                None
            }
            Err(error) => return Err(error),
        };
        let of_token = self.token_identity().await?;
        let (account, name) = summary.map(|it| (it.encoded_account_id, it.organization_name)).unwrap_or_default();
        Ok(Identity { name: name.filter(|_| account.is_some()), account, ..of_token })
    }
}

/// A short hash that tells texts apart and does not give them away.
fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    URL_SAFE_NO_PAD.encode(digest.iter().copied().take(HASH_BYTES).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> AccessToken {
        AccessToken::new(format!("e30.{}.signature", URL_SAFE_NO_PAD.encode(claims)))
    }

    fn of(claims: &str) -> Identity {
        Identity::of_token(&token(claims))
    }

    #[test]
    fn a_web_token_tells_its_user_by_the_first_claim_that_is_there() {
        let whole = of(r#"{"platform_user_id":"p1","uid":"u1","sub":"one@example.com","iat":1}"#);
        for (claims, same) in [
            (r#"{"platform_user_id":"p1","uid":"u2","sub":"two@example.com","iat":2}"#, true),
            (r#"{"platform_user_id":"p2","uid":"u1","sub":"one@example.com"}"#, false),
            (r#"{"uid":"u1","sub":"one@example.com"}"#, false),
            (r#"{"platform_user_id":" ","uid":"p1"}"#, false),
            (r#"{"platform_user_id":17}"#, false),
            ("{}", false),
        ] {
            assert_eq!(whole.holds_for(&of(claims)), same, "{claims}");
        }
        assert!(of(r#"{"uid":17,"iat":1}"#).holds_for(&of(r#"{"uid":17,"iat":2}"#)), "a number is a user too");
        assert!(of(r#"{"uid":null,"sub":"s","iat":1}"#).holds_for(&of(r#"{"sub":"s"}"#)));
    }

    #[test]
    fn an_opaque_token_is_only_the_same_as_itself() {
        let identity = |text: &str| Identity::of_token(&AccessToken::new(text));
        assert!(identity("one").holds_for(&identity("one")));
        assert!(!identity("one").holds_for(&identity("two")));
        assert!(!Identity::default().holds_for(&Identity::default()), "nothing known is nothing in common");
    }

    #[test]
    fn nothing_of_a_token_or_an_address_is_kept() {
        let identity = of(r#"{"sub":"one@example.com"}"#);
        let text = format!("{identity:?} {identity}");
        assert!(!text.contains("example") && !text.contains("signature"), "{text}");
    }
}
