//! The *manifest*: every file that a commit left, with its size and SHA-256. It is one small file beside the log, which the
//! commit record names with a checksum of its own.
//!
//! ```text
//! commit record -> manifest, by its SHA-256 -> Parquet files and dead letters, by theirs
//! ```
//!
//! So a run compares file by file what is listed with what should be there, without opening any, and whoever reads a file to
//! make another one of it checks first that it is the one that was written. Records are pruned; the manifest stays as long as
//! its files do.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, checksum, folder};
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::file_names::NamedFiles;
use crate::log::inventory::Listing;
use crate::log::proof::Proof;
use crate::log::record::{Commit, StateFile};

/// Format of the manifests that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;
/// Level of zstd: mostly digits of checksums, which nothing makes smaller.
const LEVEL: i32 = 1;
/// Records that are read at a time.
const AT_A_TIME: usize = 8;

/// Every file that a commit left. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manifest {
    files: Arc<BTreeMap<String, Proof>>,
}

/// The first line of the file.
#[derive(Serialize, Deserialize)]
struct ManifestHead {
    format: u32,
    files: usize,
}

/// A line of it.
#[derive(Serialize, Deserialize)]
struct ManifestLine {
    path: String,
    #[serde(flatten)]
    proof: Proof,
}

impl Manifest {
    /// What is known of a file; `None` where no commit wrote it.
    pub(crate) fn get(&self, path: &str) -> Option<&Proof> {
        self.files.get(path)
    }

    /// All files by path, those of tables and those of dead letters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Proof)> {
        self.files.iter().map(|(path, proof)| (path.as_str(), proof))
    }

    /// The files of tables by path.
    pub(crate) fn of_tables(&self) -> impl Iterator<Item = (&str, &Proof)> {
        self.iter().filter(|(path, _)| !is_state(path))
    }

    /// The files of dead letters by path.
    pub(crate) fn of_letters(&self) -> impl Iterator<Item = (&str, &Proof)> {
        self.iter().filter(|(path, _)| is_state(path))
    }

    /// What there is after a commit.
    pub(crate) fn after(&self, commit: &Commit) -> Self {
        let gone: HashSet<&str> = commit.removed.iter().map(String::as_str).collect();
        let kept = self.files.iter().filter(|(path, _)| !gone.contains(path.as_str()));
        let mut files: BTreeMap<String, Proof> = kept.map(|(path, proof)| (path.clone(), proof.clone())).collect();
        let version = commit.version;
        files.extend(commit.files.iter().map(|file| (file.path.clone(), Proof::of(file, version))));
        let letters = commit.dead_letters.iter();
        files.extend(letters.map(|letters| (letters.path.clone(), Proof::of_letters(letters, version))));
        Self { files: Arc::new(files) }
    }

    /// These files.
    pub(crate) fn of(files: impl Iterator<Item = (String, Proof)>) -> Self {
        Self { files: Arc::new(files.collect()) }
    }

    /// The files that are listed, whatever they are.
    pub(crate) fn unproven(listing: &Listing) -> Self {
        let unknown = |bytes| Proof { bytes, rows: 0, sha256: None, commit: 0, commits: None };
        Self::of(listing.iter().map(|(path, bytes)| (path.to_owned(), unknown(bytes))))
    }

    /// What is listed and should not be, or is not and should be: a path and what is wrong with it.
    pub(crate) fn damage(&self, listing: &Listing) -> Option<(String, String)> {
        for (path, Proof { bytes, commit, .. }) in self.of_tables() {
            let reason = match listing.size(path) {
                Some(found) if found == *bytes => continue,
                Some(found) => format!(
                    "commit {commit} wrote {bytes} bytes there and it has {found}: it was changed, or put back from an older copy"
                ),
                None => format!("commit {commit} wrote it, but it is missing"),
            };
            return Some((path.to_owned(), reason));
        }
        let foreign = listing.iter().map(|(path, _)| path).filter(|path| self.get(path).is_none()).min()?;
        Some((
            foreign.to_owned(),
            "no commit wrote it: it comes from elsewhere, or from a commit whose record is gone".to_owned(),
        ))
    }

    fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(&ManifestHead { format: FORMAT, files: self.files.len() })?;
        for (path, proof) in self.files.iter() {
            text.push(b'\n');
            serde_json::to_writer(&mut text, &ManifestLine { path: path.clone(), proof: proof.clone() })?;
        }
        zstd::encode_all(&text[..], LEVEL)
    }

    /// Reads what [`Self::encode`] gave; the error says what is wrong, without a word of the content.
    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let text = zstd::decode_all(bytes).map_err(|_| "it cannot be decompressed".to_owned())?;
        let mut lines = text.split(|byte| *byte == b'\n');
        let head: ManifestHead = serde_json::from_slice(lines.next().unwrap_or_default())
            .map_err(|_| "its first line is not that of a manifest".to_owned())?;
        if head.format != FORMAT {
            return Err(format!("it has format {}, and this version reads format {FORMAT}", head.format));
        }
        let mut files = BTreeMap::new();
        for line in lines {
            let ManifestLine { path, proof } =
                serde_json::from_slice(line).map_err(|_| "a line in it is not that of a file".to_owned())?;
            files.insert(path, proof);
        }
        if files.len() != head.files {
            return Err(format!("it names {} files, not {}", files.len(), head.files));
        }
        Ok(Self { files: Arc::new(files) })
    }

    /// Stages the manifest of a commit, which is to be at `path` then.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn write(
        &self,
        destination: &Destination,
        staged: String,
        path: String,
    ) -> Result<StateFile, LoadError> {
        let bytes = self.encode().map_err(|source| LoadError::Pages { source })?;
        let file = StateFile {
            path,
            rows: self.files.len() as u64,
            bytes: bytes.len() as u64,
            sha256: checksum::of_bytes(&bytes),
            staged: Some(staged.clone()),
        };
        destination.put(&staged, bytes.into()).await?;
        Ok(file)
    }
}

impl ReportLog {
    /// The manifest that a record names. Where the record is of a version that wrote none, it is made of the records that are
    /// kept and of what is listed.
    ///
    /// # Errors
    /// The store fails, or the manifest is damaged.
    pub(crate) async fn manifest(&self, head: &Commit, listing: &Listing) -> Result<Manifest, LoadError> {
        let Some(named) = &head.manifest else { return self.manifest_of_records(listing).await };
        let damaged = |reason: String| LoadError::Damaged { path: self.destination.shown(&named.path), reason };
        let Some(found) = self.destination.get(&named.path).await? else {
            return Err(damaged(format!("commit {} names it, but it is missing", head.version)));
        };
        if checksum::of_bytes(&found) != named.sha256 {
            return Err(damaged(format!("its SHA-256 is not the one that commit {} names", head.version)));
        }
        Manifest::decode(&found).map_err(damaged)
    }

    /// Stages the manifest that a commit leaves, where it changes any file, and names it in the commit. `before` is that of the
    /// last commit, whose files are `files`.
    ///
    /// # Errors
    /// The store fails.
    pub(crate) async fn stage_manifest(
        &self,
        commit: &mut Commit,
        files: &Manifest,
        before: Option<&StateFile>,
    ) -> Result<(), LoadError> {
        if let Some(before) = before
            && commit.files.is_empty()
            && commit.removed.iter().all(|path| files.get(path).is_none())
            && commit.dead_letters.is_none()
        {
            commit.manifest = Some(before.carried_over());
            return Ok(());
        }
        let run = folder::encode(&commit.run_id);
        let staged = format!("{}/files.manifest", self.staging(commit.version - 1, &run));
        let path = self.manifest_path(commit.version, &run);
        commit.manifest = Some(files.after(commit).write(&self.destination, staged, path).await?);
        // Nothing but the newest record reads it.
        commit.removed.extend(before.map(|before| before.path.clone()));
        Ok(())
    }

    async fn read_unless_damaged(&self, version: i64) -> Result<Option<Commit>, LoadError> {
        match self.read(version).await {
            Err(LoadError::Damaged { .. }) => Ok(None),
            read => read,
        }
    }

    /// What the records that can be read say of the files that are listed, or of none that is.
    pub(crate) async fn manifest_of_records(&self, listing: &Listing) -> Result<Manifest, LoadError> {
        let found = self.records().await?;
        let read: Vec<_> = found.iter().map(|record| self.read_unless_damaged(record.version).boxed()).collect();
        let records: Vec<Option<Commit>> = stream::iter(read).buffered(AT_A_TIME).try_collect().await?;
        let records: Vec<Commit> = records.into_iter().flatten().collect();
        let named = NamedFiles::new(&records);
        let proofs = listing.iter().map(|(path, bytes)| {
            let known = named.get(path).filter(|named| named.proof.bytes == bytes);
            let proof = known.map(|named| named.proof.clone());
            (path.to_owned(), proof.unwrap_or(Proof { bytes, rows: 0, sha256: None, commit: 0, commits: None }))
        });
        let removed: HashSet<&String> = records.iter().flat_map(|commit| &commit.removed).collect();
        let letters = records.iter().filter_map(|commit| {
            let letters = commit.dead_letters.as_ref().filter(|letters| !removed.contains(&letters.path))?;
            Some((letters.path.clone(), Proof::of_letters(letters, commit.version)))
        });
        Ok(Manifest::of(proofs.chain(letters)))
    }
}

/// Whether a path is below `_ctct`, and so of no table.
fn is_state(path: &str) -> bool {
    path.split('/').next() == Some(crate::destination::folder::STATE_FOLDER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest() -> Manifest {
        let proof = |bytes, sha256: Option<&str>| Proof {
            bytes,
            rows: 1,
            sha256: sha256.map(str::to_owned),
            commit: 3,
            commits: (bytes > 1).then_some((2, 3)),
        };
        let files = [("t/account=a/x.parquet", proof(1, Some("00ff"))), ("_ctct/a/t/dead_letters/x", proof(2, None))];
        Manifest::of(files.into_iter().map(|(path, proof)| (path.to_owned(), proof)))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let read = Manifest::decode(&manifest().encode().unwrap()).unwrap();
        assert_eq!(read.files, manifest().files);
        assert_eq!(read.of_tables().count(), 1);
        assert_eq!(read.get("_ctct/a/t/dead_letters/x").unwrap().commits(), (2, 3));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Manifest::decode(&bytes).is_err());
        }
    }

    #[test]
    fn what_is_sound_but_no_manifest_is_told_apart() {
        for text in
            ["", "{}", "{\"format\":2,\"files\":0}", "{\"format\":1,\"files\":1}", "{\"format\":1,\"files\":1}\n{}"]
        {
            assert!(Manifest::decode(&zstd::encode_all(text.as_bytes(), 1).unwrap()).is_err(), "{text}");
        }
    }
}
