//! Pipeline YAML to validated plan to run to summary.

mod dates;
mod document;
mod error;
mod event;
mod plan;
mod policy;
mod run;
mod schema;
mod summary;
mod yaml;

pub use ctct_load::{PartitionBy, WriteMode};
pub use dates::{When, wire};
pub use document::{
    Access, Destination, Environment, OptionInForce, Pace, Period, Pipeline, ReportConfig, RetryLimits, Sandbox,
    Schedule, SecretPlace, SecretRef, Setting, Source,
};
pub use error::{ConfigError, ConfigErrors};
pub use event::{Event, Events};
pub use plan::{Cost, Ids, Plan, ReportPlan};
pub use policy::{Outcome, Policy, Retry};
pub use run::{Context, RunError, run};
pub use schema::schema;
pub use summary::{ApiSummary, ErrorSummary, ReportSummary, RunSummary, TableSummary};
pub use yaml::Span;
