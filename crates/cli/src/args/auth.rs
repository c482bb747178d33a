//! `ctct-etl auth`, as clap sees it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ctct_extract::Url;

use super::ResultFormat;

#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    after_help = "Examples:
  ctct-etl auth login --account acme
  ctct-etl auth list
  ctct-etl auth status --account acme --output json"
)]
pub(crate) struct AuthArguments {
    #[command(subcommand)]
    pub(crate) action: AuthAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthAction {
    /// Sign in to an account, once: its tokens are renewed automatically.
    Login(Box<LoginArguments>),
    /// List the accounts that are signed in. Makes no API requests.
    List(ListArguments),
    /// Show the owner, scopes and expiry of each sign-in: one request per account.
    Status(StatusArguments),
    /// Delete an account's tokens.
    Logout(LogoutArguments),
    /// Print a new encryption key for sign-ins in a shared store.
    Key(KeyArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl auth login --account acme --client-id 12345678-90ab-cdef-1234-567890abcdef
  ctct-etl auth login --account acme --client-secret-file /run/secrets/constant-contact
  ctct-etl auth login --account acme --redirect-uri https://localhost --paste
  ctct-etl auth login --account acme --application on-servers --device
  ctct-etl auth login --account acme --state s3://bucket/prefix
  ctct-etl auth login --account acme --replace
  ctct-etl auth login --account acme --server http://127.0.0.1:8080     on a sandbox

The client id (API key) comes from --client-id, CTCT_CLIENT_ID, the application's profile, or a prompt. \
The secret, where the application has one, comes from --client-secret-env, --client-secret-file, CTCT_CLIENT_SECRET, \
the profile, or a prompt. Both are saved in the profile, so that they are not needed for the next account.

Register the redirect URI for the application in the developer portal, exactly as written.

The account's organization and id are printed and saved with the sign-in: one request. If another account is already \
stored under the name, the sign-in is refused, unless --replace is given.

Exit code 10 means that the sign-in failed.")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct LoginArguments {
    /// Name for the account, as used in pipelines.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) account: String,
    /// Name of the application's profile, which has the client id and, if any, the secret.
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = name)]
    pub(crate) application: String,
    /// Client id (API key) of the application.
    #[arg(long, value_name = "ID", env = "CTCT_CLIENT_ID", hide_env_values = true)]
    pub(crate) client_id: Option<String>,
    /// Environment variable with the application's secret.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "client_secret_file")]
    pub(crate) client_secret_env: Option<String>,
    /// File with the application's secret.
    #[arg(long, value_name = "FILE")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// Port on 127.0.0.1 to which the browser is redirected: the redirect URI is `http://127.0.0.1:PORT/callback`; 0 picks a
    /// free one.
    #[arg(long, default_value_t = 8765, conflicts_with_all = ["redirect_uri", "device"])]
    pub(crate) port: u16,
    /// Use another redirect URI.
    #[arg(long, value_name = "URI", conflicts_with = "device")]
    pub(crate) redirect_uri: Option<String>,
    /// Print the address instead of opening a browser.
    #[arg(long, conflicts_with_all = ["device", "paste"])]
    pub(crate) no_browser: bool,
    /// Paste the address of the browser's last page, for browsers that cannot reach this host.
    #[arg(long, conflicts_with = "device")]
    pub(crate) paste: bool,
    /// Enter a code on another device; the application must be set up for it.
    #[arg(long)]
    pub(crate) device: bool,
    /// Use another authorization server, such as a sandbox. Runs read the API at `/v3` of the same server.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// API that runs read, if it is not on the authorization server.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<Url>,
    /// Allow an http:// server that is not on this host. Anybody on the network path can read the tokens.
    #[arg(long)]
    pub(crate) allow_http: bool,
    /// Replace the sign-in of another Constant Contact account that is stored under this name.
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) place: StateOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl auth list
  ctct-etl auth list --output json")]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) result: ResultFormat,
    #[command(flatten)]
    pub(crate) place: StateOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl auth status
  ctct-etl auth status --account acme --output json
  ctct-etl auth status --offline

Exit code 10 means that an account must be signed in (again).")]
pub(crate) struct StatusArguments {
    /// Only this account.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) account: Option<String>,
    /// Make no requests: show what is stored, without checking that it still works.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Address of the API; by default the server of each account's sign-in.
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    pub(crate) base_url: Option<Url>,
    #[command(flatten)]
    pub(crate) result: ResultFormat,
    #[command(flatten)]
    pub(crate) place: StateOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl auth logout --account acme

The tokens are deleted here. Copies elsewhere keep working: the vendor has no endpoint to revoke them.")]
pub(crate) struct LogoutArguments {
    /// The account.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) account: String,
    #[command(flatten)]
    pub(crate) place: StateOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  export CTCT_TOKEN_KEY=\"$(ctct-etl auth key)\"

Anybody with the key can read the tokens: store it with your other secrets. All hosts need the same key.")]
pub(crate) struct KeyArguments {}

/// Where sign-ins are.
#[derive(Debug, Args)]
pub(crate) struct StateOption {
    /// Shared store for sign-ins, as in `state` of pipelines, instead of this host's folder. Sign-ins are encrypted with the
    /// key in `CTCT_TOKEN_KEY`.
    #[arg(long, value_name = "URL")]
    pub(crate) state: Option<String>,
}

/// The same names as in pipelines.
fn name(text: &str) -> Result<String, &'static str> {
    ctct_pipeline::document::is_name(text)
        .then(|| text.to_owned())
        .ok_or("use up to 64 letters, digits, `.`, `_` and `-`, starting with a letter or digit")
}
