//! Application profiles: the API keys that accounts sign in with, one file each.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::scrub::hidden;
use crate::{ExtractError, auth::private};

/// An application as the vendor's developer portal knows it.
#[derive(Debug, Clone)]
pub struct Application {
    /// Name of its profile.
    pub name: String,
    /// Its API key.
    pub client_id: String,
    /// Its secret, where it has one: applications that sign in with PKCE alone, or on devices, have none.
    pub client_secret: Option<SecretString>,
}

/// The profiles of a folder: `NAME.json` each, readable by its owner alone.
#[derive(Debug, Clone)]
pub struct Applications {
    folder: PathBuf,
}

/// A profile's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    client_id: std::borrow::Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_secret: Option<std::borrow::Cow<'a, str>>,
}

impl Applications {
    /// The profiles in this folder, which need not be there yet.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where a profile is kept.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// The profile of this name, where there is one.
    ///
    /// # Errors
    /// [`ExtractError::Profile`]: it cannot be read, others than its owner can read it, or it is no profile.
    pub fn read(&self, name: &str) -> Result<Option<Application>, ExtractError> {
        let path = self.path(name);
        let wrong =
            |reason: &str, source| ExtractError::Profile { path: path.clone(), reason: reason.to_owned(), source };
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong("cannot be read", Some(error))),
        };
        if let Some(reason) = loose(&path, "600").or_else(|| loose(&self.folder, "700")) {
            return Err(wrong(&reason, None));
        }
        // What the parser says quotes the file, which holds a secret.
        let stored: Stored<'_> = serde_json::from_slice(&text)
            .map_err(|_| wrong("is no application profile; remove it, and sign in with --client-id", None))?;
        Ok(Some(Application {
            name: name.to_owned(),
            client_id: stored.client_id.into_owned(),
            client_secret: stored.client_secret.map(|secret| hidden(secret.into_owned())),
        }))
    }

    /// Writes a profile in place of whatever is there, durably.
    ///
    /// # Errors
    /// [`ExtractError::Profile`]: it cannot be written; what was there is still there.
    pub fn write(&self, application: &Application) -> Result<(), ExtractError> {
        let path = self.path(&application.name);
        self.replace(&path, application).map_err(|error| {
            let reason = "cannot be written".to_owned();
            ExtractError::Profile { path, reason, source: Some(error) }
        })
    }

    fn replace(&self, path: &Path, application: &Application) -> io::Result<()> {
        let stored = Stored {
            client_id: application.client_id.as_str().into(),
            client_secret: application.client_secret.as_ref().map(|secret| secret.expose_secret().into()),
        };
        let text = Zeroizing::new(serde_json::to_vec_pretty(&stored)?);
        private::make_folder(&self.folder)?;
        private::replace(path, &text)
    }
}

/// What is wrong where others than the owner can get at a file or a folder.
fn loose(path: &Path, mode: &str) -> Option<String> {
    let open = fs::metadata(path).is_ok_and(|metadata| private::open_mode(&metadata).is_some());
    open.then(|| format!("is open to others than its owner; run `chmod {mode} {}`", path.display()))
}
