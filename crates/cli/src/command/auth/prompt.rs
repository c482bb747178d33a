//! Questions to a person, on a terminal. Whoever pipes text in is read without a question.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Read, Write};

use secrecy::SecretString;

use crate::exit_code;
use crate::printer::complain;
use crate::stop::StopRequests;

/// An address with a code in it is a few kilobytes.
const MAX_BYTES: u64 = 64 << 10;

/// Whether somebody can be asked.
pub(super) fn somebody_is_there() -> bool {
    io::stdin().is_terminal()
}

/// A line that may be seen. Without an end of its own, the last line ends with the input.
pub(super) fn line(question: &str) -> Result<String, u8> {
    if somebody_is_there() {
        // There is nobody to ask where this fails, and nobody to answer.
        let _ = write!(io::stderr().lock(), "{question}");
        let _ = io::stderr().flush();
    }
    let mut line = String::new();
    match io::stdin().lock().take(MAX_BYTES).read_line(&mut line) {
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(unread(&error)),
    }
}

/// A line that is not shown while it is typed or pasted. Called within a runtime's context.
pub(super) fn secret(question: &str) -> Result<SecretString, u8> {
    if somebody_is_there() {
        // Ctrl-C would end the process with the terminal still mute. While somebody listens, it ends only the question.
        let _requests = StopRequests::listen();
        return match rpassword::prompt_password(question) {
            Ok(text) => Ok(SecretString::from(text)),
            Err(error) => Err(unread(&error)),
        };
    }
    line(question).map(SecretString::from)
}

fn unread(error: &io::Error) -> u8 {
    if error.kind() == ErrorKind::Interrupted {
        complain("error: stopped before the sign-in was complete\nhelp: run `ctct-etl auth login` again");
        return exit_code::TRANSIENT;
    }
    complain(&format!("error: cannot read stdin: {error}"));
    exit_code::CONFIGURATION
}
