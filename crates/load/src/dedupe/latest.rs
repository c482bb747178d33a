//! The version of each key that counts, of those that a run brings into a snapshot: one row per key, however often it came.
//!
//! While a list is read page by page, a row that comes in at its top pushes the others down, and the last row of one page
//! comes again as the first of the next. A row that changes meanwhile comes in two versions, on any pages, and a replica that
//! lags behind may show the older one last. The greater changed-at counts; where nothing tells, the one that came later.
//! Merging runs go by the key anyway, and appending ones keep every version that they saw.
//!
//! The first version of a key is written at once. A later one that counts instead is kept aside; at the end the files that
//! hold what it takes the place of are written again without that, and it is written then.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use arrow_schema::{DataType, Field, Schema};
use ctct_catalog::Report;
use ctct_transform::TableRows;

use crate::dedupe::index::{Combine, Entry, Index};
use crate::dedupe::{fingerprint, seen};
use crate::destination::scratch::Scratch;
use crate::error::LoadError;
use crate::files::plan::LoadPlan;
use crate::log::record::WriteMode;

/// Column of rows kept aside that says which parent row they belong to.
const PARENT: &str = "parent_row";

/// The versions that count.
#[derive(Debug)]
pub(crate) struct Latest {
    /// Columns of which the greatest value tells how new a version is.
    dates: Vec<String>,
    versions: Index,
    aside: Option<Aside>,
    outdated: u64,
    distinct: u64,
}

/// What becomes of a record of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordFate {
    Written,
    Aside,
    Dropped,
}

impl Latest {
    /// For a run of this plan, where it writes snapshots.
    pub(crate) fn for_plan(plan: &LoadPlan) -> Option<Self> {
        matches!(plan.mode, WriteMode::Replace | WriteMode::Partition).then(|| Self {
            dates: plan.changed.clone(),
            versions: Index::new(Combine::Newest),
            aside: None,
            outdated: 0,
            distinct: 0,
        })
    }

    /// Records with different keys that came so far.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct
    }

    /// Versions that came and do not count.
    pub(crate) fn outdated(&self) -> u64 {
        self.outdated
    }

    /// Whether a key came.
    pub(crate) fn has(&self, key: u128) -> Result<bool, LoadError> {
        Ok(self.versions.get(key)?.is_some())
    }

    /// The page without the records that do not count, or take the place of what an earlier page brought. A page of another
    /// shape stays as it is, for others to refuse.
    ///
    /// # Errors
    /// Rows cannot be filtered, or what does not fit into memory cannot be kept aside.
    pub(crate) fn take(&mut self, report: &Report, page: Vec<TableRows>) -> Result<Vec<TableRows>, LoadError> {
        let Some(entries) = seen::entries_of(report, &page, &self.dates) else { return Ok(page) };
        let mut fates = Vec::with_capacity(entries.len());
        // The row of this page that counts.
        let mut here: HashMap<u128, usize> = HashMap::new();
        for (row, entry) in entries.iter().enumerate() {
            let fate = self.meet(*entry, |key| {
                here.get(&key).map(|earlier| std::mem::replace(&mut fates[*earlier], RecordFate::Dropped))
            })?;
            if fate != RecordFate::Dropped {
                self.versions.insert(*entry)?;
                here.insert(entry.key, row);
            }
            fates.push(fate);
        }
        let failed =
            |source| LoadError::Arrow { table: report.name.clone(), action: "take what came twice from", source };
        let of_fate = |wanted: RecordFate| fates.iter().map(|fate| *fate == wanted).collect::<Vec<bool>>();
        if fates.contains(&RecordFate::Aside) {
            let rows = seen::without(page.clone(), &of_fate(RecordFate::Aside)).map_err(failed)?;
            let keys =
                entries.iter().zip(&fates).filter(|(_, fate)| **fate == RecordFate::Aside).map(|(entry, _)| entry.key);
            let aside = match &mut self.aside {
                Some(aside) => aside,
                none => none.insert(Aside::new()?),
            };
            aside.keep(&rows, keys)?;
        }
        if fates.iter().all(|fate| *fate == RecordFate::Written) {
            return Ok(page);
        }
        seen::without(page, &of_fate(RecordFate::Written)).map_err(failed)
    }

    /// What becomes of a record. `earlier` gives the fate of what this page brought of its key, which it loses.
    fn meet(
        &mut self,
        entry: Entry,
        earlier: impl FnOnce(u128) -> Option<RecordFate>,
    ) -> Result<RecordFate, LoadError> {
        let Some(counts) = self.versions.get(entry.key)? else {
            self.distinct += 1;
            return Ok(RecordFate::Written);
        };
        if counts.content == entry.content {
            return Ok(RecordFate::Dropped);
        }
        self.outdated += 1;
        if seen::precedes(entry, counts) {
            return Ok(RecordFate::Dropped);
        }
        Ok(earlier(entry.key).unwrap_or(RecordFate::Aside))
    }

    /// The versions that take the place of others that are written already.
    pub(crate) fn aside(&self) -> Option<&Aside> {
        self.aside.as_ref()
    }
}

/// Versions kept aside, in a temporary file.
#[derive(Debug)]
pub(crate) struct Aside {
    scratch: Scratch,
    pages: Vec<AsidePage>,
    /// By key the number of the record that counts.
    counts: Index,
    records: u64,
}

#[derive(Debug)]
struct AsidePage {
    /// Number of its first record.
    first: u64,
    /// Where the rows of each table are, how many bytes they take, and which records lack the list.
    tables: Vec<(u64, usize, Vec<u32>)>,
}

impl Aside {
    fn new() -> Result<Self, LoadError> {
        let (scratch, counts) = (Scratch::new()?, Index::new(Combine::Newest));
        Ok(Self { scratch, pages: Vec::new(), counts, records: 0 })
    }

    fn keep(&mut self, rows: &[TableRows], keys: impl Iterator<Item = u128>) -> Result<(), LoadError> {
        let first = self.records;
        for key in keys {
            self.counts.insert(Entry { key, content: self.records, at: 0, order: 0 })?;
            self.records += 1;
        }
        let mut tables = Vec::with_capacity(rows.len());
        for rows in rows {
            let bytes = encoded(rows).map_err(failed)?;
            tables.push((self.scratch.append(&bytes)?, bytes.len(), rows.absent.clone()));
        }
        self.pages.push(AsidePage { first, tables });
        Ok(())
    }

    /// Whether a version of this key is here, so that what was written of it does not count.
    pub(crate) fn has(&self, key: u128) -> Result<bool, LoadError> {
        Ok(self.counts.get(key)?.is_some())
    }

    /// How many pages there are.
    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The records of a page that count.
    pub(crate) fn page(&self, report: &Report, at: usize) -> Result<Vec<TableRows>, LoadError> {
        let AsidePage { first, tables } = &self.pages[at];
        let mut page = Vec::with_capacity(tables.len());
        for (table, (offset, length, absent)) in tables.iter().enumerate() {
            let mut bytes = vec![0; *length];
            self.scratch.read(*offset, &mut bytes)?;
            let rows = decoded(&bytes, &report.tables()[table].schema, table > 0).map_err(failed)?;
            page.push(TableRows { absent: absent.clone(), ..rows });
        }
        let keys = page.first().map(|parent| fingerprint::of_keys(&parent.batch, &report.key)).unwrap_or_default();
        let mut kept = Vec::with_capacity(keys.len());
        for (number, key) in (*first..).zip(keys) {
            kept.push(self.counts.get(key)?.is_some_and(|entry| entry.content == number));
        }
        seen::without(page, &kept).map_err(failed)
    }
}

fn encoded(TableRows { batch, parent_rows, .. }: &TableRows) -> Result<Vec<u8>, ArrowError> {
    // A few rows must not keep the texts of all their page.
    let compact = |column: &ArrayRef| match column.as_string_view_opt() {
        Some(strings) => Arc::new(strings.gc()) as ArrayRef,
        None => Arc::clone(column),
    };
    let mut columns: Vec<ArrayRef> = batch.columns().iter().map(compact).collect();
    let mut fields: Vec<_> = batch.schema_ref().fields().to_vec();
    if let Some(parents) = parent_rows {
        columns.push(Arc::new(parents.clone()));
        fields.push(Arc::new(Field::new(PARENT, DataType::UInt32, false)));
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(&batch)?;
    writer.into_inner()
}

fn decoded(bytes: &[u8], schema: &Arc<Schema>, is_child: bool) -> Result<TableRows, ArrowError> {
    let cut = || ArrowError::IpcError("a batch is cut short".to_owned());
    let batch = StreamReader::try_new(bytes, None)?.next().ok_or_else(cut)??;
    let mut columns = batch.columns().to_vec();
    let parents = if is_child { columns.pop() } else { None };
    let parent_rows: Option<UInt32Array> = parents.map(|parents| parents.as_primitive::<UInt32Type>().clone());
    Ok(TableRows { batch: RecordBatch::try_new(Arc::clone(schema), columns)?, parent_rows, absent: Vec::new() })
}

fn failed(source: ArrowError) -> LoadError {
    LoadError::Arrow { table: "the rows of this run".to_owned(), action: "keep aside", source }
}
