//! The end of a session: everything into staging, every file with its place among the tables, and the draft of the record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::ObjectMeta;

use super::gathering::Merging;
use super::{Absent, RunOutcome, Session};
use crate::compact::{self, Rewriter};
use crate::dedupe::seen;
use crate::error::LoadError;
use crate::files::plan::LoadPlan;
use crate::files::writer::StagedFile;
use crate::log::failed;
use crate::log::inventory::table_folder;
use crate::log::publish::{ANCHOR, is_anchor};
use crate::log::record::{
    Commit, CommittedFile, CommittedLetters, Inventory, LAYOUT_VERSION, RECORD_FORMAT, StateFile, WriteMode,
};
use crate::merge::{Leftover, Merge, MergeResult, MergeTotals, Verdict};
use crate::session::dead_letters::LetterTotals;
use crate::session::storage_mode::StorageMode;

impl Session {
    /// Brings everything into staging and drafts the record. Also gives what a merge did to each table.
    pub(super) async fn stage(&mut self, outcome: RunOutcome) -> Result<(Commit, Vec<MergeTotals>), LoadError> {
        let staged = self.writers.finish().await?;
        let mut staged = Box::pin(self.settle_versions(staged)).await?;
        self.carries_over = outcome.carry_over;
        self.keeps_some |= !outcome.reach.period.is_empty();
        self.refuse_to_carry_over()?;
        let mut merged = Vec::new();
        if let Some(merging) = self.merging.take() {
            (staged, merged) = self.merge(merging, &outcome).await?;
        }
        let takes_over = match self.plan.mode {
            WriteMode::Append => self.plan.rebuild,
            WriteMode::Merge => !self.reads_stored() && (self.plan.rebuild || self.previous.is_some()),
            WriteMode::Replace | WriteMode::Partition => true,
        };
        self.removed = Box::pin(self.count_removed(&outcome)).await?;
        let alike = || {
            self.previous
                .as_ref()
                .is_some_and(|commit| StorageMode::of_commit(commit) == StorageMode::of_plan(&self.plan))
        };
        if takes_over && (self.carries_over || !self.lacking.is_empty() && alike()) {
            Box::pin(self.carry_over(&mut staged)).await?;
        }
        let mut removed = if takes_over {
            self.take_over(&mut staged).await?
        } else {
            let known = |table: &str| self.previous.as_ref().is_some_and(|commit| commit.rows.contains_key(table));
            let tables = self.plan.report.tables().iter().enumerate();
            let missing: Vec<usize> = tables.filter(|(_, table)| !known(&table.name)).map(|(at, _)| at).collect();
            self.fill(&mut staged, &missing).await?;
            Vec::new()
        };
        let letters = match self.dead_letters.take() {
            Some(letters) => Some(letters.finish().await?),
            None => None,
        };
        let version = self.version();
        let mut files = self.name_files(staged);
        let (seen, failed) = self.stage_memory(!files.is_empty(), &mut removed).await?;
        let mut rows: BTreeMap<String, u64> =
            self.plan.report.tables().iter().map(|table| (table.name.clone(), 0)).collect();
        for file in &files {
            *rows.entry(file.table.clone()).or_default() += file.rows;
        }
        if self.plan.mode == WriteMode::Append && !self.plan.rebuild {
            let joined = Box::pin(compact::on_the_way(&mut self.rewriter(), &self.plan.report, &files)).await?;
            files.extend(joined.files);
            removed.extend(joined.removed);
        }
        let mut commit = Commit {
            format: RECORD_FORMAT,
            version,
            run_id: self.plan.run_id.clone(),
            pipeline: self.plan.pipeline.clone(),
            account: self.plan.account.clone(),
            identity: self.plan.identity.clone(),
            report: self.plan.report.name.clone(),
            committed_at: outcome.committed_at,
            write_mode: self.plan.mode,
            partition_by: self.plan.partition_by.iter().map(ToString::to_string).collect(),
            key: self.plan.report.key.clone(),
            window: outcome.window,
            history: self.plan.history,
            state: outcome.state,
            account_column: self.plan.files.account_column,
            layout: LAYOUT_VERSION,
            inventory: Inventory::after(self.previous.as_ref(), &self.stored_state.listing, version, &files, &removed),
            rebuilt: false,
            files,
            removed,
            dead_letters: letters.map(|LetterTotals { staged, records, bytes, sha256 }| CommittedLetters {
                path: self.log.dead_letters(version, &self.run),
                staged,
                records,
                bytes,
                sha256: Some(sha256),
            }),
            raw: self.raw.take(),
            seen,
            manifest: None,
            failed,
            answers: (!outcome.answers).then(|| self.pages_base()),
            rows,
            stats: outcome.stats,
        };
        let before = self.previous.as_ref().and_then(|commit| commit.manifest.as_ref());
        self.log.stage_manifest(&mut commit, &self.stored_state.manifest, before).await?;
        Ok((commit, merged))
    }

    /// What the next run is to know of rows and of ids that failed, and what goes because of that.
    async fn stage_memory(
        &mut self,
        publishes: bool,
        removed: &mut Vec<String>,
    ) -> Result<(Option<StateFile>, Option<StateFile>), LoadError> {
        let version = self.version();
        let next = match &mut self.seen {
            // Of rows that stay this run knows nothing: the next one reads the tables.
            Some(_) if self.plan.rebuild && self.carries_over => None,
            Some(seen) => seen.finish(&self.destination, &self.staging, self.log.seen(version, &self.run)).await?,
            None => None,
        };
        let previous = self.previous.as_ref().and_then(|commit| commit.seen.as_ref());
        let (seen, obsolete) = seen::replaced(previous, next, publishes);
        removed.extend(obsolete);
        removed.append(&mut self.letters_to_remove);
        let listed = self.previous.as_ref().and_then(|commit| commit.failed.as_ref());
        let failed = match &self.failed {
            Some(failed) => {
                removed.extend(listed.map(|file| file.path.clone()));
                failed::write(&self.destination, &self.staging, self.log.failed(version, &self.run), failed).await?
            }
            None => listed.map(StateFile::carried_over),
        };
        Ok((seen, failed))
    }

    /// Merges what was gathered with what is stored.
    async fn merge(
        &mut self,
        merging: Merging,
        outcome: &RunOutcome,
    ) -> Result<(Vec<StagedFile>, Vec<MergeTotals>), LoadError> {
        let Merging { shapes, brought, outside, unsure, absent, .. } = merging;
        // So far only the run's rows were routed.
        let touched = (0..).zip(self.router.folders()).map(|(number, _)| number).collect();
        let mut stored = vec![BTreeMap::new(); shapes.len()];
        if self.reads_stored() {
            for (at, shape) in shapes.iter().enumerate() {
                stored[at] = self.anchors(shape.table()).await?;
            }
        }
        let merge = Merge {
            destination: self.destination.clone(),
            shapes,
            version: self.version(),
            staging: self.staging.clone(),
            leftover: match outcome.absent {
                _ if self.carries_over => Leftover::Stay,
                Absent::Stay => Leftover::Stay,
                Absent::Mark(at) => Leftover::Marked(at.timestamp_micros()),
                Absent::Go => Leftover::Gone(outcome.committed_at.timestamp_micros()),
            },
            touched,
            stored,
            manifest: self.stored_state.manifest.clone(),
            delta: brought.sorted().await?,
            verdict: Verdict { outside, unsure, absent, ..Verdict::default() },
            families: self.router.families(&self.plan.report.key),
            folders: self.router.folders().to_vec(),
            compares_stored: !self.plan.rebuild && !outcome.supersedes,
            reach: outcome.reach.clone(),
            memory_bytes: self.plan.files.memory_bytes,
        };
        let MergeResult { files, totals, outdated, removed, stored, left } = merge.run().await?;
        // A run that reads what changed counts no stored rows, and the log knows how many there are.
        let root = table_folder(&self.plan.report.name, &self.account);
        let all = || {
            self.stored_state
                .manifest
                .of_tables()
                .filter(|(path, _)| path.starts_with(&root))
                .map(|(_, proof)| proof.rows)
                .sum()
        };
        let stored = if outcome.absent == Absent::Stay { all() } else { stored };
        if outcome.brake.stops(removed, stored) || outcome.brake.stops_leaving(left, stored) {
            let removed = removed.max(left);
            return Err(LoadError::TooMuchRemoved {
                account: self.plan.account.clone(),
                report: self.plan.report.name.clone(),
                removed,
                stored,
            });
        }
        (self.outdated, self.removed) = (outdated, removed);
        Ok((files, totals))
    }

    /// Whether a merge reads the files that are stored. A rebuild has no use for them, but for their history.
    pub(super) fn reads_stored(&self) -> bool {
        self.previous.as_ref().is_some_and(|commit| {
            let alike = StorageMode::of_commit(commit) == StorageMode::of_plan(&self.plan);
            let keeps = self.carries_over || self.keeps_some || self.plan.history && !self.plan.forgets_history;
            alike && (!self.plan.rebuild || keeps)
        })
    }

    /// The anchors of a table, by the number of their partition.
    async fn anchors(&mut self, table: &str) -> Result<BTreeMap<u32, ObjectMeta>, LoadError> {
        let root = self.table_folder(table);
        let found = self.destination.objects(&root).await?;
        let mut anchors = BTreeMap::new();
        for object in found {
            let path = self.destination.relative(&object.location);
            let Some(partition) = partition_of(path, &root).filter(|_| is_anchor(path)) else { continue };
            if self.router.fits(partition) {
                anchors.insert(self.router.number(partition), object);
            }
        }
        Ok(anchors)
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
                let Some(partition) = partition_of(&path, &root).map(str::to_owned) else { continue };
                if self.plan.mode == WriteMode::Partition && !self.plan.rebuild && !touched.contains(&partition) {
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

    fn rewriter(&self) -> Rewriter {
        let LoadPlan { account, files, run_id, .. } = &self.plan;
        let (layouts, staging) = (self.layouts.clone(), self.staging.clone());
        Rewriter::new(&self.destination, account, layouts, files, staging, self.version(), run_id)
            .proving(&self.stored_state.manifest)
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
            let in_place = self.plan.mode != WriteMode::Append || self.plan.rebuild;
            let name = if in_place && anchored.insert((table, partition)) {
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
                joined: false,
                // Rows that stayed are of earlier commits.
                commits: (self.carries_over || self.plan.mode == WriteMode::Merge).then_some((0, version)),
            });
        }
        files
    }

    /// The account's folder of a table.
    fn table_folder(&self, table: &str) -> String {
        table_folder(table, &self.account)
    }
}

/// The partition folders of a file below the account's folder of its table, joined by `/`.
fn partition_of<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    let (partition, _) = path.strip_prefix(root)?.rsplit_once('/')?;
    Some(partition.trim_start_matches('/'))
}
