//! What every Parquet file says of itself in its footer, and how it is read back. It is enough to rebuild a lost log.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use ctct_catalog::Table;
use object_store::{GetOptions, GetRange, ObjectStore};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use serde::de::DeserializeOwned;

use crate::destination::Destination;
use crate::error::LoadError;
use crate::log::ReportLog;
use crate::log::inventory::table_of;
use crate::log::owner::Owner;
use crate::log::record::{Commit, LAYOUT_VERSION, ReportState, WriteMode};

/// Bytes that are fetched from the end of a file at first: most footers fit.
const TAIL_BYTES: u64 = 64 << 10;

/// The state that a run's files are closed with.
///
/// The state of a commit is known when the run ends, and files are closed on the way. So a file carries what was known
/// when it was closed: the state before the run at worst, from which reading again loses nothing.
#[derive(Debug, Default)]
pub(crate) struct FooterState(Mutex<ReportState>);

impl FooterState {
    /// Files that are closed from now on carry this state.
    pub(crate) fn set(&self, state: &ReportState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
    }

    /// The state as a footer's keys and values; what is absent has none.
    pub(crate) fn pairs(&self) -> Vec<KeyValue> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let instant = |at: &DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        let progress = state.progress.as_ref().and_then(|progress| serde_json::to_string(progress).ok());
        [
            ("ctct.watermark", state.watermark.as_ref().map(instant)),
            ("ctct.since", state.since.as_ref().map(instant)),
            ("ctct.query", (!state.query.is_empty()).then(|| state.query.clone())),
            ("ctct.progress", progress),
            ("ctct.reconciled_at", state.reconciled_at.as_ref().map(instant)),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| KeyValue::new(key.to_owned(), value)))
        .collect()
    }
}

/// What a file of ours says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) pipeline: String,
    pub(crate) account: String,
    pub(crate) identity: Owner,
    pub(crate) report: String,
    pub(crate) table: String,
    /// Version of its commit.
    pub(crate) commit: i64,
    pub(crate) run: String,
    pub(crate) write_mode: WriteMode,
    pub(crate) history: bool,
    pub(crate) partition_by: Vec<String>,
    pub(crate) state: ReportState,
}

impl Stamp {
    /// What the files of a drafted commit say, but for their table.
    pub(crate) fn of_draft(draft: &Commit) -> Self {
        Self {
            pipeline: draft.pipeline.clone(),
            account: draft.account.clone(),
            identity: draft.identity.in_files(),
            report: draft.report.clone(),
            table: String::new(),
            commit: draft.version,
            run: draft.run_id.clone(),
            write_mode: draft.write_mode,
            history: draft.history,
            partition_by: draft.partition_by.clone(),
            state: ReportState::default(),
        }
    }

    /// The columns of a table that are partition folders and not repeated in its files: the entries that are no more than a
    /// column's name.
    pub(crate) fn folder_columns(&self, table: &Table) -> Vec<String> {
        let is_column = |entry: &&String| table.schema.field_with_name(entry).is_ok();
        self.partition_by.iter().filter(is_column).cloned().collect()
    }

    /// The footer's keys and values but for the state, which is known only when the file is closed.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("ctct.pipeline", self.pipeline.clone()),
            ("ctct.account", self.account.clone()),
            ("ctct.report", self.report.clone()),
            ("ctct.table", self.table.clone()),
            ("ctct.commit", self.commit.to_string()),
            ("ctct.run", self.run.clone()),
            ("ctct.layout_version", LAYOUT_VERSION.to_string()),
            ("ctct.write_mode", serde_json::json!(self.write_mode).as_str().unwrap_or_default().to_owned()),
            ("ctct.history", self.history.to_string()),
            ("ctct.partition_by", serde_json::json!(self.partition_by).to_string()),
        ];
        if !self.identity.is_unknown() {
            pairs.push(("ctct.identity", serde_json::json!(self.identity).to_string()));
        }
        pairs
    }

    /// Reads the stamp; `None` where the file does not have one, so that it was not written by this program.
    pub(crate) fn of(metadata: &ParquetMetaData) -> Option<Self> {
        let pairs = metadata.file_metadata().key_value_metadata()?;
        let text = |key: &str| {
            let pair = pairs.iter().find(|pair| pair.key.strip_prefix("ctct.") == Some(key))?;
            pair.value.as_deref()
        };
        // Absent in files of the first versions.
        if text("layout_version").is_some_and(|layout| layout.parse() != Ok(LAYOUT_VERSION)) {
            return None;
        }
        Some(Self {
            pipeline: text("pipeline").unwrap_or_default().to_owned(),
            account: text("account")?.to_owned(),
            identity: json(text("identity")).unwrap_or_default(),
            report: text("report")?.to_owned(),
            table: text("table")?.to_owned(),
            commit: text("commit")?.parse().ok()?,
            run: text("run")?.to_owned(),
            write_mode: serde_json::from_value(text("write_mode")?.into()).ok()?,
            history: text("history")? == "true",
            partition_by: json(text("partition_by"))?,
            state: ReportState {
                watermark: instant(text("watermark")),
                since: instant(text("since")),
                query: text("query").unwrap_or_default().to_owned(),
                progress: json(text("progress")),
                reconciled_at: instant(text("reconciled_at")),
                ..ReportState::default()
            },
        })
    }
}

fn instant(text: Option<&str>) -> Option<DateTime<Utc>> {
    text?.parse().ok()
}

fn json<T: DeserializeOwned>(text: Option<&str>) -> Option<T> {
    serde_json::from_str(text?).ok()
}

/// Reads a file's footer: one request, two where it is large. `None` where the file is no Parquet.
pub(crate) async fn read(
    destination: &Destination,
    path: &str,
    size: u64,
) -> Result<Option<ParquetMetaData>, LoadError> {
    let key = destination.key(path)?;
    let mut wanted = TAIL_BYTES.min(size);
    // The footer's last bytes say how long it is, so the second answer is enough.
    for _ in 0..2 {
        let options = GetOptions { range: Some(GetRange::Suffix(wanted)), ..GetOptions::default() };
        let tail = match destination.store.get_opts(&key, options).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let tail = tail.map_err(destination.failed("read", path))?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => return Ok(reader.finish().ok().filter(|footer| possible(footer).is_ok())),
            Err(ParquetError::NeedMoreData(needed)) if (needed as u64) <= size => wanted = needed as u64,
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

/// Refuses a footer by which a column lies where no file has bytes: the library takes its numbers for true, and panics.
pub(crate) fn possible(footer: &ParquetMetaData) -> Result<(), ParquetError> {
    let columns = footer.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let numbers = columns.flat_map(|column| {
        let begins = column.dictionary_page_offset().unwrap_or_default();
        [begins, column.data_page_offset(), column.compressed_size(), column.num_values()]
    });
    let rows = footer.row_groups().iter().map(RowGroupMetaData::num_rows);
    if numbers.chain(rows).any(i64::is_negative) {
        return Err(ParquetError::General("its footer has a negative number".to_owned()));
    }
    Ok(())
}

/// The stamp of a file, where it is one of this report's and stands where it belongs; else what it is.
pub(crate) fn own(log: &ReportLog, path: &str, footer: &ParquetMetaData) -> Result<Stamp, String> {
    let stamp =
        Stamp::of(footer).ok_or("it was not written by ctct-etl, or by a version that this one does not know")?;
    if stamp.account != log.account() || stamp.report != log.report() || stamp.table != table_of(path) {
        let Stamp { account, report, table, .. } = stamp;
        return Err(format!("it is of table `{table}`, report `{report}`, account `{account}`"));
    }
    Ok(stamp)
}
