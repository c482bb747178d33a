//! The YAML that the book and the README show is what the loader takes, and what they say of exit codes is what there is.

use std::fs;

use ctct_catalog::Catalog;
use ctct_pipeline::{Environment, Outcome, Pipeline};

use super::page::split;
use super::{pages, read, root};

/// The keys that a pipeline must have, for examples that show others.
const NEEDED: [(&str, &str); 5] = [
    ("version:", "version: 1\n"),
    ("name:", "name: example\n"),
    ("source:", "source: {account: acme}\n"),
    ("destination:", "destination: {url: ./data}\n"),
    ("reports:", "reports: [{report: contacts, write_mode: merge}]\n"),
];

/// An example made whole; nothing where it is no part of a pipeline.
fn pipeline(example: &str) -> Option<String> {
    let keys: Vec<&str> = example.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase())).collect();
    let is_ours = keys.iter().any(|key| NEEDED[2..].iter().any(|(needed, _)| key.starts_with(needed)));
    let missing = NEEDED.iter().filter(|(needed, _)| !keys.iter().any(|key| key.starts_with(needed)));
    is_ours.then(|| missing.map(|(_, text)| *text).collect::<String>() + example)
}

#[test]
fn every_example_of_a_pipeline_is_one() {
    let catalog = Catalog::embedded().unwrap();
    let environment: Environment = [("NAME", "x".to_owned())].into_iter().collect();
    let readme = ("README.md".to_owned(), fs::read_to_string(root().join("README.md")).unwrap());
    let all = pages().into_iter().map(|page| (format!("docs/{page}"), read(&page))).chain([readme]);
    let (mut tried, mut wrong) = (0, Vec::new());
    for (name, text) in all {
        for block in split(&text).0.iter().filter(|block| block.language == "yaml") {
            let Some(text) = pipeline(&block.text) else { continue };
            tried += 1;
            if let Err(errors) = Pipeline::parse(&text, "example.yaml", &catalog, &environment) {
                wrong.push(format!("{name}:{}: {}", block.line, errors.render(false)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried >= 4, "only {tried} examples were found");
}

#[test]
fn every_exit_code_is_documented() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let line = readme.lines().find(|line| line.starts_with("Exit codes: ")).expect("a line of exit codes in README.md");
    for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::Done) {
        let code = outcome.policy().exit_code;
        assert!(line.contains(&format!("`{code}` ")), "README.md says nothing of {code}, {outcome}");
        for page in ["reference/exit-codes.md", "how-to/recover.md"] {
            assert!(read(page).contains(&format!("\n| {code} | ")), "{page} says nothing of {code}, {outcome}");
        }
    }
}

/// The README's picture of a run is from a real one; it lists the tables that the demo still writes.
#[test]
fn the_run_in_the_readme_lists_the_tables_of_the_demo() {
    let catalog = Catalog::embedded().unwrap();
    let demo = fs::read_to_string(root().join("pipelines/demo.yaml")).unwrap();
    let names = demo.lines().filter_map(|line| line.trim().strip_prefix("- report: "));
    let written: Vec<String> =
        names.flat_map(|name| catalog.get(name).unwrap().tables()).map(|table| table.name.clone()).collect();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("│ ")).skip(1);
    let shown: Vec<&str> = rows.filter_map(|row| row.split_whitespace().next()).collect();
    assert_eq!(shown, written, "run the demo and paste what it prints");
}
