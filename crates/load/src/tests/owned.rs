//! Whose rows are stored for a report: kept from commit to commit, in files and through a rebuild, changed only on purpose.

use super::*;
use crate::{Adopted, Owner, adopt, owners};
use WriteMode::{Append, Merge, Replace};

fn owner(account: &str) -> Owner {
    Owner { account: Some(account.to_owned()), user: Some(format!("user of {account}")), ..Owner::default() }
}

fn of(owner: Owner, mode: WriteMode, run: &str) -> LoadPlan {
    LoadPlan { identity: owner, ..plan(mode, &[], run) }
}

async fn head(destination: &Destination) -> Commit {
    ReportLog::new(destination, "acme", "people").unwrap().head().await.unwrap().unwrap()
}

async fn findings(destination: &Destination) -> Vec<String> {
    let verified = verify(destination, "acme", &people(), &VerifyOptions::default()).await.unwrap();
    verified.findings.into_iter().map(|finding| finding.what).collect()
}

#[test]
fn an_account_that_is_known_stays_known() {
    let asked =
        |token: &str| Owner { asked: Some(token.to_owned()), token: Some(token.to_owned()), ..Owner::default() };
    let kept = asked("t2").after(Some(&owner("a1")));
    assert_eq!(kept, Owner { asked: Some("t2".to_owned()), ..owner("a1") });
    assert_eq!(owner("a1").after(Some(&kept)), owner("a1"));
    assert_eq!(Owner::default().after(Some(&kept)), kept, "a replay tells nothing new");
    let former = Owner { former: vec!["a0".to_owned()], ..owner("a1") };
    assert_eq!(owner("a1").after(Some(&former)).former, ["a0"]);
    assert!(former.may_have("a0") && former.may_have("a1") && !former.may_have("a2"));
    assert!(Owner::default().may_have("a2"), "where nothing is known nothing is wrong");
    let in_files = kept.in_files();
    assert_eq!((in_files.user, in_files.asked, in_files.token), (None, None, None), "who asked stays out of files");
}

#[tokio::test]
async fn verify_finds_files_of_another_account_but_for_adopted_ones() {
    on_each_store(async |destination| {
        run(&destination, of(owner("a1"), Append, "r1"), &[person("a", "x", "2026-01-05")]).await.unwrap();
        run(&destination, of(Owner::default(), Append, "r2"), &[person("b", "x", "2026-01-05")]).await.unwrap();
        assert_eq!(head(&destination).await.identity, owner("a1"));
        assert_eq!(findings(&destination).await, [""; 0]);

        let adopted = adopt(&destination, "acme", "people", &owner("a2"), "r3", instant("2026-02-03")).await.unwrap();
        assert_eq!(adopted, Some(Adopted { version: Some(3), from: owner("a1") }));
        let commit = head(&destination).await;
        assert_eq!(commit.identity, Owner { former: vec!["a1".to_owned()], ..owner("a2") });
        assert_eq!((commit.files.len(), commit.removed.len()), (0, 0));
        assert_eq!(findings(&destination).await, [""; 0]);
        run(&destination, of(owner("a2"), Append, "r4"), &[person("c", "x", "2026-01-05")]).await.unwrap();
        assert_eq!(findings(&destination).await, [""; 0]);
        let again = adopt(&destination, "acme", "people", &owner("a2"), "r5", instant("2026-02-03")).await.unwrap();
        assert_eq!(again.map(|adopted| adopted.version), Some(None));
        assert_eq!(
            adopt(&destination, "acme", "nobody", &owner("a2"), "r6", instant("2026-02-03")).await.unwrap(),
            None
        );

        // What no run does: another account's rows beside the stored ones.
        run(&destination, of(owner("a3"), Append, "r7"), &[person("d", "x", "2026-01-05")]).await.unwrap();
        let found = findings(&destination).await;
        assert!(!found.is_empty() && found.iter().all(|what| what.contains("of the account a2")), "{found:?}");
    })
    .await;
}

#[tokio::test]
async fn a_rebuild_takes_the_account_from_the_files() {
    for mode in [Append, Merge, Replace] {
        let folder = tempfile::tempdir().unwrap();
        let destination = Destination::open(".", folder.path(), &StoreOptions::default());
        let destination = destination.unwrap();
        run(&destination, of(owner("a1"), mode, "r1"), &[person("a", "x", "2026-01-05")]).await.unwrap();
        let stored = owners(&destination, "acme").await.unwrap();
        assert_eq!((stored.len(), &stored[0].owner), (1, &owner("a1")), "{mode:?}");
        std::fs::remove_dir_all(folder.path().join("_ctct")).unwrap();
        assert_eq!(owners(&destination, "acme").await.unwrap(), [], "{mode:?}");
        let report = people();
        let wanted = Rebuild {
            pipeline: "daily",
            account: "acme",
            report: &report,
            run_id: "r2",
            at: instant("2026-02-03"),
            dry_run: false,
        };
        let rebuilt = rebuild(&destination, &wanted).await.unwrap();
        assert!(matches!(rebuilt, Rebuilt::Done { .. }), "{mode:?} {rebuilt:?}");
        assert_eq!(head(&destination).await.identity, owner("a1").in_files(), "{mode:?}");
    }
}
