//! Properties of what is read from outside, for the fuzz targets in `fuzz/` and for the test that replays their corpus.
//! Compiled for those two alone.

use sha2::{Digest, Sha256};

pub use crate::pages::fuzzing::kept_page;
use crate::record::{CHECKSUM, Commit, hex};
pub use crate::seen::fuzzing::seen;

/// A commit record, as it is and with a checksum that holds. What is read is read again as it was written.
///
/// # Panics
/// It does not hold.
pub fn commit(bytes: &[u8]) {
    let body = bytes.trim_ascii().strip_suffix(b"}").unwrap_or(bytes).trim_ascii_end();
    let check = format!("{CHECKSUM}{}\"\n}}\n", hex(&Sha256::digest(body)));
    for text in [bytes.to_vec(), [body, check.as_bytes()].concat()] {
        match Commit::from_text(&text, "record.json") {
            Ok(commit) => {
                let written = commit.to_text().unwrap_or_else(|error| panic!("{error}"));
                let again = Commit::from_text(written.as_bytes(), "record.json");
                assert_eq!(again.unwrap_or_else(|error| panic!("{error}")), commit);
            }
            Err(error) => assert!(error.to_string().len() < 300, "{error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Every file of a target's corpus.
    fn replay(target: &str, property: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut files = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            std::panic::catch_unwind(|| property(&bytes)).unwrap_or_else(|_| panic!("{}", path.display()));
            files += 1;
        }
        assert!(files > 0, "the corpus of {target} is empty");
    }

    #[test]
    fn the_corpus_of_every_target_holds() {
        replay("commit", super::commit);
        replay("kept_page", super::kept_page);
        replay("seen", super::seen);
    }
}
