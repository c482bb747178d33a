//! One module a command. Each takes its arguments and gives the process's exit code.

pub(crate) mod plan;
pub(crate) mod reports;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod schema;
pub(crate) mod validate;

use std::path::Path;

use ctct_catalog::Catalog;
use ctct_pipeline::{ConfigErrors, Environment, Pipeline};

use crate::logging::colours;
use crate::printer::complain;

/// The embedded catalogue, or the exit code when it does not parse, which a test rules out for every release.
pub(crate) fn catalog() -> Result<Catalog, u8> {
    Catalog::embedded().map_err(|error| {
        complain(&format!("error: the embedded catalogue: {error}"));
        crate::exit_code::BUG
    })
}

/// Reads a pipeline; what is wrong with it is on stderr then.
pub(crate) fn pipeline(file: &Path, catalog: &Catalog) -> Result<Pipeline, u8> {
    Pipeline::load(file, catalog, &Environment::process()).map_err(|errors| refuse(&errors))
}

/// Shows what is wrong with a pipeline.
pub(crate) fn refuse(errors: &ConfigErrors) -> u8 {
    complain(&errors.render(colours()));
    crate::exit_code::CONFIGURATION
}

/// Threads for file operations. Few are enough for one disk, and each keeps memory of its own in the allocator.
const BLOCKING_THREADS: usize = 4;

/// A tokio runtime, or the exit code when the system gives none.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, u8> {
    tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_THREADS).build().map_err(
        |error| {
            complain(&format!("error: threads cannot be started: {error}"));
            crate::exit_code::TRANSIENT
        },
    )
}
