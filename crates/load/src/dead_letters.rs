//! Records that could not be typed, as zstd-compressed lines of JSON. They hold personal data and go to storage only.

use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use zstd::stream::write::Encoder;

use crate::upload::Upload;
use crate::{Destination, LoadError};

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
    /// The record's JSON as the API sent it.
    pub record: String,
}

#[derive(Serialize)]
struct Line<'a> {
    request_id: Option<&'a str>,
    index: usize,
    reason: &'a str,
    record: Record<'a>,
}

/// JSON stands in the line as it is; what is not JSON stands there as text.
#[derive(Serialize)]
#[serde(untagged)]
enum Record<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// The file of a run's dead letters, opened with the first of them.
pub(crate) struct DeadLetters {
    encoder: Encoder<'static, Vec<u8>>,
    upload: Upload,
    records: u64,
    bytes: u64,
}

/// What the finished file holds.
pub(crate) struct LetterTotals {
    pub(crate) staged: String,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

impl DeadLetters {
    pub(crate) fn new(destination: &Destination, path: String) -> Result<Self, LoadError> {
        let encoder = Encoder::new(Vec::new(), LEVEL).map_err(failed)?;
        Ok(Self { encoder, upload: Upload::new(destination, path), records: 0, bytes: 0 })
    }

    pub(crate) async fn push(&mut self, line: &DeadLetterLine) -> Result<(), LoadError> {
        // A raw value with line breaks would tear its line in two.
        let json = serde_json::from_str(&line.record).ok().filter(|_| !line.record.contains(['\n', '\r']));
        let record = json.map_or(Record::Text(&line.record), Record::Json);
        let DeadLetterLine { request_id, index, reason, .. } = line;
        let line = Line { request_id: request_id.as_deref(), index: *index, reason, record };
        serde_json::to_writer(&mut self.encoder, &line).map_err(|error| failed(error.into()))?;
        self.encoder.write_all(b"\n").map_err(failed)?;
        self.records += 1;
        if self.encoder.get_ref().len() >= CHUNK_BYTES {
            let bytes = std::mem::take(self.encoder.get_mut());
            self.bytes += bytes.len() as u64;
            self.upload.put(Bytes::from(bytes)).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<LetterTotals, LoadError> {
        let rest = self.encoder.finish().map_err(failed)?;
        let totals = LetterTotals {
            staged: self.upload.path().to_owned(),
            records: self.records,
            bytes: self.bytes + rest.len() as u64,
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
