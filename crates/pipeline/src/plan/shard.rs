//! The share of several accounts that one of several hosts takes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// One of several parts of the accounts, `2/8` for the second of eight. An account is always in the same part, whatever
/// other accounts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    number: u32,
    of: u32,
}

/// A text is no shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a part and the number of parts, such as 1/4 to 4/4")]
pub struct NoShard;

impl FromStr for Shard {
    type Err = NoShard;

    fn from_str(text: &str) -> Result<Self, NoShard> {
        let (number, of) = text.split_once('/').ok_or(NoShard)?;
        let (number, of) = (number.parse().map_err(|_| NoShard)?, of.parse().map_err(|_| NoShard)?);
        if (1..=of).contains(&number) { Ok(Self { number, of }) } else { Err(NoShard) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Shard {
    /// Whether an account is in this part.
    pub fn holds(self, account: &str) -> bool {
        let hash = Sha256::digest(account);
        let first = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        first % u64::from(self.of) == u64::from(self.number - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_is_in_one_shard_and_no_shard_is_far_larger_than_the_others() {
        let shards: Vec<Shard> = (1..=4).map(|number| format!("{number}/4").parse().unwrap()).collect();
        let mut sizes = [0; 4];
        for number in 0..1000 {
            let account = format!("franchise-{number}");
            let holders: Vec<usize> = (0..4).filter(|at| shards[*at].holds(&account)).collect();
            assert_eq!(holders.len(), 1, "{account}");
            sizes[holders[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (200..=300).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_shard_is_one_of_so_many() {
        for text in ["0/4", "5/4", "1", "1/0", "/", "a/b", "-1/4"] {
            assert_eq!(text.parse::<Shard>(), Err(NoShard), "{text}");
        }
        assert_eq!("4/4".parse::<Shard>().unwrap().to_string(), "4/4");
    }
}
