//! Real servers on a bad line: whatever gets lost, the run ends with the truth, or with an error that a second run mends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ctct_load::WriteMode;
use ctct_pipeline::Outcome;

use crate::harness::Harness;
use crate::proxy::{self, Fate};
use crate::runs::{contacts, holds, run, truth};
use crate::sessions::{load, noise, plan};
use crate::store::Store;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_found_to_be_ones_own() {
    let harness = Harness::new(40).await;
    let truth = truth(&harness);
    for store in Store::clouds("lost") {
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        let endpoint = proxy::start(store.endpoint(), move |line| {
            // The first of the commit and of all that the library may send again by itself.
            let hit =
                line.starts_with("PUT ") && line.contains("/commits/") && count.fetch_add(1, Ordering::SeqCst) == 0;
            if hit { Fate::LoseAnswer } else { Fate::Pass }
        })
        .await;
        let store = store.behind(&endpoint);
        let summary = run(&harness, &store, "only", &contacts("replace")).await;
        assert_eq!(summary.outcome, Outcome::Done, "{}: {summary:#?}", store.name);
        assert!(lost.load(Ordering::SeqCst) > 0, "an answer was lost");
        holds(&store, &truth, "after a lost answer").await;
        let commits: Vec<String> =
            store.keys("_ctct").await.into_iter().filter(|key| key.contains("/commits/")).collect();
        assert_eq!(commits, ["_ctct/acme/contacts/commits/00000000000000000001.json"], "{}", store.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_completion_gets_lost_is_whole() {
    let rows = noise(2_400);
    for store in Store::clouds("completion") {
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        let endpoint = proxy::start(store.endpoint(), move |line| {
            let completes = (line.starts_with("POST ") && line.contains("uploadId="))
                || (line.starts_with("PUT ") && line.contains("comp=blocklist"));
            let hit = completes && count.fetch_add(1, Ordering::SeqCst) == 0;
            if hit { Fate::LoseAnswer } else { Fate::Pass }
        })
        .await;
        let store = store.behind(&endpoint);
        let destination = store.destination();
        let committed = load(&destination, plan(&destination, WriteMode::Append, &[], "run"), &rows).await.unwrap();
        assert!(committed.tables[0].bytes > 5 << 20, "{committed:?}");
        assert!(lost.load(Ordering::SeqCst) > 0, "{}: an answer was lost", store.name);
        assert_eq!(store.rows("contact_lists").await.len(), rows.len(), "{}", store.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stumbles_now_and_then_is_asked_again() {
    let harness = Harness::new(40).await;
    let truth = truth(&harness);
    for store in Store::clouds("stumbles") {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let endpoint = proxy::start(store.endpoint(), move |_| match count.fetch_add(1, Ordering::SeqCst) % 12 {
            2 => Fate::Answer(503),
            5 => Fate::Answer(500),
            7 => Fate::Reset,
            9 => Fate::Answer(429),
            _ => Fate::Pass,
        })
        .await;
        let store = store.behind(&endpoint);
        for number in ["first", "second"] {
            let summary = run(&harness, &store, number, &contacts("replace")).await;
            assert_eq!(summary.outcome, Outcome::Done, "{}: {summary:#?}", store.name);
        }
        assert!(requests.load(Ordering::SeqCst) > 50, "enough requests to stumble over");
        holds(&store, &truth, "after stumbles").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_line_that_breaks_anywhere_the_next_run_brings_the_truth() {
    let harness = Harness::new(15).await;
    let truth = truth(&harness);
    for store in Store::clouds("breaks") {
        let direct = store.endpoint().trim_end_matches("/devstoreaccount1").to_owned();
        let mut store = store;
        for step in [3, 8, 15, 22, 29] {
            let requests = AtomicUsize::new(0);
            let endpoint = proxy::start(&direct, move |line| {
                let mutates = !line.starts_with("GET ") && !line.starts_with("HEAD ");
                let broken = mutates && requests.fetch_add(1, Ordering::SeqCst) >= step;
                // Refused for good, so that the client does not wait and try again.
                if broken { Fate::Answer(400) } else { Fate::Pass }
            })
            .await;
            store = store.behind(&endpoint);
            let cut = run(&harness, &store, &format!("cut{step}"), &contacts("replace")).await;
            assert_ne!(cut.outcome, Outcome::Done, "{}, step {step}: {cut:#?}", store.name);
            store = store.behind(&direct);
            let summary = run(&harness, &store, &format!("whole{step}"), &contacts("replace")).await;
            assert_eq!(summary.outcome, Outcome::Done, "{}, step {step}: {summary:#?}", store.name);
            holds(&store, &truth, "after a break").await;
        }
        let leftovers: Vec<String> =
            store.keys("_ctct").await.into_iter().filter(|key| key.contains("/staging/")).collect();
        assert_eq!(leftovers, [""; 0], "{}", store.name);
    }
}
