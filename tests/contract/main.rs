//! The contract with the vendor: what we ask, what the sandbox answers and what the vendor's examples look like, checked
//! against the vendor's own description. Needs `CTCT_API_REFERENCE`, the folder that holds it; skipped without.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may stop")]

mod cells;
mod facts;
mod parameter;
mod peer;
mod schema;
mod scripted;
mod vendor;

mod catalogue;
mod payloads;
mod requests;
mod sandbox_answers;
