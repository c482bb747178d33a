//! `ctct-etl completions`, as clap sees it.

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl completions bash > ~/.local/share/bash-completion/completions/ctct-etl
  ctct-etl completions zsh > ~/.zfunc/_ctct-etl        with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  ctct-etl completions fish > ~/.config/fish/completions/ctct-etl.fish
  ctct-etl completions powershell >> $PROFILE

For this shell only: source <(ctct-etl completions bash)")]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}
