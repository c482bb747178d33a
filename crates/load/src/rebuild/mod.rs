//! Rebuilds a report's commit log from the footers of its files, for when the log is lost or does not go with the tables.
//!
//! The new record names every file that there is and takes a version above all that were ever used. Its watermark is
//! never ahead of the data: where something was lost that a record or a footer tells of, it goes back to before that.
//! It is a commit like any other, created if absent, so that a run which goes on meanwhile is fenced or fences it.

mod evidence;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ctct_catalog::{OCCURRENCE, Report};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;

use crate::footer::{self, Stamp, own};
use crate::inventory::{Inventory, Listing, partition_of};
use crate::log::ReportLog;
use crate::named::NamedFiles;
use crate::record::{Commit, CommittedFile, LAYOUT_VERSION, RECORD_FORMAT, StateFile, Window};
use crate::{Destination, LoadError, checksum, folder};
use evidence::{Basis, Evidence};

/// Files that are read at a time.
const AT_A_TIME: usize = 8;

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
        /// Damaged records; moved aside, or to be.
        moved: Vec<String>,
        /// Files whose rows are gone: the watermark was put back to before them.
        lost: Vec<Loss>,
    },
}

/// A file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The file, as people are shown it.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
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
/// # Errors
/// The store fails; a record has a newer format; another run commits meanwhile ([`LoadError::Fenced`]).
pub async fn rebuild(destination: &Destination, plan: &Rebuild<'_>) -> Result<Rebuilt, LoadError> {
    let log = ReportLog::new(destination, plan.account, &plan.report.name)?;
    let records = Records::read(&log).await?;
    let newest = records.readable.last();
    if let Some(head) = newest.filter(|head| head.version == records.highest && !plan.dry_run) {
        match log.recover().await {
            // What is neither staged nor published is found below.
            Ok(_) | Err(LoadError::Lost { .. }) => {}
            Err(error) => return Err(error),
        }
        tracing::debug!(version = head.version, "the newest record can be read");
    }
    let listing = log.listing(plan.report.tables(), newest).await?;
    if newest.is_some_and(|head| head.version == records.highest) {
        let sound = match log.damage(newest, &listing).await {
            Ok(damage) => damage.is_none() && newest.is_none_or(|head| !head.state.is_ahead_of(plan.at)),
            Err(LoadError::Damaged { .. }) => false,
            Err(error) => return Err(error),
        };
        if sound {
            let moved = records.move_damaged(&log, plan).await?;
            return Ok(Rebuilt::Sound { version: records.highest, moved });
        }
    }
    if newest.is_none() && listing.is_empty() {
        return Ok(Rebuilt::Nothing);
    }
    let (files, refused) = read_files(&log, &listing, &records.readable).await?;
    if !refused.is_empty() {
        return Ok(Rebuilt::Refused(refused));
    }
    let staged = destination.list(&format!("{}/staging", log.folder())).await?;
    let evidence = Evidence {
        log: &log,
        report: plan.report,
        records: &records,
        listing: &listing,
        files: &files,
        staged: &staged,
        at: plan.at,
    };
    let (basis, lost) = evidence.weigh();
    let pages_base = pages_base(&log, &records).await?;
    let record = record(plan, &records, &files, basis, pages_base);
    let tables = totals(&files);
    if !plan.dry_run {
        log.commit(&record).await?;
        if let Err(error) = log.collect(&record).await {
            tracing::warn!(%error, "could not remove the staging of dead runs; the next run will");
        }
    }
    let moved = records.move_damaged(&log, plan).await?;
    Ok(Rebuilt::Done { record: Box::new(record), tables, moved, lost })
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

/// A file of the report with what its footer says.
struct Found {
    file: CommittedFile,
    stamp: Stamp,
    /// Whether it numbers events with equal keys.
    counts: bool,
}

/// Reads every file's footer and checksum. What is none of the report's files is told apart.
async fn read_files(
    log: &ReportLog,
    listing: &Listing,
    records: &[Commit],
) -> Result<(Vec<Found>, Vec<Loss>), LoadError> {
    let destination = log.destination();
    let named = NamedFiles::new(records);
    let read = listing.sorted().into_iter().map(|(path, bytes)| {
        let named = &named;
        async move {
            let footer = footer::read(destination, &path, bytes).await?;
            let footer = footer.ok_or_else(|| "it is no Parquet file".to_owned());
            let stamped = footer.and_then(|footer| {
                let stamp = own(log, &path, &footer)?;
                named.stray(&path, stamp.commit).map_or(Ok((stamp, footer)), Err)
            });
            let (stamp, footer) = match stamped {
                Ok(stamped) => stamped,
                Err(reason) => return Ok(Err(Loss { path: destination.shown(&path), reason })),
            };
            let Some(sha256) = checksum::sha256(destination, &path).await? else {
                return Ok(Err(Loss { path: destination.shown(&path), reason: "it has just gone".to_owned() }));
            };
            let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
            let (table, partition) = (stamp.table.clone(), partition_of(&path).to_owned());
            let file =
                CommittedFile { table, path, staged: String::new(), rows, bytes, sha256, partition, joined: false };
            let columns = footer.file_metadata().schema_descr().columns();
            let counts = columns.iter().any(|column| column.name() == OCCURRENCE);
            Ok::<_, LoadError>(Ok(Found { file, stamp, counts }))
        }
    });
    let read: Vec<_> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    for file in read {
        match file {
            Ok(file) => files.push(file),
            Err(loss) => refused.push(loss),
        }
    }
    Ok((files, refused))
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

fn record(plan: &Rebuild<'_>, records: &Records, files: &[Found], basis: Basis, pages_base: i64) -> Commit {
    let stamped = files.iter().map(|found| found.stamp.commit).max().unwrap_or_default();
    let version = stamped.max(records.highest) + 1;
    let own = |found: &&Found| found.file.table == plan.report.name;
    let counts = files.iter().filter(own).all(|found| found.counts);
    let key = plan.report.key.iter().filter(|column| counts || *column != OCCURRENCE).cloned().collect();
    let Basis { identity, state, write_mode, history, partition_by } = basis;
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
        layout: LAYOUT_VERSION,
        inventory: Inventory::after(None, &Listing::default(), version, &files, &[]),
        rebuilt: true,
        files,
        removed: Vec::new(),
        dead_letters: None,
        raw: None,
        seen: None,
        failed: records.readable.last().and_then(|commit| commit.failed.as_ref()).map(StateFile::carried_over),
        answers: Some(pages_base),
        rows,
        stats: BTreeMap::new(),
    }
}

fn totals(files: &[Found]) -> BTreeMap<String, TableRebuilt> {
    let mut tables: BTreeMap<String, TableRebuilt> = BTreeMap::new();
    for Found { file, .. } in files {
        let table = tables.entry(file.table.clone()).or_default();
        table.files += 1;
        table.rows += file.rows;
        table.bytes += file.bytes;
    }
    tables
}
