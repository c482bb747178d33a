//! Random pages against a second implementation: plain recursion over `serde_json`, a row at a time.

use ctct_catalog::{FieldType, ORDINAL, PARENT_ORDINAL};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A value of the field in one of the forms that fit; `None` leaves the key out.
fn field_value(field: &Field) -> BoxedStrategy<Option<Value>> {
    let present = match field.kind {
        FieldType::Object => object(&field.fields),
        FieldType::List => {
            let element = field.item.as_deref().map_or_else(|| object(&field.fields), scalar);
            let odd = proptest::sample::select(unfit(element_kind(field)));
            vec(prop_oneof![12 => element, 3 => Just(Value::Null), 1 => odd], 0..4).prop_map(Value::from).boxed()
        }
        _ => scalar(field),
    };
    if field.required {
        return "[a-z0-9-]{1,40}".prop_map(|id| Some(json!(id))).boxed();
    }
    let odd = proptest::sample::select(unfit(field.kind)).prop_map(Some);
    prop_oneof![12 => present.prop_map(Some), 2 => Just(None), 2 => Just(Some(Value::Null)), 1 => odd].boxed()
}

/// Values that fit no field of this kind, keys in order.
fn unfit(kind: FieldType) -> Vec<Value> {
    let scalars = match kind {
        FieldType::Timestamp => json!(["01/02/2024", "2024-02-30", true, 5]),
        FieldType::Integer | FieldType::Number => json!(["June", true, "NaN"]),
        FieldType::Boolean => json!([1, "yes"]),
        FieldType::Id | FieldType::String => json!([]),
        FieldType::Object | FieldType::List => json!(["x", 1, true]),
    };
    let mut values = scalars.as_array().cloned().unwrap_or_default();
    if kind != FieldType::Object {
        values.push(json!({"a": [1.5, {"b": null}]}));
    }
    if kind != FieldType::List {
        values.push(json!([{"a": 1}, "x"]));
    }
    values
}

/// The kind of the elements of a list.
fn element_kind(list: &Field) -> FieldType {
    list.item.as_deref().map_or(FieldType::Object, |item| item.kind)
}

fn object(fields: &[Field]) -> BoxedStrategy<Value> {
    let sent = fields.iter().filter(|field| field.bound.is_none());
    let members: Vec<_> = sent
        .map(|field| {
            field_value(field).prop_map({
                let name = field.name.clone();
                move |value| value.map(|value| (name.clone(), value))
            })
        })
        .collect();
    let surprise = prop_oneof![9 => Just(None), 1 => any::<u8>().prop_map(|n| Some(("surprise".to_owned(), json!([n, "\u{0}\""]))))];
    let shuffled = (members, surprise)
        .prop_map(|(members, surprise)| members.into_iter().chain([surprise]).flatten().collect::<Vec<_>>());
    shuffled.prop_shuffle().prop_map(|members| Value::Object(members.into_iter().collect())).boxed()
}

fn scalar(field: &Field) -> BoxedStrategy<Value> {
    match field.kind {
        FieldType::Timestamp => (-62_135_510_400_i64..253_402_214_400, any::<bool>(), -720_i32..720)
            .prop_map(|(seconds, bare, minutes)| {
                let zone = chrono::FixedOffset::east_opt(minutes * 60).expect("a zone");
                let instant = DateTime::from_timestamp(seconds, 0).expect("an instant");
                json!(if bare {
                    instant.format("%Y-%m-%d").to_string()
                } else {
                    instant.with_timezone(&zone).to_rfc3339()
                })
            })
            .boxed(),
        FieldType::Integer => {
            any::<(i64, bool)>().prop_map(|(n, text)| if text { json!(n.to_string()) } else { json!(n) }).boxed()
        }
        FieldType::Number => any::<i32>().prop_map(|n| json!(f64::from(n) / 8.0)).boxed(),
        FieldType::Boolean => any::<bool>().prop_map(|b| json!(b)).boxed(),
        _ => prop_oneof![
            6 => any::<String>().prop_map(Value::from),
            1 => Just(json!("\u{0}\u{1F980}\u{202E} a text that is longer than a view")),
            1 => any::<i64>().prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
        ]
        .boxed(),
    }
}

/// What a scalar is in its column.
fn typed(kind: FieldType, value: &Value) -> Value {
    match (kind, value) {
        (FieldType::Timestamp, Value::String(text)) => {
            let instant = DateTime::parse_from_rfc3339(text)
                .or_else(|_| DateTime::parse_from_rfc3339(&format!("{text}T00:00:00Z")));
            json!(instant.expect("an instant").with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
        (FieldType::Integer, Value::String(text)) => json!(text.parse::<i64>().expect("a whole number")),
        (FieldType::Id | FieldType::String, Value::Number(_) | Value::Bool(_)) => json!(value.to_string()),
        _ => value.clone(),
    }
}

type Row = Map<String, Value>;

/// The tables of the report, filled a row at a time.
fn expected(report: &Report, records: &[Value]) -> Vec<Vec<(usize, Row)>> {
    let mut tables = vec![Vec::new(); report.tables().len()];
    for (root, record) in records.iter().enumerate() {
        fill(&mut tables, 0, &report.columns, record, (root, Row::new(), &report.key));
    }
    tables
}

/// Adds one row, and the rows of its lists; gives the index of the first table after those of its lists.
fn fill(
    tables: &mut [Vec<(usize, Row)>],
    here: usize,
    fields: &[Field],
    element: &Value,
    (root, mut row, key): (usize, Row, &[String]),
) {
    let carried = row.clone();
    let mut lists = Vec::new();
    if let Some(extra) = columns("", fields, element, &mut row, &mut lists) {
        row.insert("_extra".to_owned(), json!(extra.to_string()));
    }
    let mut next = here + 1;
    for (list, elements) in lists {
        let mut child: Row = carried
            .iter()
            .filter(|(name, _)| *name != ORDINAL && *name != PARENT_ORDINAL)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // A parent without its key leaves the column null, and the child's own column of that name out.
        child.extend(key.iter().map(|name| (name.clone(), row.get(name).cloned().unwrap_or_default())));
        child.extend(carried.get(ORDINAL).map(|ordinal| (PARENT_ORDINAL.to_owned(), ordinal.clone())));
        let odd = unfit(element_kind(list));
        let makes_a_row = |element: &Value| !element.is_null() && !odd.contains(element);
        for (ordinal, element) in elements.iter().enumerate().filter(|(_, element)| makes_a_row(element)) {
            let mut child = child.clone();
            child.insert(ORDINAL.to_owned(), json!(ordinal));
            match &list.item {
                Some(item) => {
                    let element = json!({item.name.clone(): element});
                    fill(tables, next, std::slice::from_ref(item), &element, (root, child, &list.key));
                }
                None => fill(tables, next, &list.fields, element, (root, child, &list.key)),
            }
        }
        next += 1 + lists_below(&list.fields);
    }
    row.retain(|_, value| !value.is_null());
    tables[here].push((root, row));
}

fn lists_below(fields: &[Field]) -> usize {
    fields.iter().map(|field| usize::from(field.kind == FieldType::List) + lists_below(&field.fields)).sum()
}

/// Adds the columns of an object to the row, and returns what is unknown in it.
fn columns<'a>(
    prefix: &str,
    fields: &'a [Field],
    object: &'a Value,
    row: &mut Row,
    lists: &mut Vec<(&'a Field, &'a [Value])>,
) -> Option<Value> {
    let mut unknown = Row::new();
    unknown.extend(object.get("surprise").map(|value| ("surprise".to_owned(), value.clone())));
    for field in fields {
        let value = object.get(&field.name).unwrap_or(&Value::Null);
        let name = format!("{prefix}{}", field.name);
        let is_unfit = unfit(field.kind).contains(value);
        if is_unfit {
            unknown.insert(field.name.clone(), value.clone());
        }
        let value = if is_unfit { &Value::Null } else { value };
        match field.kind {
            FieldType::List if value.is_array() => {
                let elements = value.as_array().map_or(&[][..], Vec::as_slice);
                let odd = unfit(element_kind(field));
                let odd: Vec<Value> = elements.iter().filter(|element| odd.contains(element)).cloned().collect();
                if !odd.is_empty() {
                    unknown.insert(field.name.clone(), Value::from(odd));
                }
                lists.push((field, elements));
            }
            FieldType::Object => {
                let below = columns(&format!("{name}_"), &field.fields, value, row, lists);
                unknown.extend(below.map(|below| (field.name.clone(), below)));
            }
            FieldType::List => lists.push((field, &[])),
            _ if value.is_null() || row.contains_key(&name) => {}
            kind => {
                row.insert(name, typed(kind, value));
            }
        }
    }
    unknown.sort_keys();
    (!unknown.is_empty()).then_some(Value::Object(unknown))
}

/// The decoded tables in the form of [`expected`].
fn actual(page: &DecodedPage) -> Vec<Vec<(usize, Row)>> {
    let table = |table: &TableRows| {
        let rows = rows(table).into_iter().enumerate();
        let rows = rows.map(|(index, row)| {
            let mut row = row.as_object().cloned().unwrap_or_default();
            assert_eq!(row.remove("_commit"), Some(json!(COMMIT)));
            assert!(row.remove("_occurrence").is_none_or(|number| number == 1));
            assert!(row.remove("_extracted_at").is_some());
            let root = table.parent_rows.as_ref().map_or(index, |rows| rows.value(index) as usize);
            (root, row)
        });
        rows.collect()
    };
    page.tables.iter().map(table).collect()
}

fn pages(decoder: &PageDecoder) -> impl Strategy<Value = Vec<Value>> + use<> {
    vec(object(&decoder.report.columns), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn contacts_are_flattened_as_the_model_says(records in pages(&decoder("contacts"))) {
        let decoder = decoder("contacts");
        let page = decoded(&decoder, &json!({"contacts": records}));
        prop_assert!(page.dead_letters.is_empty());
        prop_assert_eq!(actual(&page), expected(&decoder.report, &records));
    }

    #[test]
    fn objects_and_lists_nest_as_the_model_says(records in pages(&sixth())) {
        let decoder = sixth();
        for record in records {
            let page = decoded(&decoder, &record);
            prop_assert_eq!(actual(&page), expected(&decoder.report, &[record]));
        }
    }

    #[test]
    fn a_child_row_has_its_parent_and_its_place(records in pages(&decoder("contacts"))) {
        let decoder = decoder("contacts");
        let page = decoded(&decoder, &json!({"contacts": records}));
        let ids: Vec<Value> = rows(&page.tables[0]).iter().map(|row| row["contact_id"].clone()).collect();
        for (table, layout) in page.tables.iter().zip(decoder.report.tables()).skip(1) {
            let parents = table.parent_rows.as_ref().expect("a child has parent rows");
            prop_assert_eq!(parents.null_count(), 0);
            prop_assert!(parents.values().is_sorted());
            for (row, parent) in rows(table).iter().zip(parents.values()) {
                prop_assert_eq!(&row["contact_id"], &ids[*parent as usize], "{}", &layout.name);
            }
            let mut seen = std::collections::HashSet::new();
            for (row, parent) in rows(table).iter().zip(parents.values()) {
                let place = (*parent, row.get(PARENT_ORDINAL).and_then(Value::as_i64), row[ORDINAL].as_i64());
                prop_assert!(seen.insert(place), "{}: {:?} is duplicate", layout.name, place);
            }
        }
    }

    #[test]
    fn a_slice_is_flattened_like_its_copy(records in pages(&decoder("contacts")), from in 0_usize..6, length in 0_usize..6) {
        let decoder = decoder("contacts");
        let from = from.min(records.len());
        let length = length.min(records.len() - from);
        let body = json!({"contacts": records}).to_string();
        let whole = decoder.records(&decoder.read(body.as_bytes()).expect("a page")).expect("records");
        let constants = Constants { extracted_at: 0, commit: COMMIT, bound: Vec::new(), asked: Vec::new() };
        let (tables, drift) = flatten(decoder.report.tables(), &whole.slice(from, length), &constants).expect("tables");
        let page = DecodedPage { tables, dead_letters: Vec::new(), drift };
        prop_assert_eq!(actual(&page), expected(&decoder.report, &records[from..from + length]));
    }

    #[test]
    fn a_bad_key_is_one_dead_letter(records in pages(&decoder("contacts")), bad in vec(any::<bool>(), 6)) {
        let decoder = decoder("contacts");
        let mut sent = records.clone();
        for (record, _) in sent.iter_mut().zip(&bad).filter(|(_, bad)| **bad) {
            record["contact_id"] = json!([{"planted": "SECRET"}]);
        }
        let page = decoded(&decoder, &json!({"contacts": sent}));
        let dead: Vec<usize> = (0..sent.len()).filter(|index| bad[*index]).collect();
        prop_assert_eq!(page.dead_letters.iter().map(|letter| letter.index).collect::<Vec<_>>(), dead);
        prop_assert!(page.dead_letters.iter().all(|letter| letter.reason == "contact_id: not a single value"));
        prop_assert!(page.dead_letters.iter().all(|letter| serde_json::from_str::<Value>(&letter.record).ok().as_ref() == sent.get(letter.index)));
        let kept: Vec<Value> = records.iter().zip(&bad).filter(|(_, bad)| !**bad).map(|(record, _)| record.clone()).collect();
        prop_assert_eq!(actual(&page), expected(&decoder.report, &kept));
    }
}
