//! How a run or a report ended, and how several together ended. What follows from each is in `policy.rs`.

use std::fmt;

use serde::Serialize;

/// How a run or a report ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; nothing new is done too.
    #[default]
    Done,
    /// The pipeline, the command line or the destination needs a fix.
    Configuration,
    /// A person must sign in.
    SignIn,
    /// The day's quota is used up.
    Quota,
    /// It may work when tried again.
    Transient,
    /// Somebody asked for it to stop, or its time was up.
    Stopped,
    /// Another run holds the report.
    Held,
    /// Some of it failed, and trying again alone will not fix that.
    Partial,
    /// The stored state contradicts itself.
    Damaged,
    /// A mistake in this program.
    Bug,
}

impl Outcome {
    /// All outcomes, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Bug,
        Self::Configuration,
        Self::SignIn,
        Self::Quota,
        Self::Transient,
        Self::Stopped,
        Self::Held,
        Self::Partial,
        Self::Damaged,
    ];

    /// The outcome of a run from those of its reports, or of several runs.
    ///
    /// What a person must fix, what waits for tomorrow and what another run holds come before the rest. One of which
    /// some parts are done and some failed is `Partial`; where all failed alike it has their outcome.
    pub fn of_parts(parts: &[Self]) -> Self {
        for first in [Self::Bug, Self::Damaged, Self::SignIn, Self::Quota, Self::Held] {
            if parts.contains(&first) {
                return first;
            }
        }
        match parts.iter().max() {
            None => Self::Done,
            Some(&worst) if parts.iter().all(|&part| part == worst) => worst,
            Some(_) => Self::Partial,
        }
    }

    /// The same where somebody asked to stop: one that was cut short is to be run again, whatever was done by then.
    pub fn of_stopped_parts(parts: &[Self]) -> Self {
        match Self::of_parts(parts) {
            Self::Partial | Self::Transient if parts.contains(&Self::Stopped) => Self::Stopped,
            Self::Partial if parts.contains(&Self::Transient) => Self::Transient,
            outcome => outcome,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Configuration => "configuration error",
            Self::SignIn => "sign-in needed",
            Self::Quota => "quota used up",
            Self::Transient => "temporary failure",
            Self::Stopped => "stopped",
            Self::Held => "held by another run",
            Self::Partial => "failed in part",
            Self::Damaged => "state damaged",
            Self::Bug => "bug",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_what_a_scheduler_must_know_first() {
        use Outcome::{Bug, Damaged, Done, Held, Partial, Quota, SignIn, Stopped, Transient};
        for (parts, complete) in [
            (&[][..], Done),
            (&[Done, Done], Done),
            (&[Transient, Transient], Transient),
            (&[Done, Transient], Partial),
            (&[Transient, Partial], Partial),
            (&[Partial], Partial),
            (&[Done, Quota, Transient], Quota),
            (&[Quota, SignIn], SignIn),
            (&[Done, Held, Partial], Held),
            (&[Held, Damaged], Damaged),
            (&[Damaged, Bug], Bug),
            (&[Stopped, Stopped], Stopped),
        ] {
            assert_eq!(Outcome::of_parts(parts), complete, "{parts:?}");
        }
    }

    #[test]
    fn what_was_stopped_is_called_so_unless_something_worse_happened() {
        use Outcome::{Damaged, Done, Partial, Quota, Stopped, Transient};
        for (parts, complete) in [
            (&[Done, Done][..], Done),
            (&[Done, Stopped], Stopped),
            (&[Done, Transient], Transient),
            (&[Stopped, Transient], Stopped),
            (&[Stopped, Partial], Stopped),
            (&[Stopped, Quota], Quota),
            (&[Stopped, Damaged], Damaged),
        ] {
            assert_eq!(Outcome::of_stopped_parts(parts), complete, "{parts:?}");
        }
    }
}
