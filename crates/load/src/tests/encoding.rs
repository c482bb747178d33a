//! What is in the files: order, statistics, filters, metadata; and when row groups and files end.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use super::*;
use WriteMode::Append;

fn encoder(options: &FileOptions, table: usize) -> TableEncoder {
    let report = people();
    let metadata = [("ctct.table", "people".to_owned())];
    let layout = FileLayout::new(&report.tables()[table], &[], &metadata, options).unwrap();
    TableEncoder::new(&Arc::new(layout)).unwrap()
}

fn ids(ids: &[&str]) -> RecordBatch {
    let rows: Vec<Person> = ids.iter().map(|id| person(id, "x", "2026-01-01")).collect();
    page(1, &rows).remove(0).batch
}

fn reader(file: Bytes) -> SerializedFileReader<Bytes> {
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(properties).with_page_index().build();
    SerializedFileReader::new_with_options(file, options).unwrap()
}

#[test]
fn rows_are_sorted_within_each_row_group_and_the_file_says_so() {
    let mut encoder = encoder(&FileOptions::default(), 0);
    let mut file = Vec::new();
    encoder.push(ids(&["m", "c"]));
    encoder.push(ids(&["z", "a"]));
    file.extend(encoder.encode_row_group().unwrap());
    encoder.push(ids(&["b"]));
    assert_eq!(encoder.rows(), 4);
    let (tail, totals) = encoder.finish().unwrap();
    file.extend(tail);
    assert_eq!((totals.rows, totals.bytes), (5, file.len() as u64));
    assert_eq!(totals.sha256, crate::destination::checksum::hex(&<sha2::Sha256 as sha2::Digest>::digest(&file)));

    let file = Bytes::from(file);
    let batches = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap().build().unwrap();
    let seen: Vec<String> = batches
        .flat_map(|batch| {
            batch.unwrap().column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(seen, ["a", "c", "m", "z", "b"]);

    let reader = reader(file);
    let metadata = reader.metadata();
    assert_eq!(metadata.num_row_groups(), 2);
    for group in metadata.row_groups() {
        let sorting = group.sorting_columns().unwrap();
        assert_eq!(sorting.len(), 1);
        assert_eq!((sorting[0].column_idx, sorting[0].descending, sorting[0].nulls_first), (0, false, true));
        let id = group.column(0);
        assert!(id.statistics().unwrap().min_bytes_opt().is_some());
        assert!(id.bloom_filter_offset().is_some());
        assert!(group.column(1).bloom_filter_offset().is_none());
        assert!(id.column_index_range().is_some() && id.offset_index_range().is_some());
        assert!(matches!(id.compression(), parquet::basic::Compression::ZSTD(_)));
    }
    let filter = reader.get_row_group(0).unwrap();
    let filter = filter.get_column_bloom_filter(0).unwrap();
    assert!(filter.check(&"m") && !filter.check(&"b"));
    // A filter over four ids is folded down to the smallest there is.
    assert!(metadata.row_group(0).column(0).bloom_filter_length().unwrap() < 64);
}

#[test]
fn rows_with_nulls_in_the_key_are_sorted_as_declared_nulls_first() {
    let report = people();
    let lines = &report.tables()[2];
    let row = |number: Option<&str>, ordinal| json!({"id": "a", "number": number, "_parent_ordinal": 0, "_ordinal": ordinal, "_extracted_at": 0, "_commit": 1});
    let mut encoder = encoder(&FileOptions::default(), 2);
    encoder.push(batch(&lines.schema, &[row(Some("b"), 0), row(None, 1), row(Some("a"), 2), row(Some("b"), -1)]));
    let (file, _) = encoder.finish().unwrap();
    let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let sorted = reader.next().unwrap().unwrap();
    let ordinals = sorted.column_by_name("_ordinal").unwrap().as_primitive::<Int64Type>();
    assert_eq!(ordinals.values(), &[1, 2, -1, 0]);
}

#[tokio::test]
async fn files_tell_where_they_come_from_and_show_plain_strings_with_comments() {
    on_each_store(async |destination| {
        run(&destination, plan(Append, &[], "r1"), &[person("a", "x", "2026-01-01")]).await.unwrap();
        let files = destination.list("people").await.unwrap();
        let file = bytes(&destination, &files[0]).await;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
        let pairs = metadata.file_metadata().key_value_metadata().unwrap();
        let own: Vec<_> = pairs
            .iter()
            .filter(|pair| pair.key.starts_with("ctct."))
            .map(|pair| format!("{}={}", pair.key, pair.value.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(
            own,
            [
                "ctct.pipeline=daily",
                "ctct.account=acme",
                "ctct.report=people",
                "ctct.table=people",
                "ctct.commit=1",
                "ctct.run=r1",
                "ctct.layout_version=1",
                "ctct.write_mode=append",
                "ctct.history=false",
                "ctct.partition_by=[]",
                "ctct.watermark=2026-02-01T12:00:00Z",
            ]
        );
        let spark = pairs.iter().find(|pair| pair.key == "org.apache.spark.sql.parquet.row.metadata").unwrap();
        let spark: serde_json::Value = serde_json::from_str(spark.value.as_deref().unwrap()).unwrap();
        let expected =
            serde_json::json!({"name": "id", "type": "string", "nullable": false, "metadata": {"comment": "Id."}});
        assert_eq!((&spark["type"], &spark["fields"][0]), (&"struct".into(), &expected));
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        assert_eq!(spark["fields"].as_array().unwrap().len(), builder.schema().fields().len());
        let id = builder.schema().field_with_name("id").unwrap();
        assert_eq!(id.data_type(), &DataType::Utf8);
        assert_eq!(id.metadata()["comment"], "Id.");
        let at = builder.schema().field_with_name("created_at").unwrap();
        assert_eq!(at.data_type(), &DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into())));
    })
    .await;
}

#[tokio::test]
async fn row_groups_and_files_end_at_their_target_sizes() {
    on_each_store(async |destination| {
        let mut small = plan(Append, &[], "r1");
        small.files = FileOptions { row_group_bytes: 64 << 10, file_bytes: 20 << 10, ..FileOptions::default() };
        let mut session = Session::begin(&destination, small).await.unwrap();
        for number in 0..100 {
            let rows: Vec<Person> = (0..100).map(|at| person(&digest(number * 100 + at), "x", "2026-01-01")).collect();
            session.write(page(1, &rows)).await.unwrap();
        }
        let done = session.commit(outcome()).await.unwrap();
        assert_eq!(done.tables[0].rows, 10_000);
        assert!(done.tables[0].files > 3, "{done:?}");
        let mut rows = 0;
        for path in destination.list("people").await.unwrap() {
            let file = bytes(&destination, &path).await;
            // A file ends with the row group that takes it past the target.
            assert!(file.len() < 40 << 10, "{path}: {}", file.len());
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).unwrap();
            rows += metadata.file_metadata().num_rows();
        }
        assert_eq!(rows, 10_000);
    })
    .await;
}

#[tokio::test]
async fn a_file_ends_after_so_many_row_groups_whatever_its_size() {
    on_each_store(async |destination| {
        let mut small = plan(Append, &[], "r1");
        small.files = FileOptions { row_group_bytes: 1, file_row_groups: 2, ..FileOptions::default() };
        let mut session = Session::begin(&destination, small).await.unwrap();
        for number in 0..6 {
            session.write(page(1, &[person(&digest(number), "x", "2026-01-01")])).await.unwrap();
        }
        assert_eq!(session.commit(outcome()).await.unwrap().tables[0].files, 3);
    })
    .await;
}

#[tokio::test]
async fn many_partitions_stay_within_the_memory_and_the_open_files_given() {
    on_each_store(async |destination| {
        let buckets = [PartitionBy::Bucket { column: "id".to_owned(), count: 50 }];
        let mut small = plan(Append, &buckets, "r1");
        small.files = FileOptions { memory_bytes: 256 << 10, open_files: 4, ..FileOptions::default() };
        let mut session = Session::begin(&destination, small).await.unwrap();
        let mut most = 0;
        for number in 0..40 {
            let rows: Vec<Person> =
                (0..200).map(|at| person(&digest(number * 200 + at), "x", "2026-01-01").phone("1", &["p"])).collect();
            session.write(page(1, &rows)).await.unwrap();
            most = most.max(session.held_bytes());
        }
        assert!(most <= 256 << 10, "{most}");
        assert!(most > 64 << 10, "{most}: the budget is there to be used");
        let done = session.commit(outcome()).await.unwrap();
        assert!(done.tables.iter().all(|table| table.rows == 8000), "{done:?}");
        let stored = distinct_ids(&destination, "acme", "people", "id").await.unwrap().unwrap();
        assert_eq!(stored.len(), 8000);
    })
    .await;
}

#[test]
fn strings_that_keep_a_large_buffer_alive_are_copied_out_of_it() {
    let rows: Vec<Person> = (0..1000).map(|at| person(&digest(at), "x", "")).collect();
    let all = page(1, &rows).remove(0).batch;
    let one = arrow_select::take::take_record_batch(&all, &UInt32Array::from(vec![500])).unwrap();
    let mut buffer = RowBuffer::default();
    buffer.push(one.clone());
    let held = one.get_array_memory_size();
    assert!(held > 32 << 10 && buffer.bytes() < 8 << 10, "{held} {}", buffer.bytes());
}

#[test]
fn a_batch_with_other_columns_and_a_level_that_zstd_lacks_are_errors() {
    let mut wrong = encoder(&FileOptions::default(), 1);
    wrong.push(ids(&["a"]));
    insta::assert_snapshot!(wrong.encode_row_group().unwrap_err(), @"table `people_phones`: a batch has 8 columns, not 7; this is a bug in ctct-etl");
    let options = FileOptions { compression_level: Some(40), ..FileOptions::default() };
    let refused = FileLayout::new(&people().tables()[0], &[], &[], &options).unwrap_err();
    insta::assert_snapshot!(refused, @"file option compression_level: 40 is not a level of zstd, which has 1 to 22");
}

/// An id as long and as random as the API's.
fn digest(number: u32) -> String {
    crate::destination::checksum::hex(&<sha2::Sha256 as sha2::Digest>::digest(number.to_be_bytes()))[..36].to_owned()
}
