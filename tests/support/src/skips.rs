//! Tests that cannot run on a machine say so, so that nobody takes them for passed.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Mutex;
use std::{env, thread};

/// Names a file that gets a line for each skipped test; `.ci/run` counts and shows them at its end.
const LIST: &str = "CTCT_TEST_SKIPPED";

/// Notes that the running test, or the part of it that `why` names, is skipped: on stderr, past the capture of the test harness, and
/// in the file that `CTCT_TEST_SKIPPED` names. The same line is noted once.
pub fn skipped(why: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    // The harness names each test's thread after the test.
    let line = format!("skipped: {}: {why}\n", thread::current().name().unwrap_or("a test"));
    if !SAID.lock().unwrap().insert(line.clone()) {
        return;
    }
    io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(list) = env::var_os(LIST).filter(|list| !list.is_empty()) {
        OpenOptions::new().create(true).append(true).open(list).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
