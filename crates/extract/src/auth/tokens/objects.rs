//! Sign-ins as encrypted objects that hosts share: `<account>/<generation>.token`, each made once and never overwritten, and
//! `<account>/<generation>.claim-<attempt>`, which says who set out to renew that generation.
//!
//! Two hosts that want the same name are told apart by the store, which makes an object only where there is none.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::time::{Instant, sleep};

use super::renewal_lock::{Claimed, LockKind, RenewalLock};
use super::{Claim, Record, TokenKey, is_account_name};
use crate::ExtractError;

/// Between two looks at a claim of another process.
const CLAIM_POLL: Duration = Duration::from_millis(500);
/// Times that an object is put, and that a changing place is looked at again.
const ATTEMPTS: u32 = 4;
/// Wait before the second attempt; doubled for each one after it.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// A claim holds this much longer than a response can take. One that took longer to write is written again.
pub(super) const SLACK: Duration = Duration::from_secs(15);

/// Sign-ins below a prefix of a store.
#[derive(Debug, Clone)]
pub(super) struct TokenObjects {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    pub(super) key: TokenKey,
}

/// What is there of one account.
#[derive(Debug, Default)]
struct StoredSignIn {
    /// Generations, oldest first.
    tokens: Vec<u64>,
    /// Generations and attempts, oldest first.
    claims: Vec<(u64, u32)>,
}

impl TokenObjects {
    /// Where an account's objects are, for people.
    pub(super) fn place(&self, account: &str) -> String {
        self.folder(account).to_string()
    }

    /// The accounts that have a sign-in, sorted.
    pub(super) async fn names(&self) -> Result<Vec<String>, ExtractError> {
        let listed = self.store.list(Some(&self.prefix)).map_ok(|object| object.location).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(failed("list", &self.prefix))?;
        let name = |path: &Path| {
            let [account, file] = &path.prefix_match(&self.prefix)?.collect::<Vec<_>>()[..] else { return None };
            let account = account.as_ref();
            let is_sign_in = file.as_ref().split_once('.').is_some_and(|(_, kind)| kind == "token");
            (is_sign_in && is_account_name(account)).then(|| account.to_owned())
        };
        let mut names: Vec<_> = listed.iter().filter_map(name).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// The newest generation.
    pub(super) async fn read(&self, account: &str) -> Result<Option<Record>, ExtractError> {
        for _ in 0..ATTEMPTS {
            let Some(newest) = self.look(account).await?.tokens.pop() else { return Ok(None) };
            if let Some(record) = self.generation(account, newest).await? {
                return Ok(Some(record));
            }
            // It was removed in between, since there is a newer one.
        }
        let moving = io::Error::other("it is replaced faster than it can be read");
        Err(store_failed("read", &self.folder(account), moving))
    }

    /// Makes the next generation of what `change` makes of the newest one; `None` leaves it.
    pub(super) async fn change(
        &self,
        account: &str,
        change: impl Fn(Result<Option<Record>, ExtractError>) -> Result<Option<Record>, ExtractError>,
    ) -> Result<(), ExtractError> {
        loop {
            let newest = self.look(account).await?.tokens.pop().unwrap_or_default();
            let Some(mut record) = change(self.read(account).await)? else { return Ok(()) };
            record.sign_in.generation = newest + 1;
            if self.put(&record).await? {
                return Ok(());
            }
        }
    }

    /// Removes everything of an account. `false`: there was nothing.
    pub(super) async fn remove(&self, account: &str) -> Result<bool, ExtractError> {
        let found = self.look(account).await?;
        self.clear(account, &found, u64::MAX).await?;
        Ok(!found.tokens.is_empty())
    }

    /// Removes what is older than a generation that has worked.
    pub(super) async fn confirm(&self, account: &str, generation: u64) -> Result<(), ExtractError> {
        self.clear(account, &self.look(account).await?, generation).await
    }

    /// Claims a generation, once nobody else's claim holds. A claim holds from when it is first seen, by this process'
    /// own clock: hosts need not agree on the time.
    pub(super) async fn claim(
        &self,
        account: &str,
        generation: u64,
        urgent: bool,
        claim: Claim,
    ) -> Result<Claimed, ExtractError> {
        let mut seen: Option<(Claim, Instant)> = None;
        loop {
            let found = self.look(account).await?;
            if found.tokens.last() != Some(&generation) {
                return Ok(Claimed::Newer);
            }
            let last = found.claims.iter().rfind(|(of, _)| *of == generation).map_or(0, |(_, attempt)| *attempt);
            if last > 0 {
                let Some(other) = self.read_claim(account, generation, last).await? else { continue };
                if other.id != claim.id {
                    if seen.as_ref().is_none_or(|(claim, _)| *claim != other) {
                        seen = Some((other.clone(), Instant::now()));
                    }
                    let since = seen.as_ref().map(|(_, since)| since.elapsed()).unwrap_or_default();
                    if since < other.holds() {
                        if !urgent {
                            return Ok(Claimed::Busy);
                        }
                        sleep(CLAIM_POLL).await;
                        continue;
                    }
                }
            }
            let start = Instant::now();
            if !self.create(&self.claim_path(account, generation, last + 1), claim.to_json()).await?
                || start.elapsed() > SLACK
            {
                continue;
            }
            let Some(mut record) = self.generation(account, generation).await? else { return Ok(Claimed::Newer) };
            for (_, attempt) in found.claims.iter().filter(|(of, _)| *of == generation) {
                match self.read_claim(account, generation, *attempt).await? {
                    // Tidying: whoever comes next tries again.
                    Some(earlier) if earlier.unsent => {
                        _ = self.delete(&self.claim_path(account, generation, *attempt)).await;
                    }
                    Some(earlier) if earlier.id != claim.id => record.claim(earlier),
                    _ => {}
                }
            }
            record.claim(claim.clone());
            let hold = LockKind::Object { attempts: vec![last + 1] };
            return Ok(Claimed::Mine(Box::new(RenewalLock { record, claim, hold })));
        }
    }

    /// Makes the next claim before the token is sent once more. `None`: somebody else has taken over.
    pub(super) async fn claim_again(&self, lock: &RenewalLock, last: u32) -> Result<Option<u32>, ExtractError> {
        let path = self.claim_path(&lock.record.sign_in.account, lock.record.sign_in.generation, last + 1);
        Ok(self.create(&path, lock.claim.to_json()).await?.then_some(last + 1))
    }

    /// Takes claims back: they hold no more. The last of them stays, so that its number is never given twice; whether it
    /// counts as unfinished says `unsent`.
    pub(super) async fn release(&self, lock: &RenewalLock, attempts: &[u32], unsent: bool) -> Result<(), ExtractError> {
        let path = |attempt| self.claim_path(&lock.record.sign_in.account, lock.record.sign_in.generation, attempt);
        let Some((last, earlier)) = attempts.split_last() else { return Ok(()) };
        let over = Claim { holds_seconds: 0, unsent, ..lock.claim.clone() };
        self.store.put(&path(*last), PutPayload::from(over.to_json())).await.map_err(failed("write", &path(*last)))?;
        for attempt in earlier {
            self.delete(&path(*attempt)).await?;
        }
        Ok(())
    }

    /// Makes the generation after `old`. `false`: somebody else made one, or the account is gone.
    pub(super) async fn save(&self, record: &Record, old: u64) -> Result<bool, ExtractError> {
        match self.look(&record.sign_in.account).await?.tokens.last() {
            Some(newest) if *newest == old || *newest == record.sign_in.generation => self.put(record).await,
            _ => Ok(false),
        }
    }

    async fn put(&self, record: &Record) -> Result<bool, ExtractError> {
        let path = self.token_path(&record.sign_in.account, record.sign_in.generation);
        let sealed = self.key.seal(&record.to_json(), &bound_to(record));
        self.create(&path, sealed).await
    }

    /// Makes an object. `false`: there is one already, which this call has not made.
    async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, ExtractError> {
        let payload = PutPayload::from(bytes.clone());
        let mut made = 0;
        loop {
            made += 1;
            match self.store.put_opts(path, payload.clone(), PutMode::Create.into()).await {
                Ok(_) => return Ok(true),
                // Perhaps by an attempt whose answer was lost.
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                    return Ok(self.get(path).await?.is_some_and(|there| there == bytes));
                }
                Err(error) if made >= ATTEMPTS || matches!(error, StoreError::NotImplemented { .. }) => {
                    return Err(failed("write", path)(error));
                }
                Err(_) => sleep(FIRST_BACKOFF * 2_u32.pow(made - 1)).await,
            }
        }
    }

    async fn generation(&self, account: &str, generation: u64) -> Result<Option<Record>, ExtractError> {
        let path = self.token_path(account, generation);
        let Some(sealed) = self.get(&path).await? else { return Ok(None) };
        let (account, path) = (account.to_owned(), path.to_string());
        let Some(json) = self.key.open(&sealed, &format!("{account}/{generation}")) else {
            return Err(ExtractError::TokenKey { account, path });
        };
        match Record::from_json(&json, &account) {
            Ok(record) => Ok(Some(record)),
            Err(reason) => Err(ExtractError::TokensDamaged { account, path, reason }),
        }
    }

    /// A claim; one that cannot be read holds as long as this process' would.
    async fn read_claim(&self, account: &str, generation: u64, attempt: u32) -> Result<Option<Claim>, ExtractError> {
        let json = self.get(&self.claim_path(account, generation, attempt)).await?;
        Ok(json.map(|json| Claim::from_json(&json)))
    }

    async fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, ExtractError> {
        let got = async { self.store.get(path).await?.bytes().await };
        match got.await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", path)(error)),
        }
    }

    async fn look(&self, account: &str) -> Result<StoredSignIn, ExtractError> {
        let folder = self.folder(account);
        let listed = self.store.list(Some(&folder)).try_collect::<Vec<_>>().await.map_err(failed("list", &folder))?;
        let mut found = StoredSignIn::default();
        for object in listed {
            let Some((generation, kind)) = object.location.filename().and_then(|file| file.split_once('.')) else {
                continue;
            };
            let Ok(generation) = generation.parse() else { continue };
            match kind.strip_prefix("claim-").map(str::parse) {
                Some(Ok(attempt)) => found.claims.push((generation, attempt)),
                None if kind == "token" => found.tokens.push(generation),
                _ => {}
            }
        }
        found.tokens.sort_unstable();
        found.claims.sort_unstable();
        Ok(found)
    }

    /// Removes generations before one, oldest first, so that the newest is the last to go.
    async fn clear(&self, account: &str, found: &StoredSignIn, before: u64) -> Result<(), ExtractError> {
        for (generation, attempt) in found.claims.iter().filter(|(generation, _)| *generation < before) {
            self.delete(&self.claim_path(account, *generation, *attempt)).await?;
        }
        for generation in found.tokens.iter().filter(|generation| **generation < before) {
            self.delete(&self.token_path(account, *generation)).await?;
        }
        Ok(())
    }

    async fn delete(&self, path: &Path) -> Result<(), ExtractError> {
        match self.store.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", path)(error)),
        }
    }

    fn folder(&self, account: &str) -> Path {
        self.prefix.clone().join(account)
    }

    fn token_path(&self, account: &str, generation: u64) -> Path {
        self.folder(account).join(format!("{generation:020}.token"))
    }

    fn claim_path(&self, account: &str, generation: u64, attempt: u32) -> Path {
        self.folder(account).join(format!("{generation:020}.claim-{attempt:04}"))
    }
}

/// What a sealed record is bound to: it opens nowhere else.
fn bound_to(record: &Record) -> String {
    format!("{}/{}", record.sign_in.account, record.sign_in.generation)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(StoreError) -> ExtractError {
    move |error| {
        // The kinds that a retry does not fix; `object_store` keeps them from its own conversion.
        let source = match error {
            StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
                io::Error::new(io::ErrorKind::PermissionDenied, error)
            }
            StoreError::NotImplemented { .. } => io::Error::new(io::ErrorKind::Unsupported, error),
            error => io::Error::other(error),
        };
        store_failed(action, path, source)
    }
}

fn store_failed(action: &'static str, path: &Path, source: io::Error) -> ExtractError {
    ExtractError::TokenStore { action, path: path.to_string(), source }
}
