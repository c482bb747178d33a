//! Pages that are kept: what a later run gets of them, who removes them, and the tables' history made of them again.

use super::*;

const QUERY: &str = "c0ffee";

fn kept(crawl: &str, number: u32, next: Option<&str>) -> KeptPage {
    KeptPage {
        crawl: crawl.to_owned(),
        params: vec![("status".to_owned(), "all".to_owned())],
        number,
        next: next.map(str::to_owned),
        request_id: Some("req-1".to_owned()),
        received_at: instant("2026-01-31"),
        server_date: None,
        count: Some(7),
        body: format!(r#"{{"people":["{crawl}{number}"]}}"#).into(),
    }
}

/// Pages of one crawl that resumes after them.
fn some(crawl: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<KeptPage> {
    numbers.map(|number| kept(crawl, number, Some(&format!("/v3/people?cursor={number}")))).collect()
}

fn people_log(destination: &Destination) -> ReportLog {
    ReportLog::new(destination, "acme", "people").unwrap()
}

/// Keeps each of these lists as an object of a run that resumes from what is there.
async fn keep(log: &ReportLog, base: i64, run: &str, raw: bool, objects: &[Vec<KeptPage>]) {
    let from = log.kept_pages(base, QUERY, raw).await.unwrap().next_sequence();
    let mut keeper = log.keeper(base, QUERY, run, raw, from);
    for pages in objects {
        keeper.keep(pages.clone()).await.unwrap();
    }
}

/// All that is left to read.
async fn all(pages: &mut KeptPages) -> Vec<KeptPage> {
    let mut found = Vec::new();
    while let Some(pages) = pages.next().await.unwrap() {
        assert!(!pages.is_empty());
        found.extend(pages);
    }
    found
}

/// Crawl and number of pages.
fn names(pages: &[KeptPage]) -> String {
    pages.iter().map(|page| format!("{}{}", page.crawl, page.number)).collect::<Vec<_>>().join(" ")
}

async fn waiting(log: &ReportLog, base: i64) -> String {
    names(&all(&mut log.kept_pages(base, QUERY, false).await.unwrap()).await)
}

/// A run whose commit names its raw pages.
async fn commit_raw(destination: &Destination, run: &str, since: i64) {
    Box::pin(commit_tallied(destination, run, since, None)).await;
}

async fn commit_tallied(destination: &Destination, run: &str, since: i64, kept: Option<PageTally>) {
    let mut session = Session::begin(destination, plan(WriteMode::Append, &[], run)).await.unwrap();
    let keeper = people_log(destination).keeper(session.version() - 1, QUERY, run, true, 0);
    session.name_raw_pages(RawPages { folder: keeper.folder().to_owned(), since: Some(since), kept });
    session.commit(outcome()).await.unwrap();
}

async fn replayed(log: &ReportLog) -> Result<String, LoadError> {
    let mut replay = log.replay(false).await?;
    let mut seen = Vec::new();
    while let Some((version, pages)) = replay.next().await? {
        seen.push(format!("{version}: {}", names(&pages)));
    }
    Ok(seen.join(", "))
}

/// The objects of pages below a folder of the log.
async fn objects(destination: &Destination, kind: &str) -> Vec<String> {
    destination.list(&format!("_ctct/acme/people/{kind}")).await.unwrap()
}

async fn overwrite(destination: &Destination, path: &str, bytes: Bytes) {
    destination.store.put(&destination.key(path).unwrap(), bytes.into()).await.unwrap();
}

#[tokio::test]
async fn pages_come_back_as_they_were_and_tell_where_to_go_on() {
    on_each_store(async |destination| {
        let log = people_log(&destination);
        let before = log.kept_pages(0, QUERY, false).await.unwrap();
        assert_eq!((before.is_empty(), before.len(), before.bytes(), before.next_sequence()), (true, 0, 0, 0));

        let first = [some("a", 1..=2), some("b", 1..=1)].concat();
        let last = vec![kept("a", 3, None)];
        keep(&log, 0, "r1", false, &[first.clone(), Vec::new(), last.clone()]).await;
        let mut pages = log.kept_pages(0, QUERY, false).await.unwrap();
        assert_eq!((pages.len(), pages.next_sequence()), (2, 2), "no object of no pages");
        assert!(pages.bytes() > 100);
        assert_eq!(pages.next().await.unwrap(), Some(first));
        assert_eq!(pages.next().await.unwrap(), Some(last));
        assert_eq!(pages.next().await.unwrap(), None);
        let ends: Vec<_> =
            pages.ends().iter().map(|(crawl, end)| (&crawl[..], end.number, end.next.as_deref())).collect();
        assert_eq!(ends, [("a", 3, None), ("b", 1, Some("/v3/people?cursor=1"))]);
    })
    .await;
}

#[tokio::test]
async fn pages_of_another_question_or_another_base_are_not_seen() {
    let log = people_log(&Destination::in_memory());
    keep(&log, 4, "r1", false, &[some("a", 1..=1)]).await;
    for (base, query, raw) in [(3, QUERY, false), (5, QUERY, false), (4, "c0ffe", false), (4, QUERY, true)] {
        assert!(log.kept_pages(base, query, raw).await.unwrap().is_empty());
    }
    assert!(!log.kept_pages(4, QUERY, false).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_goes_on_from_one_that_went_on_from_another() {
    let log = people_log(&Destination::in_memory());
    keep(&log, 0, "r3", false, &[some("a", 1..=2), some("a", 3..=3)]).await;
    keep(&log, 0, "r1", false, &[[some("a", 4..=4), some("b", 1..=2)].concat()]).await;
    keep(&log, 0, "r2", false, &[some("a", 5..=5), some("b", 3..=3)]).await;
    assert_eq!(waiting(&log, 0).await, "a1 a2 a3 a4 b1 b2 a5 b3");
}

#[tokio::test]
async fn pages_of_two_runs_at_once_are_never_mixed() {
    on_each_store(async |destination| {
        let log = people_log(&destination);
        keep(&log, 0, "r0", false, &[some("a", 1..=2)]).await;
        let (mut one, mut two) = (log.keeper(0, QUERY, "r1", false, 1), log.keeper(0, QUERY, "r2", false, 1));
        one.keep(some("a", 3..=3)).await.unwrap();
        two.keep(some("a", 3..=4)).await.unwrap();
        one.keep(some("a", 4..=4)).await.unwrap();
        one.keep(some("a", 5..=5)).await.unwrap();
        let mut pages = log.kept_pages(0, QUERY, false).await.unwrap();
        assert_eq!((pages.len(), pages.next_sequence()), (4, 4));
        assert_eq!(names(&all(&mut pages).await), "a1 a2 a3 a4 a5");
        two.keep(some("a", 5..=6)).await.unwrap();
        two.keep(some("a", 7..=7)).await.unwrap();
        two.keep(some("a", 8..=8)).await.unwrap();
        let mut pages = log.kept_pages(0, QUERY, false).await.unwrap();
        assert_eq!(names(&all(&mut pages).await), "a1 a2 a3 a4 a5 a6 a7 a8");
        assert_eq!(pages.next_sequence(), 5);
    })
    .await;
}

#[tokio::test]
async fn an_object_that_was_cut_short_ends_its_crawls_and_nothing_else() {
    let destination = Destination::in_memory();
    let log = people_log(&destination);
    let torn = [some("a", 2..=3), some("b", 1..=1)].concat();
    keep(&log, 0, "r1", false, &[some("a", 1..=1), torn, [some("a", 4..=4), some("c", 1..=1)].concat()]).await;
    let path = objects(&destination, "pages").await[1].clone();
    let all = bytes(&destination, &path).await;
    for end in 0..all.len() {
        overwrite(&destination, &path, all.slice(..end)).await;
        assert_eq!(waiting(&log, 0).await, "a1 c1", "cut at {end} of {}", all.len());
    }
    // The next run asks again for what is missing, and the one after it finds all of that.
    keep(&log, 0, "r2", false, &[[some("a", 2..=4), some("b", 1..=1)].concat(), some("a", 5..=5)]).await;
    assert_eq!(waiting(&log, 0).await, "a1 c1 a2 a3 a4 b1 a5");
    destination.delete(&path).await.unwrap();
    assert_eq!(waiting(&log, 0).await, "a1 c1 a2 a3 a4 b1 a5");
    overwrite(&destination, &path, all).await;
    assert_eq!(waiting(&log, 0).await, "a1 a2 a3 b1 a4 c1 b1 a5", "had it been complete, `b` begins again");
}

#[tokio::test]
async fn an_object_that_goes_away_while_pages_are_read_is_no_error() {
    let destination = Destination::in_memory();
    let log = people_log(&destination);
    keep(&log, 0, "r1", false, &[some("a", 1..=1), some("a", 2..=2), some("a", 3..=3)]).await;
    let mut pages = log.kept_pages(0, QUERY, false).await.unwrap();
    log.discard_pages(0, QUERY, false).await.unwrap();
    assert_eq!(all(&mut pages).await, []);
    assert!(pages.ends().is_empty());
}

#[tokio::test]
async fn what_is_no_object_of_pages_is_passed_over() {
    let destination = Destination::in_memory();
    let log = people_log(&destination);
    keep(&log, 0, "r1", false, &[some("a", 1..=1)]).await;
    for name in [".DS_Store", "notes.zst", "00000000000000000001-r1.zst.bak"] {
        overwrite(&destination, &format!("_ctct/acme/people/pages/{:020}/{QUERY}/{name}", 0), Bytes::new()).await;
    }
    // An object of a later version is not of use, and no mistake either.
    let later = zstd::encode_all(&b"{\"format\":2,\"chunks\":[]}\n"[..], 1).unwrap();
    overwrite(&destination, &format!("_ctct/acme/people/pages/{:020}/{QUERY}/{:020}-r2.zst", 0, 1), later.into()).await;
    assert_eq!(waiting(&log, 0).await, "a1");
}

#[tokio::test]
async fn a_first_page_that_comes_again_begins_its_crawl_anew() {
    let log = people_log(&Destination::in_memory());
    keep(&log, 0, "r1", true, &[some("a", 1..=3)]).await;
    keep(&log, 0, "r2", true, &[some("a", 1..=1), vec![kept("a", 2, None)]]).await;
    let mut pages = log.kept_pages(0, QUERY, true).await.unwrap();
    assert_eq!(names(&all(&mut pages).await), "a1 a2 a3 a1 a2");
    assert_eq!(pages.ends()["a"], CrawlEnd { number: 2, next: None });
}

#[tokio::test]
async fn stale_pages_are_discarded_but_not_those_that_stay_for_good() {
    on_each_store(async |destination| {
        let log = people_log(&destination);
        keep(&log, 0, "r1", false, &[some("a", 1..=1)]).await;
        keep(&log, 0, "r1", true, &[some("a", 1..=1)]).await;
        let mut other = log.keeper(0, "0ther", "r1", false, 0);
        other.keep(some("a", 1..=1)).await.unwrap();
        log.discard_pages(0, QUERY, false).await.unwrap();
        log.discard_pages(0, QUERY, false).await.unwrap();
        assert_eq!(waiting(&log, 0).await, "");
        let left = state_files(&destination).await.join("\n");
        insta::allow_duplicates! {
            insta::assert_snapshot!(left, @"
            _ctct/acme/people/pages/00000000000000000000/0ther/00000000000000000000-r1.zst
            _ctct/acme/people/raw/00000000000000000000/c0ffee/00000000000000000000-r1.zst
            ");
        }
    })
    .await;
}

#[tokio::test]
async fn a_commit_removes_the_pages_that_no_run_can_use_any_more() {
    on_each_store(async |destination| {
        let log = people_log(&destination);
        keep(&log, 0, "r1", false, &[some("a", 1..=1), some("a", 2..=2)]).await;
        keep(&log, 0, "r1", true, &[some("a", 1..=1)]).await;
        run(&destination, plan(WriteMode::Append, &[], "r2"), &[]).await.unwrap();
        assert_eq!((objects(&destination, "pages").await.len(), objects(&destination, "raw").await.len()), (0, 0));

        // One that was left behind writes on; one that is based on the newest version is not harmed.
        keep(&log, 0, "r1", false, &[some("a", 1..=1)]).await;
        keep(&log, 1, "r3", false, &[some("a", 1..=1)]).await;
        keep(&log, 1, "r3", true, &[some("a", 1..=1)]).await;
        log.recover().await.unwrap();
        assert_eq!((waiting(&log, 0).await, waiting(&log, 1).await), (String::new(), "a1".to_owned()));
        assert_eq!(objects(&destination, "raw").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_writer_left_half_written_goes_with_the_dead_pages() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::open("out", folder.path(), &StoreOptions::default()).unwrap();
    let dead = folder.path().join(format!("out/_ctct/acme/people/pages/{:020}/{QUERY}", 0));
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::write(dead.join(format!("{:020}-r1.zst#1", 0)), "half").unwrap();
    run(&destination, plan(WriteMode::Append, &[], "r2"), &[]).await.unwrap();
    assert!(!folder.path().join("out/_ctct/acme/people/pages").exists());
}

#[tokio::test]
async fn pages_that_a_commit_names_stay_for_good_and_those_beside_them_do_not() {
    on_each_store(async |destination| {
        let log = people_log(&destination);
        keep(&log, 0, "r1", true, &[some("a", 1..=1)]).await;
        let mut other = log.keeper(0, "0ther", "r0", true, 0);
        other.keep(some("a", 1..=1)).await.unwrap();
        commit_raw(&destination, "r1", 1).await;
        for run_id in ["r2", "r3"] {
            run(&destination, plan(WriteMode::Append, &[], run_id), &[]).await.unwrap();
        }
        let left = objects(&destination, "raw").await.join("\n");
        insta::allow_duplicates! {
            insta::assert_snapshot!(left, @"_ctct/acme/people/raw/00000000000000000000/c0ffee/00000000000000000000-r1.zst");
        }
    })
    .await;
}

#[tokio::test]
async fn a_queue_keeps_all_that_waits_as_one_object() {
    let destination = Destination::in_memory();
    let log = people_log(&destination);
    let queue = log.keeper(0, QUERY, "r1", false, 0).spawn();
    // On this runtime of one thread the task cannot begin before something here has to wait.
    for page in some("a", 1..=20) {
        assert!(queue.push(page).await);
    }
    let keeper = queue.finish().await.unwrap();
    assert_eq!(keeper.pages(), 20);
    let stored = objects(&destination, "pages").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(keeper.bytes(), bytes(&destination, &stored[0]).await.len() as u64);
    assert!(stored[0].starts_with(keeper.folder()));
    assert_eq!(all(&mut log.kept_pages(0, QUERY, false).await.unwrap()).await, some("a", 1..=20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_takes_pages_that_are_larger_than_it_holds_and_keeps_their_order() {
    let log = people_log(&Destination::in_memory());
    let queue = log.keeper(0, QUERY, "r1", false, 0).spawn();
    let large: Vec<KeptPage> =
        some("a", 1..=6).into_iter().map(|page| KeptPage { body: vec![b'x'; 9 << 20].into(), ..page }).collect();
    for page in &large {
        assert!(queue.push(page.clone()).await);
    }
    queue.finish().await.unwrap();
    assert_eq!(waiting(&log, 0).await, "a1 a2 a3 a4 a5 a6");
}

#[tokio::test]
async fn a_queue_that_is_dropped_still_keeps_what_was_handed_over() {
    let log = people_log(&Destination::in_memory());
    let queue = log.keeper(0, QUERY, "r1", false, 0).spawn();
    assert!(queue.push(kept("a", 1, None)).await);
    drop(queue);
    while log.kept_pages(0, QUERY, false).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting(&log, 0).await, "a1");
}

#[tokio::test]
async fn a_store_that_fails_is_told_at_the_end_and_no_page_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::open("out", folder.path(), &StoreOptions::default()).unwrap();
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::fs::write(folder.path().join("out/_ctct"), "in the way").unwrap();
    let queue = people_log(&destination).keeper(0, QUERY, "r1", false, 0).spawn();
    let large = KeptPage { body: vec![b'x'; 8 << 20].into(), ..kept("a", 1, None) };
    assert!(queue.push(large.clone()).await);
    // There is room for this one only when the first is done with.
    let _ = queue.push(large.clone()).await;
    while queue.push(large.clone()).await {}
    let error = queue.finish().await.unwrap_err();
    assert!(matches!(error, LoadError::Store { action: "write", .. }), "{error}");
}

#[tokio::test]
async fn replay_brings_the_pages_of_each_commit_with_its_version() {
    on_each_store(async |destination| {
        let log = people_log(&destination);
        assert_eq!(replayed(&log).await.unwrap(), "", "no commit");
        run(&destination, plan(WriteMode::Append, &[], "r1"), &[]).await.unwrap();
        assert_eq!(replayed(&log).await.unwrap(), "", "no raw pages");

        // The run that commits resumed from one that was killed, and another was there at the same time.
        keep(&log, 1, "r2", true, &[some("a", 1..=1)]).await;
        let mut loser = log.keeper(1, QUERY, "r4", true, 1);
        keep(&log, 1, "r3", true, &[some("a", 2..=2), vec![kept("a", 3, None)]]).await;
        loser.keep(some("a", 2..=3)).await.unwrap();
        loser.keep(some("a", 4..=4)).await.unwrap();
        loser.keep(some("a", 5..=5)).await.unwrap();
        commit_raw(&destination, "r3", 2).await;
        // A run that kept nothing, and one whose crawls have the names of earlier ones.
        commit_raw(&destination, "r5", 2).await;
        keep(&log, 3, "r6", true, &[some("a", 1..=1), vec![kept("b", 1, None)]]).await;
        commit_raw(&destination, "r6", 2).await;
        assert_eq!(replayed(&log).await.unwrap(), "2: a1, 2: a2, 2: a3, 4: a1, 4: b1");

        let commits = log.raw_commits().await.unwrap();
        assert_eq!(commits.iter().map(|commit| commit.version).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(commits[0].run_id, "r3");
        assert_eq!(commits[0].window, outcome().window);
        let mut pages = log.raw_pages(&commits[0], false).await.unwrap();
        assert_eq!(all(&mut pages).await, [some("a", 1..=2), vec![kept("a", 3, None)]].concat());
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_asked_nothing_brings_no_pages_twice() {
    let destination = Destination::in_memory();
    let log = people_log(&destination);
    keep(&log, 0, "r1", true, &[vec![kept("a", 1, None)]]).await;
    commit_raw(&destination, "r1", 1).await;
    let mut session = Session::begin(&destination, plan(WriteMode::Append, &[], "compaction")).await.unwrap();
    session.name_raw_pages(session.previous().unwrap().raw.clone().unwrap());
    session.commit(outcome()).await.unwrap();
    assert_eq!(replayed(&log).await.unwrap(), "1: a1");
}

#[tokio::test]
async fn raw_pages_that_are_damaged_or_missing_are_an_error() {
    let destination = Destination::in_memory();
    let log = people_log(&destination);
    keep(&log, 0, "r1", true, &[some("a", 1..=1), some("a", 2..=2), some("a", 3..=3)]).await;
    commit_raw(&destination, "r1", 1).await;
    keep(&log, 1, "r2", true, &[some("a", 1..=1)]).await;
    commit_raw(&destination, "r2", 1).await;
    assert_eq!(replayed(&log).await.unwrap(), "1: a1, 1: a2, 1: a3, 2: a1");

    let path = objects(&destination, "raw").await[1].clone();
    let all = bytes(&destination, &path).await;
    let mut told = Vec::new();
    overwrite(&destination, &path, all.slice(..all.len() - 1)).await;
    told.push(replayed(&log).await.unwrap_err().to_string());
    let later = zstd::encode_all(&b"{\"format\":2}\n"[..], 1).unwrap();
    overwrite(&destination, &path, later.into()).await;
    told.push(replayed(&log).await.unwrap_err().to_string());
    destination.delete(&path).await.unwrap();
    told.push(replayed(&log).await.unwrap_err().to_string());
    overwrite(&destination, &path, all).await;
    let record = "_ctct/acme/people/commits/00000000000000000001.json";
    destination.delete(record).await.unwrap();
    told.push(replayed(&log).await.unwrap_err().to_string());
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_commit_without_pages_in_between_is_an_error() {
    let destination = Destination::in_memory();
    commit_raw(&destination, "r1", 1).await;
    run(&destination, plan(WriteMode::Append, &[], "r2"), &[]).await.unwrap();
    commit_raw(&destination, "r3", 1).await;
    let error = replayed(&people_log(&destination)).await.unwrap_err();
    insta::assert_snapshot!(error, @"`memory://_ctct/acme/people/commits/00000000000000000002.json` is damaged: it names no raw pages, and later records say that it does");
}

#[test]
fn pages_and_where_they_lead_are_not_told() {
    let page = kept("pers0nal", 1, Some("/v3/people?email=pers0nal"));
    let page = KeptPage { params: vec![("email".to_owned(), "pers0nal".to_owned())], body: "pers0nal".into(), ..page };
    let end = CrawlEnd { number: 1, next: page.next.clone() };
    let told = format!("{page:?} {end:?}");
    assert!(!told.contains("pers0nal"), "{told}");
}
