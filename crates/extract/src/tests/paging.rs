//! Pages: how they follow each other, and what is refused.

use super::server::{ACCESS, Canned, Server, contacts, crawl, noon};
use crate::{ClientConfig, ExtractError, RetryAdvice};

#[tokio::test]
async fn links_are_followed_exactly_as_they_stand() {
    let server = Server::start([Canned::page("/v3/contacts?cursor=bGltaXQ9MQ=="), Canned::last()]).await;
    let mut crawl = server.contacts();
    let first = crawl.next().await.unwrap().unwrap();
    let second = crawl.next().await.unwrap().unwrap();
    assert!(crawl.next().await.unwrap().is_none());
    assert!(crawl.next().await.unwrap().is_none(), "the end stays the end");

    let uris: Vec<_> = server.seen().into_iter().map(|seen| seen.uri).collect();
    assert_eq!(uris, ["/v3/contacts?status=all&limit=500", "/v3/contacts?cursor=bGltaXQ9MQ=="]);
    assert_eq!((first.number, first.last, second.number, second.last), (1, false, 2, true));
    assert_eq!(&first.params[..], [("status".to_owned(), "all".to_owned())]);
    assert_eq!(&second.body[..], br#"{"contacts":[]}"#);
    assert_eq!(second.received_at, noon());
    assert_eq!(second.request_id.as_deref(), Some("req-1"));
    assert!(second.server_date.is_some());
}

#[tokio::test]
async fn every_request_says_who_asks_and_what_for() {
    let server = Server::start([Canned::last()]).await;
    server.contacts().next().await.unwrap();
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!(seen.header("accept"), "application/json");
    assert_eq!(seen.header("accept-encoding"), "gzip");
    assert_eq!(seen.header("authorization"), format!("Bearer {ACCESS}"));
    assert_eq!(seen.header("user-agent"), concat!("ctct-etl/", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn dates_and_counts_are_read_from_the_answer() {
    let page =
        Canned::new(200, r#"{"contacts":[],"contacts_count":3}"#).header("date", "Tue, 29 Sep 2026 18:40:56 GMT");
    let server = Server::start([page]).await;
    let page = server.contacts().next().await.unwrap().unwrap();
    assert_eq!(page.count, Some(3));
    assert_eq!(page.server_date.unwrap().to_rfc3339(), "2026-09-29T18:40:56+00:00");
}

#[tokio::test]
async fn an_absolute_link_to_the_same_server_is_followed() {
    let server = Server::start([]).await;
    server.add([Canned::page(server.url("/v3/contacts?cursor=a").as_str()), Canned::last()]);
    let mut crawl = server.contacts();
    crawl.next().await.unwrap();
    assert!(crawl.next().await.unwrap().unwrap().last);
}

#[tokio::test]
async fn a_link_to_another_server_comes_after_its_page_and_is_never_followed() {
    for (link, host) in [
        ("https://evil.example/v3/contacts?cursor=a@b.example", "https://evil.example"),
        ("//evil.example/v3", "http://evil.example"),
        ("\\\\\\\\evil.example/v3", "http://evil.example"),
        ("http://127.0.0.1@evil.example/", "http://evil.example"),
        ("http://127.0.0.1:1/v3", "http://127.0.0.1:1"),
        ("https://127.0.0.1/v3", "https://127.0.0.1"),
        ("file:///etc/passwd", "null"),
        ("http://", "no URL"),
    ] {
        let server = Server::start([Canned::page(link)]).await;
        let mut crawl = server.contacts();
        assert!(!crawl.next().await.unwrap().unwrap().last, "the page itself is good");
        let error = crawl.next().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(&error, ExtractError::ForeignLink { host: got, .. } if got == host), "{link}: {text}");
        assert!(!text.contains("a@b.example"), "{text}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn a_link_that_names_a_user_is_refused() {
    let server = Server::start([]).await;
    let mut link = server.url("/v3/contacts?cursor=a");
    link.set_username("someone").unwrap();
    server.add([Canned::page(link.as_str())]);
    let mut crawl = server.contacts();
    crawl.next().await.unwrap();
    assert!(matches!(crawl.next().await, Err(ExtractError::ForeignLink { .. })));
}

#[tokio::test]
async fn a_cursor_that_comes_back_ends_the_crawl() {
    let pages = ["/v3/contacts?cursor=a", "/v3/contacts?cursor=b", "/v3/contacts?cursor=a"].map(Canned::page);
    let server = Server::start(pages).await;
    let mut crawl = server.contacts();
    for _ in 0..3 {
        crawl.next().await.unwrap().unwrap();
    }
    let error = crawl.next().await.unwrap_err();
    assert!(matches!(error, ExtractError::RepeatedCursor { .. }), "{error}");
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_link_back_to_the_first_page_ends_the_crawl() {
    let server = Server::start([Canned::page("/v3/contacts?status=all&limit=500")]).await;
    let mut crawl = server.contacts();
    crawl.next().await.unwrap();
    assert!(matches!(crawl.next().await, Err(ExtractError::RepeatedCursor { .. })));
}

#[tokio::test]
async fn redirects_are_refused_and_only_their_host_is_named() {
    let redirect = |to: &str| Canned::new(302, "").header("location", to);
    let server = Server::start([redirect("https://login.example/?token=abc"), redirect("/v3/other")]).await;
    let client = server.client();
    for host in ["https://login.example", "http://127.0.0.1"] {
        let error = contacts(&client).next().await.unwrap_err();
        assert!(matches!(&error, ExtractError::Redirect { host: got, .. } if got.starts_with(host)), "{error}");
        assert!(!error.to_string().contains("abc"), "{error}");
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_is_no_page_is_an_error_with_its_request_id() {
    for body in ["<html><title>secret</title>", "{\"secret\":[]}", "[]", "", "{\"contacts\":[{}"] {
        let server = Server::start([body, body, body].map(|body| Canned::new(200, body))).await;
        let error = server.contacts().next().await.unwrap_err();
        assert!(matches!(error, ExtractError::NotAPage { .. }), "{error}");
        assert_eq!((error.retry(), error.ends_run()), (RetryAdvice::Later, false));
        assert_eq!(server.seen().len(), 3, "it is asked for again");
        let text = error.to_string();
        assert!(text.contains("request id req-") && text.contains("track-") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_as_announced_as_streamed_and_as_decompressed() {
    let page = || Canned::new(200, format!(r#"{{"contacts":["{}"]}}"#, "x".repeat(100_000)));
    for (answer, gzip) in [(page(), false), (page().chunked(), false), (page(), true)] {
        let server = Server::start_with([answer], [], gzip).await;
        let config = ClientConfig { max_body_bytes: 50_000, ..server.config() };
        let error = contacts(&crate::Client::new(config).unwrap()).next().await.unwrap_err();
        assert!(matches!(error, ExtractError::BodyTooLarge { max_body_bytes: 50_000, .. }), "{error}");
        assert_eq!(server.seen().len(), 1, "asking again would not make it smaller");
    }
}

#[tokio::test]
async fn gzip_is_taken_and_undone() {
    let body = format!(r#"{{"contacts":["{}"]}}"#, "x".repeat(10_000));
    let server = Server::start_with([Canned::new(200, body.clone())], [], true).await;
    let client = server.client();
    let page = contacts(&client).next().await.unwrap().unwrap();
    assert_eq!(page.body, body);
    assert_eq!(client.meter().bytes, body.len() as u64);
}

#[tokio::test]
async fn a_path_parameter_cannot_leave_its_segment() {
    let page = || Canned::new(200, r#"{"tracking_activities":[]}"#);
    let server = Server::start([page(), page()]).await;
    let client = server.client();
    for id in ["../../x", "a/../../contacts?limit=1"] {
        let params = [("contact_id", id), ("tracking_activities_list", "em_sends,em_opens")];
        crawl(&client, "contact_activity_details", &params).next().await.unwrap().unwrap();
    }
    let query = "activity_details?tracking_activities_list=em_sends%2Cem_opens&limit=100";
    let uris: Vec<_> = server.seen().into_iter().map(|seen| seen.uri).collect();
    assert_eq!(
        uris,
        [
            format!("/v3/reports/contact_reports/..%2F..%2Fx/{query}"),
            format!("/v3/reports/contact_reports/a%2F..%2F..%2Fcontacts%3Flimit=1/{query}"),
        ]
    );
}

#[tokio::test]
async fn the_servers_time_is_had_without_the_token_and_whatever_the_status() {
    let answer = Canned::error(403, "forbidden").header("date", "Tue, 29 Sep 2026 18:40:56 GMT");
    let server = Server::start([answer]).await;
    let time = server.client().server_time().await.unwrap().unwrap();
    assert_eq!(time.to_rfc3339(), "2026-09-29T18:40:56+00:00");
    let [seen] = &server.seen()[..] else { panic!("one request") };
    assert_eq!((seen.uri.as_str(), seen.header("authorization")), ("/v3", ""));
}
