//! What merging one partition of one table comes to: at first only whether anything changes, then the new file.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use bytes::Bytes;
use tokio::runtime::Handle;

use crate::destination::Destination;
use crate::destination::stop::StopFlag;
use crate::destination::upload::Upload;
use crate::error::LoadError;
use crate::files::encode::{FileTotals, TableEncoder};
use crate::files::sort::RowAt;
use crate::merge::block::{Block, Span};
use crate::merge::columns::{Shape, instants};

/// Why a row is held to be gone that a complete read did not bring.
const NOT_READ: &str = "not in a complete read";
/// Rows that stand side by side on average, below which rows are gathered one by one and not by range.
const SHORT_RANGE: usize = 16;

/// Where merged rows go: nowhere while all that is asked is whether anything changes.
pub(crate) struct Output<'a> {
    shape: &'a Shape,
    /// Number of the commit, for rows that change though the run did not bring them.
    version: i64,
    changed: bool,
    file: Option<NewFile>,
}

impl<'a> Output<'a> {
    /// `file` is where rows are written; without one nothing is.
    pub(crate) fn new(shape: &'a Shape, version: i64, file: Option<NewFile>) -> Self {
        Self { shape, version, changed: false, file }
    }

    /// Whether the rows differ from those that are stored.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    /// Whether all that was asked is known.
    pub(crate) fn is_decided(&self) -> bool {
        self.changed && self.file.is_none()
    }

    /// Whether rows that stay must be told.
    pub(crate) fn wants_all(&self) -> bool {
        self.file.is_some()
    }

    /// Stored rows that stay as they are.
    pub(crate) fn keep(&mut self, span: &Span) -> Result<(), LoadError> {
        self.put(span, Form::AsItIs)
    }

    /// Rows of the run; without history.
    pub(crate) fn add(&mut self, span: &Span) -> Result<(), LoadError> {
        self.changed = true;
        self.put(span, Form::AsItIs)
    }

    /// Rows of the run that hold from one instant on, until another one if there is one.
    pub(crate) fn add_version(&mut self, span: &Span, from: i64, until: Option<i64>) -> Result<(), LoadError> {
        self.changed = true;
        self.put(span, Form::Version { from, until })
    }

    /// Stored rows that held until this instant, or not at all if they hold from a later one.
    pub(crate) fn close(&mut self, span: &Span, until: i64) -> Result<(), LoadError> {
        self.changed = true;
        self.put(span, Form::Closed(until))
    }

    /// Stored rows that are found to be gone at this instant; with history, as versions that begin then.
    pub(crate) fn mark(&mut self, span: &Span, at: i64) -> Result<(), LoadError> {
        self.changed = true;
        self.put(span, Form::Marked(at))
    }

    /// Tells that stored rows do not stay.
    pub(crate) fn drop_rows(&mut self) {
        self.changed = true;
    }

    /// Writes what is left, and gives the file's path and totals.
    pub(crate) fn finish(&mut self) -> Result<Option<(String, FileTotals)>, LoadError> {
        let Some(mut file) = self.file.take() else { return Ok(None) };
        match file.flush(self.shape, self.version) {
            Ok(()) => file.finish().map(Some),
            Err(error) => {
                self.file = Some(file);
                Err(error)
            }
        }
    }

    /// Gives back what was uploaded of a file that will not be.
    pub(crate) fn abort(&mut self) {
        if let Some(file) = self.file.take() {
            file.runtime.block_on(file.upload.abort());
        }
    }

    fn put(&mut self, span: &Span, form: Form) -> Result<(), LoadError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut rest = span.clone();
        while rest.len > 0 {
            let room = file.row_group_bytes.saturating_sub(file.bytes).div_ceil(rest.block.row_bytes.max(1));
            let len = rest.len.min(room.max(1));
            file.gather(&Span { len, ..rest.clone() }, form);
            if file.bytes >= file.row_group_bytes {
                file.flush(self.shape, self.version)?;
            }
            rest = Span { start: rest.start + len, len: rest.len - len, ..rest };
        }
        Ok(())
    }
}

/// What becomes of rows on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    AsItIs,
    /// `_valid_from` is set, and `_valid_to` where the version ended.
    Version {
        from: i64,
        until: Option<i64>,
    },
    /// `_valid_to` is set.
    Closed(i64),
    /// `_deleted_at` is set, and what goes with it.
    Marked(i64),
}

/// A file in the making.
pub(crate) struct NewFile {
    encoder: TableEncoder,
    upload: Upload,
    runtime: Handle,
    stop: StopFlag,
    row_group_bytes: usize,
    sources: Vec<RangeSource>,
    /// Ranges of rows in their order: number of the source, first row, rows.
    ranges: Vec<(usize, usize, usize)>,
    /// Arrow bytes of the rows that wait.
    bytes: usize,
}

/// Rows that ranges are taken from.
struct RangeSource {
    block: Arc<Block>,
    /// Whether these are the block's rows as they are when they are marked, and at which instant.
    marked: Option<i64>,
    /// Rows whose `_valid_from` is set, and to what.
    begun: Vec<(usize, i64)>,
    /// The same for `_valid_to`.
    closed: Vec<(usize, i64)>,
}

impl NewFile {
    /// To be called within a tokio runtime, and used on a blocking thread.
    pub(crate) fn new(destination: &Destination, shape: &Shape, path: String) -> Result<Self, LoadError> {
        Ok(Self {
            encoder: TableEncoder::new(&shape.layout)?,
            upload: Upload::new(destination, path),
            runtime: Handle::current(),
            stop: destination.stop.clone(),
            row_group_bytes: shape.layout.row_group_bytes(),
            sources: Vec::new(),
            ranges: Vec::new(),
            bytes: 0,
        })
    }

    fn gather(&mut self, span: &Span, form: Form) {
        let marked = if let Form::Marked(at) = form { Some(at) } else { None };
        let known = |source: &RangeSource| Arc::ptr_eq(&source.block, &span.block) && source.marked == marked;
        // Rows come in order, so their block is among the last.
        let source = self.sources.iter().rposition(known).unwrap_or_else(|| {
            self.sources.push(RangeSource {
                block: Arc::clone(&span.block),
                marked,
                begun: Vec::new(),
                closed: Vec::new(),
            });
            self.sources.len() - 1
        });
        let (from, until) = match form {
            Form::AsItIs | Form::Marked(_) => (None, None),
            Form::Version { from, until } => (Some(from), until),
            Form::Closed(until) => (None, Some(until)),
        };
        self.sources[source].begun.extend(span.rows().filter_map(|row| Some((row, from?))));
        self.sources[source].closed.extend(span.rows().filter_map(|row| Some((row, until?))));
        match self.ranges.last_mut() {
            Some((last, start, len)) if *last == source && *start + *len == span.start => *len += span.len,
            _ => self.ranges.push((source, span.start, span.len)),
        }
        self.bytes += span.len * span.block.row_bytes;
    }

    /// Writes the rows that wait as a row group.
    fn flush(&mut self, shape: &Shape, version: i64) -> Result<(), LoadError> {
        self.stop.check()?;
        let sources = std::mem::take(&mut self.sources);
        let ranges = std::mem::take(&mut self.ranges);
        self.bytes = 0;
        let batches: Vec<RecordBatch> =
            sources.into_iter().map(|source| source.rows(shape, version)).collect::<Result<_, _>>()?;
        let rows: usize = ranges.iter().map(|(_, _, len)| len).sum();
        let bytes = if rows < SHORT_RANGE * ranges.len() {
            let range =
                |(source, start, len): (usize, usize, usize)| (start..start + len).map(move |row| (source, row));
            let order: Vec<RowAt> = ranges.into_iter().flat_map(range).collect();
            self.encoder.encode(&batches, Some(&order))?
        } else {
            let slices = ranges.iter().map(|(source, start, len)| batches[*source].slice(*start, *len));
            self.encoder.encode(&slices.collect::<Vec<_>>(), None)?
        };
        self.send(bytes)
    }

    fn send(&mut self, bytes: Bytes) -> Result<(), LoadError> {
        self.runtime.block_on(self.upload.put(bytes))
    }

    fn finish(self) -> Result<(String, FileTotals), LoadError> {
        let Self { encoder, mut upload, runtime, .. } = self;
        let finished = encoder.finish();
        let path = upload.path().to_owned();
        runtime.block_on(async move {
            match finished {
                Ok((footer, totals)) => {
                    upload.put(footer).await?;
                    upload.finish().await?;
                    Ok((path, totals))
                }
                Err(error) => {
                    upload.abort().await;
                    Err(error)
                }
            }
        })
    }
}

impl RangeSource {
    /// The block's rows with what is set in them.
    fn rows(self, shape: &Shape, version: i64) -> Result<RecordBatch, LoadError> {
        let rows = &self.block.rows;
        let count = rows.num_rows();
        let mut changed: Vec<(usize, ArrayRef)> = Vec::new();
        let all_at = |instant| instants(TimestampMicrosecondArray::from_value(instant, count));
        if let (Some(at), Some((deleted_at, reason))) = (self.marked, shape.deleted) {
            changed.push((shape.commit, Arc::new(Int64Array::from_value(version, count))));
            changed.push((deleted_at, all_at(at)));
            let reasons: StringViewArray = std::iter::repeat_n(Some(NOT_READ), count).collect();
            changed.push((reason, Arc::new(reasons)));
            if let Some((from, _)) = shape.valid {
                changed.push((from, all_at(at)));
            }
        }
        if let Some((from, to)) = shape.valid {
            if !self.begun.is_empty() {
                changed.push((from, with_instants(rows.column(from), &self.begun)));
            }
            if !self.closed.is_empty() {
                // No version ends before it began.
                let held = |(row, until): &(usize, i64)| (*row, (*until).max(self.block.instant(from, *row)));
                let closed: Vec<(usize, i64)> = self.closed.iter().map(held).collect();
                changed.push((to, with_instants(rows.column(to), &closed)));
            }
        }
        if changed.is_empty() { Ok(rows.clone()) } else { shape.with_columns(rows, changed) }
    }
}

/// A column of instants with other values in some rows.
fn with_instants(column: &ArrayRef, changed: &[(usize, i64)]) -> ArrayRef {
    let mut values: Vec<Option<i64>> = column.as_primitive::<TimestampMicrosecondType>().iter().collect();
    for (row, instant) in changed {
        values[*row] = Some(*instant);
    }
    instants(values.into_iter().collect())
}
