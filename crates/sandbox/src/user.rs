//! A person who can sign in. All of them read the same account; what tells them apart is here.

use crate::account::random_id;
use crate::config::{Quirks, SandboxConfig};
use crate::draws::{Draws, Topic};

/// What reading contacts, their lists, tags, fields and segments needs.
pub(crate) const READ_CONTACTS: &str = "contacts:read";
/// What reading reports needs.
pub(crate) const READ_REPORTS: &str = "ui:campaign:metrics";

/// Some of the privileges of an account owner; the live API sends 94.
const PRIVILEGES: [&str; 12] = [
    "campaign:create",
    "campaign:read",
    "campaign:write",
    "campaign:send",
    READ_CONTACTS,
    "contacts:write",
    "contacts:lists:read",
    "contacts:lists:write",
    READ_REPORTS,
    "account:read",
    "account:update",
    "account:billing:read",
];

/// A user, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User(pub(crate) u32);

impl User {
    /// What it may do, besides what is granted to the application (vendor's guide, "User privileges").
    pub(crate) fn privileges(self, config: &SandboxConfig) -> impl Iterator<Item = &'static str> {
        let creator = self.0 >= config.users.saturating_sub(config.quirks.campaign_creators);
        PRIVILEGES.into_iter().filter(move |privilege| !creator || privilege.starts_with("campaign:"))
    }

    /// The address that it signs in with.
    pub(crate) fn email(self) -> String {
        match self.0 {
            0 => "owner@example.com".to_owned(),
            user => format!("owner-{}@example.com", user + 1),
        }
    }

    /// The name of its organisation.
    pub(crate) fn organization(self) -> String {
        match self.0 {
            0 => "Sandbox".to_owned(),
            user => format!("Sandbox {}", user + 1),
        }
    }

    /// The user whose account it is: itself, or the first one where all share that one's.
    pub(crate) fn owner(self, quirks: &Quirks) -> Self {
        if quirks.shared_account { Self(0) } else { self }
    }

    /// The id of its account, as the API encodes it.
    pub(crate) fn encoded_account_id(self, seed: u64) -> String {
        format!("p07e{:010x}", seed.wrapping_add(u64::from(self.0) << 32))
    }

    /// Its id in tokens, which no other user has and no token changes.
    pub(crate) fn platform_user_id(self, seed: u64) -> String {
        random_id(&mut Draws::new(seed, Topic::Tokens, 1 + u64::from(self.0)))
    }
}
