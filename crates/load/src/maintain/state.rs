//! The state beside a report's tables, checked against the record that names it: the seen rows, the dead letters, the pages
//! that are kept for good, and those that wait for the next run.

use ctct_catalog::Report;

use crate::dedupe::seen;
use crate::destination::checksum;
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::manifest::Manifest;
use crate::log::record::Commit;
use crate::maintain::loss::Loss;

/// Something beside the tables that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The file or folder, relative to the destination.
    pub(crate) path: String,
    /// The same as people are shown it, and what is wrong.
    pub(crate) loss: Loss,
    /// Whether it is of pages that are kept for good.
    pub(crate) is_of_pages: bool,
}

/// What is wrong with the state that a record names.
///
/// # Errors
/// The store fails.
pub(crate) async fn damage(
    log: &ReportLog,
    head: &Commit,
    manifest: Option<&Manifest>,
) -> Result<Vec<Damage>, LoadError> {
    let destination = log.destination();
    let mut found = Vec::new();
    let mut add = |path: &str, reason: String, is_of_pages: bool| {
        let loss = Loss { path: destination.shown(path), reason };
        found.push(Damage { path: path.to_owned(), loss, is_of_pages });
    };
    if let Some(named) = &head.seen
        && let Some(reason) = seen::damage(destination, named).await?
    {
        add(&named.path, reason, false);
    }
    for (path, proof) in manifest.iter().flat_map(|manifest| manifest.of_letters()) {
        match (checksum::sha256(destination, path).await?, &proof.sha256) {
            (None, _) => add(path, format!("commit {} wrote it, but it is missing", proof.commit), false),
            (Some(found), Some(expected)) if found != *expected => {
                add(path, format!("its SHA-256 is not the one that commit {} wrote", proof.commit), false);
            }
            _ => {}
        }
    }
    match log.prove_raw_pages().await {
        Ok(()) => {}
        Err(LoadError::Damaged { path, reason }) => {
            let loss = Loss { path: path.clone(), reason };
            found.push(Damage { path, loss, is_of_pages: true });
        }
        Err(error) => return Err(error),
    }
    Ok(found)
}

impl ReportLog {
    /// Whether everything that is stored of a report is what was written, every file by its SHA-256. Nothing is asked of the
    /// API, and all of it is read: for who is about to read everything again and rests on nothing that is damaged.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] names the first file that is not; also where the store fails.
    pub async fn prove(&self, report: &Report) -> Result<(), LoadError> {
        let (Some(head), stored_state) = self.open(report.tables(), false).await? else { return Ok(()) };
        let destination = self.destination();
        for (path, proof) in stored_state.manifest.of_tables() {
            let Some(expected) = &proof.sha256 else { continue };
            if checksum::sha256(destination, path).await?.as_ref() != Some(expected) {
                let reason = format!("its SHA-256 is not the one that commit {} wrote", proof.commit);
                return Err(LoadError::Damaged { path: destination.shown(path), reason });
            }
        }
        match damage(self, &head, Some(&stored_state.manifest)).await?.into_iter().next() {
            Some(Damage { loss: Loss { path, reason }, .. }) => Err(LoadError::Damaged { path, reason }),
            None => Ok(()),
        }
    }
}

/// What is wrong with the list of failed and done ids that a record names. No row hangs on it: a run asks for those ids again.
///
/// # Errors
/// The store fails.
pub(crate) async fn unusable_ids(log: &ReportLog, head: &Commit) -> Result<Option<Loss>, LoadError> {
    let Some(named) = &head.failed else { return Ok(None) };
    let reason = match checksum::sha256(log.destination(), &named.path).await? {
        Some(found) if found == named.sha256 => return Ok(None),
        Some(_) => "its SHA-256 is not what the last commit says",
        None => "the last commit names it, but it is missing",
    };
    Ok(Some(Loss { path: log.destination().shown(&named.path), reason: reason.to_owned() }))
}

/// Kept pages that the next run would go on from and that cannot be used: it asks for them again.
///
/// # Errors
/// The store fails.
pub(crate) async fn unusable_pages(log: &ReportLog, head: i64) -> Result<Vec<Loss>, LoadError> {
    let destination = log.destination();
    let folder = format!("{}/pages/{head:020}", log.folder());
    let mut found = Vec::new();
    for path in destination.list(&folder).await? {
        if let Some(reason) = log.unusable(&path).await? {
            found.push(Loss { path: destination.shown(&path), reason });
        }
    }
    Ok(found)
}
