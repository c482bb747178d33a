//! Tables for people.

use ctct_pipeline::stored_table::StoredTable;
use ctct_readers::dictionary::parquet;

use crate::text_table::text_table;

pub(super) fn text(tables: &[StoredTable<'_>]) -> String {
    tables.iter().map(table_text).collect::<Vec<_>>().join("\n\n")
}

/// One table: its name and key, then a line a column.
pub(crate) fn table_text(table: &StoredTable<'_>) -> String {
    let mut columns = text_table(["column", "Arrow", "Parquet", "", "what it is"]);
    let of_files = table.columns.iter().map(|column| (column, parquet(column)));
    let of_folders = table.folders.iter().map(|column| (column, "(folder)"));
    for (column, parquet) in of_files.chain(of_folders) {
        let null = if column.is_nullable() { "" } else { "required" };
        columns.add_row([column.name(), column.arrow(), parquet, null, column.comment()]);
    }
    let location = table.location.as_ref().map(|location| format!("\n{location}")).unwrap_or_default();
    format!("{}: {}{location}\n{columns}", table.name(), table.comment())
}
