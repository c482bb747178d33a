//! What benches share and the program never ships: pages of any size and a server that costs nothing.

#![expect(clippy::expect_used, reason = "a test that cannot start may stop")]

mod pages;
mod static_server;

pub use pages::contact_pages;
pub use static_server::StaticServer;
