//! Requests and pages: what is sent, how fast, how often, and what of a response is read. Knows nothing of how a token comes
//! about, and only asks the quota whether it may.

pub(crate) mod api_error;
pub(crate) mod bounds;
pub(crate) mod client;
pub(crate) mod crawl;
pub(crate) mod envelope;
pub(crate) mod limiter;
pub(crate) mod meter;
pub(crate) mod policy;
pub(crate) mod progress;
pub(crate) mod request;
pub(crate) mod retries;
pub(crate) mod transport;
