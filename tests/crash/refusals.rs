//! A store that takes nothing any more, from each mutation on: the run ends with the code for it and says why, and once the
//! store is well again the next run leaves the truth.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use ctct_pipeline::Outcome;
use ctct_test_support::skipped;
use ctct_testkit::{Fault, Spot};

use crate::account::{APPEND, Account, Keys, MERGE};
use crate::job::{Job, Said};
use crate::place::{Kind, Place};

async fn refused_from_anywhere_on(kind: Kind, keys: Keys, cause: io::ErrorKind, words: &str) {
    let (earlier, now) = (Account::in_month(0).await, Account::in_month(1).await);
    let before = Place::new(kind);
    assert_eq!(earlier.run(&before.destination(), keys, "first").await.outcome, Outcome::Done);
    let truth = now.truth();
    for number in 0.. {
        let place = before.copy().await;
        let (destination, store) = place.failing();
        store.script(Spot::from(number), Fault::RejectAs(cause));
        let summary = now.run(&destination, keys, "refused").await;
        store.settled().await;
        if store.met() == 0 {
            assert_eq!(summary.outcome, Outcome::Done, "{summary:#?}");
            return;
        }
        let when = format!("{cause:?} from {number} on, {}", store.mutations()[number]);
        // What a run only tidies up at its end, the next one can do as well.
        let expected = [Outcome::Configuration, Outcome::Partial, Outcome::Done];
        assert!(expected.contains(&summary.outcome), "{when}: {summary:#?}");
        let errors = summary.reports.iter().filter_map(|report| report.error.as_ref()).chain(&summary.error);
        let mut told = 0;
        for error in errors {
            assert!(error.message.contains(words), "{when}: {}", error.message);
            told += 1;
        }
        assert_eq!(told == 0, summary.outcome == Outcome::Done, "{when}: {summary:#?}");
        place.stored().await.holds_no_row_twice(keys, &when);
        let summary = now.run(&place.destination(), keys, "next").await;
        assert_eq!(summary.outcome, Outcome::Done, "{when}: {summary:#?}");
        place.stored().await.is_true(&truth, keys, &when);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_from_any_mutation_on() {
    refused_from_anywhere_on(Kind::Folder, MERGE, io::ErrorKind::StorageFull, "the disk is full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_that_is_lost_at_any_mutation() {
    refused_from_anywhere_on(Kind::Folder, APPEND, io::ErrorKind::PermissionDenied, "permission denied").await;
}

/// A user without rights of its own, for where the tests run as root.
const NOBODY: u32 = 65534;

/// A run by a user whom permissions bind.
fn bound(job: &Job, account: &Account) -> Said {
    let mut command = job.command(account);
    if fs::metadata(job.folder()).unwrap().uid() == NOBODY {
        command.uid(NOBODY).gid(NOBODY);
    }
    match command.output() {
        Ok(output) => Said::of(&output),
        Err(error) => Said { code: None, summary: serde_json::Value::Null, stderr: error.to_string() },
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_permission_is_taken_away() {
    let account = Account::in_month(0).await;
    let later = Account::in_month(1).await;
    for locked in [
        "_ctct/.probe",
        "_ctct/acme/contacts",
        "_ctct/acme/contacts/commits",
        "contacts/account=acme",
        "contacts_list_memberships/account=acme",
    ] {
        let job = Job::new(APPEND);
        if fs::metadata(job.folder()).unwrap().uid() == 0 {
            chown(job.folder(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let first = bound(&job, &account);
        if first.code.is_none() {
            // The program may stand where nobody may go.
            skipped(&format!("another user cannot start the program here: {}", first.stderr));
            return;
        }
        assert_eq!(first.code, Some(0), "{first:#?}");
        let folder = job.destination().join(locked);
        set_mode(&folder, 0o500);
        let refused = bound(&job, &later);
        set_mode(&folder, 0o700);
        assert!(matches!(refused.code, Some(2 | 14)), "{locked}: {refused:#?}");
        assert!(refused.summary.to_string().contains("permission denied"), "{locked}: {refused:#?}");
        job.stored().await.holds_no_row_twice(job.keys, locked);
        let last = bound(&job, &later);
        assert_eq!(last.code, Some(0), "{locked}: {last:#?}");
        job.stored().await.is_true(&later.truth(), job.keys, locked);
    }
}
