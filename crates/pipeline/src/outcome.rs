//! The one table from what went wrong to what follows: exit code, who tries again, and advice.

use std::fmt;

use ctct_extract::{ExtractError, RetryAdvice};
use ctct_load::LoadError;
use serde::Serialize;

/// How a run or a report ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; nothing new is done too.
    #[default]
    Done,
    /// The pipeline, the command line or the destination needs mending.
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
    /// Some of it failed, and trying again alone will not mend that.
    Partial,
    /// The stored state contradicts itself.
    Damaged,
    /// A mistake in this program.
    Bug,
}

/// What follows from an outcome.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Exit code of the process.
    pub exit_code: u8,
    /// Whether a scheduler should start the same command again, and when.
    pub retry: Retry,
    /// What to tell the user to do.
    pub advice: &'static str,
}

/// How loud an outcome is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is wrong.
    Info,
    /// The next run may do it.
    Warn,
    /// A person is needed.
    Error,
}

impl Severity {
    /// What an exit code means, `status` and its codes included.
    pub fn of_exit_code(code: u8) -> Self {
        match code {
            0 => Self::Info,
            11..=14 | 20 => Self::Warn,
            _ => Self::Error,
        }
    }

    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// When the same command may be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// There is nothing to try again.
    Never,
    /// Soon.
    Soon,
    /// After 00:00 UTC, when the quota is new.
    Tomorrow,
    /// When somebody has done what the advice says.
    AfterMending,
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

    /// The row of the table.
    pub fn policy(self) -> Policy {
        let row = |exit_code, retry, advice| Policy { exit_code, retry, advice };
        match self {
            Self::Done => row(0, Retry::Never, "nothing to do"),
            Self::Bug => row(1, Retry::Never, "please report this, with the lines above"),
            Self::Configuration => row(2, Retry::AfterMending, "fix the problem above, then run again"),
            Self::SignIn => row(10, Retry::AfterMending, "give the pipeline a valid access token, then run again"),
            Self::Quota => row(11, Retry::Tomorrow, "run again after 00:00 UTC, when the API's daily quota is new"),
            Self::Transient => row(12, Retry::Soon, "run again; if it keeps failing, check the API's status page"),
            Self::Stopped => row(12, Retry::Soon, "run again to resume where it stopped"),
            Self::Held => row(13, Retry::Soon, "wait until the other run has ended, then run again"),
            Self::Partial => row(14, Retry::AfterMending, "fix the problem above; the same run would fail again"),
            Self::Damaged => row(15, Retry::AfterMending, "do not run again until the state is repaired"),
        }
    }

    /// How loud it is told.
    pub fn severity(self) -> Severity {
        Severity::of_exit_code(self.policy().exit_code)
    }

    /// What to do, with the very commands for the pipeline `file`; without them where its name is empty.
    pub(crate) fn advice(self, file: &str) -> String {
        let advice = self.policy().advice;
        match self {
            _ if file.is_empty() => advice.to_owned(),
            Self::Done | Self::Bug => advice.to_owned(),
            Self::Configuration => format!("{advice}; `ctct-etl validate {file}` checks the pipeline"),
            Self::SignIn => format!("{advice}; `ctct-etl auth status` shows who is signed in and what may be read"),
            Self::Quota => format!("{advice}; `ctct-etl plan {file}` shows what is left and what a run takes"),
            Self::Transient | Self::Stopped => format!("{advice}: `ctct-etl run {file}`"),
            Self::Held => format!("{advice}; `ctct-etl state {file}` shows what is committed"),
            Self::Partial => {
                format!("{advice}; `ctct-etl plan {file}` shows what is asked, `ctct-etl state {file}` what is stored")
            }
            Self::Damaged => format!("{advice}; `ctct-etl verify {file}` shows all that is wrong"),
        }
    }

    /// What an error of the API side means.
    pub fn of_extract(error: &ExtractError) -> Self {
        match error {
            error if error.has_wrong_scheme() || error.lacks_version().is_some() => Self::Configuration,
            ExtractError::Forbidden { .. } => Self::SignIn,
            error if error.retry() == RetryAdvice::AfterSignIn => Self::SignIn,
            ExtractError::Quota { .. } => Self::Quota,
            error if error.retry() == RetryAdvice::Later => Self::Transient,
            ExtractError::Certificate { .. }
            | ExtractError::Config { .. }
            | ExtractError::Setup { .. }
            | ExtractError::LedgerFile { .. }
            | ExtractError::Redirect { .. }
            | ExtractError::Profile { .. }
            | ExtractError::SigningIn(_)
            | ExtractError::TokensOpen { .. }
            | ExtractError::TokenKey { .. }
            | ExtractError::TokenStore { .. } => Self::Configuration,
            // One report's request or answer is wrong; the others may be fine.
            _ => Self::Partial,
        }
    }

    /// What an error of the storing side means.
    pub(crate) fn of_load(error: &LoadError) -> Self {
        match error {
            LoadError::Stopped => Self::Stopped,
            LoadError::Fenced { .. } | LoadError::Overtaken { .. } => Self::Held,
            LoadError::Damaged { .. }
            | LoadError::Moved { .. }
            | LoadError::Ahead { .. }
            | LoadError::Foreign { .. }
            | LoadError::NewerFormat { .. }
            | LoadError::Lost { .. } => Self::Damaged,
            LoadError::TooMuchRemoved { .. } | LoadError::CannotStay { .. } => Self::Partial,
            LoadError::Shape { .. } | LoadError::Task { .. } => Self::Bug,
            error if error.is_transient() => Self::Transient,
            _ => Self::Configuration,
        }
    }

    /// The outcome of a whole from those of its parts.
    ///
    /// What a person must mend, what waits for tomorrow and what another run holds come before the rest. A whole of which
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

    /// The same where somebody asked to stop: a whole that was cut short is to be run again, whatever was done by then.
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
        for (parts, whole) in [
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
            assert_eq!(Outcome::of_parts(parts), whole, "{parts:?}");
        }
    }

    #[test]
    fn what_was_stopped_is_called_so_unless_something_worse_happened() {
        use Outcome::{Damaged, Done, Partial, Quota, Stopped, Transient};
        for (parts, whole) in [
            (&[Done, Done][..], Done),
            (&[Done, Stopped], Stopped),
            (&[Done, Transient], Transient),
            (&[Stopped, Transient], Stopped),
            (&[Stopped, Partial], Stopped),
            (&[Stopped, Quota], Quota),
            (&[Stopped, Damaged], Damaged),
        ] {
            assert_eq!(Outcome::of_stopped_parts(parts), whole, "{parts:?}");
        }
    }

    #[test]
    fn a_person_is_told_of_as_an_error_and_what_passes_as_a_warning() {
        for outcome in Outcome::ALL {
            let expected = match outcome.policy().exit_code {
                0 => Severity::Info,
                11..=14 => Severity::Warn,
                _ => Severity::Error,
            };
            assert_eq!(outcome.severity(), expected, "{outcome}");
        }
    }

    #[test]
    fn every_outcome_has_its_own_code() {
        let table = Outcome::ALL.map(|outcome| {
            let Policy { exit_code, retry, advice } = outcome.policy();
            format!("{exit_code:>2} {outcome}: {retry:?}: {advice}")
        });
        insta::assert_snapshot!(table.join("\n"));
    }
}
