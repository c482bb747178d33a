//! Page bytes to Arrow record batches, one per table of the report: pure and synchronous, no I/O and no clock.
//!
//! ```text
//! body --arrow-json--> tape --object--> one struct array --flatten--> a batch per table
//!                               |                         |
//!                        _extra, _misfit             dead letters (records without a key leave)
//! ```
//!
//! Start at [`PageDecoder`]: [`PageInput`] goes in, [`DecodedPage`] comes out. The steps, in the order of the modules:
//!
//! 1. `wire` makes the shape of a page from the catalog's report, once.
//! 2. `arrow-json` reads the body into its tape. `object` turns each JSON object of the tape into a row of a
//!    struct array with the final types (`values`, `timestamp`, `number`). What has no column, because the catalog does
//!    not know it or because it does not fit, becomes the struct's `_extra` column (`extra`); a record or an element that
//!    cannot be a row leaves a mark in the `_misfit` column. So both stay with their row through everything that follows.
//!    Where the body cannot be read because some text in it is not Unicode, `repair` puts U+FFFD there first.
//! 3. `dead_letter` takes out the records without a usable key, with the reason and their raw text.
//! 4. `flatten` splices nested objects into columns and makes a child table of each list by its offsets and `take`,
//!    never a row at a time.
//!
//! A [`PageDecoder`] is shared by threads: callers decode pages side by side. Within a page nothing runs in parallel.
//! Of the 2.5 ms that 500 contacts with all their lists were measured to take, flattening is 0.1 ms; the rest is
//! arrow-json's tape and the objects on it, one after the other.
//!
//! This crate never drops a value that the API sent, and knows no HTTP. No error and no reason of a dead letter holds a value
//! of a cell; the record of a [`DeadLetter`] does, and goes to storage only.

mod dead_letter;
mod error;
mod extra;
mod flatten;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod meaning;
mod number;
mod object;
mod occurrence;
mod page;
mod repair;
mod timestamp;
mod values;
mod wire;

use std::collections::BTreeMap;
use std::fmt;

use arrow_array::{RecordBatch, UInt32Array};
use chrono::{DateTime, Utc};

pub use error::TransformError;
pub use meaning::{Fit, fitting};
pub use occurrence::Occurrences;
pub use page::PageDecoder;
pub use timestamp::parse_timestamp;

/// One page, as extract hands it over.
#[derive(Clone, Copy)]
pub struct PageInput<'a> {
    /// The response's body, decompressed.
    pub body: &'a [u8],
    /// All request parameters by name: the values of columns that the catalog declares `bound`, and which sub-resources
    /// were asked for.
    pub bound: &'a [(String, String)],
    /// When the response arrived; becomes `_extracted_at`.
    pub extracted_at: DateTime<Utc>,
    /// Version of the commit that will bring the rows; becomes `_commit`.
    pub commit: i64,
}

/// What a page holds.
#[derive(Debug, Clone)]
pub struct DecodedPage {
    /// One entry per table of the report, in the order and with the schemas of [`ctct_catalog::Report::tables`].
    pub tables: Vec<TableRows>,
    /// Records without a usable key, in the order of the page. None of their rows is in `tables`.
    pub dead_letters: Vec<DeadLetter>,
    /// What did not go as the catalog says, as dotted paths (`email_address.foo`), with the number of objects that had
    /// it among the rows that landed: keys that the catalog does not know, values that do not fit their column, list
    /// elements that make no row (the list's path), text that is not Unicode. Keys of the envelope count 1.
    pub drift: BTreeMap<String, u64>,
}

/// The rows of one table.
#[derive(Clone)]
pub struct TableRows {
    /// The rows, with exactly the table's schema.
    pub batch: RecordBatch,
    /// For a child table: the row of the report's own table, the first of the page's tables, that each row belongs
    /// to. `None` for that table itself.
    pub parent_rows: Option<UInt32Array>,
    /// For a child table: rows of the report's own table, ascending, whose list of this table was asked for and did not come
    /// as a list, so that nothing is known of its elements.
    pub absent: Vec<u32>,
}

/// A record without a usable key.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position in the page, from 0.
    pub index: usize,
    /// The field that is missing or unusable, and why: `contact_id: not a single value`. Never a value.
    pub reason: String,
    /// The record's JSON as the API sent it, with U+FFFD in place of what is not Unicode. Personal data.
    pub record: String,
    /// The latest of its instants of change ([`ctct_catalog::Report::changed_columns`]), as far as they can be read.
    pub changed_at: Option<DateTime<Utc>>,
}

// Rows, records and parameters are personal data: `Debug` tells sizes and reasons.

impl fmt::Debug for PageInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageInput")
            .field("bytes", &self.body.len())
            .field("commit", &self.commit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TableRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableRows").field("rows", &self.batch.num_rows()).finish_non_exhaustive()
    }
}

impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, reason, record: _, changed_at: _ } = self;
        f.debug_struct("DeadLetter").field("index", index).field("reason", reason).finish_non_exhaustive()
    }
}
