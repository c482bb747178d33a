//! Moves a commit's staged files to where readers find them. Doing it again, or doing it late, changes nothing.
//!
//! The names make that so. A file is either the *anchor* of its partition, `part-00000.parquet`, which is only ever
//! overwritten by a rename, or it has a name that no other commit uses, which is only ever deleted. So a publisher
//! that wakes up after a newer commit finds its staged files gone and its deletions done, and does no harm.
//!
//! The order makes that no reader of a partition sees a row twice: first the files that the commit takes away, then
//! the anchors over the old ones, then the rest. Between those steps a reader may miss rows, never see them double. The
//! one exception is `replace` with partitions by a column that changes: a row that moved from one partition to another
//! is in both for the moment between two renames.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Error as StoreError, ObjectStoreExt};

use crate::destination::Destination;
use crate::error::LoadError;
use crate::log::record::Commit;

/// Name of the one file of a partition that is overwritten in place.
pub(crate) const ANCHOR: &str = "part-00000.parquet";
/// Requests to the store at a time.
const AT_A_TIME: usize = 8;

/// A file on its way: where it is staged, and where it goes.
pub(crate) type Move<'a> = (&'a str, &'a str);

/// Whether a path is the anchor of its partition.
pub(crate) fn is_anchor(path: &str) -> bool {
    path.rsplit('/').next() == Some(ANCHOR)
}

/// All moves of a commit.
pub(crate) fn moves(commit: &Commit) -> Vec<Move<'_>> {
    let letters = commit.dead_letters.iter().map(|letters| (letters.staged.as_str(), letters.path.as_str()));
    let state = commit.seen.iter().chain(&commit.manifest).chain(&commit.failed);
    let state = state.filter_map(|file| Some((file.staged.as_deref()?, file.path.as_str())));
    // A rebuild names files that stand where they are.
    let files = commit.files.iter().filter(|file| !file.staged.is_empty());
    files.map(|file| (file.staged.as_str(), file.path.as_str())).chain(letters).chain(state).collect()
}

/// The moves that were not made yet, by what is still staged. No staged file is removed before its move is made, so
/// none left means that all is published.
pub(crate) fn unpublished<'a>(commit: &'a Commit, staged: &[String]) -> Vec<Move<'a>> {
    let staged: HashSet<&str> = staged.iter().map(String::as_str).collect();
    moves(commit).into_iter().filter(|(from, _)| staged.contains(from)).collect()
}

/// Takes away what the commit removes, then makes the moves.
pub(crate) async fn publish(destination: &Destination, commit: &Commit, moves: &[Move<'_>]) -> Result<(), LoadError> {
    let removals = commit.removed.iter().map(|path| destination.delete(path)).collect();
    a_few_at_a_time(removals).await?;
    for anchors in [true, false] {
        let turn = moves.iter().filter(|(_, to)| is_anchor(to) == anchors);
        a_few_at_a_time(turn.map(|(from, to)| rename(destination, commit.version, from, to)).collect()).await?;
    }
    let emptied: HashSet<&str> = commit
        .removed
        .iter()
        .map(String::as_str)
        .chain(moves.iter().map(|(from, _)| *from))
        .filter_map(|path| folder_of(path))
        .collect();
    for folder in emptied {
        destination.tidy(folder).await;
    }
    Ok(())
}

async fn a_few_at_a_time(requests: Vec<impl Future<Output = Result<(), LoadError>>>) -> Result<(), LoadError> {
    stream::iter(requests).buffer_unordered(AT_A_TIME).try_collect().await
}

async fn rename(destination: &Destination, version: i64, from: &str, to: &str) -> Result<(), LoadError> {
    let keys = (destination.key(from)?, destination.key(to)?);
    match destination.retidied(|| destination.store.rename(&keys.0, &keys.1)).await {
        Ok(()) => Ok(()),
        // Another run that found this commit half published was faster.
        Err(StoreError::NotFound { .. }) if destination.exists(to).await? => Ok(()),
        Err(StoreError::NotFound { .. }) => Err(LoadError::Lost { path: destination.shown(to), version }),
        Err(error) => Err(destination.failed("publish", to)(error)),
    }
}

fn folder_of(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(folder, _)| folder)
}
