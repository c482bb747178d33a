//! What tests and benches share and the program never ships: pages of any size, a server that costs nothing, captured logs.

#![expect(clippy::expect_used, reason = "a test that cannot start may stop")]

mod logs;
mod pages;
mod static_server;

pub use logs::Logs;
pub use pages::contact_pages;
pub use static_server::StaticServer;
