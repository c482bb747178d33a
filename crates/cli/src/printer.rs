//! Everything that goes to stdout goes through here, so that a reader who closes the pipe (`| head`) is no error.

use std::io::{self, ErrorKind, Write};

use crate::exit_code;

/// Writes `text` and a line end, and gives the exit code: 0, or what the failure to write means.
pub(crate) fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush()) {
        Ok(()) => exit_code::DONE,
        // Whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit_code::DONE,
        Err(error) => {
            complain(&format!("error: stdout cannot be written: {error}"));
            exit_code::CONFIGURATION
        }
    }
}

/// Writes a message for people to stderr. There is nobody left to tell when that fails.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
}
