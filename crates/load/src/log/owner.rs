//! Whose rows a report holds: the account by the vendor's own id, whatever people call it here.
//!
//! A run says it with its commit and in every file, so that the rows of two companies never end up under one name. Only
//! [`adopt`] puts one account in the place of another.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::Error as StoreError;
use serde::{Deserialize, Serialize};

use crate::destination::folder::STATE_FOLDER;
use crate::log::ReportLog;
use crate::log::record::{Commit, StateFile, Window};
use crate::{Destination, LoadError, destination::folder};

/// Records that are read at a time.
const AT_A_TIME: usize = 8;

/// Whose rows a report holds, as far as that is known. Texts are the caller's: they are compared and never looked into.
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

/// Whose rows a report holds by its newest record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The report.
    pub report: String,
    /// When the record was committed.
    pub committed_at: DateTime<Utc>,
    /// Whose they are.
    pub owner: Owner,
}

/// Whose rows each report holds that is stored under an account's name, whichever pipeline wrote it. Records that cannot be
/// read are passed over: whoever uses their report is told.
///
/// # Errors
/// The store fails, or the account's name cannot be a folder.
pub async fn owners(destination: &Destination, account: &str) -> Result<Vec<Owned>, LoadError> {
    let of_account = format!("{STATE_FOLDER}/{}", folder::of_name("account", account)?);
    let listed = destination.store.list_with_delimiter(Some(&destination.key(&of_account)?)).await;
    let folders = match listed {
        Ok(found) => found.common_prefixes,
        Err(StoreError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(destination.failed("list", &of_account)(error)),
    };
    let name = |path: &object_store::path::Path| {
        let folder = path.as_ref().rsplit('/').next().unwrap_or_default();
        folder::decode(folder)
    };
    let mut reports: Vec<String> = folders.iter().filter_map(name).collect();
    reports.sort_unstable();
    let read = reports.into_iter().map(|report| async move {
        match ReportLog::new(destination, account, &report)?.head().await {
            Ok(head) => Ok(head.map(|head| Owned { report, committed_at: head.committed_at, owner: head.identity })),
            Err(LoadError::Damaged { .. } | LoadError::NewerFormat { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    });
    let read: Vec<Option<Owned>> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

/// A report that has another owner now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Number of the commit that says so; `None` where the account was the same already.
    pub version: Option<i64>,
    /// Whose rows they were.
    pub from: Owner,
}

/// Says that a report's rows are another account's from now on, in a commit that changes nothing else. `None` where
/// nothing is stored.
///
/// # Errors
/// The store fails, the newest record is damaged, or another run commits meanwhile ([`LoadError::Fenced`]).
pub async fn adopt(
    destination: &Destination,
    account: &str,
    report: &str,
    owner: &Owner,
    run_id: &str,
    at: DateTime<Utc>,
) -> Result<Option<Adopted>, LoadError> {
    let log = ReportLog::new(destination, account, report)?;
    let Some(head) = log.recover().await? else { return Ok(None) };
    let from = head.identity.clone();
    if from.account == owner.account {
        return Ok(Some(Adopted { version: None, from }));
    }
    let mut former = from.former.clone();
    former.extend(from.account.clone());
    former.retain(|account| owner.account.as_ref() != Some(account));
    former.sort_unstable();
    former.dedup();
    let commit = Commit {
        version: head.version + 1,
        run_id: run_id.to_owned(),
        committed_at: at,
        identity: Owner { former, ..owner.clone() },
        window: Window::default(),
        rebuilt: false,
        files: Vec::new(),
        removed: Vec::new(),
        dead_letters: None,
        seen: head.seen.as_ref().map(StateFile::carried_over),
        manifest: head.manifest.as_ref().map(StateFile::carried_over),
        failed: head.failed.as_ref().map(StateFile::carried_over),
        answers: Some(head.pages_base()),
        rows: head.rows.keys().map(|table| (table.clone(), 0)).collect(),
        stats: BTreeMap::from([("adopted".to_owned(), 1)]),
        ..head
    };
    log.commit(&commit).await?;
    if let Err(error) = log.collect(&commit).await {
        tracing::warn!(%error, "could not remove what dead runs left; the next run will");
    }
    Ok(Some(Adopted { version: Some(commit.version), from }))
}
