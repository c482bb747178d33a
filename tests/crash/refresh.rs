//! Processes that renew an account's tokens, one killed after the other or many at once: a person is needed only where the
//! server had used the token up, and then the message says which process lost what came instead.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ctct_catalog::Catalog;
use ctct_extract::{
    Accounts, Client, ClientConfig, Clock, ExtractError, RateLimit, Request, SecretString, SignIn, Token, TokenKey,
};
use ctct_sandbox::{Sandbox, SandboxConfig};
use ctct_testkit::{Fault, FaultStore, Spot};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::draws::{Draws, kills};

/// Tells a child where the tokens are, where the API is, and how often to renew.
const HOME: &str = "CTCT_TEST_RENEW_HOME";
const API: &str = "CTCT_TEST_RENEW_API";
const ROUNDS: &str = "CTCT_TEST_RENEW_ROUNDS";

/// Where tokens are kept: the name of the folder tells the kind of place.
struct Home(PathBuf);

impl Home {
    fn folder(temp: &TempDir) -> Self {
        Self(temp.path().join("accounts"))
    }

    fn store(temp: &TempDir) -> Self {
        let home = Self(temp.path().join("store"));
        std::fs::create_dir(&home.0).unwrap();
        home
    }

    fn is_store(&self) -> bool {
        self.0.ends_with("store")
    }

    fn accounts(&self) -> Accounts {
        if self.is_store() {
            let store = Arc::new(LocalFileSystem::new_with_prefix(&self.0).unwrap());
            let key = TokenKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
            Accounts::in_store(store, "tokens".into(), key)
        } else {
            Accounts::in_folder(self.0.clone())
        }
    }

    /// Ends the time of all claims in a store, which the test need not wait for.
    fn claims_are_over(&self) {
        let folder = self.0.join("tokens").join("a");
        for file in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if !file.file_name().unwrap().to_str().unwrap().contains("claim") {
                continue;
            }
            // One that was not whole when its process died was never made.
            let text = std::fs::read_to_string(&file).unwrap();
            if let Ok(mut claim) = serde_json::from_str::<serde_json::Value>(&text) {
                claim["holds_seconds"] = 0.into();
                std::fs::write(&file, claim.to_string()).unwrap();
            }
        }
    }
}

async fn sandbox() -> Sandbox {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config =
        SandboxConfig { contacts: 3, campaigns: 1, latency: Duration::from_millis(2), ..SandboxConfig::default() };
    Sandbox::start(config.unlimited(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap()
}

/// What a person gets who signs in now.
fn sign_in(sandbox: &Sandbox) -> SignIn {
    SignIn {
        account: "a".to_owned(),
        application: "default".to_owned(),
        client_id: sandbox.client_id().to_owned(),
        client_secret: Some(sandbox.client_secret().into()),
        token_url: sandbox.token_url().parse().unwrap(),
        scopes: vec![],
        access_token: None,
        expires_at: None,
        refresh_token: Some(sandbox.refresh_token().into()),
        server: None,
        identity: ctct_extract::Identity::default(),
        signed_in_at: Utc::now(),
        renewed_at: Utc::now(),
        generation: 0,
    }
}

/// Reads one page with a token that was renewed for it: to this client's clock two days go by with every generation.
async fn renew(accounts: &Accounts, base_url: &str) -> Result<(), ExtractError> {
    let generation = accounts.read("a").await?.unwrap().generation;
    let days = TimeDelta::days(2 * i64::try_from(generation).unwrap());
    let clock = Clock::from_fn(move || -> DateTime<Utc> { Utc::now() + days });
    let token = Token::Stored { accounts: accounts.clone(), account: "a".to_owned() };
    let pace = RateLimit { requests_per_second: 1e6, daily_requests: u64::MAX, ..RateLimit::default() };
    let client = Client::new(ClientConfig { clock, pace, ..ClientConfig::new(base_url.parse().unwrap(), token) })?;
    let report = Arc::clone(Catalog::embedded().unwrap().get("contact_lists").unwrap());
    client.crawl(Request { report, params: [].into() }).next().await?.unwrap();
    client.settle().await
}

/// No test: what the children do.
#[tokio::test]
async fn child() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let accounts = Home(home.into()).accounts();
    let (api, rounds): (_, usize) = (std::env::var(API).unwrap(), std::env::var(ROUNDS).unwrap().parse().unwrap());
    for _ in 0..rounds {
        renew(&accounts, &api).await.unwrap();
    }
}

fn start(home: &Path, sandbox: &Sandbox, rounds: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "refresh::child", "--nocapture"])
        .env(HOME, home)
        .env(API, sandbox.base_url())
        .env(ROUNDS, rounds.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills one process after the other, whenever it happens, and looks what the next one finds.
async fn killed(test: &str, home: Home, kills: usize) {
    let mut draws = Draws::new(test);
    let sandbox = sandbox().await;
    let accounts = home.accounts();
    accounts.store(sign_in(&sandbox)).await.unwrap();
    let first = sandbox.requests().total;
    let (mut fine, mut lost) = (0, 0);
    for kill in 0..kills {
        let mut child = start(&home.0, &sandbox, usize::MAX);
        std::thread::sleep(draws.below(Duration::from_millis(80)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let when = format!("{test}, kill {kill}");
        assert_eq!(status.code(), None, "{when}: the child failed by itself");
        home.claims_are_over();
        let stored: SecretString = accounts.read("a").await.unwrap().unwrap().refresh_token.unwrap();
        let used_up = || stored.expose_secret() != sandbox.refresh_token();
        let before = used_up();
        match renew(&accounts, &sandbox.base_url()).await {
            Ok(()) => {
                assert!(!before, "{when}: a token worked twice");
                fine += 1;
            }
            Err(error) => {
                // Asked again: what the dead process had sent may still have been on its way to the server.
                assert!(used_up(), "{when}: a person is needed although the token was good: {error}");
                assert!(matches!(error, ExtractError::LoginNeeded { .. }), "{when}: {error}");
                let said = error.to_string();
                assert!(said.contains(&format!("it was sent by process {} on ", child.id())), "{when}: {said}");
                assert!(said.contains("whose response was never stored"), "{when}: {said}");
                accounts.store(sign_in(&sandbox)).await.unwrap();
                lost += 1;
            }
        }
    }
    let requests = sandbox.requests().total - first;
    println!(
        "{test}: {fine} kills cost nothing, {lost} fell between the server's answer and its storing; {requests} requests"
    );
    assert!(fine > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_while_renewing_in_a_folder() {
    let temp = tempfile::tempdir().unwrap();
    killed("renewing in a folder", Home::folder(&temp), kills(120)).await;
    let mut left: Vec<_> =
        std::fs::read_dir(temp.path().join("accounts")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["a.json", "a.lock"], "no half of a file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_over_and_over_while_renewing_in_a_store() {
    let temp = tempfile::tempdir().unwrap();
    killed("renewing in a store", Home::store(&temp), kills(30)).await;
}

/// Eight processes that all want every generation.
async fn together(home: Home, rounds: usize) {
    let sandbox = sandbox().await;
    let accounts = home.accounts();
    accounts.store(sign_in(&sandbox)).await.unwrap();
    let children: Vec<_> = (0..8).map(|_| start(&home.0, &sandbox, rounds)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let log = sandbox.requests();
    let exchanges = log.latest.iter().filter(|request| request.target.starts_with("/oauth2")).count();
    let generations = accounts.read("a").await.unwrap().unwrap().generation - 1;
    println!("{} processes asked {exchanges} times for {generations} generations", 8);
    assert_eq!(u64::try_from(exchanges).unwrap(), generations);
    assert!(generations >= u64::try_from(rounds).unwrap());
    assert_eq!(log.with_status(400) + log.with_status(401), 0, "{:?}", log.by_status);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_in_a_folder_send_one_request_a_generation() {
    let temp = tempfile::tempdir().unwrap();
    together(Home::folder(&temp), 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_in_a_store_send_one_request_a_generation() {
    let temp = tempfile::tempdir().unwrap();
    together(Home::store(&temp), 5).await;
}

/// Every step of a renewal in a store goes wrong in every way: fails, fails although it was done, dies before or after it.
#[tokio::test]
async fn every_step_of_a_renewal_in_a_store_may_go_wrong() {
    let sandbox = sandbox().await;
    let api = sandbox.base_url();
    let (mut lost, mut transient) = (0, 0);
    for fault in [Fault::Reject, Fault::FailAfterApply, Fault::Crash, Fault::CrashAfterApply] {
        for step in 0..4 {
            let when = format!("step {step} met {fault:?}");
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let key = TokenKey::generate();
            let clean = Accounts::in_store(Arc::clone(&inner), "tokens".into(), key.clone());
            clean.store(sign_in(&sandbox)).await.unwrap();
            let store = Arc::new(FaultStore::new(Arc::clone(&inner)));
            store.script(Spot::nth(step), fault.clone());
            let failing = Accounts::in_store(Arc::<FaultStore>::clone(&store), "tokens".into(), key);
            let died = matches!(fault, Fault::Crash | Fault::CrashAfterApply);
            match renew(&failing, &api).await {
                Ok(()) => {}
                // Only a dead process fails: whatever is not applied is done again.
                Err(error) => {
                    assert!(died && matches!(error, ExtractError::TokenStore { .. }), "{when}: {error}");
                    transient += 1;
                }
            }
            // Claims that the process left: nobody holds them any more.
            let claims: Vec<_> = inner.list(None).try_collect().await.unwrap();
            for claim in claims.into_iter().filter(|object| object.location.as_ref().contains("claim")) {
                let json = inner.get(&claim.location).await.unwrap().bytes().await.unwrap();
                let mut json: serde_json::Value = serde_json::from_slice(&json).unwrap();
                json["holds_seconds"] = 0.into();
                inner.put(&claim.location, json.to_string().into()).await.unwrap();
            }
            let stored: SecretString = clean.read("a").await.unwrap().unwrap().refresh_token.unwrap();
            let used_up = stored.expose_secret() != sandbox.refresh_token();
            match renew(&clean, &api).await {
                Ok(()) => assert!(!used_up, "{when}: a token worked twice"),
                Err(error) => {
                    assert!(used_up && died, "{when}: {error}");
                    let process = format!("it was sent by process {} on ", std::process::id());
                    assert!(error.to_string().contains(&process), "{when}: {error}");
                    lost += 1;
                }
            }
        }
    }
    println!(
        "{transient} of 16 renewals ended with an error, {lost} tokens were lost by a death before they were stored"
    );
    // Dying before the new tokens are there, and nowhere else.
    assert_eq!(lost, 1);
}
