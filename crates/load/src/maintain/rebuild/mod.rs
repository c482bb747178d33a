//! Rebuilds a report's commit log from the footers of its files, for when the log is lost or does not go with the tables.
//!
//! The new record names every file that there is and takes a version above all that were ever used. Its watermark is
//! never ahead of the data: where something was lost that a record or a footer tells of, it goes back to before that.
//! It is a commit like any other, created if absent, so that a run which goes on meanwhile is fenced or fences it.

mod evidence;
mod found;
mod kin;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ctct_catalog::{OCCURRENCE, Report};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use crate::compact::Rewriter;
use crate::destination::{Destination, folder};
use crate::error::LoadError;
use crate::files::source::Listed;
use crate::log::ReportLog;
use crate::log::file_names::NamedFiles;
use crate::log::inventory::Listing;
use crate::log::manifest::Manifest;
use crate::log::record::{Commit, CommittedFile, Inventory, LAYOUT_VERSION, RECORD_FORMAT, StateFile, Window};
use crate::maintain::loss::Loss;
use crate::maintain::state;
use evidence::{Evidence, TakenOver};
use found::{Files, FoundFile};
use kin::FileFate;

/// Files that are read at a time.
const AT_A_TIME: usize = 8;

/// Key among the stats of a rebuilt record: how many files were lost, whose rows the next run reads again.
pub const LOST_FILES: &str = "lost_files";

/// What is to be rebuilt, and in whose name.
#[derive(Debug, Clone)]
pub struct Rebuild<'a> {
    /// Name of the pipeline, for the record.
    pub pipeline: &'a str,
    /// The account.
    pub account: &'a str,
    /// The report.
    pub report: &'a Report,
    /// Name of this run, unlike any other.
    pub run_id: &'a str,
    /// The time.
    pub at: DateTime<Utc>,
    /// Whether to write nothing and only say what would be done.
    pub dry_run: bool,
}

/// What a rebuild came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Rebuilt {
    /// There is neither a file nor a record that can be read: nothing to rebuild from.
    Nothing,
    /// Log and tables go together: the newest record stays.
    Sound {
        /// Its version.
        version: i64,
        /// Older records that are damaged; moved aside, or to be.
        moved: Vec<String>,
    },
    /// Files in the tables that are none of the report's, with what they are. Nothing was written.
    Refused(Vec<Loss>),
    /// The new record is the newest now, or would be.
    Done {
        /// The record.
        record: Box<Commit>,
        /// Each table that has files.
        tables: BTreeMap<String, TableRebuilt>,
        /// Damaged records and files, and files with rows of records that are lost in part; moved aside, or to be.
        moved: Vec<String>,
        /// Files whose rows are gone: the watermark was put back to before them.
        lost: Vec<Loss>,
        /// What else was damaged and is made again, or done without.
        damaged: Vec<Loss>,
    },
}

/// What a rebuilt table holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableRebuilt {
    /// Files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
}

/// Rebuilds the log of one report of one account.
///
/// Every file is read and compared with what the log says of it. What is not what was written goes to a folder beside the log,
/// and with it what is left of the same records, so that they can be read again completely.
///
/// # Errors
/// The store fails; a record has a newer format; another run commits meanwhile ([`LoadError::Fenced`]).
pub async fn rebuild(destination: &Destination, plan: &Rebuild<'_>) -> Result<Rebuilt, LoadError> {
    let log = ReportLog::new(destination, plan.account, &plan.report.name)?;
    let records = Records::read(&log).await?;
    let newest = records.readable.last();
    let head = newest.filter(|head| head.version == records.highest);
    if let Some(head) = head.filter(|_| !plan.dry_run) {
        match log.recover().await {
            // What is neither staged nor published is found below.
            Ok(_) | Err(LoadError::Lost { .. }) => {}
            Err(error) => return Err(error),
        }
        tracing::debug!(version = head.version, "the newest record can be read");
    }
    let listing = log.listing(plan.report.tables(), newest).await?;
    if newest.is_none() && listing.is_empty() {
        return Ok(Rebuilt::Nothing);
    }
    let (manifest, mut damaged) = manifest_of(&log, newest, &listing).await?;
    let named =
        NamedFiles::by(&records.readable, manifest.as_ref().filter(|_| head.is_some()).map(Manifest::of_tables));
    let files = Files::read(&log, &listing, &records.readable, &named).await?;
    let state = match head {
        Some(head) => state::damage(&log, head, manifest.as_ref()).await?,
        None => Vec::new(),
    };
    damaged.extend(state.iter().map(|damage| damage.loss.clone()));
    if let Some(head) = head {
        let proofs = manifest.clone().unwrap_or_default();
        let contradiction = match log.damage(Some(head), &proofs, &listing).await {
            Ok(damage) => damage.is_some(),
            Err(LoadError::Damaged { .. }) => true,
            Err(error) => return Err(error),
        };
        let sound = !contradiction
            && damaged.is_empty()
            && files.broken.is_empty()
            && files.refused.is_empty()
            && !files.sound.iter().any(|found| found.differs);
        if sound && !head.state.is_ahead_of(plan.at) {
            let moved = records.move_damaged(&log, plan).await?;
            return Ok(Rebuilt::Sound { version: records.highest, moved });
        }
    }
    if !files.refused.is_empty() {
        return Ok(Rebuilt::Refused(files.refused));
    }
    let staged = destination.list(&format!("{}/staging", log.folder())).await?;
    let evidence = Evidence {
        log: &log,
        report: plan.report,
        records: &records,
        listing: &listing,
        named: &named,
        files: &files,
        staged: &staged,
        at: plan.at,
    };
    let (basis, lost, holes) = evidence.weigh();
    let mut aside: Vec<String> = files.broken.keys().cloned().collect();
    let (mut stays, mut shrinks) = (Vec::new(), Vec::new());
    for found in files.sound {
        match kin::fate(&found, &holes, plan.report, basis.write_mode) {
            FileFate::Stays => stays.push(found),
            FileFate::Goes => aside.push(found.file.path),
            FileFate::Shrinks(gone) => shrinks.push((found, gone)),
        }
    }
    let version = version(&records, stays.iter().chain(shrinks.iter().map(|(found, _)| found)));
    // Pages are found record by record: a version that no record has would be a gap among them.
    let raw = head.filter(|head| {
        version == head.version + 1 && lost.is_empty() && !state.iter().any(|damage| damage.is_of_pages)
    });
    let pages_base = pages_base(&log, &records).await?;
    let mut record = record(plan, version, &stays, basis, pages_base);
    if !lost.is_empty() {
        record.stats.insert(LOST_FILES.to_owned(), lost.len() as u64);
    }
    record.failed = head.and_then(|head| head.failed.as_ref()).map(StateFile::carried_over);
    record.raw = raw.and_then(|head| head.raw.clone());
    let folder = format!("{}/damaged/{version:020}-{}", log.folder(), folder::of_name("run", plan.run_id)?);
    let mut moved = Vec::new();
    if !plan.dry_run {
        for path in &aside {
            set_aside(destination, path, &format!("{folder}/{path}")).await?;
        }
        record = shrunk(&log, plan, record, &shrinks, &folder).await?;
        let letters = manifest.iter().flat_map(Manifest::of_letters);
        let letters = letters.filter(|(path, _)| !state.iter().any(|damage| damage.path == *path));
        let letters = letters.map(|(path, proof)| (path.to_owned(), proof.clone()));
        log.stage_manifest(&mut record, &Manifest::of(letters), None).await?;
        // What the new record does not name nobody reads any more.
        let old = head.iter().flat_map(|head| head.seen.iter().chain(&head.manifest));
        record.removed.extend(old.map(|file| file.path.clone()));
        log.commit_and_publish(&record, &staging(&log, plan, version)?).await?;
    }
    for path in aside.iter().map(String::as_str).chain(shrinks.iter().map(|(found, _)| found.file.path.as_str())) {
        moved.push(destination.shown(&format!("{folder}/{path}")));
    }
    let tables = if plan.dry_run { totals_before(&stays, &shrinks) } else { totals_of(&record.files) };
    moved.extend(records.move_damaged(&log, plan).await?);
    Ok(Rebuilt::Done { record: Box::new(record), tables, moved, lost, damaged })
}

/// What the newest record's manifest says, or why it cannot be read.
async fn manifest_of(
    log: &ReportLog,
    newest: Option<&Commit>,
    listing: &Listing,
) -> Result<(Option<Manifest>, Vec<Loss>), LoadError> {
    if newest.is_none_or(|head| head.manifest.is_none()) {
        return Ok((None, Vec::new()));
    }
    match log.proofs(newest, listing).await {
        Ok(manifest) => Ok((Some(manifest), Vec::new())),
        Err(LoadError::Damaged { path, reason }) => Ok((None, vec![Loss { path, reason }])),
        Err(error) => Err(error),
    }
}

/// Writes files again without the rows of records that are read again completely. The originals are kept aside.
async fn shrunk(
    log: &ReportLog,
    plan: &Rebuild<'_>,
    mut record: Commit,
    shrinks: &[(FoundFile, Vec<(i64, i64)>)],
    aside: &str,
) -> Result<Commit, LoadError> {
    let destination = log.destination();
    let staging = staging(log, plan, record.version)?;
    let options = destination.file_options();
    let mut rewriter = Rewriter::for_commit(destination, plan.report, &record, staging, &options)?;
    for (FoundFile { file, .. }, gone) in shrinks {
        let Some(table) = plan.report.tables().iter().position(|table| table.name == file.table) else { continue };
        copy(destination, &file.path, &format!("{aside}/{}", file.path)).await?;
        let member = [Listed { path: file.path.clone(), bytes: file.bytes }];
        let written = rewriter.rewrite(table, &file.partition, &member, |batch| kin::kept(batch, gone)).await?;
        record.files.extend(written.files.into_iter().map(|new| CommittedFile { commits: file.commits, ..new }));
        record.removed.extend(written.removed);
    }
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for file in &record.files {
        *rows.entry(file.table.clone()).or_default() += file.rows;
    }
    record.rows = rows;
    let gone = &record.removed;
    record.files.retain(|file| !gone.contains(&file.path));
    record.inventory = Inventory::after(None, &Listing::default(), record.version, &record.files, &[]);
    Ok(record)
}

/// Where files wait for the commit of this version.
fn staging(log: &ReportLog, plan: &Rebuild<'_>, version: i64) -> Result<String, LoadError> {
    Ok(log.staging(version - 1, &folder::of_name("run", plan.run_id)?))
}

/// Moves a file out of its table, to where nothing reads it.
async fn set_aside(destination: &Destination, path: &str, aside: &str) -> Result<(), LoadError> {
    let (from, to) = (destination.key(path)?, destination.key(aside)?);
    let renamed = destination.retidied(|| destination.store.rename(&from, &to)).await;
    renamed.map_err(destination.failed("move aside", path))?;
    destination.tidy(path.rsplit_once('/').map_or(path, |(folder, _)| folder)).await;
    Ok(())
}

async fn copy(destination: &Destination, path: &str, aside: &str) -> Result<(), LoadError> {
    let (from, to) = (destination.key(path)?, destination.key(aside)?);
    let copied = destination.retidied(|| destination.store.copy(&from, &to)).await;
    copied.map_err(destination.failed("copy aside", path))
}

/// All records, as far as they can be read.
struct Records {
    /// The oldest first.
    readable: Vec<Commit>,
    /// Version and path of the damaged ones.
    damaged: Vec<(i64, String)>,
    /// The highest version, readable or not; 0 where there is none.
    highest: i64,
}

impl Records {
    async fn read(log: &ReportLog) -> Result<Self, LoadError> {
        let found = log.records().await?;
        let highest = found.last().map_or(0, |record| record.version);
        let read = found.into_iter().map(|file| async move {
            match log.read(file.version).await {
                Ok(commit) => Ok((file, commit)),
                Err(LoadError::Damaged { .. }) => Ok((file, None)),
                Err(error) => Err(error),
            }
        });
        let read: Vec<_> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
        let (mut readable, mut damaged) = (Vec::new(), Vec::new());
        for (file, commit) in read {
            match commit {
                Some(commit) => readable.push(commit),
                None => damaged.push((file.version, file.path)),
            }
        }
        Ok(Self { readable, damaged, highest })
    }

    /// Moves the damaged records to a folder beside the log, where nothing reads them; says which.
    async fn move_damaged(&self, log: &ReportLog, plan: &Rebuild<'_>) -> Result<Vec<String>, LoadError> {
        let destination = log.destination();
        let run = folder::of_name("run", plan.run_id)?;
        let mut moved = Vec::new();
        for (version, path) in &self.damaged {
            let aside = format!("{}/damaged/{version:020}-{run}.json", log.folder());
            if !plan.dry_run {
                let (from, to) = (destination.key(path)?, destination.key(&aside)?);
                let renamed = destination.retidied(|| destination.store.rename(&from, &to)).await;
                renamed.map_err(destination.failed("move aside", path))?;
            }
            moved.push(destination.shown(&aside));
        }
        Ok(moved)
    }
}

/// A version above every one that was ever used.
fn version<'a>(records: &Records, files: impl Iterator<Item = &'a FoundFile>) -> i64 {
    files.map(|found| found.stamp.commit).max().unwrap_or_default().max(records.highest) + 1
}

/// The commit that kept pages are based on: what the newest record says where it can be read, else the latest that there are
/// pages of, since every commit with answers drops those before it. Pages of another window are not used anyway.
async fn pages_base(log: &ReportLog, records: &Records) -> Result<i64, LoadError> {
    match records.readable.last() {
        Some(head) if head.version == records.highest => Ok(head.pages_base()),
        newest => {
            let waiting = log.bases_of_pages().await?.into_iter().max();
            Ok(waiting.unwrap_or_else(|| newest.map_or(records.highest, Commit::pages_base)))
        }
    }
}

fn record(plan: &Rebuild<'_>, version: i64, files: &[FoundFile], basis: TakenOver, pages_base: i64) -> Commit {
    let own = |found: &&FoundFile| found.file.table == plan.report.name;
    let counts = files.iter().filter(own).all(|found| found.counts);
    let key = plan.report.key.iter().filter(|column| counts || *column != OCCURRENCE).cloned().collect();
    let TakenOver { identity, state, write_mode, history, partition_by } = basis;
    let files: Vec<CommittedFile> = files.iter().map(|found| found.file.clone()).collect();
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for file in &files {
        *rows.entry(file.table.clone()).or_default() += file.rows;
    }
    Commit {
        format: RECORD_FORMAT,
        version,
        run_id: plan.run_id.to_owned(),
        pipeline: plan.pipeline.to_owned(),
        account: plan.account.to_owned(),
        identity,
        report: plan.report.name.clone(),
        committed_at: plan.at,
        write_mode,
        history,
        partition_by,
        key,
        window: Window::default(),
        state,
        account_column: false,
        layout: LAYOUT_VERSION,
        inventory: Inventory::after(None, &Listing::default(), version, &files, &[]),
        rebuilt: true,
        files,
        removed: Vec::new(),
        dead_letters: None,
        raw: None,
        seen: None,
        manifest: None,
        failed: None,
        answers: Some(pages_base),
        rows,
        stats: BTreeMap::new(),
    }
}

/// What stays as it is. What files that are written again will hold is not known before that.
fn totals_before(stays: &[FoundFile], shrinks: &[(FoundFile, Vec<(i64, i64)>)]) -> BTreeMap<String, TableRebuilt> {
    let mut tables = totals_of(stays.iter().map(|found| &found.file));
    for (found, _) in shrinks {
        tables.entry(found.file.table.clone()).or_default();
    }
    tables
}

fn totals_of<'a>(files: impl IntoIterator<Item = &'a CommittedFile>) -> BTreeMap<String, TableRebuilt> {
    let mut tables: BTreeMap<String, TableRebuilt> = BTreeMap::new();
    for file in files {
        let table = tables.entry(file.table.clone()).or_default();
        table.files += 1;
        table.rows += file.rows;
        table.bytes += file.bytes;
    }
    tables
}
