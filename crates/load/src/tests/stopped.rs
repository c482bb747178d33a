//! Work that is asked to stop at each of its looks, one after the other: it leaves nothing behind and takes nothing away, and its
//! looks grow with the work. And listings that do not end.

use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult,
};

use super::*;
use WriteMode::{Append, Merge, Partition};

fn by_month() -> Vec<PartitionBy> {
    vec![PartitionBy::Month("created_at".to_owned())]
}

fn rows_of(months: u32, kind: &str) -> Vec<Person> {
    let row = |month: u32| person(&format!("p{month}"), kind, &format!("2026-{month:02}-01")).phone("1", &["p", "q"]);
    (1..=months).map(row).collect()
}

async fn rows(destination: &Destination) -> Vec<String> {
    table(destination, "people", &["id", "kind"]).await
}

/// A destination with some commits, and what it holds.
async fn prepared(mode: WriteMode, months: u32) -> Destination {
    let destination = Destination::in_memory();
    for number in 0..2 {
        let plan = plan(mode, &by_month(), &format!("r{number}"));
        run(&destination, plan, &rows_of(months, "old")).await.unwrap();
    }
    destination
}

/// Stops work at each of its looks, and gives their number.
async fn at_each_look(
    prepared: impl AsyncFn() -> Destination,
    work: impl AsyncFn(&Destination) -> Result<(), LoadError>,
) -> u64 {
    let destination = prepared().await;
    let before = rows(&destination).await;
    for looks in 0.. {
        let stop = StopFlag::after(looks);
        match work(&destination.clone().with_stop(stop.clone())).await {
            Ok(()) => {
                // Threads that work side by side look a little more or less often.
                assert!(stop.looks() <= looks, "what ended was asked no more");
                return looks;
            }
            Err(LoadError::Stopped) => {}
            Err(error) => panic!("look {looks}: {error}"),
        }
        assert_eq!(rows(&destination).await, before, "look {looks}");
        // Threads of a merge that was given up may write a moment longer: the next run clears that away.
        let log = ReportLog::new(&destination, "acme", "people").unwrap();
        assert_eq!(log.head().await.unwrap().unwrap().version, 2, "look {looks}");
        assert!(looks < 10_000, "it never ends");
    }
    unreachable!("the loop ends by itself")
}

#[tokio::test]
async fn a_run_that_stops_anywhere_before_its_record_changes_nothing() {
    for (mode, rebuild) in [(Append, false), (Merge, false), (Merge, true), (Partition, false)] {
        let a_run = async |destination: &Destination, months| {
            let plan = LoadPlan { rebuild, ..plan(mode, &by_month(), "again") };
            run(destination, plan, &rows_of(months, "new")).await.map(drop)
        };
        let few = at_each_look(async || prepared(mode, 1).await, async |place| a_run(place, 1).await).await;
        let stop = StopFlag::after(u64::MAX);
        a_run(&prepared(mode, 4).await.with_stop(stop.clone()), 4).await.unwrap();
        let many = stop.looks();
        assert!(
            few > 0 && many > few && many <= few * 4,
            "{mode:?}, {rebuild}: {few} and {many} looks, 1 and 4 months"
        );
    }
}

#[tokio::test]
async fn joining_verifying_and_reading_kept_pages_stop_too() {
    let joined = async |destination: &Destination| {
        let compaction = Compaction::plan(destination, "acme", &people(), &FileOptions::default()).await?;
        match compaction {
            Some(compaction) => Box::pin(compaction.carry_out("join", instant("2026-02-03"))).await.map(drop),
            None => Ok(()),
        }
    };
    let few = at_each_look(async || prepared(Append, 1).await, joined).await;
    let many = at_each_look(async || prepared(Append, 4).await, joined).await;
    assert!(many > few && few > 3, "{few} and {many}");
    let with_pages = async || {
        let destination = prepared(Append, 1).await;
        let log = ReportLog::new(&destination, "acme", "people").unwrap();
        let mut keeper = log.keeper(2, "c0ffee", "r", false, 0);
        for number in 1..=5 {
            let next = Some(format!("/v3/people?cursor={number}"));
            let received_at = instant("2026-01-31");
            let (crawl, params) = ("all".to_owned(), Vec::new());
            let (request_id, server_date, count, body) = (None, None, None, "{}".into());
            let page = KeptPage { crawl, params, number, next, request_id, received_at, server_date, count, body };
            keeper.keep(vec![page]).await.unwrap();
        }
        destination
    };
    let read = async |destination: &Destination| {
        let log = ReportLog::new(destination, "acme", "people")?;
        let mut pages = log.kept_pages(2, "c0ffee", false).await?;
        while pages.next().await?.is_some() {}
        Ok(())
    };
    assert!(at_each_look(with_pages, read).await >= 5, "one for each object");
}

/// Lists without an end.
#[derive(Debug)]
struct Lists {
    inner: InMemory,
    /// The same object again and again, or one that is new each time.
    again: bool,
}

impl std::fmt::Display for Lists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lists")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Lists {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        let (again, prefix) = (self.again, prefix.cloned().unwrap_or_default());
        let object = move |number: u64| {
            let location = prefix.clone().join(format!("{:020}.json", if again { number % 2 } else { number }));
            let last_modified = instant("2026-01-01");
            Ok(ObjectMeta { location, last_modified, size: 1, e_tag: None, version: None })
        };
        Box::pin(futures::stream::iter((0..).map(object)))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_store_that_lists_without_end_is_an_error_that_names_the_folder() {
    let again = Destination::with_store(Arc::new(Lists { inner: InMemory::new(), again: true }), "s3://bucket");
    let error = run(&again, plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap_err();
    insta::assert_snapshot!(error, @"listing `s3://bucket/_ctct/acme/people/commits` does not end: it repeats what it listed before, such as `_ctct/acme/people/commits/00000000000000000000.json`; the store is at fault; nothing was changed");
    let lists = Lists { inner: InMemory::new(), again: false };
    let endless = Destination::with_store(Arc::new(lists), "s3://bucket").listing_at_most(1_000);
    let error = run(&endless, plan(Append, &[], "r1"), &[person("a", "x", "")]).await.unwrap_err();
    insta::assert_snapshot!(error, @"listing `s3://bucket/_ctct/acme/people/commits` does not end: it lists more than 1000 objects; the store is at fault; nothing was changed");
}
