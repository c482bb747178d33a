//! Signing in with a browser that comes back, and with one whose address is pasted.

use std::collections::HashMap;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::server::{ACCESS, CLIENT_SECRET, Canned, REFRESH, Seen, Server, noon};
use crate::{
    Application, Authority, Authorization, Clock, ExtractError, GaveUp, Loopback, RetryAdvice, SignInAttempt,
    SignInFailure, Url,
};

const CODE: &str = "s3cr3t-code";

pub(super) fn attempt(server: &Server, client_secret: Option<&str>) -> SignInAttempt {
    let application = Application {
        name: "default".to_owned(),
        client_id: "the-api-key".to_owned(),
        client_secret: client_secret.map(Into::into),
    };
    SignInAttempt::new("acme", application, Authority::at(&server.url("/")).unwrap(), Clock::fixed(noon())).unwrap()
}

/// The fields of a form, as a request carried it.
pub(super) fn form(seen: &Seen) -> HashMap<String, String> {
    form_urlencoded::parse(seen.body.as_bytes()).into_owned().collect()
}

fn asked(authorization: &Authorization) -> HashMap<String, String> {
    authorization.url().query_pairs().into_owned().collect()
}

/// Where the browser is sent back to.
fn back(authorization: &Authorization, rest: &str) -> String {
    let asked = asked(authorization);
    format!("{}?{rest}&state={}", asked["redirect_uri"], asked["state"])
}

/// What a browser sees at an address.
async fn visit(url: &str) -> (u16, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[test]
fn the_vendors_endpoints_are_those_of_its_guide() {
    let authority = Authority::vendor();
    let urls = [&authority.authorize_url, &authority.token_url, &authority.device_url].map(Url::as_str);
    assert_eq!(
        urls,
        [
            "https://authz.constantcontact.com/oauth2/default/v1/authorize",
            "https://authz.constantcontact.com/oauth2/default/v1/token",
            "https://authz.constantcontact.com/oauth2/default/v1/device/authorize",
        ]
    );
    for refused in ["ftp://authz.example", "https://me:s3cr3t@authz.example", "mailto:a@b.example"] {
        let error = Authority::at(&refused.parse().unwrap()).unwrap_err();
        assert!(matches!(error, ExtractError::Config { .. }) && !error.to_string().contains("s3cr3t"), "{error}");
    }
}

#[tokio::test]
async fn a_browser_comes_back_with_a_code_and_is_told_that_it_worked() {
    let reply = format!(
        r#"{{"token_type":"Bearer","expires_in":3600,"access_token":"{ACCESS}","refresh_token":"{REFRESH}",
            "scope":"contact_data offline_access"}}"#
    );
    let server = Server::start_with([], [Canned::new(200, reply)], false).await;
    let attempt = attempt(&server, None);
    let loopback = Loopback::listen("http://127.0.0.1:0/callback").await.unwrap();
    let authorization = attempt.authorize(loopback.redirect_uri()).unwrap();
    let asked = asked(&authorization);
    assert_eq!(authorization.url().path(), "/oauth2/default/v1/authorize");
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["client_id"], "the-api-key");
    assert_eq!(asked["scope"], "contact_data campaign_data account_read offline_access");
    assert!(authorization.url().query().unwrap().contains("contact_data+campaign_data"), "spaces travel as `+`");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["redirect_uri"], loopback.redirect_uri());
    assert!(asked["state"].len() >= 16);

    let browser = tokio::spawn({
        let back = back(&authorization, &format!("code={CODE}"));
        async move { visit(&back).await }
    });
    let visitor = loopback.visitor(&authorization).await.unwrap();
    let code = visitor.code();
    let said = format!("{attempt:?} {authorization:?} {visitor:?} {code:?}");
    let sign_in = attempt.redeem(authorization, code).await.unwrap();
    visitor.welcome("acme <is> signed in.").await;
    let (status, page) = browser.await.unwrap();
    assert_eq!(status, 200);
    assert!(page.contains("Signed in") && page.contains("acme &lt;is&gt; signed in."), "{page}");

    let [exchange] = &server.exchanges()[..] else { panic!("one exchange") };
    let form = form(exchange);
    assert_eq!((form["grant_type"].as_str(), form["code"].as_str()), ("authorization_code", CODE));
    assert_eq!((&form["client_id"], &form["redirect_uri"]), (&asked["client_id"], &asked["redirect_uri"]));
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    assert_eq!(challenge, asked["code_challenge"], "the verifier is the challenge's");
    assert_eq!(exchange.header("authorization"), "");

    assert_eq!((sign_in.account.as_str(), sign_in.application.as_str()), ("acme", "default"));
    assert_eq!(sign_in.scopes, ["contact_data", "offline_access"], "what was granted, not what was asked for");
    assert_eq!(sign_in.expires_at.unwrap().to_rfc3339(), "2026-01-31T13:00:00+00:00");
    assert_eq!(sign_in.refresh_token.as_ref().unwrap().expose_secret(), REFRESH);
    assert_eq!(sign_in.token_url, server.url("/oauth2/default/v1/token"));
    assert!(!format!("{said} {sign_in:?}").contains("s3cr3t"), "{said}");
}

#[tokio::test]
async fn an_application_with_a_secret_proves_both_the_secret_and_the_verifier() {
    let server = Server::start_with([], [Canned::token(ACCESS, None)], false).await;
    let attempt = attempt(&server, Some(CLIENT_SECRET));
    let authorization = attempt.authorize("https://localhost").unwrap();
    assert_eq!(
        asked(&authorization)["redirect_uri"],
        "https://localhost",
        "exactly as written, without a slash at its end"
    );
    let code = authorization.code_in(CODE).unwrap();
    let sign_in = attempt.redeem(authorization, code).await.unwrap();
    let [exchange] = &server.exchanges()[..] else { panic!("one exchange") };
    assert_eq!(exchange.header("authorization"), "Basic dGhlLWFwaS1rZXk6czNjcjN0LWNsaWVudA==");
    assert!(form(exchange).contains_key("code_verifier"));
    assert_eq!(sign_in.client_secret.unwrap().expose_secret(), CLIENT_SECRET);
    assert!(sign_in.refresh_token.is_none());
    assert_eq!(sign_in.expires_at.unwrap().to_rfc3339(), "2026-02-01T12:00:00+00:00", "`expires_in` may be a text");
    assert_eq!(sign_in.scopes, crate::SCOPES, "a reply without scopes grants what was asked for");
}

#[tokio::test]
async fn only_the_browser_of_this_sign_in_is_listened_to() {
    let server = Server::start([]).await;
    let loopback = Loopback::listen("http://localhost:0/callback").await.unwrap();
    let authorization = attempt(&server, None).authorize(loopback.redirect_uri()).unwrap();
    let redirect_uri = loopback.redirect_uri().to_owned();
    let right = back(&authorization, &format!("code={CODE}"));
    let waiting = tokio::spawn(async move { loopback.visitor(&authorization).await });
    for (url, status) in [
        (redirect_uri.replace("/callback", "/favicon.ico"), 404),
        (redirect_uri.clone(), 400),
        (format!("{redirect_uri}?code={CODE}"), 400),
        (format!("{redirect_uri}?code={CODE}&state=another"), 400),
        (format!("{redirect_uri}?error=access_denied&state=another"), 400),
    ] {
        let (seen, page) = visit(&url).await;
        assert_eq!(seen, status, "{url}: {page}");
        assert!(!page.contains(CODE));
    }
    let posted = reqwest::Client::builder().no_proxy().build().unwrap().post(&right).send().await.unwrap();
    assert_eq!(posted.status(), 405);
    assert!(!waiting.is_finished());

    let browser = tokio::spawn({
        let right = right.clone();
        async move { visit(&right).await }
    });
    let visitor = waiting.await.unwrap().unwrap();
    visitor.turn_away("The code was refused.").await;
    let (_, page) = browser.await.unwrap();
    assert!(page.contains("Not signed in") && page.contains("The code was refused."), "{page}");
    let gone = reqwest::Client::builder().no_proxy().build().unwrap().get(&right).send().await;
    assert!(gone.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_person_who_says_no_is_told_so_in_both_places() {
    let server = Server::start([]).await;
    let loopback = Loopback::listen("http://127.0.0.1:0").await.unwrap();
    let authorization = attempt(&server, None).authorize(loopback.redirect_uri()).unwrap();
    let url = back(&authorization, "error=access_denied&error_description=%3Cb%3Eno%3C/b%3E");
    let (error, (status, page)) = tokio::join!(loopback.visitor(&authorization), visit(&url));
    let error = error.unwrap_err();
    assert!(matches!(error, ExtractError::SigningIn(SignInFailure::Denied(_))), "{error}");
    assert_eq!(error.retry(), RetryAdvice::AfterSignIn);
    assert!(error.to_string().contains("access_denied: <b>no</b>"), "{error}");
    assert_eq!(status, 200);
    assert!(page.contains("access_denied: &lt;b&gt;no&lt;/b&gt;"), "{page}");
    assert!(server.exchanges().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_browser_for_ever() {
    let server = Server::start([]).await;
    let loopback = Loopback::listen("http://127.0.0.1:0").await.unwrap();
    let authorization = attempt(&server, None).authorize(loopback.redirect_uri()).unwrap();
    let error = loopback.visitor(&authorization).await.unwrap_err();
    assert!(matches!(error, ExtractError::SigningIn(SignInFailure::NobodyCame { minutes: 5 })), "{error}");
}

#[tokio::test]
async fn a_redirect_uri_that_leads_elsewhere_is_refused() {
    let taken = Loopback::listen("http://127.0.0.1:0").await.unwrap();
    let mut texts = Vec::new();
    for uri in ["https://localhost", "http://127.0.0.2:80/", "http://example.com", "http://[::1]:1", "callback"] {
        let error = Loopback::listen(uri).await.unwrap_err();
        assert_eq!(error.retry(), RetryAdvice::Never);
        texts.push(error.to_string());
    }
    let error = Loopback::listen(taken.redirect_uri()).await.unwrap_err();
    assert!(matches!(error, ExtractError::SigningIn(SignInFailure::Port { .. })), "{error}");
    let server = Server::start([]).await;
    texts.push(attempt(&server, None).authorize("callback").unwrap_err().to_string());
    insta::assert_snapshot!(texts.join("\n"));
}

#[tokio::test]
async fn what_is_pasted_may_be_the_address_its_query_or_the_code() {
    let server = Server::start([]).await;
    let authorization = attempt(&server, None).authorize("https://localhost").unwrap();
    let state = asked(&authorization)["state"].clone();
    let address = back(&authorization, "code=a%2Fb%2Bc");
    for pasted in [
        address.clone(),
        format!("  {address}\r\n"),
        format!("\"{address}#_=_\""),
        format!("https://localhost/?state={state}&code=a%2Fb%2Bc"),
        format!("?code=a%2Fb%2Bc&state={state}"),
        format!("code=a%2Fb%2Bc&state={state}"),
        "a/b+c".to_owned(),
    ] {
        assert_eq!(authorization.code_in(&pasted).unwrap().secret(), "a/b+c", "{pasted}");
    }
    let failed = |pasted: &str| match authorization.code_in(pasted).unwrap_err() {
        ExtractError::SigningIn(failure) => failure,
        error => panic!("{error}"),
    };
    for pasted in ["https://localhost/?code=abc", "https://localhost/?code=abc&state=other", "?code=abc&state="] {
        assert!(matches!(failed(pasted), SignInFailure::OtherState), "{pasted}");
    }
    for pasted in ["", "  ", "two words", "https://localhost/", &format!("https://localhost/?state={state}")] {
        assert!(matches!(failed(pasted), SignInFailure::NoCode), "{pasted}");
    }
    let denied = failed(&back(&authorization, "error=access_denied"));
    assert!(matches!(denied, SignInFailure::Denied(_)), "{denied}");
}

#[tokio::test]
async fn a_code_that_buys_no_token_says_why_and_what_to_do() {
    let oauth = |status, key: &str| Canned::new(status, format!(r#"{{"error":"{key}","error_description":"Text."}}"#));
    let answers = [
        oauth(400, "invalid_grant"),
        oauth(401, "invalid_client"),
        oauth(400, "unauthorized_client"),
        oauth(400, "invalid_scope"),
        Canned::new(403, "<html>"),
        Canned::new(302, "").header("location", "https://elsewhere.example/?code=s3cr3t"),
        Canned::new(200, format!(r#"{{"access_token":"{ACCESS}"}}"#)),
        Canned::new(200, format!("<html>{ACCESS}")),
        Canned::new(503, "<html>"),
        Canned::new(429, "{}"),
        Canned::new(200, "{}").truncated(),
    ];
    let count = answers.len();
    let server = Server::start_with([], answers, false).await;
    let attempt = attempt(&server, Some(CLIENT_SECRET));
    let mut texts = Vec::new();
    for _ in 0..count {
        let authorization = attempt.authorize("https://localhost").unwrap();
        let code = authorization.code_in(CODE).unwrap();
        let error = attempt.redeem(authorization, code).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
        texts.push(format!("{:?}: {error}", error.retry()));
    }
    assert_eq!(server.exchanges().len(), count, "a code works once, so it is sent once");
    let there = server.url("/").authority().to_owned();
    insta::assert_snapshot!(texts.join("\n").replace(&there, "[server]"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let free = Loopback::listen("http://127.0.0.1:0").await.unwrap().redirect_uri().to_owned();
    let application = Application { name: "a".to_owned(), client_id: "b".to_owned(), client_secret: None };
    let authority = Authority::at(&free.parse().unwrap()).unwrap();
    let attempt = SignInAttempt::new("acme", application, authority, Clock::fixed(noon())).unwrap();
    let authorization = attempt.authorize("https://localhost").unwrap();
    let code = authorization.code_in(CODE).unwrap();
    let error = attempt.redeem(authorization, code).await.unwrap_err();
    assert!(matches!(error, ExtractError::Transient { gave_up: GaveUp::Attempts(1), .. }), "{error}");
    assert!(!format!("{error:?}").contains(CODE));
}

#[tokio::test]
async fn an_account_says_whose_it_is() {
    let summary = r#"{"organization_name":"Acme\u001b[31m","encoded_account_id":"p07e","contact_email":"a@b.example"}"#;
    let server = Server::start([Canned::new(200, summary), Canned::new(200, "[]"), Canned::new(403, "[]")]).await;
    let client = server.client();
    let who = client.account_summary().await.unwrap();
    assert_eq!(who.organization_name.as_deref(), Some("Acme [31m"), "nothing that a terminal obeys");
    assert_eq!(who.encoded_account_id.as_deref(), Some("p07e"));
    assert_eq!(server.seen()[0].uri, "/v3/account/summary");
    let error = client.account_summary().await.unwrap_err();
    assert!(matches!(error, ExtractError::NotAPage { .. }), "{error}");
    let error = client.account_summary().await.unwrap_err();
    assert!(matches!(&error, ExtractError::Forbidden { scope, .. } if scope == "account_read"), "{error}");
}
