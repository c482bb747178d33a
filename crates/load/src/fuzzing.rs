//! Properties of what is read from outside, for the fuzz targets in `fuzz/` and for the test that replays their corpus.
//! Compiled for those two alone.

pub use crate::dedupe::seen::fuzzing::seen;
use crate::destination::checksum::of_bytes;
use crate::log::record::{CHECKSUM, Commit};
pub use crate::pages::fuzzing::kept_page;

/// A commit record, as it is and with a checksum that holds. What is read is read again as it was written. Whether it is read.
///
/// # Panics
/// It does not hold.
pub fn commit(bytes: &[u8]) -> bool {
    let mut is_read = false;
    let end = bytes.windows(CHECKSUM.len()).rposition(|window| window == CHECKSUM.as_bytes());
    let open = || bytes.trim_ascii().strip_suffix(b"}").unwrap_or(bytes).trim_ascii_end();
    let body = end.map_or_else(open, |end| &bytes[..end]);
    let check = format!("{CHECKSUM}{}\"\n}}\n", of_bytes(body));
    for text in [bytes.to_vec(), [body, check.as_bytes()].concat()] {
        match Commit::from_text(&text, "record.json") {
            Ok(commit) => {
                let written = commit.to_text().unwrap_or_else(|error| panic!("{error}"));
                let again = Commit::from_text(written.as_bytes(), "record.json");
                assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), commit);
                is_read = true;
            }
            Err(error) => assert!(error.to_string().len() < 300, "{error}"),
        }
    }
    is_read
}

#[cfg(test)]
mod tests {
    use ctct_testkit::replay_corpus;

    #[test]
    fn the_corpus_of_every_target_holds() {
        replay_corpus("commit", super::commit);
        replay_corpus("kept_page", super::kept_page);
        replay_corpus("seen", super::seen);
    }
}
