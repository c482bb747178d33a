//! Properties of what is read from outside, for the fuzz targets in `fuzz/` and for the test that replays their corpus.
//! Compiled for those two alone.

use std::sync::LazyLock;

use chrono::DateTime;
use ctct_catalog::Catalog;

use crate::document::{Environment, Pipeline};
use crate::plan::Plan;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap_or_else(|error| panic!("{error}")));

/// The text of a pipeline. What is refused is told with its place, and what is accepted can be planned. Whether it is
/// accepted.
///
/// # Panics
/// It does not hold.
pub fn pipeline(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let environment: Environment = [("TOKEN", "token")].into_iter().collect();
    match Pipeline::parse(text, "p.yaml", &CATALOG, &environment) {
        Ok(pipeline) => {
            assert!(!pipeline.name.is_empty() && !pipeline.reports.is_empty());
            if let Err(errors) = Plan::new(&pipeline, DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000)) {
                assert!(!errors.errors().is_empty() && !errors.render(true).is_empty());
            }
            true
        }
        Err(errors) => {
            assert!(!errors.errors().is_empty());
            for shown in [errors.to_string(), errors.render(false), errors.render(true)] {
                assert!(!shown.is_empty());
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use ctct_testkit::replay_corpus;

    #[test]
    fn the_corpus_of_every_target_holds() {
        replay_corpus("pipeline", super::pipeline);
    }
}
