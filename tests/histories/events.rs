use chrono::TimeDelta;
use ctct_pipeline::Outcome;
use ctct_sandbox::{Change, TRACKING_ACTIVITY_TYPES};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Harness, runtime};
use crate::history::Setting;
use crate::stored::rows;
use crate::truth::comparable;

/// One step of what contacts do.
#[derive(Debug, Clone)]
enum Step {
    Wait(i64),
    /// A contact did something: which, what, with which campaign, and seconds by which the event shows up late.
    Track(u8, u8, u8, i64),
    Run,
}

fn step() -> impl Strategy<Value = Step> {
    let wait = prop::sample::select(vec![1, 1, 30, 300, 700, 86_400]);
    let late = prop_oneof![2 => Just(0), 1 => 0..540_i64];
    prop_oneof![
        2 => wait.prop_map(Step::Wait),
        12 => (0..3_u8, 0..4_u8, 0..2_u8, late).prop_map(|(who, kind, campaign, late)| Step::Track(who, kind, campaign, late)),
        2 => Just(Step::Run),
    ]
}

fn setting(rows: usize) -> Setting {
    Setting {
        positional: true,
        shuffled: false,
        inclusive: false,
        count_on_every_page: false,
        rows,
        ahead: 0,
        moves: [true; 5],
        partitions: "",
    }
}

fn contact(number: u8) -> String {
    format!("0000000{number}-0000-1000-8000-00000000c0de")
}

fn activity(number: u8) -> String {
    format!("0000000{number}-0000-4000-8000-000000000ac7")
}

/// Every event of the account stands in the table, as often as it happened.
fn check(harness: &Harness) {
    let served = (0..3).flat_map(|number| harness.sandbox.activities_now(&contact(number)));
    let served: Vec<_> = served
        .map(|event| match serde_json::to_value(event).unwrap() {
            Value::Object(row) => row,
            other => panic!("{other} is no row"),
        })
        .collect();
    let tables = rows(harness.folder(), "contact_activity_details");
    assert_eq!(comparable(&tables["contact_activity_details"]), comparable(&served));
}

async fn play(steps: &[Step], rows: usize, mode: &str) {
    let mut harness = Harness::new(&setting(rows)).await;
    let reports = format!(
        "  - {{report: contacts, write_mode: merge}}\n  - report: contact_activity_details\n    contact_id: {{from: \
         contacts}}\n    overlap: 10m\n    write_mode: {mode}\n"
    );
    for number in 0..3 {
        let create = Change::CreateContact(json!({"contact_id": contact(number)}));
        harness.sandbox.edit(harness.server_now(), &create).unwrap();
    }
    for step in steps {
        match step {
            Step::Wait(seconds) => harness.wait(*seconds),
            Step::Track(who, kind, campaign, late) => {
                let at = harness.server_now() - TimeDelta::seconds(*late);
                let track = Change::Track {
                    contact_id: contact(*who),
                    campaign_activity_id: activity(*campaign),
                    name: format!("Campaign {campaign}"),
                    kind: TRACKING_ACTIVITY_TYPES[usize::from(*kind)],
                };
                harness.sandbox.edit(at, &track).unwrap();
            }
            Step::Run => {
                let summary = harness.run(&reports).await;
                assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
                check(&harness);
            }
        }
    }
    let summary = harness.run(&reports).await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    check(&harness);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 400, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn every_event_stands_in_the_table_as_often_as_it_happened(steps in vec(step(), 1..40), rows in 1..6_usize, merge: bool) {
        runtime().block_on(play(&steps, rows, if merge { "merge" } else { "append" }));
    }
}
