//! The commit log of one report of one account: numbered records, each created only if absent.

use object_store::{Error as StoreError, ObjectStoreExt};

use crate::publish;
use crate::record::Commit;
use crate::{Destination, LoadError, folder};

/// Folder below the destination for all that is no table.
pub(crate) const STATE_FOLDER: &str = "_ctct";

/// The commit log of one report of one account.
///
/// The log is append-only: version *v+1* can be created once, by a run that read version *v*. That create is the one
/// instant at which a run's rows come to be.
#[derive(Debug, Clone)]
pub struct ReportLog {
    destination: Destination,
    account: String,
    report: String,
    /// `_ctct/<account>/<report>`.
    folder: String,
}

impl ReportLog {
    /// The log of this report and account, whether or not it has a record yet.
    ///
    /// # Errors
    /// The account's name cannot be a folder.
    pub fn new(destination: &Destination, account: &str, report: &str) -> Result<Self, LoadError> {
        let folder = format!("{STATE_FOLDER}/{}/{}", folder::of_name("account", account)?, folder::encode(report));
        Ok(Self { destination: destination.clone(), account: account.to_owned(), report: report.to_owned(), folder })
    }

    /// The newest record; `None` where nothing was ever committed.
    ///
    /// # Errors
    /// The store fails, or the record is damaged or of a newer format.
    pub async fn head(&self) -> Result<Option<Commit>, LoadError> {
        let paths = self.destination.list(&format!("{}/commits", self.folder)).await?;
        match paths.iter().filter_map(|path| version_of(path)).max() {
            Some(version) => self.read(version).await,
            None => Ok(None),
        }
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
        let Some(head) = self.head().await? else { return Ok(None) };
        let staged = self.destination.list(&format!("{}/staging", self.folder)).await?;
        let left = publish::unpublished(&head, &staged);
        if !left.is_empty() {
            tracing::info!(
                report = self.report,
                version = head.version,
                files = left.len(),
                "publishing a commit again"
            );
            self.publish(&head, &left).await?;
        }
        self.remove_dead(&staged, head.version).await?;
        Ok(Some(head))
    }

    /// Removes staging that no run can commit now that there is this version.
    pub(crate) async fn collect(&self, version: i64) -> Result<(), LoadError> {
        let staged = self.destination.list(&format!("{}/staging", self.folder)).await?;
        self.remove_dead(&staged, version).await
    }

    async fn remove_dead(&self, staged: &[String], version: i64) -> Result<(), LoadError> {
        for path in staged.iter().filter(|path| self.base_of(path).is_some_and(|base| base < version)) {
            self.destination.delete(path).await?;
            self.destination.tidy(path.rsplit_once('/').map_or(path, |(folder, _)| folder)).await;
        }
        Ok(())
    }

    /// Removes a run's staging, as far as that can be done now. What stays, a later run removes.
    pub(crate) async fn discard(&self, staging: &str) {
        let removal = async {
            for path in self.destination.list(staging).await? {
                self.destination.delete(&path).await?;
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
        // Whatever the store said, what stands there decides.
        match self.read(commit.version).await {
            Ok(Some(found)) if found.run_id == commit.run_id => Ok(()),
            Ok(Some(found)) => Err(LoadError::Fenced {
                account: self.account.clone(),
                report: self.report.clone(),
                version: commit.version,
                winner: found.run_id,
            }),
            Ok(None) | Err(_) => Err(failure),
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

    async fn read(&self, version: i64) -> Result<Option<Commit>, LoadError> {
        let path = self.commit_path(version);
        let failed = || self.destination.failed("read", &path);
        let found = match self.destination.store.get(&self.destination.key(&path)?).await {
            Ok(found) => found.bytes().await.map_err(failed())?,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed()(error)),
        };
        let commit = Commit::from_text(&found, &self.destination.shown(&path))?;
        if commit.version == version {
            return Ok(Some(commit));
        }
        let reason = format!("it says that it is version {}", commit.version);
        Err(LoadError::Damaged { path: self.destination.shown(&path), reason })
    }

    fn commit_path(&self, version: i64) -> String {
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

    /// The version that a staged file's run is based on.
    fn base_of(&self, path: &str) -> Option<i64> {
        let rest = path.strip_prefix(&self.folder)?.strip_prefix("/staging/")?;
        rest.split('/').next()?.parse().ok()
    }
}

/// The version in a record's file name. Other files in the folder, such as a desktop's, are not the log's.
fn version_of(path: &str) -> Option<i64> {
    let name = path.rsplit('/').next()?.strip_suffix(".json")?;
    (name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.parse().ok())?
}
