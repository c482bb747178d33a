//! The running server: its start and stop, its routes, and what its endpoints share.

mod contacts;
mod editing;
mod emails;
mod lists;
mod oauth;
mod oddities;
mod page;
mod query;
mod reorder;
mod reports;
mod user;
mod variation;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::account::Account;
use crate::config::SandboxConfig;
use crate::cursor::Cursors;
use crate::edits::Edits;
use crate::error::SandboxError;
use crate::gate::{self, Gate, lock};
use crate::log::RequestLog;
use crate::refusal::Refusal;

pub(crate) use oauth::TOKEN_PATH;

/// What all endpoints share.
pub(crate) struct Service {
    pub(crate) config: SandboxConfig,
    pub(crate) account: Account,
    pub(crate) gate: Gate,
    cursors: Cursors,
    /// How often each segment was asked for.
    segment_requests: Mutex<HashMap<u32, u32>>,
    edits: Mutex<Edits>,
    /// Answers whose order was changed.
    reordered: AtomicU64,
    token_endpoint: Mutex<oauth::TokenEndpoint>,
    /// Tells the time where none was set.
    clock: Box<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// The time that was set.
    time: Mutex<Option<DateTime<Utc>>>,
}

impl Service {
    /// The server's clock.
    pub(crate) fn time(&self) -> DateTime<Utc> {
        lock(&self.time).unwrap_or_else(&self.clock)
    }

    /// The same in seconds since 1970 UTC.
    fn now(&self) -> i64 {
        self.time().timestamp()
    }
}

/// A running server. Dropping it stops it; [`stop`](Self::stop) also waits until it has stopped.
pub struct Sandbox {
    service: Arc<Service>,
    address: SocketAddr,
    client_id: String,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Listens on an address and serves on a task of the current runtime. Port 0 takes any free port.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start(config: SandboxConfig, address: SocketAddr) -> Result<Self, SandboxError> {
        let clock = config.clock;
        Self::start_by(clock, config, address).await
    }

    /// The same with a clock of its own in the place of the configured one.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start_by(
        clock: impl Fn() -> DateTime<Utc> + Send + Sync + 'static,
        config: SandboxConfig,
        address: SocketAddr,
    ) -> Result<Self, SandboxError> {
        let failed = |source| SandboxError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let cursor_lifetime = config.quirks.cursor_lifetime.map(|lifetime| lifetime.as_secs());
        let service = Arc::new(Service {
            account: Account::new(&config),
            gate: Gate::new(&config, clock()),
            cursors: Cursors { seed: config.seed, lifetime: cursor_lifetime },
            segment_requests: Mutex::new(HashMap::new()),
            edits: Mutex::new(Edits::default()),
            reordered: AtomicU64::new(0),
            token_endpoint: Mutex::new(oauth::TokenEndpoint::new(&config.quirks)),
            clock: Box::new(clock),
            time: Mutex::new(None),
            config,
        });
        let client_id = lock(&service.gate.grants).client_id().to_owned();
        let (shutdown, asked) = oneshot::channel();
        // Small answers must not wait for the acknowledgement of the last one.
        let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
        let server = axum::serve(listener, router(Arc::clone(&service))).with_graceful_shutdown(async {
            drop(asked.await);
        });
        let task = tokio::spawn(async {
            drop(server.await);
        });
        Ok(Self { service, address, client_id, shutdown, task })
    }

    /// Where the endpoints are: `http://127.0.0.1:PORT/v3`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    /// The generated account: the truth as long as nothing was edited.
    pub fn account(&self) -> &Account {
        &self.service.account
    }

    /// The id of the first user's account, as the API encodes it, and its organization.
    pub fn identity(&self) -> (String, String) {
        self.service.config.identity()
    }

    /// What was asked so far.
    pub fn requests(&self) -> RequestLog {
        self.service.gate.log()
    }

    /// Answers what is under way, closes every connection, and returns when all is done.
    pub async fn stop(self) {
        drop(self.shutdown);
        drop(self.task.await);
    }
}

fn router(service: Arc<Service>) -> Router {
    let routes = Router::new()
        .route("/v3/contacts", get(contacts::collection))
        .route("/v3/contacts/counts", get(contacts::counts))
        .route("/v3/contacts/{contact_id}", get(contacts::one))
        .route("/v3/contact_lists", get(lists::lists))
        .route("/v3/contact_tags", get(lists::tags))
        .route("/v3/contact_custom_fields", get(lists::custom_fields))
        .route("/v3/segments", get(lists::segments))
        .route("/v3/emails", get(emails::collection))
        .route("/v3/emails/{campaign_id}", get(emails::one))
        .route("/v3/reports/contact_reports/{contact_id}/activity_details", get(reports::activity_details))
        .route("/v3/reports/contact_reports/{contact_id}/activity_summary", get(reports::activity_summary))
        .route("/v3/reports/contact_reports/{contact_id}/open_and_click_rates", get(reports::open_and_click_rates))
        .route("/v3/account/summary", get(user::summary))
        .route("/v3/account/user/privileges", get(user::privileges))
        .merge(oauth::routes())
        .fallback(async || Refusal::NoRoute);
    let compression = CompressionLayer::new().gzip(service.config.quirks.gzip).quality(CompressionLevel::Fastest);
    let passing = axum::middleware::from_fn_with_state(Arc::clone(&service), gate::pass);
    let reordering = service
        .config
        .quirks
        .reorder
        .then(|| axum::middleware::from_fn_with_state(Arc::clone(&service), reorder::pass));
    let routes = match reordering {
        Some(reordering) => routes.layer(reordering),
        None => routes,
    };
    routes.layer(compression).layer(passing).with_state(service)
}
