//! Properties of what is read from outside, for the fuzz targets in `fuzz/` and for the test that replays their corpus.
//! Compiled for those two alone.

use std::sync::{Arc, LazyLock};

use arrow_array::RecordBatch;
use chrono::DateTime;
use ctct_catalog::{Catalog, FieldType, OptionKind};

use crate::{PageDecoder, PageInput};

static READERS: LazyLock<Vec<PageDecoder>> = LazyLock::new(|| {
    let catalog = Catalog::embedded().unwrap_or_else(|error| panic!("{error}"));
    catalog.reports().map(|report| PageDecoder::new(Arc::clone(report))).collect()
});

/// A page; the first byte chooses the report. Tables have the catalog's schemas, children belong to rows that there are, no
/// record is in both the tables and the dead letters, and rows are bounded by the bytes they came from. Whether all
/// records are typed.
///
/// # Panics
/// It does not hold.
pub fn page(bytes: &[u8]) -> bool {
    let Some((chosen, body)) = bytes.split_first() else { return false };
    let reader = &READERS[usize::from(*chosen) % READERS.len()];
    let report = reader.report();
    let text = |kind: FieldType| if kind == FieldType::Timestamp { "2026-01-02T03:04:05Z" } else { "1" };
    let bound = report.columns.iter().filter_map(|field| Some((field.bound.clone()?, text(field.kind).to_owned())));
    let parts: Vec<&str> = report.columns.iter().filter(|field| field.subresource).map(|field| &*field.name).collect();
    let asks = report.options.iter().filter(|option| option.kind == OptionKind::Subresources);
    let asked = asks.flat_map(|option| &option.params).map(|param| (param.clone(), parts.join(",")));
    let params: Vec<_> = bound.chain(asked).collect();
    let page = PageInput { body, bound: &params, extracted_at: DateTime::UNIX_EPOCH, commit: 1 };
    let decoded = match reader.decode(&page) {
        Ok(rows) => rows,
        Err(error) => {
            assert!(error.to_string().len() < 400, "{error}");
            return false;
        }
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
    decoded.dead_letters.is_empty()
}

#[cfg(test)]
mod tests {
    use ctct_testkit::replay_corpus;

    #[test]
    fn the_corpus_of_every_target_holds() {
        replay_corpus("page", super::page);
    }
}
