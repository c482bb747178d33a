//! The same runs on every kind of store that is there: the local disk, and the servers that `.ci/stores start` starts and names in
//! variables. Without the variables this tests the local disk alone, and says so.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]

use ctct_test_support::{harness, tables, truth};

mod proxy;
mod sessions;
mod store;

mod disk;
mod faults;
mod keys;
mod refusals;
mod runs;
