//! Properties of the file of seen rows.

use bytes::Bytes;

use super::file::{Read, encoded, entries};
use crate::dedupe::index::Entry;

/// A file or, where the bytes do not begin as Parquet does, a file of them as entries. Entries are in order, and what is
/// written is read as it was. Whether the bytes are a file.
///
/// # Panics
/// It does not hold.
pub fn seen(bytes: &[u8]) -> bool {
    let mut is_read = false;
    if let Ok(Ok(Read::Usable { index, .. })) = entries(Bytes::copy_from_slice(bytes)) {
        let sorted = index.sorted().unwrap_or_else(|error| panic!("{error}"));
        let keys: Vec<u128> = sorted.map(|entry| entry.map_or(0, |entry| entry.key)).collect();
        assert!(keys.is_sorted_by(|one, next| one < next));
        is_read = true;
    }
    if bytes.starts_with(b"PAR1") {
        return is_read;
    }
    let (from, rest) =
        bytes.split_first_chunk().map_or((None, bytes), |(from, rest)| (Some(i64::from_le_bytes(*from)), rest));
    let entry = |chunk: &[u8; 18]| {
        let number = |at: usize| chunk[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
        let key = u128::from(number(0)) << 64 | u128::from(chunk[16]) << 8 | u128::from(chunk[17]);
        Entry { key, content: number(8), at: number(4).cast_signed(), order: 0 }
    };
    let mut put: Vec<Entry> = rest.as_chunks().0.iter().map(entry).collect();
    put.sort_unstable_by_key(|entry| entry.key);
    put.dedup_by_key(|entry| entry.key);
    let written = encoded(from, &put).unwrap_or_else(|error| panic!("{error}"));
    let Ok(Ok(Read::Usable { index, from: found })) = entries(Bytes::from(written)) else {
        panic!("it cannot be read")
    };
    let sorted = index.sorted().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((found, sorted.map_while(Result::ok).collect::<Vec<Entry>>()), (from, put));
    is_read
}
