//! Reading query parameters, be they in the query string or sealed in a cursor.

use axum::http::Uri;
use url::form_urlencoded;

use super::Service;
use crate::account::{Window, parse_id, parse_moment};
use crate::cursor::Pairs;
use crate::refusal::Refusal;

/// The parameters of one request.
pub(super) struct Query<'a> {
    service: &'a Service,
    path: String,
    pairs: Pairs,
}

/// Names that only a cursor holds, or that carry it.
const NEXT: &str = "next";
const CURSOR: &str = "cursor";
const LIMIT: &str = "limit";

impl<'a> Query<'a> {
    /// The parameters of a request. With a cursor, those that it holds; other parameters are ignored, as recorded.
    pub(super) fn read(service: &'a Service, uri: &Uri, known: &[&str]) -> Result<Self, Refusal> {
        let sent: Pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let unknown = |name: &str| name != CURSOR && name != LIMIT && !known.contains(&name);
        if service.config.quirks.reject_unknown_parameters
            && let Some((name, _)) = sent.iter().find(|(name, _)| unknown(name))
        {
            return Err(Refusal::Invalid(format!("{name} is not a known parameter")));
        }
        let path = uri.path().to_owned();
        let pairs = match sent.iter().find(|(name, _)| name == CURSOR) {
            Some((_, cursor)) => {
                service.cursors.open(&path, cursor, service.now()).ok_or_else(|| Refusal::invalid(CURSOR))?
            }
            None => sent.into_iter().filter(|(name, _)| name != NEXT).collect(),
        };
        Ok(Self { service, path, pairs })
    }

    /// Whether the request came with a cursor.
    pub(super) fn continues(&self) -> bool {
        self.text(NEXT).is_some()
    }

    /// What the cursor says about the next row; `None` on the first page.
    pub(super) fn next(&self) -> Option<&str> {
        self.text(NEXT)
    }

    /// The next row by its position, counted from 1; 0 is the first page.
    pub(super) fn skip(&self) -> Result<usize, Refusal> {
        self.next().map_or(Ok(0), |next| {
            next.parse::<usize>().map_or(Err(Refusal::invalid(CURSOR)), |next| Ok(next.max(1) - 1))
        })
    }

    /// The link to the page that begins with this row.
    pub(super) fn link(&self, limit: usize, next: &str) -> String {
        let mut pairs: Pairs = vec![(LIMIT.to_owned(), limit.to_string()), (NEXT.to_owned(), next.to_owned())];
        pairs.extend(self.pairs.iter().filter(|(name, _)| name != LIMIT && name != NEXT).cloned());
        format!("{}?{CURSOR}={}", self.path, self.service.cursors.seal(&self.path, &pairs, self.service.now()))
    }

    /// A parameter as text. An empty one counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Every value of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The names of the parameters that were sent.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }

    /// Rows per page.
    pub(super) fn limit(&self, default: usize, most: usize) -> Result<usize, Refusal> {
        let quirks = &self.service.config.quirks;
        let limit = match self.text(LIMIT).map(str::parse) {
            None => default,
            Some(Ok(limit)) if (1..=most).contains(&limit) => limit,
            Some(Ok(limit)) if quirks.clamp_limit => limit.clamp(1, most),
            _ => return Err(Refusal::invalid(LIMIT)),
        };
        Ok(quirks.most_rows.map_or(limit, |rows| limit.min(rows.max(1))))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Refusal::invalid(name)),
        }
    }

    /// One of the allowed values.
    pub(super) fn choice(&self, name: &str, allowed: &[&str]) -> Result<Option<&str>, Refusal> {
        match self.text(name) {
            Some(value) if !allowed.contains(&value) => Err(Refusal::invalid(name)),
            value => Ok(value),
        }
    }

    /// Comma-separated allowed values.
    pub(super) fn choices(&self, name: &str, allowed: &[&str]) -> Result<Option<Vec<String>>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let values: Vec<String> = text.split(',').map(|value| value.trim().to_owned()).collect();
        if values.iter().all(|value| allowed.contains(&value.as_str())) {
            Ok(Some(values))
        } else {
            Err(Refusal::invalid(name))
        }
    }

    /// Comma-separated ids, so many at most.
    pub(super) fn ids(&self, name: &str, most: usize) -> Result<Option<Vec<&str>>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let ids: Vec<&str> = text.split(',').map(str::trim).collect();
        if ids.len() <= most && ids.iter().all(|id| parse_id(id).is_some()) {
            Ok(Some(ids))
        } else {
            Err(Refusal::invalid(name))
        }
    }

    /// An instant, in milliseconds since 1970 UTC.
    pub(super) fn instant(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.text(name).map(|text| parse_moment(text).ok_or_else(|| Refusal::invalid(name))).transpose()
    }

    /// Two bounds.
    pub(super) fn window(&self, after: &str, before: &str) -> Result<Window, Refusal> {
        let inclusive = self.service.config.quirks.inclusive_bounds;
        Ok(Window { after: self.instant(after)?, before: self.instant(before)?, inclusive })
    }

    /// The period of a report: both instants are required.
    pub(super) fn period(&self) -> Result<(i64, i64), Refusal> {
        let start = self.instant("start")?.ok_or_else(|| Refusal::Invalid("start is required".to_owned()))?;
        let end = self.instant("end")?.ok_or_else(|| Refusal::Invalid("end is required".to_owned()))?;
        if start <= end { Ok((start, end)) } else { Err(Refusal::Invalid("start is after end".to_owned())) }
    }
}
