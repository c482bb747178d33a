//! Properties of what is read from outside, for the fuzz targets in `fuzz/` and for the test that replays their corpus.
//! Compiled for those two alone.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use chrono::DateTime;
use ctct_catalog::Catalog;

use crate::{PageDecoder, PageInput};

static READERS: LazyLock<Vec<PageDecoder>> = LazyLock::new(|| {
    let catalog = Catalog::embedded().unwrap_or_else(|error| panic!("{error}"));
    catalog.reports().map(|report| PageDecoder::new(Arc::clone(report))).collect()
});

/// A page; the first byte chooses the report. Tables have the catalogue's schemas, children belong to rows that there are, no
/// record is in both the tables and the dead letters, and rows are bounded by the bytes they came from.
///
/// # Panics
/// It does not hold.
pub fn page(bytes: &[u8]) {
    let Some((chosen, body)) = bytes.split_first() else { return };
    let reader = &READERS[usize::from(*chosen) % READERS.len()];
    let report = reader.report();
    let params: Vec<_> =
        report.columns.iter().filter_map(|field| field.bound.clone()).map(|name| (name, "1".to_owned())).collect();
    let page = PageInput { body, bound: &params, extracted_at: DateTime::UNIX_EPOCH, commit: 1 };
    let decoded = match reader.decode(&page) {
        Ok(rows) => rows,
        Err(error) => return assert!(error.to_string().len() < 400, "{error}"),
    };
    assert_eq!(decoded.tables.len(), report.tables().len());
    let parents = decoded.tables.first().map_or(0, |rows| rows.batch.num_rows());
    for (rows, table) in decoded.tables.iter().zip(report.tables()) {
        assert_eq!(rows.batch.schema(), table.schema);
        assert!(rows.batch.num_rows() <= body.len(), "more rows than bytes");
        assert_eq!(rows.parent_rows.is_some(), table.parent.is_some());
        if let Some(of) = &rows.parent_rows {
            assert_eq!(of.len(), rows.batch.num_rows());
            assert!(of.values().iter().all(|row| (*row as usize) < parents));
        }
        assert!(rows.absent.is_sorted() && rows.absent.iter().all(|row| (*row as usize) < parents));
    }
    assert!(decoded.dead_letters.is_sorted_by(|one, next| one.index < next.index));
    assert!(decoded.dead_letters.iter().all(|letter| letter.index < parents + decoded.dead_letters.len()));
    let batches =
        |of: &crate::DecodedPage| of.tables.iter().map(|rows| rows.batch.clone()).collect::<Vec<RecordBatch>>();
    let again = reader.decode(&page).unwrap_or_else(|error| panic!("not a second time: {error}"));
    assert!(batches(&again) == batches(&decoded) && again.drift == decoded.drift, "decoded differently a second time");
}

#[cfg(test)]
mod tests {
    use ctct_testkit::replay_corpus;

    #[test]
    fn the_corpus_of_every_target_holds() {
        replay_corpus("page", super::page);
    }
}
