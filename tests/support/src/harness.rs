//! Runs pipelines in this process, against a sandbox and into a folder that belong to the test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use ctct_catalog::Catalog;
use ctct_extract::{Clock, Url};
use ctct_pipeline::{Context, Environment, Events, Pipeline, Plan, ReportSummary, RunSummary, StateStore};
use ctct_sandbox::{Sandbox, SandboxConfig};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::tables::{self, Row};

/// The day on which all tests run.
pub fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
}

/// A moment of that day.
pub fn now() -> DateTime<Utc> {
    Utc.from_utc_datetime(&today().and_hms_opt(12, 0, 0).unwrap())
}

/// A sandbox, a destination and everything to run pipelines with.
#[derive(Debug)]
pub struct Harness {
    /// The API.
    pub sandbox: Sandbox,
    /// The reports.
    pub catalog: Catalog,
    /// Stops a run.
    pub stop: CancellationToken,
    folder: TempDir,
}

impl Harness {
    /// A sandbox of so many contacts without limits.
    pub async fn new(contacts: u64) -> Self {
        Self::with(sandbox_of(contacts)).await
    }

    /// The same with a sandbox as `config` says.
    pub async fn with(config: SandboxConfig) -> Self {
        // The client's TLS; the second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            sandbox: start(config).await,
            catalog: Catalog::embedded().unwrap(),
            stop: CancellationToken::new(),
            folder: TempDir::new().unwrap(),
        }
    }

    /// Puts another sandbox in the place of this one; the destination stays.
    pub async fn serve(&mut self, config: SandboxConfig) {
        self.sandbox = start(config).await;
    }

    /// Puts another sandbox in the place of this one, at the same address: the same server, later on.
    pub async fn serve_later(&mut self, config: SandboxConfig) {
        let url = Url::parse(&self.sandbox.base_url()).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, url.port().unwrap()));
        let spare = start(sandbox_of(0)).await;
        std::mem::replace(&mut self.sandbox, spare).stop().await;
        self.sandbox = Sandbox::start(config, address).await.unwrap();
    }

    /// Where the destination is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a pipeline of these `reports` (YAML of the list's entries).
    pub async fn run(&self, reports: &str) -> RunSummary {
        self.run_text(&self.pipeline(reports)).await
    }

    /// Runs a pipeline of these reports against another server than the sandbox.
    pub async fn run_at(&self, base_url: &str, reports: &str) -> RunSummary {
        self.run_text(&pipeline_at(base_url, reports)).await
    }

    /// The text of a pipeline of these reports.
    pub fn pipeline(&self, reports: &str) -> String {
        pipeline_at(&self.sandbox.base_url(), reports)
    }

    /// Runs a pipeline.
    pub async fn run_text(&self, text: &str) -> RunSummary {
        ctct_pipeline::run(&self.plan(text), &self.context("run")).await
    }

    /// The plan of a pipeline without errors.
    pub fn plan(&self, text: &str) -> Plan {
        let pipeline = Pipeline::parse(text, "test.yaml", &self.catalog, &self.environment())
            .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        Plan::new(&pipeline, now()).unwrap_or_else(|errors| panic!("{}", errors.render(false)))
    }

    /// What a run needs beside its plan.
    pub fn context(&self, run_id: &str) -> Context {
        Context {
            clock: Clock::fixed(now()),
            run_id: run_id.to_owned(),
            base_dir: self.folder().to_owned(),
            environment: self.environment(),
            events: Events::none(),
            stop: self.stop.clone(),
            state: StateStore::nowhere(),
            deadline: None,
            destination: None,
        }
    }

    fn environment(&self) -> Environment {
        [("TOKEN", self.sandbox.access_token())].into_iter().collect()
    }

    /// All rows of a table, in no order.
    pub fn rows(&self, table: &str) -> Vec<Row> {
        tables::rows(&self.folder().join(table))
    }
}

/// A sandbox of so many contacts without limits, as of [`today`].
pub fn sandbox_of(contacts: u64) -> SandboxConfig {
    SandboxConfig { contacts, today: today(), clock: now, ..SandboxConfig::default() }.unlimited()
}

/// A running sandbox on a free port.
pub async fn start(config: SandboxConfig) -> Sandbox {
    Sandbox::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
}

/// The text of a pipeline of these reports (YAML of the list's entries) for a server.
pub fn pipeline_at(base_url: &str, reports: &str) -> String {
    format!(
        "version: 1\nname: test\nsource:\n  account: acme\n  access_token: {{env: TOKEN}}\n  base_url: {base_url}\n  \
         requests_per_second: 100000\n  daily_requests: 100000000\ndestination:\n  url: .\nreports:\n{reports}"
    )
}

/// What a run says of one of its reports.
pub fn report<'a>(summary: &'a RunSummary, name: &str) -> &'a ReportSummary {
    summary.reports.iter().find(|report| report.report == name).unwrap_or_else(|| panic!("no {name} in {summary:#?}"))
}

/// The message of an error that must be there.
pub fn message(report: &ReportSummary) -> &str {
    report.error.as_ref().map_or_else(|| panic!("no error in {report:#?}"), |error| error.message.as_str())
}
