//! Chance, from a seed that is printed: the same seed draws the same.

use std::time::{Duration, SystemTime};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Draws of one test.
pub(crate) struct Draws(Pcg64Mcg);

impl Draws {
    /// From the seed in `CTCT_TEST_SEED`, or a new one.
    pub(crate) fn new(test: &str) -> Self {
        let seed = match std::env::var("CTCT_TEST_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => u64::from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos()),
        };
        println!("{test}: CTCT_TEST_SEED={seed}");
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A time below this one.
    pub(crate) fn below(&mut self, time: Duration) -> Duration {
        time.mul_f64(self.0.random_range(0.0..1.0))
    }

    /// A number below this one.
    pub(crate) fn number(&mut self, below: usize) -> usize {
        self.0.random_range(0..below)
    }
}

/// How often a test kills what it is about, unless `CTCT_TEST_KILLS` says so: 200 and 500 show more, and take minutes.
pub(crate) fn kills(usual: usize) -> usize {
    std::env::var("CTCT_TEST_KILLS").map_or(usual, |kills| kills.parse().unwrap())
}
