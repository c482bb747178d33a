//! What work needs beside its plan: a clock, the environment, where events go, where sign-ins and quotas are kept.

mod state_store;

use std::path::{Path, PathBuf};

use ctct_extract::Clock;
use ctct_load::{Destination, StopFlag};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use state_store::{HostFolders, StateStore};

use crate::document::{Environment, Pipeline};
use crate::event::Events;
use crate::run_error::RunError;

/// What a run needs beside its plan. Everything that differs between a test and the real thing is in here.
#[derive(Debug, Clone)]
pub struct Context {
    /// Tells the time.
    pub clock: Clock,
    /// Names the run; unique.
    pub run_id: String,
    /// Folder that relative paths of a pipeline start from.
    pub base_dir: PathBuf,
    /// Where tokens may be.
    pub environment: Environment,
    /// Where events go.
    pub events: Events,
    /// Ends the run at the next page once cancelled.
    pub stop: CancellationToken,
    /// Where sign-ins and the count of requests are kept.
    pub state: StateStore,
    /// Ends the run as `stop` does, at this instant of tokio's clock.
    pub deadline: Option<Instant>,
    /// Replaces the destination that the pipeline names, for tests and for programs that bring a store of their own.
    pub destination: Option<Destination>,
}

impl Context {
    /// What a run takes in this process: the system's clock, the variables of the process, sign-ins and quotas in memory, no
    /// events and no deadline. `run_id` is unique; relative paths of a pipeline start from `base_dir`.
    pub fn new(run_id: impl Into<String>, base_dir: impl Into<PathBuf>) -> Self {
        Self {
            clock: Clock::system(),
            run_id: run_id.into(),
            base_dir: base_dir.into(),
            environment: Environment::process(),
            events: Events::none(),
            stop: CancellationToken::new(),
            state: StateStore::nowhere(),
            deadline: None,
            destination: None,
        }
    }

    /// Opens the destination of a pipeline, or gives the one that replaces it, where work ends with [`Self::stop`]. Nothing is
    /// sent yet.
    ///
    /// # Errors
    /// As [`open_destination`].
    pub fn open_destination(&self, pipeline: &Pipeline) -> Result<Destination, RunError> {
        let destination = self.open_pipelines_destination(pipeline)?;
        Ok(destination.with_stop(StopFlag::on(self.stop.clone())))
    }

    pub(crate) fn open_pipelines_destination(&self, pipeline: &Pipeline) -> Result<Destination, RunError> {
        match &self.destination {
            Some(destination) => Ok(destination.clone().with_files(pipeline.destination.files)),
            None => open_destination(pipeline, &self.environment, &self.base_dir),
        }
    }
}

/// Opens a pipeline's destination. Relative paths start from `base`. Nothing is asked of the store.
///
/// # Errors
/// [`RunError::Configuration`] where a secret is not available, [`RunError::Destination`] where the rest is wrong.
pub fn open_destination(pipeline: &Pipeline, environment: &Environment, base: &Path) -> Result<Destination, RunError> {
    let options = pipeline.store_options(environment, base)?;
    let opened = Destination::open(&pipeline.destination.url, base, &options);
    let opened = opened.map_err(|error| RunError::Destination(Box::new(error)))?;
    Ok(opened.with_files(pipeline.destination.files))
}
