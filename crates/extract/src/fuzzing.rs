//! Properties of what is read from outside, for the fuzz targets in `fuzz/` and for the test that replays their corpus.
//! Compiled for those two alone.

use std::sync::LazyLock;

use ctct_catalog::Catalog;

pub use crate::auth::tokens::fuzzing::token;
use crate::http::bounds::{Bounds, LINK};
use crate::http::envelope::Envelope;
pub use crate::quota::fuzzing::ledger;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap_or_else(|error| panic!("{error}")));

/// An envelope; the first byte chooses the report. What is read keeps the bounds, does not depend on what follows the JSON,
/// and no reason grows with the body. Whether it is read.
///
/// # Panics
/// It does not hold.
pub fn envelope(bytes: &[u8]) -> bool {
    let Some((chosen, body)) = bytes.split_first() else { return false };
    let reports: Vec<_> = CATALOG.reports().collect();
    let report = reports[usize::from(*chosen) % reports.len()];
    let bounds = Bounds::of(report, &[]);
    match Envelope::read(report, bounds, body) {
        Ok(envelope) => {
            assert!(bounds.records().is_none_or(|most| envelope.rows.count <= most));
            assert!(envelope.next.as_ref().is_none_or(|next| !next.is_empty() && next.len() <= LINK));
            assert!(envelope.next.as_ref().is_none_or(|next| !next.contains(char::REPLACEMENT_CHARACTER)));
            assert_eq!(Envelope::read(report, bounds, &[body, b" \n"].concat()), Ok(envelope));
            true
        }
        Err(reason) => {
            assert!(reason.len() < 300, "{reason}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use ctct_testkit::replay_corpus;

    /// Set in the process that replays.
    const REPLAYS: &str = "CTCT_TEST_REPLAYS";

    /// In a process of its own: what a token file of the corpus holds is hidden from every text of the process from then on.
    #[test]
    fn the_corpus_of_every_target_holds() {
        if env::var_os(REPLAYS).is_none() {
            let test = "fuzzing::tests::the_corpus_of_every_target_holds";
            let mut replays = Command::new(env::current_exe().unwrap());
            let output = replays.args(["--exact", test]).env(REPLAYS, "1").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        replay_corpus("envelope", super::envelope);
        replay_corpus("ledger", super::ledger);
        replay_corpus("token", super::token);
    }
}
