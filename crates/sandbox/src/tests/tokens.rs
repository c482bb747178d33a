//! Refresh tokens: which works when, and what comes back for it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Peer, client, small, with};
use crate::RefreshToken;

impl Peer {
    pub(super) fn token_request(&self) -> RequestBuilder {
        self.client.post(self.sandbox.token_url())
    }

    pub(super) async fn refresh(&self, token: &str) -> (u16, Value) {
        let query = format!("grant_type=refresh_token&refresh_token={token}&client_id={}", self.sandbox.client_id());
        let request = self.token_request().header("content-type", "application/x-www-form-urlencoded").body(query);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }

    pub(super) async fn works(&self, token: &str) -> bool {
        let request = client().get(format!("{}/contact_tags", self.sandbox.base_url())).bearer_auth(token);
        request.send().await.unwrap().status() == 200
    }
}

fn pinned() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

#[tokio::test]
async fn a_refresh_token_rotates_and_works_once() {
    let peer = Peer::start(small()).await;
    let first = peer.sandbox.refresh_token();
    let (status, reply) = peer.refresh(&first).await;
    assert_eq!((status, &reply["token_type"], &reply["expires_in"]), (200, &json!("Bearer"), &json!(86_400)));
    assert!(reply["access_token"].as_str().unwrap().len() > 800);
    assert_eq!(reply["scope"], "contact_data campaign_data account_read offline_access");
    assert!(peer.works(reply["access_token"].as_str().unwrap()).await);
    assert_eq!(reply["refresh_token"], peer.sandbox.refresh_token());
    assert_ne!(reply["refresh_token"], first);
    let invalid = json!({"error": "invalid_grant", "error_description": "The refresh token is invalid or expired."});
    assert_eq!(peer.refresh(&first).await, (400, invalid));
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token()).await.0, 200);
    assert!(peer.works(reply["access_token"].as_str().unwrap()).await, "a refresh leaves older access tokens alone");
}

#[tokio::test]
async fn parameters_may_stand_in_the_query_with_basic_credentials() {
    let peer = Peer::start(small()).await;
    let url =
        format!("{}?grant_type=refresh_token&refresh_token={}", peer.sandbox.token_url(), peer.sandbox.refresh_token());
    let request = client().post(&url).basic_auth(peer.sandbox.client_id(), Some("wrong"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.text().await.unwrap().starts_with(r#"{"error":"invalid_client","error_description":"#));
    let request = client().post(&url).basic_auth(peer.sandbox.client_id(), Some(peer.sandbox.client_secret()));
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn other_grants_and_no_grant_are_refused() {
    let peer = Peer::start(small()).await;
    for (body, error) in [("grant_type=client_credentials", "unsupported_grant_type"), ("", "invalid_request")] {
        let body = format!("client_id={}&{body}", peer.sandbox.client_id());
        let response = peer.token_request().body(body).send().await.unwrap();
        assert_eq!(response.status(), 400);
        assert!(response.text().await.unwrap().contains(error));
    }
}

#[tokio::test]
async fn long_lived_and_omitted_refresh_tokens_stay_good() {
    for (kind, shown) in [(RefreshToken::LongLived, true), (RefreshToken::Omitted, false)] {
        let peer = Peer::start(with(|config| config.quirks.refresh_token = kind)).await;
        let token = peer.sandbox.refresh_token();
        for _ in 0..2 {
            let (status, reply) = peer.refresh(&token).await;
            assert_eq!(status, 200);
            assert_eq!(reply.get("refresh_token"), shown.then(|| json!(token)).as_ref());
        }
    }
}

#[tokio::test]
async fn a_rotated_token_works_within_its_grace() {
    let peer = Peer::start(with(|config| config.quirks.refresh_grace = Duration::from_hours(1))).await;
    let first = peer.sandbox.refresh_token();
    assert_eq!(peer.refresh(&first).await.0, 200);
    let (status, reply) = peer.refresh(&first).await;
    assert_eq!((status, &reply["refresh_token"]), (200, &json!(peer.sandbox.refresh_token())));
}

#[tokio::test]
async fn reuse_can_revoke_the_grant() {
    let peer = Peer::start(with(|config| config.quirks.reuse_revokes_grant = true)).await;
    let first = peer.sandbox.refresh_token();
    let access = peer.refresh(&first).await.1["access_token"].as_str().unwrap().to_owned();
    assert!(peer.works(&access).await);
    assert_eq!(peer.refresh(&first).await.0, 400);
    assert!(!peer.works(&access).await);
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token()).await.0, 400);
}

#[tokio::test]
async fn a_refresh_can_revoke_older_access_tokens_and_tokens_end() {
    let peer = Peer::start(with(|config| config.quirks.refresh_revokes_access = true)).await;
    let access = peer.sandbox.access_token();
    assert!(peer.works(&access).await);
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token()).await.0, 200);
    assert!(!peer.works(&access).await);
    let peer = Peer::start(with(|config| config.quirks.access_token_lifetime = Duration::ZERO)).await;
    assert!(!peer.works(&peer.sandbox.access_token()).await);
}

#[tokio::test]
async fn a_refresh_token_that_nobody_used_for_half_a_year_is_dead() {
    let start = pinned();
    for (days, status) in [(179, 200), (180, 400)] {
        let peer = Peer::start(with(|config| config.clock = pinned)).await;
        peer.sandbox.set_time(start + TimeDelta::days(days));
        assert_eq!(peer.refresh(&peer.sandbox.refresh_token()).await.0, status, "after {days} days");
    }
    let peer = Peer::start(with(|config| {
        config.clock = pinned;
        config.quirks.refresh_token = RefreshToken::LongLived;
    }))
    .await;
    let token = peer.sandbox.refresh_token();
    for days in [179, 358, 537] {
        peer.sandbox.set_time(start + TimeDelta::days(days));
        assert_eq!(peer.refresh(&token).await.0, 200, "every use prolongs it: {days} days");
    }
}
