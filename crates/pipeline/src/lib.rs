//! Pipeline YAML to validated plan to run to summary.

mod accounts;
mod aftermath;
mod command_line;
mod dates;
mod document;
mod error;
mod event;
mod fit;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod identity;
mod keeping;
mod metrics;
mod notice;
mod plan;
mod policy;
mod push;
mod run;
mod schema;
mod stored_table;
mod summary;
mod upkeep;
mod yaml;

pub use accounts::{NoShard, Shard};
pub use command_line::CommandLine;
pub use ctct_load::{PartitionBy, TableCompaction, Window, WriteMode};
pub use dates::{When, wire};
pub use document::{
    Access, AccountNames, CronExpression, CronField, Delivery, Destination, Environment, Metrics, OnFailure,
    OptionInForce, Otlp, Pace, Percent, Period, Pipeline, ReportConfig, RetryLimits, Sandbox, Schedule, SecretPlace,
    SecretRef, Seed, Setting, Source, StatePlace, did_you_mean,
};
pub use error::{ConfigError, ConfigErrors};
pub use event::{Event, Events};
pub use fit::Allowance;
pub use keeping::{HostFolders, Keeping, TOKEN_KEY, shared_accounts};
pub use metrics::{METRICS, Metric};
pub use plan::{
    Ask, AtLeastAtMost, Basis, Cost, Fits, Ids, LastCommit, NoWindow, Plan, PlanSummary, PlannedOption, PlannedReport,
    Price, Query, Question, ReportPlan, Requests, Scheduled, Scope, forecast,
};
pub use policy::{Outcome, Policy, Retry, Severity};
pub use run::{Context, RunError, open_destination, replay, replay_dead_letters, run, with_causes};
pub use schema::schema;
pub use stored_table::{Column, Layout, StoredTable, local_folder, root};
pub use summary::{ApiSummary, ErrorSummary, IncompleteSummary, MergeSummary, ReportSummary, RunSummary, TableSummary};
pub use upkeep::{
    AdoptSummary, AdoptedReport, CommitSummary, CompactSummary, CompactedReport, CountSummary, Expectation,
    FailedIdsSummary, FindingSummary, Health, HolderSummary, LastError, LossSummary, PileSummary, RebuildResult,
    RebuildSummary, ReportRebuild, ReportState, ReportStatus, ReportVerified, StagedSummary, StateSummary,
    StatusSummary, VerifiedTableSummary, VerifySummary, adopt, compact, rebuild, state, status, verify,
};
pub use yaml::Span;
