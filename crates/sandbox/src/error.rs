//! Why a sandbox did not start, or could not be edited.

use std::net::SocketAddr;

/// What went wrong with a sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The address is taken or is not one of this host.
    #[error("the sandbox cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A change is about something that the account does not hold.
    #[error("the sandbox has no {kind} {id}; create it before changing it")]
    Unknown {
        /// What it is: a contact, a list, a campaign.
        kind: &'static str,
        /// The id that was named.
        id: String,
    },
    /// A change creates something that the account holds already.
    #[error("the sandbox already has {kind} {id}; choose another id")]
    Taken {
        /// What it is: a contact, a list, a campaign.
        kind: &'static str,
        /// The id that was named.
        id: String,
    },
    /// A change brings, or is about, something that is not complete.
    #[error("a {kind} of the sandbox lacks {lacks}; include it in the change")]
    Lacks {
        /// What it is.
        kind: &'static str,
        /// What is missing.
        lacks: &'static str,
    },
}
