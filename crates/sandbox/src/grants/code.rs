//! Authorization codes: what a browser brings back, and the client trades once for tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::{Grants, Issued, after, opaque};
use crate::config::Quirks;
use crate::user::User;

/// What a code stands for.
pub(crate) struct Code {
    user: User,
    scopes: Vec<String>,
    redirect_uri: String,
    challenge: Option<Challenge>,
    end: DateTime<Utc>,
}

/// What PKCE binds a code to: the SHA-256 of a secret that the client keeps until it trades the code, in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge(pub(crate) String);

impl Challenge {
    fn is_met_by(&self, verifier: &str) -> bool {
        (43..=128).contains(&verifier.len()) && URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == self.0
    }
}

/// Why a code is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadCode {
    /// It was never issued, or is used or too old.
    Invalid,
    /// It was asked for with another redirect URI.
    OtherRedirect,
    /// The verifier is not that of the challenge.
    NotVerified,
}

impl Grants {
    /// A code for what a user allows.
    pub(crate) fn code(
        &mut self,
        user: User,
        scopes: Vec<String>,
        redirect_uri: String,
        challenge: Option<Challenge>,
        quirks: &Quirks,
        now: DateTime<Utc>,
    ) -> String {
        self.codes.retain(|_, code| now < code.end);
        let code = opaque(&mut self.draws, 43);
        let end = after(now, quirks.code_lifetime);
        self.codes.insert(code.clone(), Code { user, scopes, redirect_uri, challenge, end });
        code
    }

    /// Trades a code, which is used up whatever comes of it. A client without a `verifier` must have one that was asked for
    /// without a challenge; one that proved itself by no secret (`public`) must have a verifier.
    pub(crate) fn redeem(
        &mut self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        public: bool,
        quirks: &Quirks,
        now: DateTime<Utc>,
    ) -> Result<Issued, BadCode> {
        let code = self.codes.remove(code).filter(|code| now < code.end).ok_or(BadCode::Invalid)?;
        if code.redirect_uri != redirect_uri {
            return Err(BadCode::OtherRedirect);
        }
        let proved = match (&code.challenge, verifier) {
            (Some(challenge), Some(verifier)) => challenge.is_met_by(verifier),
            (None, None) => !public,
            _ => false,
        };
        if !proved {
            return Err(BadCode::NotVerified);
        }
        self.sign_in(code.user, code.scopes, quirks, now).ok_or(BadCode::Invalid)
    }
}
