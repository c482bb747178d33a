//! The SQL as text. That it runs, and what it gives, is shown in the engines, by `tests/readers`.

use std::sync::LazyLock;

use ctct_catalog::{Catalog, ValueType};
use ctct_pipeline::{Environment, Pipeline};

use super::custom_fields::Definition;
use super::*;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap());

const WHOLE: &str = "
version: 1
name: acme
source: {account: acme, access_token: {env: TOKEN}}
destination: {url: /data/acme}
reports:
  - {report: contacts, write_mode: append, partition_by: [{month: created_at}, {bucket: {column: contact_id, count: 4}}]}
  - {report: contact_lists, write_mode: replace}
  - {report: contact_custom_fields, write_mode: merge, history: true}
  - {report: email_campaigns, write_mode: merge}
  - report: contact_activity_details
    contact_id: {from: contacts}
    write_mode: partition
    partition_by: tracking_activity_type
";

fn pipeline(text: &str) -> Pipeline {
    let environment: Environment = [("TOKEN", "x")].into_iter().collect();
    Pipeline::parse(text, "test.yaml", &Catalog::embedded().unwrap(), &environment)
        .unwrap_or_else(|errors| panic!("{}", errors.render(false)))
}

fn field(id: &str, label: &str, kind: &str) -> Definition {
    let [label, kind] = [label, kind].map(|text| Some(text.to_owned()));
    Definition {
        account: "acme".to_owned(),
        id: id.to_owned(),
        label,
        value_type: value_type(kind.as_deref()),
        kind,
        created_at: Some(1),
    }
}

fn value_type(kind: Option<&str>) -> Option<ValueType> {
    CATALOG.holding(Subject::CustomFields).unwrap().value_type(kind?, Some(2))
}

/// The views of a pipeline all of whose tables have files.
fn views(pipeline: &Pipeline, fields: Vec<Definition>) -> Views<'_> {
    let reports: Vec<&ReportConfig> = pipeline.reports.iter().collect();
    let tables = reports.iter().flat_map(|config| config.report.tables());
    let stored = tables.map(|table| table.name.clone()).collect();
    Views { catalog: &CATALOG, reports, stored, fields, account_column: false }
}

fn some_fields() -> Vec<Definition> {
    vec![
        field("1618ae62-4752-11e9-9c8a-fa163e6b01c1", "T-shirt size", "single_select"),
        field("2618ae62-4752-11e9-9c8a-fa163e6b01c1", "Member since", "date"),
        field("3618ae62-4752-11e9-9c8a-fa163e6b01c1", "Interests", "multi_select"),
        field("4618ae62-4752-11e9-9c8a-fa163e6b01c1", "First name", "string"),
    ]
}

/// The statements that make a thing whose name has this in it, and those of the script without a name.
fn about(sql: &str, name: &str) -> String {
    sql.split("\n\n").filter(|statement| statement.contains(name)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn a_whole_pipeline_for_duckdb() {
    let pipeline = pipeline(WHOLE);
    let sql = views(&pipeline, some_fields()).sql(Dialect::DuckDb, None, "/data/acme");
    insta::assert_snapshot!(sql);
}

#[test]
fn a_whole_pipeline_for_spark() {
    let pipeline = pipeline(WHOLE);
    let sql = views(&pipeline, some_fields()).sql(Dialect::Spark, None, "/data/acme");
    insta::assert_snapshot!(sql);
}

#[test]
fn with_a_schema_spark_has_tables_that_stay() {
    let pipeline = pipeline(WHOLE);
    let sql = views(&pipeline, some_fields()).sql(Dialect::Spark, Some("acme"), "s3://bucket/acme/");
    insta::assert_snapshot!(about(&sql, "email_campaigns"));
    assert!(sql.contains("CREATE SCHEMA IF NOT EXISTS `acme`;"));
    assert!(!sql.contains("TEMPORARY"));
}

#[test]
fn each_statement_ends_where_a_line_does_and_nothing_else_does() {
    let hostile = "x'; DROP TABLE contacts;\n\\'; DROP TABLE contacts; -- ${env:HOME} \" ` \u{2028}";
    let pipeline = pipeline(WHOLE);
    let views = views(&pipeline, vec![field("a'b\\c;${x}", hostile, hostile)]);
    for dialect in [Dialect::DuckDb, Dialect::Spark] {
        let sql = views.sql(dialect, Some("a\"b`c;d"), "/data/o'hara/");
        let starts = ["CREATE", "COMMENT", "--", "DROP TABLE IF EXISTS", "MSCK REPAIR TABLE"];
        for statement in sql.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            assert!(starts.iter().any(|start| statement.starts_with(start)), "{statement}");
        }
        assert!(!sql.lines().any(|line| line.trim_start().starts_with("DROP TABLE contacts")), "{sql}");
        assert!(dialect == Dialect::DuckDb || !sql.contains("${"), "Spark would put a variable in its place");
    }
}

#[test]
fn a_table_without_a_file_has_an_empty_view() {
    let pipeline = pipeline(WHOLE);
    let views = Views { stored: BTreeSet::new(), ..views(&pipeline, Vec::new()) };
    for dialect in [Dialect::DuckDb, Dialect::Spark] {
        let sql = views.sql(dialect, None, "/data/acme");
        assert!(!sql.contains("read_parquet") && !sql.contains("USING parquet"), "{sql}");
        insta::assert_snapshot!(format!("without_files_{}", dialect.word()), about(&sql, "contacts_taggings"));
    }
    let reports: Vec<&str> = pipeline.reports.iter().map(|config| config.report.name.as_str()).collect();
    assert_eq!(views.missing(), reports, "a report stands for all of its tables");
}

#[test]
fn counts_stand_in_for_events_that_a_pipeline_does_not_read() {
    let text = WHOLE.split("  - report: contact_activity_details").next().unwrap().to_owned()
        + "  - {report: contact_action_summary, contact_id: {from: contacts}, duration: single_date, report_date: 2026-01-01}\n";
    let pipeline = pipeline(&text);
    let sql = views(&pipeline, Vec::new()).sql(Dialect::DuckDb, None, "/data/acme");
    insta::assert_snapshot!(about(&sql, "engagement_per_"));
}

#[test]
fn without_reports_of_engagement_there_are_no_such_views() {
    let text = WHOLE.split("  - report: contact_activity_details").next().unwrap();
    let pipeline = pipeline(text);
    assert!(!views(&pipeline, Vec::new()).sql(Dialect::Spark, None, "/data/acme").contains("engagement"));
}

#[test]
fn no_table_has_a_column_that_the_views_add() {
    for report in Catalog::embedded().unwrap().reports() {
        for table in report.tables() {
            for name in [table::ACCOUNT, table::IS_DELETED, script::AS_OF, "_rank"] {
                assert!(table.schema.field_with_name(name).is_err(), "{}: {name}", table.name);
            }
        }
    }
}
