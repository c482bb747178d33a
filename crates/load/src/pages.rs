//! Fetched pages (saved responses), kept beside the commit log: until their rows are committed, or for good.
//!
//! ```text
//! _ctct/<account>/<report>/pages/<base version>/<query fingerprint>/<sequence>-<run>.zst
//! _ctct/<account>/<report>/raw/<base version>/<query fingerprint>/<sequence>-<run>.zst
//! ```
//!
//! A run that starts after one that was killed finds in `pages` what that one had read, and asks on from there. The base
//! version fences them as it does staging: a run that is based on version *v* can only commit *v+1*, so pages based on
//! *v* are of use until that is there, and dead after it. The fingerprint is of the question: pages of another one are
//! never mixed in. With `raw`, pages stay when their commit names them, and the tables can be made from them again.
//!
//! Bodies, parameters and cursors are personal data: they go to storage only.

mod chain;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keeper;
mod object;
mod reader;
mod replay;

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::destination::folder;
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::record::Commit;

pub use chain::CrawlEnd;
pub use keeper::{PageKeeper, PageQueue};
pub use reader::KeptPages;
pub use replay::{RawCommit, Replay};

/// A page as it is kept: the body, and all that is needed to decode it again and to go on after it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptPage {
    /// Which of the report's crawls it belongs to, such as `updated_after` or a contact's id.
    pub crawl: String,
    /// The parameters that the crawl's first page was asked for with.
    pub params: Vec<(String, String)>,
    /// Number of the page in its crawl, from 1.
    pub number: u32,
    /// The link to the next page as it stands; `None` on the last, be it the API's or the last that the crawl wants.
    pub next: Option<String>,
    /// Id of the request, where the server sent one.
    pub request_id: Option<String>,
    /// When it had come, by the client's clock.
    pub received_at: DateTime<Utc>,
    /// When it was sent, by the server's clock.
    pub server_date: Option<DateTime<Utc>>,
    /// Rows in all pages, where they were asked to be counted.
    pub count: Option<u64>,
    /// The body, as it came.
    pub body: Bytes,
}

/// Sizes only: the rest is personal data.
impl fmt::Debug for KeptPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, body, .. } = self;
        f.debug_struct("KeptPage").field("number", number).field("bytes", &body.len()).finish_non_exhaustive()
    }
}

impl ReportLog {
    /// What earlier runs read that were based on the same version and asked the same question. Lists, reads nothing yet.
    ///
    /// `fingerprint` is hex. Pages that were kept with another `raw` are not seen.
    ///
    /// # Errors
    /// The store fails.
    pub async fn kept_pages(&self, base: i64, fingerprint: &str, raw: bool) -> Result<KeptPages, LoadError> {
        KeptPages::list(&self.destination, &self.pages_folder(base, fingerprint, raw)).await
    }

    /// What keeps the pages of a run. `from_sequence` is [`KeptPages::next_sequence`], so that a later run can tell what
    /// this one knew of.
    pub fn keeper(&self, base: i64, fingerprint: &str, run: &str, raw: bool, from_sequence: u64) -> PageKeeper {
        let folder = self.pages_folder(base, fingerprint, raw);
        PageKeeper::new(&self.destination, folder, run, raw, from_sequence)
    }

    /// Removes what was kept for this question and is not committed yet, by whatever run: its cursors are stale, say. A
    /// live run loses nothing but the chance to be resumed.
    ///
    /// # Errors
    /// The store fails.
    pub async fn discard_pages(&self, base: i64, fingerprint: &str, raw: bool) -> Result<(), LoadError> {
        self.destination.remove_folder(&self.pages_folder(base, fingerprint, raw)).await
    }

    /// Removes pages that no run can use now that there is this newest commit: all that wait for it or an earlier one,
    /// and those that were to stay with it for good but came from runs that it left behind.
    pub(crate) async fn remove_dead_pages(&self, head: &Commit) -> Result<(), LoadError> {
        let named = head.raw.as_ref().map(|raw| raw.folder.as_str());
        let waiting = format!("{}/pages", self.folder);
        // Runs that a commit with answers left behind were based on what its own pages were based on.
        let left_behind = match named.and_then(|folder| folder.rsplit_once('/')) {
            Some((folder, _)) => folder.to_owned(),
            None => format!("{}/raw/{:020}", self.folder, head.version - 1),
        };
        let (waiting, for_good) = tokio::try_join!(self.folders(&waiting), self.folders(&left_behind))?;
        let waiting = waiting.iter().filter(|folder| base_of(folder).is_some_and(|base| base < head.pages_base()));
        // A commit without answers leaves nobody behind.
        let for_good = if head.answers.is_some() { Vec::new() } else { for_good };
        for folder in waiting.chain(for_good.iter().filter(|folder| Some(folder.as_str()) != named)) {
            self.destination.remove_folder(folder).await?;
        }
        Ok(())
    }

    /// The versions that there are pages based on which wait for a run.
    pub(crate) async fn bases_of_pages(&self) -> Result<Vec<i64>, LoadError> {
        let folders = self.folders(&format!("{}/pages", self.folder)).await?;
        Ok(folders.iter().filter_map(|folder| base_of(folder)).collect())
    }

    /// The folders right below this one.
    async fn folders(&self, relative: &str) -> Result<Vec<String>, LoadError> {
        let found = self.destination.children(relative).await?.common_prefixes;
        Ok(found.iter().map(|folder| self.destination.relative(folder).to_owned()).collect())
    }

    fn pages_folder(&self, base: i64, fingerprint: &str, raw: bool) -> String {
        let kind = if raw { "raw" } else { "pages" };
        format!("{}/{kind}/{base:020}/{}", self.folder, folder::encode(fingerprint))
    }
}

/// The version in the name of a folder of pages.
fn base_of(folder: &str) -> Option<i64> {
    folder.rsplit('/').next()?.parse().ok()
}
