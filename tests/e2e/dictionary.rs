//! The data dictionary, and the tables as SQL: what `ctct-etl schema` makes of the catalogue and of a pipeline.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ctct_catalog::Catalog;
use tempfile::TempDir;

use crate::program::run;

/// Set, the test writes what it would otherwise compare with.
const RENEW: &str = "UPDATE_TABLES";
/// Around the overview in the page that explains the tables.
const BEGIN: &str = "<!-- made by `ctct-etl schema --format markdown` -->\n";
const END: &str = "<!-- until here -->\n";

fn docs(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page)
}

fn printed(arguments: &[&str]) -> String {
    let said = run(Path::new("."), &[&["schema"], arguments].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    said.stdout
}

/// Compares a page with what it must be, or writes it.
fn assert_fresh(page: &str, text: &str) {
    let path = docs(page);
    if env::var_os(RENEW).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    let command = format!("{RENEW}=1 cargo test -p ctct-tests --test e2e dictionary");
    assert!(there == text, "docs/{page} is not what the catalog says; renew it with `{command}`");
}

#[test]
fn every_report_has_a_page_that_says_what_the_catalogue_says() {
    let catalog = Catalog::embedded().unwrap();
    let mut pages = BTreeSet::new();
    for report in catalog.reports() {
        let text = printed(&["--report", &report.name, "--format", "markdown"]);
        pages.insert(format!("{}.md", report.name));
        assert_fresh(&format!("tables/{}.md", report.name), &text);
    }
    let there = fs::read_dir(docs("tables")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), pages);
}

#[test]
fn the_overview_names_every_table_and_reference() {
    let all = printed(&["--format", "markdown"]);
    let overview = all.strip_prefix("# Tables\n\n").unwrap().split("\n\n# ").next().unwrap();
    let tables = Catalog::embedded().unwrap().reports().map(|report| report.tables().len()).sum::<usize>();
    assert_eq!(all.matches("\n## Table `").count(), tables);
    let page = fs::read_to_string(docs("reference/tables.md")).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    assert_fresh("reference/tables.md", &format!("{before}{BEGIN}\n{overview}\n\n{END}{after}"));
}

/// Every write mode, and every kind of folder.
const PIPELINE: &str = "
version: 1
name: shop
description: What the shop knows of its customers
source: {sandbox: {}}
destination: {url: ./the shop's}
reports:
  - report: contact_custom_fields
    write_mode: merge
    history: true
    partition_by: [{year: created_at}, {bucket: {column: custom_field_id, count: 4}}]
  - report: email_campaigns
    partition_by: [{month: created_at}, {day: updated_at}, type]
  - {report: segments, write_mode: replace}
";

fn of_pipeline(arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.yaml"), PIPELINE).unwrap();
    let said = run(folder.path(), &[&["schema", "p.yaml"], arguments].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    said.stdout.replace(folder.path().canonicalize().unwrap().to_str().unwrap(), "/home/shop")
}

#[test]
fn a_pipeline_is_told_with_its_folders_and_the_columns_of_its_write_mode() {
    for (name, arguments) in [
        ("ddl_of_duckdb", &["--format", "ddl"][..]),
        ("ddl_of_spark", &["--dialect", "spark"]),
        ("markdown", &["--report", "contact_custom_fields", "--format", "markdown"]),
        ("json", &["--report", "contact_custom_fields", "--format", "json"]),
    ] {
        insta::assert_snapshot!(name, of_pipeline(arguments));
    }
}

#[test]
fn the_older_name_of_the_format_still_holds() {
    assert_eq!(printed(&["--output", "json"]), printed(&["--format", "json"]));
}
