//! Who is renewing a token: written down before the token is sent, so that whoever comes after a crash knows of it.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::key::random;

/// One process' word that it sends an account's refresh token to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The host's name.
    pub host: String,
    /// The process' number there.
    pub pid: u32,
    /// Tells two claims of one process apart.
    pub id: String,
    /// When it was made, by that host's clock.
    pub at: DateTime<Utc>,
    /// Seconds for which nobody else may send the token: longer than a response can take.
    pub holds_seconds: u64,
    /// It was given up, and the server has certainly not used the token up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
}

impl Claim {
    /// A claim of this process.
    pub(super) fn new(at: DateTime<Utc>, holds: Duration) -> Self {
        Self {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            id: format!("{:016x}", u64::from_le_bytes(random())),
            at,
            holds_seconds: holds.as_secs().max(1),
            unsent: false,
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // Nothing in it can fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a claim. One that cannot be read is nobody's, and holds as long as any reasonable one would.
    pub(super) fn from_json(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_else(|_| Self {
            host: "an unknown host".to_owned(),
            pid: 0,
            id: String::new(),
            at: DateTime::UNIX_EPOCH,
            holds_seconds: 120,
            unsent: false,
        })
    }

    pub(super) fn holds(&self) -> Duration {
        Duration::from_secs(self.holds_seconds)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {} at {}", self.pid, self.host, self.at.format("%Y-%m-%d %H:%M:%S UTC"))
    }
}
