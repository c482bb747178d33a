//! Faults come at their rates, from the seed, in the bodies that belong to them.

use super::{Peer, small};
use crate::{Faults, SandboxConfig};

fn failing(faults: Faults) -> SandboxConfig {
    SandboxConfig { faults, ..small() }
}

#[tokio::test]
async fn each_fault_has_its_status_and_body() {
    let none = Faults::default();
    for (faults, status, content_type, start) in [
        (Faults { error_500: 1.0, ..none }, 500, Some("application/json"), "[{"),
        (Faults { error_502: 1.0, ..none }, 502, Some("application/json"), "{\"message\""),
        (Faults { error_503: 1.0, ..none }, 503, None, ""),
        (Faults { error_504: 1.0, ..none }, 504, Some("text/html"), "<!DOCTYPE HTML"),
        (Faults { throttled: 1.0, ..none }, 429, Some("application/json"), "{\"error_key\":\"throttled\""),
        (Faults { spurious_401: 1.0, ..none }, 401, Some("application/json"), "{\"error_key\":\"unauthorized\""),
        (Faults { html_with_200: 1.0, ..none }, 200, Some("text/html"), "<!DOCTYPE HTML"),
        (Faults { other_json: 1.0, ..none }, 200, Some("application/json"), "{\"message\""),
    ] {
        let answer = Peer::start(failing(faults)).await.get("/contact_tags").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers.get("content-type").map(|value| value.to_str().unwrap()), content_type);
        assert!(answer.text.starts_with(start), "{}", answer.text);
        assert!(answer.headers.contains_key("x-amzn-requestid"));
    }
}

#[tokio::test]
async fn a_truncated_body_announces_more_than_it_sends() {
    for gzip in [false, true] {
        let mut config = failing(Faults { truncated_body: 1.0, ..Faults::default() });
        config.quirks.gzip = gzip;
        let peer = Peer::start(config).await;
        let mut response = peer.request("/contacts?limit=300").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut read = 0;
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => read += chunk.len(),
                other => break other,
            }
        };
        assert!(end.is_err(), "gzip {gzip}");
        assert!(read > 0, "gzip {gzip}");
    }
}

#[tokio::test]
async fn a_reset_closes_the_connection_without_an_answer() {
    let peer = Peer::start(failing(Faults { reset: 1.0, ..Faults::default() })).await;
    assert!(peer.request("/contact_tags").send().await.is_err());
    assert!(peer.sandbox.requests().with_status(0) > 0);
}

#[tokio::test]
async fn faults_come_at_their_rate_and_the_same_for_a_seed() {
    let faults = Faults { error_500: 0.1, error_503: 0.05, ..Faults::default() };
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let peer = Peer::start(SandboxConfig { seed, ..failing(faults) }).await;
        let mut statuses = Vec::new();
        for _ in 0..400 {
            statuses.push(peer.get("/contact_tags?limit=1").await.status);
        }
        let rate = |status| statuses.iter().filter(|found| **found == status).count();
        assert!((24..=60).contains(&rate(500)), "{}", rate(500));
        assert!((8..=34).contains(&rate(503)), "{}", rate(503));
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}
