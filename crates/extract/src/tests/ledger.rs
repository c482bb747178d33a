//! The count of a day in a folder: kept over processes, kills, damage, full disks and clocks that are set.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use chrono::TimeDelta;

use super::server::noon;
use crate::http::limiter::Limiter;
use crate::{Clock, ExtractError, Ledger, QuotaLimit, RateLimit};

const PACE: RateLimit = RateLimit { requests_per_second: 1e6, daily_requests: 10, reserve: 0, count_refused: true };

/// A process on a folder whose clock shows some seconds after noon.
struct Process {
    limiter: Limiter,
    seconds: Arc<AtomicI64>,
    folder: PathBuf,
}

impl Process {
    fn new(folder: &Path, pace: RateLimit) -> Self {
        let seconds = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&seconds);
        let clock = Clock::from_fn(move || noon() + TimeDelta::seconds(shown.load(Relaxed)));
        let limiter = Limiter::new(pace, Ledger::in_folder(folder, "the-key"), clock);
        Self { limiter, seconds, folder: folder.to_owned() }
    }

    async fn send(&self, requests: usize) {
        for _ in 0..requests {
            self.limiter.acquire().await.unwrap();
        }
    }

    /// The limit that refuses the next request.
    async fn limit(&self) -> QuotaLimit {
        match self.limiter.acquire().await.unwrap_err() {
            ExtractError::Quota { limit, .. } => limit,
            other => panic!("{other}"),
        }
    }

    async fn spent(&self) -> u64 {
        let now = noon() + TimeDelta::seconds(self.seconds.load(Relaxed));
        Ledger::in_folder(&self.folder, "the-key").today(now).await.unwrap().spent
    }

    fn set_clock(&self, seconds: i64) {
        self.seconds.store(seconds, Relaxed);
    }

    /// The one file of the folder, beside what was set aside.
    fn file(&self) -> PathBuf {
        let files = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|path| path.extension().unwrap() == "ledger").collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

#[tokio::test(start_paused = true)]
async fn processes_share_the_count_of_the_day_and_midnight_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (Process::new(folder.path(), PACE), Process::new(folder.path(), PACE));
    one.send(4).await;
    other.send(6).await;
    assert_eq!(one.limit().await, QuotaLimit::Configured { daily_requests: 10 });
    assert_eq!(one.spent().await, 10);
    one.set_clock(12 * 3600);
    one.send(1).await;
    assert_eq!(one.spent().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reserve_is_left_to_others_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let modest = Process::new(folder.path(), RateLimit { reserve: 3, ..PACE });
    let other = Process::new(folder.path(), PACE);
    modest.send(7).await;
    assert_eq!(modest.limit().await, QuotaLimit::Reserved { daily_requests: 10, reserve: 3 });
    other.send(3).await;
    assert_eq!(modest.limit().await, QuotaLimit::Configured { daily_requests: 10 });
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_known_before_anything_is_sent_and_asking_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let pace = RateLimit { reserve: 3, ..PACE };
    let ledger = Ledger::in_folder(&folder.path().join("not/yet"), "the-key");
    assert_eq!(ledger.today(noon()).await.unwrap().left(&pace), 7);
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    let process = Process::new(folder.path(), pace);
    process.send(5).await;
    let ledger = Ledger::in_folder(folder.path(), "the-key");
    let before = fs::read(process.file()).unwrap();
    assert_eq!(ledger.today(noon()).await.unwrap().left(&pace), 2);
    assert_eq!(ledger.today(noon() + TimeDelta::days(1)).await.unwrap().left(&pace), 7);
    assert_eq!(fs::read(process.file()).unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn quota_exceeded_shuts_the_ledger_for_later_processes_until_the_servers_midnight() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    process.send(1).await;
    let error = process.limiter.shut(noon() + TimeDelta::minutes(3), Some("0a1b\n".repeat(99))).await;
    assert!(error.to_string().contains("0a1b0a1b"), "{error}");
    let later = Process::new(folder.path(), PACE);
    assert_eq!(later.limiter.acquire().await.unwrap_err().to_string(), error.to_string());
    assert_eq!(Ledger::in_folder(folder.path(), "the-key").today(noon()).await.unwrap().left(&PACE), 0);
    later.set_clock(12 * 3600);
    later.send(1).await;
}

#[tokio::test(start_paused = true)]
async fn refused_requests_count_only_where_they_are_said_to() {
    for (count_refused, spent) in [(true, 2), (false, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::new(folder.path(), RateLimit { count_refused, ..PACE });
        process.send(2).await;
        process.limiter.refused().await.unwrap();
        assert_eq!(process.spent().await, spent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_makes_nobody_wait_nor_forgets_the_count() {
    for seconds in [-1, -5, -3600, -13 * 3600] {
        let folder = tempfile::tempdir().unwrap();
        let pace = RateLimit { requests_per_second: 1.0, ..PACE };
        let process = Process::new(folder.path(), pace);
        process.send(1).await;
        process.set_clock(seconds);
        let later = Process::new(folder.path(), pace);
        later.set_clock(seconds);
        assert_eq!(later.limiter.acquire().await.unwrap(), Duration::from_secs(1), "{seconds}");
        assert_eq!(later.spent().await, 2, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_that_is_far_ahead_is_distrusted_but_its_count_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    process.set_clock(30 * 86_400);
    process.send(4).await;
    process.limiter.shut(noon() + TimeDelta::days(30), None).await;
    process.set_clock(0);
    process.send(6).await;
    assert_eq!(process.limit().await, QuotaLimit::Configured { daily_requests: 10 });
    process.set_clock(12 * 3600);
    process.send(1).await;
    assert_eq!(process.spent().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_wrong_for_a_while_costs_no_day_its_count() {
    for wrong in [-13 * 3600, 13 * 3600] {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::new(folder.path(), PACE);
        process.send(4).await;
        process.set_clock(wrong);
        process.send(1).await;
        process.set_clock(0);
        assert!((4..=5).contains(&process.spent().await), "{wrong}");
        process.send(1).await;
        process.set_clock(12 * 3600);
        assert!(process.spent().await <= 1, "what was sent is not tomorrow's");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_shut_opens_when_the_server_does_whatever_the_clock_here_shows() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    // By the server it is three minutes to midnight, by this clock a minute after it.
    process.set_clock(12 * 3600 + 60);
    let error = process.limiter.shut(noon() + TimeDelta::minutes(12 * 60 - 3), None).await;
    process.set_clock(12 * 3600 + 60 + 179);
    assert_eq!(process.limiter.acquire().await.unwrap_err().to_string(), error.to_string());
    process.set_clock(12 * 3600 + 60 + 180);
    process.send(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_frozen_with_the_lock_stops_the_others_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    process.send(1).await;
    let frozen = fs::File::open(process.file()).unwrap();
    frozen.lock().unwrap();
    let start = tokio::time::Instant::now();
    process.send(3).await;
    assert!(start.elapsed() <= Duration::from_secs(6), "{:?}", start.elapsed());
    drop(frozen);
    assert_eq!(process.spent().await, 1);
    process.send(1).await;
    assert_eq!(process.spent().await, 5, "what could not be written is made up for");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_line_leaves_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    process.send(3).await;
    let whole = fs::read(process.file()).unwrap();
    for at in [0, 9, 20, 100, 512, 530, 700] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(process.file(), bytes).unwrap();
        assert!((2..=3).contains(&process.spent().await), "byte {at}");
    }
    let counts = [&whole[..512], &whole[512..]].map(|line| {
        fs::write(process.file(), line).unwrap();
        process.spent()
    });
    for count in counts {
        assert!(count.await >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_keeps_the_count_of_who_knows_it_and_stops_nobody() {
    for damage in [&b""[..], b"\0\0\0\0", &[7; 5000], b"{}"] {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::new(folder.path(), PACE);
        process.send(3).await;
        fs::write(process.file(), damage).unwrap();
        process.send(1).await;
        assert_eq!(process.spent().await, 4);
        fs::write(process.file(), damage).unwrap();
        // This one has just begun: it knows nothing, and is slow at first.
        let new = Process::new(folder.path(), RateLimit { requests_per_second: 10.0, ..PACE });
        assert_eq!(new.limiter.acquire().await.unwrap(), Duration::from_secs(1));
        assert_eq!(new.spent().await, 1);
        assert_eq!(
            fs::read(process.file().with_extension("ledger.damaged")).unwrap(),
            &damage[..damage.len().min(2048)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_keys_file_never_closes_the_day() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    process.send(1).await;
    let other = tempfile::tempdir().unwrap();
    let ledger = Ledger::in_folder(other.path(), "another-key");
    let limiter = Limiter::new(PACE, ledger, Clock::from_fn(noon));
    let spender = Process { limiter, ..Process::new(other.path(), PACE) };
    spender.send(10).await;
    fs::copy(spender.file(), process.file()).unwrap();
    let new = Process::new(folder.path(), PACE);
    new.send(1).await;
    assert_eq!(new.spent().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let process = Process::new(&folder.path().join("file"), PACE);
    let error = process.limiter.acquire().await.unwrap_err();
    assert!(matches!(error, ExtractError::LedgerFile { .. }), "{error}");
    assert!(error.ends_run() && error.to_string().contains("thekey"), "{error}");
}

/// `/dev/full` can be locked, reads as zeros and refuses every write as a full disk does.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_full_disk_stops_nobody_and_the_count_goes_on_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::new(folder.path(), PACE);
    process.send(1).await;
    let file = process.file();
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let full = Process::new(folder.path(), PACE);
    full.send(10).await;
    assert_eq!(full.limit().await, QuotaLimit::Configured { daily_requests: 10 });
}

#[tokio::test(start_paused = true)]
async fn a_ledger_with_a_good_checksum_and_a_slot_far_ahead_makes_nobody_wait() {
    let folder = tempfile::tempdir().unwrap();
    let odd = Process::new(folder.path(), PACE);
    odd.send(3).await;
    odd.limiter.hold(Duration::from_hours(24 * 400)).await.unwrap();
    drop(odd);
    let process = Process::new(folder.path(), PACE);
    let start = tokio::time::Instant::now();
    process.send(2).await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(process.spent().await, 5, "the count of the day stays what it was");
    let damaged = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(damaged, 1, "the file is sound and stays");
}
