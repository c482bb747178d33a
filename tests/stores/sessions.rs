//! Single sessions of loading, for what no pipeline can be made to write: chosen names, large files, commits at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray, new_null_array};
use ctct_catalog::{Catalog, Report};
use ctct_load::{
    Absent, Brake, Committed, Destination, LoadError, LoadPlan, PartitionBy, Reach, Repeats, ReportState, RunOutcome,
    Session, Window, WriteMode,
};
use ctct_transform::TableRows;

use crate::harness::now;

/// The report that is loaded: one table without children.
pub(crate) fn lists() -> Arc<Report> {
    Arc::clone(Catalog::embedded().unwrap().get("contact_lists").unwrap())
}

pub(crate) fn plan(destination: &Destination, mode: WriteMode, partition_by: &[PartitionBy], run: &str) -> LoadPlan {
    LoadPlan {
        pipeline: "test".to_owned(),
        account: "acme".to_owned(),
        identity: ctct_load::Owner::default(),
        report: lists(),
        mode,
        history: false,
        repeats: Repeats::None,
        rebuild: false,
        forgets_history: false,
        changed: Vec::new(),
        partition_by: partition_by.to_vec(),
        run_id: run.to_owned(),
        files: destination.file_options(),
    }
}

/// Rows with these names and texts; every other column is null, or 0 where it must not be.
pub(crate) fn page(rows: &[(String, String)]) -> Vec<TableRows> {
    let report = lists();
    let schema = &report.tables()[0].schema;
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "list_id" => Arc::new(StringViewArray::from_iter_values((0..rows.len()).map(|at| format!("{at:09}")))),
            "name" => Arc::new(StringViewArray::from_iter_values(rows.iter().map(|(name, _)| name))),
            "description" => Arc::new(StringViewArray::from_iter_values(rows.iter().map(|(_, text)| text))),
            "_commit" => Arc::new(Int64Array::from(vec![1; rows.len()])),
            "_extracted_at" => Arc::new(TimestampMicrosecondArray::from(vec![0; rows.len()]).with_timezone("UTC")),
            _ => new_null_array(field.data_type(), rows.len()),
        }
    });
    let batch = RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap();
    vec![TableRows { batch, parent_rows: None, absent: Vec::new() }]
}

/// Rows of 5 kB that zstd can do little with: the digits of a generator of linear congruences.
pub(crate) fn noise(rows: usize) -> Vec<(String, String)> {
    const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-";
    let mut state = 7_u64;
    let mut digit = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(DIGITS[(state >> 58) as usize])
    };
    (0..rows).map(|at| (format!("list {at}"), (0..5_000).map(&mut digit).collect())).collect()
}

pub(crate) fn outcome() -> RunOutcome {
    RunOutcome {
        supersedes: false,
        state: ReportState::default(),
        window: Window::default(),
        absent: Absent::Stay,
        carry_over: false,
        answers: true,
        brake: Brake::Off,
        reach: Reach::default(),
        committed_at: now(),
        stats: BTreeMap::new(),
    }
}

/// A whole session: begin, one page, commit.
pub(crate) async fn load(
    destination: &Destination,
    plan: LoadPlan,
    rows: &[(String, String)],
) -> Result<Committed, LoadError> {
    let mut session = Box::pin(Session::begin(destination, plan)).await?;
    session.write(page(rows)).await?;
    Box::pin(session.commit(outcome())).await
}
