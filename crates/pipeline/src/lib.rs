//! Pipeline YAML to validated plan to run to summary.

mod accounts;
mod dates;
mod document;
mod error;
mod event;
mod fit;
mod keeping;
mod plan;
mod policy;
mod run;
mod schema;
mod summary;
mod upkeep;
mod yaml;

pub use accounts::{NoShard, Shard};
pub use ctct_load::{PartitionBy, TableCompaction, WriteMode};
pub use dates::{When, wire};
pub use document::{
    Access, AccountNames, Delivery, Destination, Environment, OptionInForce, Pace, Period, Pipeline, ReportConfig,
    RetryLimits, Sandbox, Schedule, SecretPlace, SecretRef, Seed, Setting, Source, StatePlace,
};
pub use error::{ConfigError, ConfigErrors};
pub use event::{Event, Events};
pub use fit::Allowance;
pub use keeping::{HostFolders, Keeping, TOKEN_KEY, shared_accounts};
pub use plan::{
    Ask, Basis, Cost, Fits, Ids, LastCommit, NoWindow, Plan, PlanSummary, PlannedOption, PlannedReport, Price, Query,
    ReportPlan, Requests, Scope, forecast,
};
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
