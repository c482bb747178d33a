//! What a user may say of files: their compression and sizes, and the account as a column, in every write mode.

use std::collections::BTreeSet;

use parquet::basic::{Compression as Codec, Encoding};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::*;
use crate::{ACCOUNT_COLUMN, Compaction, Compression, FileSettings};
use WriteMode::{Append, Merge, Partition, Replace};

fn with_files(settings: FileSettings, mode: WriteMode, run: &str) -> LoadPlan {
    let by = if mode == Partition { vec![PartitionBy::Month("created_at".to_owned())] } else { Vec::new() };
    LoadPlan { files: FileOptions::default().with(&settings), ..plan(mode, &by, run) }
}

async fn metadata(destination: &Destination, path: &str) -> ParquetMetaData {
    ParquetMetaDataReader::new().parse_and_finish(&bytes(destination, path).await).unwrap()
}

fn people_of(run: usize) -> Vec<Person> {
    (0..3).map(|at| person(&format!("p{}", run * 3 + at), "x", "2026-01-01")).collect()
}

#[tokio::test]
async fn pages_are_plain_or_have_a_dictionary_whatever_the_compression() {
    let known = BTreeSet::from(["PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED"].map(str::to_owned));
    for compression in Compression::ALL {
        let destination = Destination::in_memory();
        let settings = FileSettings { compression: Some(compression), ..FileSettings::default() };
        run(&destination, with_files(settings, Append, "r1"), &people_of(0)).await.unwrap();
        for path in table_files(&destination).await {
            let metadata = metadata(&destination, &path).await;
            assert_eq!(metadata.file_metadata().version(), 1);
            for column in metadata.row_groups().iter().flat_map(parquet::file::metadata::RowGroupMetaData::columns) {
                let encodings: BTreeSet<String> =
                    column.encodings().map(|encoding: Encoding| encoding.to_string()).collect();
                assert!(encodings.is_subset(&known), "{path} {}: {encodings:?}", column.column_path());
                let fits = matches!(
                    (compression, column.compression()),
                    (Compression::Zstd, Codec::ZSTD(_))
                        | (Compression::Snappy, Codec::SNAPPY)
                        | (Compression::Gzip, Codec::GZIP(_))
                        | (Compression::None, Codec::UNCOMPRESSED)
                );
                assert!(fits, "{path}: {:?}", column.compression());
            }
        }
        assert_eq!(table(&destination, "people", &["id"]).await, ["p0", "p1", "p2"]);
    }
}

#[test]
fn sizes_bring_the_memory_that_they_need() {
    let options = |settings: FileSettings| {
        let FileOptions { row_group_bytes, file_bytes, file_row_groups, memory_bytes, .. } =
            FileOptions::default().with(&settings);
        (row_group_bytes >> 20, file_bytes >> 20, file_row_groups, memory_bytes >> 20)
    };
    let of = |row_group: Option<usize>, target: Option<u64>| FileSettings {
        row_group_bytes: row_group.map(|bytes| bytes << 20),
        target_bytes: target.map(|bytes| bytes << 20),
        ..FileSettings::default()
    };
    let table = [
        (of(None, None), (8, 128, 32, 14)),
        (of(Some(1), None), (1, 128, 32, 14)),
        (of(Some(64), None), (64, 128, 32, 128)),
        (of(None, Some(8)), (8, 8, 32, 14)),
        (of(None, Some(64)), (8, 64, 128, 14)),
        (of(Some(64), Some(1024)), (64, 1024, 256, 128)),
    ];
    for (settings, expected) in table {
        assert_eq!(options(settings), expected, "{settings:?}");
    }
}

/// The column is switched on and off between runs: every row stays, and each file has what was wanted when it was written.
#[tokio::test]
async fn the_account_is_a_column_in_every_mode_from_when_it_is_wanted() {
    for mode in [Append, Merge, Replace, Partition] {
        let destination = Destination::in_memory();
        let settings = |account_column| FileSettings { account_column, ..FileSettings::default() };
        let mut wanted = BTreeSet::new();
        for (at, account_column) in [false, true, true, false, true].into_iter().enumerate() {
            let before: BTreeSet<String> = table_files(&destination).await.into_iter().collect();
            let (plan, rows) = (with_files(settings(account_column), mode, &format!("r{at}")), people_of(at));
            run(&destination, plan, &rows).await.unwrap();
            let rows = rows.iter().map(|person| person.id.clone());
            if matches!(mode, Replace | Partition) {
                wanted.clear();
            }
            wanted.extend(rows);
            let seen: BTreeSet<String> = table(&destination, "people", &["id"]).await.into_iter().collect();
            let seen: BTreeSet<String> =
                seen.iter().filter_map(|line| Some(line.rsplit(' ').next()?.to_owned())).collect();
            assert_eq!(seen, wanted, "{mode:?} {at}");
            for path in destination.list("people").await.unwrap() {
                if mode == Append && before.contains(&path) {
                    continue;
                }
                for row in read(&destination, &path).await {
                    let account = row.get(ACCOUNT_COLUMN).and_then(Value::as_str);
                    assert_eq!(account, account_column.then_some("acme"), "{mode:?} {at} {path}");
                }
            }
        }
        let files = FileOptions::default().with(&settings(true));
        let compaction = Compaction::plan(&destination, "acme", &people(), &files).await.unwrap().unwrap();
        if mode == Append {
            compaction.carry_out("c", instant("2026-03-01")).await.unwrap();
            let paths = destination.list("people").await.unwrap();
            assert_eq!(paths.len(), 1, "files with and without the column become one: {paths:?}");
            let rows = read(&destination, &paths[0]).await;
            assert_eq!(rows.len(), 15);
            assert!(rows.iter().all(|row| row[ACCOUNT_COLUMN] == "acme"));
        }
    }
}

#[tokio::test]
async fn a_run_that_changes_nothing_rewrites_nothing_whatever_the_settings() {
    let destination = Destination::in_memory();
    run(&destination, plan(Merge, &[], "r1"), &people_of(0)).await.unwrap();
    let path = destination.list("people").await.unwrap().remove(0);
    let before = bytes(&destination, &path).await;
    let settings = FileSettings {
        compression: Some(Compression::Snappy),
        account_column: true,
        row_group_bytes: Some(1 << 16),
        ..FileSettings::default()
    };
    run(&destination, with_files(settings, Merge, "r2"), &people_of(0)).await.unwrap();
    assert_eq!(bytes(&destination, &path).await, before);
}
