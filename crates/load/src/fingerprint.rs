//! Hashes of records: of what names one, and of all that it holds, child rows included.
//!
//! Hashes are stored between runs, so they must not change: XXH64 for text, the finalizer of `SplitMix64` for all else,
//! each cell seeded with the hashes before it and its column's name. A null adds nothing, so that a column that a
//! later catalogue adds changes no record that does not use it; an empty text does.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use ctct_catalog::{COMMIT, EXTRACTED_AT, Table};
use ctct_transform::TableRows;
use twox_hash::XxHash64;

/// Where every hash begins.
const START: u64 = 0;

/// One hash for each record of a page, over all columns of its parent row and its child rows in the order in which they
/// came, without `_commit` and `_extracted_at`. `None` where the page does not fit the tables.
pub(crate) fn of_records(tables: &[Table], page: &[TableRows]) -> Option<Vec<u64>> {
    let mut hashes = Vec::new();
    for (at, (table, rows)) in tables.iter().zip(page).enumerate() {
        let of_rows = of_rows(&rows.batch, seed(&table.name), |column| column != COMMIT && column != EXTRACTED_AT);
        if at == 0 {
            hashes = of_rows;
            continue;
        }
        let parents = rows.parent_rows.as_ref().filter(|parents| parents.len() == of_rows.len())?;
        for (child, parent) in of_rows.into_iter().zip(parents.values()) {
            let parent = hashes.get_mut(*parent as usize)?;
            *parent = mixed(*parent ^ child);
        }
    }
    (tables.len() == page.len()).then_some(hashes)
}

/// One hash for each row, over these columns alone.
pub(crate) fn of_columns(batch: &RecordBatch, columns: &[String]) -> Vec<u64> {
    of_rows(batch, START, |column| columns.iter().any(|name| name == column))
}

/// One hash for each row over its key, so wide that no two keys share one.
pub(crate) fn of_keys(batch: &RecordBatch, key: &[String]) -> Vec<u128> {
    let half = |start| of_rows(batch, start, |column| key.iter().any(|name| name == column));
    let halves = half(START).into_iter().zip(half(mixed(START + 1)));
    halves.map(|(high, low)| (u128::from(high) << 64) | u128::from(low)).collect()
}

/// The hash that [`of_columns`] gives a row with this text in this one column.
pub(crate) fn of_text(column: &str, text: &str) -> u64 {
    XxHash64::oneshot(START ^ seed(column), text.as_bytes())
}

fn of_rows(batch: &RecordBatch, start: u64, counts: impl Fn(&str) -> bool) -> Vec<u64> {
    let mut hashes = vec![start; batch.num_rows()];
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if counts(field.name()) {
            add(&mut hashes, column, seed(field.name()));
        }
    }
    hashes
}

/// Adds a column's cells to the hashes of their rows.
fn add(hashes: &mut [u64], column: &ArrayRef, seed: u64) {
    if column.null_count() == column.len() {
        return;
    }
    let number = |hash: &mut u64, bits: u64| *hash = mixed(*hash ^ seed ^ bits);
    if let Some(texts) = column.as_string_view_opt() {
        for (hash, text) in hashes.iter_mut().zip(texts) {
            if let Some(text) = text {
                *hash = XxHash64::oneshot(*hash ^ seed, text.as_bytes());
            }
        }
    } else if let Some(values) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        present(hashes, values.iter(), |hash, value| number(hash, value.cast_unsigned()));
    } else if let Some(values) = column.as_primitive_opt::<Int64Type>() {
        present(hashes, values.iter(), |hash, value| number(hash, value.cast_unsigned()));
    } else if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        present(hashes, values.iter(), |hash, value| number(hash, value.to_bits()));
    } else if let Some(values) = column.as_boolean_opt() {
        present(hashes, values.iter(), |hash, value| number(hash, u64::from(value)));
    } else if let Ok(texts) = cast(column, &DataType::Utf8View) {
        // The catalogue has no other type so far.
        add(hashes, &texts, seed);
    }
}

fn present<T>(hashes: &mut [u64], values: impl Iterator<Item = Option<T>>, mut add: impl FnMut(&mut u64, T)) {
    for (hash, value) in hashes.iter_mut().zip(values) {
        if let Some(value) = value {
            add(hash, value);
        }
    }
}

fn seed(name: &str) -> u64 {
    XxHash64::oneshot(START, name.as_bytes())
}

/// The finalizer of `SplitMix64`: one to one, and every bit of the input moves half of the output's.
fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Person, page, people, person};

    fn hashes(version: i64, rows: &[Person]) -> Vec<u64> {
        of_records(people().tables(), &page(version, rows)).unwrap()
    }

    fn hash(person: &Person) -> u64 {
        hashes(1, std::slice::from_ref(person))[0]
    }

    #[test]
    fn every_part_of_a_record_counts_but_the_stamps() {
        let base = person("a", "x", "2026-01-01").phone("1", &["p", "q"]).phone("2", &[]);
        assert_eq!(hashes(1, std::slice::from_ref(&base)), hashes(2, std::slice::from_ref(&base)));
        let of_kind = |kind: Option<&str>| Person { kind: kind.map(str::to_owned), ..base.clone() };
        let others = [
            person("b", "x", "2026-01-01").phone("1", &["p", "q"]).phone("2", &[]),
            of_kind(Some("y")),
            of_kind(Some("")),
            of_kind(None),
            Person { created_at: None, ..base.clone() },
            Person { created_at: base.created_at.map(|at| at + 1), ..base.clone() },
            person("a", "x", "2026-01-01"),
            person("a", "x", "2026-01-01").phone("1", &["p", "q"]),
            person("a", "x", "2026-01-01").phone("1", &["q", "p"]).phone("2", &[]),
            person("a", "x", "2026-01-01").phone("1", &["p"]).phone("2", &["q"]),
            person("a", "x", "2026-01-01").phone("2", &[]).phone("1", &["p", "q"]),
        ];
        let mut all: Vec<u64> = others.iter().map(hash).collect();
        all.push(hash(&base));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
    }

    #[test]
    fn what_stands_beside_a_record_does_not_count() {
        let rows = [person("a", "x", "").phone("1", &["p"]), person("b", "x", ""), person("c", "x", "")];
        let alone = hash(&rows[0]);
        assert_eq!(hashes(1, &rows)[0], alone);
        assert_eq!(hashes(1, &rows[..2])[0], alone);
    }

    #[test]
    fn stored_hashes_stay_what_they_are() {
        let full = hash(&person("a", "x", "2026-01-01").phone("1", &["p"]));
        let key = of_columns(&page(1, &[person("a", "", "")])[0].batch, &["id".to_owned()])[0];
        assert_eq!(key, of_text("id", "a"));
        insta::assert_snapshot!(format!("{full:016x} {key:016x}"));
    }

    #[test]
    fn a_page_of_another_shape_has_no_hashes() {
        let mut lost = page(1, &[person("a", "x", "").phone("1", &[])]);
        lost[1].parent_rows = None;
        assert!(of_records(people().tables(), &lost).is_none());
        let mut far = page(1, &[person("a", "x", "").phone("1", &[])]);
        far[1].parent_rows = Some(vec![9].into());
        assert!(of_records(people().tables(), &far).is_none());
        assert!(of_records(people().tables(), &[]).is_none());
    }
}
