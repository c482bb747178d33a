//! How many requests it takes to run a report, told before the first is sent. Pure: it goes by what is stored, by what the
//! last commits took, and by what the API counted where it was asked.

use chrono::{DateTime, TimeDelta, Utc};
use ctct_load::Commit;
use serde::Serialize;

use super::stored_state::{IdsToRead, StoredState};
use crate::plan::{Ids, ReportPlan};

/// How many requests it takes to run a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Requests {
    /// It cannot be done with fewer.
    pub least: u64,
    /// It is not expected to take more; absent where nothing is known that tells. Those that have to be retried after a
    /// failure are not counted.
    pub most: Option<u64>,
    /// What `most` goes by.
    pub basis: Basis,
}

/// What is known of the requests of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// There is nothing to estimate: each crawl is one page.
    Certain,
    /// The API counted the rows.
    Counted,
    /// The last commits of the report took so many.
    Commits,
    /// Nothing is known that tells.
    Unknown,
}

impl StoredState {
    /// How many requests it takes to run at `now`. `counted` is how many rows match the first query as the API counts them, or
    /// for a report by id how many rows the report has that its ids come from.
    pub(crate) fn requests(&self, plan: &ReportPlan, counted: Option<u64>, now: DateTime<Utc>) -> Requests {
        match (&plan.ids, self.ids) {
            (Ids::None, _) => self.requests_of_lists(plan, counted, now),
            (_, Some(ids)) => self.requests_by_id(plan, ids, counted),
            (_, None) => {
                let most = counted.filter(|_| plan.report.page_rows().is_none());
                let basis = if most.is_some() { Basis::Counted } else { Basis::Unknown };
                Requests { least: counted.unwrap_or(0), most, basis }
            }
        }
    }

    fn requests_of_lists(&self, plan: &ReportPlan, counted: Option<u64>, now: DateTime<Utc>) -> Requests {
        let end = |query: &str| self.kept.get(query);
        let open = self.request.queries.iter().filter(|query| end(&query.name).is_none_or(|end| end.next.is_some()));
        let open: Vec<&str> = open.map(|query| query.name.as_str()).collect();
        let each_once = open.len() as u64;
        let Some(page_rows) = plan.report.page_rows().map(u64::from) else {
            return Requests { least: each_once, most: Some(each_once), basis: Basis::Certain };
        };
        // Of the first query, where it is not kept to its end.
        let first = self.request.queries.first().map(|query| query.name.as_str());
        let counted = counted.filter(|_| first.is_some_and(|first| open.contains(&first)));
        let counted = counted.map(|rows| {
            let kept = first.and_then(end).map_or(0, |end| u64::from(end.number));
            rows.div_ceil(page_rows.max(1)).saturating_sub(kept).max(1)
        });
        let least = counted.map_or(each_once, |pages| each_once - 1 + pages);
        if each_once == 0 || (counted.is_some() && each_once == 1) {
            let basis = if counted.is_some() { Basis::Counted } else { Basis::Certain };
            return Requests { least, most: Some(least), basis };
        }
        let most = self.pages_expected(plan, now).map(|pages| pages.saturating_sub(self.kept_pages()).max(least));
        let basis = if most.is_some() { Basis::Commits } else { Basis::Unknown };
        Requests { least, most, basis }
    }

    /// Pages of all queries, by what the last commits took that asked alike. A longer span of time takes more in proportion.
    fn pages_expected(&self, plan: &ReportPlan, now: DateTime<Utc>) -> Option<u64> {
        if self.reads_everything(plan) {
            let stored = self.stored_rows.zip(plan.report.page_rows());
            let stored = stored.map(|(rows, page_rows)| rows.div_ceil(u64::from(page_rows).max(1)));
            return self.pages_of_everything().or(stored);
        }
        let span = |after: Option<DateTime<Utc>>, before: DateTime<Utc>| after.map(|after| before - after);
        let wanted = span(self.request.window.after, self.request.window.before.unwrap_or(now));
        let windows = self.complete().filter(|commit| !reads_everything(commit)).filter_map(|commit| {
            let taken = span(commit.window.after, commit.window.before.unwrap_or(commit.committed_at));
            Some(stretched(pages(commit)?, taken?, wanted?))
        });
        windows.max().or_else(|| self.pages_of_everything())
    }

    /// Whether the run reads from the beginning of the tables' history.
    pub(crate) fn reads_everything(&self, plan: &ReportPlan) -> bool {
        self.request.sweep || self.request.window.after == plan.since
    }

    /// Pages of the largest read of everything among the last commits.
    pub(crate) fn pages_of_everything(&self) -> Option<u64> {
        self.complete().filter(|commit| reads_everything(commit)).filter_map(pages).max()
    }

    /// The last commits of runs that read all that they had asked for.
    fn complete(&self) -> impl Iterator<Item = &Commit> {
        self.history.iter().filter(|commit| is_whole(commit))
    }

    fn requests_by_id(&self, plan: &ReportPlan, ids: IdsToRead, counted: Option<u64>) -> Requests {
        let asked = ids.left - ids.kept;
        // What the other report will have, where that is known better than by what is stored.
        let expected = counted.map_or(asked, |rows| asked.max(rows.saturating_sub(ids.all - asked)));
        let least = if ids.may_go && counted.is_none() { 0 } else { expected };
        let one_each = plan.report.page_rows().is_none();
        let in_progress = self.history.iter().take_while(|commit| commit.state.progress.is_some());
        let taken: u64 = in_progress.filter_map(pages).sum();
        let done = ids.all - ids.left;
        let by_commits = if done > 0 && taken > 0 {
            Some(asked.saturating_mul(taken).div_ceil(done))
        } else {
            self.complete().filter_map(pages).max().map(|pages| pages.saturating_sub(self.kept_pages()))
        };
        let (most, basis) = match by_commits {
            _ if one_each => (Some(expected), if counted.is_some() { Basis::Counted } else { Basis::Certain }),
            Some(pages) => (Some(pages.max(expected)), Basis::Commits),
            None => (None, Basis::Unknown),
        };
        Requests { least, most, basis }
    }
}

/// Whether a commit is that of a run that read all that it had asked for. Those of upkeep asked nothing.
fn is_whole(commit: &Commit) -> bool {
    commit.state.progress.is_none() && commit.stats.contains_key("pages")
}

/// Whether it read from the beginning of the tables' history.
fn reads_everything(commit: &Commit) -> bool {
    commit.window.after.is_none() || commit.window.after == commit.state.since
}

/// What its run asked for; an id that the API did not know was one request too.
fn pages(commit: &Commit) -> Option<u64> {
    let stat = |name: &str| commit.stats.get(name).copied();
    Some(stat("pages")? + stat("ids_not_found").unwrap_or_default())
}

/// `pages` of a span of time, for a span that may be longer.
fn stretched(pages: u64, taken: TimeDelta, wanted: TimeDelta) -> u64 {
    let seconds = |span: TimeDelta| u64::try_from(span.num_seconds()).unwrap_or(0).max(1);
    let (taken, wanted) = (seconds(taken), seconds(wanted));
    if wanted <= taken { pages } else { pages.saturating_mul(wanted).div_ceil(taken) }
}

#[cfg(test)]
mod tests;
