//! `ctct-etl auth status`: whose account each is, what may be read, and until when.

use chrono::{DateTime, Utc};
use ctct_extract::{AccountSummary, Accounts, Client, ClientConfig, ExtractError, Identity, SignIn, Token};
use ctct_pipeline::Outcome;
use ctct_pipeline::policy::with_advice;
use serde::Serialize;

use super::list::instant;
use super::login::missing;
use super::{accounts, context, not_signed_in, outcome, refuse, refuse_run};
use crate::args::{Global, Output, StatusArguments};
use crate::command::{json, runtime, worse};
use crate::exit_code;
use crate::printer::{complain, print};

/// One account, without its secrets.
#[derive(Debug, Serialize)]
struct Status {
    account: String,
    application: String,
    client_id: String,
    /// The API that it is for.
    server: String,
    scopes: Vec<String>,
    /// Scopes that reading needs and that were not granted.
    missing_scopes: Vec<&'static str>,
    signed_in_at: DateTime<Utc>,
    renewed_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// Whether there is a refresh token.
    renewable: bool,
    generation: u64,
    /// From the API, or where nobody asked, as it was at the sign-in; `null` where neither tells.
    who: Option<Who>,
    error: Option<String>,
}

/// Whose account it is.
#[derive(Debug, Serialize)]
struct Who {
    encoded_account_id: Option<String>,
    organization_name: Option<String>,
    contact_email: Option<String>,
}

/// Shows the status of one account or of all.
pub(super) fn status(global: &Global, arguments: &StatusArguments) -> Result<u8, u8> {
    let accounts = accounts(global, &arguments.place)?;
    runtime()?.block_on(async {
        let there = accounts.names().await.map_err(|error| refuse(&error))?;
        let asked: Vec<_> =
            there.iter().filter(|name| arguments.account.as_ref().is_none_or(|it| it == *name)).collect();
        if asked.is_empty() {
            let Some(account) = &arguments.account else {
                complain("error: no account is signed in\nnext: ctct-etl auth login --account NAME");
                return Err(exit_code::SIGN_IN);
            };
            return Err(not_signed_in(account, &there));
        }
        let (mut shown, mut outcomes) = (Vec::new(), Vec::new());
        for account in asked {
            match examined(global, &accounts, account, arguments).await {
                Ok(None) => {}
                Ok(Some((status, outcome))) => {
                    outcomes.push(outcome);
                    shown.push(status);
                }
                Err(told) => outcomes.push(told),
            }
        }
        let printed = match arguments.result.output {
            Output::Json => print(&json(&shown)),
            // What went wrong is on stderr.
            Output::Text if shown.is_empty() => exit_code::DONE,
            Output::Text => print(&shown.iter().map(text).collect::<Vec<_>>().join("\n")),
        };
        Ok(worse(Outcome::of_parts(&outcomes).policy().exit_code, printed))
    })
}

/// The status of an account; `None` where it was signed out meanwhile. What cannot be read is told.
async fn examined(
    global: &Global,
    accounts: &Accounts,
    account: &str,
    arguments: &StatusArguments,
) -> Result<Option<(Status, Outcome)>, Outcome> {
    let tell = |error: ExtractError| {
        refuse(&error);
        outcome(&error)
    };
    let Some(stored) = accounts.read(account).await.map_err(tell)? else { return Ok(None) };
    if arguments.offline {
        let ended = stored.expires_at.is_some_and(|end| end <= Utc::now()) && stored.refresh_token.is_none();
        let error = ended.then(|| format!("it has expired; run `ctct-etl auth login --account {account}`"));
        let outcome = if ended { Outcome::SignIn } else { Outcome::Done };
        return Ok(Some((Status::new(stored, None, error), outcome)));
    }
    let base_url = match &arguments.base_url {
        Some(url) => url.clone(),
        None => stored.api_url(),
    };
    let token = Token::Stored { accounts: accounts.clone(), account: account.to_owned() };
    // The request counts like those of runs.
    let context = context(global);
    let place = arguments.place.state.as_deref();
    let ledger = context.ledger_at(place, &base_url, &stored.client_id).map_err(|error| {
        refuse_run(&error);
        error.outcome()
    })?;
    // Whoever signed in at such a server has said so then.
    let allow_http = arguments.base_url.is_none();
    let asked = match Client::new(ClientConfig { ledger, allow_http, ..ClientConfig::new(base_url, token) }) {
        Ok(client) => {
            let asked = client.account_summary().await;
            client.settle().await.and(asked)
        }
        Err(error) => Err(error),
    };
    context.state.release(&context.clock).await;
    // Asking may have renewed it.
    let Some(stored) = accounts.read(account).await.map_err(tell)? else { return Ok(None) };
    Ok(Some(match asked {
        Ok(who) => (Status::new(stored, Some(who), None), Outcome::Done),
        Err(error) => (Status::new(stored, None, Some(with_advice(&error))), outcome(&error)),
    }))
}

impl Status {
    fn new(sign_in: SignIn, who: Option<AccountSummary>, error: Option<String>) -> Self {
        Self {
            missing_scopes: missing(&sign_in),
            server: sign_in.api_url().to_string(),
            renewable: sign_in.refresh_token.is_some(),
            account: sign_in.account,
            application: sign_in.application,
            client_id: sign_in.client_id,
            scopes: sign_in.scopes,
            signed_in_at: sign_in.signed_in_at,
            renewed_at: sign_in.renewed_at,
            expires_at: sign_in.expires_at,
            generation: sign_in.generation,
            who: who.map(Who::from).or_else(|| Who::stored(sign_in.identity)),
            error,
        }
    }
}

impl From<AccountSummary> for Who {
    fn from(summary: AccountSummary) -> Self {
        let AccountSummary { encoded_account_id, organization_name, contact_email } = summary;
        Self { encoded_account_id, organization_name, contact_email }
    }
}

impl Who {
    /// What was known at the sign-in.
    fn stored(Identity { account, name, .. }: Identity) -> Option<Self> {
        let encoded_account_id = Some(account?);
        Some(Self { encoded_account_id, organization_name: name, contact_email: None })
    }
}

fn text(status: &Status) -> String {
    let mut text = format!("{}\n", status.account);
    let mut line = |what: &str, value: String| text += &format!("  {what:<14}{value}\n");
    if let Some(Who { encoded_account_id, organization_name, contact_email }) = &status.who {
        let parts = [organization_name, encoded_account_id, contact_email];
        let parts: Vec<&str> = parts.into_iter().filter_map(Option::as_deref).collect();
        line("who", parts.join(", "));
    }
    line("server", status.server.clone());
    line("application", format!("{} (client id {})", status.application, status.client_id));
    line("scopes", status.scopes.join(" "));
    if !status.missing_scopes.is_empty() {
        line("not granted", status.missing_scopes.join(" "));
    }
    line("signed in", instant(status.signed_in_at));
    line("renewed", format!("{}, generation {}", instant(status.renewed_at), status.generation));
    let ends = status.expires_at.map_or_else(|| "unknown".to_owned(), instant);
    line(
        "expires",
        format!("{ends}, {}", if status.renewable { "renewed automatically" } else { "cannot be renewed" }),
    );
    if let Some(error) = &status.error {
        line("error", error.clone());
    }
    text
}
