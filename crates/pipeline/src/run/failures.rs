//! Ids that fail: each alone, unless so many do that it is the API that fails.

use std::sync::{Mutex, PoisonError};

use crate::run_error::RunError;
use chrono::{DateTime, Utc};
use ctct_load::FailedId;

/// So many failed ids are no outage, whatever their share.
const FEW: usize = 10;

/// Failures in a row after which an id that was read before is asked for once more, to tell bad ids from a bad API.
pub(super) const IN_A_ROW: usize = 11;

/// Whether so many failed ids of so many are the API's failure.
pub(super) fn is_outage(failed: usize, ids: usize) -> bool {
    failed > FEW && failed.saturating_mul(5) > ids
}

/// What failed so far, of one report.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    list: Vec<FailedId>,
    first: Option<First>,
}

/// The first failure, for messages: they name no id.
#[derive(Debug)]
pub(super) struct First {
    /// The place of the id among all, from 1.
    pub(super) ordinal: usize,
    pub(super) error: RunError,
}

impl Failures {
    /// Notes that an id failed, for the first time or again.
    pub(super) fn add(&self, failed: FailedId, ordinal: usize, error: RunError) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.list.push(failed);
        state.first.get_or_insert(First { ordinal, error });
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).list.len()
    }

    pub(super) fn list(&self) -> Vec<FailedId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).list.clone()
    }

    /// The first failure; whoever takes it reports it.
    pub(super) fn take_first(&self) -> Option<First> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first.take()
    }
}

/// What is kept of an id that failed with this error.
pub(super) fn failed_id(
    id: &str,
    period: Vec<(String, String)>,
    error: &RunError,
    before: Option<&FailedId>,
    now: DateTime<Utc>,
) -> FailedId {
    let (status, request_id) = match error {
        RunError::Extract(error) => (error.status(), error.reply().and_then(|reply| reply.request_id.clone())),
        RunError::Transform { request_id, .. } => (Some(200), Some(request_id.clone())),
        _ => (None, None),
    };
    FailedId {
        id: id.to_owned(),
        period,
        status,
        request_id,
        since: before.map_or(now, |before| before.since),
        runs: before.map_or(0, |before| before.runs).saturating_add(1),
    }
}

/// Whether an error concerns the id alone that was asked for: what ends the run does not, but for retries that are used up,
/// since ids that fail again and again use them up in every run.
pub(super) fn is_the_ids(error: &RunError) -> bool {
    matches!(error, RunError::Extract(error) if !error.ends_run() || error.is_out_of_retries())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_ten_and_more_than_a_fifth_are_an_outage() {
        for (failed, ids, outage) in [
            (1, 1, false),
            (10, 10, false),
            (11, 11, true),
            (11, 54, true),
            (11, 55, false),
            (20, 100, false),
            (21, 100, true),
        ] {
            assert_eq!(is_outage(failed, ids), outage, "{failed} of {ids}");
        }
    }
}
