//! What is stored already: hashes of rows that may be read again, and which version of a row is the newest.

pub(crate) mod fingerprint;
pub(crate) mod index;
pub(crate) mod latest;
pub(crate) mod seen;
