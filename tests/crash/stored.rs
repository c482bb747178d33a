//! What a destination holds, read as any reader would, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ctct_catalog::Table;
use ctct_pipeline::after_run::RUNS_TABLE;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::account::{Keys, Older, REPORTS};
use crate::tables::{Row, rows_in};
use crate::truth::{Tables, comparable};

/// Files by path.
pub(crate) type Files = BTreeMap<String, Bytes>;

/// A destination as it was at one moment.
pub(crate) struct Stored {
    files: Files,
    /// The rows of each table with the folder of each, as a reader has them that globs the table's folder.
    tables: BTreeMap<&'static str, Vec<(String, Row)>>,
}

impl Stored {
    /// Reads every table. A file that is no whole Parquet file is the end of the test.
    pub(crate) fn new(files: Files) -> Self {
        let tables = REPORTS.values().copied().flatten();
        let tables = tables.map(|table| (table.name.as_str(), rows(&files, &table.name))).collect();
        Self { files, tables }
    }

    /// The rows of a table, each with its folder.
    pub(crate) fn rows(&self, table: &str) -> &[(String, Row)] {
        &self.tables[table]
    }

    /// The commit records of a report, oldest first.
    pub(crate) fn records(&self, report: &str) -> Vec<Value> {
        let start = format!("_ctct/acme/{report}/commits/");
        // A file that is being written has another ending.
        let is_json = |path: &str| std::path::Path::new(path).extension().is_some_and(|extension| extension == "json");
        let records = self.files.iter().filter(|(path, _)| path.starts_with(&start) && is_json(path));
        records.map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect()
    }

    /// How many commits a report has.
    pub(crate) fn version(&self, report: &str) -> i64 {
        self.records(report).last().map_or(0, |record| record["version"].as_i64().unwrap())
    }

    /// At any moment, a crash not yet mended too: no partition holds a row twice.
    pub(crate) fn holds_no_row_twice(&self, keys: Keys, when: &str) {
        for (report, tables) in REPORTS.iter() {
            for table in *tables {
                let mut seen = BTreeSet::new();
                for (folder, row) in self.rows(&table.name) {
                    let version = match keys.older(report) {
                        Older::Gone => None,
                        Older::ByCommit => row.get("_commit"),
                        // Of the versions without an end there is one.
                        Older::BySpan => row.get("_valid_to"),
                    };
                    let key: Vec<Option<&Value>> = table.key.iter().map(|column| row.get(column)).collect();
                    let row = format!("{folder} {version:?} {key:?}");
                    assert!(!seen.contains(&row), "{when}: {} has a row twice: {row}", table.name);
                    seen.insert(row);
                }
            }
        }
    }

    /// Once all is well again: the newest versions are the truth, every file is as its record says, and there is nothing
    /// else.
    pub(crate) fn is_true(&self, truth: &Tables, keys: Keys, when: &str) {
        self.holds_no_row_twice(keys, when);
        self.is_recorded(when);
        for (report, tables) in REPORTS.iter() {
            for table in *tables {
                let found = comparable(&self.current(report, table, keys));
                let expected = comparable(&truth[&table.name]);
                assert!(found == expected, "{when}: {}: {}", table.name, difference(&found, &expected));
            }
        }
    }

    /// The newest versions of a table's rows, without the columns that the account does not know.
    fn current(&self, report: &str, table: &Table, keys: Keys) -> Vec<Row> {
        let parent = &REPORTS[report][0];
        let rows = self.rows(&table.name).iter().map(|(_, row)| row.clone());
        let older = keys.older(report);
        if older != Older::ByCommit {
            let current = rows.filter(|row| older == Older::Gone || !row.contains_key("_valid_to"));
            let known = |row: Row| row.into_iter().filter(|(column, _)| column != "_valid_from").collect();
            return current.map(known).collect();
        }
        let key_of = |row: &Row| {
            parent.key.iter().map(|column| row.get(column).unwrap_or(&Value::Null).to_string()).collect::<Vec<_>>()
        };
        let mut newest = BTreeMap::new();
        for (_, row) in self.rows(&parent.name) {
            let commit = newest.entry(key_of(row)).or_insert(0);
            *commit = row["_commit"].as_i64().unwrap().max(*commit);
        }
        rows.filter(|row| newest.get(&key_of(row)) == row["_commit"].as_i64().as_ref()).collect()
    }

    /// Every version of every row of a report, with its partition and commit, sorted.
    pub(crate) fn versions(&self, report: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for table in REPORTS[report] {
            for (folder, row) in self.rows(&table.name) {
                let commit = &row["_commit"];
                lines.push(format!("{folder} {commit} {}", comparable(std::slice::from_ref(row))[0]));
            }
        }
        lines.sort();
        lines
    }

    /// Every file is one that a commit record names, with the size and the hash that it says, and every record's files are
    /// there unless a later one took them away.
    fn is_recorded(&self, when: &str) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut expected: BTreeMap<String, Option<(u64, String)>> =
            BTreeMap::from([("_ctct/.probe/created".to_owned(), None)]);
        for report in REPORTS.keys() {
            let records = self.records(report);
            let facts = |file: &Value| Some((file["bytes"].as_u64().unwrap(), text(&file["sha256"])));
            // Each commit's takes the place of the last one's.
            for state in ["seen", "manifest"] {
                if let Some(file) = records.last().map(|record| &record[state]).filter(|file| !file.is_null()) {
                    expected.insert(text(&file["path"]), facts(file));
                }
            }
            for record in records {
                for removed in record["removed"].as_array().unwrap() {
                    expected.remove(removed.as_str().unwrap());
                }
                for file in record["files"].as_array().unwrap() {
                    expected.insert(text(&file["path"]), facts(file));
                }
                if let Some(letters) = record["dead_letters"].as_object() {
                    expected.insert(text(&letters["path"]), None);
                }
                let version = record["version"].as_i64().unwrap();
                expected.insert(format!("_ctct/acme/{report}/commits/{version:020}.json"), None);
            }
        }
        // How runs went stands in files that no record names. Each is whole, and no report's run is in two.
        let (mut runs, mut told) = (0, BTreeSet::new());
        for (folder, row) in rows(&self.files, RUNS_TABLE) {
            assert_eq!(folder, format!("{RUNS_TABLE}/account=acme"), "{when}");
            told.insert((row["run_id"].to_string(), row["report"].to_string()));
            runs += 1;
        }
        assert_eq!(runs, told.len(), "{when}: a run is told twice");
        let told = |path: &str| path.starts_with(RUNS_TABLE) && path.ends_with(".parquet");
        // Of their joins the last record stays, and an older one where a run died in front of its removal.
        let joins = |path: &str| path.starts_with("_ctct/.runs/acme/") && path.ends_with(".parquet");
        let many = self.files.keys().filter(|path| joins(path)).count();
        assert!(many <= 2, "{when}: {many} records of joined runs");
        let raw = |path: &str| path.starts_with("_ctct/") && path.split('/').nth(3) == Some("raw");
        // A lease spares requests and proves nothing; what it leaves does not grow with the runs.
        let leased = |path: &str| path.starts_with("_ctct/.leases/");
        let many = self.files.keys().filter(|path| leased(path)).count();
        assert!(many < 20, "{when}: {many} leases");
        for (path, bytes) in
            self.files.iter().filter(|(path, _)| !raw(path) && !told(path) && !joins(path) && !leased(path))
        {
            let facts = expected.remove(path).unwrap_or_else(|| panic!("{when}: `{path}` was left behind"));
            if let Some((size, hash)) = facts {
                assert_eq!(size, bytes.len() as u64, "{when}: size of {path}");
                let found: String =
                    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
                assert_eq!(hash, found, "{when}: hash of {path}");
            }
        }
        assert!(expected.is_empty(), "{when}: these are gone: {:?}", expected.keys());
    }
}

fn rows(files: &Files, table: &str) -> Vec<(String, Row)> {
    let start = format!("{table}/");
    let files = files.iter().filter(|(path, _)| path.starts_with(&start) && path.ends_with(".parquet"));
    files
        .flat_map(|(path, bytes)| {
            let folder = path.rsplit_once('/').unwrap().0;
            rows_in(bytes.clone()).into_iter().map(move |row| (folder.to_owned(), row))
        })
        .collect()
}

/// What one has and the other has not: how many lines, and the first of them.
pub(crate) fn difference(found: &[String], expected: &[String]) -> String {
    let lacks = |these: &[String], those: &[String]| {
        let mut those: Vec<&String> = those.iter().collect();
        let mut left = Vec::new();
        for line in these {
            match those.iter().position(|other| *other == line) {
                Some(at) => drop(those.remove(at)),
                None => left.push(line.clone()),
            }
        }
        left
    };
    let (extra, missing) = (lacks(found, expected), lacks(expected, found));
    let shown = |lines: &[String]| lines.iter().take(3).cloned().collect::<Vec<_>>().join("\n  ");
    format!("{} too many:\n  {}\n{} missing:\n  {}", extra.len(), shown(&extra), missing.len(), shown(&missing))
}
