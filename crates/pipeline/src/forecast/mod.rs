//! What a run would request, what that costs, and whether it fits into what is left of the day.
//!
//! [`forecast`] reads what the destination holds and the ledger, and sends nothing unless it is told to count rows.

mod probe;
pub(crate) mod quota_check;
mod requests;
mod stored_state;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use requests::{Basis, Requests};
pub use summary::{
    AtLeastAtMost, Cost, Fits, LastCommit, PlanSummary, PlannedOption, PlannedReport, Price, Scheduled, forecast,
};
