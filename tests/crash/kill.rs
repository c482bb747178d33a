//! The program is killed over and over, whenever it happens; runs that are left alone make all well.

use crate::account::{Account, MIXED, MONTHS};
use crate::bucket::Bucket;
use crate::draws::{Draws, kills};
use crate::job::Job;

/// Kills `runs` runs, those that are not done before their time has come, while the account moves on. A reader looks at
/// what is there after every `look_every`-th of them.
async fn killed(test: &str, job: &Job, runs: usize, look_every: usize) {
    let mut draws = Draws::new(test);
    let (mut account, mut month) = (Account::in_month(0).await, 0);
    let took = job.whole(&account);
    let mut whole = 0;
    for run in 0..runs {
        if run * MONTHS / runs > month {
            month += 1;
            account = Account::in_month(month).await;
        }
        let mut child = job.start(&account);
        std::thread::sleep(draws.below(took));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let when = format!("{test}, run {run}, which ended with {status}");
        assert!(matches!(status.code(), None | Some(0)), "{when}");
        whole += usize::from(status.success());
        if run % look_every == 0 {
            job.stored().await.holds_no_row_twice(job.keys, &when);
        }
    }
    job.caught_up(&account);
    let stored = job.stored().await;
    println!("{test}: {whole} of {runs} runs were whole, contacts have version {}", stored.version("contacts"));
    stored.is_true(&account.truth(), job.keys, test);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_in_a_folder() {
    killed("folder", &Job::new(MIXED), kills(60), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_on_s3() {
    let buckets = Bucket::all("kill");
    let runs = kills(40) / buckets.len().max(1);
    for bucket in buckets {
        let name = bucket.name;
        // Reading every table back takes a server longer than a run does.
        killed(name, &Job::in_bucket(MIXED, bucket), runs, 10).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_there_is_anything() {
    let mut draws = Draws::new("killed_before_there_is_anything");
    let account = Account::in_month(0).await;
    let took = Job::new(MIXED).whole(&account);
    for _ in 0..20 {
        let job = Job::new(MIXED);
        let mut child = job.start(&account);
        std::thread::sleep(draws.below(took));
        child.kill().unwrap();
        child.wait().unwrap();
        job.stored().await.holds_no_row_twice(MIXED, "after the first run was killed");
        job.caught_up(&account);
        job.stored().await.is_true(&account.truth(), MIXED, "in the end");
    }
}
