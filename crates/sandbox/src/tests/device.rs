//! Sign-in by a code that is typed in elsewhere.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Peer, answer, form_of, small, with};
use crate::SandboxConfig;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A sandbox whose devices need not wait.
fn impatient() -> SandboxConfig {
    with(|config| {
        config.quirks.device_interval = Duration::ZERO;
        config.users = 2;
    })
}

impl Peer {
    async fn device(&self, scope: &str) -> Value {
        let form = [("client_id", self.sandbox.client_id()), ("scope", scope), ("response_type", "code")];
        let answer = self.post(&self.sandbox.device_url(), &form).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    async fn poll(&self, device: &Value) -> Answer {
        let code = device["device_code"].as_str().unwrap();
        let form = [("grant_type", DEVICE_CODE), ("device_code", code), ("client_id", self.sandbox.client_id())];
        self.post(&self.sandbox.token_url(), &form).await
    }

    async fn error(&self, device: &Value) -> Value {
        let answer = self.poll(device).await;
        assert_eq!(answer.status, 400);
        answer.json()["error"].clone()
    }

    /// A person types a code in.
    async fn type_in(&self, device: &Value, user: &str, decision: &str) -> Answer {
        let form = [("user_code", device["user_code"].as_str().unwrap()), ("user", user), ("decision", decision)];
        self.post(device["verification_uri"].as_str().unwrap(), &form).await
    }
}

#[tokio::test]
async fn a_device_waits_until_a_person_allows_it() {
    let peer = Peer::start(impatient()).await;
    let device = peer.device("contact_data offline_access").await;
    assert_eq!((&device["expires_in"], &device["interval"]), (&json!(600), &json!(0)));
    assert_eq!(peer.error(&device).await, "authorization_pending");

    let page = answer(peer.client.get(device["verification_uri_complete"].as_str().unwrap())).await;
    assert_eq!(page.status, 200);
    for part in ["id=\"user_code\"", device["user_code"].as_str().unwrap(), "owner-2@example.com", "id=\"allow\""] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    let said = peer.type_in(&device, "1", "allow").await;
    assert_eq!(said.status, 200);
    assert!(said.text.contains("The device is connected."));

    let reply = peer.poll(&device).await.json();
    assert_eq!(reply["scope"], "contact_data offline_access");
    assert_eq!(reply["refresh_token"], peer.sandbox.refresh_token_of(1).unwrap());
    assert!(peer.works(reply["access_token"].as_str().unwrap()).await);
    assert_eq!(peer.error(&device).await, "invalid_grant", "a device code works once");
    let requests = peer.sandbox.token_requests();
    assert_eq!((requests.device_code, requests.issued), (3, 1));
}

#[tokio::test]
async fn a_device_hears_why_it_gets_nothing() {
    let peer = Peer::start(small()).await;
    let device = peer.device("contact_data").await;
    assert_eq!(device["interval"], 5);
    assert_eq!(peer.error(&device).await, "authorization_pending");
    assert_eq!(peer.error(&device).await, "slow_down");

    let peer = Peer::start(impatient()).await;
    let device = peer.device("contact_data").await;
    assert_eq!(peer.type_in(&device, "0", "deny").await.status, 200);
    assert_eq!(peer.error(&device).await, "access_denied");
    assert_eq!(peer.type_in(&device, "0", "allow").await.status, 400, "what was decided stays");
    assert_eq!(peer.error(&json!({"device_code": "another"})).await, "invalid_grant");

    let peer = Peer::start(with(|config| config.quirks.device_code_lifetime = Duration::ZERO)).await;
    let device = peer.device("contact_data").await;
    assert_eq!(peer.error(&device).await, "expired_token");
    assert_eq!(peer.type_in(&device, "0", "allow").await.status, 400);
}

#[tokio::test]
async fn a_device_names_the_application_and_scopes_that_exist() {
    let peer = Peer::start(small()).await;
    let id = peer.sandbox.client_id();
    for (form, status, error) in [
        (&[("client_id", "another"), ("scope", "contact_data")][..], 401, "invalid_client"),
        (&[("client_id", id), ("scope", "everything")], 400, "invalid_scope"),
        (&[("client_id", id)], 400, "invalid_scope"),
    ] {
        let answer = peer.post(&peer.sandbox.device_url(), form).await;
        assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{form:?}");
    }
    let query = format!("{}?{}", peer.sandbox.device_url(), form_of(&[("client_id", id), ("scope", "contact_data")]));
    assert_eq!(answer(peer.client.post(query)).await.status, 200, "the query does as well as a form");
}

#[tokio::test]
async fn a_code_in_the_address_is_shown_as_text() {
    let peer = Peer::start(small()).await;
    let query = form_of(&[("user_code", "\"><script>alert(1)</script>")]);
    let page = answer(peer.client.get(format!("{}/activate?{query}", peer.sandbox.server_url()))).await;
    assert!(page.text.contains("value=\"&quot;&gt;&lt;script&gt;"), "{}", page.text);
    assert!(!page.text.contains("<script>"));
}
