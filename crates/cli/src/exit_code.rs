//! Exit codes, for schedulers. They are part of the tool's contract and never change their meaning.

use ctct_pipeline::Outcome;

/// Success, including no new data.
pub const DONE: u8 = 0;
/// A mistake in this program; please report it.
pub const BUG: u8 = 1;
/// Usage or configuration: the command line, the pipeline or the destination needs fixing.
pub const CONFIGURATION: u8 = 2;
/// A person must sign in, or give another access token.
pub const SIGN_IN: u8 = 10;
/// The API's daily quota is used up; run again after 00:00 UTC.
pub const QUOTA: u8 = 11;
/// Transient, or stopped on request; run again.
pub const TRANSIENT: u8 = 12;
/// Another run holds the report.
pub const HELD: u8 = 13;
/// Partial: some reports are committed, some failed.
pub const PARTIAL: u8 = 14;
/// The stored state contradicts itself; do not run again until it is repaired.
pub const DAMAGED: u8 = 15;
/// `status`: a report is older than it should be.
pub const STALE: u8 = 20;
/// `status`: the last run of a report failed and needs manual action.
pub const FAILED: u8 = 21;

/// What a code means, and what to do about it, in words that hold wherever it comes from.
pub(crate) fn meaning(code: u8) -> (&'static str, &'static str) {
    match code {
        STALE => {
            ("a report is older than it should be", "run the pipeline; the report's line says when it last succeeded")
        }
        FAILED => ("the last run of a report failed and needs manual action", "follow the advice in the report's line"),
        code => Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.policy().exit_code == code)
            .map_or(("the command did not succeed", "the lines above say why"), |outcome| {
                (in_short(outcome), outcome.policy().advice)
            }),
    }
}

fn in_short(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Bug => "this is a bug in ctct-etl",
        Outcome::Configuration => "invalid command line, pipeline or destination",
        Outcome::SignIn => "sign-in needed",
        Outcome::Quota => "the daily quota is exhausted",
        Outcome::Transient => "a temporary failure",
        Outcome::Stopped => "stopped before it finished",
        Outcome::Held => "another run holds the report",
        Outcome::Partial => "a part of it failed",
        Outcome::Damaged => "the stored state is damaged",
    }
}

#[cfg(test)]
mod tests {
    use ctct_pipeline::Outcome;
    use ctct_pipeline::maintain::Health;

    #[test]
    fn every_code_has_a_meaning_of_its_own_and_a_next_step() {
        let codes =
            Outcome::ALL.map(|outcome| outcome.policy().exit_code).into_iter().chain([super::STALE, super::FAILED]);
        for code in codes {
            let (message, help) = super::meaning(code);
            assert!(!message.is_empty() && !help.is_empty() && message != "the command did not succeed", "{code}");
        }
    }

    #[test]
    fn status_uses_the_documented_codes() {
        assert_eq!([Health::Stale, Health::Failed].map(Health::exit_code), [super::STALE, super::FAILED]);
    }

    #[test]
    fn the_policy_table_uses_the_documented_codes() {
        let codes = Outcome::ALL.map(|outcome| outcome.policy().exit_code);
        assert_eq!(
            codes,
            [
                super::DONE,
                super::BUG,
                super::CONFIGURATION,
                super::SIGN_IN,
                super::QUOTA,
                super::TRANSIENT,
                super::TRANSIENT,
                super::HELD,
                super::PARTIAL,
                super::DAMAGED
            ]
        );
    }
}
