//! What the authorization server knows: who signed in, which codes and tokens work. Does no I/O; time comes in as an
//! argument.

mod code;
mod device;

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use code::Code;
pub(crate) use code::{BadCode, Challenge};
use device::Device;
pub(crate) use device::NotYet;

use crate::account::random_id;
use crate::config::{Quirks, RefreshToken};
use crate::draws::{Draws, Topic};
use crate::user::User;

/// The scope that a refresh token comes for.
const OFFLINE_ACCESS: &str = "offline_access";

/// Beyond this a lifetime is for ever.
const LONGEST: Duration = Duration::from_hours(24 * 3650);

/// All that was granted.
pub(crate) struct Grants {
    draws: Draws,
    client_id: String,
    seed: u64,
    users: u32,
    /// By the moment of sign-in. The last one of a user is the one in force.
    granted: Vec<Grant>,
    /// Access tokens.
    access: HashMap<String, Access>,
    /// Authorization codes that were not exchanged.
    codes: HashMap<String, Code>,
    /// Devices that wait, by their device code.
    devices: HashMap<String, Device>,
}

/// What came of one sign-in.
pub(crate) struct Grant {
    pub(crate) user: User,
    pub(crate) scopes: Vec<String>,
    /// The refresh token that works, and until when.
    refresh: Option<(String, DateTime<Utc>)>,
    /// Refresh tokens that were rotated away, and until when they still work.
    rotated: HashMap<String, DateTime<Utc>>,
    revoked: bool,
}

struct Access {
    /// Index of the grant.
    grant: usize,
    end: DateTime<Utc>,
}

/// What the token endpoint hands out. Tokens are never printed, not even these.
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
    pub(crate) scope: String,
}

impl Grants {
    /// Every user has signed in once already, with all scopes.
    pub(crate) fn new(seed: u64, users: u32, quirks: &Quirks, now: DateTime<Utc>) -> Self {
        let mut draws = Draws::new(seed, Topic::Tokens, 0);
        let client_id = random_id(&mut draws);
        let users = users.max(1);
        let end = after(now, quirks.refresh_token_lifetime);
        let granted = (0..users)
            .map(|user| Grant {
                user: User(user),
                scopes: quirks.granted_scopes.clone(),
                refresh: Some((opaque(&mut draws, 43), end)),
                rotated: HashMap::new(),
                revoked: false,
            })
            .collect();
        let (access, codes, devices) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { draws, client_id, seed, users, granted, access, codes, devices }
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// How many can sign in.
    pub(crate) fn users(&self) -> u32 {
        self.users
    }

    /// The user of this number, if there is one.
    pub(crate) fn user(&self, number: &str) -> Option<User> {
        number.parse().ok().filter(|number| *number < self.users).map(User)
    }

    /// The refresh token of a user that works now.
    pub(crate) fn refresh_token(&self, user: User) -> Option<&str> {
        let (_, grant) = self.grant_of(user)?;
        grant.refresh.as_ref().map(|(token, _)| token.as_str())
    }

    /// The grant that an access token belongs to, if it works now.
    pub(crate) fn holder(&self, access_token: &str, now: DateTime<Utc>) -> Option<&Grant> {
        let access = self.access.get(access_token).filter(|access| now < access.end)?;
        self.granted.get(access.grant).filter(|grant| !grant.revoked)
    }

    /// A new access token of a user, as if it had been asked for.
    pub(crate) fn access_token(&mut self, user: User, quirks: &Quirks, now: DateTime<Utc>) -> Option<String> {
        let (grant, _) = self.grant_of(user)?;
        self.issue_access(grant, quirks, now)
    }

    /// Trades a refresh token; `None` if it does not work.
    pub(crate) fn refresh(&mut self, token: &str, quirks: &Quirks, now: DateTime<Utc>) -> Option<Issued> {
        let (index, grant) = self.granted.iter_mut().enumerate().find(|(_, grant)| grant.knows(token))?;
        let current = grant.refresh.as_mut().filter(|(current, _)| current == token);
        if current.is_none() && quirks.reuse_revokes_grant {
            grant.revoked = true;
        }
        let works = match &current {
            Some((_, end)) => now < *end,
            None => grant.rotated.get(token).is_some_and(|end| now < *end),
        };
        if grant.revoked || !works {
            return None;
        }
        if let Some((current, end)) = current {
            *end = after(now, quirks.refresh_token_lifetime);
            if quirks.refresh_token == RefreshToken::Rotating {
                let rotated = std::mem::replace(current, opaque(&mut self.draws, 43));
                grant.rotated.insert(rotated, after(now, quirks.refresh_grace));
            }
        }
        if quirks.refresh_revokes_access {
            self.access.retain(|_, access| access.grant != index);
        }
        let mut issued = self.issued(index, quirks, now)?;
        if quirks.refresh_token == RefreshToken::Omitted {
            issued.refresh_token = None;
        }
        Some(issued)
    }

    /// A user signs in: a new grant and its first tokens.
    fn sign_in(&mut self, user: User, scopes: Vec<String>, quirks: &Quirks, now: DateTime<Utc>) -> Option<Issued> {
        if quirks.sign_in_ends_older {
            for grant in self.granted.iter_mut().filter(|grant| grant.user == user) {
                grant.refresh = None;
                grant.rotated.clear();
            }
        }
        let offline = scopes.iter().any(|scope| scope == OFFLINE_ACCESS);
        let end = after(now, quirks.refresh_token_lifetime);
        let refresh = offline.then(|| (opaque(&mut self.draws, 43), end));
        self.granted.push(Grant { user, scopes, refresh, rotated: HashMap::new(), revoked: false });
        self.issued(self.granted.len() - 1, quirks, now)
    }

    /// Ends everything that a user granted. The user can sign in again.
    pub(crate) fn revoke(&mut self, user: User) {
        for grant in self.granted.iter_mut().filter(|grant| grant.user == user) {
            grant.revoked = true;
        }
    }

    /// Ends all access tokens.
    pub(crate) fn expire_access_tokens(&mut self) {
        self.access.clear();
    }

    fn grant_of(&self, user: User) -> Option<(usize, &Grant)> {
        self.granted.iter().enumerate().rfind(|(_, grant)| grant.user == user)
    }

    fn issued(&mut self, grant: usize, quirks: &Quirks, now: DateTime<Utc>) -> Option<Issued> {
        let access_token = self.issue_access(grant, quirks, now)?;
        let grant = self.granted.get(grant)?;
        let refresh_token = grant.refresh.as_ref().map(|(token, _)| token.clone());
        Some(Issued { access_token, refresh_token, scope: grant.scopes.join(" ") })
    }

    fn issue_access(&mut self, index: usize, quirks: &Quirks, now: DateTime<Utc>) -> Option<String> {
        let end = after(now, quirks.access_token_lifetime);
        let grant = self.granted.get(index)?;
        let token = if quirks.opaque_tokens {
            opaque(&mut self.draws, 43)
        } else {
            let user = grant.user.platform_user_id(self.seed);
            json_web_token(&mut self.draws, &self.client_id, grant, &user, now, end)
        };
        self.access.retain(|_, access| now < access.end);
        self.access.insert(token.clone(), Access { grant: index, end });
        Some(token)
    }
}

impl Grant {
    /// Whether a scope was granted.
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }

    /// Whether a refresh token is, or was, one of this grant.
    fn knows(&self, token: &str) -> bool {
        self.refresh.as_ref().is_some_and(|(current, _)| current == token) || self.rotated.contains_key(token)
    }
}

/// A token in the form of the live ones: three parts, some thousand characters, expiry and scopes readable.
fn json_web_token(
    draws: &mut Draws,
    client_id: &str,
    grant: &Grant,
    user: &str,
    now: DateTime<Utc>,
    end: DateTime<Utc>,
) -> String {
    let claims = serde_json::json!({
        "ver": 1,
        "jti": format!("AT.{}", opaque(draws, 43)),
        "iss": "https://identity.constantcontact.com/oauth2/default",
        "aud": "https://api.cc.email/v3",
        "iat": now.timestamp(),
        "exp": end.timestamp(),
        "cid": client_id,
        "uid": user.replace('-', ""),
        "scp": grant.scopes,
        "sub": grant.user.email(),
        "platform_user_id": user,
    });
    let header = r#"{"kid":"sandbox","alg":"RS256"}"#;
    let signature = opaque(draws, 342);
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// So many random characters.
fn opaque(draws: &mut Draws, length: usize) -> String {
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']).collect();
    (0..length).map(|_| draws.pick(&alphabet)).collect()
}

/// The end of what begins now.
fn after(now: DateTime<Utc>, lifetime: Duration) -> DateTime<Utc> {
    now + lifetime.min(LONGEST)
}
