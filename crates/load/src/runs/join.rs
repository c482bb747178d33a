//! Joins the small files of the table of runs, so that their number is bounded however long a pipeline runs.
//!
//! The joined file waits where no reader looks and names its members. Then the members go, it takes their place, and it is
//! removed where it waited. Whoever finds one waiting finishes what its maker began, so a run that dies in between costs no
//! row; in that moment readers may miss rows, and never see one twice.

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, ObjectStoreExt};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};

use super::{AT_A_TIME, encoded, runs_folder, runs_schema};
use crate::{Destination, LoadError, folder};

/// Files that are joined when there are so many small ones.
const FILES: usize = 16;
/// A file of this size is not small: some thousand runs of a few reports.
const SMALL_BYTES: u64 = 512 << 10;
/// Where a joined file's metadata names what it is made of: paths as a JSON list, the first its own.
const MEMBERS: &str = "ctct.members";
/// Where joined files wait; no account's folder begins with a dot.
pub(super) const WAITING: &str = "_ctct/.runs";

/// Finishes a join that was cut short, and joins the account's small files where there are enough. `name` is the new file's.
///
/// # Errors
/// The store fails. Nothing is lost then.
pub(super) async fn join_due(destination: &Destination, account: &str, name: &str) -> Result<(), LoadError> {
    finish(destination, account).await?;
    let objects = destination.objects(&runs_folder(account)).await?;
    let mut small: Vec<String> = objects
        .iter()
        .filter(|object| object.size < SMALL_BYTES)
        .map(|object| destination.relative(&object.location).to_owned())
        .filter(|path| path.ends_with(".parquet"))
        .collect();
    if small.len() < FILES {
        return Ok(());
    }
    small.sort_unstable();
    let read = small.iter().map(|path| member(destination, path));
    let read: Vec<Option<RecordBatch>> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
    let (paths, batches): (Vec<&String>, Vec<RecordBatch>) =
        small.iter().zip(read).filter_map(|(path, batch)| Some((path, batch?))).unzip();
    if paths.len() < 2 {
        return Ok(());
    }
    let schema = runs_schema(destination.file_options().account_column);
    let rows = concat_batches(&schema, &batches).map_err(|source| LoadError::Arrow {
        table: super::RUNS_TABLE.to_owned(),
        action: "join",
        source,
    })?;
    let own = format!("{}/{}-joined.parquet", runs_folder(account), folder::encode(name));
    let members: Vec<&String> = std::iter::once(&own).chain(paths).collect();
    let members = KeyValue::new(MEMBERS.to_owned(), serde_json::json!(members).to_string());
    let file = encoded(&rows, &destination.file_options(), Some(members))?;
    match destination.create(&waiting(account), file.into()).await {
        // Another run is at it.
        Err(LoadError::Store { source: StoreError::AlreadyExists { .. }, .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(()) => finish(destination, account).await,
    }
}

/// Puts a joined file that waits in the place of its members.
pub(super) async fn finish(destination: &Destination, account: &str) -> Result<(), LoadError> {
    let path = waiting(account);
    let found = match destination.store.get(&destination.key(&path)?).await {
        Ok(found) => found.bytes().await.map_err(destination.failed("read", &path))?,
        Err(StoreError::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(destination.failed("read", &path)(error)),
    };
    let Some(members) = members(&found, &runs_folder(account)) else {
        tracing::warn!(
            path,
            "this is not a file of joined runs and was removed; its runs are still in their own files"
        );
        return destination.delete(&path).await;
    };
    let [own, rest @ ..] = members.as_slice() else { return destination.delete(&path).await };
    let removals = rest.iter().map(|member| destination.delete(member));
    stream::iter(removals).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
    match destination.create(own, found.into()).await {
        Ok(()) | Err(LoadError::Store { source: StoreError::AlreadyExists { .. }, .. }) => {}
        Err(error) => return Err(error),
    }
    destination.delete(&path).await
}

/// Where the joined file of an account waits.
fn waiting(account: &str) -> String {
    format!("{WAITING}/{}.parquet", folder::encode(account))
}

/// The paths that a joined file names; `None` where it names none, or any outside of this folder.
fn members(file: &Bytes, folder: &str) -> Option<Vec<String>> {
    let footer = ParquetMetaDataReader::new().parse_and_finish(file).ok()?;
    let pairs = footer.file_metadata().key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == MEMBERS)?.value.as_deref()?;
    let paths: Vec<String> = serde_json::from_str(text).ok()?;
    let inside = |path: &String| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    paths.iter().all(inside).then_some(paths)
}

/// The rows of a file in the columns of today; `None` where it is not ours, or has a column that this version does not know.
async fn member(destination: &Destination, path: &str) -> Result<Option<RecordBatch>, LoadError> {
    let found = match destination.store.get(&destination.key(path)?).await {
        Ok(found) => found.bytes().await.map_err(destination.failed("read", path))?,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(destination.failed("read", path)(error)),
    };
    Ok(rows(found, destination.file_options().account_column, path))
}

fn rows(file: Bytes, account_column: bool, path: &str) -> Option<RecordBatch> {
    let schema = runs_schema(account_column);
    let known = runs_schema(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    let own = reader.schema();
    let is_known =
        |name: &str, data_type| known.field_with_name(name).is_ok_and(|field| field.data_type() == data_type);
    if !own.fields().iter().all(|field| is_known(field.name(), field.data_type())) || own.index_of("run_id").is_err() {
        return None;
    }
    let batches: Vec<RecordBatch> = reader.build().ok()?.collect::<Result<_, _>>().ok()?;
    let batch = concat_batches(&batches.first()?.schema(), &batches).ok()?;
    let account = super::account_of(path);
    let columns = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(column) => ArrayRef::clone(column),
        None if field.name() == crate::ACCOUNT_COLUMN => super::repeated(&account, batch.num_rows()),
        None => new_null_array(field.data_type(), batch.num_rows()),
    });
    RecordBatch::try_new(std::sync::Arc::clone(&schema), columns.collect()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::super::tests::row;
    use super::super::{RunRow, add_run, last_runs};
    use super::*;
    use crate::FileSettings;
    use crate::tests::faults::dies_after;

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
        let paths = destination.list(&runs_folder("acme")).await.unwrap();
        let mut runs = BTreeMap::new();
        for path in &paths {
            let batch = member(destination, path).await.unwrap().expect("a file of ours");
            let ids = batch.column_by_name("run_id").unwrap();
            for id in arrow::array::AsArray::as_string::<i32>(ids) {
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
        assert!(destination.list(WAITING).await.unwrap().is_empty());
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
    async fn files_with_and_without_a_column_of_the_account_become_one() {
        let destination = Destination::in_memory();
        for run in 0..FILES / 2 {
            add(&destination, run).await;
        }
        let with = destination.clone().with_files(FileSettings { account_column: true, ..FileSettings::default() });
        for run in FILES / 2..FILES {
            add(&with, run).await;
        }
        let paths = destination.list(&runs_folder("acme")).await.unwrap();
        assert_eq!(paths.len(), 1, "{paths:?}");
        let batch = member(&with, &paths[0]).await.unwrap().unwrap();
        let accounts = batch.column_by_name(crate::ACCOUNT_COLUMN).unwrap();
        let mut accounts = arrow::array::AsArray::as_string::<i32>(accounts).iter();
        assert!(accounts.all(|account| account == Some("acme")));
        let foreign = format!("{}/019z.parquet", runs_folder("acme"));
        destination.create(&foreign, "not Parquet".into()).await.unwrap();
        for run in FILES..3 * FILES {
            add(&destination, run).await;
        }
        let left = destination.list(&runs_folder("acme")).await.unwrap();
        assert!(left.contains(&foreign) && left.len() <= FILES + 1, "{left:?}");
    }
}
