//! Texts from outside, made fit to be shown: without a secret of this process, and without what a terminal obeys.
//!
//! Every secret is made known with [`hide`] where it is read or made. A text that came from a server, a store, a proxy or a
//! file passes [`scrubbed`] or [`printable`] where the error or the line is made of it. A secret is found in any part of at
//! least [`GRAM`] bytes, plain, percent-encoded, escaped as in JSON, in other capitals, in either alphabet of base64 or in hexadecimal digits,
//! and so is whatever follows the words that go before a secret, known or not.
//!
//! The secrets are the process's and not a run's, because logs and messages are the process's too.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{PoisonError, RwLock};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};

/// Bytes of a part of a secret that give it away.
const GRAM: usize = 12;
/// Different bytes of such a part. With fewer it is found by chance: ids end in a row of zeros too.
const VARIETY: usize = 4;
/// A secret that is shorter is not looked for: it would be found by chance.
const SHORTEST: usize = 6;
/// Characters of a base64 or hexadecimal text that may hold a part of a secret.
const ENCODED: usize = 8;
/// Times that a text is decoded: once for what was encoded, and once more for what was encoded twice.
const LAYERS: usize = 2;
/// Characters of a text from outside.
const MAX_CHARS: usize = 200;
/// Characters of an id from outside.
const MAX_ID_CHARS: usize = 80;
/// What is shown in place of a secret.
const HIDDEN: &str = "[hidden]";

/// What goes before a secret, in small letters. A word of an `Authorization` header is followed by spaces, a name by `=` or
/// `:`.
const SCHEMES: [&str; 2] = ["bearer", "basic"];
const NAMES: [&str; 6] = ["access_token", "refresh_token", "id_token", "client_secret", "device_code", "code_verifier"];

static KNOWN: RwLock<Option<Known>> = RwLock::new(None);

/// The secrets that were made known, as hashes of their parts.
#[derive(Default)]
struct Known {
    /// Of each part of [`GRAM`] bytes.
    grams: HashSet<u64>,
    /// Secrets that are looked for in full, by their length: short ones, and those with parts of little variety.
    short: HashSet<(usize, u64)>,
    /// Lengths among `short`.
    lengths: Vec<usize>,
    /// Hashes of full secrets, so that each is added once.
    whole: HashSet<u64>,
}

/// Has this secret taken out of every text from now on. Of an address, what comes after the host is the secret. One of less
/// than six bytes is not looked for.
pub fn hide(secret: &str) {
    let secret = secret.trim();
    let after_host = secret.split_once("://").and_then(|(_, rest)| rest.get(rest.find('/')?..));
    // A host name loses its capitals.
    let secret = after_host.unwrap_or(secret).to_ascii_lowercase();
    let secret = secret.as_bytes();
    let whole = hash(secret);
    let is_known = |known: &Known| known.whole.contains(&whole);
    if secret.len() < SHORTEST || KNOWN.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_known) {
        return;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_with(Known::default);
    known.whole.insert(whole);
    known.grams.extend(secret.windows(GRAM).filter(|part| is_varied(part)).map(hash));
    if secret.len() < GRAM || !secret.windows(GRAM).all(is_varied) {
        known.short.insert((secret.len(), whole));
        if !known.lengths.contains(&secret.len()) {
            known.lengths.push(secret.len());
        }
    }
}

/// Forgets every secret.
#[cfg(fuzzing)]
pub(crate) fn forget() {
    *KNOWN.write().unwrap_or_else(PoisonError::into_inner) = None;
}

fn is_varied(part: &[u8]) -> bool {
    part.iter().collect::<HashSet<_>>().len() >= VARIETY
}

/// The same secret, made known.
pub(crate) fn hidden(secret: impl Into<SecretString>) -> SecretString {
    let secret = secret.into();
    hide(secret.expose_secret());
    secret
}

/// The text without secrets, and otherwise as it is.
pub fn scrubbed(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let nothing = Known::default();
    let known = known.as_ref().unwrap_or(&nothing);
    let mut view = View::of(text);
    let mut marks = vec![false; text.len()];
    for layer in 0..=LAYERS {
        view.mark(known, &mut marks);
        if layer == LAYERS || !view.decode() {
            break;
        }
    }
    if !marks.contains(&true) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut before = false;
    for (at, character) in text.char_indices() {
        let is_hidden = marks.get(at).copied().unwrap_or_default();
        if !is_hidden {
            shown.push(character);
        } else if !before {
            shown.push_str(HIDDEN);
        }
        before = is_hidden;
    }
    Cow::Owned(shown)
}

/// A text or a name from outside as it may be shown: without secrets, on one line, without what a terminal obeys or does not
/// show, and at most 200 characters long.
pub fn printable(text: &str) -> String {
    let (text, is_cut) = cut(text, 8 * MAX_CHARS);
    let text = scrubbed(text);
    let mut shown: String = text.chars().filter_map(visible).take(MAX_CHARS + 1).collect();
    if is_cut || shown.chars().nth(MAX_CHARS).is_some() {
        shown = shown.chars().take(MAX_CHARS).collect();
        shown.push('…');
    }
    shown
}

/// A text of this program that may hold texts from outside, such as an error with its causes: without secrets and without
/// what a terminal obeys. Its line breaks stay.
pub fn shown(text: &str) -> String {
    scrubbed(text).chars().filter_map(|c| if c == '\n' { Some(c) } else { visible(c) }).collect()
}

/// An id from outside: letters, digits and hyphens. `None` where nothing of it is left.
pub(crate) fn id(text: &str) -> Option<String> {
    let text = scrubbed(cut(text, 8 * MAX_ID_CHARS).0);
    let id: String = text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MAX_ID_CHARS).collect();
    Some(id).filter(|id| !id.is_empty())
}

/// The beginning of a text, and whether there is more. What is looked at is bounded, whatever a server sends.
fn cut(text: &str, bytes: usize) -> (&str, bool) {
    let end = text.floor_char_boundary(bytes);
    (text.get(..end).unwrap_or_default(), end < text.len())
}

/// A space for a control character, nothing for one that reorders text or is not seen.
fn visible(c: char) -> Option<char> {
    match c {
        c if c.is_control() => Some(' '),
        '\u{2028}' | '\u{2029}' => Some(' '),
        '\u{AD}'
        | '\u{61C}'
        | '\u{115F}'
        | '\u{1160}'
        | '\u{17B4}'
        | '\u{17B5}'
        | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{3164}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E0FFF}' => None,
        c => Some(c),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// A text with escapes decoded, and where each of its bytes is in the text.
struct View {
    bytes: Vec<u8>,
    /// For each byte the place of the first byte that stands for it, and the place after the last one.
    places: Vec<(usize, usize)>,
}

impl View {
    fn of(text: &str) -> Self {
        Self { bytes: text.as_bytes().to_vec(), places: (0..text.len()).map(|at| (at, at + 1)).collect() }
    }

    /// Decodes `%41`, `\u0041`, `\x41` and a backslash before any other character. Whether there was one.
    fn decode(&mut self) -> bool {
        let Self { bytes, places } = self;
        let (mut read, mut write) = (0, 0);
        while let Some(rest) = bytes.get(read..).filter(|rest| !rest.is_empty()) {
            let (byte, length) = escape(rest);
            let (Some(&(from, _)), Some(&(_, to))) = (places.get(read), places.get(read + length - 1)) else { break };
            bytes[write] = byte;
            places[write] = (from, to);
            (read, write) = (read + length, write + 1);
        }
        bytes.truncate(write);
        places.truncate(write);
        write < read
    }

    /// Marks everything of the text that gives a secret away.
    fn mark(&self, known: &Known, marks: &mut [bool]) {
        let mut mark = |from: usize, to: usize| {
            for &(from, to) in self.places.get(from..to).unwrap_or_default() {
                marks.get_mut(from..to).unwrap_or_default().fill(true);
            }
        };
        for (from, to) in known.parts(&self.bytes) {
            mark(from, to);
        }
        for (from, to) in runs(&self.bytes, is_base64).filter(|(from, to)| to - from >= ENCODED) {
            let run = self.bytes.get(from..to).unwrap_or_default();
            if known.is_encoded_in(run) {
                mark(from, to);
            }
        }
        for (from, to) in announced(&self.bytes) {
            mark(from, to);
        }
    }
}

impl Known {
    /// The parts of these bytes that are parts of a secret.
    fn parts(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let bytes = bytes.to_ascii_lowercase();
        if !self.grams.is_empty() {
            let is_known = |(_, gram): &(usize, &[u8])| self.grams.contains(&hash(gram));
            found.extend(bytes.windows(GRAM).enumerate().filter(is_known).map(|(at, _)| (at, at + GRAM)));
        }
        for &length in &self.lengths {
            let is_known = |(_, word): &(usize, &[u8])| self.short.contains(&(length, hash(word)));
            found.extend(bytes.windows(length).enumerate().filter(is_known).map(|(at, _)| (at, at + length)));
        }
        found
    }

    /// Whether a run of base64 or of hexadecimal digits holds a part of a secret, wherever in it that begins.
    fn is_encoded_in(&self, run: &[u8]) -> bool {
        let config = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let run: Vec<u8> = run
            .iter()
            .map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                byte => *byte,
            })
            .collect();
        let engine = GeneralPurpose::new(&alphabet::STANDARD, config);
        let decoded = (0..4).filter_map(|skip| {
            let quanta = run.get(skip..)?;
            // What is left of four characters that one alone cannot be decoded.
            let whole = quanta.len() - usize::from(quanta.len() % 4 == 1);
            engine.decode(quanta.get(..whole)?).ok()
        });
        let hexadecimal = (0..2).map(|skip| {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let pairs = run.get(skip..).unwrap_or_default().chunks_exact(2);
            pairs
                .map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.last()?)?))
                .map(Option::unwrap_or_default)
                .collect()
        });
        decoded.chain(hexadecimal).any(|bytes: Vec<u8>| !self.parts(&bytes).is_empty())
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

/// The byte at the start, decoded, and how many stand for it.
fn escape(bytes: &[u8]) -> (u8, usize) {
    let value = |from: usize, to: usize| {
        let digits = std::str::from_utf8(bytes.get(from..to)?).ok()?;
        u8::try_from(u32::from_str_radix(digits, 16).ok()?).ok().filter(u8::is_ascii)
    };
    let decoded = match bytes {
        [b'%', ..] => value(1, 3).map(|byte| (byte, 3)),
        [b'\\', b'u', ..] => value(2, 6).map(|byte| (byte, 6)),
        [b'\\', b'x', ..] => value(2, 4).map(|byte| (byte, 4)),
        [b'\\', byte, ..] if byte.is_ascii_punctuation() => Some((*byte, 2)),
        _ => None,
    };
    decoded.unwrap_or((bytes.first().copied().unwrap_or_default(), 1))
}

/// The longest stretches of bytes that fit, as places.
fn runs(bytes: &[u8], fits: fn(u8) -> bool) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + bytes.get(at..)?.iter().position(|byte| fits(*byte))?;
        let length = bytes.get(from..)?.iter().position(|byte| !fits(*byte));
        at = length.map_or(bytes.len(), |length| from + length);
        Some((from, at))
    })
}

/// What follows the words that go before a secret.
fn announced(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (from, to) in runs(bytes, |byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let word = bytes.get(from..to).unwrap_or_default().to_ascii_lowercase();
        let is_word = |words: &[&str]| words.iter().any(|known| known.as_bytes() == word);
        let between: fn(u8) -> bool = if is_word(&SCHEMES) {
            |byte| matches!(byte, b' ' | b'\t' | b'+' | b':' | b'=' | b'"' | b'\'')
        } else if is_word(&NAMES) {
            |byte| matches!(byte, b'=' | b':' | b'"' | b'\'' | b' ')
        } else {
            continue;
        };
        let rest = bytes.get(to..).unwrap_or_default();
        let gap = rest.iter().take_while(|byte| between(**byte)).count();
        let is_name = is_word(&NAMES);
        let has = |bytes: &[u8]| rest.iter().take(gap).any(|byte| bytes.contains(byte));
        // `the access_token is missing` announces nothing, nor does `access_token: it is missing`.
        let announces = gap > 0 && (!is_name || has(b"=") || (has(b":") && (has(b"\"'") || !has(b" "))));
        let is_part = |byte: &u8| byte.is_ascii_graphic() && !b"\"',;&<>(){}[]".contains(byte);
        let length = rest.iter().skip(gap).take_while(|byte| is_part(byte)).count();
        if announces && length > 0 {
            found.push((to + gap, to + gap + length));
        }
    }
    found
}

#[cfg(test)]
mod tests;
