//! `ctct-etl auth`, as clap sees it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ctct_extract::Url;

use super::Output;

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
    /// Sign an account in, once: its tokens are renewed from then on.
    Login(Box<LoginArguments>),
    /// List the accounts that are signed in. Sends nothing.
    List(ListArguments),
    /// Show whose account each is, what may be read and until when: one request an account.
    Status(StatusArguments),
    /// Forget an account's tokens.
    Logout(LogoutArguments),
    /// Print a new key for tokens in a store that hosts share.
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
the profile, or a prompt. Both are kept in the profile, so that the next account needs neither.

Register the redirect URI for the application in the developer portal, exactly as written.

The account's organization and id are printed and kept with the sign-in: one request. A sign-in of another account than \
the one stored under the name is refused, unless --replace is given.

Exit code 10 says that nobody is signed in.")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct LoginArguments {
    /// Name for the account, as pipelines call it.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) account: String,
    /// Name of the application's profile: a client id, and a secret where there is one.
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
    /// Port on 127.0.0.1 that the browser comes back to: the redirect URI is `http://127.0.0.1:PORT/callback`; 0 picks a
    /// free one.
    #[arg(long, default_value_t = 8765, conflicts_with_all = ["redirect_uri", "device"])]
    pub(crate) port: u16,
    /// Another redirect URI.
    #[arg(long, value_name = "URI", conflicts_with = "device")]
    pub(crate) redirect_uri: Option<String>,
    /// Print the address instead of opening a browser.
    #[arg(long, conflicts_with_all = ["device", "paste"])]
    pub(crate) no_browser: bool,
    /// Paste the address that the browser ends on, where it cannot come back to this host.
    #[arg(long, conflicts_with = "device")]
    pub(crate) paste: bool,
    /// Type a code in on another device; the application must be set up for it.
    #[arg(long)]
    pub(crate) device: bool,
    /// Another authorization server, such as a sandbox. Runs read the API beside it, at `/v3` of the same server.
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// Another API than the one beside the authorization server. Runs read this one.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<Url>,
    /// Sign in at a server that is http:// and not on this host, where everybody on the way can read the tokens.
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
    /// Form of the list on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) place: StateOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl auth status
  ctct-etl auth status --account acme --output json
  ctct-etl auth status --offline

Exit code 10 says that an account must be signed in (again).")]
pub(crate) struct StatusArguments {
    /// Only this account.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub(crate) account: Option<String>,
    /// Send nothing: what is stored, whether it still works or not.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Where the API is; the server that each account signed in at, unless given.
    #[arg(long, value_name = "URL", conflicts_with = "offline")]
    pub(crate) base_url: Option<Url>,
    /// Form of the status on stdout.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) place: StateOption,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ctct-etl auth logout --account acme

The tokens are removed here and go on working where else they are: the vendor has no address to revoke them at.")]
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

Whoever has the key can read the tokens: keep it where your other secrets are. Give every host the same one.")]
pub(crate) struct KeyArguments {}

/// Where sign-ins are.
#[derive(Debug, Args)]
pub(crate) struct StateOption {
    /// Store that hosts share, as `state` of pipelines names it, instead of this host's folder. Sign-ins in it are encrypted
    /// with the key in `CTCT_TOKEN_KEY`.
    #[arg(long, value_name = "URL")]
    pub(crate) state: Option<String>,
}

/// The same names as in pipelines.
fn name(text: &str) -> Result<String, &'static str> {
    ctct_pipeline::document::is_name(text)
        .then(|| text.to_owned())
        .ok_or("letters, digits, `.`, `_` and `-`, 64 at most, starting with a letter or digit")
}
