//! What the tables hold by the log, and what they hold by the store's listing. Where the two differ is damage.
//!
//! Every record carries the number of files and of bytes of each table after its commit. So a file that went missing, one
//! that was put back from an older copy, one that no commit wrote, and a record that somebody removed are all seen at the
//! start of the next run, for the price of one listing a table and without opening a file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};

use crate::destination::{Destination, folder};
use crate::error::LoadError;
use crate::log::record::{Commit, CommittedFile, Inventory, TableInventory};

/// Tables that are listed at a time.
const AT_A_TIME: usize = 16;

impl TableInventory {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

impl Inventory {
    /// What the tables hold after a commit of these files and removals, by what was listed before it.
    pub(crate) fn after(
        previous: Option<&Commit>,
        listing: &Listing,
        version: i64,
        files: &[CommittedFile],
        removed: &[String],
    ) -> Self {
        let untouched = files.is_empty() && removed.is_empty();
        let changed = previous.filter(|_| untouched).map_or(version, |commit| commit.inventory.changed);
        let gone: HashSet<&str> =
            removed.iter().map(String::as_str).chain(files.iter().map(|file| file.path.as_str())).collect();
        let kept = listing.iter().filter(|(path, _)| !gone.contains(path));
        let added = files.iter().map(|file| (file.path.as_str(), file.bytes));
        Self { changed, tables: by_table(kept.chain(added)) }
    }

    /// What is in the tables and should not be, or is not and should be: a path and what is wrong with it. `changed` is
    /// the record of [`Self::changed`].
    pub(crate) fn damage(&self, changed: &Commit, listing: &Listing) -> Option<(String, String)> {
        for CommittedFile { path, bytes, .. } in &changed.files {
            let version = changed.version;
            let reason = match listing.size(path) {
                Some(found) if found == *bytes => continue,
                Some(found) => format!(
                    "commit {version} wrote {bytes} bytes there and it has {found}: it was changed, or put back from an \
                     older copy"
                ),
                None => format!("commit {version} wrote it, but it is missing"),
            };
            return Some((path.clone(), reason));
        }
        let found = listing.tables();
        let names: BTreeSet<&String> = self.tables.keys().chain(found.keys()).collect();
        for name in names {
            let expected = self.tables.get(name).copied().unwrap_or_default();
            let found = found.get(name).copied().unwrap_or_default();
            if found != expected {
                let reason = format!(
                    "its commits left {} there, and there are {}",
                    in_words(expected),
                    if found.files == 0 { "none".to_owned() } else { in_words(found) }
                );
                return Some((listing.folder(name), reason));
            }
        }
        None
    }
}

fn in_words(TableInventory { files, bytes }: TableInventory) -> String {
    format!("{files} Parquet file{} of {bytes} bytes", if files == 1 { "" } else { "s" })
}

fn by_table<'a>(files: impl Iterator<Item = (&'a str, u64)>) -> BTreeMap<String, TableInventory> {
    let mut tables: BTreeMap<String, TableInventory> = BTreeMap::new();
    for (path, bytes) in files {
        tables.entry(table_of(path)).or_default().add(bytes);
    }
    tables
}

/// The table that a file's path is of.
pub(crate) fn table_of(path: &str) -> String {
    let name = path.split('/').next().unwrap_or_default();
    folder::decode(name).unwrap_or_else(|| name.to_owned())
}

/// The partition folders of a file's path, below the account's.
pub(crate) fn partition_of(path: &str) -> &str {
    let below = path.splitn(3, '/').nth(2).unwrap_or_default();
    below.rsplit_once('/').map_or("", |(folders, _)| folders)
}

/// The folder of an account's files of a table, relative to the destination.
pub fn account_folder(table: &str, account: &str) -> String {
    table_folder(table, &folder::encode(account))
}

/// The same where `account` is the name of the account's folder.
pub(crate) fn table_folder(table: &str, account: &str) -> String {
    format!("{}/{}={account}", folder::encode(table), crate::destination::folder::ACCOUNT)
}

/// The Parquet files below the table folders of one report and account, with their sizes: some 150 bytes a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    account: String,
    /// The tables that were listed.
    listed: Vec<String>,
    files: HashMap<String, u64>,
}

impl Listing {
    /// Lists these tables side by side. `account` is the folder name of the account.
    pub(crate) async fn read(
        destination: &Destination,
        account: &str,
        tables: impl IntoIterator<Item = String>,
    ) -> Result<Self, LoadError> {
        let tables: Vec<String> = tables.into_iter().collect();
        let folders: Vec<String> = tables.iter().map(|table| table_folder(table, account)).collect();
        let listed = folders.into_iter().map(|folder| async move { destination.objects(&folder).await });
        let listed: Vec<_> = stream::iter(listed).buffer_unordered(AT_A_TIME).try_collect().await?;
        let parquet = listed.into_iter().flatten().filter(|object| object.location.extension() == Some("parquet"));
        let files = parquet.map(|object| (destination.relative(&object.location).to_owned(), object.size)).collect();
        Ok(Self { account: account.to_owned(), listed: tables, files })
    }

    /// The account's folder name.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    /// The folders of the tables that were listed, over all accounts.
    pub(crate) fn folders(&self) -> impl Iterator<Item = String> {
        self.listed.iter().map(|table| folder::encode(table))
    }

    /// Whether there is no file at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Size of a file, where it is there.
    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        self.files.get(path).copied()
    }

    /// All files, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), *bytes))
    }

    /// The files of one table by path.
    pub(crate) fn of_table(&self, table: &str) -> Vec<(String, u64)> {
        let folder = format!("{}/", self.folder(table));
        let mut files: Vec<_> = self.iter().filter(|(path, _)| path.starts_with(&folder)).collect();
        files.sort_unstable();
        files.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect()
    }

    /// All files by path.
    pub(crate) fn sorted(&self) -> Vec<(String, u64)> {
        let mut files: Vec<_> = self.iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect();
        files.sort_unstable();
        files
    }

    /// What each table holds that has a file.
    pub(crate) fn tables(&self) -> BTreeMap<String, TableInventory> {
        by_table(self.iter())
    }

    /// The account's folder of a table.
    pub(crate) fn folder(&self, table: &str) -> String {
        table_folder(table, &self.account)
    }
}
