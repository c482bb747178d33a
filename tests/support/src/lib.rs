//! What the test programs share.
//!
//! - [`harness`] runs a pipeline in this process, against a sandbox and into a folder of the test's own.
//! - [`program`] starts the program as a user does.
//! - [`scripted`] serves bodies of the test's making; [`listener`] keeps what a run sends.
//! - [`tables`] reads what was written; [`truth`] says what it must be, by rules of its own.
//! - [`skipped`] notes what a machine cannot test.
//!
//! Everything panics where it cannot go on, as a test does.

#![expect(clippy::unwrap_used, reason = "all of it is for tests, which end where something is missing")]
#![expect(clippy::missing_panics_doc, reason = "so is this: a panic is how a test fails")]

pub mod harness;
pub mod listener;
pub mod program;
pub mod scripted;
mod skips;
pub mod tables;
pub mod truth;

pub use skips::skipped;
