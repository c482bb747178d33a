//! All pages that were kept for good, commit by commit: the tables can be made from them again without a request.

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};

use super::reader::PageProof;
use super::{KeptPage, KeptPages};
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::page_tally::PageTally;
use crate::log::record::{Commit, RawPages, Window};

/// Requests to the store at a time.
const AT_A_TIME: usize = 8;

/// A commit whose pages were kept for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCommit {
    /// Its version; its rows carry it in `_commit`.
    pub version: i64,
    /// The run that made it.
    pub run_id: String,
    /// When it was made.
    pub committed_at: DateTime<Utc>,
    /// The span of time that the run asked for.
    pub window: Window,
    /// Where its pages are, relative to the destination.
    pub folder: String,
    /// What was kept there; absent in records of earlier versions.
    pub kept: Option<PageTally>,
    /// Pages that its run read, by its own count.
    pub pages: Option<u64>,
}

impl ReportLog {
    /// The commits whose pages together make the tables, the first one first; none where pages were not kept for good
    /// since the last read of everything. The version that each was based on is the one before its own.
    ///
    /// # Errors
    /// The store fails, or a record is missing, damaged, or names no pages where the newest says that there are.
    pub async fn raw_commits(&self) -> Result<Vec<RawCommit>, LoadError> {
        let Some(head) = self.head().await? else { return Ok(Vec::new()) };
        let Some((raw, since)) = head.raw.as_ref().and_then(|raw| Some((raw, raw.since?))) else {
            return Ok(Vec::new());
        };
        let records = stream::iter(since..head.version).map(|version| self.raw_commit(version));
        let mut commits: Vec<RawCommit> = records.buffered(AT_A_TIME).try_collect().await?;
        commits.push(RawCommit::new(&head, raw));
        // Commits that asked nothing name the pages of the one before.
        commits.dedup_by(|later, earlier| later.folder == earlier.folder);
        Ok(commits)
    }

    async fn raw_commit(&self, version: i64) -> Result<RawCommit, LoadError> {
        let commit = self.read(version).await?;
        let found = commit.as_ref().and_then(|commit| Some(RawCommit::new(commit, commit.raw.as_ref()?)));
        found.ok_or_else(|| LoadError::Damaged {
            path: self.destination.shown(&self.commit_path(version)),
            reason: match commit {
                Some(_) => "it names no raw pages, and later records say that it does".to_owned(),
                None => "it is missing, and the raw pages of its commit are found by it".to_owned(),
            },
        })
    }

    /// The pages of one commit: those that its run had read, and those that it resumed from. Damage is an error here,
    /// since nothing can be asked for again: once all came, they are compared with what the record says was kept. With
    /// `ends` each read must also end in a page without a next link, as those of lists do.
    ///
    /// # Errors
    /// The store fails.
    pub async fn raw_pages(&self, commit: &RawCommit, ends: bool) -> Result<KeptPages, LoadError> {
        let RawCommit { version, kept, pages, .. } = *commit;
        let proof = PageProof { version, kept, pages, ends };
        KeptPages::list_committed(&self.destination, &commit.folder, &commit.run_id, proof).await
    }

    /// Reads all pages that are kept for good, and compares them with what their commits kept.
    ///
    /// # Errors
    /// The store fails, or pages are damaged or missing.
    pub(crate) async fn prove_raw_pages(&self) -> Result<(), LoadError> {
        let mut replay = self.replay(false).await?;
        while replay.next().await?.is_some() {}
        Ok(())
    }

    /// All pages that were kept for good, commit by commit, in the order of [`Self::raw_commits`], proven as by
    /// [`Self::raw_pages`].
    ///
    /// # Errors
    /// As [`Self::raw_commits`].
    pub async fn replay(&self, ends: bool) -> Result<Replay, LoadError> {
        let commits = self.raw_commits().await?;
        Ok(Replay { log: self.clone(), commits: commits.into_iter(), current: None, ends })
    }
}

impl RawCommit {
    fn new(commit: &Commit, raw: &RawPages) -> Self {
        let Commit { version, run_id, committed_at, window, .. } = commit;
        Self {
            version: *version,
            run_id: run_id.clone(),
            committed_at: *committed_at,
            window: *window,
            folder: raw.folder.clone(),
            kept: raw.kept,
            pages: commit.stats.get("pages").copied(),
        }
    }
}

/// All pages that were kept for good, one object at a time.
#[derive(Debug)]
pub struct Replay {
    log: ReportLog,
    commits: std::vec::IntoIter<RawCommit>,
    current: Option<(RawCommit, KeptPages)>,
    ends: bool,
}

impl Replay {
    /// The next pages, and the version of the commit that they belong to. A commit that brought no pages is passed over.
    ///
    /// # Errors
    /// The store fails, or pages are damaged or missing.
    pub async fn next(&mut self) -> Result<Option<(i64, Vec<KeptPage>)>, LoadError> {
        loop {
            if let Some((commit, pages)) = &mut self.current {
                if let Some(pages) = pages.next().await? {
                    return Ok(Some((commit.version, pages)));
                }
                self.current = None;
            }
            let Some(commit) = self.commits.as_slice().first() else { return Ok(None) };
            let pages = self.log.raw_pages(commit, self.ends).await?;
            self.current = self.commits.next().map(|commit| (commit, pages));
        }
    }
}
