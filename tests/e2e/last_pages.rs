//! Everything in which the API varies, or is not known well, and that must not matter: the tables are the same.

use std::collections::BTreeMap;

use ctct_pipeline::Outcome;
use ctct_sandbox::{ContactOrder, CursorPosition, LastPage, Quirks, SandboxConfig};

use crate::harness::{Harness, report, sandbox_of};
use crate::truth::comparable;

/// Two pages of contacts, and contacts with more than a page of events.
fn account(quirks: Quirks) -> SandboxConfig {
    SandboxConfig { campaigns: 400, sends: 380, lists: 60, quirks, ..sandbox_of(520) }
}

/// What a run of all reports makes of the account: the rows of every table.
async fn tables(quirks: Quirks) -> BTreeMap<String, Vec<String>> {
    let harness = Harness::with(account(quirks)).await;
    let ids: Vec<String> = (0..2).map(|index| harness.sandbox.account().contact_id(index)).collect();
    let ids = ids.join(", ");
    let reports = format!(
        "
  - {{report: contacts, updated_after: 2020-01-01}}
  - {{report: contact_lists}}
  - {{report: email_campaigns, updated_after: 2020-01-01}}
  - {{report: contact_activity_details, contact_id: [{ids}]}}
  - {{report: contact_action_summary, contact_id: [{ids}], duration: date_range, start_date: 2020-01-01, end_date: 2026-03-01}}
"
    );
    let summary = harness.run(&reports).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    assert_eq!(report(&summary, "contacts").pages, 3, "two by updated_after, one by optout_after");
    assert!(report(&summary, "contact_activity_details").pages > 4, "{summary:#?}");
    assert!(report(&summary, "contact_action_summary").pages > 2, "{summary:#?}");
    let names = summary.reports.iter().flat_map(|report| &report.tables).map(|table| table.table.clone());
    names.map(|table| (table.clone(), comparable(&harness.rows(&table)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_varies_in_does_not_matter() {
    let plain = tables(Quirks::default()).await;
    let default = Quirks::default;
    let variations = [
        ("an empty _links", Quirks { last_page: LastPage::Empty, ..default() }),
        ("a null next", Quirks { last_page: LastPage::NextNull, ..default() }),
        ("a null href", Quirks { last_page: LastPage::HrefNull, ..default() }),
        ("nulls for absent keys", Quirks { nulls: true, ..default() }),
        ("no empty sub-resources", Quirks { omit_empty_subresources: true, ..default() }),
        ("cursors by id", Quirks { cursor: CursorPosition::Keyset, ..default() }),
        ("no order", Quirks { contact_order: ContactOrder::Shuffled, ..default() }),
        ("gzip", Quirks { gzip: true, ..default() }),
        ("inclusive bounds", Quirks { inclusive_bounds: true, ..default() }),
        ("refused unknown parameters", Quirks { reject_unknown_parameters: true, ..default() }),
        ("no headers of the gateway", Quirks { edge_headers: false, ..default() }),
        ("one spelling of statuses", Quirks { same_status_case: true, ..default() }),
    ];
    for (name, quirks) in variations {
        let varied = tables(quirks).await;
        assert_eq!(varied.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>(), "{name}");
        for (table, rows) in &plain {
            assert!(!rows.is_empty() || table == "contacts_sms_channel_consents", "{table} proves nothing");
            assert!(varied[table] == *rows, "{name} changes {table}: {} and {} rows", varied[table].len(), rows.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_still_being_worked_out_is_asked_again() {
    let harness =
        Harness::with(SandboxConfig { quirks: Quirks { segment_pending: 1, ..Quirks::default() }, ..sandbox_of(200) })
            .await;
    let segment = harness.sandbox.account().segments()[0].segment_id;
    let summary = harness.run(&format!("  - {{report: contacts, segment_id: {segment}, write_mode: replace}}\n")).await;
    let requests = report(&summary, "contacts").api.requests;
    assert_eq!((summary.outcome, requests), (Outcome::Done, 2), "{summary:#?}");
    assert!(!harness.rows("contacts").is_empty());
}
