//! What tests and benches share and the program never ships: pages of any size, a server that costs nothing, and a store
//! that fails where it is told to.

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
