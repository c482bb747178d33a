//! Whose rows are stored for a report: the account by the vendor's own id, whatever people call it here.
//!
//! A run says it with its commit and in every file, so that the rows of two companies never end up under one name. Only
//! [`crate::adopt`] puts one account in the place of another.

use serde::{Deserialize, Serialize};

/// Whose rows are stored for a report, as far as that is known. Texts are the caller's: they are compared and never looked into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// The vendor's id of the account. Absent where nothing told it so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The account's organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Tells the user by whose token the account was found from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Tells the access token that the account was found with from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The access token that the last run asked with and that did not tell the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// Accounts whose place this one took on purpose. Files of theirs may still be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
}

impl Owner {
    /// Whether nothing at all is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// What a commit after `previous` says: an account that is known stays known where a run could not tell.
    #[must_use]
    pub(crate) fn after(self, previous: Option<&Self>) -> Self {
        let Some(previous) = previous else { return self };
        if self.account.is_some() {
            return Self { former: previous.former.clone(), name: self.name.or_else(|| previous.name.clone()), ..self };
        }
        Self { asked: self.asked.or_else(|| previous.asked.clone()), ..previous.clone() }
    }

    /// What files say: what tells the account, and nothing of who asked.
    pub(crate) fn in_files(&self) -> Self {
        Self { user: None, token: None, asked: None, ..self.clone() }
    }

    /// Whether a file of this account belongs to the tables.
    pub(crate) fn may_have(&self, account: &str) -> bool {
        self.account.as_deref().is_none_or(|own| own == account) || self.former.iter().any(|former| former == account)
    }
}
