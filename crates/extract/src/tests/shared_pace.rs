//! Several processes on one API key, each a ledger handle of its own: together they keep the pace and use it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::server::noon;
use crate::http::limiter::Limiter;
use crate::{Clock, Ledger, RateLimit};

const SPACING: Duration = Duration::from_millis(250);
const LATENCY: Duration = Duration::from_millis(300);
const MINUTE: Duration = Duration::from_mins(1);

/// A clock that goes with tokio's, `ahead` of noon by some milliseconds.
fn clock(ahead: i64) -> Clock {
    let start = Instant::now();
    Clock::from_fn(move || noon() + chrono::TimeDelta::milliseconds(ahead) + start.elapsed())
}

fn limiter(ledger: Ledger) -> Arc<Limiter> {
    Arc::new(Limiter::new(RateLimit::default(), ledger, clock(0)))
}

fn in_folder(folder: &Path) -> Arc<Limiter> {
    limiter(Ledger::in_folder(folder, "key"))
}

/// A host on a store whose every answer takes a tenth of a second.
fn on_store(store: &Arc<InMemory>, owner: &str, ahead: i64) -> Arc<Limiter> {
    let wait = Duration::from_millis(100);
    let config = ThrottleConfig {
        wait_put_per_call: wait,
        wait_get_per_call: wait,
        wait_list_per_call: wait,
        ..ThrottleConfig::default()
    };
    let store = Arc::new(ThrottledStore::new(Arc::clone(store), config));
    let ledger = Ledger::in_store(store, "state/quota".into(), "key", owner);
    Arc::new(Limiter::new(RateLimit::default(), ledger, clock(ahead)))
}

/// Streams that send one request after another for a while, `streams` to a limiter. Gives who sent when.
async fn run(limiters: &[Arc<Limiter>], streams: usize, time: Duration) -> Vec<(Duration, usize)> {
    let start = Instant::now();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut streams_at_work = JoinSet::new();
    for (who, limiter) in limiters.iter().enumerate() {
        for _ in 0..streams {
            let (limiter, sent) = (Arc::clone(limiter), Arc::clone(&sent));
            streams_at_work.spawn(async move {
                loop {
                    limiter.acquire().await.unwrap();
                    sent.lock().unwrap().push((start.elapsed(), who));
                    sleep(LATENCY).await;
                }
            });
        }
    }
    sleep(time).await;
    streams_at_work.shutdown().await;
    std::mem::take(&mut *sent.lock().unwrap())
}

/// Requests that a token bucket refuses which fills as the API's does and holds `burst`.
fn throttled(sent: &[(Duration, usize)], burst: f64) -> usize {
    let (mut left, mut filled, mut refused) = (burst, Duration::ZERO, 0);
    for (at, _) in sent {
        left = f64::min(left + at.saturating_sub(filled).as_secs_f64() / SPACING.as_secs_f64(), burst);
        filled = *at;
        if left < 1.0 {
            refused += 1;
        } else {
            left -= 1.0;
        }
    }
    refused
}

/// How often each sent.
fn shares(sent: &[(Duration, usize)], of: usize) -> Vec<usize> {
    (0..of).map(|who| sent.iter().filter(|(_, sender)| *sender == who).count()).collect()
}

#[tokio::test(start_paused = true)]
async fn eight_processes_on_a_folder_keep_the_pace_and_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let limiters: Vec<_> = (0..8).map(|_| in_folder(folder.path())).collect();
    let sent = run(&limiters, 2, MINUTE).await;
    // 240 slots and the first.
    assert!((228..=241).contains(&sent.len()), "{} of 240 slots", sent.len());
    // A bucket without any burst, but for the millisecond of a timer.
    assert_eq!(throttled(&sent, 1.01), 0);
    let shares = shares(&sent, 8);
    assert!(shares.iter().all(|share| (29..=31).contains(share)), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn clients_of_one_process_get_equal_shares_whatever_their_number_of_streams() {
    let ledger = Ledger::in_memory();
    let limiters = [limiter(ledger.clone()), limiter(ledger)];
    let start = Instant::now();
    let busy = run(&limiters[..1], 20, MINUTE);
    let modest = run(&limiters[1..], 3, MINUTE);
    let (busy, modest) = tokio::join!(busy, modest);
    assert!(busy.len().abs_diff(modest.len()) <= 2, "{} and {}", busy.len(), modest.len());
    assert!(busy.len() + modest.len() >= 240, "all slots are used");
    assert_eq!(start.elapsed(), MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_frees_its_slot_and_its_count_for_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (in_folder(folder.path()), in_folder(folder.path()));
    one.acquire().await.unwrap();
    for _ in 0..5 {
        timeout(Duration::from_millis(10), one.acquire()).await.unwrap_err();
    }
    assert_eq!(other.acquire().await.unwrap(), Duration::from_millis(200));
    let today = Ledger::in_folder(folder.path(), "key").today(noon()).await.unwrap();
    assert_eq!(today.spent, 2);
}

#[tokio::test(start_paused = true)]
async fn a_hold_reaches_processes_that_wait_already() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (in_folder(folder.path()), in_folder(folder.path()));
    one.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let other = Arc::clone(&other);
        async move { other.acquire().await.unwrap() }
    });
    sleep(Duration::from_millis(100)).await;
    one.hold(Duration::from_secs(2)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Duration::from_millis(2100));
    assert_eq!(one.acquire().await.unwrap(), SPACING, "the pace continues from there");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_while_it_waits_costs_one_slot_and_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let (dying, other) = (in_folder(folder.path()), in_folder(folder.path()));
    other.acquire().await.unwrap();
    // Forgotten as by a kill: nothing tidies up after it.
    let mut waiting = Box::pin(async move { dying.acquire().await });
    timeout(Duration::from_millis(1), &mut waiting).await.unwrap_err();
    std::mem::forget(waiting);
    assert_eq!(other.acquire().await.unwrap(), Duration::from_millis(499));
    let today = Ledger::in_folder(folder.path(), "key").today(noon()).await.unwrap();
    assert_eq!(today.spent, 2);
}

/// Hosts on one store for ten minutes: nothing is throttled, equal shares, at least this many of 2,400 slots used.
async fn hosts_take_turns(ahead: &[i64], at_least: usize) {
    let store = Arc::new(InMemory::new());
    let limiters: Vec<_> = ahead.iter().map(|&ahead| on_store(&store, "host", ahead)).collect();
    let sent = run(&limiters, 3, 10 * MINUTE).await;
    let shares = shares(&sent, ahead.len());
    assert_eq!(throttled(&sent, 1.01), 0, "{shares:?}");
    assert!((at_least..=2401).contains(&sent.len()), "{} of 2400 slots, {shares:?}", sent.len());
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(most - least <= 120, "a slice at most: {shares:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lone_host_uses_nearly_every_slot() {
    // All but what the first answers of the store take.
    hosts_take_turns(&[0], 2395).await;
}

#[tokio::test(start_paused = true)]
async fn two_hosts_take_turns() {
    hosts_take_turns(&[0, 0], 2200).await;
}

#[tokio::test(start_paused = true)]
async fn four_hosts_take_turns() {
    hosts_take_turns(&[0, 0, 0, 0], 2200).await;
}

#[tokio::test(start_paused = true)]
async fn clocks_that_differ_by_two_seconds_do_not_break_the_pace() {
    hosts_take_turns(&[0, 1900], 2200).await;
    hosts_take_turns(&[-1000, 900, 0], 2200).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_process_that_dies_holds_up_nobody_and_keeps_its_own_pace() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let ledgers: [&dyn Fn(&str) -> Ledger; 2] = [&|_| Ledger::in_folder(folder.path(), "key"), &|owner| {
        Ledger::in_store(Arc::<InMemory>::clone(&store), "state/quota".into(), "key", owner)
    }];
    for ledger in ledgers {
        let slow = RateLimit { requests_per_second: 0.001, ..RateLimit::default() };
        let slow = Arc::new(Limiter::new(slow, ledger("slow"), clock(0)));
        slow.acquire().await.unwrap();
        let start = Instant::now();
        // It waits for its second slot when it dies.
        timeout(Duration::from_secs(1), slow.acquire()).await.unwrap_err();
        let fast = limiter(ledger("fast"));
        for _ in 0..3 {
            fast.acquire().await.unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        slow.acquire().await.unwrap();
        let own = start.elapsed();
        assert!((Duration::from_secs(990)..Duration::from_secs(1_040)).contains(&own), "{own:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn processes_that_die_with_a_lease_at_a_high_pace_leave_the_day_to_the_others() {
    let store = Arc::new(InMemory::new());
    let pace = RateLimit { requests_per_second: 100_000.0, ..RateLimit::default() };
    let now = noon();
    let ledger = |owner: &str| Ledger::in_store(Arc::<InMemory>::clone(&store), "state/quota".into(), "key", owner);
    for number in 0..5 {
        let process = Limiter::new(pace, ledger(&format!("process {number}")), clock(0));
        process.acquire().await.unwrap();
    }
    let left = ledger("reader").today(now).await.unwrap().left(&pace);
    assert!(left > pace.daily_requests * 7 / 10, "{left}");
}
