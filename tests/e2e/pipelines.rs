//! Every file under `pipelines/` runs: those of the embedded API on a smaller account, those of a real account on the
//! test's sandbox. A file that this test does not know fails it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ctct_pipeline::{Outcome, RunSummary};

use crate::harness::{Harness, sandbox_of};

/// Runs a file with some of its text replaced; each text must be there.
async fn run(harness: &Harness, file: &str, replacements: &[(&str, &str)]) -> RunSummary {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines").join(file);
    // Their data and secrets are beside the folder of pipelines; here they are in that of the test.
    let mut text = fs::read_to_string(path).unwrap().replace(" ../", " ./");
    for (from, to) in replacements {
        assert!(text.contains(from), "{file} has no `{from}`");
        text = text.replace(from, to);
    }
    harness.run_text(&text).await
}

/// The head that sends a real account's pipeline to the sandbox.
fn source(harness: &Harness) -> String {
    format!("source:\n  base_url: {}", harness.sandbox.base_url())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_runs() {
    let mut waiting: BTreeSet<String> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipelines"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let harness = Harness::with(sandbox_of(200)).await;
    let account = harness.sandbox.account();
    let contact = (0..200).find(|index| account.activities(*index).len() > 10).unwrap();
    let contact = account.contact_id(contact);
    let lists: Vec<&str> = account.lists().iter().map(|list| list.list_id.as_str()).collect();
    let segment = format!("segment_id: {}", account.segments()[0].segment_id);
    fs::create_dir(harness.folder().join("secrets")).unwrap();
    fs::write(harness.folder().join("secrets/ctct-token"), harness.sandbox.access_token() + "\n").unwrap();

    let source = source(&harness);
    let fast = format!("{source}\n  requests_per_second: 1000");
    let at = [("source:", fast.as_str()), ("CTCT_ACCESS_TOKEN", "TOKEN")];
    let with = |more: &[(&'static str, &str)]| -> Vec<(String, String)> {
        at.iter().chain(more).map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
    };
    let files = [
        ("campaigns.yaml", with(&[])),
        ("contacts-daily.yaml", with(&[])),
        (
            "contacts-of-lists.yaml",
            with(&[
                ("06a9d2c0-2d41-11e7-8fc9-d4ae529a8612", lists[0]),
                ("2e1f1de8-2d41-11e7-a12d-d4ae529a8612", lists[1]),
                ("created_after: 2026-01-01", "created_after: 2020-01-01"),
            ]),
        ),
        ("definitions.yaml", with(&[])),
        ("demo.yaml", vec![("contacts: 10000".to_owned(), "contacts: 60".to_owned())]),
        (
            "engagement-last-week.yaml",
            [("source:", source.as_str()), ("requests_per_second: 4 ", "requests_per_second: 1000 "), at[1]]
                .map(|(from, to)| (from.to_owned(), to.to_owned()))
                .into(),
        ),
        ("engagement-one-contact.yaml", with(&[("1618ae62-4752-11e9-9c8a-fa163e6b01c1", &contact)])),
        ("merged-daily.yaml", with(&[])),
        ("partitioned.yaml", vec![("contacts: 500".to_owned(), "contacts: 40".to_owned())]),
        ("segment.yaml", with(&[("segment_id: 42", &segment)])),
        ("snapshot-replace.yaml", vec![("source:".to_owned(), fast.clone())]),
    ];
    for (file, replacements) in &files {
        assert!(waiting.remove(*file), "there is no {file}");
        let replacements: Vec<(&str, &str)> =
            replacements.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        let summary = run(&harness, file, &replacements).await;
        assert_eq!(summary.outcome, Outcome::Done, "{file}: {summary:#?}");
        assert!(summary.rows() > 0, "{file} reads nothing: {summary:#?}");
        assert_eq!(summary.pipeline, file.trim_end_matches(".yaml"), "a pipeline is named as its file");
        for report in &summary.reports {
            assert_eq!(
                (report.ids_not_found, report.dead_letters, report.drift.len()),
                (0, 0, 0),
                "{file}: {summary:#?}"
            );
        }
    }
    assert_eq!(waiting, BTreeSet::new(), "files that no test runs");
}
