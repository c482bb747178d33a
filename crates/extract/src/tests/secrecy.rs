//! No token, no cursor and no filter in a log, an error or `Debug`.

use std::io;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

use super::issuer::{Home, Issuer, fails, works};
use super::server::{ACCESS, CLIENT_SECRET, Canned, REFRESH, Server, crawl};
use crate::{Client, ExtractError};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What is logged, down to the last detail, while `work` goes on.
async fn heard<T>(work: impl Future<Output = T>) -> (T, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    // Where there is one subscriber only, whichever thread comes to a log line first decides whether it is ever heard.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let done = work.await;
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (done, log)
}

fn assert_hidden(secrets: &[&str], log: &str, said: &str) {
    for secret in secrets {
        for (what, text) in [("log", log), ("errors and Debug", said)] {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret} is in {what}: {line:?}");
        }
    }
}

#[tokio::test]
async fn stored_tokens_are_never_said() {
    let (said, log) = heard(async {
        let issuer = Issuer::start().await;
        let home = Home::folder().signed_in(issuer.sign_in()).await;
        let client = issuer.client(&home.accounts);
        works(&client).await;
        // A token that is refused, after a response that was lost.
        issuer.set(|quirks| quirks.lost = 1);
        let lost =
            Home::store().signed_in(crate::SignIn { refresh_token: Some("refresh-2".into()), ..issuer.sign_in() });
        let lost = lost.await;
        let error = fails(&issuer.client(&lost.accounts)).await;
        let record = home.accounts.record("a").await.unwrap();
        format!("{client:?} {:?} {record:?} {error} {error:?}", home.accounts)
    })
    .await;
    assert!(log.contains("will be retried"), "the capture works: {log}");
    let secrets = ["refresh-1", "refresh-2", "refresh-3", "access-1", "access-2", "access-3", CLIENT_SECRET];
    assert_hidden(&secrets, &log, &said);
}

#[tokio::test]
async fn nothing_that_is_secret_or_personal_is_ever_said() {
    let (said, log) = heard(refused_in_every_way()).await;
    assert!(log.contains("contacts page 2"), "the capture works: {log}");
    assert!(log.contains("will be retried"), "{log}");
    assert_hidden(&[ACCESS, REFRESH, CLIENT_SECRET, "pers0nal"], &log, &said);
}

/// Errors and `Debug` of a client that meets a little of everything.
async fn refused_in_every_way() -> String {
    let page = r#"{"contacts":[{"first_name":"pers0nal"}],"_links":{"next":{"href":"/v3/contacts?cursor=pers0nal"}}}"#;
    let answers = [
        Canned::new(200, page),
        Canned::error(401, "unauthorized"),
        Canned::new(503, "pers0nal"),
        Canned::new(200, "pers0nal"),
        Canned::new(200, "pers0nal"),
        Canned::new(200, r#"{"contacts":["pers0nal"]}"#).truncated(),
        Canned::new(200, page),
    ];
    let rotated = format!("{REFRESH}-2");
    let tokens = [Canned::token(ACCESS, Some(&rotated)), Canned::token(&format!("{ACCESS}-2"), None)];
    let server = Server::start_with(answers, tokens, false).await;
    let config = server.refreshing(Some(CLIENT_SECRET));
    let mut said = vec![format!("{config:?}")];
    let client = Client::new(config).unwrap();
    let mut crawl = crawl(&client, "contacts", &[("email", "pers0nal@example.com")]);
    let page = crawl.next().await.unwrap().unwrap();
    said.push(format!("{client:?} {page:?} {crawl:?}"));
    let not_a_page = crawl.next().await.unwrap_err();
    assert!(matches!(not_a_page, ExtractError::NotAPage { .. }), "{not_a_page}");
    crawl.next().await.unwrap().unwrap();
    let repeated = crawl.next().await.unwrap_err();
    assert!(matches!(repeated, ExtractError::RepeatedCursor { .. }), "{repeated}");
    said.push(format!("{not_a_page} {not_a_page:?} {repeated} {repeated:?}"));
    said.join("\n")
}
