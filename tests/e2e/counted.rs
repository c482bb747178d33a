//! What work costs, counted and not timed: requests and calls of the store of a run that finds nothing new, and the memory that
//! bodies take which mean no good.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;

use ctct_load::Destination;
use ctct_pipeline::{Context, Outcome, RunSummary};
use ctct_testkit::FaultStore;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use tempfile::TempDir;

use crate::harness::{Harness, pipeline_at};
use crate::program::command;
use crate::scripted::{Answer, Scripted};

/// One file a table, and contacts that come by their date of change.
const REPORTS: &str =
    "  - {report: contact_lists, write_mode: merge}\n  - {report: contacts, write_mode: merge, overlap: 1m}\n";

/// Requests, reads and mutations of the third run, after two that left nothing to do.
async fn idle_run(contacts: u64) -> (u64, usize, usize) {
    let harness = Harness::new(contacts).await;
    let plan = harness.plan(&harness.pipeline(REPORTS));
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let run = async |id: &str| -> (RunSummary, Arc<FaultStore>) {
        let store = Arc::new(FaultStore::new(Arc::clone(&inner)));
        let destination = Destination::with_store(Arc::clone(&store) as Arc<dyn ObjectStore>, "memory://");
        let context = Context { destination: Some(destination), ..harness.context(id) };
        let summary = ctct_pipeline::run(&plan, &context).await;
        assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
        (summary, store)
    };
    run("r1").await;
    run("r2").await;
    let (summary, store) = run("r3").await;
    let requests = summary.reports.iter().map(|report| report.api.requests).sum();
    (requests, store.reads(), store.mutations().len())
}

#[tokio::test]
async fn a_run_that_finds_nothing_new_costs_the_same_in_every_account() {
    let small = idle_run(20).await;
    let large = idle_run(1_200).await;
    assert_eq!(small, large, "requests, reads, mutations");
    let (requests, reads, mutations) = large;
    assert!(
        requests <= 3 && reads <= 80 && mutations <= 12,
        "{requests} requests, {reads} reads, {mutations} mutations"
    );
}

/// The most memory in MiB that the program took for a page, by Linux's own count.
async fn peak(body: String) -> u64 {
    let folder = TempDir::new().unwrap();
    let server = Scripted::start([("/contacts", vec![Answer::body(body)])]).await;
    let text = pipeline_at(server.base_url(), "  - report: contacts\n") + "retry: {attempts: 1}\n";
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let mut command = command(folder.path(), &["run", "p.yaml", "--quiet"]);
    let mut child = command.env("TOKEN", "t").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut kibibytes = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        kibibytes = most.unwrap_or(0).max(kibibytes);
        // The server is in this process.
        tokio::task::yield_now().await;
    }
    kibibytes / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_means_no_good_costs_little_more_memory_than_its_bytes() {
    let member =
        |json: String| format!(r#"{{"contacts":[{{"contact_id":"00000000-0000-0000-0000-000000000000",{json}}}]}}"#);
    let many = |what: &str| format!("[{}]", vec![what; 4_000_000].join(","));
    let usual = peak(r#"{"contacts":[]}"#.to_owned()).await;
    for (what, body) in [
        ("records", format!(r#"{{"contacts":{}}}"#, many("0"))),
        ("elements", member(format!(r#""list_memberships":{}"#, many("0")))),
        ("levels", member(format!(r#""x":{}"#, "[".repeat(4_000_000) + &"]".repeat(4_000_000)))),
        ("keys", member((0..500_000).map(|key| format!(r#""k{key}":0"#)).collect::<Vec<_>>().join(","))),
    ] {
        let size = body.len() as u64 >> 20;
        let most = peak(body).await;
        // The body as it comes in and as it is kept, and what a page may hold at most: half a million values.
        assert!(most <= usual + 6 * size + 128, "{what}: {most} MiB for {size} MiB, and {usual} without");
    }
}
