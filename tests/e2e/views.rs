//! `ctct-etl views`: the SQL of a small pipeline as a user gets it, and what is said where there is none. That engines take the
//! SQL, and what it gives, is shown by `tests/readers`.

use std::fs;

use tempfile::TempDir;

use crate::program::{self, Said};

/// One report that is put in place, one that keeps every version in rows, one that keeps spans.
const PIPELINE: &str = "version: 1
name: shop
source: {account: acme, access_token: {env: NOWHERE}, base_url: 'http://127.0.0.1:9/v3'}
destination: {url: ./the shop's}
reports:
  - {report: contact_lists, write_mode: replace}
  - {report: email_campaigns, write_mode: append, partition_by: {month: created_at}}
  - {report: contact_tags, write_mode: merge, history: true, partition_by: {bucket: {column: tag_id, count: 4}}}
";

/// The same reports, from an API that is there.
fn runnable() -> String {
    let source = "source: {account: acme, sandbox: {contacts: 20, seed: 7, today: 2026-03-01}}";
    PIPELINE.replace(PIPELINE.lines().nth(2).unwrap(), source)
}

/// A folder in which the pipeline was run.
fn shop() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("run.yaml"), runnable()).unwrap();
    fs::write(folder.path().join("shop.yaml"), PIPELINE).unwrap();
    let run = program::run(folder.path(), &["run", "run.yaml", "--quiet"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    folder
}

fn views(folder: &TempDir, arguments: &[&str]) -> Said {
    program::run(folder.path(), &[&["views"], arguments].concat())
}

fn portable(folder: &TempDir, text: &str) -> String {
    let text = text.replace(folder.path().canonicalize().unwrap().to_str().unwrap(), "/home/shop");
    text.replace("ctct-etl-under-test", "ctct-etl")
}

/// Every path below a folder with its length.
fn everything_in(folder: &TempDir) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.path().to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let (path, length) = entry.map(|entry| (entry.path(), entry.metadata().unwrap().len())).unwrap();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.to_str().unwrap().to_owned(), length));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_sql_of_a_small_pipeline() {
    let folder = shop();
    let before = everything_in(&folder);
    for (name, arguments) in [
        ("views_duckdb", &["--dialect", "duckdb"][..]),
        ("views_spark", &["--dialect", "spark"]),
        ("views_spark_that_stay", &["--dialect", "spark", "--schema", "the shop`s", "--report", "contact_tags"]),
        ("views_elsewhere", &["--dialect", "duckdb", "--location", "s3://lake/shop/", "--report", "contact_lists"]),
    ] {
        // Neither a token nor an API is there, and neither is needed.
        let said = views(&folder, &[&["shop.yaml"], arguments].concat());
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{name}");
        insta::with_settings!({omit_expression => true}, {
            insta::assert_snapshot!(name, portable(&folder, &said.stdout));
        });
    }
    assert_eq!(everything_in(&folder), before, "nothing is written");
}

#[test]
fn views_of_what_is_not_stored_say_so_and_how_to_have_it() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("shop.yaml"), PIPELINE).unwrap();
    let said = views(&folder, &["shop.yaml", "--dialect", "spark"]);
    assert_eq!(said.code, Some(0));
    insta::assert_snapshot!(portable(&folder, &said.stderr), @r"
    note: contact_lists, email_campaigns, contact_tags not stored yet in /home/shop/the shop's: the views are empty
    help: ctct-etl run shop.yaml, then ctct-etl views shop.yaml --dialect spark again
    ");
    let sql = said.stdout;
    assert!(
        sql.contains("\n-- Not stored yet, so these views are empty until they are created again: contact_lists, "),
        "{sql}"
    );
    assert!(!folder.path().join("the shop's").exists(), "looking makes no folder");
    let quiet = views(&folder, &["shop.yaml", "--dialect", "spark", "--quiet"]);
    assert_eq!((quiet.stderr.as_str(), quiet.stdout), ("", sql));
}

#[test]
fn contacts_without_definitions_of_their_fields_say_how_to_have_names() {
    let folder = TempDir::new().unwrap();
    let text = runnable().split("  - ").next().unwrap().to_owned() + "  - {report: contacts, write_mode: replace}\n";
    fs::write(folder.path().join("shop.yaml"), text).unwrap();
    assert_eq!(program::run(folder.path(), &["run", "shop.yaml", "--quiet"]).code, Some(0));
    let said = views(&folder, &["shop.yaml", "--dialect", "duckdb"]);
    insta::assert_snapshot!(said.stderr, @r"
    note: columns of custom fields are named by ids, because the names of the fields are not stored
    help: add the report contact_custom_fields to shop.yaml, then ctct-etl run shop.yaml
    ");
    assert!(said.stdout.contains("AS \"custom_field_"), "{}", said.stdout);
}

#[test]
fn every_wrong_use_ends_with_its_exit_code_and_says_what_would_be_right() {
    let folder = shop();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("memory.yaml", PIPELINE.replace("./the shop's", "memory://shop"));
    write("mistake.yaml", PIPELINE.replace("write_mode: replace", "write_mode: replaces"));
    fs::write(folder.path().join("a file"), "no folder").unwrap();
    write("file.yaml", PIPELINE.replace("./the shop's", "./a file"));
    let told = [
        &["shop.yaml"][..],
        &["shop.yaml", "--dialect", "oracle"],
        &["shop.yaml", "--dialect", "duckdb", "--report", "contact_list"],
        &["shop.yaml", "--dialect", "duckdb", "--schema", ""],
        &["shop.yaml", "--dialect", "duckdb", "--location", ""],
        &["absent.yaml", "--dialect", "duckdb"],
        &["mistake.yaml", "--dialect", "duckdb"],
        &["memory.yaml", "--dialect", "duckdb"],
        &["file.yaml", "--dialect", "duckdb"],
    ];
    let told = told.map(|arguments| {
        let said = views(&folder, arguments);
        assert_eq!(said.stdout, "", "{arguments:?}: stdout carries SQL or nothing");
        format!("$ ctct-etl views {}\nexit code {}\n{}", arguments.join(" "), said.code.unwrap(), said.stderr)
    });
    insta::with_settings!({omit_expression => true}, {
        insta::assert_snapshot!("views_refused", portable(&folder, &told.join("\n")));
    });
}

#[test]
fn definitions_that_cannot_be_read_end_the_command_as_damage() {
    let folder = TempDir::new().unwrap();
    let text = runnable().split("  - ").next().unwrap().to_owned()
        + "  - {report: contacts, write_mode: replace}\n  - {report: contact_custom_fields, write_mode: replace}\n";
    fs::write(folder.path().join("shop.yaml"), text).unwrap();
    assert_eq!(program::run(folder.path(), &["run", "shop.yaml", "--quiet"]).code, Some(0));
    let files = folder.path().join("the shop's/contact_custom_fields/account=acme");
    for entry in fs::read_dir(files).unwrap() {
        fs::write(entry.unwrap().path(), "no Parquet").unwrap();
    }
    let said = views(&folder, &["shop.yaml", "--dialect", "duckdb"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(15), ""), "{}", said.stderr);
    assert!(said.stderr.starts_with("error: contact_custom_fields: "), "{}", said.stderr);
    assert!(said.stderr.contains("\nhelp: "), "{}", said.stderr);
}
