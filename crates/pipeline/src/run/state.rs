//! What a read leaves for the next run, and what it may remove.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use ctct_load::{Brake, Commit, Reach, Rejected, ReportState, Session, Window, WriteMode};

use super::census::Census;
use super::ids::CrawledIds;
use super::report::ReportRun;
use super::write::Tally;
use crate::plan::{ReportPlan, RequestPlan, Scope};

impl ReportRun<'_> {
    /// How many stored rows this commit may remove, where a run brought so many `records`.
    pub(super) fn brake(&self, previous: Option<&Commit>, records: u64) -> Brake {
        let plan = self.writer.report_plan;
        // Rows that are named by other columns are not compared with those of this run.
        let Some(previous) = previous.filter(|commit| commit.has_key_of(&plan.report)) else { return Brake::Off };
        match plan.delivery.max_removed {
            _ if self.writer.plan.allow_removal => Brake::Off,
            Some(most) => Brake::Share(most.share()),
            // Rows that were chosen otherwise may all be others, and a response without any tells nothing of either.
            None if records > 0 && plan.chooses_otherwise(&previous.state) => Brake::Off,
            None => Brake::Usual,
        }
    }

    /// Which stored rows this run could have brought.
    pub(super) fn reach(&self, ids: Option<&CrawledIds<'_>>, window: Window) -> Reach {
        let ReportPlan { report, params, .. } = self.writer.report_plan;
        let column = |param: &str| {
            let bound = report.columns.iter().find(|column| column.bound.as_deref() == Some(param));
            bound.map(|column| column.name.clone())
        };
        let named = |pairs: &[(String, String)]| {
            pairs.iter().filter_map(|(name, value)| Some((column(name)?, value.clone()))).collect()
        };
        Reach {
            period: named(&self.writer.report_plan.period()),
            ids: ids.and_then(|ids| Some((column(ids.param)?, Arc::new(ids.ids.iter().cloned().collect())))),
            bound: named(params),
            changed_after: window.after,
        }
    }

    /// What the summary says of records that could not be used and are asked for again.
    pub(super) fn told_of_rejected(&self, rejected: Rejected, records: u64) -> String {
        let shown = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let since =
            rejected.since.map_or_else(|| "from the beginning".to_owned(), |since| format!("since {}", shown(since)));
        match self.writer.report_plan.rejected_until(rejected) {
            Some(until) => {
                format!("unusable records: {records}; until {}, runs request again what changed {since}", shown(until))
            }
            None => format!("unusable records: {records}; the next run requests them again"),
        }
    }

    /// What the next run must know.
    pub(super) fn next_state(
        &self,
        previous: Option<ReportState>,
        request: &RequestPlan,
        tally: &Tally,
        complete: bool,
        now: DateTime<Utc>,
    ) -> ReportState {
        let first = previous.is_none();
        let previous = previous.unwrap_or_default();
        let watermark = |first| self.writer.next_watermark(Some(&previous), first);
        // A backfill is about the past, and what ended early is not done: the next run starts where this one started.
        let rejected = self.next_rejected(&previous, request, tally, now);
        if !complete || matches!(self.writer.report_plan.scope, Scope::Between { .. }) {
            // What was chosen otherwise before is in the tables still, and the run that goes on must know.
            let is_other = !complete && !first && self.writer.report_plan.asks_otherwise(&previous);
            let query = if is_other { previous.query.clone() } else { self.writer.query() };
            return ReportState { query, rejected: rejected.or(previous.rejected), ..previous };
        }
        let reads_all = request.window.after == self.writer.report_plan.since;
        let starts_over = (first || self.writer.report_plan.scope == Scope::Everything)
            && self.writer.report_plan.write_mode == WriteMode::Merge;
        ReportState {
            watermark: tally.first.filter(|_| self.writer.report_plan.has_window()).and_then(watermark),
            since: if first || reads_all { request.window.after } else { previous.since },
            query: self.writer.query(),
            progress: None,
            // After the first read of everything nothing can have been deleted yet.
            reconciled_at: if starts_over { Some(now) } else { previous.reconciled_at },
            reconcile_tried_at: previous.reconcile_tried_at,
            incomplete: if reads_all { 0 } else { previous.incomplete },
            rejected,
        }
    }

    /// The records that could not be used and that the next runs ask for again; `None` where this run brought none.
    pub(super) fn next_rejected(
        &self,
        previous: &ReportState,
        request: &RequestPlan,
        tally: &Tally,
        now: DateTime<Utc>,
    ) -> Option<Rejected> {
        if tally.letters.distinct() == 0 {
            return None;
        }
        let mut since = tally.letters.since(request.window.after);
        let earlier = self.writer.report_plan.rejected(previous, now);
        if let (Some(earlier), Scope::Between { .. }) = (earlier, self.writer.report_plan.scope) {
            since = since.min(earlier.since);
        }
        // Where the first of them was usable this time, the others are younger.
        let still = earlier.filter(|earlier| since <= earlier.since);
        Some(Rejected { since, first_at: still.map_or(now, |earlier| earlier.first_at) })
    }

    /// Whether everything that the API counts was read, so that what did not come was deleted.
    pub(super) fn proves_absence(&self, census: Census, tally: &Tally) -> bool {
        let records = census.records;
        let proven = tally.counted == Some(records) && !tally.recounted && tally.dead_letters == 0;
        if !proven {
            let counted = tally.counted;
            tracing::debug!(
                report = self.writer.name(),
                records,
                counted,
                "the read of everything is not proven complete, so nothing is marked as deleted"
            );
        }
        proven
    }

    /// The commit from which kept pages can make the tables again: all of their rows come from there on, without a gap.
    pub(super) fn replayable_since(&self, session: &Session) -> Option<i64> {
        let Some(previous) = session.previous() else { return Some(session.version()) };
        let alone = match self.writer.report_plan.write_mode {
            WriteMode::Replace => true,
            WriteMode::Merge => self.writer.report_plan.scope == Scope::Everything,
            _ => false,
        };
        if alone { Some(session.version()) } else { previous.raw.as_ref()?.since }
    }
}
