//! Tests over real HTTP.

mod account;
mod device;
mod edits;
mod faults;
mod filters;
mod limits;
mod paging;
mod parameters;
mod sign_in;
mod token_endpoint;
mod tokens;
mod users;

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::{Sandbox, SandboxConfig};

/// A sandbox and a client that is signed in.
struct Peer {
    sandbox: Sandbox,
    client: Client,
}

/// A response.
struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Where a redirect goes.
    fn location(&self) -> Url {
        Url::parse(self.headers["location"].to_str().unwrap()).unwrap()
    }
}

impl Peer {
    async fn start(config: SandboxConfig) -> Self {
        let sandbox = Sandbox::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        Self { sandbox, client: client() }
    }

    /// A request to a path behind `/v3`, with a token.
    fn request(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.sandbox.base_url())).bearer_auth(self.sandbox.access_token())
    }

    async fn get(&self, path: &str) -> Answer {
        answer(self.request(path)).await
    }

    /// Sends a form.
    async fn post(&self, url: &str, form: &[(&str, &str)]) -> Answer {
        answer(self.client.post(url).body(form_of(form))).await
    }

    /// The body of a path that answers 200.
    async fn body(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    /// All pages from a path on.
    async fn pages(&self, path: &str) -> Vec<Value> {
        let mut pages = vec![self.body(path).await];
        while let Some(href) = pages.last().unwrap()["_links"]["next"]["href"].as_str() {
            let path = href.strip_prefix("/v3").unwrap().to_owned();
            pages.push(self.body(&path).await);
        }
        pages
    }

    /// All rows under a key, over all pages.
    async fn rows(&self, path: &str, key: &str) -> Vec<Value> {
        self.pages(path).await.iter().flat_map(|page| page[key].as_array().unwrap().clone()).collect()
    }
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// Parameters as a form, or as a query.
fn form_of(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A client that shows redirects instead of following them.
fn client() -> Client {
    // reqwest wants a provider although no test speaks TLS. Another test may have installed it already.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

/// A small account without limits.
fn small() -> SandboxConfig {
    SandboxConfig { contacts: 300, ..SandboxConfig::default() }.unlimited()
}

fn with(change: impl FnOnce(&mut SandboxConfig)) -> SandboxConfig {
    let mut config = small();
    change(&mut config);
    config
}

fn ids(rows: &[Value], key: &str) -> Vec<String> {
    rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
}
