//! 10,000 changed contacts merged into 5,000,000 stored ones, beside a full rewrite and DuckDB doing the same merge.
//!
//! Tables are partitioned by the month of `created_at`. A changed contact has another first name and one row less in each of
//! its lists, so that every table has something to merge. Each measurement begins with the same stored files and is made in a
//! process of its own, whose peak memory Linux counts as `VmHWM`; making and decoding pages does not count as time. DuckDB
//! comes from `benches/peers/requirements.txt` in a virtual environment that the first run makes; what it does is in
//! `benches/peers/duckdb_merge.py`. `CTCT_BENCH_CONTACTS` sets another number of stored contacts.
//!
//! `cargo bench -p ctct-benches --bench merge`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use chrono::{DateTime, Utc};
use ctct_catalog::{Catalog, Report};
use ctct_load::{
    Absent, Brake, Destination, FileOptions, LoadPlan, PartitionBy, Reach, Repeats, ReportState, RunOutcome, Session,
    StoreOptions, Window, WriteMode,
};
use ctct_sandbox::{Account, SandboxConfig};
use ctct_transform::{PageDecoder, PageInput, TableRows};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

const CONTACTS: &str = "CTCT_BENCH_CONTACTS";
const CHANGED: u64 = 10_000;
const PAGE: u64 = 500;
/// Months that the changed contacts were made in.
const FEW: u64 = 6;
/// Each merge is measured so often, and the median shown.
const ROUNDS: usize = 3;
/// Tells a child process what to do: `load`, `few` or `all`.
const MEASURE: &str = "CTCT_BENCH_MEASURE";
/// Where it is to write.
const FOLDER: &str = "CTCT_BENCH_FOLDER";

fn main() {
    if let Ok(measure) = env::var(MEASURE) {
        let folder = env::var(FOLDER).expect("the folder goes with the measurement");
        child(&measure, Path::new(&folder));
        return;
    }
    let python = peer_environment();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stored = folder.path().join("stored");
    let full = measured("load", &stored);
    println!(
        "{} contacts and their child tables, {} files, {} MB",
        contacts(),
        files(&stored),
        bytes(&stored) / 1_000_000
    );
    println!("full rewrite                    {full}");
    for (spread, name) in [("few", format!("in {FEW} months")), ("all", "in all months".to_owned())] {
        println!("{CHANGED} changed contacts {name}:");
        let delta = folder.path().join(format!("delta-{spread}"));
        measured(spread, &delta);
        let ours = median(ROUNDS, || {
            let folder = copy(&stored, &folder.path().join("ours"));
            measured(spread, &folder)
        });
        println!("  merge                         {ours}");
        let peer = median(ROUNDS, || {
            let folder = copy(&stored, &folder.path().join("duckdb"));
            duckdb(&python, &folder, &delta)
        });
        println!("  DuckDB 2.0                    {peer}");
        same(&python, &folder.path().join("ours"), &folder.path().join("duckdb"));
        println!("  merge / full rewrite          {:.3}", ours.seconds / full.seconds);
        println!(
            "  merge / DuckDB                {:.2} of its time, {:.2} of its memory",
            ours.seconds / peer.seconds,
            ours.mebibytes / peer.mebibytes
        );
        println!("  peak memory of the merge      {:.0} MiB  (bound: at most 128 MiB)", ours.mebibytes);
    }
}

/// What one process measured.
#[derive(Debug, Clone, Copy)]
struct Measured {
    seconds: f64,
    mebibytes: f64,
    /// Files that were written.
    files: u64,
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:8.2} s  {:5.0} MiB  {:5} files written", self.seconds, self.mebibytes, self.files)
    }
}

impl Measured {
    /// Reads the line that a process prints.
    fn parse(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let figures: Vec<f64> = text.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let [seconds, mebibytes, files] = figures[..] else { panic!("three figures, not {text}") };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of files")]
        let files = files as u64;
        Self { seconds, mebibytes, files }
    }
}

fn contacts() -> u64 {
    env::var(CONTACTS).map_or(5_000_000, |count| count.parse().expect("a number of contacts"))
}

fn median(rounds: usize, measure: impl FnMut() -> Measured) -> Measured {
    let mut all: Vec<Measured> = std::iter::repeat_with(measure).take(rounds).collect();
    all.sort_by(|left, right| left.seconds.total_cmp(&right.seconds));
    let mebibytes = all.iter().map(|one| one.mebibytes).fold(0.0, f64::max);
    Measured { mebibytes, ..all[rounds / 2] }
}

fn measured(measure: &str, folder: &Path) -> Measured {
    let program = env::current_exe().expect("this program has a path");
    let output = Command::new(program).env(MEASURE, measure).env(FOLDER, folder).output();
    Measured::parse(&output.expect("this program starts"))
}

/// Begins a session, writes pages, commits, and prints what that took.
fn child(measure: &str, folder: &Path) {
    let account = Account::new(&SandboxConfig { contacts: contacts(), ..SandboxConfig::default() });
    let indices: Vec<u64> = match measure {
        "load" => (0..account.contacts()).collect(),
        "few" => months(&account).into_iter().flat_map(|(first, end)| spread(first, end, CHANGED / FEW)).collect(),
        _ => spread(0, account.contacts(), CHANGED),
    };
    // As many threads for files as the program has.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(4).build();
    let runtime = runtime.expect("a runtime");
    let changes = measure != "load";
    let (time, files) = runtime.block_on(session(Arc::new(account), indices, changes, folder));
    println!("{} {} {files}", time.as_secs_f64(), high_water_mark());
}

async fn session(account: Arc<Account>, indices: Vec<u64>, changes: bool, folder: &Path) -> (Duration, u64) {
    fs::create_dir_all(folder).expect("a folder");
    let destination = Destination::open(".", folder, &StoreOptions::default()).expect("a folder");
    let report = Arc::clone(Catalog::embedded().expect("the catalog is sound").get("contacts").expect("it has them"));
    let mut time = Duration::ZERO;
    let start = Instant::now();
    let mut session = Session::begin(&destination, plan(&report)).await.expect("a sound store");
    time += start.elapsed();
    let version = session.version();
    let decoder = Arc::new(PageDecoder::new(report));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let page = usize::try_from(PAGE).expect("a page is small");
    let mut pages = stream::iter(indices.chunks(page))
        .map(|indices| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let (account, decoder, indices) = (Arc::clone(&account), Arc::clone(&decoder), indices.to_vec());
            rayon::spawn(move || drop(sender.send(decoded(&account, &decoder, &indices, changes, version))));
            receiver
        })
        .buffered(cores);
    while let Some(page) = pages.next().await {
        let page = page.expect("a decoded page");
        let start = Instant::now();
        session.write(page).await.expect("the disk takes all");
        time += start.elapsed();
    }
    let start = Instant::now();
    let committed = session.commit(nothing_to_say()).await.expect("the disk takes all");
    time += start.elapsed();
    (time, committed.tables.iter().map(|table| table.files).sum())
}

/// The rows of a page of these contacts.
fn decoded(account: &Account, decoder: &PageDecoder, indices: &[u64], changes: bool, commit: i64) -> Vec<TableRows> {
    let contact = |index: &u64| {
        let mut contact = serde_json::to_value(account.contact(*index)).expect("a contact is plain data");
        if changes {
            shorten(&mut contact);
            contact["first_name"] = json!("Changed");
        }
        contact
    };
    let body = json!({ "contacts": indices.iter().map(contact).collect::<Vec<_>>() }).to_string();
    let extracted_at = DateTime::<Utc>::UNIX_EPOCH;
    let input = PageInput { body: body.as_bytes(), bound: &[], extracted_at, commit };
    decoder.decode(&input).expect("a page of contacts").tables
}

/// Takes the last entry from every list.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(entries) => drop(entries.pop()),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

/// So many of these indices, evenly spread.
fn spread(first: u64, end: u64, count: u64) -> Vec<u64> {
    let count = count.min(end - first);
    (0..count).map(|at| first + at * (end - first) / count).collect()
}

/// The contacts of a few months that are spread like contacts are: first index and end of each. Contacts are in the order of
/// their creation.
fn months(account: &Account) -> Vec<(u64, u64)> {
    let month = |index: u64| account.contact(index).created_at[..7].to_owned();
    let bound = |month_of: &str, goes_on: fn(&str, &str) -> bool| {
        let (mut low, mut high) = (0, account.contacts());
        while low < high {
            let middle = low.midpoint(high);
            if goes_on(&month(middle), month_of) { low = middle + 1 } else { high = middle }
        }
        low
    };
    (0..FEW)
        .map(|at| month((2 * at + 1) * account.contacts() / (2 * FEW)))
        .map(|month| (bound(&month, |this, wanted| this < wanted), bound(&month, |this, wanted| this <= wanted)))
        .collect()
}

fn plan(report: &Arc<Report>) -> LoadPlan {
    LoadPlan {
        pipeline: "bench".to_owned(),
        account: "bench".to_owned(),
        identity: ctct_load::Owner::default(),
        report: Arc::clone(report),
        mode: WriteMode::Merge,
        history: false,
        repeats: Repeats::None,
        rebuild: false,
        forgets_history: false,
        changed: Vec::new(),
        partition_by: vec![PartitionBy::Month("created_at".to_owned())],
        run_id: format!("run-{}", std::process::id()),
        files: FileOptions::default(),
    }
}

fn nothing_to_say() -> RunOutcome {
    RunOutcome {
        supersedes: false,
        state: ReportState::default(),
        window: Window::default(),
        committed_at: DateTime::<Utc>::UNIX_EPOCH,
        absent: Absent::Stay,
        carry_over: false,
        answers: true,
        brake: Brake::Off,
        reach: Reach::default(),
        stats: BTreeMap::new(),
    }
}

/// `VmHWM` of this process in MiB.
fn high_water_mark() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("Linux counts it");
    let kibibytes: f64 = line.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).expect("a number");
    kibibytes / 1024.0
}

/// The Python of the virtual environment with the peers.
fn peer_environment() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = here.join("../target/peers");
    let python = environment.join("bin/python");
    if !succeeds(Command::new(&python).args(["-c", "import duckdb"])) {
        println!("making the peers' environment, once");
        assert!(succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment)), "no virtual environment");
        let requirements = here.join("peers/requirements.txt");
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements);
        assert!(succeeds(&mut install), "the peers cannot be installed");
    }
    python
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn duckdb(python: &Path, stored: &Path, delta: &Path) -> Measured {
    let report = Arc::clone(Catalog::embedded().expect("the catalog is sound").get("contacts").expect("it has them"));
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/duckdb_merge.py")).arg(stored).arg(delta);
    for table in report.tables() {
        let rest = table.key.iter().filter(|name| !report.key.contains(name));
        let keys: Vec<&str> = report.key.iter().chain(rest).map(String::as_str).collect();
        command.arg(format!("{}:{}", table.name, keys.join(",")));
    }
    Measured::parse(&command.output().expect("Python starts"))
}

/// Stops where the two did not come to the same rows.
fn same(python: &Path, ours: &Path, theirs: &Path) {
    let report = Arc::clone(Catalog::embedded().expect("the catalog is sound").get("contacts").expect("it has them"));
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/duckdb_same.py")).arg(ours).arg(theirs);
    let output = command.args(report.tables().iter().map(|table| &table.name)).output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A copy of a folder whose files are links: nobody writes into a file that is there.
fn copy(from: &Path, to: &Path) -> PathBuf {
    fn link(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                link(&entry.path(), &to);
            } else {
                fs::hard_link(entry.path(), to).expect("a link");
            }
        }
    }
    if to.exists() {
        fs::remove_dir_all(to).expect("it is ours");
    }
    link(from, to);
    to.to_owned()
}

/// Paths of all Parquet files below a folder.
fn parquet(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { parquet(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .collect()
}

fn files(folder: &Path) -> usize {
    parquet(folder).len()
}

fn bytes(folder: &Path) -> u64 {
    parquet(folder).iter().map(|path| path.metadata().map_or(0, |it| it.len())).sum()
}
