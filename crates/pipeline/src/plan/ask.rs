//! What a run asks of one report: its window and its queries, from the plan and from what the last commit left. Pure: no
//! clock is read and nothing is sent.

use chrono::{DateTime, TimeDelta, Utc};
use ctct_load::{ReportState, Window, WriteMode};
use sha2::{Digest, Sha256};

use super::{Ids, ReportPlan};
use crate::dates::wire;

/// A row that changes while it is read leaves a window with an upper end, and a cursor that counts rows then skips its
/// neighbour. So an upper end is sent only where it lies this far back, and rows that still change lie outside.
const SETTLED: TimeDelta = TimeDelta::hours(1);
/// A read of everything that could not be proven whole is not tried again sooner.
const TRY_AGAIN: TimeDelta = TimeDelta::hours(24);

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
pub struct Ask {
    /// The span of time that is asked for.
    pub window: Window,
    /// The queries, one after the other. A row may come in more than one.
    pub queries: Vec<Query>,
    /// Whether everything is read to find out what has vanished.
    pub sweep: bool,
    /// What is asked, as a text that is the same for a later run that may go on with the pages of this one: relative dates
    /// of the pipeline stand in it as they are written.
    pub question: String,
}

/// One query: a chain of pages, or one chain for each id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Tells the queries of a report apart: the parameter that the window goes by.
    pub name: String,
    /// Parameters by their names on the wire.
    pub params: Vec<(String, String)>,
}

impl Ask {
    /// A short name for the question, in hex.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.question);
        format!("{:016x}", digest.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)))
    }
}

impl ReportPlan {
    /// What a run asks at `now`, when the last commit left `previous`.
    pub fn ask(&self, previous: Option<&ReportState>, now: DateTime<Utc>) -> Ask {
        let sweep = self.sweep_is_due(previous, now);
        let window = self.window(previous, now, sweep);
        let question = self.question(window, sweep);
        Ask { window, queries: self.queries(window, sweep), sweep, question }
    }

    /// The same for the window that an earlier run had begun with.
    pub fn ask_again(&self, ask: Ask, after: Option<DateTime<Utc>>) -> Ask {
        let window = Window { after, ..ask.window };
        Ask { window, queries: self.queries(window, ask.sweep), ..ask }
    }

    /// The lower end of a window by the parameters of one of its requests.
    pub fn after_of(&self, params: &[(String, String)]) -> Option<DateTime<Utc>> {
        let value = params.iter().find(|(name, _)| self.after_param() == Some(name.as_str()));
        value.and_then(|(_, value)| DateTime::parse_from_rfc3339(value).ok()).map(|after| after.to_utc())
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

    /// Whether the API takes one of the parameters with no other beside it.
    pub(crate) fn has_param_alone(&self) -> bool {
        let alone = |(name, _): &(String, String)| self.report.param(name).is_some_and(|param| param.alone);
        self.params.iter().any(alone)
    }

    /// What rows are chosen by, beside the window: a text that two runs can be compared by.
    pub fn chosen_by(&self) -> String {
        let pairs: Vec<String> = self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }

    /// Whether a run would add rows to tables whose earlier rows were chosen in another way: there would be holes.
    pub(crate) fn chooses_other_rows(&self, previous: &ReportState) -> bool {
        self.is_incremental()
            && self.scope != Scope::Everything
            && previous.watermark.is_some()
            && previous.query != self.chosen_by()
    }

    fn sweep_is_due(&self, previous: Option<&ReportState>, now: DateTime<Utc>) -> bool {
        let (Some(every), Scope::Live, Some(previous)) = (self.delivery.reconcile, self.scope, previous) else {
            return false;
        };
        // Where every run reads everything anyway, every run can tell what has vanished.
        let since = |at: Option<DateTime<Utc>>| at.map_or(TimeDelta::MAX, |at| now - at);
        !self.has_window()
            || since(previous.reconciled_at) >= every && since(previous.reconcile_tried_at) >= every.min(TRY_AGAIN)
    }

    fn window(&self, previous: Option<&ReportState>, now: DateTime<Utc>, sweep: bool) -> Window {
        let before = match self.scope {
            Scope::Between { to, .. } => to.filter(|to| *to <= now - SETTLED),
            Scope::Live | Scope::Everything => None,
        };
        let after = match self.scope {
            Scope::Between { from, .. } => Some(from),
            Scope::Everything => self.since,
            Scope::Live if sweep || !self.is_incremental() => self.since,
            Scope::Live => self.next_after(previous),
        };
        if self.has_window() { Window { after, before } } else { Window::default() }
    }

    /// The watermark less the overlap. A pipeline that now wants an earlier beginning than the tables have gets it.
    fn next_after(&self, previous: Option<&ReportState>) -> Option<DateTime<Utc>> {
        let Some((previous, watermark)) = previous.and_then(|previous| Some((previous, previous.watermark?))) else {
            return self.since;
        };
        let begins_earlier = previous.since.is_some_and(|stored| self.since.is_none_or(|wanted| wanted < stored));
        if begins_earlier { self.since } else { Some(watermark - self.delivery.overlap) }
    }

    /// The parameter that a window's lower end goes by.
    fn after_param(&self) -> Option<&str> {
        let watermark = self.report.watermark.as_ref()?;
        self.report.option(&watermark.option)?.params.first().map(String::as_str)
    }

    fn question(&self, window: Window, sweep: bool) -> String {
        let from = match (self.begins, window.after) {
            (Some(begins), after) if after == self.since => begins.to_string(),
            (_, after) => after.map(wire).unwrap_or_default(),
        };
        let to = window.before.map(wire).unwrap_or_default();
        let ids = match &self.ids {
            Ids::List { ids, .. } => ids.join(","),
            Ids::From { source, .. } => source.report.clone(),
            Ids::None => String::new(),
        };
        let scope = self.scope;
        format!("{} {} [{from} {to}] sweep={sweep} ids={ids} {scope:?}", self.report.name, self.chosen_by())
    }

    fn queries(&self, window: Window, sweep: bool) -> Vec<Query> {
        let bounded = |after: &str, before: &str| {
            let ends = [(after, window.after), (before, window.before)];
            let ends = ends.into_iter().filter_map(|(name, at)| Some((name.to_owned(), wire(at?))));
            let count =
                self.report.count.iter().filter(|_| sweep).map(|count| (count.param.clone(), "true".to_owned()));
            Query { name: after.to_owned(), params: self.params.iter().cloned().chain(ends).chain(count).collect() }
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
