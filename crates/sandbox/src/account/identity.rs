//! Ids: contact ids that lead back to their index without a table, and ids of everything else. Pure arithmetic.

use uuid::Uuid;

use crate::draws::{Draws, mix};

/// A seeded bijection of `0..size`: a Feistel network that walks on until it is back in range.
#[derive(Debug, Clone)]
pub(crate) struct Permutation {
    size: u64,
    half: u32,
    keys: [u64; 4],
}

impl Permutation {
    /// A bijection of `0..size`, with `size` up to 2^62.
    pub(crate) fn new(size: u64, draws: &mut Draws) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Self { size, half: bits.div_ceil(2).max(1), keys: std::array::from_fn(|_| draws.bits()) }
    }

    /// Where `value`, which is below the size, goes.
    pub(crate) fn apply(&self, value: u64) -> u64 {
        let mut value = value;
        loop {
            value = self.keys.iter().fold(value, |value, key| self.forth(value, *key));
            if value < self.size {
                return value;
            }
        }
    }

    /// What goes to `value`, which is below the size.
    pub(crate) fn invert(&self, value: u64) -> u64 {
        let mut value = value;
        loop {
            value = self.keys.iter().rev().fold(value, |value, key| self.back(value, *key));
            if value < self.size {
                return value;
            }
        }
    }

    fn forth(&self, value: u64, key: u64) -> u64 {
        let (left, right) = (value >> self.half, value & self.mask());
        (right << self.half) | (left ^ (mix(right ^ key) & self.mask()))
    }

    fn back(&self, value: u64, key: u64) -> u64 {
        let (right, mixed) = (value >> self.half, value & self.mask());
        ((mixed ^ (mix(right ^ key) & self.mask())) << self.half) | right
    }

    fn mask(&self) -> u64 {
        (1 << self.half) - 1
    }
}

/// Bits of the time field of a time-based UUID.
pub(crate) const TIME_BITS: u32 = 60;

/// The ids of one account: time-based (version 1) UUIDs that share the clock sequence and node of one server.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    tail: u64,
}

impl Node {
    /// A node from 62 random bits.
    pub(crate) fn new(draws: &mut Draws) -> Self {
        Self { tail: (draws.bits() >> 2) | (1 << 63) }
    }

    /// The UUID with these time bits.
    pub(crate) fn id(&self, time: u64) -> String {
        let (low, mid, high) = (time & 0xffff_ffff, (time >> 32) & 0xffff, (time >> 48) & 0x0fff);
        text(Uuid::from_u64_pair((low << 32) | (mid << 16) | 0x1000 | high, self.tail))
    }

    /// The UUID with the next time bits of a stream.
    pub(crate) fn draw(&self, draws: &mut Draws) -> String {
        self.id(draws.bits() >> (u64::BITS - TIME_BITS))
    }

    /// The time bits of a UUID that this node made.
    pub(crate) fn time(&self, id: &str) -> Option<u64> {
        let (head, tail) = parse(id)?.as_u64_pair();
        let version_1 = head & 0xf000 == 0x1000;
        (tail == self.tail && version_1)
            .then_some((head >> 32) | ((head >> 16 & 0xffff) << 32) | ((head & 0x0fff) << 48))
    }
}

/// A random (version 4) UUID.
pub(crate) fn random_id(draws: &mut Draws) -> String {
    let head = (draws.bits() & !0xf000) | 0x4000;
    text(Uuid::from_u64_pair(head, (draws.bits() >> 2) | (1 << 63)))
}

/// The UUID in its hyphenated form, the only one that the API takes.
pub(crate) fn parse(id: &str) -> Option<Uuid> {
    if id.len() == uuid::fmt::Hyphenated::LENGTH { Uuid::try_parse(id).ok() } else { None }
}

fn text(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}
