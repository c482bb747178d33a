//! By which right an account is read: a token that the pipeline names, what is stored for the account, or the sandbox.

use url::Url;

use super::{SandboxSpec, refuse_beside, server};
use crate::document::error::ConfigError;
use crate::document::fields::{Decoder, Fields};
use crate::document::node::Node;
use crate::document::secret::SecretRef;

/// By which right an account is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Credentials {
    /// The tokens that `auth login` stored for the account.
    Stored,
    /// The same, begun with a refresh token that the pipeline names.
    Seeded(Seed),
    /// A bearer token.
    Token(SecretRef),
    /// The embedded API, which needs none.
    Sandbox(SandboxSpec),
}

/// What an account's first sign-in is made of where nobody ran `auth login` on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// The first refresh token. Its successors are stored.
    pub refresh_token: SecretRef,
    /// The API key that it was issued to.
    pub client_id: String,
    /// The key's secret, where it has one.
    pub client_secret: Option<SecretRef>,
    /// Another token endpoint than the vendor's.
    pub token_url: Option<Url>,
}

/// Keys that only mean something beside `refresh_token`.
const OF_SEED: [&str; 3] = ["client_id", "client_secret", "token_url"];

impl Credentials {
    /// Exactly one right: the sandbox, an access token, a refresh token, or else what is stored for the account.
    pub(super) fn decode(
        node: &Node,
        fields: &Fields<'_>,
        allow_http: bool,
        decoder: &mut Decoder<'_>,
    ) -> Option<Self> {
        if let Some(sandbox) = fields.entry("sandbox") {
            let help = "the embedded API needs neither a token nor an address: keep one of the two";
            let keys = ["access_token", "refresh_token", "client_id", "client_secret", "token_url", "base_url"];
            refuse_beside(fields, &keys, "sandbox", help, decoder);
            refuse_beside(fields, &["accounts"], "sandbox", "the embedded API has one account", decoder);
            return SandboxSpec::decode(&sandbox.value, decoder).map(Self::Sandbox);
        }
        if let Some(token) = fields.entry("access_token") {
            refuse_beside(fields, &["refresh_token"], "access_token", "keep one of the two", decoder);
            refuse_beside(fields, &OF_SEED, "access_token", "they go with `refresh_token`", decoder);
            refuse_beside(fields, &["accounts"], "access_token", "a token reads one account", decoder);
            let secret = SecretRef::decode(&token.value, token.span);
            return decoder.keep(secret).map(Self::Token);
        }
        if fields.entry("refresh_token").is_some() {
            refuse_beside(fields, &["accounts"], "refresh_token", "a token reads one account", decoder);
            return Seed::decode(node, fields, allow_http, decoder).map(Self::Seeded);
        }
        for entry in OF_SEED.iter().filter_map(|key| fields.entry(key)) {
            let message = format!("`{}` has no effect without `refresh_token`", entry.key);
            let error = ConfigError::new(Some(entry.span), &entry.value.path, message);
            decoder.errors.push(error.help("`ctct-etl auth login` stores it with the account: remove it here"));
        }
        if fields.get("account").or(fields.get("accounts")).is_some() {
            return Some(Self::Stored);
        }
        decoder.errors.push(
            ConfigError::at(node, "`source` does not say which account to read")
                .help("add `account: NAME`, `access_token: {env: NAME}` or `sandbox: {contacts: 1000}`"),
        );
        None
    }
}

impl Seed {
    fn decode(node: &Node, fields: &Fields<'_>, allow_http: bool, decoder: &mut Decoder<'_>) -> Option<Self> {
        let mut secret = |key: &str| {
            let entry = fields.entry(key)?;
            decoder.keep(SecretRef::decode(&entry.value, entry.span))
        };
        let (refresh_token, client_secret) = (secret("refresh_token"), secret("client_secret"));
        let client_id = fields.text("client_id", decoder);
        if fields.entry("client_id").is_none() {
            let error = ConfigError::at(node, "`refresh_token` needs `client_id`");
            decoder.errors.push(error.help("the API key that the token was issued to"));
        }
        if fields.entry("account").is_none() {
            let error = ConfigError::at(node, "`refresh_token` needs `account`");
            decoder.errors.push(error.help("choose a name: the renewed tokens are stored under it"));
        }
        let token_url = fields.get("token_url").and_then(|node| server(node, allow_http, decoder));
        Some(Self { refresh_token: refresh_token?, client_id: client_id?, client_secret, token_url })
    }
}
