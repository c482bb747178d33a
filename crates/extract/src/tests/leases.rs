//! The count of a day in an object store: leased, returned, shared, and kept where puts fail or are not answered.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_testkit::{Fault, FaultStore, Operation, Spot};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::{Instant, sleep, timeout};

use super::server::noon;
use crate::http::limiter::Limiter;
use crate::{Clock, ExtractError, Ledger, QuotaLimit, RateLimit, RetryAdvice};

/// A process of a host, by a clock that goes with tokio's.
struct Host {
    ledger: Ledger,
    limiter: Limiter,
    clock: Clock,
}

impl Host {
    fn new(store: &Arc<FaultStore>, pace: RateLimit) -> Self {
        Self::at(store, pace, noon())
    }

    fn at(store: &Arc<FaultStore>, pace: RateLimit, time: DateTime<Utc>) -> Self {
        let start = Instant::now();
        let clock = Clock::from_fn(move || time + start.elapsed());
        let store: Arc<dyn ObjectStore> = Arc::<FaultStore>::clone(store);
        let ledger = Ledger::in_store(store, "state/quota".into(), "the-key", "host:7");
        Self { limiter: Limiter::new(pace, ledger.clone(), clock.clone()), ledger, clock }
    }

    async fn send(&self, requests: usize) {
        for _ in 0..requests {
            self.limiter.acquire().await.unwrap();
        }
    }

    async fn spent(&self) -> u64 {
        self.ledger.today(self.clock.now()).await.unwrap().spent
    }
}

fn store() -> Arc<FaultStore> {
    Arc::new(FaultStore::new(Arc::new(InMemory::new())))
}

async fn objects(store: &Arc<FaultStore>) -> Vec<String> {
    let mut names: Vec<_> = store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_returned_at_the_end_and_the_time_too() {
    let store = store();
    let (one, other) = (Host::new(&store, RateLimit::default()), Host::new(&store, RateLimit::default()));
    one.send(3).await;
    assert_eq!(one.spent().await, 3, "its own block is known to it");
    assert_eq!(other.spent().await, 32, "others see what is leased");
    one.ledger.release(&one.clock).await;
    assert_eq!(other.spent().await, 3);
    assert_eq!(
        other.limiter.acquire().await.unwrap(),
        Duration::from_millis(2250),
        "the last slot and the guard, not the slice"
    );
    other.ledger.release(&other.clock).await;
    one.ledger.release(&one.clock).await;
    assert_eq!(one.spent().await, 4);
    assert_eq!(store.mutations().len(), 4, "a lease and a return each, nothing where there is nothing to return");
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_is_returned_before_it_began_leaves_the_slices_before_it_alone() {
    let store = store();
    let hosts: Vec<_> = (0..3).map(|_| Host::new(&store, RateLimit::default())).collect();
    hosts[0].send(1).await;
    timeout(Duration::from_secs(1), hosts[1].limiter.acquire()).await.unwrap_err();
    hosts[1].ledger.release(&hosts[1].clock).await;
    // The first has eight seconds. Each return is followed by the guard.
    assert_eq!(hosts[2].limiter.acquire().await.unwrap(), Duration::from_secs(8 + 2 + 2 - 1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_being_asked_for_at_the_end_is_returned_as_well() {
    let store = store();
    store.script(Spot::nth(1), Fault::Slow(Duration::from_secs(1)));
    let host = Host::new(&store, RateLimit::default());
    host.send(28).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(store.mutations().len(), 2, "the next slice is asked for");
    host.ledger.release(&host.clock).await;
    assert_eq!(Host::new(&store, RateLimit::default()).spent().await, 28);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_returned_with_the_next_lease() {
    let store = store();
    let host = Host::new(&store, RateLimit::default());
    host.send(3).await;
    sleep(Duration::from_mins(1)).await;
    host.send(2).await;
    assert_eq!(host.spent().await, 5);
    assert_eq!(Host::new(&store, RateLimit::default()).spent().await, 3 + 120);
}

#[tokio::test(start_paused = true)]
async fn hosts_never_send_more_than_the_days_requests_and_all_of_them() {
    let store = store();
    let pace = RateLimit { requests_per_second: 10.0, daily_requests: 1000, reserve: 100, count_refused: true };
    let hosts: Vec<_> = (0..3).map(|_| Host::new(&store, pace)).collect();
    let runs = hosts.iter().map(|host| async {
        let mut sent = 0;
        loop {
            match host.limiter.acquire().await {
                Ok(_) => sent += 1,
                Err(ExtractError::Quota { limit, .. }) => return (sent, limit),
                Err(other) => panic!("{other}"),
            }
        }
    });
    let sent = futures::future::join_all(runs).await;
    assert!(sent.iter().all(|(_, limit)| *limit == QuotaLimit::Reserved { daily_requests: 1000, reserve: 100 }));
    assert_eq!(sent.iter().map(|(sent, _)| sent).sum::<usize>(), 900, "{sent:?}");
    assert_eq!(Host::new(&store, pace).spent().await, 900);
}

#[tokio::test(start_paused = true)]
async fn a_put_that_is_not_answered_is_known_by_its_id() {
    let store = store();
    store.script(Spot::nth(0).by(Operation::Put), Fault::FailAfterApply);
    store.script(Spot::nth(1).by(Operation::Put), Fault::FailAfterApply);
    let host = Host::new(&store, RateLimit::default());
    let start = Instant::now();
    host.send(100).await;
    assert_eq!(store.met(), 2);
    assert_eq!(host.spent().await, 100);
    assert_eq!(objects(&store).await.len(), 2, "no lease is written twice");
    // The first is waited for; the second was asked for ahead of time.
    assert_eq!(start.elapsed(), Duration::from_millis(500 + 99 * 250));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_asked_again_and_then_named() {
    let store = store();
    store.script(Spot::every(), Fault::Reject);
    let host = Host::new(&store, RateLimit::default());
    let start = Instant::now();
    let error = host.limiter.acquire().await.unwrap_err();
    assert!(matches!(error, ExtractError::LedgerStore { attempts: 5, .. }), "{error}");
    assert_eq!(error.retry(), RetryAdvice::Later);
    assert!(error.to_string().contains("state/quota/thekey-"), "{error}");
    assert_eq!(start.elapsed(), Duration::from_millis(7500));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_does_not_lose_the_lease_that_it_asked_for() {
    let store = store();
    store.script(Spot::every(), Fault::Slow(Duration::from_millis(200)));
    let host = Host::new(&store, RateLimit::default());
    for _ in 0..3 {
        timeout(Duration::from_millis(20), host.limiter.acquire()).await.unwrap_err();
    }
    host.send(1).await;
    assert_eq!((host.spent().await, store.mutations().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn quota_exceeded_is_read_by_others_with_their_next_lease() {
    let store = store();
    let (one, other) = (Host::new(&store, RateLimit::default()), Host::new(&store, RateLimit::default()));
    one.send(1).await;
    let error = one.limiter.shut(one.clock.now(), Some("0a1b".to_owned())).await;
    assert_eq!(one.limiter.acquire().await.unwrap_err().to_string(), error.to_string());
    let refused = other.limiter.acquire().await.unwrap_err();
    assert_eq!(refused.to_string(), error.to_string());
    let today = Host::new(&store, RateLimit::default()).ledger.today(noon()).await.unwrap();
    assert_eq!(today.left(&RateLimit::default()), 0);
    let tomorrow = Host::at(&store, RateLimit::default(), noon() + TimeDelta::hours(12));
    tomorrow.send(1).await;
    assert_eq!(tomorrow.spent().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hold_moves_the_leases_of_others() {
    let store = store();
    let (one, other) = (Host::new(&store, RateLimit::default()), Host::new(&store, RateLimit::default()));
    one.send(1).await;
    one.limiter.hold(Duration::from_secs(20)).await.unwrap();
    assert_eq!(other.limiter.acquire().await.unwrap(), Duration::from_secs(22));
}

#[tokio::test(start_paused = true)]
async fn midnight_starts_a_new_log_in_the_middle_of_a_slice_and_old_days_are_removed() {
    let store = store();
    let old = "state/quota/thekey-";
    let host = Host::at(&store, RateLimit::default(), noon() - TimeDelta::days(2));
    host.send(1).await;
    drop(host);
    let names = objects(&store).await;
    assert!(names.len() == 1 && names[0].starts_with(old) && names[0].contains("/2026-01-29/"), "{names:?}");
    let host = Host::at(&store, RateLimit::default(), "2026-01-31T23:59:57Z".parse().unwrap());
    host.send(16).await;
    assert_eq!(host.spent().await, 4, "twelve of them were sent before midnight");
    sleep(Duration::from_secs(1)).await;
    let days: Vec<_> = objects(&store).await.iter().map(|name| name.split('/').nth(3).unwrap().to_owned()).collect();
    assert_eq!(days, ["2026-01-31", "2026-02-01"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_a_clock_that_is_hours_ahead_is_not_waited_for() {
    let store = store();
    let wrong = Host::at(&store, RateLimit::default(), noon() + TimeDelta::hours(5));
    wrong.send(1).await;
    let right = Host::new(&store, RateLimit::default());
    assert_eq!(right.limiter.acquire().await.unwrap(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_the_slices_where_they_were() {
    let store = store();
    let back = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let (start, shown) = (Instant::now(), Arc::clone(&back));
    let clock = Clock::from_fn(move || {
        noon() + start.elapsed() - TimeDelta::seconds(shown.load(std::sync::atomic::Ordering::Relaxed))
    });
    let ledger = Ledger::in_store(store, "state".into(), "key", "host");
    let limiter = Limiter::new(RateLimit::default(), ledger, clock);
    for _ in 0..10 {
        limiter.acquire().await.unwrap();
    }
    back.store(3600, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..100 {
        limiter.acquire().await.unwrap();
    }
    assert_eq!(start.elapsed(), 109 * Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn a_damaged_lease_is_passed_over_and_never_closes_the_day() {
    let store = store();
    Host::new(&store, RateLimit::default()).send(1).await;
    Host::new(&store, RateLimit::default()).send(1).await;
    let paths = objects(&store).await;
    for path in paths.iter().rev() {
        let path = path.as_str().into();
        let text = store.get(&path).await.unwrap().bytes().await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        // A digit more: without a checksum the day would be over.
        let flipped = text.replace("\"spent\":", "\"spent\":99999999");
        assert_ne!(text, flipped);
        for damage in ["{}", &flipped] {
            store.put(&path, damage.to_owned().into()).await.unwrap();
            Host::new(&store, RateLimit::default()).limiter.acquire().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_process_that_died_lapses() {
    for dead in [1, 2, 20] {
        let store = store();
        for _ in 0..dead {
            let host = Host::new(&store, RateLimit::default());
            // Killed at its first request, or while it waits for the slices before its own.
            timeout(Duration::from_millis(1), host.limiter.acquire()).await.ok();
        }
        let living = Host::new(&store, RateLimit::default());
        let start = Instant::now();
        living.send(1).await;
        // Eight seconds of a first slice, and the guard behind each.
        assert!(start.elapsed() <= Duration::from_secs(10 * dead), "{dead} dead: {:?}", start.elapsed());
        let counted = living.spent().await;
        assert!(counted <= 32 * dead + 1, "no more than what the dead had leased is lost to the day: {counted}");
        // Nobody waits behind it, so it continues at its pace.
        let start = Instant::now();
        living.send(100).await;
        assert!(start.elapsed() <= Duration::from_secs(30), "{:?}", start.elapsed());
    }
}
