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
            "Account {account} is signed out: its tokens are removed here.\nThe vendor has no address to revoke them at. \
             Copies of them, in a backup perhaps, end by themselves: the access token within a day, the refresh token \
             after 180 days without use."
        )))
    })
}
