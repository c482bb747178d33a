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
mod upkeep;
mod yaml;

pub use ctct_load::{PartitionBy, TableCompaction, WriteMode};
pub use dates::{When, wire};
pub use document::{
    Access, Delivery, Destination, Environment, OptionInForce, Pace, Period, Pipeline, ReportConfig, RetryLimits,
    Sandbox, Schedule, SecretPlace, SecretRef, Setting, Source,
};
pub use error::{ConfigError, ConfigErrors};
pub use event::{Event, Events};
pub use plan::{Ask, Cost, Ids, NoWindow, Plan, Query, ReportPlan, Scope};
pub use policy::{Outcome, Policy, Retry};
pub use run::{Context, RunError, open_destination, replay, run};
pub use schema::schema;
pub use summary::{ApiSummary, ErrorSummary, MergeSummary, ReportSummary, RunSummary, TableSummary};
pub use upkeep::{
    CommitSummary, CompactSummary, CompactedReport, CountSummary, FindingSummary, LossSummary, PileSummary,
    RebuildResult, RebuildSummary, ReportRebuild, ReportState, ReportVerified, StagedSummary, StateSummary,
    VerifiedTableSummary, VerifySummary, compact, rebuild, state, verify,
};
pub use yaml::Span;
