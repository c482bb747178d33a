//! What each error says.

use super::*;
use crate::ApiError;

#[test]
fn every_error_says_what_where_and_what_next() {
    let table: Vec<String> = every_error()
        .into_iter()
        .map(|error| format!("{:?}, ends run: {}\n  {error}", error.retry(), error.ends_run()))
        .collect();
    insta::assert_snapshot!(table.join("\n"));
}

fn every_error() -> Vec<ExtractError> {
    let place = || RequestPlace {
        task: "contacts page 3".to_owned(),
        request: "GET /v3/contacts".into(),
        server: "api.cc.email:443".into(),
    };
    let reply = |status, key: &str| {
        Box::new(Reply {
            status,
            request_id: Some("0a1b".to_owned()),
            tracking_id: Some("2c3d".to_owned()),
            errors: vec![ApiError { key: key.to_owned(), message: "What the API says.".to_owned() }],
        })
    };
    let bare = |status| Box::new(Reply { status, ..Reply::default() });
    let resets_at = "2026-02-01T00:00:00Z".parse().unwrap();
    let host = || "https://elsewhere.example".to_owned();
    let unusable = reqwest::Client::builder().user_agent("\n").build().unwrap_err();
    let transient = |gave_up, reply| ExtractError::Transient { place: place(), gave_up, reply, source: None };
    let (account, file) = (|| "franchise-1".to_owned(), || "/config/accounts/franchise-1.json".to_owned());
    let claim = |pid| Claim {
        host: "etl-7".to_owned(),
        pid,
        id: "0a1b".to_owned(),
        at: "2026-01-31T12:00:03Z".parse().unwrap(),
        holds_seconds: 90,
        unsent: false,
    };
    let login_needed = |why, unfinished| {
        let (place, why) = (
            RequestPlace {
                task: "access token".to_owned(),
                request: "POST /token".into(),
                server: "authz.example:443".into(),
            },
            Box::new(why),
        );
        ExtractError::LoginNeeded { place, account: account(), why, unfinished }
    };
    let full_disk =
        |kind: io::ErrorKind| ExtractError::TokenStore { action: "write", path: file(), source: kind.into() };
    vec![
        ExtractError::Config { key: "requests_per_second", reason: "must be between 0.001 and 1000000".to_owned() },
        ExtractError::Setup { source: unusable },
        ExtractError::Parameter { report: "contacts".to_owned(), name: "x".to_owned(), reason: "is required" },
        ExtractError::SignIn { place: place(), reply: reply(401, "unauthorized") },
        ExtractError::NotSignedIn { account: account(), path: file() },
        login_needed(NoRenewal::Refused(*reply(400, "invalid_grant")), vec![]),
        login_needed(NoRenewal::Refused(*reply(400, "invalid_grant")), vec![claim(4711)]),
        login_needed(NoRenewal::Refused(*bare(400)), vec![claim(4711), claim(4712)]),
        login_needed(NoRenewal::NoRefreshToken, vec![]),
        ExtractError::ClientRefused { place: place(), account: account(), reply: reply(401, "invalid_client") },
        ExtractError::TokensOpen { path: file().into(), mode: 0o644, tight: 0o600 },
        ExtractError::TokensDamaged { account: account(), path: file(), reason: "it is empty".to_owned() },
        ExtractError::TokenKey { account: account(), path: "tokens/a/1.token".to_owned() },
        full_disk(io::ErrorKind::StorageFull),
        full_disk(io::ErrorKind::PermissionDenied),
        full_disk(io::ErrorKind::TimedOut),
        full_disk(io::ErrorKind::Unsupported),
        full_disk(io::ErrorKind::Other),
        ExtractError::Forbidden { place: place(), reply: bare(403), scope: "contact_data".to_owned() },
        ExtractError::Quota { resets_at, limit: QuotaLimit::Api { request_id: Some("0a1b".to_owned()) } },
        ExtractError::Quota { resets_at, limit: QuotaLimit::Configured { daily_requests: 10_000 } },
        ExtractError::Quota { resets_at, limit: QuotaLimit::Reserved { daily_requests: 10_000, reserve: 500 } },
        ExtractError::LedgerFile { path: "state/key.ledger".into(), source: io::ErrorKind::PermissionDenied.into() },
        ExtractError::LedgerStore {
            path: "state/key".to_owned(),
            attempts: 5,
            source: object_store::Error::NotImplemented { operation: "put".to_owned(), implementer: "x".to_owned() },
        },
        transient(GaveUp::Attempts(6), None),
        transient(GaveUp::Budget(200), Some(bare(503))),
        transient(GaveUp::Pending(20), Some(bare(202))),
        ExtractError::Rejected { place: place(), reply: reply(400, "contacts.api.validation.error") },
        ExtractError::StaleCursor { error: Box::new(ExtractError::Rejected { place: place(), reply: bare(410) }) },
        ExtractError::NotAPage {
            place: place(),
            reply: bare(200),
            reason: "it has no `contacts`".to_owned(),
            gave_up: Some(GaveUp::Attempts(6)),
        },
        ExtractError::NotAPage {
            place: place(),
            reply: bare(200),
            reason: "it holds no token".to_owned(),
            gave_up: None,
        },
        ExtractError::ForeignLink { place: place(), reply: bare(200), host: host() },
        ExtractError::Redirect { place: place(), reply: bare(302), host: host() },
        ExtractError::RepeatedCursor { place: place(), reply: reply(200, "x") },
        ExtractError::Certificate { place: place(), host: host(), reason: "has expired" },
        ExtractError::NoProgress { place: place(), reply: bare(200), reason: "3 pages brought nothing".to_owned() },
        ExtractError::BodyTooLarge { place: place(), reply: bare(200), max_body_bytes: 67_108_864 },
        ExtractError::SigningIn(SignInFailure::NobodyCame { minutes: 5 }),
        ExtractError::Profile {
            path: "applications/default.json".into(),
            reason: "cannot be read".to_owned(),
            source: None,
        },
    ]
}
