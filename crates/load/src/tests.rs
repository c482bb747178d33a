//! Tests over complete sessions, and what they share: a small report, pages of it, and a reader of what was stored.

mod appended;
mod brakes;
mod clocks;
mod compaction;
mod damage;
mod encoding;
pub(crate) mod faults;
mod files;
mod latest;
mod merge;
mod merge_model;
mod merge_moves;
mod modes;
mod owned;
mod pages;
mod partitions;
mod proofs;
mod records;
mod stopped;
mod uploads;
mod verified;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_cast::cast;
use arrow_json::{ArrayWriter, ReaderBuilder};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ctct_catalog::{Catalog, Report};
use ctct_transform::TableRows;
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value, json};

use crate::*;

/// A report with a list and a list in it.
pub(crate) fn people() -> Arc<Report> {
    let text = r"
report: people
operation: getPeople
doc: People.
path: /people
scope: contact_data
rows: people
key: [id]
columns:
  - {name: id, type: id, required: true, doc: Id.}
  - {name: kind, type: string, doc: Kind.}
  - {name: score, type: integer, doc: Score.}
  - {name: active, type: boolean, doc: Active.}
  - {name: created_at, type: timestamp, constant: true, doc: When it was created.}
  - name: phones
    type: list
    key: [number]
    doc: Phones.
    fields:
      - {name: number, type: id, doc: The number.}
      - {name: active, type: boolean, doc: Whether it is in use.}
      - name: lines
        type: list
        doc: Lines.
        item: {name: line, type: string, doc: The line.}
";
    let catalog = Catalog::from_files([("people.yaml", text)]).unwrap();
    Arc::clone(catalog.get("people").unwrap())
}

/// A row of the report: id, kind, day of January 2026 or null, and phones by number with their lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) kind: Option<String>,
    pub(crate) created_at: Option<i64>,
    pub(crate) phones: Vec<(String, Vec<String>)>,
}

pub(crate) fn person(id: &str, kind: &str, created_at: &str) -> Person {
    let created_at = (!created_at.is_empty()).then(|| instant(created_at).timestamp_micros());
    Person { id: id.to_owned(), kind: Some(kind.to_owned()), created_at, phones: Vec::new() }
}

impl Person {
    pub(crate) fn phone(mut self, number: &str, lines: &[&str]) -> Self {
        self.phones.push((number.to_owned(), lines.iter().map(|line| (*line).to_owned()).collect()));
        self
    }
}

pub(crate) fn instant(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 10 { format!("{text}T12:00:00Z") } else { text.to_owned() };
    text.parse().unwrap()
}

/// When pages are read, in microseconds: after all that happens to the people on them. 2026-06-01.
pub(crate) const READ_AT: i64 = 1_780_272_000_000_000;

/// A page of people, as the transform would hand it over.
pub(crate) fn page(version: i64, people_of_page: &[Person]) -> Vec<TableRows> {
    let mut rows: [Vec<Value>; 3] = Default::default();
    let mut parents: [Vec<u32>; 3] = Default::default();
    for (at, person) in (0..).zip(people_of_page) {
        let Person { id, kind, created_at, phones } = person;
        rows[0].push(json!({"id": id, "kind": kind, "score": at, "active": at % 2 == 0, "created_at": created_at}));
        parents[0].push(at);
        for (ordinal, (number, lines)) in phones.iter().enumerate() {
            rows[1].push(json!({"id": id, "_ordinal": ordinal, "number": number}));
            parents[1].push(at);
            for (position, line) in lines.iter().enumerate() {
                rows[2].push(json!({
                    "id": id, "number": number, "_parent_ordinal": ordinal, "_ordinal": position, "line": line,
                }));
                parents[2].push(at);
            }
        }
    }
    let report = people();
    let tables = report.tables().iter().zip(rows).zip(parents).enumerate();
    tables
        .map(|(at, ((table, mut rows), parents))| {
            for row in &mut rows {
                row["_extracted_at"] = json!(READ_AT);
                row["_commit"] = json!(version);
            }
            let parent_rows = (at > 0).then(|| UInt32Array::from(parents));
            TableRows { batch: batch(&table.schema, &rows), parent_rows, absent: Vec::new() }
        })
        .collect()
}

/// Rows of JSON as a batch; timestamps are given as microseconds.
pub(crate) fn batch(schema: &Arc<Schema>, rows: &[Value]) -> RecordBatch {
    if rows.is_empty() {
        return RecordBatch::new_empty(Arc::clone(schema));
    }
    let mut decoder = ReaderBuilder::new(bare_schema(schema)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    let rows = decoder.flush().unwrap().unwrap();
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

/// The schema with whole numbers for timestamps.
fn bare_schema(schema: &Schema) -> Arc<Schema> {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(..) => field.as_ref().clone().with_data_type(DataType::Int64),
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

/// Commits that the tables of `people` are right as they are, whatever was done to them by hand.
pub(crate) async fn accept(destination: &Destination) {
    let log = ReportLog::new(destination, "acme", "people").unwrap();
    let head = log.head().await.unwrap().unwrap();
    let (version, run_id) = (head.version + 1, format!("accept-{}", head.version));
    let listing = log.listing(people().tables(), Some(&head)).await.unwrap();
    let inventory = Inventory::after(None, &listing, version, &[], &[]);
    let (files, removed) = (Vec::new(), Vec::new());
    log.commit(&Commit { version, run_id, inventory, files, removed, manifest: None, ..head }).await.unwrap();
}

/// The batch with microseconds for timestamps.
fn bare(batch: &RecordBatch) -> RecordBatch {
    let schema = bare_schema(batch.schema_ref());
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap()).collect();
    RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
}

pub(crate) fn plan(mode: WriteMode, partition_by: &[PartitionBy], run: &str) -> LoadPlan {
    LoadPlan {
        pipeline: "daily".to_owned(),
        account: "acme".to_owned(),
        identity: crate::Owner::default(),
        report: people(),
        mode,
        history: false,
        repeats: Repeats::None,
        rebuild: false,
        forgets_history: false,
        changed: Vec::new(),
        partition_by: partition_by.to_vec(),
        run_id: run.to_owned(),
        files: FileOptions::default(),
    }
}

pub(crate) fn outcome() -> RunOutcome {
    let window = Window { after: None, before: Some(instant("2026-02-01")) };
    let stats = BTreeMap::from([("requests".to_owned(), 3)]);
    RunOutcome {
        supersedes: false,
        state: ReportState { watermark: Some(instant("2026-02-01")), ..ReportState::default() },
        window,
        committed_at: instant("2026-02-02"),
        absent: Absent::Stay,
        carry_over: false,
        answers: true,
        brake: Brake::Off,
        reach: Reach::default(),
        stats,
    }
}

/// A complete run: begin, one page, commit.
pub(crate) async fn run(destination: &Destination, plan: LoadPlan, rows: &[Person]) -> Result<Committed, LoadError> {
    let mut session = Box::pin(Session::begin(destination, plan)).await?;
    let version = session.version();
    session.write(page(version, rows)).await?;
    Box::pin(session.commit(outcome())).await
}

/// The same test on a store in memory, where a rename is copy and delete, and on the local disk, where it is atomic.
pub(crate) async fn on_each_store(test: impl AsyncFn(Destination)) {
    Box::pin(test(Destination::in_memory())).await;
    let folder = tempfile::tempdir().unwrap();
    Box::pin(test(Destination::open("out", folder.path(), &StoreOptions::default()).unwrap())).await;
}

/// Bytes of a stored file.
pub(crate) async fn bytes(destination: &Destination, path: &str) -> Bytes {
    destination.store.get(&destination.key(path).unwrap()).await.unwrap().bytes().await.unwrap()
}

/// All paths of the destination, without those of the log.
pub(crate) async fn table_files(destination: &Destination) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["people", "people_phones", "people_phones_lines"] {
        found.extend(destination.list(table).await.unwrap());
    }
    found
}

/// Everything below `_ctct`.
pub(crate) async fn state_files(destination: &Destination) -> Vec<String> {
    destination.list("_ctct").await.unwrap()
}

/// The rows of a stored file.
pub(crate) async fn read(destination: &Destination, path: &str) -> Vec<Map<String, Value>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes(destination, path).await).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(|batch| bare(&batch.unwrap())).collect();
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write_batches(&batches.iter().collect::<Vec<_>>()).unwrap();
    writer.finish().unwrap();
    let text = writer.into_inner();
    if text.is_empty() { Vec::new() } else { serde_json::from_slice(&text).unwrap() }
}

/// What a reader that globs a table sees: the folder below the account, and the values of these columns, sorted.
pub(crate) async fn table(destination: &Destination, name: &str, columns: &[&str]) -> Vec<String> {
    let mut seen = Vec::new();
    for path in destination.list(name).await.unwrap() {
        let folders: Vec<&str> = path.split('/').skip(2).filter(|part| part.contains('=')).collect();
        for row in read(destination, &path).await {
            let mut line = folders.join("/");
            for column in columns {
                let value = row.get(*column).cloned().unwrap_or(Value::Null);
                write!(line, " {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)).unwrap();
            }
            seen.push(line.trim_start().to_owned());
        }
    }
    seen.sort();
    seen
}
