//! Records that could not be typed, as zstd-compressed lines of JSON. They hold personal data and go to storage only.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Cursor, Write};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use crate::destination::Destination;
use crate::destination::checksum::hex;
use crate::destination::upload::Upload;
use crate::error::LoadError;
use crate::log::ReportLog;

/// Compressed bytes that wait before they are uploaded.
const CHUNK_BYTES: usize = 256 << 10;
/// Level of zstd: these files are small and read by people.
const LEVEL: i32 = 3;

/// A record that could not be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterLine {
    /// Id of the request that brought it, where the server sent one.
    pub request_id: Option<String>,
    /// Position in the page, from 0.
    pub index: usize,
    /// Which field does not fit, and what it should be; never a value.
    pub reason: String,
    /// The parameters of the request, which columns repeat and which say what was asked for.
    pub bound: BTreeMap<String, String>,
    /// When the page had come, by the clock that its rows carry; absent in files of earlier versions.
    pub extracted_at: Option<DateTime<Utc>>,
    /// The record's JSON as the API sent it.
    pub record: String,
}

#[derive(Serialize)]
struct Line<'a> {
    request_id: Option<&'a str>,
    index: usize,
    reason: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bound: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extracted_at: Option<DateTime<Utc>>,
    record: LetterRecord<'a>,
}

/// JSON is in the line as it is; what is not JSON is there as text.
#[derive(Serialize)]
#[serde(untagged)]
enum LetterRecord<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// A line as it is read back. Earlier versions wrote fewer keys.
#[derive(Deserialize)]
struct StoredLine {
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    index: usize,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    bound: BTreeMap<String, String>,
    #[serde(default)]
    extracted_at: Option<DateTime<Utc>>,
    record: Box<RawValue>,
}

/// A file of committed dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterFile {
    /// Where it is, relative to the destination.
    pub path: String,
    /// When it was written, by the store's clock.
    pub written_at: DateTime<Utc>,
}

/// The lines of a file, one after the other.
pub struct Letters {
    lines: BufReader<Decoder<'static, BufReader<Cursor<Bytes>>>>,
    /// For messages.
    path: String,
}

impl Letters {
    /// The next record; `None` at the end of the file.
    ///
    /// # Errors
    /// [`LoadError::Damaged`] where the file cannot be decompressed, or a line of it is not one of a dead letter.
    pub fn next_line(&mut self) -> Result<Option<DeadLetterLine>, LoadError> {
        let damaged = |reason: &str| LoadError::Damaged { path: self.path.clone(), reason: reason.to_owned() };
        let mut text = String::new();
        let read = self.lines.read_line(&mut text).map_err(|_| damaged("it cannot be decompressed"))?;
        if read == 0 {
            return Ok(None);
        }
        let stored: StoredLine =
            serde_json::from_str(&text).map_err(|_| damaged("a line in it is not that of a dead letter"))?;
        let StoredLine { request_id, index, reason, bound, extracted_at, record } = stored;
        // Text that is not JSON, or has line breaks, was written as a string.
        let record = serde_json::from_str::<String>(record.get()).unwrap_or_else(|_| record.get().to_owned());
        Ok(Some(DeadLetterLine { request_id, index, reason, bound, extracted_at, record }))
    }
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ReportLog {
    /// The files of dead letters that were committed, the oldest first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn letter_files(&self) -> Result<Vec<LetterFile>, LoadError> {
        let found = self.destination.objects(&format!("{}/dead_letters", self.folder)).await?;
        let mut files: Vec<LetterFile> = found
            .into_iter()
            .map(|object| LetterFile {
                path: self.destination.relative(&object.location).to_owned(),
                written_at: object.last_modified,
            })
            .filter(|file| file.path.ends_with(".jsonl.zst"))
            .collect();
        files.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        Ok(files)
    }

    /// Opens one of them.
    ///
    /// # Errors
    /// The store fails, or the file is not compressed as it should be.
    pub async fn letters(&self, file: &LetterFile) -> Result<Letters, LoadError> {
        let failed = || self.destination.failed("read", &file.path);
        let found = self.destination.store.get(&self.destination.key(&file.path)?).await.map_err(failed())?;
        let compressed = found.bytes().await.map_err(failed())?;
        let path = self.destination.shown(&file.path);
        let decoder = Decoder::new(Cursor::new(compressed))
            .map_err(|_| LoadError::Damaged { path: path.clone(), reason: "it cannot be decompressed".to_owned() })?;
        Ok(Letters { lines: BufReader::new(decoder), path })
    }
}

/// The file of a run's dead letters, opened with the first of them.
pub(crate) struct DeadLetters {
    encoder: Encoder<'static, Vec<u8>>,
    upload: Upload,
    records: u64,
    bytes: u64,
    sha256: Sha256,
}

/// What the finished file holds.
pub(crate) struct LetterTotals {
    pub(crate) staged: String,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl DeadLetters {
    pub(crate) fn new(destination: &Destination, path: String) -> Result<Self, LoadError> {
        let encoder = Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        Ok(Self { encoder, upload: Upload::new(destination, path), records: 0, bytes: 0, sha256: Sha256::new() })
    }

    pub(crate) async fn push(&mut self, line: &DeadLetterLine) -> Result<(), LoadError> {
        // A raw value with line breaks would tear its line in two.
        let json = serde_json::from_str(&line.record).ok().filter(|_| !line.record.contains(['\n', '\r']));
        let record = json.map_or(LetterRecord::Text(&line.record), LetterRecord::Json);
        let DeadLetterLine { request_id, index, reason, bound, extracted_at, .. } = line;
        let (request_id, index, extracted_at) = (request_id.as_deref(), *index, *extracted_at);
        let line = Line { request_id, index, reason, bound, extracted_at, record };
        serde_json::to_writer(&mut self.encoder, &line).map_err(|error| failed(error.into()))?;
        self.encoder.write_all(b"\n").map_err(failed)?;
        self.records += 1;
        if self.encoder.get_ref().len() >= CHUNK_BYTES {
            let bytes = std::mem::take(self.encoder.get_mut());
            self.bytes += bytes.len() as u64;
            self.sha256.update(&bytes);
            self.upload.put(Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<LetterTotals, LoadError> {
        let rest = self.encoder.finish().map_err(failed)?;
        self.sha256.update(&rest);
        let totals = LetterTotals {
            staged: self.upload.path().to_owned(),
            records: self.records,
            bytes: self.bytes + rest.len() as u64,
            sha256: hex(&self.sha256.finalize()),
        };
        self.upload.put(Bytes::from(rest)).await?;
        self.upload.finish().await?;
        Ok(totals)
    }

    pub(crate) async fn abandon(self) {
        self.upload.abort().await;
    }
}

impl std::fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetters").field("records", &self.records).finish_non_exhaustive()
    }
}

fn failed(source: io::Error) -> LoadError {
    LoadError::DeadLetters { source }
}
