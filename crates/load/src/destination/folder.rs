//! Names of folders: any text percent-encoded so that it stays one folder, below its parent, on every store, and so that
//! every reader finds the text in it.

use std::fmt::Write;

use percent_encoding::percent_decode_str;

use crate::error::LoadError;

/// Folder below the destination for all that is no table.
pub(crate) const STATE_FOLDER: &str = "_ctct";
/// Folder key of the account, which stands above every partition.
pub(crate) const ACCOUNT: &str = "account";

/// The folder that Hive, Spark and DuckDB read as null.
pub const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";
/// Longest encoded value. File systems end at 255 bytes, and `column=` needs some of them.
const LONGEST: usize = 200;

/// Encodes a value as part of a folder name: ASCII letters and digits, `-`, `_` and `.` stay, all other ASCII and
/// what controls a terminal becomes `%XX`. A leading dot is encoded too, so that `.` and `..` are ordinary names and no folder is hidden.
///
/// Other characters stay as they are: Spark decodes each `%XX` to a character of its own, and would read `%C3%A9` as
/// `Ã©` where other readers see `é`.
pub fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for (at, character) in value.char_indices() {
        let stays = match character {
            '-' | '_' => true,
            '.' => at > 0,
            _ if character.is_ascii() => character.is_ascii_alphanumeric(),
            _ => !character.is_control(),
        };
        if stays {
            encoded.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// The value that [`encode`] was given; `None` where the text is not of its making.
pub fn decode(encoded: &str) -> Option<String> {
    percent_decode_str(encoded).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The folder's value where a column is a partition folder of a file's path; as [`encode`] gave it.
pub(crate) fn value_of<'a>(path: &'a str, column: &str) -> Option<&'a str> {
    path.split('/').find_map(|part| part.strip_prefix(column)?.strip_prefix('='))
}

/// The folder name of a partition value; `None` where a folder name cannot carry it: an empty text, one that is longer
/// than 200 bytes when encoded, and the very name that stands for null.
pub(crate) fn of_value(value: &str) -> Option<String> {
    // Encoding never shortens, so a value that is too long need not be encoded to know it.
    if value.is_empty() || value.len() > LONGEST || value == NULL_FOLDER {
        return None;
    }
    let encoded = encode(value);
    (encoded.len() <= LONGEST).then_some(encoded)
}

/// The folder name of an account or a run, which must have one.
pub(crate) fn of_name(what: &'static str, name: &str) -> Result<String, LoadError> {
    of_value(name).ok_or_else(|| LoadError::Name {
        what,
        name: name.chars().take(40).collect(),
        reason: if name.is_empty() { "it is empty" } else { "it is reserved, or longer than 200 bytes when encoded" },
    })
}
