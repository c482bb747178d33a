//! What a read by ids left: the ids that could not be read, which the next run asks for after the others, and where it ended
//! early those that are done.
//!
//! Ids are cells. They are in this file, and never in logs or errors.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, checksum};
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::done::DoneIds;
use crate::log::record::{Commit, StateFile};

/// Format of the files that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// An id whose request failed after everything that may help was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedId {
    /// The id.
    pub id: String,
    /// The days that it was asked for, as parameters; empty where the report has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub period: Vec<(String, String)>,
    /// HTTP status of the last answer, where one came.
    pub status: Option<u16>,
    /// Id of its request, for the vendor's support.
    pub request_id: Option<String>,
    /// When it failed first.
    pub since: DateTime<Utc>,
    /// Runs in which it failed, one after the other.
    pub runs: u32,
}

/// What a read by ids left for the next run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdsLeft {
    /// The ids that could not be read.
    pub failed: Vec<FailedId>,
    /// Those that are done, where the read ended early; absent where all were read, and in commits of earlier versions.
    pub done: Option<DoneIds>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    failed: Vec<FailedId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<DoneIds>,
}

/// Stages the list of a commit, to be published at `path`; `None` where it is empty.
pub(crate) async fn write(
    destination: &Destination,
    staging: &str,
    path: String,
    IdsLeft { failed, done }: &IdsLeft,
) -> Result<Option<StateFile>, LoadError> {
    if failed.is_empty() && done.is_none() {
        return Ok(None);
    }
    let staged = format!("{staging}/failed_ids.json");
    let text = serde_json::to_vec_pretty(&File { format: FORMAT, failed: failed.clone(), done: done.clone() });
    let text = text.map_err(|_| LoadError::Task { task: "write the failed ids".to_owned() })?;
    let (rows, bytes, sha256) = (failed.len() as u64, text.len() as u64, checksum::of_bytes(&text));
    destination.put(&staged, text.into()).await?;
    Ok(Some(StateFile { path, staged: Some(staged), rows, bytes, sha256 }))
}

impl ReportLog {
    /// The ids that had failed or were done by the time of this commit. Where the list is gone or damaged no row is lost: a
    /// warning says so, and those that failed are asked for among the others, those that were done once more.
    ///
    /// # Errors
    /// The store fails.
    pub async fn ids_left(&self, commit: &Commit) -> Result<IdsLeft, LoadError> {
        let Some(file) = &commit.failed else { return Ok(IdsLeft::default()) };
        let read = self.destination.get(&file.path).await?;
        let sound = read.filter(|text| checksum::of_bytes(text) == file.sha256);
        let list = sound.and_then(|text| serde_json::from_slice::<File>(&text).ok());
        if let Some(list) = list.filter(|list| list.format <= FORMAT) {
            return Ok(IdsLeft { failed: list.failed, done: list.done });
        }
        let path = self.destination.shown(&file.path);
        tracing::warn!(path, "the list of failed ids is missing or damaged; the ids in it are requested again");
        Ok(IdsLeft { failed: Vec::new(), done: Some(DoneIds::default()) })
    }

    /// Where the list of a commit is, as people are shown it.
    pub fn failed_ids_file(&self, commit: &Commit) -> Option<String> {
        commit.failed.as_ref().filter(|file| file.rows > 0).map(|file| self.destination.shown(&file.path))
    }
}
