//! One run of one report: pages in, one commit out.

pub(crate) mod dead_letters;
pub(crate) mod storage_mode;

mod gathering;
mod letters;
mod outcome;
mod staging;
mod stored;

pub use outcome::{Absent, Brake, RunOutcome};

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use ctct_catalog::Table;
use ctct_transform::{Fit, TableRows};

use crate::dedupe::fingerprint;
use crate::dedupe::index::{Combine, Index};
use crate::dedupe::latest::Latest;
use crate::dedupe::seen::{Known, SeenRows, without};
use crate::destination::Destination;
use crate::destination::folder::{self, ACCOUNT};
use crate::error::LoadError;
use crate::files::dropped_columns::{unnameable, without_columns};
use crate::files::footer::{FooterState, Stamp};
use crate::files::layout::FileLayout;
use crate::files::partition::{PartitionBy, Router};
use crate::files::plan::LoadPlan;
use crate::files::writer::{Writers, on_rayon};
use crate::log::failed::IdsLeft;
use crate::log::record::{Commit, RawPages, ReportState, WriteMode};
use crate::log::{ReportLog, StoredState, foreign};
use crate::merge::{Delta, MergeTotals, Sequences, Shape};
use crate::session::dead_letters::{DeadLetterLine, DeadLetters};
use crate::session::storage_mode::refuse_mixture;
use gathering::{Brought, KeySet, Merging};

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Number of the commit.
    pub version: i64,
    /// Each table of the report, in the catalog's order.
    pub tables: Vec<TableTotals>,
    /// Records in the dead letters.
    pub dead_letters: u64,
    /// Records that were read again unchanged, and so not written again.
    pub repeated: u64,
    /// Stored keys that the commit took away or marked as gone. Not counted where [`Brake::Off`] lets a snapshot of very many
    /// files be replaced.
    pub removed: u64,
    /// Versions of a row that came and are older than the one that counts, so that they were left out.
    pub outdated: u64,
    /// Values that no folder name can carry, by partition column: they are in `_extra`.
    pub not_in_folders: BTreeMap<String, u64>,
    /// Where the ids are listed that could not be read, as people are shown it.
    pub failed_ids_file: Option<String>,
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
    /// With [`WriteMode::Merge`], what became of the rows that were stored and of those that the run brought.
    pub merge: Option<MergeTotals>,
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
    stored_state: StoredState,
    /// What files that are closed say of the report's state.
    state: Arc<FooterState>,
    /// The account's folder name.
    account: String,
    /// The run's name in file names.
    run: String,
    staging: String,
    /// For each table, the columns that are partition folders.
    dropped: Vec<Vec<String>>,
    router: Router,
    layouts: Vec<Arc<FileLayout>>,
    writers: Writers,
    merging: Option<Merging>,
    dead_letters: Option<DeadLetters>,
    /// Files of dead letters that go with the commit, because what they hold is written again.
    letters_to_remove: Vec<String>,
    raw: Option<RawPages>,
    /// The ids that could not be read and those that are done; `None` where the list of the commit before stays.
    failed: Option<IdsLeft>,
    seen: Option<SeenRows>,
    latest: Option<Latest>,
    /// Values that no folder name can carry, by column.
    not_in_folders: BTreeMap<String, u64>,
    /// Stored keys that the commit takes away.
    removed: u64,
    /// Whether stored rows stay that the run did not bring.
    carries_over: bool,
    /// By table the records whose list of it did not come, where the run's rows take the place of stored ones.
    lacking: Vec<Index>,
    /// Whether something of the stored rows stays beside those of a merge that takes their place: lists that did not come, and
    /// other periods.
    keeps_some: bool,
    /// The keys that a merging run brought, where it takes the place of all rows, or where rows may move between partitions.
    keys: Option<KeySet>,
    /// Versions that a merging run left out, because they are older than those that count.
    outdated: u64,
}

impl Session {
    /// Reads the report's last commit, finishes its publishing if that was cut short, and makes ready to write.
    ///
    /// # Errors
    /// The plan cannot be honored (`partition_by`, or stored tables that were written in a way that does not mix with
    /// it), the state is damaged, or the store fails.
    pub async fn begin(destination: &Destination, mut plan: LoadPlan) -> Result<Self, LoadError> {
        PartitionBy::validate_all(&plan.partition_by, plan.mode, &plan.report)?;
        let (account, run) = (folder::of_name(ACCOUNT, &plan.account)?, folder::of_name("run", &plan.run_id)?);
        let log = ReportLog::new(destination, &plan.account, &plan.report.name)?;
        let (previous, stored_state) = Box::pin(log.open(plan.report.tables(), plan.rebuild)).await?;
        refuse_mixture(&plan, previous.as_ref())?;
        plan.identity = plan.identity.after(previous.as_ref().map(|commit| &commit.identity));
        if previous.is_none()
            && let Some(stored) = Box::pin(foreign::same_account(&log, &plan.identity)).await?.into_iter().next()
        {
            let (report, account) = (plan.report.name.clone(), plan.account.clone());
            return Err(LoadError::TwoLabels { report, account, stored });
        }
        let seen = SeenRows::begin(destination, &plan, &log, previous.as_ref(), &stored_state);
        let base = previous.as_ref().map_or(0, |commit| commit.version);
        let seen = match Box::pin(seen).await {
            Ok(seen) => seen,
            Err(error) => return Err(log.named(error, base + 1).await),
        };
        let (latest, staging) = (Latest::for_plan(&plan), log.staging(base, &run));
        let state = Arc::new(FooterState::default());
        if let Some(commit) = &previous {
            state.set(&commit.state);
        }
        let stamp = Stamp {
            pipeline: plan.pipeline.clone(),
            account: plan.account.clone(),
            identity: plan.identity.in_files(),
            report: plan.report.name.clone(),
            table: String::new(),
            commit: base + 1,
            run: plan.run_id.clone(),
            write_mode: plan.mode,
            history: plan.history,
            partition_by: plan.partition_by.iter().map(ToString::to_string).collect(),
            state: ReportState::default(),
        };
        let layout = |table: &Table| FileLayout::of_commit(table, &stamp, &plan.files, &state);
        let (mut dropped, mut layouts, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
        for table in plan.report.tables() {
            if plan.mode == WriteMode::Merge {
                let shape = Shape::new(&plan.report, table, plan.history, &plan.changed, layout)?;
                layouts.push(Arc::clone(&shape.layout));
                shapes.push(Arc::new(shape));
            } else {
                layouts.push(Arc::new(layout(table)?));
            }
            dropped.push(stamp.folder_columns(table));
        }
        let merging = (plan.mode == WriteMode::Merge).then(|| Merging {
            brought: Brought::Gathering(Delta::new(&shapes, &plan.files)),
            outside: Sequences::default(),
            unsure: Sequences::default(),
            absent: vec![Sequences::default(); shapes.len()],
            shapes,
            sequence: 0,
        });
        let writers = Writers::new(destination, layouts.clone(), plan.files.clone(), &staging);
        let router = Router::new(plan.partition_by.clone());
        let destination = destination.clone();
        let may_move = plan.partition_by.iter().any(|entry| !plan.report.key.iter().any(|key| key == entry.column()));
        let keys = (plan.mode == WriteMode::Merge && (may_move || plan.rebuild && previous.is_some()))
            .then(|| KeySet { known: Index::new(Combine::Newest), count: 0 });
        Ok(Self {
            destination,
            plan,
            log,
            previous,
            stored_state,
            state,
            account,
            run,
            staging,
            dropped,
            router,
            layouts,
            writers,
            merging,
            dead_letters: None,
            letters_to_remove: Vec::new(),
            raw: None,
            failed: None,
            seen,
            latest,
            not_in_folders: BTreeMap::new(),
            removed: 0,
            carries_over: false,
            lacking: Vec::new(),
            keeps_some: false,
            keys,
            outdated: 0,
        })
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
        self.writers.held_bytes() + self.merging.as_ref().map_or(0, |merging| merging.brought.held_bytes())
    }

    /// Says from when on the next run will ask, by [`crate::Repeats::Since`]: rows before that instant need not be
    /// remembered. `None`, as from the start, remembers all. To be called before the first page is written.
    pub fn remember_from(&mut self, instant: Option<DateTime<Utc>>) {
        if let Some(seen) = &mut self.seen {
            seen.remember_from(instant);
        }
    }

    /// When the rows of an id were last read to the end of what was new, with this question: not the greatest value that was
    /// seen. `None` where that never was, or where nothing is remembered of it, as after a full refresh.
    pub fn mark(&self, id: &str, question: &str) -> Option<DateTime<Utc>> {
        self.seen.as_ref().and_then(|seen| seen.mark(id, question))
    }

    /// Remembers with the commit when the rows of an id were read. Nothing comes of it where the plan remembers nothing.
    pub fn set_mark(&mut self, id: &str, question: &str, at: DateTime<Utc>) {
        if let Some(seen) = &mut self.seen {
            seen.set_mark(id, question, at);
        }
    }

    /// What was stored before this run.
    pub fn known(&self) -> Known {
        self.seen.as_ref().map(SeenRows::known).unwrap_or_default()
    }

    /// Adds the rows of a page: one entry for each table of the report, in the catalog's order. Returns when they
    /// are gathered; encoding and upload go on behind. After an error, [`Self::abandon`] is all that is left to do.
    ///
    /// # Errors
    /// The page does not fit the report, or an earlier row group could not be encoded or stored.
    pub async fn write(&mut self, page: Vec<TableRows>) -> Result<(), LoadError> {
        self.write_judged(page, &[]).await
    }

    /// As [`Self::write`], for a page of which some records are not what the tables keep: one answer for each row of the
    /// report's own table, or none at all where all are kept. With [`WriteMode::Merge`] a record that does not fit says that
    /// its row, if it is stored, leaves the tables with its child rows; with history it ends. In other modes it is left out.
    /// A later version that fits brings the row back. One of which nothing tells whether it fits changes the row where it is
    /// stored, and brings none.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_judged(&mut self, page: Vec<TableRows>, fits: &[Fit]) -> Result<(), LoadError> {
        let report = Arc::clone(&self.plan.report);
        let tables = report.tables();
        let shape = |table: &str, reason: String| LoadError::Shape { table: table.to_owned(), reason };
        if page.len() != tables.len() {
            return Err(shape(&report.name, format!("a page has {} tables, not {}", page.len(), tables.len())));
        }
        let leaves = fits.iter().any(|fit| *fit != Fit::Fits);
        if leaves && page.first().is_none_or(|parent| parent.batch.num_rows() != fits.len()) {
            return Err(shape(&report.name, "the flags of records do not match the page".to_owned()));
        }
        let page = if leaves && self.merging.is_none() {
            let kept: Vec<bool> = fits.iter().map(|fit| *fit == Fit::Fits).collect();
            without(page, &kept).map_err(|source| {
                let action = "take what is left out from";
                LoadError::Arrow { table: report.name.clone(), action, source }
            })?
        } else {
            page
        };
        let page = match &mut self.seen {
            Some(seen) => match Box::pin(seen.unseen(&self.destination, &report, &self.stored_state, page)).await {
                Ok(page) => page,
                Err(error) => return Err(self.log.named(error, self.version()).await),
            },
            None => page,
        };
        let page = match &mut self.latest {
            Some(latest) => latest.take(&report, page)?,
            None => page,
        };
        self.write_rows(page, fits).await
    }

    /// Adds rows that are none too many.
    async fn write_rows(&mut self, page: Vec<TableRows>, fits: &[Fit]) -> Result<(), LoadError> {
        let report = Arc::clone(&self.plan.report);
        let tables = report.tables();
        let shape = |table: &str, reason: String| LoadError::Shape { table: table.to_owned(), reason };
        let Some(parent) = page.first() else { return Ok(()) };
        for column in self.dropped.first().into_iter().flatten() {
            let count = unnameable(&parent.batch, column);
            if count > 0 {
                *self.not_in_folders.entry(column.clone()).or_default() += count;
            }
        }
        let parents = self.router.route(&parent.batch);
        if self.merging.is_some() {
            PartitionBy::refuse_unnameable_keys(&self.plan.partition_by, &self.plan.report, &parent.batch)?;
        }
        if let Some(keys) = &mut self.keys {
            keys.note(fingerprint::of_keys(&parent.batch, &report.key))?;
        }
        let first = self.merging.as_ref().map_or(0, |merging| merging.sequence);
        let absent: Vec<Vec<u32>> = page.iter().map(|rows| rows.absent.clone()).collect();
        self.keeps_some |= absent.iter().any(|rows| !rows.is_empty());
        self.note_lacking(&parent.batch, &absent)?;
        for (at, (rows, table)) in page.into_iter().zip(tables).enumerate() {
            if !rows.batch.schema_ref().fields().iter().map(|f| (f.name(), f.data_type())).eq(table
                .schema
                .fields()
                .iter()
                .map(|f| (f.name(), f.data_type())))
            {
                return Err(shape(&table.name, "a batch has other columns than the catalog says".to_owned()));
            }
            let partitions = match &rows.parent_rows {
                None if at == 0 => parents.clone(),
                Some(parent_rows) if parent_rows.len() == rows.batch.num_rows() => {
                    let routed: Option<Vec<u32>> =
                        parent_rows.values().iter().map(|row| parents.get(*row as usize).copied()).collect();
                    routed.ok_or_else(|| shape(&table.name, "a child row has no parent row".to_owned()))?
                }
                _ => return Err(shape(&table.name, "the parent rows do not match the batch".to_owned())),
            };
            let batch = without_columns(&rows.batch, &self.dropped[at]).map_err(|source| {
                let action = "take the partition columns from";
                LoadError::Arrow { table: table.name.clone(), action, source }
            })?;
            match &mut self.merging {
                None => self.writers.push(at, batch, partitions).await?,
                Some(merging) => {
                    let sequences = match &rows.parent_rows {
                        None => (0..batch.num_rows() as u64).map(|row| first + row).collect(),
                        Some(parent_rows) => parent_rows.values().iter().map(|row| first + u64::from(*row)).collect(),
                    };
                    let rows = merging.shapes[at].delta_rows(&batch, partitions, sequences)?;
                    if let Brought::Gathering(delta) = &mut merging.brought {
                        delta.push(at, rows).await?;
                    }
                }
            }
        }
        if let Some(merging) = &mut self.merging {
            merging.note(&report, fits, &absent);
            merging.sequence += parents.len() as u64;
        }
        Ok(())
    }

    /// Names in the commit the pages that its rows are made from, so that they stay for good.
    pub fn name_raw_pages(&mut self, raw: RawPages) {
        self.raw = Some(raw);
    }

    /// Keeps with the commit the ids that could not be read and those that are done, in place of those of the commit before.
    pub fn name_ids(&mut self, ids: IdsLeft) {
        self.failed = Some(ids);
    }

    /// The commit that pages of this run are based on.
    pub fn pages_base(&self) -> i64 {
        self.previous.as_ref().map_or(0, Commit::pages_base)
    }

    /// How many records with different keys the run brought. To be called when all are written: a merging run sorts them.
    /// An appending one counts only where the plan says which rows may come again.
    ///
    /// # Errors
    /// Rows that did not fit into memory cannot be read again.
    pub async fn distinct_records(&mut self) -> Result<u64, LoadError> {
        let Some(merging) = &mut self.merging else {
            let seen = || self.seen.as_ref().map_or(0, SeenRows::distinct);
            return Ok(self.latest.as_ref().map_or_else(seen, Latest::distinct));
        };
        if let Some(keys) = &self.keys {
            return Ok(keys.count);
        }
        let brought = std::mem::replace(&mut merging.brought, Brought::Sorted(Vec::new()));
        let runs = brought.sorted().await?;
        let shape = Arc::clone(&merging.shapes[0]);
        let count = move || {
            let records = runs.first().map_or(Ok(0), |run| run.distinct(&shape))?;
            Ok::<_, LoadError>((runs, records))
        };
        let (runs, records) = on_rayon("count records".to_owned(), count).await??;
        merging.brought = Brought::Sorted(runs);
        Ok(records)
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
    pub async fn commit(mut self, outcome: RunOutcome) -> Result<Committed, LoadError> {
        self.state.set(&outcome.state);
        let stop = self.destination.stop.clone();
        let (commit, merged) = match stop.unless_stopped(Box::pin(self.stage(outcome))).await {
            Ok(staged) => staged,
            Err(error) => {
                let error = Box::pin(self.log.named(error, self.version())).await;
                Box::pin(self.abandon()).await;
                return Err(error);
            }
        };
        Box::pin(self.log.commit_and_publish(&commit, &self.staging)).await?;
        self.log = self.log.without_stop();
        if let Err(error) = Box::pin(self.log.prune(&self.stored_state, &commit)).await {
            tracing::warn!(%error, "could not remove old commit records; a later run will");
        }
        let tables = self.plan.report.tables().iter().enumerate();
        let tables = tables.map(|(at, table)| totals(&commit, &table.name, merged.get(at).copied())).collect();
        let dead_letters = commit.dead_letters.as_ref().map_or(0, |letters| letters.records);
        let repeated = self.seen.as_ref().map_or(0, SeenRows::dropped);
        Ok(Committed {
            version: commit.version,
            tables,
            dead_letters,
            repeated,
            removed: self.removed,
            outdated: self.latest.as_ref().map_or(self.outdated, Latest::outdated),
            not_in_folders: self.not_in_folders,
            failed_ids_file: self.log.failed_ids_file(&commit),
        })
    }

    /// Ends the run without a commit and removes what it staged. What cannot be removed now, a later run removes.
    pub async fn abandon(mut self) {
        self.log = self.log.without_stop();
        self.writers.abandon().await;
        if let Some(letters) = self.dead_letters.take() {
            letters.abandon().await;
        }
        self.log.discard(&self.staging).await;
    }
}

fn totals(commit: &Commit, table: &str, merge: Option<MergeTotals>) -> TableTotals {
    let files: Vec<_> = commit.files.iter().filter(|file| file.table == table && !file.joined).collect();
    TableTotals {
        table: table.to_owned(),
        rows: files.iter().map(|file| file.rows).sum(),
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.bytes).sum(),
        merge,
    }
}
