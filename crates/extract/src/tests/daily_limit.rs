//! Whatever happens to processes, no more requests are sent in a day than may be.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};

use super::server::noon;
use crate::http::limiter::Limiter;
use crate::{Clock, ExtractError, Ledger, RateLimit};

const PROCESSES: usize = 3;
const PACE: RateLimit = RateLimit { requests_per_second: 1.0, daily_requests: 40, reserve: 5, count_refused: false };
const LIMIT: u64 = PACE.daily_requests - PACE.reserve;

/// What happens to a process.
#[derive(Debug, Clone)]
enum Event {
    /// It sends a few.
    Sends(u8),
    /// It sends one, which the API refuses.
    IsRefused,
    /// It stops waiting.
    Leaves,
    /// It is killed while it waits, and starts again.
    Dies,
    /// It ends in order, and starts again.
    Ends,
    /// It is throttled.
    Holds,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (1..8_u8).prop_map(Event::Sends),
        2 => Just(Event::IsRefused),
        2 => Just(Event::Leaves),
        2 => Just(Event::Dies),
        1 => Just(Event::Ends),
        1 => Just(Event::Holds),
    ]
}

/// Lets the events happen, each to one process after so many minutes, and checks the count after each.
async fn happen(events: Vec<(usize, u64, Event)>, ledger: impl Fn() -> Ledger, leased: bool) {
    let start = Instant::now();
    let clock = Clock::from_fn(move || noon() + start.elapsed());
    let process = || {
        let ledger = ledger();
        (Arc::new(Limiter::new(PACE, ledger.clone(), clock.clone())), ledger)
    };
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| process()).collect();
    let (mut day, mut sent) = (noon().date_naive(), 0);
    for (who, minutes, event) in events {
        sleep(Duration::from_mins(minutes)).await;
        let (limiter, own) = processes[who].clone();
        let (requests, patience) = match event {
            Event::Sends(requests) => (requests, Duration::from_hours(1)),
            Event::IsRefused => (1, Duration::from_hours(1)),
            Event::Leaves | Event::Dies => (2, Duration::from_millis(500)),
            Event::Ends | Event::Holds => (0, Duration::ZERO),
        };
        for _ in 0..requests {
            let mut waiting = Box::pin(limiter.acquire());
            let acquired = timeout(patience, &mut waiting).await;
            if day != clock.now().date_naive() {
                (day, sent) = (clock.now().date_naive(), 0);
            }
            match acquired {
                Ok(Ok(_)) if matches!(event, Event::IsRefused) => limiter.refused().await.unwrap(),
                Ok(Ok(_)) => sent += 1,
                Ok(Err(ExtractError::Quota { .. })) => assert!(leased || sent == LIMIT, "{sent} were sent"),
                Ok(Err(other)) => panic!("{other}"),
                Err(_) if matches!(event, Event::Dies) => {
                    // As by a kill: nothing tidies up after it.
                    std::mem::forget((waiting, std::mem::replace(&mut processes[who], process())));
                    break;
                }
                Err(_) => {}
            }
        }
        match event {
            Event::Ends => {
                own.release(&clock).await;
                processes[who] = process();
            }
            Event::Holds => limiter.hold(Duration::from_secs(30)).await.unwrap(),
            _ => {}
        }
        if day != clock.now().date_naive() {
            (day, sent) = (clock.now().date_naive(), 0);
        }
        let counted = ledger().today(clock.now()).await.unwrap().spent;
        assert!(if leased { counted >= sent } else { counted == sent }, "{sent} were sent and {counted} counted");
        assert!(counted <= LIMIT, "{counted} were counted");
    }
}

fn events() -> impl Strategy<Value = Vec<(usize, u64, Event)>> {
    prop::collection::vec((0..PROCESSES, prop_oneof![4 => Just(0), 1 => 0..600_u64], event()), 0..60)
}

fn run(events: Vec<(usize, u64, Event)>, ledger: impl Fn() -> Ledger, leased: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(happen(events, ledger, leased));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn processes_of_one_host_send_no_more_than_the_days_requests(events in events()) {
        let folder = tempfile::tempdir().unwrap();
        run(events, || Ledger::in_folder(folder.path(), "key"), false);
    }

    #[test]
    fn hosts_send_no_more_than_the_days_requests(events in events()) {
        let store = Arc::new(InMemory::new());
        run(events, || Ledger::in_store(Arc::<InMemory>::clone(&store), "quota".into(), "key", "host"), true);
    }
}
