//! The token store: who is signed in, kept where every process that renews a token finds it.
//!
//! A refresh token may work only once, so each exchange makes a new generation of the account's [`SignIn`], and only one
//! process at a time may ask for it. [`Accounts`] holds the generations: one file an account on this host, or encrypted
//! objects that hosts share.

mod claim;
mod exchange;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod key;
mod memory;
mod objects;
mod record;
mod renewal;
mod renewal_lock;
mod sign_in;

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object_store::ObjectStore;
use object_store::path::Path;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::task::{JoinHandle, spawn_blocking};

pub use claim::Claim;
pub use key::TokenKey;
pub use sign_in::SignIn;

use crate::{Clock, ExtractError, RefreshGrant, SignInFailure};
use folder::TokenFolder;
use memory::TokenMemory;
use objects::TokenObjects;
pub(crate) use record::Record;
pub(crate) use renewal::Renewer;
#[cfg(test)]
pub(crate) use renewal_lock::{Claimed, RenewalLock};

/// The sign-ins of all accounts at one place. Clones share it.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<AccountStore>);

#[derive(Debug)]
enum AccountStore {
    Memory(TokenMemory),
    Folder(TokenFolder),
    Objects(TokenObjects),
}

impl Accounts {
    /// One file an account in this folder. Nothing is made or read before it is asked for.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self(Arc::new(AccountStore::Folder(TokenFolder::new(folder))))
    }

    /// Encrypted objects below a prefix, which hosts share. The store must be able to make an object only where there is
    /// none (`PutMode::Create`).
    pub fn in_store(store: Arc<dyn ObjectStore>, prefix: Path, key: TokenKey) -> Self {
        Self(Arc::new(AccountStore::Objects(TokenObjects { store, prefix, key })))
    }

    /// One sign-in that ends with the process.
    pub(crate) fn in_memory(sign_in: SignIn) -> Self {
        Self(Arc::new(AccountStore::Memory(TokenMemory::new(Record::new(sign_in)))))
    }

    /// The accounts that are signed in, sorted.
    ///
    /// # Errors
    /// The place cannot be read, or others than its owner can read it.
    pub async fn names(&self) -> Result<Vec<String>, ExtractError> {
        match &*self.0 {
            AccountStore::Memory(memory) => Ok(vec![memory.record().sign_in.account]),
            AccountStore::Folder(folder) => on_disk(folder, TokenFolder::names).await,
            AccountStore::Objects(bucket) => bucket.names().await,
        }
    }

    /// What is stored for an account now.
    ///
    /// # Errors
    /// It cannot be read, others than its owner can read it, or it is damaged.
    pub async fn read(&self, account: &str) -> Result<Option<SignIn>, ExtractError> {
        Ok(self.record(account).await?.map(|record| record.sign_in))
    }

    /// Stores a new sign-in in place of whatever is there, as the next generation, durably. In a folder it waits for a
    /// renewal that is under way.
    ///
    /// # Errors
    /// It cannot be written; what was there is still there.
    pub async fn store(&self, sign_in: SignIn) -> Result<(), ExtractError> {
        self.put(sign_in, true).await
    }

    /// As [`Self::store`], unless the account is signed in and is known to be another one.
    ///
    /// # Errors
    /// [`SignInFailure::OtherAccount`], and those of [`Self::store`]; what was there is still there.
    pub async fn store_same(&self, sign_in: SignIn) -> Result<(), ExtractError> {
        self.put(sign_in, false).await
    }

    async fn put(&self, sign_in: SignIn, replaces: bool) -> Result<(), ExtractError> {
        let account = sign_in.account.clone();
        self.change(&account, move |old| {
            // A new sign-in fixes one that cannot be read.
            let old = match old {
                Err(ExtractError::TokensDamaged { .. } | ExtractError::TokenKey { .. }) => None,
                old => old?,
            };
            let stored = old.as_ref().map(|old| &old.sign_in.identity);
            if let Some(stored) = stored.filter(|stored| !replaces && stored.contradicts(&sign_in.identity)) {
                let (stored, found) = (Box::new(stored.clone()), Box::new(sign_in.identity.clone()));
                return Err(SignInFailure::OtherAccount { account: sign_in.account.clone(), stored, found }.into());
            }
            let mut record = Record::new(sign_in.clone());
            record.seed = old.and_then(|old| old.seed);
            Ok(Some(record))
        })
        .await
    }

    /// Begins an account with a refresh token from the configuration, unless it was begun with that very token: then what
    /// came of it since is in the store, and only the key, its secret and the token endpoint are brought up to date.
    ///
    /// # Errors
    /// What is there cannot be read, or the new one not written; what was there is still there.
    pub async fn seed(
        &self,
        account: &str,
        application: &str,
        grant: &RefreshGrant,
        clock: &Clock,
    ) -> Result<(), ExtractError> {
        let hash = seed_hash(grant);
        let mut sign_in = grant.sign_in(account, clock.now());
        application.clone_into(&mut sign_in.application);
        self.change(account, move |old| match old? {
            Some(old) if old.seed.as_ref() == Some(&hash) => Ok(old.of_client(&sign_in)),
            _ => Ok(Some(Record { seed: Some(hash.clone()), ..Record::new(sign_in.clone()) })),
        })
        .await
    }

    /// Forgets an account. `false`: it was not there.
    ///
    /// # Errors
    /// It cannot be removed.
    pub async fn remove(&self, account: &str) -> Result<bool, ExtractError> {
        check_name(account)?;
        match &*self.0 {
            AccountStore::Memory(_) => Ok(false),
            AccountStore::Folder(folder) => {
                let lock = folder.lock(account).await?;
                let account = account.to_owned();
                on_disk(folder, move |folder| {
                    let removed = folder.remove(&account);
                    drop(lock);
                    removed
                })
                .await
            }
            AccountStore::Objects(bucket) => bucket.remove(account).await,
        }
    }

    /// What is stored for an account, with its history.
    pub(crate) async fn record(&self, account: &str) -> Result<Option<Record>, ExtractError> {
        check_name(account)?;
        match &*self.0 {
            AccountStore::Memory(memory) => Ok(Some(memory.record())),
            AccountStore::Folder(folder) => {
                let account = account.to_owned();
                on_disk(folder, move |folder| folder.read(&account)).await
            }
            AccountStore::Objects(bucket) => bucket.read(account).await,
        }
    }

    /// Whether processes that do not see each other die may renew its tokens.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(&*self.0, AccountStore::Objects(_))
    }

    /// Where an account is kept, for people. `None`: nowhere.
    pub(crate) fn place(&self, account: &str) -> Option<String> {
        match &*self.0 {
            AccountStore::Memory(_) => None,
            AccountStore::Folder(folder) => Some(folder.file(account).display().to_string()),
            AccountStore::Objects(bucket) => Some(bucket.place(account)),
        }
    }

    /// Makes the next generation of what `change` makes of the newest one; `None` leaves it.
    async fn change(
        &self,
        account: &str,
        change: impl Fn(Result<Option<Record>, ExtractError>) -> Result<Option<Record>, ExtractError> + Send + 'static,
    ) -> Result<(), ExtractError> {
        check_name(account)?;
        match &*self.0 {
            AccountStore::Memory(memory) => {
                if let Some(record) = change(Ok(Some(memory.record())))? {
                    memory.replace(record);
                }
                Ok(())
            }
            AccountStore::Folder(folder) => {
                let lock = folder.lock(account).await?;
                let account = account.to_owned();
                on_disk(folder, move |folder| {
                    let old = folder.read(&account);
                    let generation = old.as_ref().ok().and_then(Option::as_ref).map_or(0, |old| old.sign_in.generation);
                    if let Some(mut record) = change(old)? {
                        record.sign_in.generation = generation + 1;
                        folder.write(&record)?;
                    }
                    drop(lock);
                    Ok(())
                })
                .await
            }
            AccountStore::Objects(bucket) => bucket.change(account, change).await,
        }
    }
}

/// Tells one configured refresh token from another, without keeping it.
fn seed_hash(grant: &RefreshGrant) -> String {
    STANDARD.encode(Sha256::digest(grant.refresh_token.expose_secret()))
}

/// Does what blocks on a thread that may block, to its end even where the caller goes away.
async fn on_disk<T: Send + 'static>(
    folder: &TokenFolder,
    work: impl FnOnce(&TokenFolder) -> Result<T, ExtractError> + Send + 'static,
) -> Result<T, ExtractError> {
    let folder = folder.clone();
    ended(spawn_blocking(move || work(&folder))).await
}

/// What a task ends with. Unlike a future, it continues when nobody waits for it any more.
pub(crate) async fn ended<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(done) => done,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panicked) => std::panic::resume_unwind(panicked),
            // Only the end of the runtime stops it, and then this ends too.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Whether this can be an account's name, by the rule of pipelines: it names files and objects too.
pub fn is_account_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

fn check_name(account: &str) -> Result<(), ExtractError> {
    if is_account_name(account) {
        return Ok(());
    }
    let reason =
        format!("`{account}` must be letters, digits, `.`, `_` and `-`, 64 at most, starting with a letter or digit");
    Err(ExtractError::Config { key: "account", reason })
}
