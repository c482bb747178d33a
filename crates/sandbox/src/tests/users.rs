//! Several people, each with tokens of their own, behind one API key.

use std::collections::HashSet;

use serde_json::Value;

use super::{Answer, Peer, answer, with};
use crate::SandboxConfig;

fn three() -> SandboxConfig {
    with(|config| config.users = 3)
}

impl Peer {
    async fn ask(&self, token: &str, path: &str) -> Answer {
        answer(self.client.get(format!("{}{path}", self.sandbox.base_url())).bearer_auth(token)).await
    }

    async fn summary(&self, user: u32) -> Value {
        self.ask(&self.sandbox.access_token_of(user).unwrap(), "/account/summary").await.json()
    }
}

#[tokio::test]
async fn each_user_has_tokens_and_a_name_and_all_read_the_same() {
    let peer = Peer::start(three()).await;
    let mut seen = Vec::new();
    for user in 0..3 {
        let summary = peer.summary(user).await;
        seen.push(["contact_email", "encoded_account_id", "organization_name"].map(|key| summary[key].clone()));
    }
    assert_eq!(seen[0][0], "owner@example.com");
    assert_eq!(seen[2][0], "owner-3@example.com");
    let different: HashSet<&Value> = seen.iter().flatten().collect();
    assert_eq!(different.len(), 9, "{seen:?}");
    let of = |user| peer.sandbox.access_token_of(user).unwrap();
    assert_eq!(peer.ask(&of(0), "/contacts").await.text, peer.ask(&of(2), "/contacts").await.text);
    assert_eq!(peer.sandbox.access_token_of(3), None);
    assert_eq!(peer.sandbox.refresh_token_of(3), None);
}

#[tokio::test]
async fn a_refresh_stays_with_its_user() {
    let peer = Peer::start(three()).await;
    let others = [peer.sandbox.refresh_token_of(0), peer.sandbox.refresh_token_of(2)];
    let (status, reply) = peer.refresh(&peer.sandbox.refresh_token_of(1).unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(reply["refresh_token"], peer.sandbox.refresh_token_of(1).unwrap());
    let summary = peer.ask(reply["access_token"].as_str().unwrap(), "/account/summary").await.json();
    assert_eq!(summary["contact_email"], "owner-2@example.com");
    assert_eq!([peer.sandbox.refresh_token_of(0), peer.sandbox.refresh_token_of(2)], others);
}

#[tokio::test]
async fn what_a_user_revokes_works_no_more_and_the_others_go_on() {
    let peer = Peer::start(three()).await;
    let [gone, other] = [1, 2].map(|user| peer.sandbox.access_token_of(user).unwrap());
    peer.sandbox.revoke(1);
    assert_eq!(peer.ask(&gone, "/account/user/privileges").await.status, 401);
    assert_eq!(peer.ask(&other, "/account/user/privileges").await.status, 200);
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token_of(1).unwrap()).await.0, 400);
    assert_eq!(peer.refresh(&peer.sandbox.refresh_token_of(2).unwrap()).await.0, 200);
}

#[tokio::test]
async fn all_access_tokens_can_end_at_once() {
    let peer = Peer::start(three()).await;
    let tokens = [0, 1].map(|user| peer.sandbox.access_token_of(user).unwrap());
    peer.sandbox.expire_access_tokens();
    for token in tokens {
        assert!(!peer.works(&token).await);
    }
    let reply = peer.refresh(&peer.sandbox.refresh_token()).await.1;
    assert!(peer.works(reply["access_token"].as_str().unwrap()).await);
}

#[tokio::test]
async fn the_limits_are_those_of_the_key_for_all_users_together() {
    let peer = Peer::start(SandboxConfig { daily_requests: 2, ..three() }).await;
    for (user, status) in [(0, 200), (1, 200), (2, 429)] {
        assert_eq!(peer.ask(&peer.sandbox.access_token_of(user).unwrap(), "/contact_tags").await.status, status);
    }
}

#[tokio::test]
async fn a_campaign_creator_may_read_campaigns_and_neither_contacts_nor_reports() {
    let mut config = three();
    config.quirks.campaign_creators = 1;
    let peer = Peer::start(config).await;
    let contact = peer.sandbox.account().contact_id(0);
    let report = format!("/reports/contact_reports/{contact}/activity_details?tracking_activities_list=em_sends");
    for (path, creator) in
        [("/contacts", 403), ("/contact_lists", 403), (&report, 403), ("/emails", 200), ("/account/summary", 200)]
    {
        assert_eq!(peer.ask(&peer.sandbox.access_token_of(1).unwrap(), path).await.status, 200, "{path}");
        assert_eq!(peer.ask(&peer.sandbox.access_token_of(2).unwrap(), path).await.status, creator, "{path}");
    }
    let mut counts = Vec::new();
    for user in 0..3 {
        let answer = peer.ask(&peer.sandbox.access_token_of(user).unwrap(), "/account/user/privileges").await;
        counts.push(answer.json().as_array().unwrap().len());
    }
    assert_eq!(counts, [12, 12, 4]);
}
