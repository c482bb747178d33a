//! Real processes on one ledger, killed at any moment: what they sent is counted, once.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use crate::http::limiter::Limiter;
use crate::{Clock, Ledger, RateLimit};

/// Where a process of this test finds the ledger, and the file to which it adds a byte for each request.
const FOLDER: &str = "CTCT_TEST_LEDGER";
const SENT: &str = "CTCT_TEST_SENT";

const PER_SECOND: u32 = 2000;
const PROCESSES: usize = 8;
const KILLS: usize = 40;

/// Dropped, it dies.
struct Process(Child);

impl Process {
    fn start(folder: &Path, number: usize) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "tests::killed::a_process_that_sends_until_it_is_killed", "--ignored"]);
        command.env(FOLDER, folder.join("ledger")).env(SENT, folder.join(format!("sent/{number}")));
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
#[ignore = "started by another test"]
async fn a_process_that_sends_until_it_is_killed() {
    let (Some(folder), Some(sent)) = (env::var_os(FOLDER), env::var_os(SENT)) else { return };
    let mut sent = OpenOptions::new().append(true).create(true).open(sent).unwrap();
    let pace = RateLimit { requests_per_second: PER_SECOND.into(), daily_requests: 1_000_000, ..RateLimit::default() };
    let limiter = Limiter::new(pace, Ledger::in_folder(folder.as_ref(), "key"), Clock::system());
    while limiter.acquire().await.is_ok() {
        sent.write_all(b".").unwrap();
    }
}

#[tokio::test]
async fn eight_processes_that_are_killed_at_random_are_counted_exactly() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sent")).unwrap();
    let sent = || -> u64 {
        let files = fs::read_dir(folder.path().join("sent")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let seed = 7;
    println!("seed {seed}");
    let mut draws = Pcg64Mcg::seed_from_u64(seed);
    let (start, day) = (Instant::now(), Clock::system().now());
    let mut processes: Vec<_> = (0..PROCESSES).map(|number| Process::start(folder.path(), number)).collect();
    for kill in 0..KILLS {
        let enough = sent() + draws.random_range(1..30);
        while sent() < enough {
            assert!(start.elapsed() < Duration::from_mins(2), "nobody gets on after {kill} kills");
            thread::sleep(Duration::from_millis(1));
        }
        processes[draws.random_range(0..PROCESSES)] = Process::start(folder.path(), PROCESSES + kill);
    }
    drop(processes);
    let elapsed = start.elapsed();

    let now = Clock::system().now();
    let counted = Ledger::in_folder(&folder.path().join("ledger"), "key").today(now).await.unwrap().spent;
    let sent = sent();
    // A process may die between the count and its own note of it.
    let lost = (PROCESSES + KILLS) as u64;
    assert!(day.date_naive() != now.date_naive() || (sent..=sent + lost).contains(&counted), "{counted} of {sent}");
    let most = elapsed.as_secs_f64() * f64::from(PER_SECOND);
    assert!(f64::from(u32::try_from(sent).unwrap()) <= most + 10.0, "{sent} in {elapsed:?}");
}
