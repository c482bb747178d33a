//! Peak memory of the process for accounts of two sizes: it must not grow with the account.
//!
//! The API is the sandbox in a process of its own; peak memory is what Linux counts as `VmHWM`.
//!
//! `cargo bench -p ctct-benches --bench memory`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ctct-etl-benched");

fn main() {
    let small = peak(100_000);
    let large = peak(1_000_000);
    println!("1,000,000 / 100,000 contacts: {:.2}  (bound: about 1; and at most 96 MiB)", large / small);
}

/// Peak memory in MiB of an `append` run of so many contacts.
fn peak(contacts: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut sandbox, url, token) = start_sandbox(contacts);
    let file = folder.path().join("pipeline.yaml");
    let text = format!(
        "version: 1\nname: bench\nsource:\n  account: bench\n  access_token: {{env: TOKEN}}\n  base_url: {url}\n  \
         requests_per_second: 100000\n  daily_requests: 1000000\ndestination:\n  url: {}\nreports:\n  - report: contacts\n    \
         write_mode: append\n",
        folder.path().join("data").display()
    );
    fs::write(&file, text).expect("the pipeline is written");
    let start = Instant::now();
    let mut command = Command::new(PROGRAM);
    let mut run = command.args(["run", "--quiet"]).arg(&file).env("TOKEN", token).spawn().expect("it starts");
    let mut mebibytes: f64 = 0.0;
    let status = loop {
        mebibytes = mebibytes.max(high_water_mark(run.id()).unwrap_or(0.0));
        if let Some(status) = run.try_wait().expect("a child can be waited for") {
            break status;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "the run failed: {status}");
    let parquet = size(&folder.path().join("data")) / 1_000_000;
    let seconds = start.elapsed().as_secs_f64();
    println!("{contacts} contacts: peak {mebibytes:.0} MiB, {seconds:.1} s, {parquet} MB of Parquet");
    sandbox.kill().expect("the sandbox still runs");
    mebibytes
}

/// `VmHWM` of a process in MiB.
fn high_water_mark(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// The sandbox as a command, with its address and a token.
fn start_sandbox(contacts: u64) -> (Child, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(["sandbox", "--port", "0", "--requests-per-second", "1000000", "--daily-requests", "1000000"]);
    let mut child =
        command.args(["--contacts", &contacts.to_string()]).stdout(Stdio::piped()).spawn().expect("it starts");
    let (mut url, mut token) = (None, None);
    let stdout = child.stdout.as_mut().expect("stdout is piped");
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("the sandbox prints text");
        url = url.or_else(|| line.strip_prefix("The sandbox serves ").map(str::to_owned));
        token = token.or_else(|| line.split_once("Bearer ")?.1.split('\'').next().map(str::to_owned));
        if url.is_some() && token.is_some() {
            break;
        }
    }
    (child, url.expect("an address"), token.expect("a token"))
}

/// Bytes of all files below a folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("the run made it").map(|entry| entry.expect("an entry"));
    entries
        .map(
            |entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().map_or(0, |it| it.len()) },
        )
        .sum()
}
