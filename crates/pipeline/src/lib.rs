//! Pipeline YAML to validated plan to run to summary.

pub mod after_run;
mod allowance;
mod causes;
pub mod context;
pub mod document;
mod event;
pub mod forecast;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod maintain;
mod outcome;
pub mod plan;
pub mod policy;
pub mod run;
mod run_error;
mod source;
pub mod stored_table;
mod summary;

pub use causes::with_causes;
pub use context::{Context, StateStore};
pub use document::{Environment, Pipeline};
pub use event::{Event, Events};
pub use plan::Plan;
pub use policy::Outcome;
pub use run::run;
pub use run_error::RunError;
pub use summary::{ApiSummary, ErrorSummary, IncompleteSummary, MergeSummary, ReportSummary, RunSummary, TableSummary};
