//! Pages as one object: a zstd frame over a line of JSON, and then, for each page, a line of JSON and its body.
//!
//! An object counts completely or not at all. zstd's checksum covers every byte, so one that was cut short or has a flipped
//! bit is known as such, and so is one that the system had not written back when the power went.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zstd::stream::{read::Decoder, write::Encoder};

use super::KeptPage;

/// Format of the objects that this version writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;
/// Level of zstd: pages are written while the next are read, and most are soon removed.
const LEVEL: i32 = 1;

/// Bytes of an object once it is decompressed. A run keeps what waits, 8 MiB, and one page more, which extract lets have less
/// than 128 MiB. A fuzzer would spend its time on reading much of nothing.
pub(super) const MOST_BYTES: u64 = if cfg!(fuzzing) { 1 << 20 } else { 160 << 20 };

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    /// A later format may count them in another way.
    #[serde(default)]
    pages: usize,
}

/// The line before a body.
#[derive(Serialize, Deserialize)]
struct Header<'a> {
    crawl: Cow<'a, str>,
    params: Cow<'a, [(String, String)]>,
    number: u32,
    next: Option<Cow<'a, str>>,
    request_id: Option<Cow<'a, str>>,
    received_at: DateTime<Utc>,
    server_date: Option<DateTime<Utc>>,
    count: Option<u64>,
    /// Length of the body.
    bytes: usize,
}

/// Why an object cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not what was written; says why, without a word of its content.
    Damaged(String),
    /// It is of this later format.
    Newer(u32),
}

/// Compresses pages.
///
/// # Errors
/// As zstd fails.
pub(super) fn encode(pages: &[KeptPage]) -> io::Result<Vec<u8>> {
    let mut object = Encoder::new(Vec::new(), LEVEL)?;
    object.include_checksum(true)?;
    line(&mut object, &Head { format: FORMAT, pages: pages.len() })?;
    for page in pages {
        let KeptPage { crawl, params, number, next, request_id, received_at, server_date, count, body } = page;
        let header = Header {
            crawl: crawl.into(),
            params: params.into(),
            number: *number,
            next: next.as_ref().map(Into::into),
            request_id: request_id.as_ref().map(Into::into),
            received_at: *received_at,
            server_date: *server_date,
            count: *count,
            bytes: body.len(),
        };
        line(&mut object, &header)?;
        object.write_all(body)?;
    }
    object.finish()
}

fn line(object: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *object, value)?;
    object.write_all(b"\n")
}

/// Reads pages back. Bodies share one buffer.
///
/// # Errors
/// Why the object cannot be used.
pub(super) fn decode(object: &[u8]) -> Result<Vec<KeptPage>, Unusable> {
    let mut text = Vec::new();
    let read = Decoder::new(object).and_then(|decoder| decoder.take(MOST_BYTES + 1).read_to_end(&mut text));
    let read = read.map_err(|error| Unusable::Damaged(format!("it does not decompress ({error})")))?;
    if read as u64 > MOST_BYTES {
        return Err(Unusable::Damaged(format!("it holds more than {MOST_BYTES} bytes, which no run writes")));
    }
    let mut rest = Bytes::from(text);
    // What follows is for an object that was put there by something else: a checksum held.
    let odd = |what: &str| Unusable::Damaged(format!("it has {what}"));
    let first = take_line(&mut rest).ok_or_else(|| odd("no first line"))?;
    let Head { format, pages } = serde_json::from_slice(&first).map_err(|_| odd("an invalid first line"))?;
    if format > FORMAT {
        return Err(Unusable::Newer(format));
    }
    let mut found = Vec::new();
    while let Some(header) = take_line(&mut rest) {
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| odd("an invalid header"))?;
        if header.bytes > rest.len() {
            return Err(odd("a body that ends early"));
        }
        let body = rest.split_to(header.bytes);
        found.push(KeptPage {
            crawl: header.crawl.into_owned(),
            params: header.params.into_owned(),
            number: header.number,
            next: header.next.map(Cow::into_owned),
            request_id: header.request_id.map(Cow::into_owned),
            received_at: header.received_at,
            server_date: header.server_date,
            count: header.count,
            body,
        });
    }
    if found.len() != pages || !rest.is_empty() {
        return Err(odd("another number of pages than it says"));
    }
    Ok(found)
}

/// The bytes before the next line break, which is dropped; `None` where there is none.
fn take_line(rest: &mut Bytes) -> Option<Bytes> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let line = rest.split_to(end);
    let _ = rest.split_to(1);
    Some(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn instant() -> impl Strategy<Value = DateTime<Utc>> {
        (0_i64..4_000_000_000, 0_u32..1_000_000_000)
            .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
    }

    fn page() -> impl Strategy<Value = KeptPage> {
        let text = || proptest::option::of(any::<String>());
        let params = proptest::collection::vec((any::<String>(), any::<String>()), 0..3);
        let body = proptest::collection::vec(any::<u8>(), 0..200);
        let dates = (instant(), proptest::option::of(instant()));
        let rest = (any::<u32>(), any::<Option<u64>>());
        (any::<String>(), params, text(), text(), dates, rest, body).prop_map(
            |(crawl, params, next, request_id, (received_at, server_date), (number, count), body)| KeptPage {
                crawl,
                params,
                number,
                next,
                request_id,
                received_at,
                server_date,
                count,
                body: body.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn any_pages_come_back_as_they_were(pages in proptest::collection::vec(page(), 0..5)) {
            prop_assert_eq!(decode(&encode(&pages).unwrap()).unwrap(), pages);
        }

        #[test]
        fn a_byte_that_changed_never_changes_a_page(
            pages in proptest::collection::vec(page(), 1..4), at in any::<prop::sample::Index>(), flip in 1_u8..,
        ) {
            let mut object = encode(&pages).unwrap();
            let at = at.index(object.len());
            object[at] ^= flip;
            // A flag that nothing depends on may change.
            if let Ok(read) = decode(&object) {
                prop_assert_eq!(read, pages);
            }
        }

        #[test]
        fn any_bytes_are_refused_and_never_panic(object in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(matches!(decode(&object), Err(Unusable::Damaged(_))));
        }
    }

    #[test]
    fn no_beginning_of_an_object_is_an_object() {
        let page = |number, body: Vec<u8>| KeptPage {
            crawl: "c".to_owned(),
            params: Vec::new(),
            number,
            next: None,
            request_id: None,
            received_at: DateTime::UNIX_EPOCH,
            server_date: None,
            count: None,
            body: body.into(),
        };
        // More than one block of zstd, so that some beginnings end between two of them.
        let noise: Vec<u8> = (0..50_000_u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for pages in [vec![page(1, b"{}".to_vec())], vec![page(1, noise), page(2, vec![b'x'; 300_000])]] {
            let object = encode(&pages).unwrap();
            let step = if object.len() < 1000 { 1 } else { 997 };
            for end in (0..object.len()).step_by(step).chain(object.len().saturating_sub(10)..object.len()) {
                assert!(matches!(decode(&object[..end]), Err(Unusable::Damaged(_))), "{end} of {}", object.len());
            }
            let zeros: Vec<u8> = object.iter().map(|_| 0).collect();
            assert!(matches!(decode(&zeros), Err(Unusable::Damaged(_))));
            let longer = [&object[..], b"x"].concat();
            assert!(matches!(decode(&longer), Err(Unusable::Damaged(_))));
            assert_eq!(decode(&object).unwrap(), pages);
        }
    }

    #[test]
    fn what_is_sound_but_no_object_is_told_apart() {
        let told = [
            "",
            "{}\n",
            "{\"format\":2,\"new\":1}\nx",
            "{\"format\":1,\"pages\":1}\n",
            "{\"format\":1,\"pages\":0}\nsecret",
            "{\"format\":1,\"pages\":1}\n{\"secret\":1}\n",
        ]
        .map(|text| format!("{text:?} -> {:?}", decode(&zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap_err()));
        insta::assert_snapshot!(told.join("\n"));
    }
}
