//! Rows against the folders that they are in: a column that divides a table says the same as the folder's name.

use ctct_catalog::Report;

use super::{CheckedTables, Finding, Fix, Verified};
use crate::error::LoadError;
use crate::files::partition::{PartitionBy, Router};
use crate::files::stored_rows::StoredRows;
use crate::log::ReportLog;
use crate::log::inventory::partition_of;
use crate::log::record::Commit;

/// Checks the current rows of the report's own table. Child rows go by their parents, whatever folder they are in.
pub(super) async fn check(
    log: &ReportLog,
    report: &Report,
    head: &Commit,
    checked: &CheckedTables,
    verified: &mut Verified,
) -> Result<(), LoadError> {
    let by: Option<Vec<PartitionBy>> = head.partition_by.iter().map(|entry| PartitionBy::parse(entry)).collect();
    let Some(by) = by.filter(|by| !by.is_empty()) else { return Ok(()) };
    let Some(table) = report.tables().first() else { return Ok(()) };
    let Some(own) = checked.get(&table.name) else { return Ok(()) };
    let columns: Vec<&str> = by.iter().map(PartitionBy::column).collect();
    let rows = StoredRows::new(log.destination(), table, Some(&columns));
    for file in &own.files {
        let mut router = Router::new(by.clone());
        let here = router.number(partition_of(&file.path));
        let mut elsewhere = 0_usize;
        let one = [(file.path.clone(), file.bytes)];
        let read = rows.read_all(&one, |batch| {
            elsewhere += router.route(&batch).into_iter().filter(|partition| *partition != here).count();
            Ok(())
        });
        match read.await {
            // Other checks tell which files cannot be read.
            Err(LoadError::Damaged { .. } | LoadError::Parquet { .. }) => continue,
            read => read?,
        }
        if elsewhere > 0 {
            let what = format!("it has {elsewhere} row{} of another partition", if elsewhere == 1 { "" } else { "s" });
            verified.add(vec![Finding { path: log.destination().shown(&file.path), what, fix: Fix::Refresh }]);
        }
    }
    Ok(())
}
