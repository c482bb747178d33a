//! Exit codes, for schedulers. They are part of the tool's contract and never change their meaning.

/// Done; nothing new is done too.
pub const DONE: u8 = 0;
/// A mistake in this program; please report it.
pub const BUG: u8 = 1;
/// Usage or configuration: the command line, the pipeline or the destination needs mending.
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
/// The stored state contradicts itself; do not run again before it is mended.
pub const DAMAGED: u8 = 15;
/// `status`: a report is older than it should be.
pub const STALE: u8 = 20;
/// `status`: the last run of a report failed in a way that a person must mend.
pub const FAILED: u8 = 21;

#[cfg(test)]
mod tests {
    use ctct_pipeline::{Health, Outcome};

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
                super::HELD,
                super::PARTIAL,
                super::DAMAGED
            ]
        );
    }
}
