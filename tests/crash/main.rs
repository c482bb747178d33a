//! Runs that die, meet each other or find their store broken: whatever happens, the next clean run leaves the truth, every
//! row once, and nothing else.

#![expect(clippy::unwrap_used, reason = "all of it is tests; the lint knows only functions marked so")]
#![expect(clippy::print_stdout, reason = "seeds and counts belong to the output of a test that draws lots")]

#[path = "../e2e/truth.rs"]
mod truth;

#[expect(dead_code, reason = "the end-to-end tests use the rest of it")]
#[path = "../e2e/tables.rs"]
mod tables;

#[expect(dead_code, reason = "the end-to-end tests use the rest of it")]
#[path = "../e2e/program.rs"]
mod program;

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
