//! One run of one report: pages in, one commit out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ctct_transform::TableRows;

use crate::dead_letters::{DeadLetters, LetterTotals};
use crate::dropped::without_columns;
use crate::encode::FileLayout;
use crate::log::ReportLog;
use crate::partition::{ACCOUNT, PartitionBy, Router, listed};
use crate::publish::{self, ANCHOR, is_anchor};
use crate::record::{Commit, CommittedFile, CommittedLetters, LAYOUT_VERSION, RECORD_FORMAT, Window};
use crate::writer::{StagedFile, Writers};
use crate::{DeadLetterLine, Destination, LoadError, LoadPlan, WriteMode, folder};

/// What a run of one report came to, for its commit record.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// From where the next run asks; `None` where every run reads all.
    pub watermark: Option<DateTime<Utc>>,
    /// The span of time that this run asked for.
    pub window: Window,
    /// The time of the commit.
    pub committed_at: DateTime<Utc>,
    /// Counts worth keeping, such as requests sent.
    pub stats: BTreeMap<String, u64>,
}

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Number of the commit.
    pub version: i64,
    /// Each table of the report, in the catalogue's order.
    pub tables: Vec<TableTotals>,
    /// Records in the dead letters.
    pub dead_letters: u64,
}

/// What a commit added to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTotals {
    /// The table.
    pub table: String,
    /// Rows.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
}

/// One run of one report, from the state that it found to the commit that it makes.
///
/// Nothing that it writes is seen by readers before [`Self::commit`]. A session that is dropped or killed leaves only
/// staged files, which a later run removes.
#[derive(Debug)]
pub struct Session {
    destination: Destination,
    plan: LoadPlan,
    log: ReportLog,
    previous: Option<Commit>,
    /// The account's folder name.
    account: String,
    /// The run's name in file names.
    run: String,
    staging: String,
    /// For each table, the columns that are partition folders.
    dropped: Vec<Vec<String>>,
    router: Router,
    writers: Writers,
    dead_letters: Option<DeadLetters>,
}

impl Session {
    /// Reads the report's last commit, finishes its publishing if that was cut short, and makes ready to write.
    ///
    /// # Errors
    /// The plan cannot be honoured (`partition_by`, or stored tables that are partitioned in another way), the state
    /// is damaged, or the store fails.
    pub async fn begin(destination: &Destination, plan: LoadPlan) -> Result<Self, LoadError> {
        PartitionBy::validate_all(&plan.partition_by, plan.mode, &plan.report)?;
        let account = folder::of_name(ACCOUNT, &plan.account)?;
        let run = folder::of_name("run", &plan.run_id)?;
        let log = ReportLog::new(destination, &plan.account, &plan.report.name)?;
        let previous = log.recover().await?;
        refuse_repartition(&plan, previous.as_ref())?;

        let base = previous.as_ref().map_or(0, |commit| commit.version);
        let staging = log.staging(base, &run);
        let keys: Vec<&str> = plan.partition_by.iter().filter_map(identity).collect();
        let mut dropped = Vec::new();
        let mut layouts = Vec::new();
        for table in plan.report.tables() {
            let columns: Vec<String> = keys
                .iter()
                .filter(|key| table.schema.field_with_name(key).is_ok())
                .map(|key| (*key).to_owned())
                .collect();
            let metadata = [
                ("ctct.pipeline", plan.pipeline.clone()),
                ("ctct.account", plan.account.clone()),
                ("ctct.report", plan.report.name.clone()),
                ("ctct.table", table.name.clone()),
                ("ctct.commit", (base + 1).to_string()),
                ("ctct.run", plan.run_id.clone()),
                ("ctct.layout_version", LAYOUT_VERSION.to_string()),
            ];
            layouts.push(Arc::new(FileLayout::new(table, &columns, &metadata, &plan.files)?));
            dropped.push(columns);
        }
        let writers = Writers::new(destination, layouts, plan.files.clone(), &staging);
        let router = Router::new(plan.partition_by.clone());
        let destination = destination.clone();
        let dead_letters = None;
        Ok(Self { destination, plan, log, previous, account, run, staging, dropped, router, writers, dead_letters })
    }

    /// The number of the commit that this run will make, which rows carry in `_commit`.
    pub fn version(&self) -> i64 {
        self.previous.as_ref().map_or(0, |commit| commit.version) + 1
    }

    /// The last commit before this run.
    pub fn previous(&self) -> Option<&Commit> {
        self.previous.as_ref()
    }

    /// Arrow bytes that wait to be written at this moment; stays within [`crate::FileOptions::memory_bytes`] but for
    /// the page that is being added.
    pub fn held_bytes(&self) -> usize {
        self.writers.held_bytes()
    }

    /// Adds the rows of a page: one entry for each table of the report, in the catalogue's order. Returns when they
    /// are gathered; encoding and upload go on behind. After an error, [`Self::abandon`] is all that is left to do.
    ///
    /// # Errors
    /// The page does not fit the report, or an earlier row group could not be encoded or stored.
    pub async fn write(&mut self, page: Vec<TableRows>) -> Result<(), LoadError> {
        let report = Arc::clone(&self.plan.report);
        let tables = report.tables();
        let shape = |table: &str, reason: String| LoadError::Shape { table: table.to_owned(), reason };
        if page.len() != tables.len() {
            return Err(shape(&report.name, format!("a page has {} tables, not {}", page.len(), tables.len())));
        }
        let Some(parent) = page.first() else { return Ok(()) };
        let parents = self.router.route(&parent.batch);
        for (at, (rows, table)) in page.into_iter().zip(tables).enumerate() {
            if !rows.batch.schema_ref().fields().iter().map(|f| (f.name(), f.data_type())).eq(table
                .schema
                .fields()
                .iter()
                .map(|f| (f.name(), f.data_type())))
            {
                return Err(shape(&table.name, "a batch has other columns than the catalogue says".to_owned()));
            }
            let partitions = match &rows.parent_rows {
                None if at == 0 => parents.clone(),
                Some(parent_rows) if parent_rows.len() == rows.batch.num_rows() => {
                    let routed: Option<Vec<u32>> =
                        parent_rows.values().iter().map(|row| parents.get(*row as usize).copied()).collect();
                    routed.ok_or_else(|| shape(&table.name, "a child row has no parent row".to_owned()))?
                }
                _ => return Err(shape(&table.name, "the parent rows do not go with the batch".to_owned())),
            };
            let batch = without_columns(&rows.batch, &self.dropped[at]).map_err(|source| {
                let action = "take the partition columns from";
                LoadError::Arrow { table: table.name.clone(), action, source }
            })?;
            self.writers.push(at, batch, partitions).await?;
        }
        Ok(())
    }

    /// Keeps a record that could not be typed. It is seen with the commit, not before.
    ///
    /// # Errors
    /// The store fails.
    pub async fn dead_letter(&mut self, line: &DeadLetterLine) -> Result<(), LoadError> {
        let letters = match &mut self.dead_letters {
            Some(letters) => letters,
            letters => {
                let path = format!("{}/dead_letters.jsonl.zst", self.staging);
                letters.insert(DeadLetters::new(&self.destination, path)?)
            }
        };
        letters.push(line).await
    }

    /// Writes what is left, creates the commit record, and publishes. With the record the rows are safe: should
    /// publishing fail or be cut short, the next run finishes it.
    ///
    /// # Errors
    /// [`LoadError::Fenced`] where another run committed first; this run's staging is removed then. Else as the store
    /// fails.
    pub async fn commit(mut self, outcome: Outcome) -> Result<Committed, LoadError> {
        let commit = match self.stage(outcome).await {
            Ok(commit) => commit,
            Err(error) => {
                self.abandon().await;
                return Err(error);
            }
        };
        if let Err(error) = self.log.commit(&commit).await {
            if matches!(error, LoadError::Fenced { .. }) {
                self.log.discard(&self.staging).await;
            }
            return Err(error);
        }
        self.log.publish(&commit, &publish::moves(&commit)).await?;
        if let Err(error) = self.log.collect(commit.version).await {
            tracing::warn!(%error, "could not remove the staging of dead runs; the next run will");
        }
        let tables = self.plan.report.tables().iter().map(|table| totals(&commit, &table.name)).collect();
        let dead_letters = commit.dead_letters.as_ref().map_or(0, |letters| letters.records);
        Ok(Committed { version: commit.version, tables, dead_letters })
    }

    /// Ends the run without a commit and removes what it staged. What cannot be removed now, a later run removes.
    pub async fn abandon(mut self) {
        self.writers.abandon().await;
        if let Some(letters) = self.dead_letters.take() {
            letters.abandon().await;
        }
        self.log.discard(&self.staging).await;
    }

    /// Brings everything into staging and drafts the record.
    async fn stage(&mut self, outcome: Outcome) -> Result<Commit, LoadError> {
        let mut staged = self.writers.finish().await?;
        let removed = match self.plan.mode {
            WriteMode::Append => {
                let known = |table: &str| self.previous.as_ref().is_some_and(|commit| commit.rows.contains_key(table));
                let tables = self.plan.report.tables().iter().enumerate();
                let missing: Vec<usize> = tables.filter(|(_, table)| !known(&table.name)).map(|(at, _)| at).collect();
                self.fill(&mut staged, &missing).await?;
                Vec::new()
            }
            WriteMode::Replace | WriteMode::Partition => self.take_over(&mut staged).await?,
        };
        let letters = match self.dead_letters.take() {
            Some(letters) => Some(letters.finish().await?),
            None => None,
        };
        let version = self.version();
        let files = self.name_files(staged);
        let mut rows: BTreeMap<String, u64> =
            self.plan.report.tables().iter().map(|table| (table.name.clone(), 0)).collect();
        for file in &files {
            *rows.entry(file.table.clone()).or_default() += file.rows;
        }
        Ok(Commit {
            format: RECORD_FORMAT,
            version,
            run_id: self.plan.run_id.clone(),
            pipeline: self.plan.pipeline.clone(),
            account: self.plan.account.clone(),
            report: self.plan.report.name.clone(),
            committed_at: outcome.committed_at,
            write_mode: self.plan.mode,
            partition_by: self.plan.partition_by.iter().map(ToString::to_string).collect(),
            window: outcome.window,
            watermark: outcome.watermark,
            layout: LAYOUT_VERSION,
            files,
            removed,
            dead_letters: letters.map(|LetterTotals { staged, records, bytes }| CommittedLetters {
                path: self.log.dead_letters(version, &self.run),
                staged,
                records,
                bytes,
            }),
            rows,
            stats: outcome.stats,
        })
    }

    /// Stages an empty file for each of the tables that has none, so that every table can be read from its first
    /// commit on.
    async fn fill(&mut self, staged: &mut Vec<StagedFile>, tables: &[usize]) -> Result<(), LoadError> {
        for table in tables {
            if !staged.iter().any(|file| file.table == *table) {
                let partition = self.router.default_partition();
                staged.push(self.writers.write_empty(*table, partition).await?);
            }
        }
        Ok(())
    }

    /// Finds what the run's rows take the place of. Anchors are never deleted but overwritten, with an empty file
    /// where the run has no rows for them; the rest is returned, to be removed.
    async fn take_over(&mut self, staged: &mut Vec<StagedFile>) -> Result<Vec<String>, LoadError> {
        let report = Arc::clone(&self.plan.report);
        let touched: BTreeSet<String> = self.router.folders().iter().cloned().collect();
        let mut removed = Vec::new();
        let mut missing = Vec::new();
        for (at, table) in report.tables().iter().enumerate() {
            let root = self.table_folder(&table.name);
            let mut kept = false;
            for path in self.destination.list(&root).await? {
                let Some((partition, _)) = path[root.len()..].rsplit_once('/') else { continue };
                let partition = partition.trim_start_matches('/').to_owned();
                if self.plan.mode == WriteMode::Partition && !touched.contains(&partition) {
                    kept = true;
                    continue;
                }
                if !is_anchor(&path) || !self.router.fits(&partition) {
                    removed.push(path);
                    continue;
                }
                kept = true;
                let number = self.router.number(&partition);
                if !staged.iter().any(|file| file.table == at && file.partition == number) {
                    staged.push(self.writers.write_empty(at, number).await?);
                }
            }
            if !kept {
                missing.push(at);
            }
        }
        self.fill(staged, &missing).await?;
        Ok(removed)
    }

    /// Gives every staged file its place among the tables.
    fn name_files(&self, mut staged: Vec<StagedFile>) -> Vec<CommittedFile> {
        staged.sort_by(|left, right| {
            (left.table, left.partition, &left.path).cmp(&(right.table, right.partition, &right.path))
        });
        let version = self.version();
        let tables = self.plan.report.tables();
        let mut anchored = BTreeSet::new();
        let mut files = Vec::with_capacity(staged.len());
        for (at, StagedFile { table, partition, path, totals }) in staged.into_iter().enumerate() {
            let name = if self.plan.mode != WriteMode::Append && anchored.insert((table, partition)) {
                ANCHOR.to_owned()
            } else {
                format!("{version:020}-{}-{at:05}.parquet", self.run)
            };
            let folders = self.router.folders()[partition as usize].clone();
            let root = self.table_folder(&tables[table].name);
            files.push(CommittedFile {
                table: tables[table].name.clone(),
                path: if folders.is_empty() { format!("{root}/{name}") } else { format!("{root}/{folders}/{name}") },
                staged: path,
                rows: totals.rows,
                bytes: totals.bytes,
                sha256: totals.sha256,
                partition: folders,
            });
        }
        files
    }

    /// The account's folder of a table.
    fn table_folder(&self, table: &str) -> String {
        format!("{}/{ACCOUNT}={}", folder::encode(table), self.account)
    }
}

/// The column of an entry whose values are the folders themselves.
fn identity(entry: &PartitionBy) -> Option<&str> {
    matches!(entry, PartitionBy::Column(_)).then(|| entry.column())
}

/// Refuses to mix folders of two shapes in one table, which no reader of Hive partitions can read. `replace` swaps all
/// of it, so it may change the shape.
fn refuse_repartition(plan: &LoadPlan, previous: Option<&Commit>) -> Result<(), LoadError> {
    let wanted: Vec<String> = plan.partition_by.iter().map(ToString::to_string).collect();
    match previous {
        Some(commit) if commit.partition_by != wanted && plan.mode != WriteMode::Replace => {
            Err(LoadError::Repartitioned {
                account: plan.account.clone(),
                report: plan.report.name.clone(),
                stored: listed(&commit.partition_by),
                wanted: listed(&wanted),
            })
        }
        _ => Ok(()),
    }
}

fn totals(commit: &Commit, table: &str) -> TableTotals {
    let files: Vec<_> = commit.files.iter().filter(|file| file.table == table).collect();
    TableTotals {
        table: table.to_owned(),
        rows: files.iter().map(|file| file.rows).sum(),
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.bytes).sum(),
    }
}
