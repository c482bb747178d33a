//! A read of everything needs no kept state: where that is damaged, the log is rebuilt from the files first.

use ctct_load::{Destination, LoadError, Rebuild, Rebuilt, ReportLog};

use super::report::ReportRun;
use super::write::ReportWriter;
use crate::context::Context;
use crate::plan::{Plan, ReportPlan, Scope};
use crate::run_error::RunError;

impl ReportRun<'_> {
    /// Before everything is read: what is stored is what was written, or the log is rebuilt without what is not. Says so.
    pub(super) async fn proven(&self) -> Result<Option<String>, RunError> {
        if self.writer.report_plan.scope != Scope::Everything {
            return Ok(None);
        }
        let load = |error| self.writer.load(error);
        let log =
            ReportLog::new(self.writer.destination, &self.writer.plan.account, self.writer.name()).map_err(load)?;
        match log.prove(&self.writer.report_plan.report).await.map_err(load) {
            Ok(()) => Ok(None),
            Err(error) if self.needs_no_state(&error) => self.rebuilt(&error).await.map(Some),
            Err(error) => Err(error),
        }
    }

    /// Whether the run reads everything and only what is stored keeps it from it: what can be proven of that is kept, and the
    /// rest is read again.
    pub(super) fn needs_no_state(&self, error: &RunError) -> bool {
        let RunError::Load { source, .. } = error else { return false };
        let is_damage = matches!(**source, LoadError::Damaged { .. } | LoadError::Lost { .. });
        is_damage && self.writer.report_plan.scope == Scope::Everything
    }

    /// Rebuilds the log from the files, as `state rebuild` does, and says so.
    pub(super) async fn rebuilt(&self, damage: &RunError) -> Result<String, RunError> {
        let ReportWriter { plan, report_plan, context, destination, .. } = self.writer;
        let done = rebuild_log(plan, report_plan, context, destination, false).await;
        let done = done.map_err(|error| self.writer.load(error))?;
        tracing::warn!(report = self.writer.name(), %damage, "stored state is damaged; rebuilding it, then reading everything");
        let aside = match done {
            Rebuilt::Done { moved, .. } | Rebuilt::Sound { moved, .. } => moved.len(),
            Rebuilt::Nothing | Rebuilt::Refused(_) => 0,
        };
        Ok(format!(
            "{damage}; the state was rebuilt from the stored files first, and files that were moved aside: {aside}"
        ))
    }
}

/// Rebuilds the log of one report of a plan from the footers of its files; with `dry_run`, only tells what that comes to.
///
/// # Errors
/// The store fails.
pub(crate) async fn rebuild_log(
    plan: &Plan,
    report_plan: &ReportPlan,
    context: &Context,
    destination: &Destination,
    dry_run: bool,
) -> Result<Rebuilt, LoadError> {
    let rebuild = Rebuild {
        pipeline: &plan.pipeline.name,
        account: &plan.account,
        report: &report_plan.report,
        run_id: &context.run_id,
        at: context.clock.now(),
        dry_run,
    };
    ctct_load::rebuild(destination, &rebuild).await
}
