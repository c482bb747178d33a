//! Joins files of one partition: rows are streamed out of the old ones, gathered to full row groups, and sorted there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use ctct_catalog::Report;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;

use crate::destination::Destination;
use crate::destination::file_options::FileOptions;
use crate::destination::folder::{self, ACCOUNT};
use crate::error::LoadError;
use crate::files::footer::{FooterState, Stamp};
use crate::files::layout::FileLayout;
use crate::files::source::{Listed, SourceFile};
use crate::files::writer::{StagedFile, Writers};
use crate::log::manifest::Manifest;
use crate::log::proof::Proof;
use crate::log::publish::{ANCHOR, is_anchor};
use crate::log::record::{Commit, CommittedFile};

/// Footers that are read at a time.
const AT_A_TIME: usize = 8;

/// What joins add to their commit's record.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    pub(crate) files: Vec<CommittedFile>,
    pub(crate) removed: Vec<String>,
}

impl Joined {
    pub(super) fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.removed.extend(other.removed);
    }
}

/// Joins files for one commit.
#[derive(Debug)]
pub(crate) struct Rewriter {
    destination: Destination,
    account: String,
    /// One for each table of the report.
    layouts: Vec<Arc<FileLayout>>,
    options: FileOptions,
    staging: String,
    version: i64,
    /// The run's name in file names.
    run: String,
    joins: usize,
    begun: usize,
    /// What the files are.
    manifest: Manifest,
}

impl Rewriter {
    /// For a commit that writes files again as they are, whose record is drafted: their rows stay those of the commits that
    /// brought them.
    ///
    /// # Errors
    /// The layout of a table cannot be made.
    pub(crate) fn for_commit(
        destination: &Destination,
        report: &Report,
        draft: &Commit,
        staging: String,
        options: &FileOptions,
    ) -> Result<Self, LoadError> {
        let state = Arc::new(FooterState::default());
        state.set(&draft.state);
        let stamp = Stamp::of_draft(draft);
        let layout = |table| FileLayout::of_commit(table, &stamp, options, &state).map(Arc::new);
        let layouts = report.tables().iter().map(layout).collect::<Result<_, _>>()?;
        Ok(Self::new(destination, &draft.account, layouts, options, staging, draft.version, &draft.run_id))
    }

    /// For the commit of this version by this run, whose files wait in `staging`.
    pub(crate) fn new(
        destination: &Destination,
        account: &str,
        layouts: Vec<Arc<FileLayout>>,
        options: &FileOptions,
        staging: String,
        version: i64,
        run_id: &str,
    ) -> Self {
        Self {
            destination: destination.clone(),
            account: account.to_owned(),
            layouts,
            options: options.clone(),
            staging,
            version,
            run: folder::encode(run_id),
            joins: 0,
            begun: 0,
            manifest: Manifest::default(),
        }
    }

    /// The same, which joins no file that is not what the log says.
    pub(crate) fn proving(self, manifest: &Manifest) -> Self {
        Self { manifest: manifest.clone(), ..self }
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.options.file_bytes
    }

    /// The account's files of a table by the folders of their partitions.
    pub(super) async fn partitions(&self, table: &str) -> Result<BTreeMap<String, Vec<Listed>>, LoadError> {
        let root = self.root(table);
        let mut partitions: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
        for file in listed(&self.destination, &root).await? {
            let Some((folders, name)) = file.path[root.len()..].rsplit_once('/') else { continue };
            if name.ends_with(".parquet") {
                partitions.entry(folders.trim_start_matches('/').to_owned()).or_default().push(file);
            }
        }
        Ok(partitions)
    }

    /// Those of the files that can be joined: this account's rows of this table, in columns that have a place in the
    /// table of today, and not full by their row groups. Others stay where they are.
    pub(super) async fn fitting(&self, table: usize, files: Vec<Listed>) -> Result<Vec<Listed>, LoadError> {
        let layout = &self.layouts[table];
        let checks: Vec<_> = files.into_iter().map(|file| self.checked(layout, file)).collect();
        let fitting: Vec<Option<Listed>> = stream::iter(checks).buffered(AT_A_TIME).try_collect().await?;
        Ok(fitting.into_iter().flatten().collect())
    }

    /// The file, if it can be joined.
    async fn checked(&self, layout: &FileLayout, file: Listed) -> Result<Option<Listed>, LoadError> {
        let source = match SourceFile::open(&self.destination, &file, None).await {
            Err(LoadError::Damaged { path, reason }) => {
                tracing::warn!(path, reason, "left alone");
                return Ok(None);
            }
            source => source?,
        };
        let fits = source.says("ctct.account", &self.account)
            && source.says("ctct.table", layout.table())
            && source.fits(layout.schema())
            && source.row_groups() * 2 <= self.options.file_row_groups;
        Ok(fits.then_some(file))
    }

    /// Joins files of a partition. An anchor among them is overwritten, never removed.
    pub(super) async fn join(&mut self, table: usize, folders: &str, members: &[Listed]) -> Result<Joined, LoadError> {
        self.rewrite(table, folders, members, |_| None).await
    }

    /// Writes files of a partition again, without the rows that `kept` says are not kept. An anchor among them is overwritten,
    /// never removed.
    pub(crate) async fn rewrite(
        &mut self,
        table: usize,
        folders: &str,
        members: &[Listed],
        kept: impl Fn(&RecordBatch) -> Option<BooleanArray>,
    ) -> Result<Joined, LoadError> {
        let layout = Arc::clone(&self.layouts[table]);
        let staging = format!("{}/join-{:05}", self.staging, self.joins);
        self.joins += 1;
        // Rows come from files, so nothing is won by gathering them while others are written.
        let memory_bytes = self.options.row_group_bytes.saturating_add(self.destination.part_bytes);
        let options = FileOptions { memory_bytes: memory_bytes.min(self.options.memory_bytes), ..self.options.clone() };
        let mut writers = Writers::new(&self.destination, vec![Arc::clone(&layout)], options, &staging);
        let staged = match self.stream_through(&layout, members, &mut writers, kept).await {
            Ok(staged) => staged,
            Err(error) => {
                writers.abandon().await;
                return Err(error);
            }
        };
        tracing::debug!(table = layout.table(), folders, from = members.len(), to = staged.len(), "joined small files");
        let commits = |member: &Listed| self.manifest.get(&member.path).map_or((0, self.version), Proof::commits);
        let commits = members.iter().map(commits).reduce(|left, right| (left.0.min(right.0), left.1.max(right.1)));
        let mut anchor = members.iter().any(|member| is_anchor(&member.path));
        let root = self.root(layout.table());
        let mut joined = Joined::default();
        for StagedFile { path: staged, totals, .. } in staged {
            let name = if std::mem::take(&mut anchor) {
                ANCHOR.to_owned()
            } else {
                format!("{:020}-{}-j{:05}.parquet", self.version, self.run, self.begun)
            };
            self.begun += 1;
            joined.files.push(CommittedFile {
                table: layout.table().to_owned(),
                path: if folders.is_empty() { format!("{root}/{name}") } else { format!("{root}/{folders}/{name}") },
                staged,
                rows: totals.rows,
                bytes: totals.bytes,
                sha256: totals.sha256,
                partition: folders.to_owned(),
                joined: true,
                commits,
            });
        }
        let removed = members.iter().filter(|member| !is_anchor(&member.path));
        joined.removed = removed.map(|member| member.path.clone()).collect();
        Ok(joined)
    }

    /// Streams the rows of all members through the writers.
    async fn stream_through(
        &self,
        layout: &FileLayout,
        members: &[Listed],
        writers: &mut Writers,
        kept: impl Fn(&RecordBatch) -> Option<BooleanArray>,
    ) -> Result<Vec<StagedFile>, LoadError> {
        for member in members {
            let source = SourceFile::open(&self.destination, member, self.manifest.get(&member.path)).await?;
            for row_group in 0..source.row_groups() {
                for batch in source.read(row_group, layout.schema()).await? {
                    let batch = match kept(&batch) {
                        Some(kept) => filter_record_batch(&batch, &kept).map_err(layout.arrow_error("filter"))?,
                        None => batch,
                    };
                    let partitions = vec![0; RecordBatch::num_rows(&batch)];
                    writers.push(0, batch, partitions).await?;
                }
            }
        }
        let mut staged = writers.finish().await?;
        if staged.is_empty() {
            staged.push(writers.write_empty(0, 0).await?);
        }
        Ok(staged)
    }

    /// The account's folder of a table.
    fn root(&self, table: &str) -> String {
        format!("{}/{ACCOUNT}={}", folder::encode(table), folder::encode(&self.account))
    }
}

/// The files below a folder with their sizes, sorted by path; none if there is no such folder.
pub(super) async fn listed(destination: &Destination, root: &str) -> Result<Vec<Listed>, LoadError> {
    let found = destination.objects(root).await?;
    let listed = |file: &ObjectMeta| Listed { path: destination.relative(&file.location).to_owned(), bytes: file.size };
    let mut files: Vec<Listed> = found.iter().map(listed).collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}
