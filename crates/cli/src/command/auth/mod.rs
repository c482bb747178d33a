//! `ctct-etl auth`: signing accounts in, and what is stored of them.

mod application;
mod list;
mod login;
mod logout;
mod prompt;
mod status;

use std::path::PathBuf;

use ctct_extract::{Accounts, ExtractError, TokenKey};
use ctct_pipeline::{Context, ErrorSummary, Events, Outcome, RunError, policy, with_causes};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::keeping;
use crate::args::{AuthAction, AuthArguments, Global, StateOption};
use crate::printer::{complain, print};
use crate::{exit_code, folders, logging, reporter};

/// Does what was asked for.
pub(crate) fn auth(global: &Global, arguments: &AuthArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    let done = match &arguments.action {
        AuthAction::Login(arguments) => login::login(global, arguments),
        AuthAction::List(arguments) => list::list(global, arguments),
        AuthAction::Status(arguments) => status::status(global, arguments),
        AuthAction::Logout(arguments) => logout::logout(global, arguments),
        AuthAction::Key(_) => Ok(print(TokenKey::generate().text().expose_secret())),
    };
    done.unwrap_or_else(|code| code)
}

/// The sign-ins of this host, or those of the store that hosts share.
fn accounts(global: &Global, place: &StateOption) -> Result<Accounts, u8> {
    match &place.state {
        None => folders::config(global).map(|config| Accounts::in_folder(config.join("accounts"))),
        Some(url) => context(global).shared_accounts(url).map_err(|error| refuse_run(&error)),
    }
}

/// What opening a store takes, as this process has it.
fn context(global: &Global) -> Context {
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    super::context(&folder, keeping(global), Events::none(), CancellationToken::new())
}

/// The same as [`refuse`] for errors of a run: with what to do next.
fn refuse_run(error: &RunError) -> u8 {
    let ErrorSummary { message, advice } = error.summary("");
    complain(&format!("error: {message}\nnext: {advice}"));
    error.outcome().policy().exit_code
}

/// What an error means for the exit code: the one table of outcomes, where no part of a run is meant.
fn outcome(error: &ExtractError) -> Outcome {
    match Outcome::of_extract(error) {
        Outcome::Partial => Outcome::Configuration,
        outcome => outcome,
    }
}

/// Says what went wrong, with its causes, and gives the exit code.
fn refuse(error: &ExtractError) -> u8 {
    let next = policy::advice_on(error).map(|advice| format!("\nnext: {advice}")).unwrap_or_default();
    complain(&format!("error: {}{next}", with_causes(error)));
    outcome(error).policy().exit_code
}

/// The exit code of an account that nobody signed in, which is said.
fn not_signed_in(account: &str, there: &[String]) -> u8 {
    let others = match there {
        [] => "no account is signed in".to_owned(),
        there => format!("signed in are {}", there.join(", ")),
    };
    complain(&format!(
        "error: account `{account}` is not signed in ({others})\nnext: ctct-etl auth login --account {account}"
    ));
    exit_code::SIGN_IN
}
