//! Files against the records that name them, and against the catalog.

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::{DataType, Field};
use ctct_catalog::Report;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use super::{CheckedFile, CheckedTable, CheckedTables, Finding, Fix, Verified, VerifiedTable};
use crate::destination::checksum;
use crate::error::LoadError;
use crate::files::footer::{self, own};
use crate::files::stored_schema::stored_schema;
use crate::log::ReportLog;
use crate::log::file_names::{Named, NamedFiles};
use crate::log::inventory::{Listing, partition_of, table_of};
use crate::log::manifest::Manifest;
use crate::log::owner::Owner;
use crate::log::record::Commit;

/// Files that are read at a time.
const AT_A_TIME: usize = 4;

/// Checks every file that a record names and every file that there is. Totals and findings go to `verified`; the files
/// that can be read further are returned.
pub(super) async fn check(
    log: &ReportLog,
    report: &Report,
    records: &[Commit],
    (head, manifest): (&Commit, Option<&Manifest>),
    listing: &Listing,
    verified: &mut Verified,
) -> Result<CheckedTables, LoadError> {
    let says = LogView { head, named: NamedFiles::by(records, manifest.map(Manifest::of_tables)) };
    let named = says.named.iter().map(|(path, _)| path);
    let paths: BTreeSet<String> = listing.iter().map(|(path, _)| path).chain(named).map(str::to_owned).collect();
    let results = paths.into_iter().map(|path| {
        let size = listing.size(&path);
        let says = &says;
        async move {
            let result = match size {
                Some(bytes) => check_file(log, report, says, &path, bytes).await,
                None => Ok(Err(says.missing(&path))),
            };
            result.map(|result| (path, result))
        }
    });
    let mut results = stream::iter(results).buffered(AT_A_TIME);
    let mut tables = CheckedTables::new();
    let mut totals: BTreeMap<String, VerifiedTable> = BTreeMap::new();
    while let Some((path, result)) = results.try_next().await? {
        let table = table_of(&path);
        let checked =
            tables.entry(table.clone()).or_insert_with(|| CheckedTable { complete: true, ..CheckedTable::default() });
        match result {
            Ok((file, hashed)) => {
                let total =
                    totals.entry(table.clone()).or_insert_with(|| VerifiedTable { table, ..Default::default() });
                total.files += 1;
                total.rows += file.rows;
                total.bytes += file.bytes;
                total.hashed += u64::from(hashed);
                checked.files.push(file);
            }
            Err((what, fix)) => {
                checked.complete = false;
                verified.findings.push(Finding { path: log.destination().shown(&path), what, fix });
            }
        }
    }
    let order = |table: &str| report.tables().iter().position(|known| known.name == table).unwrap_or(usize::MAX);
    verified.tables = totals.into_values().collect();
    verified.tables.sort_by_key(|table| order(&table.table));
    Ok(tables)
}

/// What the newest record and all of them say.
struct LogView<'a> {
    head: &'a Commit,
    named: NamedFiles<'a>,
}

/// What is wrong with a file, and how to repair it.
type Wrong = (String, Fix);

impl LogView<'_> {
    fn missing(&self, path: &str) -> Wrong {
        let version = self.named.get(path).map_or(self.head.version, |named| named.proof.commit);
        (format!("commit {version} wrote it, but it is missing"), Fix::Restore)
    }

    /// What is wrong with a file that is of this account by its footer, if it is none of the report's.
    fn foreign(&self, owner: &Owner) -> Result<(), Wrong> {
        match &owner.account {
            Some(account) if !self.head.identity.may_have(account) => {
                let own = self.head.identity.account.as_deref().unwrap_or_default();
                Err((format!("its rows are of the account {account}, and the last commit is of {own}"), Fix::Refresh))
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with a file whose footer has this version, if it is no file of the report's.
    fn stray(&self, path: &str, version: i64) -> Result<(), Wrong> {
        let head = self.head.version;
        if version > head {
            return Err((format!("it is of commit {version}, and the last commit is {head}"), Fix::Rebuild));
        }
        self.named.stray(path, version).map_or(Ok(()), |what| Err((what, Fix::Remove)))
    }
}

/// Checks one file; tells whether a record's checksum was there to compare with.
async fn check_file(
    log: &ReportLog,
    report: &Report,
    says: &LogView<'_>,
    path: &str,
    bytes: u64,
) -> Result<Result<(CheckedFile, bool), Wrong>, LoadError> {
    let destination = log.destination();
    let named = says.named.get(path);
    if let Some(Named { proof, .. }) = named {
        let version = proof.commit;
        if proof.bytes != bytes {
            let what = format!("it has {bytes} bytes, and commit {version} wrote {}", proof.bytes);
            return Ok(Err((what, Fix::Restore)));
        }
        match checksum::sha256(destination, path).await? {
            None => return Ok(Err(says.missing(path))),
            Some(sha256) if proof.sha256.as_ref().is_some_and(|expected| *expected != sha256) => {
                return Ok(Err((format!("its SHA-256 is not the one that commit {version} wrote"), Fix::Restore)));
            }
            Some(_) => {}
        }
    }
    let Some(footer) = footer::read(destination, path, bytes).await? else {
        let fix = if named.is_some() { Fix::Restore } else { Fix::Remove };
        return Ok(Err(("it is not a valid Parquet file".to_owned(), fix)));
    };
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or_default();
    let checked = own(log, path, &footer)
        .map_err(|what| (what, Fix::Remove))
        .and_then(|stamp| says.stray(path, stamp.commit).and_then(|()| says.foreign(&stamp.identity)))
        .and_then(|()| match named {
            Some(Named { proof, .. }) if proof.sha256.is_some() && proof.rows != rows => {
                let what = format!("it has {rows} rows, and commit {} wrote {}", proof.commit, proof.rows);
                Err((what, Fix::Restore))
            }
            _ => Ok(()),
        })
        .and_then(|()| schema(report, says.head, path, &footer).map_err(|what| (what, Fix::Refresh)));
    let hashed = named.is_some_and(|named| named.proof.sha256.is_some());
    Ok(checked.map(|()| (CheckedFile { path: path.to_owned(), bytes, rows }, hashed)))
}

/// Checks that a file has every column of its table, of the right type.
fn schema(report: &Report, head: &Commit, path: &str, footer: &ParquetMetaData) -> Result<(), String> {
    let Some(table) = report.tables().iter().find(|table| table.name == table_of(path)) else {
        // The catalog has forgotten the table: its files have the schema that they once had.
        return Ok(());
    };
    let metadata = footer.file_metadata();
    let found = parquet_to_arrow_schema(metadata.schema_descr(), metadata.key_value_metadata())
        .map_err(|error| format!("its schema cannot be read ({error})"))?;
    for expected in stored_schema(table, head.write_mode, head.history).fields() {
        let name = expected.name();
        match found.field_with_name(name) {
            // Hive has a partition's column in the folder.
            Err(_) if in_folder(path, name) => {}
            Err(_) => return Err(format!("it has no column `{name}`")),
            Ok(field) if plain(field) != plain(expected) => {
                let (is, should) = (plain(field), plain(expected));
                return Err(format!("its column `{name}` is {} and should be {}", in_words(&is), in_words(&should)));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn in_folder(path: &str, column: &str) -> bool {
    partition_of(path).split('/').any(|folder| folder.split_once('=').is_some_and(|(key, _)| key == column))
}

/// Type and nullability, with all kinds of strings as one.
fn plain(field: &Field) -> (DataType, bool) {
    let data_type = match field.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    };
    (data_type, field.is_nullable())
}

fn in_words((data_type, nullable): &(DataType, bool)) -> String {
    format!("{data_type}{}", if *nullable { "" } else { " not null" })
}
