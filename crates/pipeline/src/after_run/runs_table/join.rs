//! Joins the small files of the table of runs, so that their number is bounded however long a pipeline runs.
//!
//! Each join is a record, numbered and created if absent where no reader looks; it holds the joined rows and names its
//! members. Then the members go and the joined file takes their place. The last record stays: with its number taken, a run
//! that looked earlier cannot join the same files again, and whoever comes later finishes what its maker began. So a run that
//! dies in between costs no row, and in that moment readers may miss rows.

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use ctct_load::{ACCOUNT_COLUMN, Destination, LoadError, decode_rows, encode_folder, encode_rows, footer_text};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{AT_A_TIME, RUNS_TABLE, runs_folder, runs_schema};

/// Files that are joined when there are so many small ones.
const FILES: usize = 16;
/// A file of this size is not small: some thousand runs of a few reports.
const SMALL_BYTES: u64 = 512 << 10;
/// Where a record's metadata says what it joins, as JSON.
const JOIN: &str = "ctct.join";
/// How the name of a joined file ends.
const JOINED: &str = "-joined.parquet";

/// What a record says of its join, in paths of the table's files.
#[derive(Debug, Serialize, Deserialize)]
struct Join {
    /// The joined file.
    joined: String,
    /// The files whose rows it holds.
    members: Vec<String>,
    /// Joined files that were there and stay. Any other but its own is one that a slow run brought back.
    others: Vec<String>,
}

/// A join with its number and the bytes of the joined file.
struct Record {
    number: u64,
    join: Join,
    file: Bytes,
}

/// Finishes a join that was cut short, and joins the account's small files where there are enough. `name` is the new file's.
///
/// # Errors
/// The store fails. Nothing is lost then.
pub(super) async fn join_due(destination: &Destination, account: &str, name: &str) -> Result<(), LoadError> {
    // In this order: every joined file that is seen is one that the last record, or one before it, speaks of.
    let mut sizes: BTreeMap<String, u64> = destination.list_files(&runs_folder(account)).await?;
    sizes.retain(|path, _| path.ends_with(".parquet"));
    let mut number = 1;
    if let Some(last) = last(destination, account).await? {
        if !sizes.contains_key(&last.join.joined) {
            return last.finish(destination).await;
        }
        for dead in sizes.extract_if(.., |path, _| last.join.has_outlived(path)) {
            destination.delete_file(&dead.0).await?;
        }
        number = last.number + 1;
    }
    let small: Vec<&String> = sizes.iter().filter(|(_, size)| **size < SMALL_BYTES).map(|(path, _)| path).collect();
    if small.len() < FILES {
        return Ok(());
    }
    let read = small.iter().map(|path| member(destination, path));
    let read: Vec<Option<RecordBatch>> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    let (members, batches): (Vec<String>, Vec<RecordBatch>) =
        small.iter().zip(read).filter_map(|(path, batch)| Some(((*path).clone(), batch?))).unzip();
    if members.len() < 2 {
        return Ok(());
    }
    let joined = format!("{}/{}{JOINED}", runs_folder(account), encode_folder(name));
    let others = sizes.into_keys().filter(|path| path.ends_with(JOINED) && !members.contains(path)).collect();
    let record = Record::new(destination, number, Join { joined, members, others }, &batches)?;
    let path = record_path(account, number);
    if !destination.create_file(&path, record.file.clone()).await? {
        // Another run is at it.
        return Ok(());
    }
    // A run that slept since it looked may have taken a number that was used and removed. Nobody goes by that record.
    if numbers(destination, account).await?.last() != Some(&number) {
        return destination.delete_file(&path).await;
    }
    record.finish(destination).await?;
    // No older one is needed, and a run that stops in front of this leaves it to the next join.
    for older in numbers(destination, account).await?.into_iter().filter(|older| *older < number) {
        destination.delete_file(&record_path(account, older)).await?;
    }
    Ok(())
}

impl Join {
    /// Whether a file is one that this join or an earlier one took away.
    fn has_outlived(&self, path: &String) -> bool {
        let is_joined = path.ends_with(JOINED) && *path != self.joined && !self.others.contains(path);
        is_joined || self.members.contains(path)
    }
}

impl Record {
    fn new(destination: &Destination, number: u64, join: Join, batches: &[RecordBatch]) -> Result<Self, LoadError> {
        let options = destination.file_options();
        let rows = concat_batches(&runs_schema(options.account_column), batches)
            .map_err(|source| LoadError::Arrow { table: RUNS_TABLE.to_owned(), action: "join", source })?;
        let file = encode_rows(RUNS_TABLE, &rows, &options, Some((JOIN, serde_json::json!(join).to_string())))?;
        Ok(Self { number, join, file })
    }

    /// Puts the joined file in the place of its members.
    async fn finish(self, destination: &Destination) -> Result<(), LoadError> {
        let removals = self.join.members.iter().map(|member| destination.delete_file(member));
        stream::iter(removals).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        destination.create_file(&self.join.joined, self.file).await.map(drop)
    }
}

/// The last record of an account; `None` where there is none that can be read.
async fn last(destination: &Destination, account: &str) -> Result<Option<Record>, LoadError> {
    let Some(number) = numbers(destination, account).await?.pop() else { return Ok(None) };
    let path = record_path(account, number);
    let Some(file) = destination.read_file(&path).await? else { return Ok(None) };
    let Some(join) = join_of(&file, &runs_folder(account)) else {
        tracing::warn!(
            path,
            "this is not a record of joined runs and was removed; its runs are still in their own files"
        );
        destination.delete_file(&path).await?;
        return Ok(None);
    };
    Ok(Some(Record { number, join, file }))
}

/// The folder of an account's records.
pub(super) fn records_folder(account: &str) -> String {
    format!("_ctct/.runs/{}", encode_folder(account))
}

fn record_path(account: &str, number: u64) -> String {
    format!("{}/{number:020}.parquet", records_folder(account))
}

/// The numbers of an account's records, ascending.
async fn numbers(destination: &Destination, account: &str) -> Result<Vec<u64>, LoadError> {
    let paths = destination.list_files(&records_folder(account)).await?;
    let number = |path: &String| path.rsplit('/').next()?.strip_suffix(".parquet")?.parse().ok();
    let mut numbers: Vec<u64> = paths.keys().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a record says; `None` where it says nothing, or speaks of a file outside of this folder.
fn join_of(file: &Bytes, folder: &str) -> Option<Join> {
    let join: Join = serde_json::from_str(&footer_text(file, JOIN)?).ok()?;
    let inside = |path: &String| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    let all_inside = inside(&join.joined) && join.members.iter().chain(&join.others).all(inside);
    all_inside.then_some(join)
}

/// The rows of a file in the columns of today; `None` where it is not ours, or has a column that this version does not know.
async fn member(destination: &Destination, path: &str) -> Result<Option<RecordBatch>, LoadError> {
    let found = destination.read_file(path).await?;
    Ok(found.and_then(|file| rows(file, destination.file_options().account_column, path)))
}

fn rows(file: Bytes, account_column: bool, path: &str) -> Option<RecordBatch> {
    let schema = runs_schema(account_column);
    let known = runs_schema(true);
    let batch = decode_rows(file).filter(|batch| batch.num_rows() > 0)?;
    let own = batch.schema();
    let is_known =
        |name: &str, data_type| known.field_with_name(name).is_ok_and(|field| field.data_type() == data_type);
    if !own.fields().iter().all(|field| is_known(field.name(), field.data_type())) || own.index_of("run_id").is_err() {
        return None;
    }
    let account = super::account_of(path);
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => ArrayRef::clone(column),
        None if field.name() == ACCOUNT_COLUMN => super::repeated(&account, batch.num_rows()),
        None => new_null_array(field.data_type(), batch.num_rows()),
    });
    RecordBatch::try_new(std::sync::Arc::clone(&schema), columns.collect()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use ctct_load::FileSettings;
    use ctct_testkit::{Fault, FaultStore, Hold, Spot};
    use object_store::ObjectStore;
    use object_store::memory::InMemory;

    use super::super::tests::row;
    use super::super::{RunRow, add_run, last_runs};
    use super::*;

    /// A destination over this memory whose mutations fail after so many of them.
    fn dies_after(memory: &Arc<InMemory>, calls: usize) -> Destination {
        let store = FaultStore::new(Arc::clone(memory) as _);
        store.script(Spot::from(calls), Fault::Reject);
        Destination::with_store(Arc::new(store), "memory://")
    }

    fn rows_of(run: usize) -> (String, Vec<RunRow>) {
        let run = format!("019a-{run:05}");
        let rows = vec![row(&run, "contacts"), row(&run, "contact_lists")];
        (run, rows)
    }

    async fn add(destination: &Destination, run: usize) {
        let (run, rows) = rows_of(run);
        add_run(destination, "acme", &run, &rows).await.unwrap();
    }

    /// How often each run is in the files that readers see, and how many files those are.
    async fn seen(destination: &Destination) -> (BTreeMap<String, usize>, usize) {
        let paths = destination.list_files(&runs_folder("acme")).await.unwrap();
        let mut runs = BTreeMap::new();
        for path in paths.keys() {
            let batch = member(destination, path).await.unwrap().expect("a file of ours");
            let ids = batch.column_by_name("run_id").unwrap();
            for id in arrow_array::cast::AsArray::as_string::<i32>(ids) {
                *runs.entry(id.unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        (runs, paths.len())
    }

    #[tokio::test]
    async fn files_are_bounded_and_every_run_is_there_once() {
        let destination = Destination::in_memory();
        for run in 0..200 {
            add(&destination, run).await;
            let (runs, files) = seen(&destination).await;
            assert!(files <= FILES, "{files} files after {run} runs");
            assert_eq!((runs.len(), runs.values().all(|count| *count == 2)), (run + 1, true));
        }
        let last = last_runs(&destination, "acme", 2).await.unwrap();
        let last: Vec<&str> = last.iter().take(4).map(|end| end.run_id.as_str()).collect();
        assert_eq!(last, ["019a-00199", "019a-00199", "019a-00198", "019a-00198"]);
        assert_eq!(numbers(&destination, "acme").await.unwrap().len(), 1, "one record stays");
    }

    #[tokio::test]
    async fn a_run_that_dies_while_it_joins_costs_no_row() {
        for calls in 0..=FILES + 4 {
            let memory = Arc::new(InMemory::new());
            let destination = Destination::with_store(Arc::clone(&memory) as _, "memory://");
            for run in 0..FILES - 1 {
                add(&destination, run).await;
            }
            let (run, rows) = rows_of(FILES - 1);
            // The first call is that of its own file.
            let _ = add_run(&dies_after(&memory, calls + 1), "acme", &run, &rows).await;
            let (runs, _) = seen(&destination).await;
            assert!(runs.values().all(|count| *count == 2), "{calls}: a reader never sees a row twice: {runs:?}");
            add(&destination, FILES).await;
            let (runs, _) = seen(&destination).await;
            assert_eq!((runs.len(), runs.values().all(|count| *count == 2)), (FILES + 1, true), "{calls}: {runs:?}");
        }
    }

    #[tokio::test]
    async fn a_run_that_sleeps_while_others_join_costs_no_row_and_doubles_none() {
        // The calls of the sleeper's own file, the record, the members' first and last, the joined file and the older record.
        let calls = [0, 1, 2, 3, FILES + 1, FILES + 2, FILES + 3];
        for (call, others) in calls.into_iter().flat_map(|call| [1, FILES, 2 * FILES].map(|others| (call, others))) {
            let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let destination = Destination::with_store(Arc::clone(&memory), "memory://");
            for run in 0..2 * FILES - 2 {
                add(&destination, run).await;
            }
            let (sleeper, hold) = (FaultStore::new(Arc::clone(&memory)), Hold::new());
            sleeper.script(Spot::nth(call), Fault::Hold(hold.clone()));
            let sleeper = Destination::with_store(Arc::new(sleeper), "memory://");
            let awake = async {
                hold.reached().await;
                for run in 0..others {
                    add(&destination, 2 * FILES + run).await;
                }
                hold.release();
            };
            tokio::join!(add(&sleeper, 2 * FILES - 2), awake);
            add(&destination, 9 * FILES).await;
            let (runs, files) = seen(&destination).await;
            let all = 2 * FILES + others;
            assert_eq!((runs.len(), runs.values().all(|count| *count == 2)), (all, true), "{call} {others}: {runs:?}");
            assert!(files <= FILES + 1, "{call} {others}: {files} files");
            assert_eq!(numbers(&destination, "acme").await.unwrap().len(), 1, "{call} {others}");
        }
    }

    #[tokio::test]
    async fn files_with_and_without_a_column_of_the_account_become_one() {
        let destination = Destination::in_memory();
        for run in 0..FILES / 2 {
            add(&destination, run).await;
        }
        let with = destination.clone().with_files(FileSettings { account_column: true, ..FileSettings::default() });
        for run in FILES / 2..FILES {
            add(&with, run).await;
        }
        let paths = destination.list_files(&runs_folder("acme")).await.unwrap();
        assert_eq!(paths.len(), 1, "{paths:?}");
        let batch = member(&with, paths.keys().next().unwrap()).await.unwrap().unwrap();
        let accounts = batch.column_by_name(ACCOUNT_COLUMN).unwrap();
        let mut accounts = arrow_array::cast::AsArray::as_string::<i32>(accounts).iter();
        assert!(accounts.all(|account| account == Some("acme")));
        let foreign = format!("{}/019z.parquet", runs_folder("acme"));
        destination.create_file(&foreign, "not Parquet".into()).await.unwrap();
        for run in FILES..3 * FILES {
            add(&destination, run).await;
        }
        let left = destination.list_files(&runs_folder("acme")).await.unwrap();
        assert!(left.contains_key(&foreign) && left.len() <= FILES + 1, "{left:?}");
    }
}
