//! Watermarks that a wrong clock has made.

use super::damage::{rebuilding, record_path, run_until};
use super::*;
use WriteMode::Append;

/// A run that left a watermark of 2026-01-01, and one that left one of 2099.
async fn a_wrong_clock(destination: &Destination) {
    run_until(destination, plan(Append, &[], "r1"), &[person("a", "x", "")], "2026-01-01").await;
    run_until(destination, plan(Append, &[], "r2"), &[person("b", "x", "")], "2099-01-01").await;
    run_until(destination, plan(Append, &[], "r3"), &[], "2099-01-02").await;
}

async fn rebuilt(destination: &Destination) -> Option<DateTime<Utc>> {
    let report = people();
    let rebuilt = rebuild(destination, &rebuilding(&report, false)).await.unwrap();
    let Rebuilt::Done { record, lost, .. } = rebuilt else { panic!("not rebuilt") };
    assert!(lost.iter().any(|loss| loss.reason.contains("2099-01-02")), "{lost:?}");
    record.state.watermark
}

#[tokio::test]
async fn a_rebuild_goes_back_to_the_newest_watermark_that_holds() {
    let destination = Destination::in_memory();
    a_wrong_clock(&destination).await;
    assert_eq!(rebuilt(&destination).await, Some(instant("2026-01-01")));

    // Without that record, what the files of its run say.
    let destination = Destination::in_memory();
    a_wrong_clock(&destination).await;
    destination.delete(&record_path(1)).await.unwrap();
    assert_eq!(rebuilt(&destination).await, Some(instant("2026-01-01")));

    // Nothing tells: everything is read again.
    let destination = Destination::in_memory();
    run_until(&destination, plan(Append, &[], "r1"), &[person("a", "x", "")], "2099-01-02").await;
    assert_eq!(rebuilt(&destination).await, None);
}

#[tokio::test]
async fn a_watermark_ahead_of_the_time_is_found_by_who_knows_the_time() {
    let destination = Destination::in_memory();
    a_wrong_clock(&destination).await;
    let log = ReportLog::new(&destination, "acme", "people").unwrap();
    let findings = async |now: &str| {
        let options = VerifyOptions { now: Some(instant(now)), ..VerifyOptions::default() };
        verify(&destination, "acme", &people(), &options).await.unwrap().findings
    };
    let found = findings("2026-03-01").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].path.ends_with(&record_path(3)) && found[0].fix == Fix::Rebuild, "{found:?}");
    assert_eq!(findings("2099-01-02").await, []);
    let head = log.head().await.unwrap().unwrap();
    let minutes = |minutes: i64| instant("2099-01-02") - chrono::TimeDelta::minutes(minutes);
    assert!(log.refuse_ahead(&head, minutes(10)).is_ok());
    assert!(matches!(log.refuse_ahead(&head, minutes(11)), Err(LoadError::Ahead { .. })));
    assert!(log.refuse_ahead(&head, DateTime::<Utc>::MAX_UTC).is_ok());
}

#[test]
fn rows_are_named_by_the_same_columns_or_not() {
    let catalog = ctct_catalog::Catalog::embedded().unwrap();
    let (counted, plain) = (catalog.get("contact_activity_details").unwrap(), catalog.get("contacts").unwrap());
    let commit = |key: &[String], files: bool| {
        let mut commit: Commit = serde_json::from_value(json!({
            "format": 1, "version": 1, "run_id": "r", "pipeline": "p", "account": "a", "report": "r",
            "committed_at": "2026-01-01T00:00:00Z", "write_mode": "append", "partition_by": [],
            "window": {"after": null, "before": null}, "state": {}, "layout": 1,
            "inventory": {"changed": 1, "tables": {}}, "files": [], "removed": [], "dead_letters": null,
            "rows": {}, "stats": {},
        }))
        .unwrap();
        commit.key = key.to_vec();
        if files {
            commit.inventory.tables.insert("t".to_owned(), TableInventory { files: 1, bytes: 9 });
        }
        commit
    };
    let before: Vec<String> = counted.key.iter().filter(|name| *name != "_occurrence").cloned().collect();
    assert!(commit(&counted.key, true).has_key_of(counted));
    assert!(!commit(&before, true).has_key_of(counted));
    assert!(!commit(&[], true).has_key_of(counted), "a record of before");
    assert!(commit(&[], false).has_key_of(counted), "nothing is stored");
    assert!(commit(&[], true).has_key_of(plain) && commit(&plain.key, true).has_key_of(plain));
}
