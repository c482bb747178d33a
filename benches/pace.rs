//! Slots of the limiter that are used while two reports have work, at 300 ms of latency and 4 requests per second.
//!
//! In real time: some 25 seconds. The sandbox refuses what comes faster, as the API does.
//!
//! `cargo bench -p ctct-benches --bench pace`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::fs;
use std::process::Command;

use ctct_sandbox::{Account, SandboxConfig};
use serde_json::Value;

/// Ids, each with one request or more in both reports.
const IDS: u64 = 50;
const LATENCY: f64 = 0.3;
const PER_SECOND: f64 = 4.0;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("pipeline.yaml");
    let config = SandboxConfig { contacts: 1_000, today: chrono::Utc::now().date_naive(), ..SandboxConfig::default() };
    let account = Account::new(&config);
    let ids: Vec<String> = (0..IDS).map(|index| account.contact_id(index)).collect();
    let ids = ids.join(", ");
    let text = format!(
        "version: 1\nname: bench\nsource:\n  sandbox: {{contacts: 1000, latency_ms: 300}}\ndestination:\n  url: {}\nreports:\n  \
         - report: contact_activity_details\n    contact_id: [{ids}]\n  - report: contact_action_summary\n    \
         contact_id: [{ids}]\n    duration: date_range\n    start_date: {{days_back: 90}}\n    end_date: {{days_back: 0}}\n",
        folder.path().join("data").display()
    );
    fs::write(&file, text).expect("the pipeline is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctct-etl-benched"));
    let output = command.args(["run", "--quiet", "--output", "json"]).arg(&file).output().expect("the program starts");
    assert!(output.status.success(), "the run failed: {}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    let requests = summary["api"]["requests"].as_f64().expect("a number");
    let seconds = summary["seconds"].as_f64().expect("a number");
    // From the first request to the last; the last one's answer takes the latency.
    let slots = (seconds - LATENCY) * PER_SECOND + 1.0;
    println!("{requests} requests in {seconds:.2} s, {} throttled", summary["api"]["throttled"]);
    println!("slots used: {:.1} %  (bound: at least 98 %)", 100.0 * requests / slots);
}
