//! Property tests of incremental runs: accounts with random histories, read by runs in between, against a plain model.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]

use ctct_test_support::{tables, truth};

mod account;
mod contacts;
mod events;
mod harness;
mod history;
mod model;
mod stored;
