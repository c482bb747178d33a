//! The lease of a run on its reports: taken before the first request, renewed while the run lasts, given back in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ctct_load::{Destination, Held, Lease, LoadError, StopFlag};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::context::Context;
use crate::plan::Plan;
use crate::run_error::RunError;

/// A quarter of the time after which a lease lapses.
const RENEWED_EVERY: Duration = Duration::from_secs(30);
/// Between two looks at a lease that is waited for.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// A lease that is renewed while this lives.
pub(crate) struct Holding {
    lease: Arc<Lease>,
    renewal: JoinHandle<()>,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl Holding {
    fn of(lease: Lease, context: &Context) -> Self {
        let (lease, clock) = (Arc::new(lease), context.clock.clone());
        let renewed = Arc::clone(&lease);
        let renewal = tokio::spawn(async move {
            loop {
                sleep(RENEWED_EVERY).await;
                match renewed.renew(clock.now()).await {
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::warn!("the lease of this run had lapsed; whichever run commits first wins");
                        return;
                    }
                    Err(error) => tracing::warn!(%error, "the lease of this run could not be renewed"),
                }
            }
        });
        Self { lease, renewal }
    }

    /// Gives the lease back. What cannot be given back ends with the process.
    pub(crate) async fn release(self) {
        self.renewal.abort();
        if let Err(error) = self.lease.release().await {
            tracing::warn!(%error, "the lease of this run could not be released; it ends with this process");
        }
    }
}

/// Takes the lease on the plan's reports, as far as nobody else has them, and tells who has the others. A plan that waits gets
/// all of them, or is asked to stop.
///
/// # Errors
/// The store fails.
pub(super) async fn take(
    plan: &Plan,
    context: &Context,
    destination: &Destination,
) -> Result<(Option<Holding>, BTreeMap<String, Held>), LoadError> {
    let reports: Vec<&str> = plan.reports.iter().map(|report| report.report.name.as_str()).collect();
    let by = (context.run_id.as_str(), plan.pipeline.name.as_str());
    let destination = &destination.clone().with_stop(StopFlag::default());
    let mut told = false;
    loop {
        let now = context.clock.now();
        let (lease, held) = Lease::take(destination, &plan.account, by, &reports, plan.waits, now).await?;
        if !plan.waits || held.is_empty() || context.stop.is_cancelled() {
            return Ok((lease.map(|lease| Holding::of(lease, context)), held));
        }
        if let Some(Held { holder, .. }) = held.values().next().filter(|_| !told) {
            let (run, host, pid) = (&holder.run_id, &holder.host, holder.pid);
            tracing::info!(run, host, pid, "waiting for another run to end");
            told = true;
        }
        tokio::select! {
            () = sleep(LOOKS_EVERY) => {}
            () = context.stop.cancelled() => {}
        }
    }
}

/// Takes the lease on these reports for a command that changes what is stored.
///
/// # Errors
/// [`RunError::Held`], or the store fails.
pub(crate) async fn all(
    plan: &Plan,
    context: &Context,
    destination: &Destination,
    reports: &[&str],
) -> Result<Option<Holding>, RunError> {
    let by = (context.run_id.as_str(), plan.pipeline.name.as_str());
    // It is given back after a stop too.
    let destination = &destination.clone().with_stop(StopFlag::default());
    let taken = Lease::take(destination, &plan.account, by, reports, true, context.clock.now()).await;
    let (lease, held) = taken.map_err(|error| RunError::Destination(Box::new(error)))?;
    match held.into_iter().next() {
        Some((report, held)) => Err(RunError::Held { report, held: Box::new(held) }),
        None => Ok(lease.map(|lease| Holding::of(lease, context))),
    }
}

/// All reports of a plan.
pub(crate) async fn of_plan(plan: &Plan, context: &Context, at: &Destination) -> Result<Option<Holding>, RunError> {
    let reports: Vec<&str> = plan.reports.iter().map(|report| report.report.name.as_str()).collect();
    all(plan, context, at, &reports).await
}
