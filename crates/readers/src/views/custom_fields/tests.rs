//! Names and types of custom fields' columns.

use proptest::prelude::*;

use super::*;

fn field(account: &str, id: &str, label: &str, kind: &str, created_at: i64) -> Definition {
    let [label, kind] = [label, kind].map(|text| Some(text.to_owned()));
    Definition {
        account: account.to_owned(),
        id: id.to_owned(),
        label,
        value_type: kind.as_deref().and_then(|kind| value_type(kind, 2)),
        kind,
        created_at: Some(created_at),
    }
}

fn value_type(kind: &str, version: i64) -> Option<ValueType> {
    Catalog::embedded().unwrap().holding(Subject::CustomFields).unwrap().value_type(&kind.to_lowercase(), Some(version))
}

fn named(definitions: Vec<Definition>) -> BTreeMap<(String, String), String> {
    let taken = ["first_name".to_owned()].into();
    let of = |column: FieldColumn| {
        column.fields.into_iter().map(move |field| ((field.account, field.id), column.name.clone()))
    };
    columns(definitions, &taken).into_iter().flat_map(of).collect()
}

#[test]
fn a_label_becomes_a_name_that_people_recognize() {
    let cases = [
        ("Vehicle make and model year", "vehicle_make_and_model_year"),
        ("  T-shirt   size ", "t_shirt_size"),
        ("Straße & Größe", "straße_größe"),
        ("お名前", "お名前"),
        ("2nd choice", "_2nd_choice"),
        ("'); DROP TABLE contacts; --", "drop_table_contacts"),
        ("\"", ""),
    ];
    for (label, name) in cases {
        assert_eq!(safe(label), name, "{label}");
    }
}

#[test]
fn a_name_that_is_taken_ends_in_the_id() {
    let fields = vec![
        field("a", "11111111-2222", "Size", "string", 2),
        field("a", "33333333-4444", "size!", "number", 1),
        field("a", "55555555-6666", "First name", "string", 3),
        field("a", "77777777-8888", "??", "string", 4),
        field("a", "11111111-9999", "SIZE", "string", 5),
    ];
    let names: Vec<String> =
        columns(fields, &["first_name".to_owned()].into()).into_iter().map(|column| column.name).collect();
    assert_eq!(names, ["size", "size_11111111", "first_name_55555555", "custom_field_77777777", "size_111111119999"]);
}

#[test]
fn accounts_share_a_column_where_label_and_type_are_the_same() {
    let fields = vec![
        field("east", "1", "Size", "string", 1),
        field("west", "2", "Size", "string", 2),
        field("north", "3", "Size", "number", 3),
        field("west", "4", "Size", "string", 4),
    ];
    let columns = columns(fields, &BTreeSet::new());
    let shared: Vec<(&str, usize)> = columns.iter().map(|column| (column.name.as_str(), column.fields.len())).collect();
    assert_eq!(shared, [("size", 2), ("size_3", 1), ("size_4", 1)]);
}

#[test]
fn types_are_those_of_the_vendor_and_what_is_unknown_is_text() {
    let shape = |kind: &str, version| {
        ValueReading::of(&Definition { value_type: value_type(kind, version), ..field("a", "1", "x", kind, 1) })
    };
    assert_eq!(shape("date", 2), ValueReading::Value(SqlType::Day));
    assert_eq!(shape("date", 1), ValueReading::Value(SqlType::Text), "free text");
    assert_eq!(shape("DATETIME", 2), ValueReading::Value(SqlType::Instant));
    assert_eq!(shape("number", 1), ValueReading::Value(SqlType::Real));
    assert_eq!(shape("currency", 1), ValueReading::Value(SqlType::Amount));
    assert_eq!(shape("boolean", 1), ValueReading::Value(SqlType::Flag));
    assert_eq!((shape("single_select", 1), shape("multi_select", 1)), (ValueReading::OneOf, ValueReading::SeveralOf));
    assert_eq!(shape("hologram", 1), ValueReading::Value(SqlType::Text));
}

#[test]
fn the_newest_definition_counts() {
    let row = |label: &str, until: Option<&str>, commit: &str, read: &str| TextRow {
        account: "a".to_owned(),
        values: ["1", label, "string", "1", "5", until.unwrap_or_default(), commit, read]
            .map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))
            .to_vec(),
    };
    let catalog = Catalog::embedded().unwrap();
    let report = catalog.holding(Subject::CustomFields).unwrap();
    let newest =
        |rows: Vec<TextRow>| definitions(report, rows).into_iter().map(|field| field.label).collect::<Vec<_>>();
    let label = |label: &str| vec![Some(label.to_owned())];
    assert_eq!(
        newest(vec![row("old", None, "9", "1"), row("new", None, "10", "2"), row("older", None, "10", "1")]),
        label("new")
    );
    assert_eq!(newest(vec![row("ended", Some("7"), "10", "2"), row("holds", None, "10", "2")]), label("holds"));
}

/// Labels that often collide, and some that are hostile.
fn labels() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["Size", "size", "SIZE!", "First name", "", "Size 1", "size_00000001", "İ", "ß"])
            .prop_map(str::to_owned),
        any::<String>(),
    ]
}

fn fields() -> impl Strategy<Value = Vec<Definition>> {
    let kinds = prop::sample::select(vec!["string", "number", "date"]);
    let one = (prop::sample::select(vec!["a", "b"]), labels(), kinds);
    prop::collection::vec(one, 1..30).prop_map(|fields| {
        let field = |(at, (account, label, kind)): (usize, (&str, String, &str))| {
            // Many ids begin alike.
            field(account, &format!("{:08x}-{at}", at / 3), &label, kind, i64::try_from(at).unwrap())
        };
        fields.into_iter().enumerate().map(field).collect()
    })
}

proptest! {
    #[test]
    fn every_field_has_a_column_and_no_name_stands_twice(fields in fields()) {
        let taken: BTreeSet<String> = ["first_name".to_owned()].into();
        let columns = columns(fields.clone(), &taken);
        let names: BTreeSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        prop_assert_eq!(names.len(), columns.len());
        prop_assert!(names.iter().all(|name| !taken.contains(*name)));
        prop_assert!(names.iter().all(|name| name.chars().all(|letter| letter == '_' || letter.is_alphanumeric())), "{:?}", names);
        prop_assert_eq!(columns.iter().map(|column| column.fields.len()).sum::<usize>(), fields.len());
        for column in &columns {
            let accounts: BTreeSet<&str> = column.fields.iter().map(|field| field.account.as_str()).collect();
            prop_assert_eq!(accounts.len(), column.fields.len(), "one field of an account");
        }
    }

    #[test]
    fn a_new_field_never_renames_an_older_one(fields in fields(), kept in 1_usize..30, seed: u64) {
        let kept = kept.min(fields.len());
        let before = named(fields[..kept].to_vec());
        // The order in which definitions are stored is of no matter.
        let mut shuffled = fields.clone();
        let by = usize::try_from(seed % fields.len() as u64).unwrap();
        shuffled.rotate_left(by);
        let after = named(shuffled);
        for (field, name) in before {
            prop_assert_eq!(&after[&field], &name);
        }
    }
}
