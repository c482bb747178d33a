//! A complete `run` against a server that is never the bottleneck, beside dlt doing the same job in the same minute.
//!
//! The server holds its pages in memory and runs in a process of its own. dlt comes from `benches/peers/requirements.txt` in a
//! virtual environment that the first run makes; its configuration is `benches/peers/dlt_contacts.py`.
//!
//! `cargo bench -p ctct-benches --bench whole_run`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use std::{env, fs};

use ctct_sandbox::SandboxConfig;
use ctct_testkit::{StaticServer, contact_pages};

const CONTACTS: u64 = 50_000;
/// Each figure is the median of so many.
const ROUNDS: usize = 5;
/// Set in the process that is the server.
const SERVE: &str = "CTCT_BENCH_SERVE";

fn main() {
    if env::var_os(SERVE).is_some() {
        serve();
        return;
    }
    let mut server = Server::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ours = median((0..ROUNDS).map(|round| run_ours(&server.url, &folder.path().join(format!("ours-{round}")))));
    println!("ctct-etl run  {CONTACTS} contacts and their child tables: {ours:.3} s, {:.0} contacts/s", rate(ours));
    let python = peer_environment();
    let peer = run_dlt(&python, &server.url, &folder.path().join("dlt"));
    println!("dlt 1.31      the same: {peer:.3} s, {:.0} contacts/s", rate(peer));
    println!("ctct-etl / dlt: {:.0} x  (bound: at least 60 x)", peer / ours);
    server.process.kill().expect("the server still runs");
}

fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pages = contact_pages(&SandboxConfig { contacts: CONTACTS, ..SandboxConfig::default() }, 500);
        println!("{}", StaticServer::start(pages).await.base_url());
        std::future::pending::<()>().await;
    });
}

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let program = env::current_exe().expect("this program has a path");
        let mut process = Command::new(program).env(SERVE, "1").stdout(Stdio::piped()).spawn().expect("it starts");
        let mut url = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut url).expect("the server prints its address");
        Self { process, url: url.trim().to_owned() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(seconds: f64) -> f64 {
    CONTACTS as f64 / seconds
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The time of the process, from its start to its exit.
fn run_ours(url: &str, folder: &Path) -> f64 {
    fs::create_dir_all(folder).expect("a folder");
    let file = folder.join("pipeline.yaml");
    let text = format!(
        "version: 1\nname: bench\nsource:\n  account: bench\n  access_token: {{env: TOKEN}}\n  base_url: {url}\n  \
         requests_per_second: 100000\n  daily_requests: 1000000\ndestination:\n  url: {}\nreports:\n  - report: contacts\n",
        folder.join("data").display()
    );
    fs::write(&file, text).expect("the pipeline is written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctct-etl-benched"));
    command.args(["run", "--quiet"]).arg(&file).env("TOKEN", "static");
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "the run failed: {status}");
    seconds
}

/// The Python of the virtual environment with the peer, made if it is not there.
fn peer_environment() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = here.join("../target/peers");
    let python = environment.join("bin/python");
    if !python.exists() {
        println!("making the peer's environment, once");
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let requirements = here.join("peers/requirements.txt");
        succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements));
    }
    python
}

/// What the peer says of the time from its first request to its last file, without Python's start.
fn run_dlt(python: &Path, url: &str, folder: &Path) -> f64 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/dlt_contacts.py");
    let mut command = Command::new(python);
    command.arg(script).arg(url).arg(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("Python starts");
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("stdout is piped");
    stdout.read_to_string(&mut text).expect("the peer prints text");
    let output = child.wait_with_output().expect("the peer ends");
    assert!(output.status.success(), "dlt failed: {}", String::from_utf8_lossy(&output.stderr));
    let seconds = text.split_whitespace().rev().nth(1).and_then(|seconds| seconds.parse().ok());
    assert!(text.contains(&format!("{CONTACTS} contacts")), "dlt read other rows: {text}");
    seconds.expect("the peer prints its seconds")
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("the command starts");
    assert!(status.success(), "{command:?}: {status}");
}
