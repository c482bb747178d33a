//! Several accounts of one pipeline: each has its own run, its own summary and its own failures, and hosts can share them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ctct_extract::{Accounts, Identity, SecretString, SignIn};
use ctct_sandbox::{Sandbox, SandboxConfig};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{now, sandbox_of, start};
use crate::program::{self, Said};

const NAMES: [&str; 3] = ["franchise-east", "franchise-north", "franchise-west"];

/// A folder in which three accounts are signed in at a sandbox, and a pipeline that reads them.
struct Franchises {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Franchises {
    async fn new(config: SandboxConfig) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = start(SandboxConfig { users: 3, ..config }).await;
        let folder = TempDir::new().unwrap();
        let accounts = Accounts::in_folder(folder.path().join(".host/config/accounts"));
        for (user, name) in (0..).zip(NAMES) {
            accounts.store(sign_in(&sandbox, user, name)).await.unwrap();
        }
        Self { sandbox, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a pipeline of these accounts.
    fn pipeline(&self, accounts: &str, more: &str) {
        let text = format!(
            "version: 1\nname: franchises\nsource:\n  {accounts}\n  base_url: {}\n{more}destination: {{url: ./out}}\nreports:\n  \
             - {{report: contacts, write_mode: merge}}\n  - report: contact_lists\n",
            self.sandbox.base_url()
        );
        fs::write(self.path().join("job.yaml"), text).unwrap();
    }

    fn run(&self, more: &[&str]) -> Said {
        program::run(self.path(), &[&["run", "job.yaml", "--output", "json"], more].concat())
    }
}

fn sign_in(sandbox: &Sandbox, user: u32, account: &str) -> SignIn {
    SignIn {
        account: account.to_owned(),
        application: "default".to_owned(),
        client_id: sandbox.client_id().to_owned(),
        client_secret: None,
        token_url: sandbox.token_url().parse().unwrap(),
        scopes: ["contact_data", "campaign_data", "account_read", "offline_access"].map(str::to_owned).to_vec(),
        access_token: None,
        expires_at: None,
        refresh_token: Some(SecretString::from(sandbox.refresh_token_of(user).unwrap())),
        server: None,
        identity: Identity::default(),
        signed_in_at: now(),
        renewed_at: now(),
        generation: 0,
    }
}

/// The summary of each account.
fn summaries(said: &Said) -> BTreeMap<String, Value> {
    let summaries = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    summaries.map(|summary| (summary["account"].as_str().unwrap().to_owned(), summary)).collect()
}

const FAST: &str = "  requests_per_second: 100000\n  daily_requests: 100000000\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_account_that_fits_has_its_own_run_and_its_own_folder() {
    let franchises = Franchises::new(sandbox_of(20)).await;
    franchises.pipeline("accounts: {glob: 'franchise-*'}", FAST);
    let said = franchises.run(&[]);
    assert_eq!(said.code, Some(0), "{said:#?}");
    let summaries = summaries(&said);
    assert_eq!(summaries.keys().collect::<Vec<_>>(), NAMES);
    for name in NAMES {
        assert_eq!(summaries[name]["reports"][0]["records"], summaries[NAMES[0]]["reports"][0]["records"]);
        assert!(franchises.path().join(format!("out/contacts/account={name}")).is_dir());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_one_account_is_not_that_of_another() {
    let franchises = Franchises::new(sandbox_of(20)).await;
    franchises.sandbox.revoke(1);
    franchises.pipeline("accounts: [franchise-west, franchise-north, franchise-east, nobody]", FAST);
    let said = franchises.run(&[]);
    let summaries = summaries(&said);
    let codes: Vec<_> =
        summaries.iter().map(|(name, summary)| (name.as_str(), summary["exit_code"].as_u64())).collect();
    let expected =
        [(NAMES[0], Some(0)), (NAMES[1], Some(10)), (NAMES[2], Some(0)), ("nobody", Some(10))].map(|(n, c)| (n, c));
    assert_eq!(codes, expected, "{said:#?}");
    // A person is needed, whatever else is done.
    assert_eq!(said.code, Some(10), "{said:#?}");
    let advice = summaries["nobody"]["error"]["advice"].as_str().unwrap();
    assert!(advice.contains("ctct-etl auth login --account nobody"), "{advice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_read_every_account_once() {
    let franchises = Franchises::new(sandbox_of(5)).await;
    franchises.pipeline("accounts: {glob: 'franchise-*'}", FAST);
    let mut read: Vec<String> = Vec::new();
    for shard in ["1/2", "2/2"] {
        let said = franchises.run(&["--shard", shard]);
        assert_eq!(said.code, Some(0), "{said:#?}");
        read.extend(summaries(&said).into_keys());
    }
    read.sort();
    assert_eq!(read, NAMES);

    // One that fails costs itself, in its shard alone.
    franchises.sandbox.revoke(1);
    let mut codes: Vec<(String, Option<u64>)> = Vec::new();
    for shard in ["1/2", "2/2"] {
        let said = franchises.run(&["--shard", shard]);
        let of_shard: Vec<_> =
            summaries(&said).into_iter().map(|(name, run)| (name, run["exit_code"].as_u64())).collect();
        let fails = of_shard.iter().any(|(name, _)| name == NAMES[1]);
        assert_eq!(said.code, Some(if fails { 10 } else { 0 }), "{shard}: {said:#?}");
        codes.extend(of_shard);
    }
    codes.sort();
    let expected = NAMES.map(|name| (name.to_owned(), Some(if name == NAMES[1] { 10 } else { 0 })));
    assert_eq!(codes, expected);
    let said = franchises.run(&["--shard", "3/2"]);
    assert_eq!((said.code, said.stderr.contains("1/4 to 4/4")), (Some(2), true), "{said:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_one_key_share_its_day() {
    let franchises = Franchises::new(sandbox_of(600)).await;
    franchises.pipeline("accounts: {glob: '*'}", "  requests_per_second: 1000\n  daily_requests: 10\n  reserve: 2\n");
    let said = franchises.run(&["--over-days"]);
    let summaries = summaries(&said);
    let requests: u64 = summaries.values().map(|summary| summary["api"]["requests"].as_u64().unwrap()).sum();
    assert_eq!(requests, 8, "{said:#?}");
    // Each needs four, so they cannot all be done today.
    assert!(summaries.values().any(|summary| summary["exit_code"] == 11), "{said:#?}");
    let said = franchises.run(&[]);
    assert_eq!(said.code, Some(11), "the next process knows what this one sent: {said:#?}");
}

#[test]
fn nobody_who_fits_is_told() {
    let folder = TempDir::new().unwrap();
    let text = "version: 1\nname: job\nsource: {accounts: {glob: 'franchise-*'}}\ndestination: {url: ./out}\nreports:\n  - report: contacts\n";
    fs::write(folder.path().join("job.yaml"), text).unwrap();
    let said = program::run(folder.path(), &["run", "job.yaml"]);
    assert_eq!(said.code, Some(10));
    insta::assert_snapshot!(said.stderr);
}
