//! What was kept of the pages of one commit, as one number that tells whether it is all still there.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::destination::checksum::first_half;

/// What was kept of the pages of one commit: enough to prove later that all of it is still there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageTally {
    /// Objects.
    pub objects: u64,
    /// Pages in them.
    pub pages: u64,
    /// Hash over the names and bytes of all of them, whatever their order.
    #[serde(with = "hex_digits")]
    pub digest: u128,
}

impl PageTally {
    /// Adds an object by its name, which no other one in its folder has.
    pub(crate) fn add(&mut self, path: &str, object: &[u8], pages: usize) {
        let mut digest = Sha256::new();
        digest.update(path.rsplit('/').next().unwrap_or_default());
        digest.update([0]);
        digest.update(object);
        self.objects += 1;
        self.pages += pages as u64;
        self.digest ^= first_half(digest);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            pages: self.pages + other.pages,
            digest: self.digest ^ other.digest,
        }
    }
}

/// A hash as text: JSON has no numbers of that size.
mod hex_digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{digest:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
