//! What is stored of a report, for people to look at. Reads only: nothing is published, repaired or removed.

use std::collections::BTreeMap;

use ctct_catalog::Report;
use futures::{StreamExt, TryStreamExt, stream};

use crate::destination::Destination;
use crate::error::LoadError;
use crate::files::footer;
use crate::log::file_names::NamedFiles;
use crate::log::inventory::{Listing, table_of};
use crate::log::record::Commit;
use crate::log::{ReportLog, publish};

/// Files and records that are read at a time.
const AT_A_TIME: usize = 8;

/// What is stored of one report of one account.
#[derive(Debug)]
pub struct Survey {
    /// The newest record; `None` where nothing was ever committed, and where it is damaged.
    pub head: Option<Commit>,
    /// The newest records that can be read, the newest first.
    pub history: Vec<Commit>,
    /// Records that are kept.
    pub records: usize,
    /// Every table that has files, and those of the catalog that have none.
    pub tables: Vec<TableSize>,
    /// Runs that have files in staging: alive, or dead and not cleared away yet.
    pub staged: Vec<StagedRun>,
    /// Files of the newest commit that wait to be published, which the next run does.
    pub unpublished: usize,
    /// Objects of pages that are kept, to go on from them or to replay them.
    pub pages: FileGroup,
    /// Files with records that could not be typed.
    pub dead_letters: FileGroup,
    /// Why the next run would refuse to begin.
    pub damage: Option<LoadError>,
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    /// The table.
    pub table: String,
    /// Files.
    pub files: u64,
    /// Rows; a file that cannot be read counts none.
    pub rows: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
}

/// A run with files in staging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRun {
    /// The run.
    pub run: String,
    /// The version that it started from.
    pub base: i64,
    /// What it has there.
    pub group: FileGroup,
    /// Whether it can no longer commit, so that the next run clears it away.
    pub dead: bool,
}

/// Some files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileGroup {
    /// How many.
    pub files: u64,
    /// Bytes of them all.
    pub bytes: u64,
}

impl FileGroup {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Surveys a report, with at most so many records of its history.
///
/// # Errors
/// The store fails. Damage is part of the survey.
pub async fn survey(
    destination: &Destination,
    account: &str,
    report: &Report,
    history: usize,
) -> Result<Survey, LoadError> {
    let log = ReportLog::new(destination, account, &report.name)?;
    loop {
        let (version, survey) = attempt(&log, report, history).await?;
        // What a run that commits at this moment makes of the tables is no damage.
        if survey.damage.is_none() || log.records().await?.last().map(|record| record.version) == version {
            return Ok(survey);
        }
    }
}

async fn attempt(log: &ReportLog, report: &Report, history: usize) -> Result<(Option<i64>, Survey), LoadError> {
    let records = log.records().await?;
    let version = records.last().map(|record| record.version);
    let mut damage = None;
    let head = match version {
        None => None,
        Some(version) => unless_damaged(log.read(version).await, &mut damage)?.flatten(),
    };
    let newest: Vec<i64> = records.iter().rev().take(history).map(|record| record.version).collect();
    let read = newest.into_iter().map(|version| async move { unless_damaged(log.read(version).await, &mut None) });
    let read: Vec<_> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    let history: Vec<Commit> = read.into_iter().flatten().flatten().collect();

    // Staging before tables: once nothing waits there, the tables are as the newest commit left them.
    let (staged, paths) = staged_runs(log, head.as_ref().map_or(0, |head| head.version)).await?;
    let unpublished = head.as_ref().map_or(0, |head| publish::unpublished(head, &paths).len());
    let listing = log.listing(report.tables(), head.as_ref()).await?;
    // Where the newest record is damaged, what could be said beside that is a guess.
    if unpublished == 0 && damage.is_none() {
        let proofs = unless_damaged(log.proofs(head.as_ref(), &listing).await, &mut damage)?;
        if let Some(proofs) = proofs {
            let found = unless_damaged(log.damage(head.as_ref(), &proofs, &listing).await, &mut damage)?.flatten();
            damage = damage.or(found);
        }
    }
    let dead_letters = file_group(log, &["dead_letters", "rejected"]).await?;
    let pages = file_group(log, &["pages", "raw"]).await?;
    let tables = table_sizes(log.destination(), report, &listing, &history).await?;
    let records = records.len();
    Ok((version, Survey { head, history, records, tables, staged, unpublished, pages, dead_letters, damage }))
}

/// What was read, or `None` and the damage.
fn unless_damaged<T>(read: Result<T, LoadError>, damage: &mut Option<LoadError>) -> Result<Option<T>, LoadError> {
    match read {
        Err(error @ (LoadError::Damaged { .. } | LoadError::NewerFormat { .. })) => {
            *damage = Some(error);
            Ok(None)
        }
        read => read.map(Some),
    }
}

impl ReportLog {
    /// Objects of fetched pages that wait for the run that commits them.
    ///
    /// # Errors
    /// The store cannot be listed.
    pub async fn waiting_pages(&self) -> Result<FileGroup, LoadError> {
        file_group(self, &["pages"]).await
    }
}

/// What is in these folders of the report.
async fn file_group(log: &ReportLog, folders: &[&str]) -> Result<FileGroup, LoadError> {
    let mut group = FileGroup::default();
    for folder in folders {
        let objects = log.destination().objects(&format!("{}/{folder}", log.folder())).await?;
        for object in objects {
            group.add(object.size);
        }
    }
    Ok(group)
}

async fn staged_runs(log: &ReportLog, head: i64) -> Result<(Vec<StagedRun>, Vec<String>), LoadError> {
    let destination = log.destination();
    let mut groups: BTreeMap<(i64, String), FileGroup> = BTreeMap::new();
    let mut paths = Vec::new();
    for object in destination.objects(&format!("{}/staging", log.folder())).await? {
        let path = destination.relative(&object.location);
        if let Some((base, run)) = log.staged_by(path) {
            groups.entry((base, run.to_owned())).or_default().add(object.size);
        }
        paths.push(path.to_owned());
    }
    let runs = groups.into_iter().map(|((base, run), group)| StagedRun { run, base, group, dead: base < head });
    Ok((runs.collect(), paths))
}

/// Rows are known from the records at hand, and from the footers of the other files.
async fn table_sizes(
    destination: &Destination,
    report: &Report,
    listing: &Listing,
    history: &[Commit],
) -> Result<Vec<TableSize>, LoadError> {
    let oldest_first: Vec<Commit> = history.iter().rev().cloned().collect();
    let known = NamedFiles::new(&oldest_first);
    let files = listing.sorted().into_iter().map(|(path, bytes)| {
        let known = known.get(&path).filter(|named| named.proof.bytes == bytes).map(|named| named.proof.rows);
        async move {
            let rows = match known {
                Some(rows) => rows,
                None => footer::read(destination, &path, bytes)
                    .await?
                    .and_then(|footer| u64::try_from(footer.file_metadata().num_rows()).ok())
                    .unwrap_or_default(),
            };
            Ok::<_, LoadError>((table_of(&path), rows, bytes))
        }
    });
    let files: Vec<_> = stream::iter(files).buffered(AT_A_TIME).try_collect().await?;
    let mut names: Vec<String> = report.tables().iter().map(|table| table.name.clone()).collect();
    // Tables that the catalog has forgotten come last.
    for (table, ..) in &files {
        if !names.contains(table) {
            names.push(table.clone());
        }
    }
    let size = |table: String| {
        let mut size = TableSize { table, files: 0, rows: 0, bytes: 0 };
        for (_, rows, bytes) in files.iter().filter(|(table, ..)| *table == size.table) {
            size.files += 1;
            size.rows += rows;
            size.bytes += bytes;
        }
        size
    };
    Ok(names.into_iter().map(size).collect())
}
