//! The client against a scripted server: every way in which an API responds, and what the client makes of it.

#![expect(clippy::print_stdout, reason = "seeds are printed")]

mod daily_limit;
mod device;
mod failures;
mod issuer;
mod killed;
mod leases;
mod ledger;
mod paging;
mod profiles;
mod resume;
mod returning;
mod rotation;
mod secrecy;
mod server;
mod shared_pace;
mod signing;
mod token_store;
