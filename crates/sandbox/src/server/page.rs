//! One page of a collection, written straight into bytes.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::oddities::Oddities;
use super::query::Query;
use crate::config::{LastPage, SandboxConfig};
use crate::refusal::{self, Refusal};

/// A page that is being written.
pub(super) struct Page {
    bytes: Vec<u8>,
    rows: usize,
    oddities: Oddities,
}

impl Page {
    /// An empty page whose rows stand under this key.
    pub(super) fn new(key: &str, config: &SandboxConfig) -> Self {
        Self { bytes: format!("{{\"{key}\":[").into_bytes(), rows: 0, oddities: Oddities::new(config) }
    }

    /// An empty page that says whose it is before its rows.
    pub(super) fn with_id(id: &str, value: &str, key: &str, config: &SandboxConfig) -> Self {
        let bytes = format!("{{\"{id}\":\"{value}\",\"{key}\":[").into_bytes();
        Self { bytes, rows: 0, oddities: Oddities::new(config) }
    }

    /// Makes room for so many bytes more.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Writes one row.
    pub(super) fn push(&mut self, row: &impl Serialize) {
        if self.rows > 0 {
            self.bytes.push(b',');
        }
        self.rows += 1;
        let start = self.bytes.len();
        // Rows are structs of text and numbers, and a vector takes every byte.
        drop(serde_json::to_writer(&mut self.bytes, row));
        if let Some(odd) = self.oddities.of(self.bytes.get(start..).unwrap_or_default()) {
            self.bytes.truncate(start);
            self.bytes.extend(odd);
        }
    }

    /// Ends the page: with a count if there is one, and with a link to the next page or what stands for none.
    pub(super) fn finish(mut self, count: Option<(&str, u64)>, next: Option<&str>, last: LastPage) -> Response {
        self.bytes.push(b']');
        if let Some((key, count)) = count {
            self.bytes.extend(format!(",\"{key}\":{count}").into_bytes());
        }
        let links = match (next, last) {
            // A link is base64 behind a path: nothing in it needs an escape.
            (Some(next), _) => format!(",\"_links\":{{\"next\":{{\"href\":\"{next}\"}}}}"),
            (None, LastPage::Absent) => String::new(),
            (None, LastPage::Empty) => ",\"_links\":{}".to_owned(),
            (None, LastPage::NextNull) => ",\"_links\":{\"next\":null}".to_owned(),
            (None, LastPage::HrefNull) => ",\"_links\":{\"next\":{\"href\":null}}".to_owned(),
        };
        self.bytes.extend(links.into_bytes());
        self.bytes.push(b'}');
        refusal::bytes_of_json(StatusCode::OK, self.bytes)
    }
}

/// Where a page of a collection that fits in memory begins and what comes after it.
pub(super) struct Slice<'a, T> {
    pub(super) rows: &'a [T],
    pub(super) next: Option<String>,
}

/// The page of a collection by the id of its first row, as recorded for tags.
pub(super) fn by_id<'a, T>(
    query: &Query<'_>,
    rows: &'a [T],
    limit: usize,
    id: impl Fn(&T) -> &str,
) -> Result<Slice<'a, T>, Refusal> {
    let first = match query.next() {
        None => 0,
        Some(next) => rows.iter().position(|row| id(row) == next).ok_or_else(|| Refusal::invalid("cursor"))?,
    };
    let rest = rows.get(first..).unwrap_or_default();
    let next = rest.get(limit).map(|row| query.link(limit, id(row)));
    Ok(Slice { rows: rest.get(..limit).unwrap_or(rest), next })
}

/// The page of a collection by the position of its first row.
pub(super) fn by_position<'a, T>(query: &Query<'_>, rows: &'a [T], limit: usize) -> Result<Slice<'a, T>, Refusal> {
    let first = query.skip()?;
    let rest = rows.get(first..).unwrap_or_default();
    let next = (rest.len() > limit).then(|| query.link(limit, &(first + limit + 1).to_string()));
    Ok(Slice { rows: rest.get(..limit).unwrap_or(rest), next })
}
