//! The files in a report's tables, each weighed: sound, broken, or none of the report's.

use std::collections::BTreeMap;

use ctct_catalog::{COMMIT, OCCURRENCE};
use futures::{StreamExt, TryStreamExt, stream};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;

use crate::destination::checksum;
use crate::error::LoadError;
use crate::files::footer::{self, Stamp, own};
use crate::log::ReportLog;
use crate::log::file_names::{Named, NamedFiles};
use crate::log::inventory::{Listing, partition_of};
use crate::log::record::{Commit, CommittedFile};
use crate::maintain::loss::Loss;

/// Files that are read at a time.
const AT_A_TIME: usize = 8;

/// A file of the report with what its footer says.
#[derive(Debug, Clone)]
pub(super) struct FoundFile {
    pub(super) file: CommittedFile,
    pub(super) stamp: Stamp,
    /// Whether it numbers events with equal keys.
    pub(super) counts: bool,
    /// Whether the newest record names another file there: this one is an older copy, or a newer one than the log is.
    pub(super) differs: bool,
}

impl FoundFile {
    /// The first and the last commit whose rows it holds.
    pub(super) fn commits(&self) -> (i64, i64) {
        self.file.commits.unwrap_or((self.stamp.commit, self.stamp.commit))
    }
}

/// All files of the tables.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Those that are as they were written, as far as anything tells.
    pub(super) sound: Vec<FoundFile>,
    /// Those that the log names and that are not what it says, by path, with what is wrong.
    pub(super) broken: BTreeMap<String, String>,
    /// Those that are none of the report's.
    pub(super) refused: Vec<Loss>,
}

enum Weighed {
    Sound(Box<FoundFile>),
    Broken(String),
    Refused(String),
}

impl Files {
    /// Reads every file's footer and checksum.
    pub(super) async fn read(
        log: &ReportLog,
        listing: &Listing,
        records: &[Commit],
        named: &NamedFiles<'_>,
    ) -> Result<Self, LoadError> {
        let read = listing.sorted().into_iter().map(|(path, bytes)| async move {
            let weighed = weigh(log, &path, bytes, records, named).await?;
            Ok::<_, LoadError>((path, weighed))
        });
        let mut read = stream::iter(read).buffered(AT_A_TIME);
        let mut files = Self::default();
        while let Some((path, weighed)) = read.try_next().await? {
            match weighed {
                Weighed::Sound(found) => files.sound.push(*found),
                Weighed::Broken(reason) => drop(files.broken.insert(path, reason)),
                Weighed::Refused(reason) => {
                    files.refused.push(Loss { path: log.destination().shown(&path), reason });
                }
            }
        }
        Ok(files)
    }
}

async fn weigh(
    log: &ReportLog,
    path: &str,
    bytes: u64,
    records: &[Commit],
    named: &NamedFiles<'_>,
) -> Result<Weighed, LoadError> {
    let destination = log.destination();
    let known = named.get(path);
    let not_ours = |reason: String| if known.is_some() { Weighed::Broken(reason) } else { Weighed::Refused(reason) };
    let Some(footer) = footer::read(destination, path, bytes).await? else {
        return Ok(not_ours("it is not a valid Parquet file".to_owned()));
    };
    let stamp = match own(log, path, &footer) {
        Ok(stamp) => stamp,
        Err(reason) => return Ok(not_ours(reason)),
    };
    if let Some(reason) = named.stray(path, stamp.commit) {
        return Ok(Weighed::Refused(reason));
    }
    let Some(sha256) = checksum::sha256(destination, path).await? else {
        return Ok(not_ours("it has just gone".to_owned()));
    };
    let differs = known.is_some_and(|known| known.proof.sha256.as_ref().is_some_and(|expected| *expected != sha256));
    if let Some(Named { proof, .. }) = known.filter(|_| differs) {
        let newest = records.last().map_or(0, |commit| commit.version);
        let was_there = |commit: &Commit| commit.files.iter().any(|file| file.path == path && file.sha256 == sha256);
        // An older copy that a record proves counts as what it is, and so does what a commit wrote whose record is lost.
        if stamp.commit <= newest && !records.iter().any(was_there) {
            return Ok(Weighed::Broken(format!("it is not as commit {} wrote it", proof.commit)));
        }
    }
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
    let (table, partition) = (stamp.table.clone(), partition_of(path).to_owned());
    let commits = commits_in(&footer).unwrap_or((0, stamp.commit));
    let columns = footer.file_metadata().schema_descr().columns();
    let counts = columns.iter().any(|column| column.name() == OCCURRENCE);
    let file = CommittedFile {
        table,
        path: path.to_owned(),
        staged: String::new(),
        rows,
        bytes,
        sha256,
        partition,
        joined: false,
        commits: Some(commits),
    };
    Ok(Weighed::Sound(Box::new(FoundFile { file, stamp, counts, differs })))
}

/// The first and the last commit whose rows a file holds, by its statistics. A file without rows holds those of none.
fn commits_in(footer: &ParquetMetaData) -> Option<(i64, i64)> {
    let mut commits: Option<(i64, i64)> = None;
    for group in footer.row_groups().iter().filter(|group| group.num_rows() > 0) {
        let column = group.columns().iter().find(|column| column.column_path().string() == COMMIT)?;
        let Some(Statistics::Int64(of)) = column.statistics() else { return None };
        let (first, last) = (*of.min_opt()?, *of.max_opt()?);
        commits = Some(commits.map_or((first, last), |known| (known.0.min(first), known.1.max(last))));
    }
    Some(commits.unwrap_or((i64::MAX, i64::MIN)))
}
