//! Joins small files of a partition into larger ones. Rows stay as they are, their `_commit` and `_extracted_at` too.
//!
//! An appending run does it on the way, in the partitions that it adds to: files of a similar size are joined once
//! there are eight of them, so that a row is written again only as often as its file has grown eightfold. On demand,
//! [`Compaction`] joins all small files of a report in a commit of its own. In both cases one record adds the joined
//! files and takes away their members; readers may miss rows between those two steps of its publishing, never see them
//! twice.

mod join;
mod tiers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ctct_catalog::Report;

use crate::destination::file_options::FileOptions;
use crate::destination::{Destination, folder};
use crate::error::LoadError;
use crate::files::source::Listed;
use crate::log::record::{Commit, CommittedFile, Inventory, StateFile, Window, WriteMode};
use crate::log::{ReportLog, StoredState};

pub(crate) use join::{Joined, Rewriter};

/// What can be joined in the tables of one report of one account.
#[derive(Debug)]
pub struct Compaction {
    destination: Destination,
    report: Arc<Report>,
    log: ReportLog,
    head: Commit,
    /// What was listed when the files were chosen.
    stored_state: StoredState,
    options: FileOptions,
    joins: Vec<Join>,
}

/// Files of one partition that are to become fewer.
#[derive(Debug)]
struct Join {
    table: usize,
    /// The partition's folders below the account's.
    folder: String,
    members: Vec<Listed>,
}

/// What joining comes to in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableCompaction {
    /// The table.
    pub table: String,
    /// Partitions in which files are joined.
    pub partitions: u64,
    /// Small files that are joined.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that they became; 0 before it is done.
    pub joined_files: u64,
    /// Bytes of those.
    pub joined_bytes: u64,
}

/// What was joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// Number of the commit.
    pub version: i64,
    /// Each table in which files were joined, in the catalog's order.
    pub tables: Vec<TableCompaction>,
}

impl Compaction {
    /// Looks for small files: those of at most half of [`FileOptions::file_bytes`], where a partition has two or more.
    /// Finishes the publishing of the last commit, if that was cut short; changes nothing else. `None` where nothing
    /// was ever committed.
    ///
    /// A merged table has one file a partition, so there is never anything to join.
    ///
    /// # Errors
    /// The state is damaged, or the store fails.
    pub async fn plan(
        destination: &Destination,
        account: &str,
        report: &Arc<Report>,
        options: &FileOptions,
    ) -> Result<Option<Self>, LoadError> {
        let log = ReportLog::new(destination, account, &report.name)?;
        let (head, stored_state) = log.open(report.tables(), false).await?;
        let Some(head) = head else { return Ok(None) };
        let mut compaction = Self {
            destination: destination.clone(),
            report: Arc::clone(report),
            log,
            head,
            stored_state,
            options: options.clone(),
            joins: Vec::new(),
        };
        if compaction.head.write_mode != WriteMode::Merge {
            compaction.joins = compaction.find().await?;
        }
        Ok(Some(compaction))
    }

    async fn find(&self) -> Result<Vec<Join>, LoadError> {
        let rewriter = self.rewriter("")?;
        let mut joins = Vec::new();
        for (table, schema) in self.report.tables().iter().enumerate() {
            for (folder, files) in rewriter.partitions(&schema.name).await? {
                let small = tiers::small(files, self.options.file_bytes);
                if small.len() < 2 {
                    continue;
                }
                let members = rewriter.fitting(table, small).await?;
                if members.len() >= 2 {
                    joins.push(Join { table, folder, members });
                }
            }
        }
        Ok(joins)
    }

    /// How the tables are written.
    pub fn write_mode(&self) -> WriteMode {
        self.head.write_mode
    }

    /// What would be joined, each table in which there is something, in the catalog's order.
    pub fn tables(&self) -> Vec<TableCompaction> {
        self.summary(&BTreeMap::new())
    }

    /// Joins the files, in a commit that carries the state of the last one over. A run that has begun and not
    /// committed yet is fenced off by it.
    ///
    /// # Errors
    /// [`LoadError::Fenced`] where another run committed since [`Self::plan`]; the store fails, or a file is damaged.
    /// Nothing changed then, unless the commit was made and only its publishing failed, which the next run finishes.
    pub async fn carry_out(self, run_id: &str, committed_at: DateTime<Utc>) -> Result<Compacted, LoadError> {
        let rewriter = self.rewriter(run_id)?;
        let log = self.log.without_stop();
        let stop = &self.log.destination.stop;
        let joined = match stop.unless_stopped(Box::pin(self.join(rewriter))).await {
            Ok(joined) => joined,
            Err(error) => {
                log.discard(&self.staging(run_id)).await;
                // Files that another run took away cannot be read.
                return match log.head().await? {
                    Some(head) if head.version > self.head.version => Err(log.fenced(&head)),
                    _ => Err(error),
                };
            }
        };
        let mut written: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for file in &joined.files {
            let (files, bytes) = written.entry(file.table.clone()).or_default();
            *files += 1;
            *bytes += file.bytes;
        }
        let tables = self.summary(&written);
        let mut commit = Commit {
            version: self.head.version + 1,
            run_id: run_id.to_owned(),
            committed_at,
            window: Window::default(),
            inventory: Inventory::after(
                Some(&self.head),
                &self.stored_state.listing,
                self.head.version + 1,
                &joined.files,
                &joined.removed,
            ),
            account_column: self.options.account_column,
            rebuilt: false,
            files: joined.files,
            removed: joined.removed,
            dead_letters: None,
            seen: self.head.seen.as_ref().map(StateFile::carried_over),
            manifest: None,
            failed: self.head.failed.as_ref().map(StateFile::carried_over),
            answers: Some(self.head.pages_base()),
            rows: self.report.tables().iter().map(|table| (table.name.clone(), 0)).collect(),
            stats: BTreeMap::from([("files_joined".to_owned(), tables.iter().map(|table| table.files).sum())]),
            ..self.head.clone()
        };
        let before = self.head.manifest.as_ref();
        if let Err(error) = log.stage_manifest(&mut commit, &self.stored_state.manifest, before).await {
            log.discard(&self.staging(run_id)).await;
            return Err(error);
        }
        log.commit_and_publish(&commit, &self.staging(run_id)).await?;
        Ok(Compacted { version: commit.version, tables })
    }

    async fn join(&self, mut rewriter: Rewriter) -> Result<Joined, LoadError> {
        let mut joined = Joined::default();
        for Join { table, folder, members } in &self.joins {
            joined.add(rewriter.join(*table, folder, members).await?);
        }
        Ok(joined)
    }

    fn summary(&self, written: &BTreeMap<String, (u64, u64)>) -> Vec<TableCompaction> {
        let mut tables = Vec::new();
        for (at, table) in self.report.tables().iter().enumerate() {
            let joins: Vec<&Join> = self.joins.iter().filter(|join| join.table == at).collect();
            if joins.is_empty() {
                continue;
            }
            let members = || joins.iter().flat_map(|join| &join.members);
            let (joined_files, joined_bytes) = written.get(&table.name).copied().unwrap_or_default();
            tables.push(TableCompaction {
                table: table.name.clone(),
                partitions: joins.len() as u64,
                files: members().count() as u64,
                bytes: members().map(|member| member.bytes).sum(),
                joined_files,
                joined_bytes,
            });
        }
        tables
    }

    fn staging(&self, run_id: &str) -> String {
        self.log.staging(self.head.version, &folder::encode(run_id))
    }

    fn rewriter(&self, run_id: &str) -> Result<Rewriter, LoadError> {
        let draft = Commit { version: self.head.version + 1, run_id: run_id.to_owned(), ..self.head.clone() };
        let staging = self.staging(run_id);
        let rewriter = Rewriter::for_commit(&self.destination, &self.report, &draft, staging, &self.options)?;
        Ok(rewriter.proving(&self.stored_state.manifest))
    }
}

/// Joins small files in the partitions that a run adds `written` to. What cannot be joined now is left for a later run: no
/// run fails for it.
///
/// # Errors
/// [`LoadError::Damaged`]: a file is not what the log says.
pub(crate) async fn on_the_way(
    rewriter: &mut Rewriter,
    report: &Report,
    written: &[CommittedFile],
) -> Result<Joined, LoadError> {
    let mut joined = Joined::default();
    for (at, table) in report.tables().iter().enumerate() {
        let touched: BTreeSet<&str> =
            written.iter().filter(|file| file.table == table.name).map(|file| file.partition.as_str()).collect();
        if touched.is_empty() {
            continue;
        }
        match join_due(rewriter, at, &table.name, &touched).await {
            Ok(of_table) => joined.add(of_table),
            Err(error @ (LoadError::Damaged { .. } | LoadError::Stopped)) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, table = table.name, "could not join small files; a later run will");
            }
        }
    }
    Ok(joined)
}

async fn join_due(
    rewriter: &mut Rewriter,
    at: usize,
    table: &str,
    touched: &BTreeSet<&str>,
) -> Result<Joined, LoadError> {
    let mut joined = Joined::default();
    for (folder, files) in rewriter.partitions(table).await? {
        if !touched.contains(folder.as_str()) {
            continue;
        }
        let due = tiers::due(files, rewriter.file_bytes());
        if due.len() < tiers::FILES {
            continue;
        }
        let members = rewriter.fitting(at, due).await?;
        if members.len() >= tiers::FILES {
            joined.add(rewriter.join(at, &folder, &members).await?);
        }
    }
    Ok(joined)
}
