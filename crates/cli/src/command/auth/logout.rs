//! `ctct-etl auth logout`: forgets an account's tokens.

use super::{accounts, not_signed_in, refuse};
use crate::args::{Global, LogoutArguments};
use crate::command::runtime;
use crate::printer::print;

/// Removes what is stored of an account, and says what that does not do.
pub(super) fn logout(global: &Global, arguments: &LogoutArguments) -> Result<u8, u8> {
    let accounts = accounts(global, &arguments.place)?;
    let account = &arguments.account;
    runtime()?.block_on(async {
        if !accounts.remove(account).await.map_err(|error| refuse(&error))? {
            let there = accounts.names().await.map_err(|error| refuse(&error))?;
            return Err(not_signed_in(account, &there));
        }
        Ok(print(&format!(
            "Account {account} is signed out: its tokens are deleted here.\nThe vendor has no endpoint to revoke them. \
             Copies, for example in a backup, expire: the access token within a day, the refresh token after 180 days \
             without use."
        )))
    })
}
