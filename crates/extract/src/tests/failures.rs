//! Failures: which are tried again, how often, and what is said in the end.

use std::time::Duration;

use super::server::{Canned, Server, contacts, crawl, noon};
use crate::{Client, ClientConfig, Clock, ExtractError, GaveUp, QuotaLimit, RateLimit, RetryAdvice, RetrySettings};

fn html_504() -> Canned {
    Canned::new(504, "<html><h1>504</h1></html>").header("content-type", "text/html")
}

#[tokio::test]
async fn troubles_of_the_api_pass() {
    for trouble in [
        Canned::error(500, "internal"),
        Canned::new(502, ""),
        Canned::new(503, r#"{"message":"Service Unavailable"}"#),
        html_504(),
        Canned::new(408, ""),
        Canned::new(421, ""),
        Canned::new(425, ""),
        Canned::new(499, ""),
        Canned::new(522, "<html>"),
        Canned::new(204, ""),
        Canned::new(200, ""),
        Canned::new(200, "<html>maintenance</html>").header("content-type", "text/html"),
        Canned::new(200, r#"{"error_key":"x","error_message":"y"}"#),
        Canned::new(200, r#"[{"error_key":"x"}]"#),
        Canned::new(200, r#"{"contacts":null}"#),
        Canned::new(200, r#"{"contacts":[{"#),
        Canned::last().truncated(),
        Canned::error(429, "throttled"),
        Canned::new(429, "who knows"),
    ] {
        let server = Server::start([trouble, Canned::last()]).await;
        let client = server.client();
        let page = contacts(&client).next().await.unwrap().unwrap();
        assert!(page.last);
        let usage = client.meter();
        assert_eq!((usage.requests, usage.retries), (2, 1));
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_given_up_and_asked_for_again() {
    let server = Server::start([Canned::hanging(), Canned::last(), Canned::last()]).await;
    let config = ClientConfig { request_timeout: Duration::from_millis(200), ..server.config() };
    let client = Client::new(config).unwrap();
    contacts(&client).next().await.unwrap().unwrap();
    assert!(client.meter().retries >= 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_transient() {
    let server = Server::start([]).await;
    let config = ClientConfig { base_url: "http://127.0.0.1:1/v3".parse().unwrap(), ..server.config() };
    let error = contacts(&Client::new(config).unwrap()).next().await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { gave_up: GaveUp::Attempts(3), reply: None, .. }), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(!source.contains("status=all"), "{source}");
}

#[tokio::test]
async fn attempts_of_one_request_end_and_the_crawl_can_go_on() {
    let answers = [html_504(), html_504(), html_504(), Canned::last()];
    let server = Server::start(answers).await;
    let mut crawl = server.contacts();
    let error = crawl.next().await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { gave_up: GaveUp::Attempts(3), .. }), "{error}");
    assert_eq!((error.retry(), error.ends_run(), error.status()), (RetryAdvice::Later, false, Some(504)));
    assert_eq!(server.seen().len(), 3);
    assert!(crawl.next().await.unwrap().unwrap().last, "the same page again");
}

#[tokio::test]
async fn the_retries_of_the_run_are_shared_and_end() {
    let server = Server::start((0..20).map(|_| Canned::error(500, "internal"))).await;
    let client = server.client();
    let mut errors = Vec::new();
    for _ in 0..4 {
        errors.push(contacts(&client).next().await.unwrap_err());
    }
    let ended: Vec<_> = errors.iter().map(ExtractError::ends_run).collect();
    assert_eq!(ended, [false, false, true, true]);
    assert!(matches!(errors[3], ExtractError::Transient { gave_up: GaveUp::Budget(5), .. }));
    // Two crawls of three attempts take four of the five retries; the third has one, the fourth none.
    assert_eq!((client.meter().requests, client.meter().retries), (3 + 3 + 2 + 1, 5));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    for wait in ["0", "Sat, 31 Jan 2026 12:00:01 GMT"] {
        let answer =
            Canned::error(503, "x").header("retry-after", wait).header("date", "Sat, 31 Jan 2026 12:00:01 GMT");
        let server = Server::start([answer, Canned::last()]).await;
        let retry = RetrySettings {
            first_backoff: Duration::from_hours(1),
            max_backoff: Duration::from_hours(1),
            ..RetrySettings::default()
        };
        let client = Client::new(ClientConfig { retry, ..server.config() }).unwrap();
        contacts(&client).next().await.unwrap().unwrap();
        assert_eq!((client.meter().retries, client.meter().backed_off), (1, Duration::ZERO));
    }
}

#[tokio::test]
async fn one_crawl_that_is_throttled_holds_all_of_them() {
    let server = Server::start([Canned::error(429, "throttled").header("retry-after", "300"), Canned::last()]).await;
    let client = server.client();
    let (mut first, mut second) = (contacts(&client), contacts(&client));
    let first = tokio::spawn(async move { first.next().await });
    while client.meter().throttled == 0 {
        tokio::task::yield_now().await;
    }
    let held = tokio::time::timeout(Duration::from_millis(50), second.next()).await;
    assert!(held.is_err(), "the second crawl went on");
    assert_eq!(server.seen().len(), 1);
    first.abort();
}

#[tokio::test]
async fn a_segment_that_is_being_worked_out_is_asked_for_again() {
    let pending = || Canned::new(202, r#"{"contacts":[],"status":"processing"}"#);
    let server = Server::start([pending(), pending(), Canned::last()]).await;
    let client = server.client();
    crawl(&client, "contacts", &[("segment_id", "14")]).next().await.unwrap().unwrap();
    let usage = client.meter();
    assert_eq!((usage.requests, usage.pending, usage.retries), (3, 2, 0));
    assert!(server.seen().iter().all(|seen| seen.uri == "/v3/contacts?segment_id=14&limit=500"));

    let server = Server::start([pending(), pending(), pending()]).await;
    let error = server.contacts().next().await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { gave_up: GaveUp::Pending(2), .. }), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_quota_that_is_used_up_stops_every_crawl_without_another_request() {
    let answer = Canned::error(429, "quota_exceeded").header("date", "Sat, 31 Jan 2026 23:59:59 GMT");
    let server = Server::start([Canned::page("/v3/contacts?cursor=a"), answer]).await;
    let client = server.client();
    let mut crawl = contacts(&client);
    crawl.next().await.unwrap();
    let mut texts = Vec::new();
    for error in [
        crawl.next().await.unwrap_err(),
        contacts(&client).next().await.unwrap_err(),
        client.server_time().await.unwrap_err(),
    ] {
        assert!(matches!(error, ExtractError::Quota { limit: QuotaLimit::Api { .. }, .. }), "{error}");
        assert!(matches!(error.retry(), RetryAdvice::After(at) if at.to_rfc3339() == "2026-02-01T00:00:00+00:00"));
        assert!(error.ends_run());
        texts.push(error.to_string());
    }
    assert!(texts.iter().all(|text| text == &texts[0] && text.contains("req-1")), "{texts:?}");
    assert_eq!((server.seen().len(), client.meter().retries), (2, 0));
}

#[tokio::test]
async fn no_more_than_the_daily_requests_are_sent_and_midnight_starts_anew() {
    let server = Server::start((0..3).map(|_| Canned::last())).await;
    let hour = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = {
        let hour = std::sync::Arc::clone(&hour);
        Clock::from_fn(move || noon() + chrono::TimeDelta::hours(hour.load(std::sync::atomic::Ordering::Relaxed)))
    };
    let pace = RateLimit { daily_requests: 2, ..server.config().pace };
    let client = Client::new(ClientConfig { pace, clock, ..server.config() }).unwrap();
    contacts(&client).next().await.unwrap();
    contacts(&client).next().await.unwrap();
    let error = contacts(&client).next().await.unwrap_err();
    assert!(
        matches!(error, ExtractError::Quota { limit: QuotaLimit::Configured { daily_requests: 2 }, .. }),
        "{error}"
    );
    assert_eq!(server.seen().len(), 2);
    hour.store(12, std::sync::atomic::Ordering::Relaxed);
    contacts(&client).next().await.unwrap();
}

#[tokio::test]
async fn rejections_are_not_repeated_and_say_what_the_api_said() {
    let list = r#"[{"error_key":"contacts.api.validation.error","error_message":"limit is wrong"},{"error_key":"b"}]"#;
    let stats = r#"{"errors":[{"error_key":"not_found","error_message":"No such id."}],"results":[]}"#;
    let answers = [
        Canned::new(400, list),
        Canned::new(404, stats),
        Canned::error(409, "conflict"),
        Canned::new(415, ""),
        Canned::new(422, r#"{"error":"invalid","error_description":"a\u0007b\nc"}"#),
        Canned::new(400, format!(r#"{{"message":"{}"}}"#, "é".repeat(300))),
        Canned::new(404, "<html>secret</html>"),
    ];
    let count = answers.len();
    let server = Server::start(answers).await;
    let client = server.client();
    let mut texts = Vec::new();
    for _ in 0..count {
        let error = contacts(&client).next().await.unwrap_err();
        assert!(matches!(error, ExtractError::Rejected { .. }), "{error}");
        assert_eq!((error.retry(), error.ends_run()), (RetryAdvice::Never, false));
        texts.push(error.to_string());
    }
    assert_eq!(server.seen().len(), count);
    insta::assert_snapshot!(texts.join("\n"));
}

#[tokio::test]
async fn forbidden_names_the_scope_that_is_needed() {
    let server = Server::start([Canned::error(403, "forbidden")]).await;
    let error = server.contacts().next().await.unwrap_err();
    assert!(matches!(&error, ExtractError::Forbidden { scope, .. } if scope == "contact_data"), "{error}");
    assert_eq!((error.retry(), error.ends_run()), (RetryAdvice::Never, false));
}
