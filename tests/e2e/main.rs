//! Whole runs: a pipeline's text in, Parquet out, compared with what the sandbox knows to be true.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]

use ctct_test_support::{harness, listener, program, scripted, tables, truth};

mod accounts;
mod auth;
mod bad_input;
mod begun_days;
mod book;
mod brakes;
mod browser;
mod cli;
mod clocks;
mod compaction;
mod counted;
mod definitions;
mod dictionary;
mod echoes;
mod equal_events;
mod events;
mod failing_ids;
mod fan_out;
mod help;
mod hostile;
mod identity;
mod incremental;
mod init;
mod kept_state;
mod last_pages;
mod leases;
mod loud;
mod metrics;
mod moving_rows;
mod notice;
mod pipelines;
mod places;
mod plan;
mod proofs;
mod questions;
mod runs_table;
mod schedule;
mod secrets;
mod sixth_report;
mod status;
mod stopped;
mod tls;
mod upkeep;
mod versions;
mod views;
mod whole_run;
mod write_modes;
