//! From the bytes of a page to its tables: what happens in which order, and what becomes of a page that is none.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StructArray};
use arrow::compute::filter;
use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use ctct_catalog::{Field, Report};
use serde_json::value::RawValue;

use crate::flatten::{Constants, flatten};
use crate::object::ObjectDecoders;
use crate::{DeadLetter, DecodedPage, PageInput, TransformError, dead_letter, unknown, values, wire};

/// Decodes the pages of one report. Built once, shared by threads, and without memory from one page to the next.
#[derive(Debug, Clone)]
pub struct PageDecoder {
    report: Arc<Report>,
    wire: SchemaRef,
}

impl PageDecoder {
    /// A decoder for pages of `report`.
    pub fn new(report: Arc<Report>) -> Self {
        let wire = wire::envelope(&report);
        Self { report, wire }
    }

    /// Decodes one page.
    ///
    /// Records that cannot be typed become dead letters, and the rest of the page lands. A page without records gives
    /// tables without rows.
    ///
    /// # Errors
    /// - [`TransformError::NotJson`], [`TransformError::NotAPage`]: the body is no page of this report. None of it is
    ///   used.
    /// - [`TransformError::Bound`]: `page.bound` lacks a parameter that a column repeats, or its value has another type.
    pub fn decode(&self, page: &PageInput<'_>) -> Result<DecodedPage, TransformError> {
        let constants = Constants {
            extracted_at: page.extracted_at.timestamp_micros(),
            commit: page.commit,
            bound: self.report.columns.iter().filter_map(|field| bound(field, page.bound)).collect::<Result<_, _>>()?,
        };
        let (envelope, mut dead_letters) = self.read_or_mend(page.body)?;
        let records = self.landing(&self.records(&envelope)?, page.body, &mut dead_letters)?;
        let (tables, mut drift) = flatten(self.report.tables(), &records, &constants)?;
        if self.report.rows.is_some() {
            unknown::count("", &envelope, &mut drift);
        }
        Ok(DecodedPage { tables, dead_letters, drift })
    }

    /// The body as one row, and the dead letters that had to be cut out of it before it could be read.
    ///
    /// The one kind of record that JSON's grammar allows and the reader cannot take is text with half a surrogate pair
    /// (`\ud83d` alone, an emoji that some system cut in two): it has no UTF-8.
    fn read_or_mend(&self, body: &[u8]) -> Result<(StructArray, Vec<DeadLetter>), TransformError> {
        if let Some(envelope) = self.read(body) {
            return Ok((envelope, Vec::new()));
        }
        let raw: &RawValue = serde_json::from_slice(body).map_err(|error| not_json(body, &error))?;
        if !raw.get().starts_with('{') {
            return Err(TransformError::NotAPage { reason: "it is not an object".to_owned() });
        }
        let unreadable = || TransformError::NotAPage { reason: "it holds text that is not Unicode".to_owned() };
        let rows = self.report.rows.as_deref().ok_or_else(unreadable)?;
        let records = dead_letter::raw_records(body, Some(rows))?;
        let is_readable = |raw: &RawValue| {
            let mut alone = format!("{{{}:[", serde_json::Value::from(rows));
            alone.push_str(raw.get());
            alone.push_str("]}");
            self.read(alone.as_bytes()).is_some()
        };
        let dead_letters: Vec<DeadLetter> = (0..)
            .zip(records)
            .filter(|(_, raw)| !is_readable(raw))
            .map(|(index, raw)| DeadLetter {
                index,
                reason: "record: text that is not Unicode".to_owned(),
                record: raw.get().to_owned(),
            })
            .collect();
        let is_kept = |index| dead_letters.iter().all(|letter| letter.index != index);
        let mended = dead_letter::without(body, rows, is_kept)?;
        Ok((self.read(&mended).ok_or_else(unreadable)?, dead_letters))
    }

    /// The body as one row of the wire schema, or `None` where it is not exactly one JSON object.
    ///
    /// A decoder serves one page: one that failed does not recover, and when 40 pages shared a flush, the buffers fell
    /// out of the cache and the speed to a third.
    fn read(&self, body: &[u8]) -> Option<StructArray> {
        let reader = ReaderBuilder::new(Arc::clone(&self.wire));
        let reader = reader.with_batch_size(1).with_decoder_factory(Arc::new(ObjectDecoders));
        let mut decoder = reader.build_decoder().ok()?;
        let end = decoder.decode(body).ok()?;
        if !body.get(end..)?.trim_ascii_start().is_empty() {
            return None;
        }
        // Errors of arrow-json may quote the body; the caller finds out for itself what is wrong with it.
        decoder.flush().ok()?.filter(|batch| batch.num_rows() == 1).map(RecordBatch::into)
    }

    /// The records of the page, those that do not fit included.
    fn records(&self, envelope: &StructArray) -> Result<StructArray, TransformError> {
        let Some(rows) = &self.report.rows else { return self.one_record(envelope) };
        let list = envelope.column_by_name(rows).and_then(|column| column.as_list_opt::<i32>());
        let list = list.filter(|list| list.is_valid(0));
        let elements = list.map(|list| list.value(0));
        let records = elements.as_ref().and_then(|elements| elements.as_struct_opt()).cloned();
        records.ok_or_else(|| TransformError::no_list(rows))
    }

    /// The body as the one record. Without the key it is some other object: as a dead letter it would leave the table empty.
    fn one_record(&self, envelope: &StructArray) -> Result<StructArray, TransformError> {
        let lacks = |key: &&String| envelope.column_by_name(key).is_none_or(|column| column.is_null(0));
        match self.report.key.iter().find(lacks) {
            Some(key) => Err(TransformError::NotAPage { reason: format!("it has no `{key}`") }),
            None => Ok(envelope.clone()),
        }
    }

    /// The records that can be typed. The others are added to the dead letters.
    fn landing(
        &self,
        records: &StructArray,
        body: &[u8],
        dead_letters: &mut Vec<DeadLetter>,
    ) -> Result<StructArray, TransformError> {
        let misfits = dead_letter::misfits(records);
        if misfits.is_empty() {
            return Ok(records.clone());
        }
        let raw = dead_letter::raw_records(body, self.report.rows.as_deref())?;
        let mut lands = vec![true; records.len()];
        for (index, reason) in misfits {
            if let Some(lands) = lands.get_mut(index) {
                *lands = false;
            }
            if dead_letters.iter().all(|letter| letter.index != index) {
                let record = raw.get(index).map_or("", |raw| raw.get()).to_owned();
                dead_letters.push(DeadLetter { index, reason, record });
            }
        }
        dead_letters.sort_by_key(|letter| letter.index);
        let records = filter(records, &BooleanArray::from(lands)).map_err(TransformError::arrow("records"))?;
        Ok(records.as_struct().clone())
    }
}

/// The one value of a column that repeats a request parameter; nothing for other columns.
fn bound(
    field: &Field,
    params: &[(String, String)],
) -> Option<Result<(String, arrow::array::ArrayRef), TransformError>> {
    let param = field.bound.as_ref()?;
    let wrong = |reason| TransformError::Bound { column: field.name.clone(), param: param.clone(), reason };
    let Some((_, text)) = params.iter().find(|(name, text)| name == param && !text.is_empty()) else {
        return Some(Err(wrong("not given")));
    };
    let data_type = field.kind.data_type();
    let mut fits = true;
    let value = values::column(&data_type, &[Some(text.as_str())], |_| fits = false);
    Some(if fits { Ok((field.name.clone(), value)) } else { Err(wrong(values::complaint(&data_type))) })
}

/// Why a body is not JSON.
fn not_json(body: &[u8], error: &serde_json::Error) -> TransformError {
    let reason = match body.trim_ascii_start().first() {
        None => "it is empty",
        Some(b'<') => "it starts with `<`, as HTML does",
        Some(_) => return dead_letter::not_json(error),
    };
    TransformError::NotJson { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
