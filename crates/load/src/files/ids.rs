//! The distinct ids that a stored table holds, for reports that ask once per contact.

use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_ord::sort::sort;
use arrow_schema::SortOptions;
use arrow_select::concat::concat;
use arrow_select::take::take;

use crate::destination::Destination;
use crate::destination::folder::{self, ACCOUNT};
use crate::error::LoadError;
use crate::files::read::StoredFile;
use crate::files::text_columns::TextColumns;
use crate::log::ReportLog;
use crate::log::inventory::{Listing, table_of};
use crate::log::manifest::Manifest;
use crate::log::record::Commit;

/// Times that the files are looked up again because a run committed meanwhile.
const ATTEMPTS: usize = 3;

/// The distinct values of a column in the committed files of an account's table, sorted, nulls left out: of a report's own
/// table, whose name the report has. The files are those that the report's log says, each found to be what was written.
/// `None` where the account has no such table yet; an empty array where it has one without rows.
///
/// # Errors
/// The store fails, a file is damaged or missing, or the table has no such column.
pub async fn distinct_ids(
    destination: &Destination,
    account: &str,
    table: &str,
    column: &str,
) -> Result<Option<StringArray>, LoadError> {
    let log = ReportLog::new(destination, account, table)?;
    let mut attempts = 1..ATTEMPTS;
    loop {
        let head = log.head().await?;
        let found = attempt(&log, head.as_ref(), column).await;
        let newest = |head: Option<&Commit>| head.map(|head| head.version);
        match found {
            Err(LoadError::Damaged { .. } | LoadError::Overtaken { .. } | LoadError::Store { .. })
                if newest(log.head().await?.as_ref()) != newest(head.as_ref()) && attempts.next().is_some() => {}
            found => return found,
        }
    }
}

async fn attempt(log: &ReportLog, head: Option<&Commit>, column: &str) -> Result<Option<StringArray>, LoadError> {
    let (destination, table) = (log.destination(), log.report());
    let account = folder::of_name(ACCOUNT, log.account())?;
    let listing = Listing::read(destination, &account, [table.to_owned()]).await?;
    let proofs = log.proofs(head, &listing).await?;
    let own = proofs.of_tables().filter(|(path, _)| table_of(path) == table);
    let own = Manifest::of(own.map(|(path, proof)| (path.to_owned(), proof.clone())));
    if let Some((path, reason)) = own.damage(&listing).filter(|_| head.is_some()) {
        return Err(LoadError::Damaged { path: destination.shown(&path), reason });
    }
    let files = listing.sorted();
    if files.is_empty() {
        return Ok(None);
    }
    let mut found = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        let ids = if let Some(folder) = folder::value_of(&path, column) {
            // The null folder has no id, and the API has no id that a folder cannot carry.
            StringArray::from_iter_values((folder != folder::NULL_FOLDER).then(|| folder::decode(folder)).flatten())
        } else {
            let stored = StoredFile::at(destination, destination.key(&path)?, bytes).proven(own.get(&path)).await?;
            let column = column.to_owned();
            let read = tokio::task::spawn_blocking(move || read_column(&stored, &column)).await;
            read.map_err(|_| LoadError::Task { task: format!("read `{path}`") })??
        };
        found.push(ids);
    }
    distinct(&found).map(Some).map_err(|source| LoadError::Arrow { table: table.to_owned(), action: "sort", source })
}

fn read_column(file: &StoredFile, column: &str) -> Result<StringArray, LoadError> {
    let names = [column.to_owned()];
    let columns = TextColumns::open(file, &names)?;
    if !columns.has_all() {
        let reason = format!("it has no column `{column}`");
        return Err(LoadError::Damaged { path: file.shown(), reason });
    }
    let batches: Vec<(usize, Vec<Option<StringArray>>)> = columns.collect::<Result<_, _>>()?;
    let texts: Vec<StringArray> = batches.into_iter().flat_map(|(_, texts)| texts).flatten().collect();
    distinct(&texts).map_err(|source| LoadError::Arrow { table: file.shown(), action: "sort", source })
}

/// All values once, sorted.
fn distinct(arrays: &[StringArray]) -> Result<StringArray, arrow_schema::ArrowError> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| array as &dyn Array).collect();
    if arrays.is_empty() {
        return Ok(StringArray::from_iter_values(std::iter::empty::<&str>()));
    }
    let all: ArrayRef = Arc::new(concat(&arrays)?);
    let sorted = sort(&all, Some(SortOptions { descending: false, nulls_first: true }))?;
    let sorted = sorted.as_string::<i32>();
    let first_of_its_kind = (0..sorted.len()).filter(|at| {
        sorted.is_valid(*at) && (*at == 0 || sorted.is_null(at - 1) || sorted.value(*at) != sorted.value(at - 1))
    });
    let indices: UInt32Array = first_of_its_kind.filter_map(|at| u32::try_from(at).ok()).collect();
    Ok(take(sorted, &indices, None)?.as_string::<i32>().clone())
}
