//! An error and what caused it, in one line.

use std::error::Error;

/// The error and what caused it, in one line. A cause that its error's own text tells already is not told again.
pub fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message += ": ";
            message += &text;
        }
        cause = error.source();
    }
    message
}
