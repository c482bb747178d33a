//! Resuming after a page that an earlier run read.

use super::server::{Canned, Server, crawl, request};
use crate::{Crawl, ExtractError, PageMark, RetryAdvice};

/// A crawl of contacts that resumes after the second page.
fn resumed(server: &Server, next: &str) -> Crawl {
    let after = PageMark { number: 2, next: next.to_owned() };
    server.client().resume(request("contacts", &[("status", "all")]), after)
}

#[tokio::test]
async fn a_crawl_goes_on_at_the_link_and_the_number_where_another_stopped() {
    let server = Server::start([Canned::page("/v3/contacts?cursor=a"), Canned::page("/v3/contacts?cursor=b")]).await;
    let mut stopped = server.contacts();
    stopped.next().await.unwrap();
    let second = stopped.next().await.unwrap().unwrap();
    let next = second.next.clone().unwrap();
    assert_eq!(next, "/v3/contacts?cursor=b");

    server.add([Canned::page("/v3/contacts?cursor=c"), Canned::last()]);
    let mut crawl = resumed(&server, &next);
    let third = crawl.next().await.unwrap().unwrap();
    let fourth = crawl.next().await.unwrap().unwrap();
    assert!(crawl.next().await.unwrap().is_none());
    assert_eq!((third.number, third.next.as_deref(), third.last), (3, Some("/v3/contacts?cursor=c"), false));
    assert_eq!((fourth.number, fourth.next.as_deref(), fourth.last), (4, None, true));
    assert_eq!(third.params, second.params);
    let uris: Vec<_> = server.seen().into_iter().skip(2).map(|seen| seen.uri).collect();
    assert_eq!(uris, ["/v3/contacts?cursor=b", "/v3/contacts?cursor=c"]);
}

#[tokio::test]
async fn a_link_that_the_api_takes_no_more_is_told_from_a_bad_request() {
    for status in [400, 404, 410, 422] {
        let server = Server::start([Canned::error(status, "contacts.api.validation.error")]).await;
        let error = resumed(&server, "/v3/contacts?cursor=a@b.example").next().await.unwrap_err();
        assert!(matches!(error, ExtractError::StaleCursor { .. }), "{status}: {error}");
        assert_eq!((error.status(), error.retry(), error.ends_run()), (Some(status), RetryAdvice::Never, false));
        assert!(!format!("{error} {error:?}").contains("a@b.example"));
        assert_eq!(server.seen().len(), 1, "it is not asked again");
    }
}

#[tokio::test]
async fn only_the_first_request_of_a_resumed_crawl_can_be_stale() {
    let server = Server::start([Canned::page("/v3/contacts?cursor=b"), Canned::error(400, "x")]).await;
    let mut crawl = resumed(&server, "/v3/contacts?cursor=a");
    crawl.next().await.unwrap();
    assert!(matches!(crawl.next().await, Err(ExtractError::Rejected { .. })));

    let server = Server::start([Canned::error(400, "x")]).await;
    assert!(matches!(server.contacts().next().await, Err(ExtractError::Rejected { .. })));
}

#[tokio::test]
async fn whatever_finally_comes_of_a_kept_link_is_a_stale_cursor() {
    let html = || Canned::new(200, "<html>maintenance</html>");
    let thrice = |answer: fn() -> Canned| vec![answer(), answer(), answer()];
    for (answers, status) in [
        (thrice(|| Canned::error(500, "x")), 500),
        (thrice(|| Canned::error(522, "x")), 522),
        (thrice(|| Canned::error(408, "x")), 408),
        (vec![html(), html(), html()], 200),
        (thrice(|| Canned::new(200, "")), 200),
        (thrice(|| Canned::new(200, r#"{"error_key":"x","error_message":"y"}"#)), 200),
        (vec![Canned::error(403, "x")], 403),
    ] {
        let sent = answers.len();
        let server = Server::start([]).await;
        server.add(answers);
        let error = resumed(&server, "/v3/contacts?cursor=a").next().await.unwrap_err();
        assert!(matches!(error, ExtractError::StaleCursor { .. }), "{status}: {error}");
        assert_eq!((error.status(), server.seen().len()), (Some(status), sent));
    }
}

#[tokio::test]
async fn what_ends_the_run_says_nothing_of_a_kept_link() {
    let server = Server::start([Canned::error(401, "unauthorized")]).await;
    let error = resumed(&server, "/v3/contacts?cursor=a").next().await.unwrap_err();
    assert!(matches!(error, ExtractError::SignIn { .. }), "{error}");
    let config = crate::ClientConfig { base_url: "http://127.0.0.1:1/v3".parse().unwrap(), ..server.config() };
    let after = PageMark { number: 2, next: "/v3/contacts?cursor=a".to_owned() };
    let client = crate::Client::new(config).unwrap();
    let error = client.resume(request("contacts", &[("status", "all")]), after).next().await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { .. }), "nobody listens: {error}");
}

#[tokio::test]
async fn a_kept_link_that_leads_elsewhere_is_never_followed() {
    for link in ["https://evil.example/v3/contacts?cursor=a", "//evil.example/v3", "http://", "file:///etc/passwd"] {
        let server = Server::start([]).await;
        let error = resumed(&server, link).next().await.unwrap_err();
        let ExtractError::StaleCursor { error } = error else { panic!("{link}: {error}") };
        assert!(matches!(*error, ExtractError::ForeignLink { .. }), "{link}: {error}");
        assert!(server.seen().is_empty());
    }
}

#[tokio::test]
async fn a_cursor_that_comes_back_ends_a_resumed_crawl() {
    let first_page = "/v3/contacts?status=all&limit=500";
    let error = resumed(&Server::start([]).await, first_page).next().await.unwrap_err();
    let ExtractError::StaleCursor { error } = error else { panic!("a link back to the first page: {error}") };
    assert!(matches!(*error, ExtractError::RepeatedCursor { .. }), "a link back to the first page: {error}");

    let server = Server::start(["/v3/contacts?cursor=b", "/v3/contacts?cursor=a"].map(Canned::page)).await;
    let mut crawl = resumed(&server, "/v3/contacts?cursor=a");
    crawl.next().await.unwrap();
    crawl.next().await.unwrap();
    assert!(matches!(crawl.next().await, Err(ExtractError::RepeatedCursor { .. })));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_request_that_cannot_be_is_refused_before_its_link_is_followed() {
    let server = Server::start([]).await;
    let after = PageMark { number: 1, next: "/v3/contacts?cursor=a".to_owned() };
    let mut crawl = server.client().resume(request("contacts", &[("nonsense", "1")]), after);
    assert!(matches!(crawl.next().await, Err(ExtractError::Parameter { .. })));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn activity_details_tell_how_old_their_oldest_row_is() {
    let rows = r#"[{"created_time":"2026-01-02T10:00:00.000Z"},{"created_time":"2026-01-01T10:00:00+0000"}]"#;
    let page = |rows: &str| Canned::new(200, format!(r#"{{"tracking_activities":{rows}}}"#));
    let server = Server::start([page(rows), page("[]"), Canned::last()]).await;
    let params = [("contact_id", "c"), ("tracking_activities_list", "em_sends")];
    let oldest = async |mut crawl: Crawl| crawl.next().await.unwrap().unwrap().oldest;
    let client = server.client();
    assert_eq!(
        oldest(crawl(&client, "contact_activity_details", &params)).await.as_deref(),
        Some("2026-01-01T10:00:00+0000")
    );
    assert_eq!(oldest(crawl(&client, "contact_activity_details", &params)).await, None);
    assert_eq!(oldest(server.contacts()).await, None);
}
