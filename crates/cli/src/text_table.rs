//! The one look of tables on stdout.

use comfy_table::{ContentArrangement, Table, presets};

/// An empty table under `header`. Long cells wrap to the width of a terminal, and are not wrapped elsewhere.
pub(crate) fn text_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    // Some terminals say that they have no width at all.
    if table.width().is_some_and(|width| width >= 60) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(header);
    table
}
