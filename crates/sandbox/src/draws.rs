//! Seeded random draws. Pure arithmetic.
//!
//! Own code instead of a crate, because an account must keep its bytes when a dependency changes its algorithm, and
//! because any draw must be reachable from (seed, topic, index) alone: the account is never held in memory.
#![expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the bits that fall away are random")]

/// What a stream of draws decides. Streams of different topics are independent, so that a contact's dates can be known
/// without drawing its phone numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Topic {
    Ids,
    Order,
    Node,
    Imports,
    Life,
    Lists,
    Tags,
    Sms,
    Segments,
    Person,
    Details,
    CustomFields,
    Phones,
    Addresses,
    Notes,
    Engagement,
    Sends,
    ListCatalogue,
    TagCatalogue,
    CustomFieldCatalogue,
    CampaignCatalogue,
    LandingPages,
    Faults,
    RequestIds,
    Tokens,
    Reorder,
    Unfit,
}

/// An endless stream of draws (splitmix64) that depends on its key alone.
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of one topic and one index, such as that of a contact.
    pub(crate) fn new(seed: u64, topic: Topic, index: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add((topic as u64 + 1).wrapping_mul(STEP))) ^ index) }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number from 0 to `end`, without `end`; 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number from `start` to `end`, without `end`.
    pub(crate) fn between(&mut self, start: i64, end: i64) -> i64 {
        start + self.below(end.saturating_sub(start).max(0).unsigned_abs()).cast_signed()
    }

    /// A number below `end` that is small more often than large.
    pub(crate) fn low(&mut self, end: u64) -> u64 {
        let once = self.below(end);
        if end == 0 { 0 } else { ((u128::from(once) * u128::from(self.below(end))) / u128::from(end)) as u64 }
    }

    /// True in `share` of a thousand cases.
    pub(crate) fn permille(&mut self, share: u64) -> bool {
        self.below(1_000) < share
    }

    /// A number from 0 to 1, without 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of a pool that is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, pool: &[T]) -> T {
        // `below` is smaller than the length, and every pool is a constant with entries.
        pool[self.below(pool.len() as u64) as usize]
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64: a bijection that spreads every bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
