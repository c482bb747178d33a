//! The page where people sign in, and the codes that come of it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{Answer, Peer, answer, form_of, small, with};
use crate::{ClientType, SandboxConfig};

const REDIRECT: &str = "http://127.0.0.1:54321/callback";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more";
const ALL: &str = "contact_data campaign_data account_read offline_access";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// The value of a parameter of a URL.
fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

impl Peer {
    /// The URL that a browser is sent to, with some parameters set to others, or left out where they are empty.
    fn asking(&self, changes: &[(&str, &str)]) -> String {
        let challenge = challenge();
        let mut pairs = vec![
            ("client_id", self.sandbox.client_id()),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", ALL),
            ("state", "st&te"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in changes {
            pairs.retain(|(key, _)| key != name);
            pairs.push((name, value));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        format!("{}?{}", self.sandbox.authorize_url(), form_of(&pairs))
    }

    /// A user allows what is asked for; the code.
    async fn code(&self, user: &str, changes: &[(&str, &str)]) -> String {
        let allowed = self.post(&self.asking(changes), &[("user", user), ("decision", "allow")]).await;
        assert_eq!(allowed.status, 303, "{}", allowed.text);
        parameter(&allowed.location(), "code").unwrap()
    }

    /// Trades a code as a public client, with some parameters set to others, or left out where they are empty.
    async fn trade(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("client_id", self.sandbox.client_id()),
            ("redirect_uri", REDIRECT),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in changes {
            pairs.retain(|(key, _)| key != name);
            pairs.push((name, value));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        self.post(&self.sandbox.token_url(), &pairs).await
    }
}

fn refused(answer: &Answer) -> (u16, Value, Value) {
    let body = answer.json();
    assert!(body["error_description"].is_string(), "{body}");
    (answer.status, body["error"].clone(), body["error_description"].clone())
}

#[tokio::test]
async fn a_person_allows_and_the_code_brings_tokens_that_work() {
    let peer = Peer::start(small()).await;
    let url = peer.asking(&[("prompt", "login"), ("nonce", "n")]);
    let page = answer(peer.client.get(&url)).await;
    assert_eq!((page.status, &page.headers["content-type"]), (200, &"text/html; charset=utf-8".parse().unwrap()));
    for part in
        ["<form method=\"post\">", "id=\"user\"", "id=\"allow\"", "id=\"deny\"", "owner@example.com", "contact_data"]
    {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    let allowed = peer.post(&url, &[("user", "0"), ("decision", "allow")]).await;
    assert_eq!(allowed.status, 303);
    let location = allowed.location();
    assert!(location.as_str().starts_with(&format!("{REDIRECT}?code=")), "{location}");
    assert_eq!(parameter(&location, "state").as_deref(), Some("st&te"));

    let code = parameter(&location, "code").unwrap();
    let traded = peer.trade(&code, &[]).await;
    assert_eq!((traded.status, &traded.headers["cache-control"]), (200, &"no-store".parse().unwrap()));
    let reply = traded.json();
    assert_eq!(
        (&reply["token_type"], &reply["expires_in"], &reply["scope"]),
        (&json!("Bearer"), &json!(86_400), &json!(ALL))
    );
    assert!(peer.works(reply["access_token"].as_str().unwrap()).await);
    assert_eq!(reply["refresh_token"], peer.sandbox.refresh_token());
    assert_eq!(peer.refresh(reply["refresh_token"].as_str().unwrap()).await.0, 200);

    let again = refused(&peer.trade(&code, &[]).await);
    let words = json!("The authorization code is invalid or has expired.");
    assert_eq!(again, (400, json!("invalid_grant"), words), "a code works once");
}

#[tokio::test]
async fn a_page_tells_the_person_where_the_browser_may_not_be_sent_back() {
    let peer = Peer::start(small()).await;
    for change in [
        ("client_id", "another"),
        ("client_id", ""),
        ("redirect_uri", ""),
        ("redirect_uri", "https://localhost/"),
        ("redirect_uri", "https://evil.example.com/callback"),
        ("redirect_uri", "http://127.0.0.1.evil.example.com/"),
        ("redirect_uri", "http://localhost@evil.example.com/"),
        ("redirect_uri", "https://127.0.0.1/"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        for answer in [
            answer(peer.client.get(peer.asking(&[change]))).await,
            peer.post(&peer.asking(&[change]), &[("user", "0"), ("decision", "allow")]).await,
        ] {
            assert_eq!(answer.status, 400, "{change:?}");
            assert!(answer.text.contains("id=\"message\"") && !answer.headers.contains_key("location"), "{change:?}");
        }
    }
    for uri in ["https://localhost", "http://localhost:1/a?b=c", "http://[::1]:9/", "http://127.0.0.1"] {
        assert_eq!(answer(peer.client.get(peer.asking(&[("redirect_uri", uri)]))).await.status, 200, "{uri}");
    }
    let strict = Peer::start(with(|config| {
        config.quirks.loopback_redirects = false;
        config.quirks.redirect_uris = vec!["http://127.0.0.1:8765/callback".to_owned()];
    }))
    .await;
    for (uri, status) in
        [(REDIRECT, 400), ("http://127.0.0.1:8765/callback", 200), ("http://127.0.0.1:8765/callback/", 400)]
    {
        assert_eq!(answer(strict.client.get(strict.asking(&[("redirect_uri", uri)]))).await.status, status, "{uri}");
    }
}

#[tokio::test]
async fn the_application_is_told_of_everything_else() {
    let peer = Peer::start(small()).await;
    for (change, error) in [
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "unsupported_response_type"),
        (("scope", ""), "invalid_scope"),
        (("scope", "contact_data everything"), "invalid_scope"),
        (("prompt", "none"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
    ] {
        let refused = answer(peer.client.get(peer.asking(&[change]))).await;
        assert_eq!(refused.status, 302, "{change:?}");
        let location = refused.location();
        assert!(location.as_str().starts_with(REDIRECT), "{location}");
        assert_eq!(parameter(&location, "error").as_deref(), Some(error), "{change:?}");
        assert_eq!(parameter(&location, "state").as_deref(), Some("st&te"));
        assert!(parameter(&location, "error_description").is_some() && parameter(&location, "code").is_none());
    }
    let location = answer(peer.client.get(peer.asking(&[("state", "")]))).await.location();
    assert_eq!(parameter(&location, "error").as_deref(), Some("invalid_request"));
    assert_eq!(parameter(&location, "state"), None);

    let denied = peer.post(&peer.asking(&[]), &[("user", "0"), ("decision", "deny")]).await;
    assert_eq!(denied.status, 303);
    assert_eq!(parameter(&denied.location(), "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&denied.location(), "state").as_deref(), Some("st&te"));
    for form in [&[("user", "1"), ("decision", "allow")][..], &[("user", "0")], &[("decision", "allow")]] {
        assert_eq!(peer.post(&peer.asking(&[]), form).await.status, 400, "{form:?}");
    }
}

#[tokio::test]
async fn a_code_is_bound_to_the_verifier_and_the_redirect() {
    let peer = Peer::start(small()).await;
    for (change, error) in [
        (("code_verifier", "another-verifier-of-forty-three-characters-or-more"), "invalid_grant"),
        (("code_verifier", ""), "invalid_grant"),
        (("redirect_uri", "http://127.0.0.1:54321/other"), "invalid_grant"),
        (("redirect_uri", ""), "invalid_request"),
        (("code", ""), "invalid_request"),
        (("code", "another"), "invalid_grant"),
    ] {
        let code = peer.code("0", &[]).await;
        let (status, found, _) = refused(&peer.trade(&code, &[change]).await);
        assert_eq!((status, found), (400, json!(error)), "{change:?}");
    }
    let no_challenge = [("code_challenge", ""), ("code_challenge_method", "")];
    let code = peer.code("0", &no_challenge).await;
    let (status, error, _) = refused(&peer.trade(&code, &[]).await);
    assert_eq!((status, error), (400, json!("invalid_grant")), "a verifier for a code that has no challenge");
    let code = peer.code("0", &no_challenge).await;
    let (status, error, _) = refused(&peer.trade(&code, &[("code_verifier", "")]).await);
    assert_eq!((status, error), (400, json!("invalid_grant")), "neither secret nor challenge");
    assert_eq!(peer.sandbox.token_requests().issued, 0);
}

#[tokio::test]
async fn a_confidential_client_proves_itself_by_its_secret() {
    let peer = Peer::start(with(|config| config.quirks.client = ClientType::Confidential)).await;
    let no_challenge = [("code_challenge", ""), ("code_challenge_method", "")];
    for (changes, verifier) in [(&no_challenge[..], ""), (&[][..], VERIFIER)] {
        let code = peer.code("0", changes).await;
        let mut pairs = vec![("grant_type", "authorization_code"), ("redirect_uri", REDIRECT), ("code", &code)];
        pairs.extend((!verifier.is_empty()).then_some(("code_verifier", verifier)));
        let request = |secret: &str| {
            let id = peer.sandbox.client_id();
            answer(peer.token_request().basic_auth(id, Some(secret)).body(form_of(&pairs)))
        };
        let (status, error, _) = refused(&request("wrong").await);
        assert_eq!((status, error), (401, json!("invalid_client")), "and the code is still good");
        assert_eq!(request(peer.sandbox.client_secret()).await.status, 200);
    }
    let code = peer.code("0", &[]).await;
    assert_eq!(peer.trade(&code, &[]).await.status, 401, "an id is not enough");
}

#[tokio::test]
async fn a_public_client_must_bring_a_challenge_and_no_secret() {
    let peer = Peer::start(with(|config| config.quirks.client = ClientType::Public)).await;
    let bare = peer.asking(&[("code_challenge", ""), ("code_challenge_method", "")]);
    let location = answer(peer.client.get(bare)).await.location();
    assert_eq!(parameter(&location, "error").as_deref(), Some("invalid_request"));
    let body = form_of(&[("grant_type", "refresh_token"), ("refresh_token", &peer.sandbox.refresh_token())]);
    let with_secret = peer.token_request().basic_auth(peer.sandbox.client_id(), Some(peer.sandbox.client_secret()));
    assert_eq!(answer(with_secret.body(body)).await.status, 401);
    let code = peer.code("0", &[]).await;
    assert_eq!(peer.trade(&code, &[]).await.status, 200);
}

#[tokio::test]
async fn a_code_lives_five_minutes() {
    fn clock() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_225_600, 0).unwrap()
    }
    for (seconds, status) in [(299, 200), (300, 400)] {
        let peer = Peer::start(SandboxConfig { clock, ..small() }).await;
        let code = peer.code("0", &[]).await;
        peer.sandbox.set_time(clock() + TimeDelta::seconds(seconds));
        assert_eq!(peer.trade(&code, &[]).await.status, status, "after {seconds} s");
    }
    let peer = Peer::start(with(|config| config.quirks.code_lifetime = Duration::ZERO)).await;
    let code = peer.code("0", &[]).await;
    assert_eq!(peer.trade(&code, &[]).await.status, 400);
}

#[tokio::test]
async fn only_what_was_asked_for_is_granted() {
    let peer = Peer::start(small()).await;
    let code = peer.code("0", &[("scope", "contact_data account_update")]).await;
    let reply = peer.trade(&code, &[]).await.json();
    assert_eq!(reply["scope"], "contact_data", "the application may not have `account_update`");
    assert_eq!(reply.get("refresh_token"), None, "it comes for `offline_access` alone");
    assert_eq!(peer.sandbox.refresh_token_of(0), None);
    let access = reply["access_token"].as_str().unwrap();
    assert!(peer.works(access).await);
    let emails = format!("{}/emails", peer.sandbox.base_url());
    assert_eq!(answer(peer.client.get(emails).bearer_auth(access)).await.status, 403);
    let claims = URL_SAFE_NO_PAD.decode(access.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["scp"], &claims["sub"]), (&json!(["contact_data"]), &json!("owner@example.com")));
}

#[tokio::test]
async fn signing_in_again_ends_the_older_refresh_token_unless_told_otherwise() {
    for (ends, status) in [(true, 400), (false, 200)] {
        let peer = Peer::start(with(|config| config.quirks.sign_in_ends_older = ends)).await;
        let (older, access) = (peer.sandbox.refresh_token(), peer.sandbox.access_token());
        let code = peer.code("0", &[]).await;
        let newer = peer.trade(&code, &[]).await.json()["refresh_token"].as_str().unwrap().to_owned();
        assert_eq!(peer.refresh(&older).await.0, status);
        assert_eq!(peer.refresh(&newer).await.0, 200);
        assert!(peer.works(&access).await, "access tokens live on");
    }
}
