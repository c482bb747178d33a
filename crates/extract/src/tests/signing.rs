//! Signing in: tokens that are given, exchanged, rotated, refused.

use futures::future::join_all;

use super::server::{ACCESS, CLIENT_SECRET, Canned, REFRESH, Server, contacts};
use crate::{Client, ExtractError, GaveUp, RetryAdvice};

async fn refresh_token(client: &Client) -> String {
    use secrecy::ExposeSecret;
    client.refresh_token().await.unwrap().expose_secret().to_owned()
}

#[tokio::test]
async fn a_token_that_was_given_and_is_refused_ends_the_run() {
    let server = Server::start([Canned::error(401, "unauthorized")]).await;
    let client = server.client();
    let error = contacts(&client).next().await.unwrap_err();
    assert!(matches!(error, ExtractError::SignIn { .. }), "{error}");
    assert_eq!((error.retry(), error.ends_run()), (RetryAdvice::AfterSignIn, true));
    assert_eq!((server.seen().len(), client.meter().retries), (1, 0));
    assert!(client.refresh_token().await.is_none());
}

#[tokio::test]
async fn many_crawls_share_one_exchange() {
    let answers = (0..20).map(|_| Canned::last());
    let server = Server::start_with(answers, [Canned::token(ACCESS, Some("rotated"))], false).await;
    let client = Client::new(server.refreshing(None)).unwrap();
    let crawls = (0..20).map(|_| {
        let mut crawl = contacts(&client);
        async move { crawl.next().await.unwrap().unwrap() }
    });
    join_all(crawls).await;
    assert_eq!(client.meter().sign_ins, 1);
    assert_eq!(refresh_token(&client).await, "rotated");
    let [exchange] = &server.exchanges()[..] else { panic!("one exchange") };
    assert_eq!(exchange.body, format!("grant_type=refresh_token&refresh_token={REFRESH}&client_id=the-api-key"));
    assert_eq!(exchange.header("authorization"), "");
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == format!("Bearer {ACCESS}")));
}

#[tokio::test]
async fn a_key_with_a_secret_sends_it_by_basic() {
    let server = Server::start_with([Canned::last()], [Canned::token(ACCESS, None)], false).await;
    let client = Client::new(server.refreshing(Some(CLIENT_SECRET))).unwrap();
    contacts(&client).next().await.unwrap();
    let [exchange] = &server.exchanges()[..] else { panic!("one exchange") };
    assert_eq!(exchange.body, format!("grant_type=refresh_token&refresh_token={REFRESH}"));
    assert_eq!(exchange.header("authorization"), "Basic dGhlLWFwaS1rZXk6czNjcjN0LWNsaWVudA==");
    assert_eq!(refresh_token(&client).await, REFRESH, "a reply without one keeps the old one");
}

#[tokio::test]
async fn an_expired_token_is_renewed_once_for_all_crawls() {
    // Two requests find the first token expired; one exchange serves both.
    let expired = || Canned::error(401, "unauthorized");
    let server = Server::start_with(
        [expired(), expired(), Canned::last(), Canned::last()],
        [Canned::token("first", Some("second-refresh")), Canned::token("second", None)],
        false,
    )
    .await;
    let client = Client::new(server.refreshing(None)).unwrap();
    let (mut a, mut b) = (contacts(&client), contacts(&client));
    let (a, b) = tokio::join!(a.next(), b.next());
    assert!(a.unwrap().is_some() && b.unwrap().is_some());
    assert_eq!(client.meter().sign_ins, 2);
    let bodies: Vec<_> = server.exchanges().into_iter().map(|seen| seen.body).collect();
    assert!(bodies[1].contains("refresh_token=second-refresh"), "{bodies:?}");
    let last = server.seen().pop().unwrap();
    assert_eq!(last.header("authorization"), "Bearer second");
}

#[tokio::test]
async fn a_new_token_that_is_refused_too_ends_the_run() {
    let expired = || Canned::error(401, "unauthorized");
    let tokens = [Canned::token("first", None), Canned::token("second", None)];
    let server = Server::start_with([expired(), expired()], tokens, false).await;
    let client = Client::new(server.refreshing(None)).unwrap();
    let error = contacts(&client).next().await.unwrap_err();
    assert!(matches!(error, ExtractError::SignIn { .. }), "{error}");
    assert_eq!((server.seen().len(), server.exchanges().len()), (2, 2));
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_is_not_tried_again() {
    let refused = r#"{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}"#;
    let server = Server::start_with([], [Canned::new(400, refused)], false).await;
    let client = Client::new(server.refreshing(None)).unwrap();
    for _ in 0..2 {
        let error = contacts(&client).next().await.unwrap_err();
        assert!(matches!(error, ExtractError::SignIn { .. }), "{error}");
        assert!(error.to_string().contains("invalid_grant"), "{error}");
    }
    assert_eq!((server.seen().len(), server.exchanges().len()), (0, 1));
}

#[tokio::test]
async fn troubles_of_the_token_endpoint_pass_or_are_transient() {
    let trouble = || Canned::new(503, "");
    let server = Server::start_with([Canned::last()], [trouble(), Canned::token(ACCESS, None)], false).await;
    let client = Client::new(server.refreshing(None)).unwrap();
    contacts(&client).next().await.unwrap().unwrap();
    assert_eq!(client.meter().retries, 1);

    let server = Server::start_with([], [trouble(), trouble(), trouble()], false).await;
    let client = Client::new(server.refreshing(None)).unwrap();
    let error = contacts(&client).next().await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { gave_up: GaveUp::Attempts(3), .. }), "{error}");
}

#[tokio::test]
async fn a_token_reply_that_is_none_is_an_error_without_its_content() {
    for body in [r#"{"access_token":"s3cr3t"}"#, r#"{"token_type":"Bearer","access_token":["s3cr3t"]}"#, "<html>", ""] {
        let server = Server::start_with([], [Canned::new(200, body)], false).await;
        let error = contacts(&Client::new(server.refreshing(None)).unwrap()).next().await.unwrap_err();
        assert!(matches!(error, ExtractError::NotAPage { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
}
