//! Which accounts own the reports that are stored here, and how one account takes the place of another.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use crate::destination::Destination;
use crate::destination::folder::{self, STATE_FOLDER};
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::owner::Owner;
use crate::log::record::{Commit, StateFile, Window};

/// Records that are read at a time.
const AT_A_TIME: usize = 8;

/// Whose rows are stored for a report, by its newest record.
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
    let folders = destination.children(&of_account).await?.common_prefixes;
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
    log.commit_and_publish(&commit, &log.staging(commit.version - 1, &folder::encode(run_id))).await?;
    Ok(Some(Adopted { version: Some(commit.version), from }))
}
