//! Texts as words of shells and of systemd's units.

use std::path::Path;

/// A path as a word of a command for sh.
pub fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A text in a unit, without the specifiers that systemd would replace.
pub(crate) fn unit_text(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word of a list in a unit, quoted where it must be (systemd.syntax(7)).
pub(crate) fn unit_word(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-=".contains(&byte));
    let text = unit_text(text);
    if plain { text } else { format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")) }
}

/// A word of a command in a unit, in which `$` would name a variable.
pub(crate) fn unit_argument(path: &Path) -> String {
    unit_word(&path.display().to_string()).replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(shell_word(Path::new("/opt/ctct-etl")), "/opt/ctct-etl");
        assert_eq!(shell_word(Path::new("/it's 100%")), r"'/it'\''s 100%'");
        assert_eq!(shell_word(Path::new("")), "''");
    }

    #[test]
    fn words_of_units_are_quoted_where_they_must_be() {
        assert_eq!(unit_word("-/srv/acme"), "-/srv/acme");
        assert_eq!(unit_word("A=50% of \"x\""), r#""A=50%% of \"x\"""#);
        assert_eq!(unit_argument(Path::new("/a $b")), "\"/a $$b\"");
    }
}
