//! From a pipeline's YAML to a validated plan, a run and its summary: the one crate that knows all the others.
//!
//! 1. [`Pipeline::parse`] (or [`Pipeline::load`]) reads the file. Every mistake has its line; secrets stay where they are.
//! 2. [`Plan::new`] resolves dates and parameters at one moment. It is pure: nothing is sent, nothing is read.
//! 3. [`Context`] holds what differs between a test and production: clock, environment, events, where sign-ins are kept.
//! 4. [`run()`] carries the plan out and never fails itself: the [`RunSummary`] says what each report came to.
//!
//! Beside these, [`forecast`] tells what a run would cost, [`run::replay`] makes tables again from saved responses, and [`maintain`]
//! shows, checks and repairs what is stored. What an error means (outcome, exit code, who retries, what to do) is [`policy`]'s.
//! [`after_run`] names metrics and the table of runs, and [`stored_table`] says how readers find the tables.
//!
//! ```
//! use ctct_pipeline::{Context, Environment, Outcome, Pipeline, Plan, run};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = "
//! version: 1
//! name: first
//! source: {sandbox: {contacts: 20}}
//! destination: {url: ./data}
//! reports:
//!   - report: contact_lists
//! ";
//! let catalog = ctct_catalog::Catalog::embedded()?;
//! let pipeline = Pipeline::parse(text, "first.yaml", &catalog, &Environment::process())?;
//!
//! let folder = tempfile::tempdir()?;
//! let context = Context::new("run-1", folder.path());
//! let plan = Plan::new(&pipeline, context.clock.now())?;
//! let summary = run(&plan, &context).await;
//!
//! assert_eq!(summary.outcome, Outcome::Done);
//! assert!(folder.path().join("data/contact_lists").is_dir());
//! # Ok(())
//! # }
//! ```

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

pub use allowance::Allowance;
pub use causes::with_causes;
pub use context::{Context, StateStore};
pub use document::{Environment, Pipeline};
pub use event::{Event, Events};
pub use plan::Plan;
pub use policy::Outcome;
pub use run::run;
pub use run_error::RunError;
pub use summary::{ApiSummary, ErrorSummary, IncompleteSummary, MergeSummary, ReportSummary, RunSummary, TableSummary};
