//! A sandbox and the plainest client for it, which knows nothing of the program's own.

use std::net::{Ipv4Addr, SocketAddr};

use chrono::NaiveDate;
use ctct_sandbox::{Account, Sandbox, SandboxConfig};
use serde_json::Value;

/// The sandbox and what it takes to ask it.
pub(crate) struct Peer {
    pub(crate) sandbox: Sandbox,
    http: reqwest::Client,
    token: String,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("HTTP {}: {error}", self.status))
    }
}

/// The day on which the account stands.
pub(crate) fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
}

impl Peer {
    /// Starts a sandbox without limits.
    pub(crate) async fn start(config: SandboxConfig) -> Self {
        Self::limited(config.unlimited()).await
    }

    /// Starts a sandbox with the limits of the configuration.
    pub(crate) async fn limited(config: SandboxConfig) -> Self {
        // The client's TLS; the second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = Sandbox::start(SandboxConfig { today: today(), ..config }, address).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { token: sandbox.access_token(), sandbox, http }
    }

    /// Gets a path with its query, signed.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.get_as(target, &self.token).await
    }

    /// Gets a path with its query, signed with a token.
    pub(crate) async fn get_as(&self, target: &str, token: &str) -> Answer {
        let base = self.sandbox.base_url();
        let url = format!("{}{target}", base.strip_suffix("/v3").unwrap());
        let answer = self.http.get(url).bearer_auth(token).send().await.unwrap();
        Answer { status: answer.status().as_u16(), body: answer.bytes().await.unwrap().into() }
    }
}

/// The id of the contact that most campaigns went to.
pub(crate) fn busiest(account: &Account) -> String {
    let campaigns = |index: &u64| account.activity_summary(*index, 0, i64::MAX).len();
    account.contact_id((0..account.contacts()).max_by_key(campaigns).unwrap())
}

/// A query string.
pub(crate) fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    // Any URL does: only its query is wanted.
    let mut url = ctct_extract::Url::parse("http://localhost").unwrap();
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().map(|query| format!("?{query}")).unwrap_or_default()
}

/// The link to the next page.
pub(crate) fn next_link(body: &Value) -> Option<&str> {
    body.pointer("/_links/next/href")?.as_str()
}
