//! Access tokens, rate limit, daily quota, and the headers of every answer.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use reqwest::Method;

use super::{Peer, client, small};
use crate::SandboxConfig;

#[tokio::test]
async fn a_wrong_token_gets_the_recorded_401() {
    let peer = Peer::start(small()).await;
    let url = format!("{}/contacts", peer.sandbox.base_url());
    for request in
        [client().get(&url), client().get(&url).bearer_auth("wrong"), client().get(&url).basic_auth("a", Some("b"))]
    {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Bearer realm=api.cc.email");
        assert_eq!(response.headers()["x-amzn-errortype"], "UnauthorizedException");
        assert_eq!(response.headers()["x-cache"], "Error from cloudfront");
        let text = response.text().await.unwrap();
        assert_eq!(text, r#"{"error_key":"unauthorized","error_message":"Unauthorized"}"#);
        assert_eq!(text.len(), 59, "the recorded length");
    }
}

#[tokio::test]
async fn a_missing_scope_gets_403_on_its_paths_only() {
    let mut config = small();
    config.quirks.granted_scopes = vec!["contact_data".to_owned()];
    let peer = Peer::start(config).await;
    assert_eq!(peer.get("/emails").await.status, 403);
    assert_eq!(peer.get("/account/summary").await.status, 403);
    assert_eq!(peer.get("/contacts").await.status, 200);
    assert_eq!(peer.get("/account/user/privileges").await.status, 200);
}

#[tokio::test]
async fn requests_beyond_the_burst_are_throttled() {
    // So slow a refill that no machine is slow enough to meet it.
    let config = SandboxConfig { requests_per_second: 1e-6, burst: 2, contacts: 10, ..SandboxConfig::default() };
    let peer = Peer::start(config).await;
    assert_eq!(peer.get("/contacts").await.status, 200);
    assert_eq!(peer.get("/contacts").await.status, 200);
    let answer = peer.get("/contacts").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.text, r#"{"error_key":"throttled","error_message":"Too Many Requests"}"#);
    assert!(!answer.headers.contains_key("retry-after"));
    let log = peer.sandbox.requests();
    assert_eq!((log.total, log.with_status(200), log.with_status(429)), (3, 2, 1));
}

static SECONDS: AtomicI64 = AtomicI64::new(0);

fn pinned() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_590 + SECONDS.load(Ordering::Relaxed), 0).unwrap()
}

#[tokio::test]
async fn the_quota_holds_until_midnight() {
    let mut config = SandboxConfig { daily_requests: 2, clock: pinned, ..small() };
    config.quirks.retry_after = true;
    let peer = Peer::start(config).await;
    assert_eq!(peer.get("/contact_tags").await.status, 200);
    let answer = peer.get("/contact_tags").await;
    assert_eq!((answer.status, &answer.headers["date"]), (200, &"Wed, 31 Dec 2025 23:59:50 GMT".parse().unwrap()));
    let answer = peer.get("/contact_tags").await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.text, r#"{"error_key":"quota_exceeded","error_message":"Limit Exceeded"}"#);
    assert_eq!(answer.headers["retry-after"], "11");
    SECONDS.store(10, Ordering::Relaxed);
    assert_eq!(peer.get("/contact_tags").await.status, 200);
}

#[tokio::test]
async fn a_429_can_be_a_page() {
    let mut config = SandboxConfig { daily_requests: 0, ..small() };
    config.quirks.throttled_as_html = true;
    let answer = Peer::start(config).await.get("/contact_tags").await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (429, &"text/html".parse().unwrap()));
}

#[tokio::test]
async fn every_answer_carries_request_ids_of_its_own() {
    let peer = Peer::start(small()).await;
    let one = peer.get("/contact_tags").await.headers;
    let two = peer.get("/contact_tags").await.headers;
    for name in ["x-amzn-requestid", "x-eig-tracking-id"] {
        assert_ne!(one[name], two[name]);
    }
    assert!(one["via"].to_str().unwrap().contains("cloudfront"));
    assert_eq!(one["content-type"], "application/json");
    let mut config = small();
    config.quirks.edge_headers = false;
    let bare = Peer::start(config).await.get("/contact_tags").await.headers;
    assert!(!bare.contains_key("x-amzn-requestid") && bare.contains_key("date"));
}

#[tokio::test]
async fn the_log_remembers_what_was_asked() {
    let peer = Peer::start(small()).await;
    peer.get("/contacts?limit=3&status=all").await;
    let log = peer.sandbox.requests();
    let record = log.latest.back().unwrap();
    assert_eq!(
        (&record.method, record.target.as_str(), record.status),
        (&Method::GET, "/v3/contacts?limit=3&status=all", 200)
    );
}

#[tokio::test]
async fn a_stopped_sandbox_answers_no_more() {
    let peer = Peer::start(small()).await;
    let request = peer.request("/contacts");
    peer.get("/contacts").await;
    peer.sandbox.stop().await;
    assert!(request.send().await.is_err());
}
