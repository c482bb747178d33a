//! What a run asks of one report: its window and its queries, from the plan and from what the last commit left. Pure: no
//! clock is read and nothing is sent.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_load::{Rejected, ReportState, Window, WriteMode};
use sha2::{Digest, Sha256};

use super::{Ids, ReportPlan};
use crate::document::dates::{is_sane, wire};

/// A row that changes while it is read leaves a window with an upper end, and a cursor that counts rows then skips its
/// neighbour. So an upper end is sent only where it lies this far back, and rows that still change lie outside.
const SETTLED: TimeDelta = TimeDelta::hours(1);
/// A read of everything that could not be proven complete is not tried again sooner.
const TRY_AGAIN: TimeDelta = TimeDelta::hours(24);
/// So long after the first of them came, runs ask again for records that could not be used.
const ASKED_AGAIN_FOR: TimeDelta = TimeDelta::days(7);

/// The API compares instants by the second.
const STEP: TimeDelta = TimeDelta::seconds(1);

/// What a run is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scope {
    /// What changed since the last run.
    #[default]
    Live,
    /// Everything, as if for the first time.
    Everything,
    /// A backfill of what changed in between. The watermark stays where it is.
    Between {
        /// Its lower end.
        from: DateTime<Utc>,
        /// Its upper end; open where absent.
        to: Option<DateTime<Utc>>,
    },
}

/// What a run asks of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPlan {
    /// The span of time that is asked for.
    pub window: Window,
    /// The queries, one after the other. A row may come in more than one.
    pub queries: Vec<Query>,
    /// Whether everything is read to find out what was deleted.
    pub sweep: bool,
    /// What is asked, as a text that is the same for a later run that may continue with the pages of this one: relative dates
    /// of the pipeline are in it as they are written.
    pub text: String,
}

/// One query: a chain of pages, or one chain for each id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Tells the queries of a report apart: the parameter that the window goes by.
    pub name: String,
    /// Parameters by their names on the wire.
    pub params: Vec<(String, String)>,
}

impl RequestPlan {
    /// The same question to a source: pages of another account do not answer it.
    pub(crate) fn of(self, source: &str) -> Self {
        Self { text: format!("{} from {source}", self.text), ..self }
    }

    /// A short name for the question, in hex.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.text)
    }
}

/// A short name for a text, in hex.
pub(super) fn fingerprint(text: &str) -> String {
    let digest = Sha256::digest(text);
    format!("{:016x}", digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)))
}

impl ReportPlan {
    /// What a run asks at `now`, when the last commit left `previous`.
    pub fn request_plan(&self, previous: Option<&ReportState>, now: DateTime<Utc>) -> RequestPlan {
        let sweep = self.sweep_is_due(previous, now);
        let window = self.window(previous, now, sweep);
        let text = self.text(window, sweep);
        RequestPlan { window, queries: self.queries(window, sweep), sweep, text }
    }

    /// The same for the window that an earlier run had begun with.
    pub fn resumed(&self, request: RequestPlan, after: Option<DateTime<Utc>>) -> RequestPlan {
        let window = Window { after, ..request.window };
        RequestPlan { window, queries: self.queries(window, request.sweep), ..request }
    }

    /// The lower end of a window by the parameters of one of its requests.
    pub fn after_of(&self, params: &[(String, String)]) -> Option<DateTime<Utc>> {
        let (name, value) = params.iter().find(|(name, _)| self.after_param() == Some(name.as_str()))?;
        let sent = DateTime::parse_from_rfc3339(value).ok()?.to_utc();
        if self.is_exclusive(name) { sent.checked_add_signed(STEP) } else { Some(sent) }
    }

    /// The parameters of every request as they are sent.
    pub(crate) fn wire_params(&self) -> Vec<(String, String)> {
        let sent = |(name, value): &(String, String)| match DateTime::parse_from_rfc3339(value) {
            Ok(after) if self.is_exclusive(name) => {
                (name.clone(), self.sent(name, self.partition_begin(name, after.to_utc())))
            }
            _ => (name.clone(), value.clone()),
        };
        self.params.iter().map(sent).collect()
    }

    /// An end of a window as it is sent. Where the API leaves out what is of that very instant, one step less.
    pub(crate) fn sent(&self, name: &str, at: DateTime<Utc>) -> String {
        let step = if self.is_exclusive(name) { STEP } else { TimeDelta::zero() };
        wire(at.checked_sub_signed(step).unwrap_or(at))
    }

    fn is_exclusive(&self, name: &str) -> bool {
        self.report.param(name).is_some_and(|param| param.exclusive)
    }

    /// Whether a run starts from the watermark of the last one. The other modes put a run's rows in the place of what is
    /// stored, so each run must read all of it.
    pub fn is_incremental(&self) -> bool {
        self.has_window() && matches!(self.write_mode, WriteMode::Append | WriteMode::Merge)
    }

    /// Whether the report can be asked for a span of time. Beside a filter that the API takes alone it cannot.
    pub fn has_window(&self) -> bool {
        self.report.watermark.is_some() && !self.has_param_alone()
    }

    /// Whether the API is asked how many rows there are: where all is read that the filters leave, in one chain of pages.
    pub(crate) fn is_counted(&self, window: Window) -> bool {
        let asked = self.report.count.is_some() && self.delivery.check_count;
        asked && window == Window::default() && !self.has_param_alone()
    }

    /// Whether that count may be one of other rows than those that are asked for: nothing shows that it goes by the filters.
    pub(crate) fn has_filter(&self) -> bool {
        let filters = |(name, value): &(String, String)| {
            self.report.param(name).is_some_and(|param| param.alone || !param.filters.is_empty()) && value != "all"
        };
        self.params.iter().any(filters)
    }

    /// The records that could not be used and that runs still ask for again. What every run reads again is never given up.
    pub(crate) fn rejected(&self, previous: &ReportState, now: DateTime<Utc>) -> Option<Rejected> {
        let still = |rejected: &Rejected| now.signed_duration_since(rejected.first_at) <= ASKED_AGAIN_FOR;
        previous.rejected.filter(|rejected| !self.is_incremental() || still(rejected))
    }

    /// Until when they are asked for.
    pub(crate) fn rejected_until(&self, rejected: Rejected) -> Option<DateTime<Utc>> {
        rejected.first_at.checked_add_signed(ASKED_AGAIN_FOR).filter(|_| self.is_incremental())
    }

    /// Whether the API takes one of the parameters with no other beside it.
    pub(crate) fn has_param_alone(&self) -> bool {
        let alone = |(name, _): &(String, String)| self.report.param(name).is_some_and(|param| param.alone);
        self.params.iter().any(alone)
    }

    fn sweep_is_due(&self, previous: Option<&ReportState>, now: DateTime<Utc>) -> bool {
        let (Some(every), Scope::Live, Some(previous)) = (self.delivery.reconcile, self.scope, previous) else {
            return false;
        };
        // Where every run reads everything anyway, every run can tell what was deleted.
        // What lies ahead, a clock that was wrong has set.
        let since = |at: Option<DateTime<Utc>>| at.filter(|at| *at <= now).map_or(TimeDelta::MAX, |at| now - at);
        !self.has_window()
            || since(previous.reconciled_at) >= every && since(previous.reconcile_tried_at) >= every.min(TRY_AGAIN)
    }

    fn window(&self, previous: Option<&ReportState>, now: DateTime<Utc>, sweep: bool) -> Window {
        let before = match self.scope {
            Scope::Between { to, .. } => to.filter(|to| now.signed_duration_since(*to) >= SETTLED),
            Scope::Live | Scope::Everything => None,
        };
        let after = match self.scope {
            Scope::Between { from, .. } => Some(from),
            Scope::Everything => self.since,
            Scope::Live if sweep || !self.is_incremental() => self.since,
            // The last read of everything was not complete, and no later window has what it lacks.
            Scope::Live if previous.is_some_and(|previous| previous.incomplete > 0) => self.since,
            Scope::Live => self.next_after(previous, now),
        };
        if self.has_window() { Window { after, before } } else { Window::default() }
    }

    /// The watermark less the overlap, or from before the first record that could not be used. A pipeline that now wants an
    /// earlier beginning than the tables have gets it.
    fn next_after(&self, previous: Option<&ReportState>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let stored = previous.and_then(|previous| Some((previous, previous.watermark.filter(is_sane)?)));
        let Some((previous, watermark)) = stored else { return self.since };
        let begins_earlier = previous.since.is_some_and(|stored| self.since.is_none_or(|wanted| wanted < stored));
        let usual = if begins_earlier || self.must_see_who_left(previous) {
            self.since
        } else {
            watermark.checked_sub_signed(self.delivery.overlap)
        };
        match self.rejected(previous, now) {
            None => usual,
            Some(Rejected { since: None, .. }) => self.since,
            // "After" is exclusive.
            Some(Rejected { since: Some(since), .. }) => usual
                .map(|usual| since.checked_sub_signed(TimeDelta::seconds(1)).map_or(usual, |since| usual.min(since))),
        }
    }

    /// The parameter that a window's lower end goes by.
    fn after_param(&self) -> Option<&str> {
        let watermark = self.report.watermark.as_ref()?;
        self.report.option(&watermark.option)?.params.first().map(String::as_str)
    }

    fn text(&self, window: Window, sweep: bool) -> String {
        let from = match (self.begins, window.after) {
            (Some(begins), after) if after == self.since => begins.to_string(),
            (_, after) => after.map(wire).unwrap_or_default(),
        };
        let to = window.before.map(wire).unwrap_or_default();
        let ids = match &self.ids {
            Ids::List { ids, .. } => {
                ids.iter().map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
            }
            Ids::From { source, .. } => source.report.clone(),
            Ids::None => String::new(),
        };
        let scope = self.scope;
        let (name, asked, source) = (&self.report.name, self.as_written(), &self.source);
        format!("{name} {asked} [{from} {to}] sweep={sweep} ids={ids} {scope:?} of {source}")
    }

    fn queries(&self, window: Window, sweep: bool) -> Vec<Query> {
        let bounded = |after: &str, before: &str| {
            let ends = [(after, window.after), (before, window.before)];
            let ends = ends.into_iter().filter_map(|(name, at)| Some((name.to_owned(), self.sent(name, at?))));
            let counts = sweep || self.is_counted(window);
            let count = self.report.count.iter().filter(|_| counts);
            let count = count.map(|count| (count.param.clone(), "true".to_owned()));
            Query { name: after.to_owned(), params: self.wire_params().into_iter().chain(ends).chain(count).collect() }
        };
        let Some(watermark) = self.report.watermark.as_ref().filter(|_| self.has_window()) else {
            let name = match &self.ids {
                Ids::None => "all",
                Ids::List { param, .. } | Ids::From { param, .. } => param,
            };
            return vec![bounded(name, "")];
        };
        let after = self.after_param().unwrap_or_default();
        let also = watermark.also.iter().filter(|_| window.after.is_some() || window.before.is_some());
        let also = also.map(|also| bounded(&also.after, &also.before));
        std::iter::once(bounded(after, &watermark.before)).chain(also).collect()
    }
}

#[cfg(test)]
mod tests;
