//! The ids that a read which ended early had done, as hashes: an id that comes to the account meanwhile may stand between them.

use std::collections::HashSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::destination::checksum::first_half;

/// Bytes of a hash: so many that no id is ever mistaken for another, and left out.
const BYTES: usize = 16;

/// Ids that are done, as hashes of sixteen bytes each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoneIds(HashSet<u128>);

impl DoneIds {
    /// Whether the id is done.
    pub fn contains(&self, id: &str) -> bool {
        self.0.contains(&hash(id))
    }

    /// How many are done.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is done.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> FromIterator<&'a str> for DoneIds {
    fn from_iter<I: IntoIterator<Item = &'a str>>(ids: I) -> Self {
        Self(ids.into_iter().map(hash).collect())
    }
}

fn hash(id: &str) -> u128 {
    first_half(Sha256::new().chain_update(id))
}

/// One text of hex digits, ascending.
impl Serialize for DoneIds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut hashes: Vec<u128> = self.0.iter().copied().collect();
        hashes.sort_unstable();
        let digits = hashes.iter().map(|hash| format!("{hash:0width$x}", width = 2 * BYTES));
        serializer.serialize_str(&digits.collect::<String>())
    }
}

impl<'de> Deserialize<'de> for DoneIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() % (2 * BYTES) != 0 {
            return Err(D::Error::custom("the hashes are cut"));
        }
        let hashes = text.as_bytes().chunks(2 * BYTES).map(|digits| {
            let digits = std::str::from_utf8(digits).map_err(D::Error::custom)?;
            u128::from_str_radix(digits, 16).map_err(D::Error::custom)
        });
        hashes.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_comes_back_and_nothing_else() {
        for number in [0, 1, 2, 1000] {
            let ids: Vec<String> = (0..number).map(|id| format!("id {id}")).collect();
            let done: DoneIds = ids.iter().map(String::as_str).collect();
            let text = serde_json::to_string(&done).unwrap();
            assert_eq!(text.len(), 2 + 32 * number);
            let back: DoneIds = serde_json::from_str(&text).unwrap();
            assert_eq!((back.len(), &back), (number, &done));
            assert!(ids.iter().all(|id| back.contains(id)) && !back.contains("another"));
        }
        for damaged in ["\"0\"", "\"0000000000000000000000000000000g\"", "\"000000000000000000000000000000é\"", "7"] {
            assert!(serde_json::from_str::<DoneIds>(damaged).is_err(), "{damaged}");
        }
    }
}
