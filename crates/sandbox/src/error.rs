//! Why a sandbox did not start.

use std::net::SocketAddr;

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The address is taken or is not one of this host.
    #[error("sandbox cannot listen on {address}; choose another port, or 0 for any free one")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
