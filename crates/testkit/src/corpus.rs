//! The inputs that fuzzers found or that somebody thought of, kept in `fuzz/corpus`.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// Tries a property on every file of a fuzz target's corpus.
///
/// # Panics
/// It does not hold for a file, which is named; or there is none.
pub fn replay_corpus(target: &str, property: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for entry in fs::read_dir(folder).expect("the target has a corpus") {
        let path = entry.expect("the folder can be read").path();
        let bytes = fs::read(&path).expect("the file can be read");
        assert!(catch_unwind(|| property(&bytes)).is_ok(), "{}", path.display());
        files += 1;
    }
    assert!(files > 0, "the corpus of {target} is empty");
}
