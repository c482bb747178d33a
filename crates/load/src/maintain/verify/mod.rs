//! Checks what is stored of a report: files against their records, rows against each other.
//!
//! Files are read as streams and keys as hashes, some of them at a time, so that memory does not grow with the account.

mod files;
mod folders;
mod keys;
mod scan;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ctct_catalog::Report;
use keys::KeyCheck;

use crate::destination::Destination;
use crate::error::{LoadError, ahead};
use crate::log::inventory::Listing;
use crate::log::manifest::Manifest;
use crate::log::record::Commit;
use crate::log::{ReportLog, foreign};
use crate::maintain::loss::Loss;
use crate::maintain::state;

/// What was found out about one report of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Version of the newest record; `None` where there is none, or where it is damaged.
    pub version: Option<i64>,
    /// Where the history of the tables begins, by the newest record; absent where everything was read.
    pub since: Option<DateTime<Utc>>,
    /// Records that were read.
    pub records: u64,
    /// Every table that has files.
    pub tables: Vec<VerifiedTable>,
    /// Rows of the report's own table that are current: each key once, without those that are marked as deleted.
    pub current_rows: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One table that was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifiedTable {
    /// The table.
    pub table: String,
    /// Files.
    pub files: u64,
    /// Rows by the files' footers.
    pub rows: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
    /// Files whose checksum a record still tells, and it holds.
    pub hashed: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The record, file or folder, as people are shown it.
    pub path: String,
    /// What is wrong with it. Holds no cell's value.
    pub what: String,
    /// How to repair it.
    pub fix: Fix,
}

/// How to repair what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fix {
    /// Put the file back from a backup; without one, rebuild the log and read everything again.
    Restore,
    /// Rebuild the log from the files.
    Rebuild,
    /// Take the file out of the table's folder.
    Remove,
    /// Keep one of the two labels of an account, and move the tables and the state of the other elsewhere.
    Label,
    /// Read everything again and rewrite the tables.
    Refresh,
    /// Run again: the API may have changed since.
    Run,
}

/// How a report is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Whether [`Verified::current_rows`] is wanted, which reads the keys once more.
    pub count: bool,
    /// Bytes of keys that are held at a time, 16 per row. A table with more rows is read several times.
    pub key_bytes: u64,
    /// The time, which no watermark may lie ahead of; absent where that is not looked at.
    pub now: Option<DateTime<Utc>>,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { count: false, key_bytes: 32 << 20, now: None }
    }
}

impl Verified {
    /// Adds findings, but for those that are known: a file may be read for several reasons.
    fn add(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            if !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }
}

/// Times that a report is verified again because a run committed meanwhile.
const ATTEMPTS: usize = 3;

/// Verifies a report.
///
/// # Errors
/// The store fails, or a record has a newer format. What is wrong with the stored state is a finding.
pub async fn verify(
    destination: &Destination,
    account: &str,
    report: &Report,
    options: &VerifyOptions,
) -> Result<Verified, LoadError> {
    let log = ReportLog::new(destination, account, &report.name)?;
    let mut verified = attempt(&log, report, options).await?;
    for _ in 1..ATTEMPTS {
        let newest = log.records().await?.last().map(|record| record.version);
        // A run that committed in between changed the files under our eyes.
        if verified.findings.is_empty() || verified.version.is_none() || newest == verified.version {
            break;
        }
        verified = attempt(&log, report, options).await?;
    }
    Ok(verified)
}

async fn attempt(log: &ReportLog, report: &Report, options: &VerifyOptions) -> Result<Verified, LoadError> {
    let mut verified = Verified::default();
    // A commit that waits to be published is published first; damage is found below, file by file.
    match log.recover().await {
        Ok(_) | Err(LoadError::Damaged { .. } | LoadError::Lost { .. }) => {}
        Err(error) => return Err(error),
    }
    let records = read_records(log, &mut verified).await?;
    let Some(head) = records.last().filter(|_| verified.version.is_some()) else {
        if verified.findings.is_empty() {
            let listing = log.listing(report.tables(), None).await?;
            verified.findings.extend(log.damage(None, &Manifest::default(), &listing).await?.map(damage));
        }
        return Ok(verified);
    };
    let listing = log.listing(report.tables(), Some(head)).await?;
    verified.since = head.state.since;
    let manifest = match log.proofs(Some(head), &listing).await {
        Ok(manifest) => Some(manifest),
        Err(error @ LoadError::Damaged { .. }) => {
            verified.findings.push(damage(error));
            None
        }
        Err(error) => return Err(error),
    };
    let known = (head, manifest.as_ref());
    let checked = files::check(log, report, &records, known, &listing, &mut verified).await?;
    if head.has_key_of(report) {
        let keys = KeyCheck { log, report, key_bytes: options.key_bytes, checked: &checked };
        keys.check(head, &mut verified).await?;
        Box::pin(folders::check(log, report, head, &checked, &mut verified)).await?;
        if options.count {
            keys.count(&mut verified).await?;
        }
    } else {
        let path = log.destination().shown(&listing.folder(&report.name));
        let what = "it was written by a version that kept one row of several equal events".to_owned();
        verified.findings.push(Finding { path, what, fix: Fix::Refresh });
    }
    unlocated(log, head, manifest.as_ref(), &listing, &mut verified).await?;
    beside(log, head, manifest.as_ref(), &listing, &mut verified).await?;
    let ahead = options.now.and_then(|now| log.refuse_ahead(head, now).err());
    verified.findings.extend(ahead.map(damage));
    Ok(verified)
}

/// Reads every record. A damaged one is a finding; where it is the newest, there is no version to verify.
async fn read_records(log: &ReportLog, verified: &mut Verified) -> Result<Vec<Commit>, LoadError> {
    let mut records = Vec::new();
    for file in log.records().await? {
        verified.version = None;
        match log.read(file.version).await {
            Ok(Some(commit)) => {
                verified.version = Some(commit.version);
                records.push(commit);
            }
            // Pruned since it was listed.
            Ok(None) => {}
            Err(error @ LoadError::Damaged { .. }) => verified.findings.push(damage(error)),
            Err(error) => return Err(error),
        }
    }
    verified.records = records.len() as u64;
    Ok(records)
}

/// What is beside the account's tables: the state that the record names, pages that wait, and what readers of the tables'
/// folders see and no log knows.
async fn beside(
    log: &ReportLog,
    head: &Commit,
    manifest: Option<&Manifest>,
    listing: &Listing,
    verified: &mut Verified,
) -> Result<(), LoadError> {
    let finding = |Loss { path, reason }: Loss, fix| Finding { path, what: reason, fix };
    let state = state::damage(log, head, manifest).await?;
    verified.add(state.into_iter().map(|damage| finding(damage.loss, Fix::Rebuild)).collect());
    let pages = state::unusable_pages(log, head.version).await?;
    let ids = state::unusable_ids(log, head).await?;
    verified.add(pages.into_iter().chain(ids).map(|loss| finding(loss, Fix::Run)).collect());
    let destination = log.destination();
    let foreign = foreign::find(destination, listing.account(), listing.folders()).await?;
    let shown = |(path, what): (String, String)| Finding { path: destination.shown(&path), what, fix: Fix::Remove };
    verified.add(foreign.into_iter().map(shown).collect());
    for label in foreign::same_account(log, &head.identity).await? {
        let path = destination.shown(&listing.folder(log.report()));
        let what = format!("the same account is also stored as `{label}`, so readers see each row twice");
        verified.add(vec![Finding { path, what, fix: Fix::Label }]);
    }
    Ok(())
}

/// Damage that no single file shows: files are gone whose records were pruned.
async fn unlocated(
    log: &ReportLog,
    head: &Commit,
    manifest: Option<&Manifest>,
    listing: &Listing,
    verified: &mut Verified,
) -> Result<(), LoadError> {
    if verified.findings.iter().all(|finding| matches!(finding.fix, Fix::Refresh)) {
        let Some(manifest) = manifest else { return Ok(()) };
        match log.damage(Some(head), manifest, listing).await {
            Ok(found) => verified.findings.extend(found.map(damage)),
            Err(error @ LoadError::Damaged { .. }) => verified.findings.push(damage(error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An error about damage as a finding.
fn damage(error: LoadError) -> Finding {
    match error {
        LoadError::Damaged { path, reason } => Finding { path, what: reason, fix: Fix::Rebuild },
        LoadError::Ahead { path, watermark, now } => Finding { path, what: ahead(watermark, now), fix: Fix::Rebuild },
        error => Finding { path: String::new(), what: error.to_string(), fix: Fix::Rebuild },
    }
}

/// A file that is as it should be, so that its rows can be looked at.
#[derive(Debug, Clone)]
struct CheckedFile {
    path: String,
    bytes: u64,
    rows: u64,
}

/// The sound files of each table; `complete` says whether they are all that the table should have.
#[derive(Debug, Default)]
struct CheckedTable {
    files: Vec<CheckedFile>,
    complete: bool,
}

/// The tables that were checked, by name.
type CheckedTables = BTreeMap<String, CheckedTable>;
