//! From the bytes of a page to its tables: what happens in which order, and what becomes of a body that is not a page.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch, StructArray};
use arrow_json::ReaderBuilder;
use arrow_schema::SchemaRef;
use arrow_select::filter::filter;
use ctct_catalog::{Field, OptionKind, Report};
use serde_json::value::RawValue;

use crate::dead_letter::{self, ChangedAt};
use crate::flatten::{Constants, flatten};
use crate::object::ObjectDecoders;
use crate::repair::{self, Repaired};
use crate::{DeadLetter, DecodedPage, PageInput, TransformError, extra, values, wire};

/// Some programs put this in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decodes the pages of one report. Built once, shared by threads, and without memory from one page to the next.
#[derive(Debug, Clone)]
pub struct PageDecoder {
    report: Arc<Report>,
    wire: SchemaRef,
    changed_at: ChangedAt,
}

impl PageDecoder {
    /// A decoder for pages of `report`.
    pub fn new(report: Arc<Report>) -> Self {
        let wire = wire::envelope(&report);
        let changed_at = ChangedAt::new(&report);
        Self { report, wire, changed_at }
    }

    /// The report whose pages it decodes.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Decodes one page.
    ///
    /// A value that does not fit its column is null there and kept in the row's `_extra`; text that is not Unicode
    /// has U+FFFD in that place. Records without a usable key become dead letters, and the rest of the page lands. A page
    /// without records gives tables without rows.
    ///
    /// # Errors
    /// - [`TransformError::NotJson`], [`TransformError::NotAPage`]: the body is not a page of this report. None of it is
    ///   used.
    /// - [`TransformError::Bound`]: `page.bound` lacks a parameter that a column repeats, or its value has another type.
    pub fn decode(&self, page: &PageInput<'_>) -> Result<DecodedPage, TransformError> {
        let constants = Constants {
            extracted_at: page.extracted_at.timestamp_micros(),
            commit: page.commit,
            bound: self.report.columns.iter().filter_map(|field| bound(field, page.bound)).collect::<Result<_, _>>()?,
            asked: self.asked(page.bound),
        };
        let body = page.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(page.body);
        let (envelope, repaired) = self.read_or_repair(body)?;
        let body = repaired.as_ref().map_or(body, |repaired| &repaired.body);

        let records = self.records(&envelope)?;
        let mut reasons = dead_letter::reasons(&records);
        for (path, records) in repaired.iter().flat_map(|repaired| &repaired.required) {
            for record in records {
                reasons.entry(*record).or_insert_with(|| format!("{path}: text that is not Unicode"));
            }
        }
        if self.report.rows.is_none()
            && let Some(reason) = reasons.remove(&0)
        {
            // The body is some other object: as a dead letter it would leave the table empty.
            return Err(TransformError::NotAPage { reason });
        }
        let (landing, dead_letters) = self.landing(records, body, &reasons)?;
        let (tables, mut drift) = flatten(self.report.tables(), &landing, &constants)?;
        if self.report.rows.is_some() {
            extra::count("", &envelope, &mut drift);
        }
        if let Some(repaired) = repaired {
            add_repaired(&repaired, &reasons, &mut drift);
        }
        Ok(DecodedPage { tables, dead_letters, drift })
    }

    /// Names of the sub-resources that the request asked for.
    fn asked(&self, params: &[(String, String)]) -> Vec<String> {
        let options = self.report.options.iter().filter(|option| option.kind == OptionKind::Subresources);
        let names: Vec<&String> = options.flat_map(|option| &option.params).collect();
        let values = params.iter().filter(|(name, _)| names.contains(&name));
        values.flat_map(|(_, value)| value.split(',').map(str::to_owned)).collect()
    }

    /// The body as one row, and what had to be repaired in it before it could be read.
    fn read_or_repair(&self, body: &[u8]) -> Result<(StructArray, Option<Repaired>), TransformError> {
        if let Some(envelope) = self.read(body) {
            return Ok((envelope, None));
        }
        let repaired = repair::repaired(body, &self.wire, self.report.rows.is_some());
        let raw: &RawValue = serde_json::from_slice(&repaired.body).map_err(|error| not_json(body, &error))?;
        let refused = |reason: &str| TransformError::NotAPage { reason: reason.to_owned() };
        if !raw.get().starts_with('{') {
            return Err(refused("it is not an object"));
        }
        let envelope = self.read(&repaired.body).ok_or_else(|| refused("it cannot be read"))?;
        Ok((envelope, Some(repaired)))
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

    /// The records of the page, those that cannot land included.
    fn records(&self, envelope: &StructArray) -> Result<StructArray, TransformError> {
        let Some(rows) = &self.report.rows else { return Ok(envelope.clone()) };
        let list = envelope.column_by_name(rows).and_then(|column| column.as_list_opt::<i32>());
        let list = list.filter(|list| list.is_valid(0));
        let elements = list.map(|list| list.value(0));
        let records = elements.as_ref().and_then(|elements| elements.as_struct_opt()).cloned();
        records.ok_or_else(|| TransformError::no_list(rows))
    }

    /// The records that can land, and the dead letters of the others.
    fn landing(
        &self,
        records: StructArray,
        body: &[u8],
        reasons: &BTreeMap<usize, String>,
    ) -> Result<(StructArray, Vec<DeadLetter>), TransformError> {
        if reasons.is_empty() {
            return Ok((records, Vec::new()));
        }
        let raw = dead_letter::raw_records(body, self.report.rows.as_deref())?;
        let letter = |(index, reason): (&usize, &String)| {
            let record = raw.get(*index).copied().unwrap_or(RawValue::NULL);
            DeadLetter {
                index: *index,
                reason: reason.clone(),
                record: record.get().to_owned(),
                changed_at: self.changed_at.of(record),
            }
        };
        let dead_letters = reasons.iter().map(letter).collect();
        let lands: BooleanArray = (0..records.len()).map(|index| Some(!reasons.contains_key(&index))).collect();
        let records = filter(&records, &lands).map_err(TransformError::arrow("records"))?;
        Ok((records.as_struct().clone(), dead_letters))
    }
}

/// Counts the fields in which text was repaired, of the records that land.
fn add_repaired(repaired: &Repaired, reasons: &BTreeMap<usize, String>, drift: &mut BTreeMap<String, u64>) {
    for (path, records) in &repaired.fields {
        let landed = records.iter().filter(|record| !reasons.contains_key(record)).count() as u64;
        if landed > 0 {
            *drift.entry(path.clone()).or_default() += landed;
        }
    }
    for key in &repaired.envelope {
        *drift.entry(key.clone()).or_default() += 1;
    }
}

/// The one value of a column that repeats a request parameter; nothing for other columns.
fn bound(
    field: &Field,
    params: &[(String, String)],
) -> Option<Result<(String, arrow_array::ArrayRef), TransformError>> {
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
