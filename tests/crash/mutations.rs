//! A run dies at each of its mutations in turn, before or after it is applied; the next run makes all well.
//!
//! Dead before a mutation is dead after the one before it, but for the first and for those that go on side by side: so both are
//! tried where rows are added and where they are merged, and the second for the rest. Where both places are tried, the one has the
//! even mutations and the other the odd ones.

use std::collections::BTreeMap;

use ctct_pipeline::Outcome;
use ctct_testkit::{Fault, Spot};

use crate::account::{APPEND, Account, HISTORY, Keys, MERGE, PARTITION, REPLACE, REPORTS};
use crate::place::{Kind, Place};
use crate::stored::difference;
use crate::truth::Tables;

/// A run, a month later one that meets the fault, and one without.
struct Trials {
    keys: Keys,
    now: Account,
    truth: Tables,
    /// The place after the first run.
    before: Place,
    /// All versions of each report's rows after the same runs without a fault, by the number of commits.
    histories: BTreeMap<(&'static str, i64), Vec<String>>,
}

impl Trials {
    async fn new(kind: Kind, keys: Keys) -> Self {
        let (earlier, now) = (Account::in_month(0).await, Account::in_month(1).await);
        let before = Place::new(kind);
        let done = earlier.run(&before.destination(), keys, "run-1").await;
        assert_eq!(done.outcome, Outcome::Done, "{done:#?}");
        before.stored().await.is_true(&earlier.truth(), keys, "after the first run");
        let clean = before.copy().await;
        let mut histories = BTreeMap::new();
        for version in 2..4 {
            let done = now.run(&clean.destination(), keys, &format!("run-{version}")).await;
            assert_eq!(done.outcome, Outcome::Done, "{done:#?}");
            let stored = clean.stored().await;
            histories.extend(REPORTS.keys().map(|report| ((*report, version), stored.versions(report))));
        }
        Self { keys, truth: now.truth(), now, before, histories }
    }

    /// The fault at these mutations in turn, until a run needs no more. Returns at how many it failed.
    async fn all(&self, fault: &Fault, numbers: impl Iterator<Item = usize>) -> usize {
        let mut failed = 0;
        for number in numbers {
            let place = self.before.copy().await;
            let (destination, store) = place.failing();
            store.script(Spot::nth(number), fault.clone());
            let summary = self.now.run(&destination, self.keys, "run-2").await;
            store.settled().await;
            if store.met() == 0 {
                assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
                return failed;
            }
            let mutations = store.mutations();
            let when = format!("{fault:?} at {number}, {}", mutations[number]);
            let expected = [Outcome::Done, Outcome::Transient, Outcome::Partial];
            assert!(expected.contains(&summary.outcome), "{when}: {summary:#?}");
            failed += usize::from(summary.outcome != Outcome::Done);
            place.stored().await.holds_no_row_twice(self.keys, &when);
            self.recovers(&place, &when).await;
        }
        unreachable!("a run ends")
    }

    /// The next run leaves what a history without the fault leaves.
    async fn recovers(&self, place: &Place, when: &str) {
        let summary = self.now.run(&place.destination(), self.keys, "run-3").await;
        assert_eq!(summary.outcome, Outcome::Done, "{when}: {summary:#?}");
        let stored = place.stored().await;
        stored.is_true(&self.truth, self.keys, when);
        for report in REPORTS.keys() {
            let (found, expected) = (stored.versions(report), &self.histories[&(*report, stored.version(report))]);
            assert!(found == *expected, "{when}: {report}: {}", difference(&found, expected));
        }
    }
}

async fn dies_anywhere(kind: Kind, keys: Keys, fault: Fault) {
    let first = match kind {
        Kind::Memory => 0,
        Kind::Folder => 1,
    };
    let deaths = Trials::new(kind, keys).await.all(&fault, (first..).step_by(2)).await;
    println!("{kind:?}, {}: {fault:?} at {deaths} mutations", keys.contacts);
    assert!(deaths > 10, "{deaths}");
}

/// The run mends one mutation that went wrong, or says that it failed and the next one makes all well.
async fn stumbles_anywhere(kind: Kind, keys: Keys, fault: Fault) {
    let trials = Trials::new(kind, keys).await;
    println!("{kind:?}, {}: {fault:?} ended {} runs", keys.contacts, trials.all(&fault, 0..).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appending_run_that_loses_any_one_answer() {
    stumbles_anywhere(Kind::Memory, APPEND, Fault::FailAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merging_run_that_loses_any_one_answer() {
    stumbles_anywhere(Kind::Memory, MERGE, Fault::FailAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_partition_that_loses_any_one_answer() {
    stumbles_anywhere(Kind::Folder, PARTITION, Fault::FailAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merging_run_that_is_refused_any_one_mutation() {
    stumbles_anywhere(Kind::Folder, MERGE, Fault::Reject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appending_run_that_dies_before_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, APPEND, Fault::Crash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merging_run_that_dies_before_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, MERGE, Fault::Crash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appending_run_that_dies_after_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, APPEND, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appending_run_that_dies_after_any_mutation_in_a_folder() {
    dies_anywhere(Kind::Folder, APPEND, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merging_run_that_dies_after_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, MERGE, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merging_run_that_dies_after_any_mutation_in_a_folder() {
    dies_anywhere(Kind::Folder, MERGE, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_history_that_dies_after_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, HISTORY, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_history_that_dies_after_any_mutation_in_a_folder() {
    dies_anywhere(Kind::Folder, HISTORY, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_run_that_dies_after_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, REPLACE, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_run_that_dies_after_any_mutation_in_a_folder() {
    dies_anywhere(Kind::Folder, REPLACE, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_partition_that_dies_after_any_mutation_in_memory() {
    dies_anywhere(Kind::Memory, PARTITION, Fault::CrashAfterApply).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_partition_that_dies_after_any_mutation_in_a_folder() {
    dies_anywhere(Kind::Folder, PARTITION, Fault::CrashAfterApply).await;
}
