//! Ctrl-C and SIGTERM: somebody wants the program to stop.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Requests to stop. From [`listen`](Self::listen) on, neither signal ends the process by itself, and none is missed.
#[derive(Debug)]
pub(crate) struct StopRequests {
    /// Absent where the system lets nobody listen; then there are never any requests.
    #[cfg(unix)]
    signals: Option<(Signal, Signal)>,
}

impl StopRequests {
    /// Listens, within a runtime.
    #[cfg(unix)]
    pub(crate) fn listen() -> Self {
        let both = || Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
        Self { signals: both().ok() }
    }

    /// Listens, within a runtime.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> Self {
        Self {}
    }

    /// Waits for the next request.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        match &mut self.signals {
            Some((interrupt, terminate)) => tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} },
            None => std::future::pending().await,
        }
    }

    /// Waits for the next request.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
