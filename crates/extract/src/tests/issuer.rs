//! A server that issues tokens and counts what it is asked, and the two places where tokens are kept.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::Response;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::server::{contacts, noon};
use super::token_store::sign_in;
use crate::auth::tokens::Claimed;
use crate::{
    AccessToken, Accounts, Claim, Client, ClientConfig, Clock, ExtractError, RateLimit, RetrySettings, SignIn, Token,
    TokenKey, Url,
};

/// A server that issues tokens: refresh tokens `refresh-1`, `refresh-2`, ... work once each and bring `access-2`, ...
pub(super) struct Issuer {
    pub(super) root: Url,
    pub(super) state: Arc<Issued>,
}

pub(super) type Sabotage = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
pub(super) struct Issued {
    /// The refresh token that works.
    pub(super) current: AtomicUsize,
    pub(super) requests: AtomicUsize,
    pub(super) quirks: Mutex<Quirks>,
    /// What happens just before a token answer.
    pub(super) sabotage: Mutex<Option<Sabotage>>,
    /// How often the API was asked with which token.
    pub(super) seen: Mutex<Vec<String>>,
    /// The response waits for a permit, where there is one to wait for.
    pub(super) gate: Mutex<Option<Arc<Semaphore>>>,
}

#[expect(clippy::struct_excessive_bools, reason = "each is its own yes or no")]
#[derive(Clone)]
pub(super) struct Quirks {
    /// Answers of the token endpoint that come before any token: statuses, with the key of an error.
    pub(super) refusals: Vec<(u16, &'static str)>,
    /// Answers that are lost although the token is used up.
    pub(super) lost: usize,
    /// A token that was used up still works.
    pub(super) grace: bool,
    pub(super) long_lived: bool,
    pub(super) without_refresh_token: bool,
    pub(super) lifetime: &'static str,
    pub(super) date: Option<&'static str>,
    /// Access tokens before the newest are refused.
    pub(super) revokes: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            refusals: Vec::new(),
            lost: 0,
            grace: false,
            long_lived: false,
            without_refresh_token: false,
            lifetime: "86400",
            date: None,
            revokes: true,
        }
    }
}

impl Issuer {
    pub(super) async fn start() -> Self {
        Self::with(Quirks::default()).await
    }

    pub(super) async fn with(quirks: Quirks) -> Self {
        let state = Arc::new(Issued { current: AtomicUsize::new(1), quirks: Mutex::new(quirks), ..Issued::default() });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { root, state }
    }

    pub(super) fn token_url(&self) -> Url {
        self.root.join("/oauth2/default/v1/token").unwrap()
    }

    /// Requests to the token endpoint.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(SeqCst)
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Quirks)) {
        change(&mut self.state.quirks.lock().unwrap());
    }

    /// The sign-in whose tokens are `access-1` and `refresh-1`, with an access token that has ended.
    pub(super) fn sign_in(&self) -> SignIn {
        SignIn {
            token_url: self.token_url(),
            access_token: Some(AccessToken::new("access-1")),
            refresh_token: Some("refresh-1".into()),
            renewed_at: noon() - Duration::from_hours(25),
            expires_at: Some(noon() - Duration::from_hours(1)),
            ..sign_in("a")
        }
    }

    /// The same, with an access token that is good for so long still.
    pub(super) fn good_for(&self, time: Duration) -> SignIn {
        let expires_at = noon() + time;
        SignIn { renewed_at: expires_at - Duration::from_hours(24), expires_at: Some(expires_at), ..self.sign_in() }
    }

    pub(super) fn config(&self, accounts: &Accounts) -> ClientConfig {
        let token = Token::Stored { accounts: accounts.clone(), account: "a".to_owned() };
        ClientConfig {
            pace: RateLimit { requests_per_second: 1e6, daily_requests: 10_000, ..RateLimit::default() },
            retry: RetrySettings {
                attempts: 3,
                first_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(2),
                budget: 50,
            },
            clock: Clock::fixed(noon()),
            ..ClientConfig::new(self.root.join("/v3").unwrap(), token)
        }
    }

    pub(super) fn client(&self, accounts: &Accounts) -> Client {
        Client::new(self.config(accounts)).unwrap()
    }
}

async fn answer(State(state): State<Arc<Issued>>, request: HttpRequest) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let quirks = state.quirks.lock().unwrap().clone();
    if parts.uri.path().starts_with("/v3") {
        let token = parts.headers["authorization"].to_str().unwrap().to_owned();
        let number: usize = token.trim_start_matches("Bearer access-").parse().unwrap();
        state.seen.lock().unwrap().push(token);
        let allowed = !quirks.revokes || number == state.current.load(SeqCst);
        return if allowed { json(200, r#"{"contacts":[]}"#) } else { json(401, r#"{"error_key":"unauthorized"}"#) };
    }
    let body = String::from_utf8(axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
    state.requests.fetch_add(1, SeqCst);
    let gate = state.gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        gate.acquire().await.unwrap().forget();
    }
    let refusal = {
        let refusals = &mut state.quirks.lock().unwrap().refusals;
        if refusals.is_empty() { None } else { Some(refusals.remove(0)) }
    };
    if let Some((status, key)) = refusal {
        return json(status, &format!(r#"{{"error":"{key}","error_description":"Text."}}"#));
    }
    let sent = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token=refresh-")).unwrap();
    let (sent, current): (usize, usize) = (sent.parse().unwrap(), state.current.load(SeqCst));
    if sent != current && !(quirks.grace && sent + 1 == current) {
        return json(
            400,
            r#"{"error":"invalid_grant","error_description":"The refresh token is invalid or expired."}"#,
        );
    }
    let next = if quirks.long_lived || quirks.without_refresh_token { current } else { sent + 1 };
    state.current.store(next, SeqCst);
    if let Some(sabotage) = &*state.sabotage.lock().unwrap() {
        sabotage();
    }
    let refresh =
        if quirks.without_refresh_token { String::new() } else { format!(r#","refresh_token":"refresh-{next}""#) };
    let text = format!(
        r#"{{"token_type":"Bearer","access_token":"access-{next}","expires_in":{}{refresh}}}"#,
        quirks.lifetime
    );
    let mut response = json(200, &text);
    if let Some(date) = quirks.date {
        response.headers_mut().insert("date", date.parse().unwrap());
    }
    if quirks.lost > 0 {
        state.quirks.lock().unwrap().lost -= 1;
        let cut = futures::stream::once(async { Err::<bytes::Bytes, _>(std::io::Error::other("cut")) });
        return Response::builder().body(Body::from_stream(cut)).unwrap();
    }
    response
}

fn json(status: u16, text: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(text.to_owned()))
        .unwrap()
}

/// Both places for tokens, one after the other.
pub(super) struct Home {
    pub(super) accounts: Accounts,
    /// Where it is a folder.
    pub(super) folder: Option<TempDir>,
    /// Where it is a store.
    pub(super) store: Option<Arc<dyn ObjectStore>>,
}

impl Home {
    pub(super) fn folder() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let accounts = Accounts::in_folder(temp.path().join("accounts"));
        Self { accounts, folder: Some(temp), store: None }
    }

    pub(super) fn store() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let accounts = Accounts::in_store(Arc::clone(&store), Path::from("tokens"), TokenKey::generate());
        Self { accounts, folder: None, store: Some(store) }
    }

    pub(super) fn both() -> [Self; 2] {
        [Self::folder(), Self::store()]
    }

    pub(super) async fn signed_in(self, sign_in: SignIn) -> Self {
        self.accounts.store(sign_in).await.unwrap();
        self
    }

    pub(super) fn file(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("accounts").join("a.json")
    }

    /// What is stored: the generation and the refresh token.
    pub(super) async fn stored(&self) -> (u64, String) {
        let stored = self.accounts.read("a").await.unwrap().unwrap();
        (stored.generation, stored.refresh_token.unwrap().expose_secret().to_owned())
    }

    /// Claims the newest generation, as a process that then dies.
    pub(super) async fn claimed(&self) -> (Box<crate::auth::tokens::RenewalLock>, Claim) {
        let generation = self.stored().await.0;
        let claimed = self.accounts.claim("a", generation, true, Duration::ZERO, &clock()).await.unwrap();
        let Claimed::Mine(turn) = claimed else { panic!("{claimed:?}") };
        let claim = turn.claim.clone();
        (turn, claim)
    }

    /// Ends the time of all claims: in a folder a claim ends with its process.
    pub(super) async fn claims_are_over(&self) {
        let Some(store) = &self.store else { return };
        for path in self.objects().await.into_iter().filter(|path| path.contains("claim")) {
            let path = Path::from(path);
            let json = store.get(&path).await.unwrap().bytes().await.unwrap();
            let mut claim: serde_json::Value = serde_json::from_slice(&json).unwrap();
            claim["holds_seconds"] = 0.into();
            store.put(&path, PutPayload::from(claim.to_string())).await.unwrap();
        }
    }

    pub(super) async fn objects(&self) -> Vec<String> {
        use futures::TryStreamExt;
        let objects: Vec<_> = self.store.as_ref().unwrap().list(None).try_collect().await.unwrap();
        let mut paths: Vec<_> = objects.into_iter().map(|object| object.location.to_string()).collect();
        paths.sort();
        paths
    }
}

pub(super) fn clock() -> Clock {
    Clock::fixed(noon())
}

pub(super) async fn works(client: &Client) {
    contacts(client).next().await.unwrap().unwrap();
}

pub(super) async fn fails(client: &Client) -> ExtractError {
    contacts(client).next().await.unwrap_err()
}
