//! The table of runs, `_runs`: one row for each report and run, for whoever wants to query how runs went. Each run adds one
//! file, `<url>/_runs/account=<account>/<run>.parquet`, complete and once, and joins small ones where there are many. No commit
//! log speaks of them, and nothing depends on them.

mod join;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::TimestampMicrosecondArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ctct_load::{
    Destination, FileOptions, LoadError, Window, WriteMode, account_field, account_folder, decode_folder, decode_rows,
    encode_folder, encode_rows,
};
use futures::{StreamExt, TryStreamExt, stream};

/// Name of the table. No report's table begins with `_`.
pub const RUNS_TABLE: &str = "_runs";
/// Key of a field's metadata that holds what the column means; Spark shows it as the column's comment.
const COMMENT: &str = "comment";
/// Files that are read at a time.
const AT_A_TIME: usize = 8;

/// How one report of one run ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunRow {
    /// The run.
    pub(crate) run_id: String,
    /// Name of the pipeline.
    pub(crate) pipeline: String,
    /// The report.
    pub(crate) report: String,
    /// When the report began.
    pub(crate) started_at: DateTime<Utc>,
    /// When it ended.
    pub(crate) finished_at: DateTime<Utc>,
    /// What the run was for: `incremental`, `full`, `backfill` or `replay`.
    pub(crate) scope: &'static str,
    /// How rows met those that were there.
    pub(crate) write_mode: WriteMode,
    /// The span of time that was asked for.
    pub(crate) window: Window,
    /// Watermark of the commit before.
    pub(crate) watermark_before: Option<DateTime<Utc>>,
    /// Watermark after the run.
    pub(crate) watermark_after: Option<DateTime<Utc>>,
    /// Version of its commit.
    pub(crate) commit: Option<i64>,
    /// Pages read, kept ones included.
    pub(crate) pages: u64,
    /// Pages among them that an earlier run had kept.
    pub(crate) resumed_pages: u64,
    /// Rows of the report's own table that were read.
    pub(crate) rows: u64,
    /// Rows written, over all tables.
    pub(crate) written_rows: u64,
    /// Files written.
    pub(crate) written_files: u64,
    /// Bytes of Parquet written.
    pub(crate) written_bytes: u64,
    /// Requests sent.
    pub(crate) requests: u64,
    /// Retries.
    pub(crate) retries: u64,
    /// Answers that said `throttled`.
    pub(crate) throttled: u64,
    /// Bytes of the responses' bodies.
    pub(crate) read_bytes: u64,
    /// Seconds that requests waited for the pace.
    pub(crate) paced_seconds: f64,
    /// Seconds that requests waited before they were retried.
    pub(crate) backed_off_seconds: f64,
    /// Fields that the catalog does not know.
    pub(crate) drift_fields: u64,
    /// Records that could not be typed.
    pub(crate) dead_letters: u64,
    /// How it ended, in words.
    pub(crate) outcome: String,
    /// The exit code that says the same.
    pub(crate) exit_code: u8,
    /// What went wrong.
    pub(crate) error: Option<String>,
    /// What to do about it.
    pub(crate) advice: Option<String>,
    /// Version of the program.
    pub(crate) program_version: &'static str,
}

/// How one report of a run ended, as far as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunEnd {
    /// The run.
    pub(crate) run_id: String,
    /// Name of the pipeline.
    pub(crate) pipeline: String,
    /// The report.
    pub(crate) report: String,
    /// When it ended.
    pub(crate) finished_at: DateTime<Utc>,
    /// The exit code that says how.
    pub(crate) exit_code: i64,
    /// What went wrong.
    pub(crate) error: Option<String>,
    /// What to do about it.
    pub(crate) advice: Option<String>,
}

/// A column of the table.
struct RunColumn {
    name: &'static str,
    doc: &'static str,
    cell: Cell,
}

/// What a column holds of a row.
enum Cell {
    Text(fn(&RunRow) -> Option<&str>),
    Moment(fn(&RunRow) -> Option<DateTime<Utc>>),
    Count(fn(&RunRow) -> Option<u64>),
    Version(fn(&RunRow) -> Option<i64>),
    Seconds(fn(&RunRow) -> Option<f64>),
}

const fn column(name: &'static str, cell: Cell, doc: &'static str) -> RunColumn {
    RunColumn { name, doc, cell }
}

use Cell::{Count, Moment, Seconds, Text, Version};

/// All columns. They are part of the tool's contract: columns are added, never renamed. The account is the folder.
const COLUMNS: &[RunColumn] = &[
    column("run_id", Text(|row| Some(&row.run_id)), "The run; with `report` the key of the row."),
    column("pipeline", Text(|row| Some(&row.pipeline)), "Name of the pipeline."),
    column("report", Text(|row| Some(&row.report)), "The report."),
    column("started_at", Moment(|row| Some(row.started_at)), "When the report began."),
    column("finished_at", Moment(|row| Some(row.finished_at)), "When the report ended."),
    column("seconds", Seconds(|row| Some(row.seconds())), "How long it took."),
    column("scope", Text(|row| Some(row.scope)), "What the run was for: incremental, full, backfill or replay."),
    column(
        "write_mode",
        Text(|row| Some(row.write_mode.name())),
        "How its rows were combined with those that were stored.",
    ),
    column("window_from", Moment(|row| row.window.after), "Lower end of the requested window; null means open."),
    column("window_to", Moment(|row| row.window.before), "Upper end of it; null means open."),
    column("watermark_before", Moment(|row| row.watermark_before), "Watermark of the commit before the run."),
    column("watermark_after", Moment(|row| row.watermark_after), "Watermark after the run."),
    column("commit_version", Version(|row| row.commit), "Version of its commit; null where nothing was committed."),
    column("pages", Count(|row| Some(row.pages)), "Pages read, including those that an earlier run had saved."),
    column("resumed_pages", Count(|row| Some(row.resumed_pages)), "Pages among them that an earlier run had saved."),
    column("rows", Count(|row| Some(row.rows)), "Rows of the report's own table that were read."),
    column("written_rows", Count(|row| Some(row.written_rows)), "Rows written, over all tables of the report."),
    column("written_files", Count(|row| Some(row.written_files)), "Files written."),
    column("written_bytes", Count(|row| Some(row.written_bytes)), "Bytes of Parquet written."),
    column("requests", Count(|row| Some(row.requests)), "Requests sent to the API, including retries."),
    column("retries", Count(|row| Some(row.retries)), "Retries of requests."),
    column("throttled", Count(|row| Some(row.throttled)), "Responses with 429 `throttled`."),
    column("read_bytes", Count(|row| Some(row.read_bytes)), "Bytes of the responses, decompressed."),
    column(
        "paced_seconds",
        Seconds(|row| Some(row.paced_seconds)),
        "Time that requests waited for the rate limit, summed over requests.",
    ),
    column(
        "backed_off_seconds",
        Seconds(|row| Some(row.backed_off_seconds)),
        "Time that requests waited before retries, summed over requests.",
    ),
    column("drift_fields", Count(|row| Some(row.drift_fields)), "Fields that the catalog does not know."),
    column("dead_letters", Count(|row| Some(row.dead_letters)), "Records that could not be typed."),
    column("outcome", Text(|row| Some(&row.outcome)), "How the report ended, in words."),
    column("exit_code", Count(|row| Some(u64::from(row.exit_code))), "The exit code that says the same; 0 is done."),
    column("error", Text(|row| row.error.as_deref()), "What went wrong; null where nothing did."),
    column("advice", Text(|row| row.advice.as_deref()), "What to do about it."),
    column("program_version", Text(|row| Some(row.program_version)), "Version of the program."),
];

impl RunRow {
    fn seconds(&self) -> f64 {
        (self.finished_at - self.started_at).to_std().map_or(0.0, |took| took.as_secs_f64())
    }
}

impl Cell {
    fn data_type(&self) -> DataType {
        match self {
            Text(_) => DataType::Utf8,
            Moment(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Count(_) | Version(_) => DataType::Int64,
            Seconds(_) => DataType::Float64,
        }
    }

    fn array(&self, rows: &[RunRow]) -> ArrayRef {
        match self {
            Text(cell) => Arc::new(rows.iter().map(cell).collect::<StringArray>()),
            Moment(cell) => {
                let micros = rows.iter().map(|row| cell(row).map(|at| at.timestamp_micros()));
                Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
            }
            Count(cell) => {
                let counts = rows.iter().map(|row| cell(row).map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
                Arc::new(counts.collect::<Int64Array>())
            }
            Version(cell) => Arc::new(rows.iter().map(cell).collect::<Int64Array>()),
            Seconds(cell) => Arc::new(rows.iter().map(cell).collect::<Float64Array>()),
        }
    }
}

/// The schema of every file of the table; with a column of the account where `account_column` is set. The meaning of each
/// column is in its metadata, under `comment`.
pub(crate) fn runs_schema(account_column: bool) -> SchemaRef {
    let fields = COLUMNS.iter().map(|column| {
        let comment = [(COMMENT.to_owned(), column.doc.to_owned())];
        Field::new(column.name, column.cell.data_type(), true).with_metadata(HashMap::from(comment))
    });
    let own = account_column.then(|| account_field().with_data_type(DataType::Utf8).with_nullable(true));
    Arc::new(Schema::new(fields.chain(own).collect::<Vec<_>>()))
}

/// Adds the rows of one run, in one file that is named by it, and joins the small files of earlier runs where there are many.
/// Where the file is there already, only the response to its creation was lost.
///
/// # Errors
/// The store cannot be written.
pub(crate) async fn add_run(
    destination: &Destination,
    account: &str,
    run_id: &str,
    rows: &[RunRow],
) -> Result<(), LoadError> {
    let runs = runs_folder(account);
    // What runs left that were killed at this very point. One that is alive begins its file again.
    destination.remove_unfinished(&runs).await;
    destination.remove_unfinished(&join::records_folder(account)).await;
    let path = format!("{runs}/{}.parquet", encode_folder(run_id));
    destination.create_file(&path, encode(rows, account, &destination.file_options())?).await?;
    if let Err(error) = join::join_due(destination, account, run_id).await {
        tracing::debug!(%error, "could not join the files of the table of runs; a later run will");
    }
    Ok(())
}

/// The rows of the last `runs` runs of an account, the newest first; of a file that holds several runs, all of them. Names of
/// runs ascend with time. A file that is not Parquet is skipped: nothing depends on it.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn last_runs(destination: &Destination, account: &str, runs: usize) -> Result<Vec<RunEnd>, LoadError> {
    let paths = destination.list_files(&runs_folder(account)).await?;
    let newest = paths.into_keys().rev().filter(|path| path.ends_with(".parquet")).take(runs);
    let read = newest.map(|path| async move {
        // A run that joins small files may have removed it since.
        let Some(bytes) = destination.read_file(&path).await? else { return Ok(Vec::new()) };
        Ok::<_, LoadError>(decode(bytes).unwrap_or_else(|| {
            tracing::warn!(path, "this is not a file of the table of runs; it was skipped");
            Vec::new()
        }))
    });
    let mut read = stream::iter(read).buffered(AT_A_TIME);
    let (mut ends, mut found) = (Vec::new(), HashSet::new());
    while let Some(mut rows) = read.try_next().await? {
        // Runs are in the order of their names, their reports in that of the plan.
        rows.sort_by(|left, right| right.run_id.cmp(&left.run_id));
        found.extend(rows.iter().map(|row: &RunEnd| row.run_id.clone()));
        ends.append(&mut rows);
        if found.len() >= runs {
            break;
        }
    }
    Ok(ends)
}

/// Files of an account that readers of the table, or the next join, take for theirs and cannot read.
///
/// # Errors
/// The store cannot be read.
pub(crate) async fn unreadable(destination: &Destination, account: &str) -> Result<Vec<String>, LoadError> {
    let folders = [runs_folder(account), join::records_folder(account)];
    let mut unreadable = Vec::new();
    for folder in folders {
        let paths = destination.list_files(&folder).await?.into_keys().filter(|path| path.ends_with(".parquet"));
        let checked = paths.map(|path| async move {
            let file = destination.read_file(&path).await?;
            // A run that joins small files may have removed it since.
            let readable = file.is_none_or(|file| decode(file).is_some());
            Ok::<_, LoadError>((!readable).then_some(path))
        });
        let found: Vec<_> = stream::iter(checked).buffered(AT_A_TIME).try_collect().await?;
        unreadable.extend(found.into_iter().flatten());
    }
    Ok(unreadable)
}

/// Moves files that cannot be read out of the way of readers, to `_ctct/.damaged/<account>`, and gives where they are then.
///
/// # Errors
/// The store cannot be read or written.
pub(crate) async fn set_aside(destination: &Destination, account: &str) -> Result<Vec<String>, LoadError> {
    let mut moved = Vec::new();
    for path in unreadable(destination, account).await? {
        let Some(file) = destination.read_file(&path).await? else { continue };
        let name = path.rsplit('/').next().unwrap_or(&path);
        let aside = format!("_ctct/.damaged/{}/{name}", encode_folder(account));
        destination.create_file(&aside, file).await?;
        destination.delete_file(&path).await?;
        moved.push(aside);
    }
    Ok(moved)
}

fn runs_folder(account: &str) -> String {
    account_folder(RUNS_TABLE, account)
}

/// The account that a path of the table names.
fn account_of(path: &str) -> String {
    let folder = path.split('/').find_map(|level| level.strip_prefix("account="));
    folder.and_then(decode_folder).unwrap_or_default()
}

/// A column with one text in every row.
fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows)))
}

fn encode(rows: &[RunRow], account: &str, options: &FileOptions) -> Result<Bytes, LoadError> {
    let schema = runs_schema(options.account_column);
    let own = options.account_column.then(|| repeated(account, rows.len()));
    let columns = COLUMNS.iter().map(|column| column.cell.array(rows)).chain(own).collect();
    let failed = |source| LoadError::Arrow { table: RUNS_TABLE.to_owned(), action: "write", source };
    encode_rows(RUNS_TABLE, &RecordBatch::try_new(schema, columns).map_err(failed)?, options, None)
}

/// The rows of a file; `None` where it is none of ours.
fn decode(file: Bytes) -> Option<Vec<RunEnd>> {
    let batch = decode_rows(file)?;
    let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>().cloned();
    let (run_id, pipeline, report) = (text("run_id")?, text("pipeline")?, text("report")?);
    let (error, advice) = (text("error")?, text("advice")?);
    let finished = primitive::<TimestampMicrosecondType>(&batch, "finished_at")?;
    let code = primitive::<Int64Type>(&batch, "exit_code")?;
    let optional = |array: &StringArray, at| array.is_valid(at).then(|| array.value(at).to_owned());
    let rows = (0..batch.num_rows()).map(|at| {
        Some(RunEnd {
            run_id: run_id.value(at).to_owned(),
            pipeline: pipeline.value(at).to_owned(),
            report: report.value(at).to_owned(),
            finished_at: DateTime::from_timestamp_micros(finished.value(at))?,
            exit_code: code.value(at),
            error: optional(&error, at),
            advice: optional(&advice, at),
        })
    });
    rows.collect()
}

fn primitive<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str) -> Option<arrow_array::PrimitiveArray<T>> {
    batch.column_by_name(name)?.as_primitive_opt::<T>().cloned()
}

#[cfg(test)]
mod tests {
    use arrow_array::types::Float64Type;

    use super::*;

    pub(super) fn row(run_id: &str, report: &str) -> RunRow {
        let at = |seconds: i64| DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap();
        RunRow {
            run_id: run_id.to_owned(),
            pipeline: "acme".to_owned(),
            report: report.to_owned(),
            started_at: at(0),
            finished_at: at(90),
            scope: "incremental",
            write_mode: WriteMode::Append,
            window: Window { after: Some(at(-60)), before: None },
            watermark_before: None,
            watermark_after: Some(at(1)),
            commit: Some(3),
            pages: 2,
            resumed_pages: 1,
            rows: 700,
            written_rows: 900,
            written_files: 4,
            written_bytes: 12_345,
            requests: 3,
            retries: 1,
            throttled: 0,
            read_bytes: 99,
            paced_seconds: 0.5,
            backed_off_seconds: 1.5,
            drift_fields: 0,
            dead_letters: 1,
            outcome: "failed in part".to_owned(),
            exit_code: 14,
            error: Some("what and where".to_owned()),
            advice: None,
            program_version: "1",
        }
    }

    #[tokio::test]
    async fn the_newest_runs_come_first_and_a_run_is_there_once() {
        let destination = Destination::in_memory();
        for run in ["019a", "019b", "019c", "019c"] {
            add_run(&destination, "acme", run, &[row(run, "contacts"), row(run, "contact_lists")]).await.unwrap();
        }
        add_run(&destination, "other", "019d", &[row("019d", "contacts")]).await.unwrap();
        let found = last_runs(&destination, "acme", 2).await.unwrap();
        let keys: Vec<_> = found.iter().map(|end| (end.run_id.as_str(), end.report.as_str())).collect();
        let run = |run| [(run, "contacts"), (run, "contact_lists")];
        assert_eq!(keys, [run("019c"), run("019b")].concat());
        let end = &found[0];
        assert_eq!((end.exit_code, end.error.as_deref(), end.advice.as_deref()), (14, Some("what and where"), None));
        assert_eq!(end.finished_at.timestamp(), 1_770_000_090);
        assert_eq!(last_runs(&destination, "nobody", 2).await.unwrap(), []);
    }

    #[tokio::test]
    async fn what_is_no_file_of_ours_is_passed_over() {
        let destination = Destination::in_memory();
        add_run(&destination, "acme", "019a", &[row("019a", "contacts")]).await.unwrap();
        let foreign = format!("{}/019b.parquet", runs_folder("acme"));
        destination.create_file(&foreign, "not Parquet".into()).await.unwrap();
        assert_eq!(last_runs(&destination, "acme", 9).await.unwrap().len(), 1);
        let record = format!("{}/{:020}.parquet", join::records_folder("acme"), 1);
        destination.create_file(&record, "not Parquet".into()).await.unwrap();
        assert_eq!(unreadable(&destination, "acme").await.unwrap(), [foreign, record]);
        assert_eq!(unreadable(&destination, "other").await.unwrap(), [""; 0]);
        assert_eq!(set_aside(&destination, "acme").await.unwrap().len(), 2);
        assert_eq!(unreadable(&destination, "acme").await.unwrap(), [""; 0]);
    }

    #[test]
    fn every_column_says_what_it_means_and_holds_it() {
        let bytes = encode(&[row("019a", "contacts")], "acme", &FileOptions::default()).unwrap();
        let batch = decode_rows(bytes).unwrap();
        assert_eq!(batch.schema(), runs_schema(false));
        let mut shown = String::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let value = arrow_cast::display::array_value_to_string(column, 0);
            // To show a time in UTC by its name, arrow would need a database of time zones.
            let value =
                value.unwrap_or_else(|_| column.as_primitive::<TimestampMicrosecondType>().value(0).to_string());
            shown += &format!("{}: {} = {value}: {}\n", field.name(), field.data_type(), field.metadata()[COMMENT]);
        }
        let seconds = batch.column_by_name("seconds").unwrap().as_primitive::<Float64Type>().value(0);
        assert!((seconds - 90.0).abs() < f64::EPSILON);
        insta::assert_snapshot!(shown);
    }
}
