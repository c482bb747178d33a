//! The commit log of one report of one account: numbered records, each created only if absent.

pub(crate) mod adopt;
pub(crate) mod done;
pub(crate) mod failed;
pub(crate) mod file_names;
pub(crate) mod foreign;
pub(crate) mod inventory;
pub(crate) mod lease;
pub(crate) mod manifest;
pub(crate) mod owner;
pub(crate) mod page_tally;
pub(crate) mod proof;
pub(crate) mod publish;
pub(crate) mod reach;
pub(crate) mod record;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_catalog::Table;
use object_store::Error as StoreError;

use crate::destination::Destination;
use crate::destination::folder::{self, STATE_FOLDER};
use crate::destination::stop::StopFlag;
use crate::error::LoadError;
use crate::log::inventory::Listing;
use crate::log::manifest::Manifest;
use crate::log::record::Commit;

/// Records younger than this are never pruned.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);
/// This many of the newest records are never pruned.
const KEPT_RECORDS: usize = 20;
/// The most records that one commit prunes.
const PRUNED_AT_ONCE: usize = 50;

/// The commit log of one report of one account.
///
/// The log is append-only: version *v+1* can be created once, by a run that read version *v*. That create is the one
/// instant at which a run's rows come to be.
#[derive(Debug, Clone)]
pub struct ReportLog {
    pub(crate) destination: Destination,
    account: String,
    report: String,
    /// Folder name of the account.
    account_folder: String,
    /// `_ctct/<account>/<report>`.
    pub(crate) folder: String,
}

/// A record as the store lists it.
#[derive(Debug, Clone)]
pub(crate) struct RecordFile {
    pub(crate) version: i64,
    /// Relative to the destination.
    pub(crate) path: String,
    /// When it was written, by the store's clock.
    pub(crate) modified: DateTime<Utc>,
}

/// What a run finds stored when it begins, found to be sound.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoredState {
    /// The files of the report's tables.
    pub(crate) listing: Listing,
    /// What they are by the newest record.
    pub(crate) manifest: Manifest,
    /// All records, the oldest first.
    records: Vec<RecordFile>,
}

impl ReportLog {
    /// The log of this report and account, whether or not it has a record yet.
    ///
    /// # Errors
    /// The account's name cannot be a folder.
    pub fn new(destination: &Destination, account: &str, report: &str) -> Result<Self, LoadError> {
        let account_folder = folder::of_name("account", account)?;
        Ok(Self {
            destination: destination.clone(),
            account: account.to_owned(),
            report: report.to_owned(),
            folder: format!("{STATE_FOLDER}/{account_folder}/{}", folder::encode(report)),
            account_folder,
        })
    }

    /// Every record that there is, the oldest first, none of them opened.
    pub(crate) async fn records(&self) -> Result<Vec<RecordFile>, LoadError> {
        let found = self.destination.objects(&format!("{}/commits", self.folder)).await?;
        let record = |object: object_store::ObjectMeta| {
            let path = self.destination.relative(&object.location).to_owned();
            version_of(&path).map(|version| RecordFile { version, path, modified: object.last_modified })
        };
        let mut records: Vec<_> = found.into_iter().filter_map(record).collect();
        records.sort_unstable_by_key(|record| record.version);
        Ok(records)
    }

    /// The newest record; `None` where nothing was ever committed.
    ///
    /// # Errors
    /// The store fails, or the record is damaged or of a newer format.
    pub async fn head(&self) -> Result<Option<Commit>, LoadError> {
        self.newest(&self.records().await?).await
    }

    /// The newest record and, as far as they can be read, those before it: at most so many, the newest first.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn history(&self, most: usize) -> Result<Vec<Commit>, LoadError> {
        let records = self.records().await?;
        let mut history: Vec<Commit> = self.newest(&records).await?.into_iter().collect();
        for record in records.iter().rev().take(most).skip(1) {
            history.extend(self.read(record.version).await.ok().flatten());
        }
        Ok(history)
    }

    async fn newest(&self, records: &[RecordFile]) -> Result<Option<Commit>, LoadError> {
        match records.last() {
            Some(record) => self.read(record.version).await,
            None => Ok(None),
        }
    }

    /// What every run does at its start: [`Self::recover`], then a look at whether the tables hold what the log says.
    /// Returns the newest record and what was found beside it. With `replaces_tables` only the log must be sound: what
    /// the tables hold will go anyway.
    ///
    /// # Errors
    /// As [`Self::recover`]; also [`LoadError::Damaged`] where tables and log do not go together.
    pub(crate) async fn open(
        &self,
        tables: &[Table],
        replaces_tables: bool,
    ) -> Result<(Option<Commit>, StoredState), LoadError> {
        loop {
            let records = self.records().await?;
            let head = self.newest(&records).await?;
            if let Some(head) = &head {
                self.finish(head).await?;
            }
            let listing = self.listing(tables, head.as_ref()).await?;
            let excused = replaces_tables && head.is_some();
            let (manifest, damage) = match self.proofs(head.as_ref(), &listing).await {
                Ok(manifest) if excused => (manifest, None),
                Ok(manifest) => {
                    let damage = self.damage(head.as_ref(), &manifest, &listing).await?;
                    (manifest, damage)
                }
                Err(LoadError::Damaged { .. }) if excused => (Manifest::unproven(&listing), None),
                Err(damage @ LoadError::Damaged { .. }) => (Manifest::default(), Some(damage)),
                Err(error) => return Err(error),
            };
            let damage = match damage {
                None => foreign::refuse(&self.destination, &self.account_folder, listing.folders()).await?,
                damage => damage,
            };
            let Some(damage) = damage else {
                return Ok((head, StoredState { listing, manifest, records }));
            };
            // Another run that commits at this moment changes the tables under the listing: look again.
            let newest = self.records().await?.last().map(|record| record.version);
            if newest == head.map(|head| head.version) {
                return Err(damage);
            }
        }
    }

    /// Refuses tables and log that do not go together, even where a run would replace the tables: kept pages are those of
    /// the log, and a log that lost its newest record would take the tables back.
    ///
    /// # Errors
    /// [`LoadError::Damaged`]; also as [`Self::recover`].
    pub async fn refuse_damage(&self, tables: &[Table]) -> Result<(), LoadError> {
        self.open(tables, false).await.map(drop)
    }

    /// The files of the report's tables: those of the catalog and those that the newest record knows.
    pub(crate) async fn listing(&self, tables: &[Table], head: Option<&Commit>) -> Result<Listing, LoadError> {
        let known = head.into_iter().flat_map(|head| head.inventory.tables.keys().cloned());
        let mut names: Vec<String> = tables.iter().map(|table| table.name.clone()).chain(known).collect();
        names.sort_unstable();
        names.dedup();
        Listing::read(&self.destination, &self.account_folder, names).await
    }

    /// What the files of the tables are by the newest record; nothing where there is none.
    pub(crate) async fn proofs(&self, head: Option<&Commit>, listing: &Listing) -> Result<Manifest, LoadError> {
        match head {
            Some(head) => self.manifest(head, listing).await,
            None => Ok(Manifest::default()),
        }
    }

    /// Why tables and log do not go together, if they do not.
    pub(crate) async fn damage(
        &self,
        head: Option<&Commit>,
        manifest: &Manifest,
        listing: &Listing,
    ) -> Result<Option<LoadError>, LoadError> {
        let damaged =
            |path: &str, reason: String| Some(LoadError::Damaged { path: self.destination.shown(path), reason });
        let Some(head) = head else {
            let found = listing.sorted();
            let Some((file, _)) = found.first() else { return Ok(None) };
            let reason = format!("it has no record, but there are {} Parquet files, such as `{file}`", found.len());
            return Ok(damaged(&format!("{}/commits", self.folder), reason));
        };
        if head.manifest.is_some() {
            return Ok(manifest.damage(listing).and_then(|(path, reason)| damaged(&path, reason)));
        }
        let inventory = &head.inventory;
        let older = if inventory.changed == head.version { None } else { self.read(inventory.changed).await? };
        let changed = match &older {
            Some(commit) => commit,
            None if inventory.changed == head.version => head,
            None => {
                let reason = format!("it is missing, and commit {} needs it", head.version);
                return Ok(damaged(&self.commit_path(inventory.changed), reason));
            }
        };
        Ok(inventory.damage(changed, listing).and_then(|(path, reason)| damaged(&path, reason)))
    }

    /// Finishes what a run that was killed between its commit and the end of its publishing left undone, and removes
    /// the staging that no run can commit any more. Harmless at any time, and done by every run at its start.
    ///
    /// A run that is based on version *v* can only commit *v+1*, so its staging is dead once the newest version is
    /// above *v*. Staging based on the newest version may belong to a run that is alive and stays.
    ///
    /// Returns the newest record.
    ///
    /// # Errors
    /// As [`Self::head`]; also where a file of the newest commit is nowhere to be found.
    pub async fn recover(&self) -> Result<Option<Commit>, LoadError> {
        let head = self.head().await?;
        if let Some(head) = &head {
            self.finish(head).await?;
        }
        Ok(head)
    }

    async fn finish(&self, head: &Commit) -> Result<(), LoadError> {
        let staged = self.destination.list(&format!("{}/staging", self.folder)).await?;
        let left = publish::unpublished(head, &staged);
        if !left.is_empty() {
            tracing::info!(
                report = self.report,
                version = head.version,
                files = left.len(),
                "publishing a commit again"
            );
            self.publish(head, &left).await?;
        }
        self.remove_dead(&staged, head.version).await?;
        self.remove_dead_pages(head).await
    }

    /// Removes records that are old, by the time of this commit: never one of the newest, nor the one that tells which
    /// files are the newest. A gap that is left by a prune that was cut short means nothing.
    pub(crate) async fn prune(&self, stored_state: &StoredState, commit: &Commit) -> Result<(), LoadError> {
        let before = commit.committed_at - KEPT_FOR;
        // The commit's own record is one of those that stay.
        let candidates = stored_state.records.len().saturating_sub(KEPT_RECORDS - 1);
        // Pages that are kept for good are found by the records of their commits.
        let raw_since = commit.raw.as_ref().and_then(|raw| raw.since);
        let old = stored_state.records.iter().take(candidates).filter(|record| {
            let needed =
                record.version == commit.inventory.changed || raw_since.is_some_and(|since| since <= record.version);
            record.modified < before && !needed && record.version < commit.version
        });
        for record in old.take(PRUNED_AT_ONCE) {
            self.destination.delete(&record.path).await?;
        }
        Ok(())
    }

    /// Removes staging and kept pages that no run can commit now that there is this one.
    pub(crate) async fn collect(&self, head: &Commit) -> Result<(), LoadError> {
        let staged = self.destination.list(&format!("{}/staging", self.folder)).await?;
        self.remove_dead(&staged, head.version).await?;
        self.remove_dead_pages(head).await
    }

    async fn remove_dead(&self, staged: &[String], version: i64) -> Result<(), LoadError> {
        for path in staged.iter().filter(|path| self.base_of(path).is_some_and(|base| base < version)) {
            self.destination.delete(path).await?;
            self.destination.tidy(path.rsplit_once('/').map_or(path, |(folder, _)| folder)).await;
        }
        let log = self.clone();
        let dead = move |path: &str| log.base_of(path).is_some_and(|base| base < version);
        self.destination.sweep(&format!("{}/staging", self.folder), dead).await;
        let decided = move |path: &str| version_of(path).is_some_and(|record| record <= version);
        self.destination.sweep(&format!("{}/commits", self.folder), decided).await;
        Ok(())
    }

    /// The same log for work that is finished whatever happens.
    pub(crate) fn without_stop(&self) -> Self {
        Self { destination: self.destination.clone().with_stop(StopFlag::default()), ..self.clone() }
    }

    /// Removes a run's staging, as far as that can be done now. What stays, a later run removes.
    pub(crate) async fn discard(&self, staging: &str) {
        let removal = async {
            for path in self.destination.list(staging).await? {
                self.destination.delete(&path).await?;
                self.destination.tidy(path.rsplit_once('/').map_or(staging, |(folder, _)| folder)).await;
            }
            Ok::<(), LoadError>(())
        };
        if let Err(error) = removal.await {
            tracing::warn!(%error, "could not remove staged files; the next run will");
        }
        self.destination.tidy(staging).await;
    }

    /// Creates the record of the next version. A record that is there already and is this run's own means that the
    /// store's answer got lost on the way, and is fine.
    ///
    /// # Errors
    /// [`LoadError::Fenced`] where another run has the version; else as the store fails.
    pub(crate) async fn commit(&self, commit: &Commit) -> Result<(), LoadError> {
        let path = self.commit_path(commit.version);
        let text = commit.to_text().map_err(|error| LoadError::Damaged {
            path: self.destination.shown(&path),
            reason: format!("it cannot be written as JSON ({error})"),
        })?;
        let Err(failure) = self.destination.create(&path, text.into()).await else { return Ok(()) };
        // Whatever the store said, what is there decides.
        match self.read(commit.version).await {
            Ok(Some(found)) if found.run_id == commit.run_id => Ok(()),
            Ok(Some(found)) => Err(self.fenced(&found)),
            Ok(None) | Err(_) => Err(failure),
        }
    }

    /// Makes a commit: creates its record, moves its files to where readers find them, and removes what no run can use any
    /// more. `staging` is where its files wait, and is removed where another run was faster.
    ///
    /// # Errors
    /// As [`Self::commit`]: nothing is committed then. Also where the store fails to move a file: that is committed, and the
    /// next run finishes it.
    pub(crate) async fn commit_and_publish(&self, commit: &Commit, staging: &str) -> Result<(), LoadError> {
        if let Err(error) = self.commit(commit).await {
            if matches!(error, LoadError::Fenced { .. }) {
                self.discard(staging).await;
            }
            return Err(error);
        }
        // The rows are committed: what is left is short, and a run that dies now leaves it to the next one.
        let log = self.without_stop();
        log.publish(commit, &publish::moves(commit)).await?;
        if let Err(error) = log.collect(commit).await {
            tracing::warn!(%error, "could not remove the staging of dead runs; the next run will");
        }
        Ok(())
    }

    /// The error of a run that was to commit this version. Where files were taken away while it read them, the run that did
    /// so is named.
    pub(crate) async fn named(&self, error: LoadError, version: i64) -> LoadError {
        let absent =
            |source: &StoreError| matches!(source, StoreError::NotFound { .. } | StoreError::Precondition { .. });
        let may_be = match &error {
            LoadError::Overtaken { .. } | LoadError::Damaged { .. } | LoadError::Parquet { .. } => true,
            LoadError::Store { source, .. } => absent(source),
            _ => false,
        };
        if may_be
            && let Ok(Some(head)) = self.head().await
            && head.version >= version
        {
            return self.fenced(&head);
        }
        error
    }

    /// The error of a run that finds this commit of another run in its way.
    pub(crate) fn fenced(&self, winner: &Commit) -> LoadError {
        LoadError::Fenced {
            account: self.account.clone(),
            report: self.report.clone(),
            version: winner.version,
            winner: winner.run_id.clone(),
        }
    }

    /// Makes the moves of a commit. One that cannot be made because a newer commit took the file away is no loss.
    pub(crate) async fn publish(&self, commit: &Commit, moves: &[publish::Move<'_>]) -> Result<(), LoadError> {
        match publish::publish(&self.destination, commit, moves).await {
            Err(LoadError::Lost { path, version }) => match self.head().await? {
                Some(head) if head.version > version => Ok(()),
                _ => Err(LoadError::Lost { path, version }),
            },
            published => published,
        }
    }

    /// The record of a version; `None` where there is none.
    pub(crate) async fn read(&self, version: i64) -> Result<Option<Commit>, LoadError> {
        let path = self.commit_path(version);
        let Some(found) = self.destination.get(&path).await? else { return Ok(None) };
        let commit = Commit::from_text(&found, &self.destination.shown(&path))?;
        let reason = if commit.version != version {
            format!("it says that it is version {}", commit.version)
        } else if commit.account != self.account || commit.report != self.report {
            format!("it is of report `{}` of account `{}`", commit.report, commit.account)
        } else {
            return Ok(Some(commit));
        };
        Err(LoadError::Damaged { path: self.destination.shown(&path), reason })
    }

    /// Refuses a commit whose watermark lies ahead of `now`, the time of this host: what changes until then would never be
    /// read.
    ///
    /// # Errors
    /// [`LoadError::Ahead`].
    pub fn refuse_ahead(&self, commit: &Commit, now: DateTime<Utc>) -> Result<(), LoadError> {
        let Some(watermark) = commit.state.watermark.filter(|_| commit.state.is_ahead_of(now)) else { return Ok(()) };
        Err(LoadError::Ahead { path: self.destination.shown(&self.commit_path(commit.version)), watermark, now })
    }

    /// Where the record of a version stands.
    pub(crate) fn commit_path(&self, version: i64) -> String {
        format!("{}/commits/{version:020}.json", self.folder)
    }

    /// Staging folder of a run that is based on a version. The version is in the path so that later runs can tell what
    /// is dead without a clock.
    pub(crate) fn staging(&self, base: i64, run: &str) -> String {
        format!("{}/staging/{base:020}/{run}", self.folder)
    }

    /// Where dead letters are found.
    pub(crate) fn dead_letters(&self, version: i64, run: &str) -> String {
        format!("{}/dead_letters/{version:020}-{run}.jsonl.zst", self.folder)
    }

    /// Where dead letters of runs that committed nothing are found.
    pub(crate) fn rejected(&self) -> String {
        format!("{}/rejected", self.folder)
    }

    /// Where the rows that may be read again are found.
    pub(crate) fn seen(&self, version: i64, run: &str) -> String {
        format!("{}/seen/{version:020}-{run}.seen", self.folder)
    }

    /// Where the manifest of a commit is found.
    pub(crate) fn manifest_path(&self, version: i64, run: &str) -> String {
        format!("{}/manifest/{version:020}-{run}.jsonl.zst", self.folder)
    }

    /// Where the list of ids that could not be read is found.
    pub(crate) fn failed(&self, version: i64, run: &str) -> String {
        format!("{}/failed_ids/{version:020}-{run}.json", self.folder)
    }

    /// The version that a staged file's run is based on.
    fn base_of(&self, path: &str) -> Option<i64> {
        self.staged_by(path).map(|(base, _)| base)
    }

    /// The base version and the run of a staged file.
    pub(crate) fn staged_by<'a>(&self, path: &'a str) -> Option<(i64, &'a str)> {
        let rest = path.strip_prefix(&self.folder)?.strip_prefix("/staging/")?;
        let (base, rest) = rest.split_once('/')?;
        Some((base.parse().ok()?, rest.split('/').next()?))
    }

    /// `_ctct/<account>/<report>`, where everything of the report stands that is no table.
    pub(crate) fn folder(&self) -> &str {
        &self.folder
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    pub(crate) fn report(&self) -> &str {
        &self.report
    }
}

/// The version in a record's file name. Other files in the folder, such as a desktop's, are not the log's.
fn version_of(path: &str) -> Option<i64> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}
