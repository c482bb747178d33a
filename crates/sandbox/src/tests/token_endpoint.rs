//! What can go wrong at the token endpoint, and what it counts.

use std::time::Duration;

use serde_json::json;

use super::{Peer, answer, client, form_of, small, with};
use crate::{TokenAnswer, TokenRequests};

impl Peer {
    /// The form of a refresh with the token in force.
    fn refresh_form(&self) -> String {
        let token = self.sandbox.refresh_token();
        let pairs =
            [("grant_type", "refresh_token"), ("refresh_token", &token), ("client_id", self.sandbox.client_id())];
        form_of(&pairs)
    }
}

#[tokio::test]
async fn a_lost_answer_spends_the_token_and_a_reset_does_not() {
    let script = vec![TokenAnswer::Usual, TokenAnswer::Reset, TokenAnswer::Lost];
    let peer = Peer::start(with(|config| config.quirks.token_answers = script)).await;
    let first = peer.sandbox.refresh_token();
    assert_eq!(peer.refresh(&first).await.0, 200);
    let second = peer.sandbox.refresh_token();
    assert!(peer.token_request().body(peer.refresh_form()).send().await.is_err());
    assert_eq!(peer.sandbox.refresh_token(), second, "a reset does nothing");
    assert!(peer.token_request().body(peer.refresh_form()).send().await.is_err());
    assert_ne!(peer.sandbox.refresh_token(), second, "a lost answer was given");
    assert_eq!(peer.refresh(&second).await.0, 400);
    assert_eq!(peer.sandbox.requests().with_status(0), 2);
    let expected = TokenRequests { refresh_token: 4, issued: 2, ..TokenRequests::default() };
    assert_eq!(peer.sandbox.token_requests(), expected);
}

#[tokio::test]
async fn trouble_comes_by_script_and_leaves_the_token_alone() {
    let peer = Peer::start(small()).await;
    let token = peer.sandbox.refresh_token();
    for (trouble, status, start) in [
        (TokenAnswer::Error500, 500, "{\"error\":\"server_error\""),
        (TokenAnswer::Error503, 503, ""),
        (TokenAnswer::Throttled, 429, "{\"error_key\":\"throttled\""),
        (TokenAnswer::HtmlWith200, 200, "<!DOCTYPE HTML"),
    ] {
        peer.sandbox.script_token_answers([trouble]);
        let answer = answer(peer.token_request().body(peer.refresh_form())).await;
        assert_eq!(answer.status, status);
        assert!(answer.text.starts_with(start), "{}", answer.text);
    }
    assert_eq!(peer.sandbox.refresh_token(), token);
    assert_eq!(peer.refresh(&token).await.0, 200);
}

#[tokio::test]
async fn errors_can_be_pages_and_an_expiry_can_be_text() {
    let peer = Peer::start(with(|config| {
        config.quirks.token_errors_as_html = true;
        config.quirks.expires_in_as_text = true;
        config.quirks.access_token_lifetime = Duration::from_mins(1);
    }))
    .await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", "wrong"), ("client_id", peer.sandbox.client_id())];
    let refused = peer.post(&peer.sandbox.token_url(), &form).await;
    assert_eq!((refused.status, &refused.headers["content-type"]), (400, &"text/html".parse().unwrap()));
    let reply = peer.refresh(&peer.sandbox.refresh_token()).await.1;
    assert_eq!(reply["expires_in"], json!("60"));
}

#[tokio::test]
async fn a_client_that_leaves_a_slow_token_endpoint_early_finds_its_token_unspent() {
    let peer = Peer::start(with(|config| config.quirks.token_latency = Duration::from_hours(24))).await;
    let token = peer.sandbox.refresh_token();
    let request = tokio::spawn(peer.token_request().body(peer.refresh_form()).send());
    while peer.sandbox.token_requests().refresh_token == 0 {
        tokio::task::yield_now().await;
    }
    assert!(peer.works(&peer.sandbox.access_token()).await, "only the token endpoint is slow");
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    assert_eq!(peer.sandbox.refresh_token(), token);
    assert_eq!(peer.sandbox.token_requests().issued, 0);
}

#[tokio::test]
async fn the_limit_of_the_token_endpoint_is_its_own() {
    let peer = Peer::start(with(|config| config.quirks.token_requests_per_second = Some(1e-6))).await;
    let page = format!("{}/activate", peer.sandbox.server_url());
    for _ in 0..2 {
        assert_eq!(answer(client().get(&page)).await.status, 200);
    }
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token()).await.0, 200);
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token()).await.0, 429);
    assert_eq!(peer.sandbox.token_requests().refresh_token, 1, "what the limit refused did not reach it");
}

#[tokio::test]
async fn requests_are_counted_by_their_grant_type() {
    let peer = Peer::start(small()).await;
    let id = peer.sandbox.client_id();
    for grant_type in
        ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code", "password", ""]
    {
        peer.post(&peer.sandbox.token_url(), &[("grant_type", grant_type), ("client_id", id)]).await;
    }
    let expected = TokenRequests { authorization_code: 1, refresh_token: 1, device_code: 1, other: 2, issued: 0 };
    assert_eq!(peer.sandbox.token_requests(), expected);
}
