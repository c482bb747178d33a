//! The client against a scripted server: every way in which an API answers, and what the client makes of it.

mod failures;
mod paging;
mod resume;
mod secrecy;
mod server;
mod signing;
