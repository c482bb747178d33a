//! The inputs that fuzzers found or that somebody thought of, kept in `fuzz/corpus`.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

/// How names of complete inputs begin.
const COMPLETE: &str = "whole"; // words: ok

/// Tries a property on every file of a fuzz target's corpus. The property says whether the bytes were read. Those of a file
/// of a complete input must be, which its name says: where none is, the fuzzer only ever sees how damage is refused.
///
/// # Panics
/// It does not hold for a file, which is named; a complete one is refused, or there is none.
pub fn replay_corpus(target: &str, property: fn(&[u8]) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut whole = 0;
    for entry in fs::read_dir(folder).expect("the target has a corpus") {
        let path = entry.expect("the folder can be read").path();
        let bytes = fs::read(&path).expect("the file can be read");
        let read = catch_unwind(|| property(&bytes));
        assert!(read.is_ok(), "{}", path.display());
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(COMPLETE)) {
            assert!(read.is_ok_and(|read| read), "{} is refused", path.display());
            whole += 1;
        }
    }
    assert!(whole > 0, "the corpus of {target} has nothing that is read");
}
