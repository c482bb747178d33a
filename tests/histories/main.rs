//! Property tests of incremental runs: accounts with random histories, read by runs in between, against a plain model.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]

#[expect(dead_code, reason = "the end-to-end tests look at schemas too")]
#[path = "../e2e/tables.rs"]
mod tables;
#[path = "../e2e/truth.rs"]
mod truth;

mod account;
mod contacts;
mod events;
mod harness;
mod history;
mod model;
mod stored;
