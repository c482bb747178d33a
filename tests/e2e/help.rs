//! Help and completions: every command has examples, and every example is a command that the program knows.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::program::{run, said};

/// Every command, the program itself included, by the words that call it.
pub(crate) fn commands() -> Vec<(String, clap::Command)> {
    fn walk(path: &str, command: &clap::Command, all: &mut Vec<(String, clap::Command)>) {
        all.push((path.to_owned(), command.clone()));
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            walk(&format!("{path} {}", child.get_name()), child, all);
        }
    }
    let mut program = ctct_etl::command_line();
    program.build();
    let mut all = Vec::new();
    walk("ctct-etl", &program, &mut all);
    all
}

/// Whether the program knows the command of a line that shows one. A line without `ctct-etl` is of no concern; neither is what
/// stands for something else (`COMMAND`), or what follows a redirection, a pipe or a comment.
pub(crate) fn understood(line: &str) -> Result<(), String> {
    let line = line.trim().trim_start_matches("$ ");
    let Some(rest) = line.strip_prefix("ctct-etl ") else { return Ok(()) };
    let mut words = words(rest).into_iter();
    let mut arguments = vec!["ctct-etl".to_owned()];
    arguments.extend(words.by_ref().take_while(|word| !is_end(word)));
    match ctct_etl::command_line().try_get_matches_from(&arguments) {
        Ok(_) => Ok(()),
        Err(error) if error.exit_code() == 0 => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn is_end(word: &str) -> bool {
    ["#", "|", "&&", ";", "&", "\\"].contains(&word) || word.trim_start_matches(['1', '2', '&']).starts_with(['>', '<'])
}

/// The words of a shell's command up to where two spaces begin a remark; quotes are taken off.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut spaces) = (Vec::new(), None::<String>, None, 0);
    for c in text.chars() {
        spaces = if c == ' ' && quote.is_none() { spaces + 1 } else { 0 };
        match (quote, c) {
            _ if spaces == 2 => break,
            (None, ' ') => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if open == c => quote = None,
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_has_examples_that_the_program_knows() {
    let mut wrong = Vec::new();
    for (name, command) in commands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.split_once("Examples:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default());
        let Some(examples) = examples else {
            wrong.push(format!("{name}: its help has no examples"));
            continue;
        };
        if !examples.contains(&name) {
            wrong.push(format!("{name}: its examples do not show it"));
        }
        for line in examples.lines() {
            if let Err(why) = understood(line) {
                wrong.push(format!("{name}: {}: {why}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_that_is_no_command_is_noticed() {
    assert!(understood("  ctct-etl run acme.yaml --output json 2>run.log").is_ok());
    assert!(understood("ctct-etl run a.yaml --over-days    again each day").is_ok());
    assert!(understood("ctct-etl init --schedule '0 6 * * *'").is_ok());
    assert!(understood("ls -l").is_ok());
    assert!(understood("ctct-etl rum acme.yaml").is_err());
    assert!(understood("ctct-etl run acme.yaml --ouput json").is_err());
}

#[test]
fn help_of_every_command_goes_to_stdout_and_fits_a_terminal() {
    let folder = TempDir::new().unwrap();
    for (name, _) in commands() {
        let arguments: Vec<&str> = name.split(' ').skip(1).chain(["--help"]).collect();
        let said = run(folder.path(), &arguments);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{name}");
        let widest = said.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(140), "{name}: {widest:?}");
    }
}

#[test]
fn a_slip_is_met_with_what_was_meant() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("p.yaml"),
        "version: 1\nname: p\nsource: {sandbox: {contacts: 3}}\ndestination: {url: ./out}\nreports: [{report: contacts}]\n",
    )
    .unwrap();
    for (arguments, meant) in [
        (&["rum"][..], "run"),
        (&["auth", "logn"], "login"),
        (&["run", "p.yaml", "--ouput", "json"], "--output"),
        (&["init", "--write-mode", "marge"], "merge"),
        (&["completions", "bsh"], "bash"),
        (&["reports", "contcts"], "did you mean `contacts`?"),
        (&["run", "p.yaml", "--report", "contcts"], "did you mean `contacts`?"),
        (&["verify", "p.yaml", "--report", "contcts"], "did you mean `contacts`?"),
    ] {
        let said = run(folder.path(), arguments);
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said.stderr.contains(meant), "{arguments:?}: {}", said.stderr);
    }
}

#[test]
fn bash_takes_the_completions_and_completes_with_them() {
    let folder = TempDir::new().unwrap();
    let script = run(folder.path(), &["completions", "bash"]);
    assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
    fs::write(folder.path().join("ctct-etl.bash"), &script.stdout).unwrap();
    let bash = |command: &str| {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "--noprofile", "-eu", "-c", command]).current_dir(folder.path()).stdin(Stdio::null());
        let said = said(&mut bash);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{command}: {said:?}");
        said.stdout
    };
    bash("bash -n ctct-etl.bash");
    // As bash itself does: the words so far, the index of the one that is typed, and the function that `complete` registered.
    let complete = |words: &[&str]| {
        let listed = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let (last, before) = (words.len() - 1, words[words.len() - 2]);
        bash(&format!(
            "set +eu; source ./ctct-etl.bash; COMP_WORDS=({listed}); COMP_CWORD={last}; \
             function=$(complete -p ctct-etl | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $function ctct-etl '{}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words[last]
        ))
    };
    assert_eq!(complete(&["ctct-etl", "verif"]).trim(), "verify");
    assert_eq!(complete(&["ctct-etl", "auth", "logi"]).trim(), "login");
    assert_eq!(complete(&["ctct-etl", "run", "--over"]).trim(), "--over-days");
    let shells = complete(&["ctct-etl", "completions", ""]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(shells.contains(shell), "{shells}");
        let script = run(folder.path(), &["completions", shell]);
        assert!(script.code == Some(0) && script.stdout.contains("ctct-etl"), "{shell}");
    }
}
