//! What readers see in the folder of a table and no log here knows: files that came from elsewhere, another destination in the
//! table's folder, the folder of an account that was never read, an account that is stored under two labels.
//!
//! Readers glob `<table>/**/*.parquet`. A run compares its own account's folder with its log, file by file; this is the rest.

use std::collections::BTreeSet;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ListResult;
use object_store::path::Path;

use crate::destination::Destination;
use crate::destination::folder::{self, ACCOUNT, STATE_FOLDER};
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::owner::Owner;

/// Folders that are listed at a time.
const AT_A_TIME: usize = 16;

/// A file or folder below a table's folder that is of no account here, and what is wrong with it.
pub(crate) type Foreign = (String, String);

/// Why readers of these tables would see what no log knows; `None` where they do not.
///
/// # Errors
/// The store fails.
pub(crate) async fn refuse(
    destination: &Destination,
    account_folder: &str,
    tables: impl Iterator<Item = String>,
) -> Result<Option<LoadError>, LoadError> {
    let found = find(destination, account_folder, tables).await?.into_iter().next();
    Ok(found.map(|(path, reason)| LoadError::Foreign { path: destination.shown(&path), reason }))
}

/// All that readers of these tables would see and no log knows, by path.
pub(crate) async fn find(
    destination: &Destination,
    account_folder: &str,
    tables: impl Iterator<Item = String>,
) -> Result<Vec<Foreign>, LoadError> {
    let listed: Vec<_> = tables.map(|table| below_table(destination, table).boxed()).collect();
    let listed: Vec<(ListResult, String)> = stream::iter(listed).buffered(AT_A_TIME).try_collect().await?;
    let own = format!("{ACCOUNT}={account_folder}");
    let others = |found: &ListResult| found.common_prefixes.iter().any(|path| name(path) != own);
    // Mostly there is one account and nothing else.
    let accounts =
        if listed.iter().any(|(found, _)| others(found)) { Some(accounts(destination).await?) } else { None };
    let mut foreign = Vec::new();
    for (found, table) in listed {
        for object in found.objects.iter().filter(|object| object.location.extension() == Some("parquet")) {
            foreign.push((destination.relative(&object.location).to_owned(), strange()));
        }
        if found.common_prefixes.iter().any(|path| name(path) == STATE_FOLDER) {
            let what = format!("it is another destination inside the folder of the table `{table}`");
            foreign.push((table, what));
            continue;
        }
        for path in found.common_prefixes.iter().filter(|path| name(path) != own) {
            let label = name(path).strip_prefix(ACCOUNT).and_then(|rest| rest.strip_prefix('='));
            if label.is_some_and(|label| accounts.as_ref().is_some_and(|accounts| accounts.contains(label))) {
                continue;
            }
            let folder = format!("{table}/{}", name(path));
            let inside = destination.list(&folder).await?;
            let is_parquet =
                |path: &&String| std::path::Path::new(path).extension().is_some_and(|end| end == "parquet");
            let Some(first) = inside.iter().find(is_parquet) else { continue };
            foreign.push(match label {
                Some(label) => {
                    let what = format!("no commit log here has the account `{label}`, but readers see its rows");
                    (folder, what)
                }
                None => (first.clone(), strange()),
            });
        }
    }
    foreign.sort();
    Ok(foreign)
}

/// The other labels under which the same account's rows of a report are stored.
///
/// # Errors
/// The store fails.
pub(crate) async fn same_account(log: &ReportLog, owner: &Owner) -> Result<Vec<String>, LoadError> {
    let destination = log.destination();
    let Some(account) = &owner.account else { return Ok(Vec::new()) };
    let labels = accounts(destination).await?.into_iter().filter_map(|name| folder::decode(&name));
    let labels: Vec<String> = labels.filter(|label| label != log.account()).collect();
    let read: Vec<_> = labels.into_iter().map(|label| has_account(log, label, account).boxed()).collect();
    let found: Vec<Option<String>> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// The label, if this account's rows are stored under it.
async fn has_account(log: &ReportLog, label: String, account: &str) -> Result<Option<String>, LoadError> {
    let other = ReportLog::new(log.destination(), &label, log.report())?;
    match other.head().await {
        Ok(head) => {
            let has_rows = head.filter(|head| !head.inventory.tables.is_empty());
            Ok(has_rows.filter(|head| head.identity.account.as_deref() == Some(account)).map(|_| label))
        }
        // Whoever uses it is told.
        Err(LoadError::Damaged { .. } | LoadError::NewerFormat { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Folder names of the accounts that have a log here.
async fn accounts(destination: &Destination) -> Result<BTreeSet<String>, LoadError> {
    let found = destination.children(STATE_FOLDER).await?;
    // Folders with a dot are what hosts share.
    Ok(found.common_prefixes.iter().map(name).filter(|name| !name.starts_with('.')).map(str::to_owned).collect())
}

async fn below_table(destination: &Destination, table: String) -> Result<(ListResult, String), LoadError> {
    Ok((destination.children(&table).await?, table))
}

fn name(path: &Path) -> &str {
    path.as_ref().rsplit('/').next().unwrap_or_default()
}

fn strange() -> String {
    "no commit wrote it, but readers of the table see it".to_owned()
}
