//! The notice of a failure, to a real server: also one that fails at first, hangs, or sends elsewhere.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::listener::{Answer, Listener};
use crate::program::{Said, command, said};

/// Runs a pipeline that fails at once, or does well, with a webhook that a variable names.
fn run(webhook: &str, fails: bool) -> Said {
    let folder = TempDir::new().unwrap();
    let faults = if fails { ", faults: {error_500: 1}" } else { "" };
    let text = format!(
        "version: 1\nname: acme-daily\nsource:\n  sandbox: {{contacts: 5{faults}}}\ndestination:\n  url: ./out\n\
         retry: {{attempts: 1}}\non_failure:\n  webhook: {{env: HOOK}}\nreports:\n  - report: contacts\n  - report: contact_lists\n"
    );
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    said(command(folder.path(), &["run", "p.yaml"]).env("HOOK", webhook))
}

/// The exit code of a run of which every report met a 500.
const FAILED: Option<i32> = Some(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_once_and_a_success_is_not() {
    let listener = Listener::start(&[Answer::Status(200)]).await;
    let url = listener.url("/hook/T0pSecretPath");
    assert_eq!(run(&url, false).code, Some(0));
    assert_eq!(listener.received().len(), 0);

    let end = run(&url, true);
    assert_eq!(end.code, FAILED, "{}", end.stderr);
    assert!(!end.stderr.contains("T0pSecretPath") && !end.stdout.contains("T0pSecretPath"), "{}", end.stderr);
    let received = listener.received();
    let [told] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!((told.method.as_str(), told.path.as_str()), ("POST", "/hook/T0pSecretPath"));
    assert_eq!(told.headers["content-type"], "application/json");
    let mut notice: Value = serde_json::from_slice(&told.body).unwrap();
    for (changing, is) in [
        ("run_id", Value::is_string as fn(&Value) -> bool),
        ("started_at", Value::is_string),
        ("seconds", Value::is_number),
    ] {
        assert!(is(&notice[changing]), "{changing}: {notice}");
    }
    let notice = notice.as_object_mut().unwrap();
    notice.retain(|key, _| !["run_id", "started_at", "seconds", "destination"].contains(&key.as_str()));
    // Every request has an id of its own.
    insta::with_settings!({filters => vec![("(request|tracking) id [0-9a-f-]{36}", "$1 id ID")]}, {
        insta::assert_json_snapshot!("the_notice", notice);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_at_first_is_told_again() {
    let listener = Listener::start(&[Answer::Status(500), Answer::Status(503), Answer::Status(204)]).await;
    let end = run(&listener.url("/"), true);
    assert_eq!((end.code, listener.received().len()), (FAILED, 3));
    assert!(!end.stderr.contains("was not told"), "{}", end.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_takes_it_changes_no_exit_code() {
    for (answer, tries, why) in [
        (Answer::Status(500), 3, "the server responded with 500"),
        (Answer::Status(404), 1, "the server responded with 404"),
        (Answer::Redirect, 1, "the server responded with 307"),
        (Answer::Silence, 1, "no response within 5 s"),
    ] {
        let listener = Listener::start(&[answer]).await;
        let end = run(&listener.url("/"), true);
        assert_eq!((end.code, listener.received().len()), (FAILED, tries), "{answer:?}");
        assert!(listener.received().iter().all(|received| received.path == "/"), "no redirect is followed");
        assert!(end.stderr.contains("the failure could not be reported") && end.stderr.contains(why), "{}", end.stderr);
    }
    let nobody = Listener::start(&[]).await.url("/").replace("127.0.0.1", "127.255.255.254");
    let end = run(&nobody, true);
    assert!(end.code == FAILED && end.stderr.contains("no response: "), "{}", end.stderr);
}

#[test]
fn an_address_that_anybody_could_read_or_that_is_none_is_not_used() {
    for webhook in ["http://hooks.example.com/T0pSecretPath", "nonsense-T0pSecretPath", "ftp://127.0.0.1/T0pSecretPath"]
    {
        let well = run(webhook, false);
        assert_eq!(well.code, Some(0));
        assert!(well.stderr.contains("a failure of this run would not be reported"), "{}", well.stderr);
        assert!(!well.stderr.contains("T0pSecretPath"), "{}", well.stderr);

        let end = run(webhook, true);
        assert_eq!(end.code, FAILED);
        assert!(end.stderr.contains("the value is not an https:// address"), "{}", end.stderr);
        assert!(!end.stderr.contains("T0pSecretPath"), "{}", end.stderr);
    }
}
