//! Whole runs: a pipeline's text in, Parquet out, compared with what the sandbox knows to be true.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]

mod harness;
mod incremental;
mod program;
mod scripted;
mod tables;
mod truth;

mod accounts;
mod auth;
mod bad_input;
mod browser;
mod cli;
mod compaction;
mod fan_out;
mod last_pages;
mod pipelines;
mod plan;
mod secrets;
mod sixth_report;
mod upkeep;
mod whole_run;
mod write_modes;
