//! What the tests of several crates share. It is never shipped, and no crate uses it outside tests.
//!
//! - [`FaultStore`] is an object store that fails on demand: a fault is named by the operation that it hits and what happens
//!   there, before or after the operation took effect. Use it to show that a crash at any request leaves a store from which
//!   the next run continues.
//! - [`StaticServer`] answers every request with one body, as fast as a server can.
//! - `pages` generates bodies of pages from a seed.
//! - `corpus` replays the inputs of the fuzzer on stable Rust.
//!
//! Start at `fault_store`. Nothing here depends on the time of day or sleeps to wait for something. For an API that behaves like
//! the vendor's, use `ctct-sandbox`.

#![expect(clippy::expect_used, reason = "a test that cannot start may stop")]

mod corpus;
mod fault;
mod fault_store;
mod pages;
mod static_server;

pub use corpus::replay_corpus;
pub use fault::{Fault, Hold, Mutation, Operation, Spot};
pub use fault_store::FaultStore;
pub use pages::contact_pages;
pub use static_server::StaticServer;
