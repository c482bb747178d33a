//! Several runs of one pipeline at once, some of them killed: one wins at a time, the others say so, and the next run that
//! is left alone leaves the truth.

use std::collections::BTreeMap;

use ctct_pipeline::Outcome;
use ctct_testkit::{Fault, Spot};
use futures::future::join_all;

use crate::account::{Account, HISTORY, Keys, MERGE, MIXED, MONTHS, PARTITION};
use crate::bucket::Bucket;
use crate::draws::Draws;
use crate::job::{Job, Said};
use crate::place::{Kind, Place};
use crate::stored::Stored;

/// A run that lost names the one that won: the run that the record of the contested version is of.
fn names_the_winner(report: &str, message: &str, stored: &Stored) {
    // One that found the other at work, before its first request, cannot know what that will commit.
    if message.contains("another run (`") && message.contains("is reading it; its lease ends with it") {
        return;
    }
    let rest = message.split_once("another run (`").unwrap_or_else(|| panic!("no winner in {message}")).1;
    let (winner, rest) = rest.split_once("`) committed version ").unwrap();
    let version: i64 = rest.split(' ').next().unwrap().parse().unwrap();
    let record = stored.records(report).into_iter().find(|record| record["version"] == version);
    assert_eq!(record.unwrap()["run_id"], winner, "{message}");
}

/// Rounds of runs that share this process, each behind a store of its own that may die.
async fn tasks(kind: Kind, keys: Keys, runs: usize, rounds: usize) {
    let mut draws = Draws::new(&format!("{runs} tasks, {kind:?}"));
    let place = Place::new(kind);
    let mut account = Account::in_month(0).await;
    for round in 0..rounds {
        if round > 0 && round % 4 == 0 {
            account = Account::in_month(round / 4 % MONTHS).await;
        }
        let account = &account;
        let mut under_way = Vec::new();
        for run in 0..runs {
            let (destination, store) = place.failing();
            // The first is left alone every time, and of the others about a half.
            if run > 0 && draws.number(2) == 0 {
                let fault = if draws.number(2) == 0 { Fault::Crash } else { Fault::CrashAfterApply };
                store.script(Spot::nth(draws.number(50)), fault);
            }
            under_way.push(async move {
                let summary = account.run(&destination, keys, &format!("run-{round}-{run}")).await;
                store.settled().await;
                (summary, store.met() > 0)
            });
        }
        let ended = join_all(under_way).await;
        let stored = place.stored().await;
        stored.holds_no_row_twice(keys, &format!("round {round}"));
        for (summary, died) in ended {
            let fair = match summary.outcome {
                Outcome::Done | Outcome::Held | Outcome::Transient => true,
                Outcome::Partial => died,
                _ => false,
            };
            assert!(fair, "round {round}, died: {died}, {summary:#?}");
            // One that died when it had lost could not look who had won.
            for report in summary.reports.iter().filter(|report| report.outcome == Outcome::Held && !died) {
                names_the_winner(&report.report, &report.error.as_ref().unwrap().message, &stored);
            }
        }
    }
    let summary = account.run(&place.destination(), keys, "last").await;
    assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
    place.stored().await.is_true(&account.truth(), keys, "in the end");
}

/// Rounds of programs that run at once.
async fn processes(job: Job, runs: usize, rounds: usize) {
    let mut draws = Draws::new(&format!("{runs} processes"));
    let mut account = Account::in_month(0).await;
    let took = job.whole(&account);
    let mut codes = BTreeMap::new();
    for round in 0..rounds {
        if round > 0 && round % 4 == 0 {
            account = Account::in_month(round / 4 % MONTHS).await;
        }
        let mut children: Vec<_> = (0..runs).map(|_| job.start(&account)).collect();
        // The first is left alone every time; the others are killed within the time of one run, if they are not done.
        for child in &mut children[1..] {
            std::thread::sleep(draws.below(took) / u32::try_from(runs - 1).unwrap());
            child.kill().unwrap();
        }
        let ended: Vec<Said> = children.into_iter().map(|child| Said::of(&child.wait_with_output().unwrap())).collect();
        let stored = job.stored().await;
        stored.holds_no_row_twice(job.keys, &format!("round {round}"));
        for said in ended {
            assert!(matches!(said.code, None | Some(0 | 12 | 13)), "round {round}: {said:#?}");
            *codes.entry(said.code).or_insert(0) += 1;
            if said.code == Some(13) {
                for (report, message) in said.errors() {
                    names_the_winner(report, message, &stored);
                }
            }
        }
    }
    println!("{runs} processes ended with {codes:?}");
    job.whole(&account);
    job.stored().await.is_true(&account.truth(), job.keys, "in the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_in_memory() {
    tasks(Kind::Memory, MERGE, 2, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_in_a_folder() {
    tasks(Kind::Folder, PARTITION, 2, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_tasks_in_memory() {
    tasks(Kind::Memory, HISTORY, 5, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_tasks_in_a_folder() {
    tasks(Kind::Folder, MIXED, 5, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_in_a_folder() {
    processes(Job::new(MIXED), 2, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_in_a_folder() {
    processes(Job::new(MIXED), 5, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_processes_on_s3() {
    // moto looks whether a key is there and then writes it, so two runs can both win there.
    for bucket in Bucket::all("together").into_iter().filter(|bucket| bucket.name != "moto") {
        processes(Job::in_bucket(MIXED, bucket), 5, 8).await;
    }
}
