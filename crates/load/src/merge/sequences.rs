//! Which of a run's parent rows are meant: one bit for each, by the order in which they came.

/// A set of sequences of parent rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequences {
    bits: Vec<u64>,
}

impl Sequences {
    pub(crate) fn insert(&mut self, sequence: u64) {
        let word = usize::try_from(sequence / 64).unwrap_or(usize::MAX);
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (sequence % 64);
    }

    pub(crate) fn contains(&self, sequence: u64) -> bool {
        let word = usize::try_from(sequence / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word & (1 << (sequence % 64)) != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.bits.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}
