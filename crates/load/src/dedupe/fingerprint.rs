//! Hashes of records: of what names one, and of all that it holds, child rows included.
//!
//! Hashes are stored between runs, so they must not change: XXH64 for text, the finalizer of `SplitMix64` for all else,
//! each cell seeded with the hashes before it and its column's name. A null adds nothing, so that a column that a
//! later catalog adds changes no record that does not use it; an empty text does. Lists have no order: the rows of one are
//! added up, each with what is nested in it, and their positions do not count.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use ctct_catalog::{COMMIT, EXTRACTED_AT, ORDINAL, PARENT_ORDINAL, Table};
use ctct_transform::TableRows;
use twox_hash::XxHash64;

/// Where every hash begins.
const START: u64 = 0;

/// One hash for each record of a page, over all columns of its parent row and its child rows, without `_commit`,
/// `_extracted_at` and positions in lists. `None` where the page does not fit the tables.
pub(crate) fn of_records(tables: &[Table], page: &[TableRows]) -> Option<Vec<u64>> {
    if tables.len() != page.len() {
        return None;
    }
    let mut nested: Vec<Vec<u64>> = page.iter().map(|rows| vec![0; rows.batch.num_rows()]).collect();
    // Tables follow their parents, so what is nested deepest comes first.
    for (at, (table, rows)) in tables.iter().zip(page).enumerate().skip(1).rev() {
        let parents = rows.parent_rows.as_ref().filter(|parents| parents.len() == rows.batch.num_rows())?;
        let hashes = with_nested(of_own(table, &rows.batch), &nested[at]);
        let above = table.parent.filter(|above| *above > 0);
        let places = match above {
            None => parents.values().iter().map(|parent| Some(*parent as usize)).collect(),
            Some(above) => places_in_lists(&page[above], rows)?,
        };
        let target = &mut nested[above.unwrap_or_default()];
        for (hash, place) in hashes.into_iter().zip(places) {
            // An element whose list is not there would be a fault of the decoder.
            let sum = target.get_mut(place?)?;
            *sum = sum.wrapping_add(as_element(hash));
        }
    }
    let (table, rows) = tables.first().zip(page.first())?;
    Some(with_nested(of_own(table, &rows.batch), &nested[0]))
}

/// For each row of a list in a list the row of the outer list that it is nested in.
fn places_in_lists(outer: &TableRows, inner: &TableRows) -> Option<Vec<Option<usize>>> {
    if inner.batch.num_rows() == 0 {
        return Some(Vec::new());
    }
    let of_outer = outer.parent_rows.as_ref()?.values().iter().copied().zip(positions(&outer.batch, ORDINAL)?);
    let mut places: Vec<((u32, i64), usize)> = of_outer.enumerate().map(|(row, name)| (name, row)).collect();
    // They come in this order.
    places.sort_unstable();
    let place = |name: (u32, i64)| {
        places.binary_search_by_key(&name, |(name, _)| *name).ok().and_then(|at| places.get(at)).map(|(_, row)| *row)
    };
    let of_inner = positions(&inner.batch, PARENT_ORDINAL)?.into_iter().zip(inner.parent_rows.as_ref()?.values());
    Some(of_inner.map(|(position, record)| place((*record, position))).collect())
}

/// The positions in a column of them.
pub(crate) fn positions(batch: &RecordBatch, column: &str) -> Option<Vec<i64>> {
    let column = batch.column_by_name(column)?.as_primitive_opt::<Int64Type>()?;
    Some(column.iter().map(Option::unwrap_or_default).collect())
}

/// One hash for each row of a table by itself, without what is nested in it.
pub(crate) fn of_own(table: &Table, batch: &RecordBatch) -> Vec<u64> {
    let stamps = [COMMIT, EXTRACTED_AT, ORDINAL, PARENT_ORDINAL];
    let known = |column: &str| table.schema.field_with_name(column).is_ok();
    of_rows(batch, seed(&table.name), |column| !stamps.contains(&column) && known(column))
}

/// Rows together with the sums of what is nested in them.
pub(crate) fn with_nested(own: Vec<u64>, nested: &[u64]) -> Vec<u64> {
    let together = |(own, nested): (u64, &u64)| if *nested == 0 { own } else { mixed(own ^ mixed(*nested)) };
    own.into_iter().zip(nested).map(together).collect()
}

/// What a row adds to the sum of its list.
pub(crate) fn as_element(hash: u64) -> u64 {
    mixed(hash)
}

/// One hash for each row over its key, so wide that no two keys share one.
pub(crate) fn of_keys(batch: &RecordBatch, key: &[String]) -> Vec<u128> {
    let half = |start| of_rows(batch, start, |column| key.iter().any(|name| name == column));
    let halves = half(START).into_iter().zip(half(mixed(START + 1)));
    halves.map(|(high, low)| (u128::from(high) << 64) | u128::from(low)).collect()
}

/// A wide hash of some texts, for what is kept beside records.
pub(crate) fn of_texts(texts: &[&str]) -> u128 {
    let half = |start: u64| texts.iter().fold(start, |hash, text| XxHash64::oneshot(hash, text.as_bytes()));
    (u128::from(half(mixed(START + 2))) << 64) | u128::from(half(mixed(START + 3)))
}

/// A wide hash of a hash and some numbers.
pub(crate) fn of_numbers(hash: u128, numbers: &[u64]) -> u128 {
    let [high, low] = [hash >> 64, hash].map(|half| u64::try_from(half & u128::from(u64::MAX)).unwrap_or_default());
    let half = |start: u64| numbers.iter().fold(mixed(start), |hash, number| mixed(hash ^ number));
    (u128::from(half(high)) << 64) | u128::from(half(low ^ START.wrapping_add(1)))
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
        // The catalog has no other type so far.
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
            person("a", "x", "2026-01-01").phone("1", &["p", "p", "q"]).phone("2", &[]),
            person("a", "x", "2026-01-01").phone("1", &["p", "q"]).phone("2", &[]).phone("2", &[]),
            person("a", "x", "2026-01-01").phone("1", &["p"]).phone("2", &["q"]),
            person("a", "x", "2026-01-01").phone("1", &[]).phone("2", &["p", "q"]),
        ];
        let mut all: Vec<u64> = others.iter().map(hash).collect();
        all.push(hash(&base));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
    }

    #[test]
    fn the_order_of_lists_does_not_count() {
        let one = person("a", "x", "").phone("1", &["p", "q", "q"]).phone("2", &["r"]).phone("1", &[]);
        let mut other = one.clone();
        other.phones.rotate_left(1);
        other.phones.iter_mut().for_each(|(_, lines)| lines.reverse());
        assert_eq!(hash(&one), hash(&other));
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
        let key = of_keys(&page(1, &[person("a", "", "")])[0].batch, &["id".to_owned()])[0];
        let mark = of_texts(&["question", "id"]);
        insta::assert_snapshot!(format!("{full:016x} {key:032x} {mark:032x}"));
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
