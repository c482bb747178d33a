//! `ctct-etl auth list`: the accounts that are signed in.

use chrono::{DateTime, Utc};
use ctct_extract::{Identity, SignIn};
use serde::Serialize;

use super::{accounts, refuse};
use crate::args::{Global, ListArguments, Output};
use crate::command::{json, runtime, worse};
use crate::exit_code;
use crate::printer::print;
use crate::text_table::text_table;

/// One account, without its secrets.
#[derive(Debug, Serialize)]
struct Row {
    account: String,
    /// The account's id at the vendor, where it was known at the sign-in.
    encoded_account_id: Option<String>,
    organization_name: Option<String>,
    application: String,
    /// The API that it is for.
    server: String,
    signed_in_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    generation: u64,
}

/// Lists the accounts. What cannot be read is on stderr, and the others are listed.
pub(super) fn list(global: &Global, arguments: &ListArguments) -> Result<u8, u8> {
    let accounts = accounts(global, &arguments.place)?;
    runtime()?.block_on(async {
        let mut code = exit_code::DONE;
        let mut rows = Vec::new();
        for name in accounts.names().await.map_err(|error| refuse(&error))? {
            match accounts.read(&name).await {
                Ok(sign_in) => rows.extend(sign_in.map(Row::from)),
                Err(error) => code = worse(code, refuse(&error)),
            }
        }
        // That nobody is signed in would be wrong where one could not be read.
        let silent = rows.is_empty() && code != exit_code::DONE && arguments.result.output == Output::Text;
        Ok(if silent { code } else { worse(code, print(&shown(&rows, arguments.result.output))) })
    })
}

fn shown(rows: &[Row], output: Output) -> String {
    match output {
        Output::Json => json(&rows),
        Output::Text if rows.is_empty() => {
            "No account is signed in.\n\nTo sign in: ctct-etl auth login --account NAME".to_owned()
        }
        Output::Text => {
            let mut table =
                text_table(["account", "whose", "server", "application", "signed in", "access token expires"]);
            for row in rows {
                table.add_row([
                    row.account.clone(),
                    row.whose(),
                    row.server.clone(),
                    row.application.clone(),
                    instant(row.signed_in_at),
                    row.expires_at.map_or_else(|| "unknown".to_owned(), instant),
                ]);
            }
            table.to_string()
        }
    }
}

impl From<SignIn> for Row {
    fn from(sign_in: SignIn) -> Self {
        let server = sign_in.api_url().to_string();
        let SignIn { account, application, identity, signed_in_at, expires_at, generation, .. } = sign_in;
        let Identity { account: encoded_account_id, name: organization_name, .. } = identity;
        Self {
            account,
            encoded_account_id,
            organization_name,
            application,
            server,
            signed_in_at,
            expires_at,
            generation,
        }
    }
}

impl Row {
    fn whose(&self) -> String {
        let (account, name) = (self.encoded_account_id.clone(), self.organization_name.clone());
        if account.is_none() {
            return "unknown".to_owned();
        }
        Identity { account, name, ..Identity::default() }.to_string()
    }
}

/// A moment, as the commands of `auth` show it.
pub(super) fn instant(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
