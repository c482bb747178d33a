//! Why a person's attempt to sign in came to nothing.

use std::io;

use crate::{ApiError, Identity, Reply, RequestPlace, RetryAdvice};

/// Why nobody is signed in now. Troubles of the connection are not among them:
/// [`ExtractError::Transient`](crate::ExtractError::Transient) says those.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInFailure {
    /// The redirect URI cannot be one, or nothing on this host can listen there.
    #[error("the redirect URI `{redirect_uri}` {reason}")]
    RedirectUri {
        /// As it was given.
        redirect_uri: String,
        /// What is wrong with it, and what to do.
        reason: &'static str,
    },
    /// The port of the redirect URI is not free.
    #[error(
        "port {port} of this host is not free; use --port with another port that is registered for the application, or --paste"
    )]
    Port {
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No browser came back in time.
    #[error(
        "no browser came back within {minutes} minutes; start again, and use --paste or --device where the browser is on another host"
    )]
    NobodyCame {
        /// How long it was waited for.
        minutes: u64,
    },
    /// The person, or the authorization server, said no.
    #[error("not allowed ({0}); start again, and allow it on the page that opens")]
    Denied(ApiError),
    /// The `state` that came back is not that of this attempt.
    #[error("the response belongs to another sign-in: its `state` differs; start again and use the page that it opens")]
    OtherState,
    /// There is no code in what came back.
    #[error("there is no code in the response; give the full address of the browser's last page")]
    NoCode,
    /// Nobody typed in the device's code in time.
    #[error("the code expired before it was entered; start again")]
    DeviceCodeEnded,
    /// Another account is signed in under this name.
    #[error(
        "`{account}` is signed in for {stored}, and this sign-in is for {found}; nothing was changed: choose another name with --account, or put this one in its place with --replace"
    )]
    OtherAccount {
        /// The name.
        account: String,
        /// Whose account is signed in under it.
        stored: Box<Identity>,
        /// Whose account it would be.
        found: Box<Identity>,
    },
    /// The authorization server does not take the application or the code.
    #[error("{place}: refused ({reply}); {}", advice(.reply))]
    Refused {
        /// Which request.
        place: RequestPlace,
        /// What the server said.
        reply: Box<Reply>,
    },
}

impl SignInFailure {
    /// What the authorization server said, where it refused.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Refused { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// When it makes sense to start again.
    pub(crate) fn retry(&self) -> RetryAdvice {
        match self {
            Self::RedirectUri { .. } | Self::Port { .. } | Self::OtherAccount { .. } => RetryAdvice::Never,
            Self::NobodyCame { .. }
            | Self::Denied(_)
            | Self::OtherState
            | Self::NoCode
            | Self::DeviceCodeEnded
            | Self::Refused { .. } => RetryAdvice::AfterSignIn,
        }
    }
}

/// What to do about a refusal (RFC 6749, section 5.2; vendor's guide, "Manage applications").
fn advice(reply: &Reply) -> &'static str {
    let key = |key: &str| reply.has(key);
    if key("invalid_client") {
        "check the application's client id and secret, and whether it has a secret at all"
    } else if key("invalid_grant") {
        "a code works once and for five minutes: start again"
    } else if key("unauthorized_client") || key("unsupported_grant_type") {
        "the application is set up for another way of signing in: try with or without --device, or set it up in the developer portal"
    } else if key("invalid_scope") {
        "the application may not ask for these scopes: check it in the developer portal"
    } else {
        "check the client id and the server"
    }
}
