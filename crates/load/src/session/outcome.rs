//! How a run ended, and what its commit may do to the rows that are stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::log::reach::Reach;
use crate::log::record::{ReportState, Window};

/// What a run of one report came to, for its commit record.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    /// What the next run must know.
    pub state: ReportState,
    /// The span of time that this run asked for.
    pub window: Window,
    /// With [`crate::WriteMode::Merge`]: what becomes of stored rows whose key the run did not bring.
    pub absent: Absent,
    /// With [`crate::WriteMode::Replace`] and [`crate::WriteMode::Partition`], and with [`crate::WriteMode::Merge`] where the run takes the place of
    /// all rows: stored rows whose key the run did not bring stay nevertheless, because what they became could not be read.
    pub carry_over: bool,
    /// With [`crate::WriteMode::Merge`]: whether the run's versions count whatever the dates of stored ones say, because it read
    /// everything on purpose.
    pub supersedes: bool,
    /// Whether the run has answers to what it asked: pages that wait for a run are then void. One that only puts in order
    /// what is stored has none.
    pub answers: bool,
    /// How many stored keys the commit may remove.
    pub brake: Brake,
    /// Which stored rows the run could have brought: no other can be missing.
    pub reach: Reach,
    /// The time of the commit.
    pub committed_at: DateTime<Utc>,
    /// Counts worth keeping, such as requests sent.
    pub stats: BTreeMap<String, u64>,
}

/// What becomes of stored rows whose key a merging run did not bring.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Absent {
    /// They stay: the run asked for what changed.
    #[default]
    Stay,
    /// They are marked as deleted at this instant: the run read everything, and that was proven.
    Mark(DateTime<Utc>),
    /// They go: the run's rows are the tables from now on.
    Go,
}

/// How many stored keys one commit may remove.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Brake {
    /// 30 % where that is more than 50 keys, and never every key of however few.
    #[default]
    Usual,
    /// This share of them, from 0 to 1.
    Share(f64),
    /// Any number, because somebody said so for this run, or because the run asks for other rows than those that are stored.
    Off,
}

impl Brake {
    /// Keys that may go without a word, however large their share is.
    const FEW: u64 = 50;

    /// Whether so many of the stored keys may not leave because they stopped fitting the filter. Without a limit of the
    /// pipeline's own, that happens to any few.
    pub(crate) fn stops_leaving(self, left: u64, stored: u64) -> bool {
        (left > Self::FEW || matches!(self, Self::Share(_))) && self.stops(left, stored)
    }

    /// Whether removing so many of the stored keys is too much.
    #[expect(clippy::cast_precision_loss, reason = "shares of counts below 2^53")]
    pub fn stops(self, removed: u64, stored: u64) -> bool {
        let more_than = |share: f64| removed as f64 > share * stored as f64;
        match self {
            _ if removed == 0 => false,
            Self::Usual => removed >= stored || (removed > Self::FEW && more_than(0.3)),
            Self::Share(share) => more_than(share),
            Self::Off => false,
        }
    }
}
