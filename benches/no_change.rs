//! A run of a pipeline that finds no change, beside the run that read everything: requests, and milliseconds.
//!
//! Both are complete runs of the pipeline in this process, against a sandbox without latency and limits that is in this process
//! too; the plan is made again for each, as the program does. Tables are merged, contacts partitioned by month.
//!
//! `cargo bench -p ctct-benches --bench no_change`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use ctct_catalog::Catalog;
use ctct_extract::Clock;
use ctct_pipeline::{Context, Environment, Events, Outcome, Pipeline, Plan, RunSummary, StateStore};
use ctct_sandbox::{Sandbox, SandboxConfig};
use tokio_util::sync::CancellationToken;

const CONTACTS: u64 = 100_000;
/// The median of so many is shown.
const ROUNDS: usize = 15;

const CONTACTS_ONLY: &str = "  - {report: contacts, write_mode: merge, partition_by: [{month: created_at}]}\n";
const MORE: &str = "  - {report: contact_lists, write_mode: merge}\n  - {report: email_campaigns, write_mode: merge}\n";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(compare("contacts", CONTACTS_ONLY));
    runtime.block_on(compare("contacts, contact_lists and email_campaigns", &format!("{CONTACTS_ONLY}{MORE}")));
}

async fn compare(name: &str, reports: &str) {
    // The client's TLS; the second time finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    let config =
        SandboxConfig { contacts: CONTACTS, today: now().date_naive(), clock: now, ..SandboxConfig::default() };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sandbox = Sandbox::start(config.unlimited(), address).await.expect("a sandbox");
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("{name}, {CONTACTS} contacts:");
    let full = run(&sandbox, folder.path(), reports).await;
    println!("  full read      {:9.1} ms  {} requests  {} rows", full.1, full.0.api.requests, full.0.rows());
    let mut times = Vec::new();
    let mut requests = 0;
    for _ in 0..ROUNDS {
        let (summary, milliseconds) = run(&sandbox, folder.path(), reports).await;
        times.push(milliseconds);
        requests = summary.api.requests;
    }
    times.sort_by(f64::total_cmp);
    let median = times[ROUNDS / 2];
    println!("  no change      {median:9.1} ms  {requests} requests  (bound: below 50 ms)");
    println!("    fastest {:.1} ms, slowest {:.1} ms", times[0], times[ROUNDS - 1]);
    println!("  no change / full read: {:.4}", median / full.1);
    sandbox.stop().await;
}

/// A complete run, and its milliseconds.
async fn run(sandbox: &Sandbox, folder: &Path, reports: &str) -> (RunSummary, f64) {
    let text = format!(
        "version: 1\nname: bench\nsource:\n  account: bench\n  access_token: {{env: TOKEN}}\n  base_url: {}\n  \
         requests_per_second: 100000\n  daily_requests: 100000000\ndestination:\n  url: .\nreports:\n{reports}",
        sandbox.base_url()
    );
    let token = sandbox.access_token();
    let start = Instant::now();
    let catalog = Catalog::embedded().expect("the catalog is sound");
    let environment: Environment = [("TOKEN", token)].into_iter().collect();
    let pipeline = Pipeline::parse(&text, "bench.yaml", &catalog, &environment);
    let pipeline = pipeline.unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let plan = Plan::new(&pipeline, now()).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let context = Context {
        clock: Clock::fixed(now()),
        run_id: "bench".to_owned(),
        base_dir: folder.to_owned(),
        environment,
        events: Events::none(),
        stop: CancellationToken::new(),
        state: StateStore::nowhere(),
        deadline: None,
        destination: None,
    };
    let summary = ctct_pipeline::run(&plan, &context).await;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    (summary, milliseconds)
}

/// The moment of all runs.
fn now() -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap_or_default().and_time(NaiveTime::MIN).and_utc()
}
