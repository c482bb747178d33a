//! Properties of the file of an account.

use chrono::{DateTime, TimeDelta};

use super::record::Record;

/// A token file of the account `acme`. What is read is written and read again as it was, what it is good for can be told at
/// any time, and no reason shows a word of it. Whether it is read.
///
/// # Panics
/// It does not hold.
pub fn token(bytes: &[u8]) -> bool {
    let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let record = Record::from_json(bytes, "acme");
    let is_read = record.is_ok();
    match record {
        Ok(record) => {
            let written = record.to_json();
            let again = Record::from_json(&written, "acme").unwrap_or_else(|reason| panic!("{reason}"));
            assert!(*again.to_json() == *written, "it is read as something else");
            for now in [DateTime::<chrono::Utc>::MIN_UTC, now, DateTime::<chrono::Utc>::MAX_UTC] {
                assert!(record.remaining(now) <= record.lifetime);
            }
        }
        Err(reason) => assert!(reason.len() < 100, "{reason}"),
    }
    // Secrets of earlier inputs would pile up.
    #[cfg(fuzzing)]
    crate::scrub::forget();
    is_read
}
