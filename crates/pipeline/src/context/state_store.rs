//! Where sign-ins and ledgers are kept: the folders of this host, or a store that hosts share.
//!
//! [`Keeping`] belongs to a process: everything in it that asks with the same API key counts with the same ledger, so that
//! accounts which are read side by side get equal shares of the pace.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ctct_extract::{Accounts, Clock, Ledger, TokenKey, Url};
use ctct_load::StoreOptions;
use uuid::Uuid;

use crate::document::{Environment, Pipeline, StatePlace};
use crate::run::{Context, RunError};

/// Names the variable with the key that sign-ins in a store are encrypted with.
pub const TOKEN_KEY: &str = "CTCT_TOKEN_KEY";

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

/// What this process keeps and where. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Keeping {
    host: Option<HostFolders>,
    ledgers: Arc<Mutex<HashMap<String, Ledger>>>,
}

impl Keeping {
    /// In the folders of this host, unless a pipeline says otherwise.
    pub fn on_host(folders: HostFolders) -> Self {
        Self { host: Some(folders), ledgers: Arc::default() }
    }

    /// Nowhere on this host: no account is signed in, and requests are counted until the process ends.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// The sign-ins that a pipeline uses.
    ///
    /// # Errors
    /// [`RunError::NoTokenKey`] and others where a store cannot be used.
    pub fn accounts(&self, pipeline: &Pipeline, context: &Context) -> Result<Accounts, RunError> {
        match place(pipeline, context)? {
            Some(place) => stored(&place, &context.environment),
            None => self
                .host
                .as_ref()
                .map(HostFolders::accounts)
                .ok_or_else(|| RunError::NoToken { account: pipeline.source.accounts.label() }),
        }
    }

    /// The ledger of an API key at a server. All that ask for the same one get the same.
    pub(crate) fn ledger(
        &self,
        pipeline: &Pipeline,
        context: &Context,
        server: &Url,
        api_key: &str,
    ) -> Result<Ledger, RunError> {
        Ok(self.opened(place(pipeline, context)?.as_ref(), server, api_key))
    }

    /// The ledger of an API key at a server for what belongs to no pipeline: in the store that a URL names, or else on this
    /// host.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn ledger_at(
        &self,
        url: Option<&str>,
        context: &Context,
        server: &Url,
        api_key: &str,
    ) -> Result<Ledger, RunError> {
        let place = url.map(|url| shared(url, context)).transpose()?;
        Ok(self.opened(place.as_ref(), server, api_key))
    }

    fn opened(&self, place: Option<&ctct_load::Destination>, server: &Url, api_key: &str) -> Ledger {
        let key = format!("{} {api_key}", server.origin().ascii_serialization());
        let known = match place {
            Some(place) => format!("{} {key}", place.url()),
            None => key.clone(),
        };
        let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
        let ledger = ledgers.entry(known).or_insert_with(|| match (place, &self.host) {
            (Some(place), _) => {
                let (store, prefix) = place.shared("quota");
                Ledger::in_store(store, prefix, &key, &Uuid::now_v7().to_string())
            }
            (None, Some(host)) => Ledger::in_folder(&host.state.join("quota"), &key),
            (None, None) => Ledger::in_memory(),
        });
        ledger.clone()
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
}

/// The store that hosts share, where the pipeline names one.
fn place(pipeline: &Pipeline, context: &Context) -> Result<Option<ctct_load::Destination>, RunError> {
    match &pipeline.source.state {
        StatePlace::Host => Ok(None),
        StatePlace::Destination => context.open_pipelines_destination(pipeline).map(Some),
        StatePlace::Store(place) => {
            let options = pipeline.options_of(place, &context.environment, &context.base_dir)?;
            let opened = ctct_load::Destination::open(&place.url, &context.base_dir, &options);
            opened.map(Some).map_err(|error| RunError::Destination(Box::new(error)))
        }
    }
}

/// The sign-ins in a store that hosts share, named by its URL; options and credentials come from the environment.
///
/// # Errors
/// The URL cannot be used, or there is no key.
pub fn shared_accounts(url: &str, context: &Context) -> Result<Accounts, RunError> {
    stored(&shared(url, context)?, &context.environment)
}

fn shared(url: &str, context: &Context) -> Result<ctct_load::Destination, RunError> {
    let options = StoreOptions::new(Vec::new(), context.environment.variables());
    let place = ctct_load::Destination::open(url, &context.base_dir, &options);
    place.map_err(|error| RunError::Destination(Box::new(error)))
}

fn stored(place: &ctct_load::Destination, environment: &Environment) -> Result<Accounts, RunError> {
    let key = environment.get(TOKEN_KEY).ok_or(RunError::NoTokenKey)?;
    let (store, prefix) = place.shared("accounts");
    Ok(Accounts::in_store(store, prefix, TokenKey::parse(key)?))
}
