//! The little that is read of a page here: are the rows there, how many are there in all, where is the next page, and,
//! where rows come newest first, how old is the oldest of them.
//!
//! One pass over the bytes, nothing kept of the rows. Reasons never hold a word of the body. A body that holds text that is
//! not Unicode is read once more with U+FFFD in that place, since the rest of the page is good.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use ctct_catalog::{Direction, Order, Report};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::bounds::{self, Bounds};

/// Bytes at either end of a row that tell it from others.
const ENDS: usize = 64;

/// Some programs put this in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What the envelope says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Link to the next page as it stands; `None` on the last page.
    pub(crate) next: Option<String>,
    /// Rows in all, where the API counted them.
    pub(crate) count: Option<u64>,
    /// What the column that rows are ordered by holds in the last row, where they surely come newest first.
    pub(crate) oldest: Option<String>,
    /// How many rows there are, and what tells them from those of another page.
    pub(crate) rows: Rows,
}

/// The rows of a page, as far as another page could be taken for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rows {
    /// How many.
    pub(crate) count: u64,
    /// Of the beginnings and the ends of their texts, which is where keys stand.
    pub(crate) digest: u64,
}

impl Envelope {
    /// Reads the envelope of one page of `report`.
    ///
    /// # Errors
    /// Why the body is no page of it, or more than one.
    pub(crate) fn read(report: &Report, bounds: Bounds, body: &[u8]) -> Result<Self, String> {
        let scan = Scan {
            rows: report.rows.as_deref(),
            most_rows: bounds.records(),
            oldest: report.order.as_ref().and_then(newest_first),
            count: report.count.as_ref().map(|count| count.field.as_str()),
            next: report.paging.as_ref().map(|paging| paging.next.split('.').collect()).unwrap_or_default(),
        };
        let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
        match body.trim_ascii_start().first() {
            Some(b'{') => {}
            Some(b'<') => return Err("it is HTML or XML, not JSON".to_owned()),
            Some(_) => return Err("it is no JSON object".to_owned()),
            None => return Err("it is empty".to_owned()),
        }
        bounds.check(body)?;
        let found = scan.read(body).or_else(|error| match lossy(body) {
            Some(lossy) => scan.read(&lossy),
            None => Err(error),
        });
        let found = found.map_err(|error| unreadable(&error))?;
        let (mut oldest, mut of_rows) = (None, Rows::default());
        if let Some(rows) = scan.rows {
            match found.rows {
                Some(Value::List(rows, last)) => (of_rows, oldest) = (rows, last),
                Some(other) => return Err(format!("`{rows}` is {}, not a list", other.kind())),
                None => return Err(format!("it has no `{rows}`")),
            }
        }
        let next = match found.next {
            None | Some(Value::Nothing) => None,
            // What stood there is not known, and another cursor would be another place.
            Some(Value::Text(href)) if href.contains(char::REPLACEMENT_CHARACTER) => {
                return Err(format!("the link at `{}` is not Unicode", scan.next.join(".")));
            }
            Some(Value::Text(href)) if href.len() > bounds::LINK => {
                let (at, most) = (scan.next.join("."), bounds::LINK);
                return Err(format!("the link at `{at}` is longer than {most} characters"));
            }
            Some(Value::Text(href)) => Some(href).filter(|href| !href.is_empty()),
            Some(other) => return Err(format!("no link at `{}`: there is {}", scan.next.join("."), other.kind())),
        };
        let count = match found.count {
            Some(Value::Count(count)) => Some(count),
            _ => None,
        };
        Ok(Self { next, count, oldest, rows: of_rows })
    }
}

/// The column that rows are ordered by, where the vendor promises that they come newest first.
fn newest_first(order: &Order) -> Option<&str> {
    (order.certain && order.direction == Direction::Descending).then_some(order.by.as_str())
}

/// Why a body could not be read. `serde_json` quotes the body in some of its messages, so only ours are passed on.
fn unreadable(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Data => error.to_string(),
        Category::Eof => format!("the JSON ends early, at {place}"),
        Category::Syntax | Category::Io => format!("it is not JSON from {place} on"),
    }
}

/// The body with U+FFFD in place of bytes that are not UTF-8 and of escapes of half a surrogate pair; `None` where it has
/// neither.
fn lossy(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = String::from_utf8_lossy(body).into_owned().into_bytes();
    let mut changed = text != body;
    let mut at = 0;
    // Outside of strings JSON has no backslash.
    while let Some(found) = text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += found;
        let is_high = |unit| (0xD800..0xDC00).contains(&unit);
        let is_low = |unit| (0xDC00..0xE000).contains(&unit);
        match (code_unit(&text, at), code_unit(&text, at + 6)) {
            (Some(high), Some(low)) if is_high(high) && is_low(low) => at += 12,
            (Some(half), _) if is_high(half) || is_low(half) => {
                if let Some(digits) = text.get_mut(at + 2..at + 6) {
                    digits.copy_from_slice(b"fffd");
                    changed = true;
                }
                at += 6;
            }
            (Some(_), _) => at += 6,
            (None, _) => at += 2,
        }
    }
    changed.then_some(text)
}

/// The code unit of the escape at this place, such as `\u00e9`.
fn code_unit(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..)?.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
}

/// The top level of the body.
struct Scan<'a> {
    rows: Option<&'a str>,
    /// More of them are no page.
    most_rows: Option<u64>,
    /// The column of the rows whose last value is wanted.
    oldest: Option<&'a str>,
    count: Option<&'a str>,
    next: Vec<&'a str>,
}

impl Scan<'_> {
    fn read(&self, body: &[u8]) -> serde_json::Result<Found> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let found = self.deserialize(&mut json)?;
        json.end().map(|()| found)
    }
}

#[derive(Default)]
struct Found {
    rows: Option<Value>,
    count: Option<Value>,
    next: Option<Value>,
}

impl<'de> DeserializeSeed<'de> for &Scan<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Scan<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(key) = map.next_key_seed(Name(self))? {
            let (slot, at) = match key {
                Key::Rows => (&mut found.rows, At { last: self.oldest, most: self.most_rows, ..At::path(&[]) }),
                Key::Count => (&mut found.count, At::path(&[])),
                Key::Next => (&mut found.next, At { once: true, ..At::path(self.next.get(1..).unwrap_or_default()) }),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // A decoder keeps only one of the two, and rows would be lost in silence.
            if slot.replace(map.next_value_seed(at)?).is_some() {
                return Err(A::Error::custom("a key of the envelope stands twice"));
            }
        }
        Ok(found)
    }
}

/// A key of the top level.
enum Key {
    Rows,
    Count,
    Next,
    Other,
}

/// Tells a key of the top level without copying it.
struct Name<'a>(&'a Scan<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
        let Self(scan) = self;
        Ok(match Some(key) {
            key if key == scan.rows => Key::Rows,
            key if key == scan.count => Key::Count,
            key if key == scan.next.first().copied() => Key::Next,
            _ => Key::Other,
        })
    }
}

/// A value of the envelope, as far as it matters.
enum Value {
    /// Absent, null, or a path whose next key is absent.
    Nothing,
    Count(u64),
    Text(String),
    /// With the text of its last row, where that was wanted and there is one.
    List(Rows, Option<String>),
    /// Anything else, and what it is.
    Other(&'static str),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "null",
            Self::Count(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(..) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

/// The value at a path below this one.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a [&'a str],
    /// Whether the keys of the path must be there once at most: a decoder keeps only one of the two.
    once: bool,
    /// Where it is a list of rows: the most of them.
    most: Option<u64>,
    /// Where it is a list of rows: the column whose value in the last of them is wanted.
    last: Option<&'a str>,
}

impl<'a> At<'a> {
    fn path(path: &'a [&'a str]) -> Self {
        Self { path, once: false, most: None, last: None }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other("a boolean"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other("a number"))
    }

    fn visit_u64<E: Error>(self, count: u64) -> Result<Value, E> {
        Ok(Value::Count(count))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        // A text where the path goes on is no link.
        Ok(if self.path.is_empty() { Value::Text(text.to_owned()) } else { Value::Other("a text") })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Value, A::Error> {
        let (mut found, mut digest, mut last) = (Rows::default(), DefaultHasher::new(), None);
        while let Some(row) = rows.next_element::<&RawValue>()? {
            found.count += 1;
            if let Some(most) = self.most.filter(|most| found.count > *most) {
                return Err(A::Error::custom(format_args!(
                    "it holds more than {most} records, which is twice as many as were asked for"
                )));
            }
            let row = row.get().as_bytes();
            let end = row.len().saturating_sub(ENDS);
            (row.get(..ENDS), row.get(end..)).hash(&mut digest);
            last = Some(row);
        }
        found.digest = digest.finish();
        // What was skipped just now can be read.
        let text = self.last.zip(last).and_then(|(column, row)| {
            let mut json = serde_json::Deserializer::from_slice(row);
            At::path(&[column]).deserialize(&mut json).ok()
        });
        let last = match text {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        Ok(Value::List(found, last))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = if self.path.is_empty() { Value::Other("an object") } else { Value::Nothing };
        let mut seen = false;
        while let Some(key) = map.next_key::<String>()? {
            match self.path.split_first() {
                Some((head, _)) if key == *head && self.once && seen => {
                    return Err(A::Error::custom(format_args!("`{head}` is a duplicate key")));
                }
                Some((head, rest)) if key == *head => {
                    seen = true;
                    found = map.next_value_seed(At { path: rest, ..self })?;
                }
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use ctct_catalog::Catalog;
    use std::sync::Arc;

    use super::*;

    fn report(name: &str) -> Arc<Report> {
        Arc::clone(Catalog::embedded().unwrap().get(name).unwrap())
    }

    /// The page without what tells its rows from others.
    fn page_of(report: &Report, body: &[u8]) -> Result<Envelope, String> {
        Envelope::read(report, Bounds::of(report, &[]), body).map(|page| Envelope { rows: Rows::default(), ..page })
    }

    fn read(body: &str) -> Result<Envelope, String> {
        page_of(&report("contacts"), body.as_bytes())
    }

    #[test]
    fn every_form_of_a_last_page_ends() {
        for links in [
            "",
            r#","_links":null"#,
            r#","_links":{}"#,
            r#","_links":{"next":null}"#,
            r#","_links":{"next":{}}"#,
            r#","_links":{"next":{"href":null}}"#,
            r#","_links":{"next":{"href":""}}"#,
            r#","_links":{"self":{"href":"/v3/contacts"}}"#,
        ] {
            let body = format!(r#"{{"contacts":[]{links}}}"#);
            assert_eq!(
                read(&body),
                Ok(Envelope { next: None, count: None, oldest: None, rows: Rows::default() }),
                "{body}"
            );
        }
    }

    #[test]
    fn link_and_count_are_found_in_any_order_and_escaped() {
        let next = Some("/v3/contacts?cursor=bGltaXQ9MQ==&a=b".to_owned());
        let body = r#" {"x":{"contacts":3},"_links":{"next":{"x":[],"href":"/v3/contacts?cursor=bGltaXQ9MQ==\u0026a=b"}},
            "contacts_count":7,"c\u006fntacts":[{"_links":{"next":{"href":"/other"}}}]} "#;
        assert_eq!(read(body), Ok(Envelope { next, count: Some(7), oldest: None, rows: Rows::default() }));
    }

    #[test]
    fn a_count_that_is_no_count_is_left_out() {
        for count in ["null", "-1", "1.5", "\"7\"", "[]"] {
            let body = format!(r#"{{"contacts":[],"contacts_count":{count}}}"#);
            assert_eq!(read(&body).unwrap().count, None, "{count}");
        }
    }

    #[test]
    fn what_is_no_page_is_refused_without_a_word_of_its_content() {
        let bodies = [
            "",
            "  ",
            "<html>secret</html>",
            "secret",
            r#""secret""#,
            "[1]",
            "{}",
            r#"{"secret":1}"#,
            r#"{"contacts":null}"#,
            r#"{"contacts":"secret"}"#,
            r#"{"contacts":{"a":"secret"}}"#,
            r#"{"contacts":[1,2"#,
            r#"{"contacts":[secret]}"#,
            r#"{"contacts":[]} secret"#,
            r#"{"contacts":[],"contacts":[]}"#,
            r#"{"contacts":[],"_links":"secret"}"#,
            r#"{"contacts":[],"_links":{"next":{"href":["secret"]}}}"#,
            r#"{"contacts":[],"_links":{"next":{"href":5}}}"#,
        ];
        let mut reasons = Vec::new();
        for body in bodies {
            let reason = read(body).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
            reasons.push(format!("{} -> {reason}", body.replace("secret", "...")));
        }
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn text_that_is_not_unicode_is_no_reason_to_refuse_a_page() {
        let next = Some("/v3/contacts?cursor=a\u{e9}\u{1f980}".to_owned());
        let links = r#""_links":{"next":{"href":"/v3/contacts?cursor=a\u00e9\ud83e\udd80"}},"contacts_count":7"#;
        for odd in [
            &b"\xe9"[..],
            b"\xed\xa0\xbd",
            b"\xff\xfe",
            br"\ud83d",
            br"\uDC00",
            br"\udc00\ud83d",
            br"\ud83d\ud83d",
            br"\ud83d\u0041",
        ] {
            for body in [
                [br#"{"contacts":[{"first_name":"a"#, odd, br#"b\\"}],"#, links.as_bytes(), b"}"].concat(),
                [br#"{"contacts":[{"a"#, odd, br#"b":["#, b"{}]}],", links.as_bytes(), b"}"].concat(),
                [br#"{"k"#, odd, br#"":1,"contacts":[],"#, links.as_bytes(), b"}"].concat(),
                [br#"{"status":""#, odd, br#"","contacts":[],"#, links.as_bytes(), b"}"].concat(),
                [b"\xEF\xBB\xBF".as_slice(), br#"{"contacts":[{"x":[""#, odd, br#""]}],"#, links.as_bytes(), b"}"]
                    .concat(),
            ] {
                let shown = String::from_utf8_lossy(&body).into_owned();
                let page = page_of(&report("contacts"), &body);
                assert_eq!(
                    page,
                    Ok(Envelope { next: next.clone(), count: Some(7), oldest: None, rows: Rows::default() }),
                    "{shown}"
                );
            }
            let link = [br#"{"contacts":[],"_links":{"next":{"href":"/v3?cursor="#, odd, br#""}}}"#].concat();
            let reason = page_of(&report("contacts"), &link).unwrap_err();
            assert_eq!(reason, "the link at `_links.next.href` is not Unicode");
            let other_link = [br#"{"contacts":[],"_links":{"self":{"h"#, odd, br#"":""#, odd, br#""}}}"#].concat();
            assert_eq!(page_of(&report("contacts"), &other_link).map(|page| page.next), Ok(None));
            let oldest = [br#"{"tracking_activities":[{"created_time":""#, odd, br#""}]}"#].concat();
            assert!(page_of(&report("contact_activity_details"), &oldest).is_ok());
            for broken in [[br#"{"contacts":["#, odd, b"]}"].concat(), [br#"{"contacts":[{"a":""#, odd].concat()] {
                assert!(page_of(&report("contacts"), &broken).is_err());
            }
        }
    }

    #[test]
    fn no_beginning_of_a_page_is_a_page() {
        let body =
            r#"{"contacts":[{"a":[1,2.5e3],"b":"\u00e9"}],"_links":{"next":{"href":"/v3"}},"contacts_count":10}"#;
        assert!(read(body).is_ok());
        for end in 0..body.len() {
            assert!(read(&body[..end]).is_err(), "{}", &body[..end]);
        }
    }

    #[test]
    fn the_oldest_row_is_told_only_where_rows_surely_come_newest_first() {
        let oldest = |report: &Report, rows: &str| {
            let rows_key = report.rows.as_deref().unwrap();
            page_of(report, format!(r#"{{"{rows_key}":{rows}}}"#).as_bytes()).unwrap().oldest
        };
        let details = report("contact_activity_details");
        let row = |time: &str| format!(r#"{{"x":{{"created_time":"no"}},"created_time":{time},"y":[1]}}"#);
        let (newer, older) = (row(r#""2026-01-02T00:00:00Z""#), row(r#""2026-01-01""#));
        assert_eq!(oldest(&details, &format!("[{newer},{older}]")).as_deref(), Some("2026-01-01"));
        for rows in [
            "[]".to_owned(),
            format!("[{newer},{}]", row("null")),
            format!("[{newer},{}]", row("5")),
            format!("[{newer},{}]", row(r#"{"a":"2026"}"#)),
            format!("[{newer},{{}}]"),
            format!(r#"[{newer},"2026-01-01"]"#),
            format!("[{newer},null]"),
        ] {
            assert_eq!(oldest(&details, &rows), None, "{rows}");
        }
        let created = r#"[{"created_at":"2026-01-01"}]"#;
        assert_eq!(oldest(&report("contacts"), created), None, "what was only seen is not relied on");
        let mut upwards = Report::clone(&details);
        upwards.order.as_mut().unwrap().direction = Direction::Ascending;
        assert_eq!(oldest(&upwards, &format!("[{older}]")), None);
    }

    #[test]
    fn a_report_without_rows_or_paging_is_one_object() {
        let mut whole = Report::clone(&report("contacts"));
        whole.rows = None;
        whole.paging = None;
        let body = br#"{"contact_id":"x","_links":{"next":{"href":"/v3/more"}}}"#;
        assert_eq!(
            page_of(&whole, body),
            Ok(Envelope { next: None, count: None, oldest: None, rows: Rows::default() })
        );
        assert!(page_of(&whole, b"[]").is_err());
    }

    #[test]
    fn a_link_that_is_there_twice_is_refused_wherever_its_path_doubles() {
        let next = r#"{"href":"/v3/contacts?cursor=a"}"#;
        for links in [
            format!(r#"{{"next":{next},"next":null}}"#),
            format!(r#"{{"next":null,"next":{next}}}"#),
            format!(r#"{{"next":{next},"self":{{}},"next":{next}}}"#),
            r#"{"next":{"href":"/v3/contacts?cursor=a","href":null}}"#.to_owned(),
            r#"{"next":{"href":null,"x":1,"href":"/v3"}}"#.to_owned(),
        ] {
            let reason = read(&format!(r#"{{"contacts":[],"_links":{links}}}"#)).unwrap_err();
            assert!(reason.contains("is a duplicate key"), "{links}: {reason}");
        }
        assert!(read(&format!(r#"{{"contacts":[],"_links":{{"self":1,"self":2,"next":{next}}}}}"#)).is_ok());
    }

    #[test]
    fn no_more_records_than_twice_what_was_asked_for_nor_longer_links_make_a_page() {
        let body = |records: usize, link: usize| {
            let (rows, link) = (vec!["{}"; records].join(","), "a".repeat(link));
            format!(r#"{{"contacts":[{rows}],"_links":{{"next":{{"href":"{link}"}}}}}}"#)
        };
        let contacts = report("contacts");
        for (limit, records, link, fits) in [
            (500, 1_000, 8_192, true),
            (500, 1_001, 1, false),
            (500, 1, 8_193, false),
            (500, 1, 1 << 20, false),
            (3, 6, 1, true),
            (3, 7, 1, false),
        ] {
            let bounds = Bounds::of(&contacts, &[("limit".to_owned(), limit.to_string())]);
            let page = Envelope::read(&contacts, bounds, body(records, link).as_bytes());
            assert_eq!(page.is_ok(), fits, "{records} of {limit}, a link of {link}: {page:?}");
        }
    }

    #[test]
    fn a_page_is_known_again_by_its_rows_alone() {
        let contacts = report("contacts");
        let rows = |body: &str| Envelope::read(&contacts, Bounds::of(&contacts, &[]), body.as_bytes()).unwrap().rows;
        let page = rows(r#"{"contacts":[{"contact_id":"a"},{"contact_id":"b"}]}"#);
        let again = rows(r#"{"_links":{"next":{"href":"/x"}},"contacts":[ {"contact_id":"a"} , {"contact_id":"b"}]}"#);
        assert_eq!(page, again);
        for other in [r#"[{"contact_id":"a"}]"#, r#"[{"contact_id":"a"},{"contact_id":"c"}]"#, "[]"] {
            assert_ne!(rows(&format!(r#"{{"contacts":{other}}}"#)), page, "{other}");
        }
    }
}
