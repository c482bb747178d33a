//! The command line in force, for advice that can be copied: what it repeats must ask for the same.

use std::fmt;

/// How the run was started: its file, and the flags that say what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    file: String,
    /// Flags that every command takes.
    everywhere: Vec<String>,
    /// Flags of `run`, each with its value.
    run: Vec<(String, Option<String>)>,
}

/// Flags that cannot be combined: the first takes the place of the others.
const INSTEAD: &[(&str, &[&str])] = &[
    ("--report", &["--report"]),
    ("--full-refresh", &["--full-refresh", "--from", "--to"]),
    ("--from", &["--full-refresh", "--from", "--to"]),
];

/// Flags that several values may be given to.
const SEVERAL: &[&str] = &["--report", "--account"];

impl CommandLine {
    /// A command for this file, without flags.
    pub fn new(file: &str) -> Self {
        Self { file: quoted(file), ..Self::default() }
    }

    /// The same with a flag that every command takes.
    #[must_use]
    pub fn everywhere(mut self, flag: &str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.everywhere.push(format!("{flag} {}", quoted(&value)));
        }
        self
    }

    /// The same with a flag of `run`, where it was given.
    #[must_use]
    pub fn flag(mut self, flag: &str, given: bool) -> Self {
        if given {
            self.run.push((flag.to_owned(), None));
        }
        self
    }

    /// The same with the values of a flag of `run`.
    #[must_use]
    pub fn values(mut self, flag: &str, values: impl IntoIterator<Item = String>) -> Self {
        self.run.extend(values.into_iter().map(|value| (flag.to_owned(), Some(quoted(&value)))));
        self
    }

    /// The advice with every `ctct-etl run FILE` in it made the run in force: its flags, and those that the advice adds.
    pub fn in_force(&self, advice: &str) -> String {
        let begin = format!("ctct-etl run {self}");
        let mut told = String::with_capacity(advice.len());
        let mut rest = advice;
        while let Some((before, after)) = rest.split_once(&begin) {
            let flags = after.split('`').next().unwrap_or_default();
            told += before;
            told += &begin;
            told += &self.flags_beside(flags);
            told += flags;
            rest = after.get(flags.len()..).unwrap_or_default();
        }
        told + rest
    }

    /// The flags in force that can be combined with these.
    fn flags_beside(&self, flags: &str) -> String {
        let added: Vec<&str> = flags.split_ascii_whitespace().filter(|word| word.starts_with("--")).collect();
        let replaced = |flag: &str| {
            let once = !SEVERAL.contains(&flag) && added.contains(&flag);
            once || INSTEAD.iter().any(|(by, instead)| added.contains(by) && instead.contains(&flag))
        };
        let kept = self.run.iter().filter(|(flag, _)| !replaced(flag));
        kept.map(|(flag, value)| match value {
            Some(value) => format!(" {flag} {value}"),
            None => format!(" {flag}"),
        })
        .collect()
    }
}

/// The file and what every command takes.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.everywhere.iter().try_for_each(|flag| write!(f, " {flag}"))
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    let word = if word.starts_with('-') { format!("./{word}") } else { word.to_owned() };
    if !word.is_empty() && word.bytes().all(plain) { word } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_repeats_every_flag_once_and_what_it_adds_wins() {
        let line = CommandLine::new("my pipes/a.yaml")
            .everywhere("--config-dir", Some("/etc/my ctct".to_owned()))
            .values("--report", ["contacts".to_owned(), "contact_lists".to_owned()])
            .values("--from", ["2026-01-01".to_owned()])
            .flag("--over-days", true)
            .flag("--wait", false);
        let file = line.to_string();
        assert_eq!(file, "'my pipes/a.yaml' --config-dir '/etc/my ctct'");
        let told = |advice: &str| line.in_force(&advice.replace("FILE", &file)).replace(&file, "FILE");
        let flags = "--report contacts --report contact_lists --from 2026-01-01 --over-days";
        for (advice, expected) in [
            ("`ctct-etl run FILE`", format!("`ctct-etl run FILE {flags}`")),
            ("see `ctct-etl plan FILE`, then `ctct-etl run FILE`.", format!("see `ctct-etl plan FILE`, then `ctct-etl run FILE {flags}`.")),
            (
                "`ctct-etl run FILE --report contacts --full-refresh` or `ctct-etl run FILE --over-days`",
                "`ctct-etl run FILE --over-days --report contacts --full-refresh` or `ctct-etl run FILE --report contacts \
                 --report contact_lists --from 2026-01-01 --over-days`"
                    .to_owned(),
            ),
            ("nothing", "nothing".to_owned()),
        ] {
            assert_eq!(told(advice), expected);
        }
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(CommandLine::new("a.yaml").in_force("`ctct-etl run a.yaml`"), "`ctct-etl run a.yaml`");
    }
}
