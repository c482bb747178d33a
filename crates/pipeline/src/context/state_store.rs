//! Where sign-ins and ledgers are kept: the folders of this host, or a store that hosts share.
//!
//! [`StateStore`] belongs to a process: everything in it that uses the same API key counts with the same ledger, so that
//! accounts which are read side by side get equal shares of the pace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ctct_extract::{Accounts, Clock, Ledger, TokenKey, Url};
use ctct_load::{Destination, StoreOptions};
use uuid::Uuid;

use super::Context;
use crate::document::{Pipeline, StatePlace, TOKEN_KEY};
use crate::run_error::RunError;

/// Folders of this host.
#[derive(Debug, Clone)]
pub struct HostFolders {
    /// Sign-ins and application profiles.
    pub config: PathBuf,
    /// Ledgers.
    pub state: PathBuf,
}

impl HostFolders {
    /// The sign-ins of this host.
    pub fn accounts(&self) -> Accounts {
        Accounts::in_folder(self.config.join("accounts"))
    }
}

/// The sign-ins and ledgers of this process. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct StateStore {
    host: Option<HostFolders>,
    ledgers: Arc<Mutex<HashMap<String, Ledger>>>,
}

impl StateStore {
    /// In the folders of this host, unless a pipeline says otherwise.
    pub fn on_host(folders: HostFolders) -> Self {
        Self { host: Some(folders), ledgers: Arc::default() }
    }

    /// Nowhere on this host: no account is signed in, and requests are counted until the process ends.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Gives back what was leased from ledgers that hosts share and not used. For the end of a process' work.
    pub async fn release(&self, clock: &Clock) {
        let ledgers: Vec<Ledger> = {
            let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
            ledgers.values().cloned().collect()
        };
        for ledger in ledgers {
            ledger.release(clock).await;
        }
    }

    /// The ledger of an API key at a server, in a shared store or else on this host. The same key always gets the same one.
    fn ledger(&self, shared: Option<&Destination>, server: &Url, api_key: &str) -> Ledger {
        let key = format!("{} {api_key}", server.origin().ascii_serialization());
        let known = match shared {
            Some(shared) => format!("{} {key}", shared.url()),
            None => key.clone(),
        };
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = ledgers.entry(known).or_insert_with(|| match (shared, &self.host) {
            (Some(shared), _) => {
                let (store, prefix) = shared.shared("quota");
                Ledger::in_store(store, prefix, &key, &Uuid::now_v7().to_string())
            }
            (None, Some(host)) => Ledger::in_folder(&host.state.join("quota"), &key),
            (None, None) => Ledger::in_memory(),
        });
        ledger.clone()
    }
}

impl Context {
    /// The sign-ins that a pipeline uses.
    ///
    /// # Errors
    /// [`RunError::NoTokenKey`] and others where a store cannot be used.
    pub fn accounts(&self, pipeline: &Pipeline) -> Result<Accounts, RunError> {
        if let Some(shared) = self.shared_by(pipeline)? {
            return self.accounts_in(&shared);
        }
        let own = self.state.host.as_ref().map(HostFolders::accounts);
        own.ok_or_else(|| RunError::NoToken { account: pipeline.source.accounts.label() })
    }

    /// The sign-ins in a store that hosts share, named by its URL; options and credentials come from the environment.
    ///
    /// # Errors
    /// The URL cannot be used, or there is no key.
    pub fn shared_accounts(&self, url: &str) -> Result<Accounts, RunError> {
        self.accounts_in(&self.shared_at(url)?)
    }

    /// The ledger of an API key at a server for a pipeline.
    pub(crate) fn ledger(&self, pipeline: &Pipeline, server: &Url, api_key: &str) -> Result<Ledger, RunError> {
        Ok(self.state.ledger(self.shared_by(pipeline)?.as_ref(), server, api_key))
    }

    /// The ledger of an API key at a server for what belongs to no pipeline: in the store that a URL names, or else on this
    /// host.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn ledger_at(&self, url: Option<&str>, server: &Url, api_key: &str) -> Result<Ledger, RunError> {
        let shared = url.map(|url| self.shared_at(url)).transpose()?;
        Ok(self.state.ledger(shared.as_ref(), server, api_key))
    }

    /// The store that hosts share, where the pipeline names one.
    fn shared_by(&self, pipeline: &Pipeline) -> Result<Option<Destination>, RunError> {
        match &pipeline.source.state {
            StatePlace::Host => Ok(None),
            StatePlace::Destination => self.open_pipelines_destination(pipeline).map(Some),
            StatePlace::Store(place) => {
                let options = pipeline.options_of(place, &self.environment, &self.base_dir)?;
                let opened = Destination::open(&place.url, &self.base_dir, &options);
                opened.map(Some).map_err(|error| RunError::Destination(Box::new(error)))
            }
        }
    }

    fn shared_at(&self, url: &str) -> Result<Destination, RunError> {
        let options = StoreOptions::new(Vec::new(), self.environment.variables());
        let opened = Destination::open(url, &self.base_dir, &options);
        opened.map_err(|error| RunError::Destination(Box::new(error)))
    }

    fn accounts_in(&self, shared: &Destination) -> Result<Accounts, RunError> {
        let key = self.environment.get(TOKEN_KEY).ok_or(RunError::NoTokenKey)?;
        let (store, prefix) = shared.shared("accounts");
        Ok(Accounts::in_store(store, prefix, TokenKey::parse(key)?))
    }
}
