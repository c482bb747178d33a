//! The embedded files and what is refused.

use super::*;

fn embedded() -> Catalog {
    Catalog::embedded().expect("every embedded file is valid")
}

/// `table: column type nullable`, one line a column.
fn layout(report: &Report) -> String {
    let mut text = String::new();
    for table in report.tables() {
        text += &format!("{} key={:?} parent={:?}\n", table.name, table.key, table.parent);
        for field in table.schema.fields() {
            let null = if field.is_nullable() { "null" } else { "required" };
            text += &format!("  {} {} {null}\n", field.name(), field.data_type());
        }
    }
    text
}

#[test]
fn every_report_has_the_tables_that_the_snapshot_shows() {
    for report in embedded().reports() {
        insta::assert_snapshot!(format!("tables_{}", report.name), layout(report));
    }
}

#[test]
fn every_column_says_what_it_is() {
    for report in embedded().reports() {
        for table in report.tables() {
            for field in table.schema.fields() {
                let comment = field.metadata().get("comment").map_or("", String::as_str);
                assert!(comment.ends_with('.'), "{}.{} has no comment", table.name, field.name());
            }
        }
    }
}

#[test]
fn every_column_says_where_it_comes_from_and_what_it_refers_to() {
    let mut text = String::new();
    for table in embedded().reports().flat_map(|report| report.tables()) {
        assert_eq!(table.origins.len(), table.schema.fields().len(), "{}", table.name);
        text += &format!("{} from `{}`\n", table.name, table.path);
        for (field, origin) in table.schema.fields().iter().zip(&table.origins) {
            let refers = table.references.iter().find(|reference| reference.column == *field.name());
            let refers = refers.map(|to| format!(" -> {}.{}", to.table, to.to)).unwrap_or_default();
            text += &format!("  {} {origin:?}{refers}\n", field.name());
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn tables_and_columns_mean_what_the_snapshot_shows() {
    let mut text = String::new();
    let catalog = embedded();
    for report in catalog.reports() {
        for roles in report.roles().iter().filter(|roles| roles.holds().is_some() || !roles.columns.is_empty()) {
            text += &format!("{} holds {:?}\n", roles.table(), roles.holds());
            for (role, column) in &roles.columns {
                text += &format!("  {column} is {role:?}\n");
            }
        }
        for (activity, name) in report.activities() {
            text += &format!("  {activity:?}: {name}\n");
        }
    }
    let starters: Vec<&str> = catalog.starters().iter().map(|report| report.name.as_str()).collect();
    insta::assert_snapshot!(format!("{text}a first pipeline reads {}\n", starters.join(", ")));
}

#[test]
fn a_meaning_that_does_not_go_with_its_field_is_refused() {
    for (wrong, said) in [
        (
            "{name: a, type: list, role: value, doc: A., item: {name: b, type: string, doc: B.}}",
            "`a` has a `role` and is not a column",
        ),
        ("{name: a, type: string, holds: events, doc: A.}", "`a` has `holds` and is not a list"),
        ("{name: a, type: string, events: {opens: o}, doc: A.}", "`events` of `a` needs another `role`"),
        ("{name: a, type: integer, role: value, free_text: [1], doc: A.}", "`free_text` of `a` needs another `role`"),
    ] {
        let text = SIXTH.replace("columns:", &format!("columns:\n  - {wrong}"));
        let refused = embedded().with_file("sixth.yaml", &text).map(|_| ()).expect_err(wrong);
        assert_eq!(refused.to_string(), format!("sixth.yaml: {said}"));
    }
}

#[test]
fn a_reference_to_what_is_not_there_is_refused() {
    let text = SIXTH.replace("type: id, required: true", "type: id, refers: things.id, required: true");
    let refused = Catalog::from_files([("sixth.yaml", text.as_str())]).map(|_| ()).expect_err("no such table");
    assert_eq!(refused.to_string(), "sixth.yaml: `refers` names things.id, which does not exist");
}

const SIXTH: &str = "
report: sixth
operation: getSixth
doc: A sixth report.
path: /sixth
scope: contact_data
rows: things
key: [thing_id]
columns:
  - {name: thing_id, type: id, required: true, doc: Id.}
";

#[test]
fn a_report_is_one_file() {
    let catalog = embedded().with_file("sixth.yaml", SIXTH).expect("a sixth report");
    assert_eq!(catalog.get("sixth").map(|report| report.tables().len()), Some(1));
    assert_eq!(catalog.reports().count(), embedded().reports().count() + 1);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let wrong = |from: &str, to: &str| {
        let text = SIXTH.replace(from, to);
        assert_ne!(text, SIXTH, "the test replaces nothing");
        embedded().with_file("sixth.yaml", &text).map(|_| ()).expect_err(to).to_string()
    };
    let errors = [
        wrong("scope:", "scop:"),
        wrong("report: sixth", "report: seventh"),
        wrong("[thing_id]", "[other_id]"),
        wrong("/sixth", "/sixth/{id}"),
        wrong("columns:", "columns:\n  - {name: _mine, type: id, doc: x}"),
        wrong("columns:", "columns:\n  - {name: things, type: list, doc: x}"),
        wrong(
            "columns:",
            "columns:\n  - {name: o, type: object, doc: x, fields: [{name: f, type: id, required: true, doc: x}]}",
        ),
        wrong("columns:", "options: [{name: a, kind: value, params: [b], doc: x}]\ncolumns:"),
    ];
    insta::assert_snapshot!(errors.join("\n---\n"));
}
