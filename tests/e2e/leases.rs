//! Two runs at once: the second one says so before its first request.

use ctct_load::{Destination, Lease, StoreOptions};
use ctct_pipeline::Outcome;

use crate::harness::{Harness, message, now, report};

const CONTACTS: &str = "  - report: contacts\n";
const LISTS: &str = "  - report: contact_lists\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_another_run_holds_is_refused_before_any_request_and_others_are_read() {
    let harness = Harness::new(5).await;
    let place = Destination::open(".", harness.folder(), &StoreOptions::default()).unwrap();
    let held = Lease::take(&place, "acme", ("019f", "nightly"), &["contacts"], false, now()).await.unwrap();
    let refused = harness.run(CONTACTS).await;
    assert_eq!((refused.outcome, refused.exit_code, refused.api.requests), (Outcome::Held, 13, 0), "{refused:#?}");
    assert_eq!(harness.sandbox.requests().total, 0);
    let contacts = report(&refused, "contacts");
    for said in ["another run (`019f`, pipeline `nightly`, process ", "2026-03-01T12:02:00Z"] {
        assert!(message(contacts).contains(said), "{}", message(contacts));
    }
    assert!(contacts.error.as_ref().unwrap().advice.contains("`ctct-etl run test.yaml --wait`"), "{contacts:#?}");
    let plan = harness.plan(&harness.pipeline(CONTACTS));
    let compacted = ctct_pipeline::maintain::compact(&plan, &harness.context("019g"), false).await;
    assert_eq!(compacted.unwrap_err().outcome(), Outcome::Held);
    assert_eq!(ctct_pipeline::run::replay(&plan, &harness.context("019h")).await.outcome, Outcome::Held);
    assert_eq!(ctct_pipeline::maintain::rebuild(&plan, &harness.context("019i"), false).await.outcome, Outcome::Held);
    assert_eq!(
        ctct_pipeline::maintain::rebuild(&plan, &harness.context("019i"), true).await.outcome,
        Outcome::Done,
        "a dry run"
    );

    let both = harness.run(&format!("{CONTACTS}{LISTS}")).await;
    assert_eq!((both.exit_code, report(&both, "contact_lists").commit), (13, Some(1)), "{both:#?}");
    held.0.unwrap().release().await.unwrap();
    assert_eq!(harness.run(CONTACTS).await.outcome, Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_begins_when_the_other_has_ended() {
    let harness = Harness::new(5).await;
    let place = Destination::open(".", harness.folder(), &StoreOptions::default()).unwrap();
    let held = Lease::take(&place, "acme", ("019f", "nightly"), &["contacts"], false, now()).await.unwrap();
    let plan = harness.plan(&harness.pipeline(CONTACTS)).with_waiting();
    let context = harness.context("019g");
    let (waited, ()) = tokio::join!(ctct_pipeline::run(&plan, &context), async {
        tokio::task::yield_now().await;
        held.0.unwrap().release().await.unwrap();
    });
    assert_eq!(waited.outcome, Outcome::Done, "{waited:#?}");
}
