//! Partition folders: what they are named, what may be one, and that no value leaves its folder.

use arrow_array::cast::AsArray;
use proptest::prelude::*;

use super::*;
use WriteMode::{Append, Partition};

const ODD: &[&str] = &[
    "../../x",
    "..",
    ".",
    ".hidden",
    "",
    "a/b",
    "%2F",
    "=",
    "a=b",
    "🦀",
    "שלום",
    "nul\0byte",
    "new\nline",
    "#1",
    "a#2",
    "\\",
    "__HIVE_DEFAULT_PARTITION__",
    " ",
    "a b",
    "C:",
    "~",
    "x?y&z",
    "é",
    "e\u{301}",
];

#[tokio::test]
async fn odd_values_stay_in_their_folder_and_come_back_as_they_were() {
    on_each_store(async |destination| {
        let long = "x".repeat(10_000);
        let mut values: Vec<&str> = ODD.to_vec();
        values.push(&long);
        let rows: Vec<Person> = values
            .iter()
            .enumerate()
            .map(|(at, value)| person(&format!("{at:02}"), value, "").phone("1", &["p"]))
            .chain([Person { id: "null".to_owned(), ..Person::default() }])
            .collect();
        run(&destination, plan(Append, &[PartitionBy::Column("kind".to_owned())], "r1"), &rows).await.unwrap();

        let mut found = BTreeMap::new();
        for path in destination.list("people").await.unwrap() {
            let parts: Vec<&str> = path.split('/').collect();
            assert_eq!((parts.len(), parts[0], parts[1]), (4, "people", "account=acme"), "{path}");
            let folder = parts[2].strip_prefix("kind=").unwrap();
            assert!(folder.len() <= 200 && !folder.starts_with('.'), "{folder}");
            for row in read(&destination, &path).await {
                assert!(!row.contains_key("kind"));
                let id = row["id"].as_str().unwrap().to_owned();
                let kept =
                    row.get("_extra").map(|extra| serde_json::from_str::<Value>(extra.as_str().unwrap()).unwrap());
                let value = match kept {
                    Some(extra) => extra["kind"].as_str().map(str::to_owned),
                    None if folder == NULL_FOLDER => None,
                    None => decode_folder(folder),
                };
                found.insert(id, value);
            }
        }
        let expected: BTreeMap<String, Option<String>> = rows.into_iter().map(|row| (row.id, row.kind)).collect();
        assert_eq!(found, expected);
        // Children are below the same folders as their parents.
        let folder_of = |path: &String| path.split('/').nth(2).unwrap().to_owned();
        let parents: Vec<_> = destination.list("people").await.unwrap().iter().map(folder_of).collect();
        let children: Vec<_> = destination.list("people_phones").await.unwrap().iter().map(folder_of).collect();
        assert_eq!(parents, children);
    })
    .await;
}

#[tokio::test]
async fn keys_on_disk_are_encoded_once() {
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::open("out", folder.path(), &StoreOptions::default()).unwrap();
    let by_kind = [PartitionBy::Column("kind".to_owned())];
    let odd = LoadPlan { account: "../ac me%".to_owned(), ..plan(Append, &by_kind, "r/1") };
    run(&destination, odd, &[person("a", "a/b%", "")]).await.unwrap();
    let file = "people/account=%2E.%2Fac%20me%25/kind=a%2Fb%25/00000000000000000001-r%2F1-00000.parquet";
    assert!(folder.path().join("out").join(file).is_file());
    let outside: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["out"]);
    assert!(folder.path().join("out/_ctct/%2E.%2Fac%20me%25/people/commits").is_dir());
    let ids = distinct_ids(&destination, "../ac me%", "people", "id").await.unwrap().unwrap();
    assert_eq!(ids.value(0), "a");
}

#[test]
fn only_ascii_is_encoded_since_spark_reads_every_code_as_a_character() {
    for (value, folder) in [
        ("é ü/=%", "é%20ü%2F%3D%25"),
        ("日本", "日本"),
        ("🦜", "🦜"),
        (".a.b", "%2Ea.b"),
        ("a:b?*[c]\u{7f}", "a%3Ab%3F%2A%5Bc%5D%7F"),
        ("Az09-_.", "Az09-_."),
        ("\u{9b}", "%C2%9B"),
    ] {
        assert_eq!(encode_folder(value), folder);
        assert_eq!(decode_folder(folder).as_deref(), Some(value));
    }
}

#[tokio::test]
async fn children_follow_their_parents_through_every_kind_of_partition() {
    on_each_store(async |destination| {
        let by = [
            PartitionBy::Year("created_at".to_owned()),
            PartitionBy::Day("created_at".to_owned()),
            PartitionBy::Bucket { column: "id".to_owned(), count: 16 },
            PartitionBy::Column("score".to_owned()),
        ];
        let rows = [
            person("a", "x", "2026-01-31T23:59:59Z").phone("1", &["p"]),
            person("b", "x", "1969-12-31T23:59:59Z").phone("1", &[]).phone("2", &["q", "r"]),
            person("c", "x", "").phone("3", &[]),
        ];
        run(&destination, plan(WriteMode::Replace, &by, "r1"), &rows).await.unwrap();
        let folders = [
            "created_at_year=1969/created_at_day=1969-12-31/id_bucket=06/score=1 b",
            "created_at_year=2026/created_at_day=2026-01-31/id_bucket=02/score=0 a",
            "created_at_year=__HIVE_DEFAULT_PARTITION__/created_at_day=__HIVE_DEFAULT_PARTITION__/id_bucket=03/score=2 c",
        ];
        assert_eq!(table(&destination, "people", &["id"]).await, folders);
        let mut twice: Vec<_> = folders.iter().map(ToString::to_string).collect();
        twice.insert(1, folders[0].to_owned());
        assert_eq!(table(&destination, "people_phones", &["id"]).await, twice);
        assert_eq!(
            table(&destination, "people_phones_lines", &["id"]).await,
            [folders[0], folders[0], folders[1]]
        );
    })
    .await;
}

#[tokio::test]
async fn what_stands_in_extra_already_stays_beside_the_value() {
    on_each_store(async |destination| {
        let mut session =
            Session::begin(&destination, plan(Append, &[PartitionBy::Column("kind".to_owned())], "r1")).await.unwrap();
        let mut rows = page(1, &[]);
        let schema = Arc::clone(&people().tables()[0].schema);
        let row = json!({"id": "a", "kind": "", "_extra": r#"{"shoe_size":44}"#, "_extracted_at": 0, "_commit": 1});
        rows[0].batch = batch(&schema, &[row]);
        session.write(rows).await.unwrap();
        session.commit(outcome()).await.unwrap();
        assert_eq!(
            table(&destination, "people", &["id", "_extra"]).await,
            [r#"kind=__HIVE_DEFAULT_PARTITION__ a {"kind":"","shoe_size":44}"#]
        );
    })
    .await;
}

#[test]
fn a_bucket_is_the_first_32_bits_of_sha_256_modulo_the_count() {
    // printf 1618ae62-4752-11e9-9c8a-fa163e6b01c1 | sha256sum
    let id = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";
    let digest = <sha2::Sha256 as sha2::Digest>::digest(id);
    let expected = u32::from_be_bytes(digest[..4].try_into().unwrap()) % 100;
    let mut router =
        crate::files::partition::Router::new(vec![PartitionBy::Bucket { column: "id".to_owned(), count: 100 }]);
    let rows = page(1, &[person(id, "", "")]);
    assert_eq!(router.route(&rows[0].batch), [0]);
    assert_eq!(router.folders(), [format!("id_bucket={expected:02}")]);
}

#[test]
fn hive_keys_say_the_column_and_the_function() {
    let column = || "c".to_owned();
    let all = [
        PartitionBy::Column(column()),
        PartitionBy::Year(column()),
        PartitionBy::Month(column()),
        PartitionBy::Day(column()),
        PartitionBy::Bucket { column: column(), count: 16 },
    ];
    let shown: Vec<_> = all.iter().map(|by| format!("{by} -> {}", by.hive_key())).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    c -> c
    year(c) -> c_year
    month(c) -> c_month
    day(c) -> c_day
    bucket(c, 16) -> c_bucket
    ");
}

#[test]
fn partitions_that_cannot_be_are_refused_with_what_would_be_right() {
    let name = str::to_owned;
    let bucket = |column: &str, count| PartitionBy::Bucket { column: column.to_owned(), count };
    let refused: Vec<String> = [
        vec![PartitionBy::Column(name("knid"))],
        vec![PartitionBy::Column(name("number"))],
        vec![PartitionBy::Month(name("kind"))],
        vec![PartitionBy::Column(name("created_at"))],
        vec![PartitionBy::Column(name("_extra"))],
        vec![PartitionBy::Column(name("active"))],
        vec![bucket("active", 4)],
        vec![bucket("id", 0)],
        vec![bucket("id", 5000)],
        vec![bucket("id", 4), bucket("id", 8)],
        vec![],
    ]
    .iter()
    .map(|by| PartitionBy::validate_all(by, Partition, &people()).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(refused.join("\n"));
    for fine in ["id", "kind", "score", "_commit"] {
        PartitionBy::Column(name(fine)).validate(&people()).unwrap();
    }
    PartitionBy::Day(name("_extracted_at")).validate(&people()).unwrap();
}

#[test]
fn every_column_of_contacts_can_be_tried_without_a_clash_going_unseen() {
    let catalog = Catalog::embedded().unwrap();
    let contacts = catalog.get("contacts").unwrap();
    // Phone numbers have an `update_source` of their own; readers would take the folder's for it.
    let clash = PartitionBy::Column("update_source".to_owned()).validate(contacts).unwrap_err();
    insta::assert_snapshot!(clash, @"report `contacts`, partition_by update_source: `contacts_phone_numbers` has a column `update_source` of its own, which readers would take for the folder's value; choose another column");
    PartitionBy::Column("contact_id".to_owned()).validate(contacts).unwrap();
    PartitionBy::Month("created_at".to_owned()).validate(contacts).unwrap();
}

proptest! {
    #[test]
    fn an_encoded_value_decodes_to_itself_and_is_one_plain_folder(value in ".*") {
        let encoded = encode_folder(&value);
        prop_assert_eq!(decode_folder(&encoded), Some(value));
        prop_assert!(!encoded.starts_with('.'));
        let plain = |c: char| if c.is_ascii() { c.is_ascii_alphanumeric() || "-_.%".contains(c) } else { !c.is_control() };
        prop_assert!(encoded.chars().all(plain), "{}", encoded);
    }

    #[test]
    fn two_values_never_share_a_folder(left in ".{0,4}", right in ".{0,4}") {
        prop_assert_eq!(encode_folder(&left) == encode_folder(&right), left == right);
    }

    #[test]
    fn rows_are_cut_into_sorted_row_groups_by_partition_and_none_is_lost(
        batches in proptest::collection::vec(proptest::collection::vec((0_u32..4, -3_i64..3), 0..12), 0..5),
        row_group_bytes in 1_usize..4000,
    ) {
        let report = people();
        let table = &report.tables()[1];
        let options = FileOptions { row_group_bytes, ..FileOptions::default() };
        let layout = FileLayout::new(table, &[], &[], &options).unwrap();
        let mut buffer = RowBuffer::default();
        let mut partitions = Vec::new();
        for rows in batches.iter().filter(|rows| !rows.is_empty()) {
            let json: Vec<Value> = rows
                .iter()
                .map(|(_, key)| json!({"id": "x", "_ordinal": key, "_extracted_at": 0, "_commit": 1}))
                .collect();
            buffer.push(batch(&table.schema, &json));
            partitions.push(rows.iter().map(|(partition, _)| *partition).collect());
        }
        let (kept, groups) = crate::files::sort::row_groups(&layout, buffer, &partitions).unwrap();
        let key = |at: &(usize, usize)| {
            kept[at.0].column(1).as_primitive::<arrow_array::types::Int64Type>().value(at.1)
        };
        let mut seen = Vec::new();
        for group in &groups {
            let all = || (0..kept.len()).flat_map(|at| (0..kept[at].num_rows()).map(move |row| (at, row))).collect();
            let order: Vec<(usize, usize)> = group.order.clone().unwrap_or_else(all);
            prop_assert!(order.is_sorted_by_key(key));
            // Equal keys keep the order in which they came.
            prop_assert!(order.is_sorted_by_key(|at| (key(at), *at)));
            seen.extend(order.iter().map(|at| (group.partition, key(at))));
        }
        prop_assert!(seen.is_sorted_by_key(|(partition, _)| *partition));
        let mut expected: Vec<(u32, i64)> = batches.concat();
        expected.sort_unstable();
        seen.sort_unstable();
        prop_assert_eq!(seen, expected);
    }
}
