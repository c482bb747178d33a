//! Opaque cursors: standard base64 of a query string that holds the limit, the next row and every parameter of the first
//! request, as recorded. A sum over it, the path and the seed shows tampering and cursors of another endpoint.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::form_urlencoded::{Serializer, parse};

use crate::draws::mix;

/// Seals and opens the cursors of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursors {
    pub(crate) seed: u64,
    /// Seconds that a cursor is good for.
    pub(crate) lifetime: Option<u64>,
}

/// Parameters by name, in the order of the request.
pub(crate) type Pairs = Vec<(String, String)>;

/// Names of the sum and of the time of issue within a cursor.
const SUM: &str = "sum";
const ISSUED: &str = "issued";

impl Cursors {
    /// A cursor for a path. `now` is in seconds since 1970 UTC.
    pub(crate) fn seal(&self, path: &str, pairs: &[(String, String)], now: i64) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(pairs);
        if self.lifetime.is_some() {
            query.append_pair(ISSUED, &now.to_string());
        }
        let text = query.finish();
        let sum = self.sum(path, &text);
        STANDARD.encode(format!("{text}&{SUM}={sum:016x}"))
    }

    /// What a cursor holds; `None` if it was not made here for this path, or is too old.
    pub(crate) fn open(&self, path: &str, cursor: &str, now: i64) -> Option<Pairs> {
        let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
        let (text, sum) = text.rsplit_once(&format!("&{SUM}="))?;
        if u64::from_str_radix(sum, 16).ok()? != self.sum(path, text) {
            return None;
        }
        let (issued, pairs): (Pairs, Pairs) = parse(text.as_bytes()).into_owned().partition(|(name, _)| name == ISSUED);
        match (self.lifetime, issued.first()) {
            (None, _) => Some(pairs),
            (Some(lifetime), Some((_, issued))) => {
                let age = now.saturating_sub(issued.parse().ok()?);
                (age < i64::try_from(lifetime).unwrap_or(i64::MAX)).then_some(pairs)
            }
            (Some(_), None) => None,
        }
    }

    fn sum(&self, path: &str, text: &str) -> u64 {
        path.bytes().chain([b'?']).chain(text.bytes()).fold(mix(self.seed), |sum, byte| mix(sum ^ u64::from(byte)))
    }
}
