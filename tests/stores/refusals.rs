//! Stores that cannot be used: the run ends before the first request to the API, with a code and words that say what to mend.

use std::time::Duration;

use ctct_pipeline::{Outcome, RunSummary};
use tokio::time::timeout;

use crate::harness::Harness;
use crate::runs::{contacts, run};
use crate::store::Store;

/// Runs, and returns how it ended and what it said, without what differs from run to run.
async fn refused(harness: &Harness, store: &Store) -> (Outcome, String) {
    let asked = harness.sandbox.requests().total;
    let summary: RunSummary = run(harness, store, "run", &contacts("append")).await;
    assert_eq!(harness.sandbox.requests().total, asked, "{}: the API was asked in vain", store.name);
    let message = summary.error.unwrap_or_else(|| panic!("no error on {}", store.name)).message;
    // Up to the key, and from its end on.
    let (before, after) = message
        .split_once("/_ctct/.probe/")
        .map_or((message.as_str(), ""), |(before, rest)| (before, rest.split_once('`').map_or("", |(_, after)| after)));
    let before = before.replace(&store.url, &format!("{}://BUCKET", store.url.split("://").next().unwrap()));
    (summary.outcome, format!("{before}|{after}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_named() {
    let harness = Harness::new(1).await;
    for mut store in Store::clouds("x") {
        store.url = store.url.replace("ctct-test", "no-such-bucket");
        let (outcome, said) = refused(&harness, &store).await;
        assert_eq!(outcome, Outcome::Configuration, "{}: {said}", store.name);
        assert!(said.contains("there is no such bucket, create it"), "{}: {said}", store.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_wrong_are_told_apart() {
    let harness = Harness::new(1).await;
    let cases = [
        ("AWS_ACCESS_KEY_ID", "nobody", "does not know the access key"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "the secret does not match the access key"),
    ];
    for (name, value, words) in cases {
        let Some(mut store) = Store::s3("CTCT_TEST_S3_CEPH", "x") else { continue };
        store.variables.insert(name.to_owned(), value.to_owned());
        let (outcome, said) = refused(&harness, &store).await;
        assert_eq!(outcome, Outcome::Configuration, "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains(value), "{said}");
    }
    if let Some(mut store) = Store::azurite("x") {
        store.variables.insert("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), "d3Jvbmc=".to_owned());
        let (outcome, said) = refused(&harness, &store).await;
        assert_eq!(outcome, Outcome::Configuration, "{said}");
        assert!(said.contains("rejects the credentials") && !said.contains("d3Jvbmc"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_missing_are_asked_for() {
    let harness = Harness::new(1).await;
    let mut store = Store::local();
    store.url = "s3://bucket/prefix".to_owned();
    store.options.insert("endpoint".to_owned(), "https://127.0.0.1:1".to_owned());
    let (outcome, said) = refused(&harness, &store).await;
    assert_eq!(outcome, Outcome::Configuration);
    insta::assert_snapshot!(said, @"destination: `s3://BUCKET` cannot be used: no credentials are set: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY|");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_ends_the_run_soon_and_another_time_is_advised() {
    let harness = Harness::new(1).await;
    let mut store = Store::local();
    store.url = "s3://bucket/prefix".to_owned();
    store.options.insert("endpoint".to_owned(), "https://127.0.0.1:1".to_owned());
    store.variables.insert("AWS_ACCESS_KEY_ID".to_owned(), "id".to_owned());
    store.variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "s3cret".to_owned());
    let (outcome, said) = timeout(Duration::from_secs(75), refused(&harness, &store)).await.unwrap();
    assert_eq!(outcome, Outcome::Transient, "{said}");
    assert!(said.contains("the store cannot be reached, check the network and the endpoint"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_if_none_match_is_refused() {
    let harness = Harness::new(1).await;
    let Some(store) = Store::s3("CTCT_TEST_S3_S3RVER", "x") else { return };
    let (outcome, said) = refused(&harness, &store).await;
    assert_eq!(outcome, Outcome::Configuration);
    assert!(said.contains("overwrites an object although it was to be created only if absent"), "{said}");
}
