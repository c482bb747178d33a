//! A sandbox whose time the test moves, a destination, and runs in between.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use ctct_catalog::Catalog;
use ctct_extract::Clock;
use ctct_pipeline::{Context, Environment, Event, Events, Pipeline, Plan, ReportSummary, RunSummary, StateStore};
use ctct_sandbox::{ContactOrder, CursorPosition, Sandbox, SandboxConfig};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::history::Setting;

/// A sandbox, a destination and the time.
pub(crate) struct Harness {
    pub(crate) sandbox: Sandbox,
    /// The host's clock.
    now: DateTime<Utc>,
    /// How far the server's clock is ahead of it.
    ahead: TimeDelta,
    runs: u32,
    catalog: Catalog,
    folder: TempDir,
}

/// A runtime for all cases of a property.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Harness {
    /// An empty account on the first day of March 2026.
    pub(crate) async fn new(setting: &Setting) -> Self {
        // The client's TLS; the second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let harness = Self {
            sandbox: Sandbox::start(config(setting), address).await.unwrap(),
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            ahead: TimeDelta::seconds(setting.ahead),
            runs: 0,
            catalog: Catalog::embedded().unwrap(),
            folder: folder(),
        };
        harness.sandbox.set_time(harness.server_now());
        harness
    }

    /// Time goes by.
    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
        self.sandbox.set_time(self.server_now());
    }

    /// The server's clock.
    pub(crate) fn server_now(&self) -> DateTime<Utc> {
        self.now + self.ahead
    }

    /// Where the destination is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a pipeline of these `reports` (YAML of the list's entries).
    pub(crate) async fn run(&mut self, reports: &str) -> RunSummary {
        self.run_with(reports, Events::none(), CancellationToken::new()).await
    }

    /// The same, asked to stop once so many pages were read.
    pub(crate) async fn run_until(&mut self, reports: &str, pages: u64) -> RunSummary {
        let stop = CancellationToken::new();
        let (seen, stopping) = (Arc::new(AtomicU64::new(0)), stop.clone());
        let events = Events::to(move |event| {
            if let Event::PageRead { .. } = event
                && seen.fetch_add(1, Ordering::Relaxed) + 1 >= pages
            {
                stopping.cancel();
            }
        });
        self.run_with(reports, events, stop).await
    }

    async fn run_with(&mut self, reports: &str, events: Events, stop: CancellationToken) -> RunSummary {
        self.runs += 1;
        let environment: Environment = [("TOKEN", self.sandbox.access_token())].into_iter().collect();
        let text = format!(
            "version: 1\nname: test\nsource:\n  account: acme\n  access_token: {{env: TOKEN}}\n  base_url: {}\n  \
             requests_per_second: 100000\n  daily_requests: 100000000\ndestination:\n  url: .\nreports:\n{reports}",
            self.sandbox.base_url()
        );
        let pipeline = Pipeline::parse(&text, "test.yaml", &self.catalog, &environment)
            .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let plan = Plan::new(&pipeline, self.now).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let context = Context {
            clock: Clock::fixed(self.now),
            run_id: format!("run-{}", self.runs),
            base_dir: self.folder().to_owned(),
            destination: None,
            environment,
            events,
            stop,
            state: StateStore::nowhere(),
            deadline: None,
        };
        let summary = ctct_pipeline::run(&plan, &context).await;
        self.sandbox.wait_no_longer().unwrap();
        self.now = self.sandbox.time() - self.ahead;
        summary
    }
}

/// A folder in memory where the system has one: every commit flushes to the disk, and hundreds of runs would wait for it.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

fn config(setting: &Setting) -> SandboxConfig {
    let mut config =
        SandboxConfig { contacts: 0, lists: 0, tags: 0, custom_fields: 0, campaigns: 0, ..SandboxConfig::default() }
            .unlimited();
    let quirks = &mut config.quirks;
    quirks.cursor = if setting.positional { CursorPosition::Offset } else { CursorPosition::Keyset };
    quirks.contact_order = if setting.shuffled { ContactOrder::Shuffled } else { ContactOrder::CreatedDescending };
    quirks.inclusive_bounds = setting.inclusive;
    quirks.count_on_every_page = setting.count_on_every_page;
    quirks.most_rows = Some(setting.rows);
    let [tags, fields, joining, leaving, deletion] = setting.moves;
    quirks.tag_change_moves_updated_at = tags;
    quirks.custom_field_change_moves_updated_at = fields;
    quirks.list_add_moves_updated_at = joining;
    quirks.list_removal_moves_updated_at = leaving;
    quirks.deletion_moves_updated_at = deletion;
    config
}

/// What a run says of one of its reports.
pub(crate) fn report<'a>(summary: &'a RunSummary, name: &str) -> &'a ReportSummary {
    summary.reports.iter().find(|report| report.report == name).unwrap_or_else(|| panic!("no {name} in {summary:#?}"))
}
