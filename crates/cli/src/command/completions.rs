//! `ctct-etl completions`: a script that completes commands and options in a shell.

use crate::args::{CompletionsArguments, command_line};
use crate::printer::print;

/// Prints the script for one shell. `clap_complete` 4.6 gives bash two names for the commands of a program that has a hyphen in its
/// own; completing the words of `auth` needs one.
pub(crate) fn completions(arguments: &CompletionsArguments) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command_line(), "ctct-etl", &mut script);
    print(&String::from_utf8_lossy(&script).replace("ctct__subcmd__etl", "ctct__etl"))
}
