//! Runs that die, meet each other or find their store broken: whatever happens, the next clean run leaves the truth, every
//! row once, and nothing else.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]
#![expect(clippy::print_stdout, reason = "seeds and counts belong to the output of a test that draws lots")]

use ctct_test_support::{program, tables, truth};

mod account;
mod bucket;
mod draws;
mod job;
mod place;
mod stored;

mod kill;
mod late;
mod mutations;
mod refresh;
mod refusals;
mod together;
