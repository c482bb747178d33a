//! Properties of the ledger's file and of the leases in a store.

use std::path::Path;

use chrono::{DateTime, TimeDelta};

use super::ledger_state::moment;
use super::{checksum, ledger_file, log};
use crate::RateLimit;

/// A line of the ledger's file or a lease, as it is and with a checksum that holds. What is read is read again as it was
/// written, and everything that is done with a ledger state can be done with it.
/// Whether it is read.
///
/// # Panics
/// It does not hold.
pub fn ledger(bytes: &[u8]) -> bool {
    let mut is_read = false;
    let path = Path::new("key.ledger");
    for line in [bytes.to_vec(), [checksum(bytes.trim_ascii()).as_bytes(), b" ", bytes].concat()] {
        if let Some(line) = ledger_file::parse(&line, path) {
            is_read = true;
            ledger_file::reread(&line, path);
            for now in [DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(20_000)] {
                line.book.clone().bear(&RateLimit::default(), moment(now));
            }
        }
    }
    if let Some(lease) = log::decode(bytes) {
        let written = log::encode(&lease).unwrap_or_default();
        assert_eq!(log::decode(&written), Some(lease));
        is_read = true;
    }
    is_read
}
