//! Signing in with a code that is typed in on another device.

use std::cell::RefCell;
use std::time::Duration;

use super::returning::{attempt, form};
use super::server::{ACCESS, CLIENT_SECRET, Canned, REFRESH, Server};
use crate::{ExtractError, RetryAdvice, SignIn, SignInAttempt, SignInFailure};

const DEVICE_CODE: &str = "s3cr3t-device";

fn code(expires_in: u64) -> Canned {
    Canned::new(
        200,
        format!(
            r#"{{"device_code":"{DEVICE_CODE}","user_code":"ABCD-EFGH","verification_uri":"https://authz.example/activate",
                "verification_uri_complete":"https://authz.example/activate?user_code=ABCD-EFGH","expires_in":{expires_in},
                "interval":5}}"#
        ),
    )
}

fn said(key: &str) -> Canned {
    Canned::new(400, format!(r#"{{"error":"{key}","error_description":"Text."}}"#))
}

/// Asks for a code and polls until the end; the seconds that it would have waited are told.
async fn poll(attempt: &SignInAttempt) -> (Result<SignIn, ExtractError>, Vec<u64>) {
    let code = attempt.device_code().await.unwrap();
    let waits = RefCell::new(Vec::new());
    let wait = |wait: Duration| {
        waits.borrow_mut().push(wait.as_secs());
        std::future::ready(())
    };
    let result = attempt.polled(&code, wait).await;
    (result, waits.into_inner())
}

async fn polled(polls: impl IntoIterator<Item = Canned>, expires_in: u64) -> (Result<SignIn, ExtractError>, Vec<u64>) {
    let server = Server::start_with([], [code(expires_in)].into_iter().chain(polls), false).await;
    poll(&attempt(&server, None)).await
}

#[tokio::test]
async fn a_code_is_typed_in_while_the_program_asks_no_faster_than_it_may() {
    let polls = [
        said("authorization_pending"),
        said("slow_down"),
        said("authorization_pending"),
        Canned::token(ACCESS, Some(REFRESH)),
    ];
    let server = Server::start_with([], [code(600)].into_iter().chain(polls), false).await;
    // A secret, where there is one, has no place in this flow.
    let attempt = attempt(&server, Some(CLIENT_SECRET));
    let shown = attempt.device_code().await.unwrap();
    assert_eq!((shown.user_code().as_str(), shown.expires_in().as_secs()), ("ABCD-EFGH", 600));
    assert_eq!(shown.verification_uri(), "https://authz.example/activate");
    assert_eq!(shown.verification_uri_complete().unwrap(), "https://authz.example/activate?user_code=ABCD-EFGH");
    assert!(!format!("{shown:?}").contains(DEVICE_CODE), "{shown:?}");
    let waits = RefCell::new(Vec::new());
    let wait = |wait: Duration| {
        waits.borrow_mut().push(wait.as_secs());
        std::future::ready(())
    };
    let sign_in = attempt.polled(&shown, wait).await.unwrap();
    assert_eq!(*waits.borrow(), [5, 10, 10]);
    assert!(sign_in.client_secret.is_none() && sign_in.refresh_token.is_some());

    let exchanges = server.exchanges();
    let asked = form(&exchanges[0]);
    assert_eq!(exchanges[0].uri, "/oauth2/default/v1/device/authorize");
    assert_eq!((asked["client_id"].as_str(), asked["response_type"].as_str()), ("the-api-key", "code"));
    assert_eq!(asked["scope"], "contact_data campaign_data account_read offline_access");
    for poll in &exchanges[1..] {
        let form = form(poll);
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
        assert_eq!((form["device_code"].as_str(), form["client_id"].as_str()), (DEVICE_CODE, "the-api-key"));
        assert_eq!(poll.header("authorization"), "");
    }
    assert_eq!(exchanges.len(), 5);
}

#[tokio::test]
async fn troubles_while_it_waits_pass() {
    let polls = [Canned::new(503, "<html>"), Canned::new(429, "{}"), Canned::new(200, "{}").truncated()];
    let (result, waits) = polled(polls.into_iter().chain([Canned::token(ACCESS, None)]), 600).await;
    result.unwrap();
    assert_eq!(waits, [10, 20, 40], "it asks less and less often");
}

#[tokio::test]
async fn a_code_that_nobody_confirms_ends() {
    let (result, _) = polled([said("authorization_pending"), said("expired_token")], 600).await;
    let error = result.unwrap_err();
    assert!(matches!(error, ExtractError::SigningIn(SignInFailure::DeviceCodeEnded)), "{error}");
    assert_eq!(error.retry(), RetryAdvice::AfterSignIn);
    // By its own clock, where the server never says so.
    let (result, _) = polled([said("authorization_pending")], 0).await;
    let error = result.unwrap_err();
    assert!(matches!(error, ExtractError::SigningIn(SignInFailure::DeviceCodeEnded)), "{error}");
}

#[tokio::test]
async fn a_code_that_ends_while_the_server_is_away_is_worth_another_try() {
    let server = Server::start_with([], [code(1), Canned::new(503, "")], false).await;
    let attempt = attempt(&server, None);
    let code = attempt.device_code().await.unwrap();
    let wait = |_| async {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
    };
    let error = attempt.polled(&code, wait).await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { .. }), "{error}");
}

#[tokio::test]
async fn what_a_device_is_refused_with_is_told() {
    let mut texts = Vec::new();
    for refusal in [
        said("access_denied"),
        said("invalid_client"),
        said("invalid_grant"),
        Canned::new(400, "<html>"),
        Canned::new(200, "{}"),
    ] {
        let error = polled([refusal], 600).await.0.unwrap_err();
        texts.push(format!("{:?}: {error}", error.retry()));
    }
    let server = Server::start_with([], [said("unauthorized_client"), Canned::new(200, "{}")], false).await;
    for _ in 0..2 {
        let error = attempt(&server, None).device_code().await.unwrap_err();
        texts.push(format!("{:?}: {error}", error.retry()));
    }
    insta::assert_snapshot!(texts.join("\n"));
}
