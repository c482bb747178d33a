//! What the next run of a report starts from, as the destination has it: the last commits, pages that are kept, ids that
//! are left. Reads only, so that looking at a plan changes nothing.

use std::collections::BTreeMap;

use crate::plan::fingerprint::crawl_of;
use crate::plan::request_plan::RequestPlan;
use crate::plan::{Ids, Plan, ReportPlan, Scope};
use chrono::{DateTime, Utc};
use ctct_load::{Commit, CrawlEnd, Destination, IdsLeft, LoadError, ReportLog, WriteMode, distinct_ids, survey};

/// Commits that are looked at, to tell how much the next run may take.
const HISTORY: usize = 20;

/// What the next run of a report starts from.
#[derive(Debug, Clone)]
pub(crate) struct StoredState {
    /// The last commits, the newest first.
    pub(crate) history: Vec<Commit>,
    /// What the run asks.
    pub(crate) request: RequestPlan,
    /// How far the crawls go that an earlier run had begun, by their names.
    pub(crate) kept: BTreeMap<String, CrawlEnd>,
    /// The ids that are to be read one by one; `None` for a list, and where the destination holds none yet.
    pub(crate) ids: Option<IdsToRead>,
    /// Rows that the report's own table holds, where they were counted.
    pub(crate) stored_rows: Option<u64>,
}

/// Ids that are read one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdsToRead {
    /// All of them.
    pub(crate) all: u64,
    /// Those that are not done by an earlier commit's progress.
    pub(crate) left: u64,
    /// Those among these of which every page is kept.
    pub(crate) kept: u64,
    /// Whether some may be gone by the time that they are asked for, since the report that they come from runs before.
    pub(crate) may_go: bool,
}

impl StoredState {
    /// Where nothing is stored, or nothing can be known.
    pub(crate) fn nothing(report: &ReportPlan, now: DateTime<Utc>) -> Self {
        let ids = match &report.ids {
            Ids::List { ids, .. } => Some(IdsToRead::new(distinct(ids.clone()), |_| false, |_| false)),
            Ids::None | Ids::From { .. } => None,
        };
        Self {
            history: Vec::new(),
            request: report.request_plan(None, now),
            kept: BTreeMap::new(),
            ids,
            stored_rows: None,
        }
    }

    /// What the destination has of a report of the plan.
    ///
    /// # Errors
    /// The store fails, or what it holds is damaged.
    pub(crate) async fn read(
        plan: &Plan,
        report: &ReportPlan,
        destination: &Destination,
        source: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, LoadError> {
        let log = ReportLog::new(destination, &plan.account, &report.report.name)?;
        let history = log.history(HISTORY).await?;
        let head = history.first();
        if let Some(head) = head.filter(|_| report.scope != Scope::Everything) {
            log.refuse_ahead(head, now)?;
        }
        let request = report.request_plan(head.map(|commit| &commit.state), now).of(source);
        let base = head.map_or(0, Commit::pages_base);
        let mut pages = log.kept_pages(base, &request.fingerprint(), report.delivery.keep_raw).await?;
        let first = pages.next().await?;
        let request = match first.as_ref().and_then(|pages| pages.first()) {
            Some(page) => report.resumed(request, report.after_of(&page.params)),
            None => request,
        };
        while pages.next().await?.is_some() {}
        let kept = pages.ends().clone();
        let ids = match &report.ids {
            Ids::None => None,
            Ids::List { ids, .. } => Some(distinct(ids.clone())),
            Ids::From { source, .. } => distinct_ids(destination, &plan.account, &source.report, &source.column)
                .await?
                .map(|ids| ids.iter().flatten().map(str::to_owned).collect()),
        };
        let progress = head.and_then(|commit| report.progress(&commit.state));
        let left = match head.filter(|_| ids.is_some()) {
            Some(head) => log.ids_left(head).await?,
            None => IdsLeft::default(),
        };
        let now_days = report.period();
        // Of days that an earlier run had begun, what is left is requested before all of those of now.
        let is_of_now = progress.is_some_and(|progress| progress.period.is_empty() || progress.period == now_days);
        let is_done = |id: &str| match &left.done {
            Some(done) => progress.is_some() && done.contains(id),
            None => progress.is_some_and(|progress| progress.covers(id)),
        };
        let is_kept = |id: &str| kept.get(&crawl_of(id, &now_days)).is_some_and(|end| end.next.is_none());
        let ids = ids.map(|ids| IdsToRead { may_go: plan.ids_may_go(report), ..IdsToRead::new(ids, is_done, is_kept) });
        let ids = ids.map(|ids| if is_of_now || progress.is_none() { ids } else { ids.and_days_of_now() });
        Ok(Self { history, request, kept, ids, stored_rows: None })
    }

    /// Counts the stored rows, where the run reads everything and none of the last commits did, so that nothing else tells
    /// how much that is.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn count_stored(
        self,
        plan: &Plan,
        report: &ReportPlan,
        destination: &Destination,
    ) -> Result<Self, LoadError> {
        if self.history.is_empty() || !self.reads_everything(report) || self.pages_of_everything().is_some() {
            return Ok(self);
        }
        let survey = survey(destination, &plan.account, &report.report, HISTORY).await?;
        Ok(Self { stored_rows: survey.tables.first().map(|table| table.rows), ..self })
    }

    /// Pages that an earlier run had kept and that need not be asked for again.
    pub(crate) fn kept_pages(&self) -> u64 {
        self.kept.values().map(|end| u64::from(end.number)).sum()
    }
}

impl IdsToRead {
    /// The same where what is left is of earlier days: all of those of now come after it.
    fn and_days_of_now(self) -> Self {
        Self { all: self.all * 2, left: self.left + self.all, ..self }
    }

    fn new(ids: Vec<String>, is_done: impl Fn(&str) -> bool, is_kept: impl Fn(&str) -> bool) -> Self {
        let all = ids.len() as u64;
        let left: Vec<String> = ids.into_iter().filter(|id| !is_done(id)).collect();
        let kept = left.iter().filter(|id| is_kept(id)).count() as u64;
        Self { all, left: left.len() as u64, kept, may_go: false }
    }
}

impl Plan {
    /// Whether ids that a report finds stored now may be gone once it runs: the report that they come from runs before it
    /// and puts other rows in their place.
    fn ids_may_go(&self, report: &ReportPlan) -> bool {
        let source = self.depends_on(report);
        let source = self.reports.iter().find(|other| Some(other.report.name.as_str()) == source);
        source.is_some_and(|source| match source.write_mode {
            WriteMode::Append => false,
            WriteMode::Merge => source.scope == Scope::Everything,
            _ => true,
        })
    }
}

/// Each id once.
fn distinct(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;

    use super::*;
    use crate::document::{Environment, Pipeline};

    #[test]
    fn ids_may_go_where_the_report_that_has_them_is_written_anew_before() {
        let may_go = |contacts: &str, scope: Scope| {
            let reports =
                format!("{contacts}  - {{report: contact_activity_details, contact_id: {{from: contacts}}}}\n");
            let text =
                format!("version: 1\nname: a\nsource: {{account: a}}\ndestination: {{url: ./a}}\nreports:\n{reports}");
            let catalog = Catalog::embedded().unwrap();
            let pipeline = Pipeline::parse(&text, "a.yaml", &catalog, &Environment::default()).unwrap();
            let plan = Plan::new(&pipeline, DateTime::UNIX_EPOCH).unwrap().with_scope(scope).unwrap();
            plan.ids_may_go(plan.reports.last().unwrap())
        };
        let contacts = |mode: &str| format!("  - {{report: contacts, write_mode: {mode}}}\n");
        assert!(!may_go("", Scope::Live), "nothing of the plan touches them");
        assert!(!may_go(&contacts("append"), Scope::Everything));
        assert!(!may_go(&contacts("merge"), Scope::Live), "deleted rows are marked and stay");
        assert!(may_go(&contacts("merge"), Scope::Everything));
        assert!(may_go(&contacts("replace"), Scope::Live));
    }
}
