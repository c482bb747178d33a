//! A pipeline in a file that a scheduler starts over and over: the program itself, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::account::{Account, Keys};
use crate::bucket::Bucket;
use crate::place::files_in;
use crate::program;
use crate::stored::{Files, Stored};

/// The file, what it writes, and where.
pub(crate) struct Job {
    folder: TempDir,
    /// Where the tables are, if not in the folder.
    bucket: Option<Bucket>,
    pub(crate) keys: Keys,
}

impl Job {
    pub(crate) fn new(keys: Keys) -> Self {
        Self { folder: TempDir::new().unwrap(), bucket: None, keys }
    }

    pub(crate) fn in_bucket(keys: Keys, bucket: Bucket) -> Self {
        Self { bucket: Some(bucket), ..Self::new(keys) }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the tables are on the disk.
    pub(crate) fn destination(&self) -> PathBuf {
        self.folder().join("out")
    }

    /// The command that runs the pipeline against the account as it is now.
    pub(crate) fn command(&self, account: &Account) -> Command {
        let destination = self.bucket.as_ref().map_or_else(|| "{url: ./out}".to_owned(), Bucket::destination);
        let text = account.pipeline(&destination, self.keys);
        // Another run may read it at this moment.
        fs::write(self.folder().join("next.yaml"), text).unwrap();
        fs::rename(self.folder().join("next.yaml"), self.folder().join("job.yaml")).unwrap();
        let mut command = program::command(self.folder(), &["run", "job.yaml", "--quiet", "--output", "json"]);
        command.envs([account.token()]).envs(Bucket::variables());
        for name in ["CTCT_CONFIG_DIR", "CTCT_STATE_DIR"] {
            command.env(name, self.folder().join("host"));
        }
        command
    }

    /// Starts a run.
    pub(crate) fn start(&self, account: &Account) -> Child {
        self.command(account).spawn().unwrap()
    }

    /// A run that is left alone and must be whole. Returns how long it took.
    pub(crate) fn whole(&self, account: &Account) -> Duration {
        let started = Instant::now();
        let said = Said::of(&self.command(account).output().unwrap());
        assert_eq!(said.code, Some(0), "{said:#?}");
        started.elapsed()
    }

    /// Runs that are left alone, until one had nothing to take up. One that goes on after pages that a killed run kept holds
    /// the account as it was when they were read, and its watermark says so: the next one reads what changed since.
    pub(crate) fn caught_up(&self, account: &Account) {
        loop {
            let said = Said::of(&self.command(account).output().unwrap());
            assert_eq!(said.code, Some(0), "{said:#?}");
            let reports = said.summary["reports"].as_array().unwrap();
            if reports.iter().all(|report| report["resumed_pages"] == 0) {
                return;
            }
        }
    }

    /// Everything that is in the destination.
    pub(crate) async fn stored(&self) -> Stored {
        Stored::new(match &self.bucket {
            Some(bucket) => bucket.files().await,
            // A run that was killed early has not made the folder yet.
            None if !self.destination().exists() => Files::new(),
            None => files_in(&self.destination()),
        })
    }
}

/// How a run ended, and its summary.
#[derive(Debug)]
pub(crate) struct Said {
    /// `None` where it was killed.
    pub(crate) code: Option<i32>,
    /// Null where it did not come to one.
    pub(crate) summary: Value,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            summary: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The report and the message of each error.
    pub(crate) fn errors(&self) -> Vec<(&str, &str)> {
        let reports = self.summary["reports"].as_array().into_iter().flatten();
        reports.filter_map(|report| Some((report["report"].as_str()?, report["error"]["message"].as_str()?))).collect()
    }
}
