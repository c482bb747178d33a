//! Which application an account signs in with: from the command line, the environment, its profile, or a person.

use std::path::Path;

use ctct_extract::{Application, Applications, read_secret};
use secrecy::{ExposeSecret, SecretString};

use super::{prompt, refuse};
use crate::args::LoginArguments;
use crate::exit_code;
use crate::printer::complain;

/// Environment variable with the secret, where nothing else names one.
const SECRET: &str = "CTCT_CLIENT_SECRET";

/// The application to sign in with. Its profile is not written yet: only one that worked is kept.
pub(super) fn chosen(applications: &Applications, arguments: &LoginArguments) -> Result<Application, u8> {
    let name = &arguments.application;
    let profile = applications.read(name).map_err(|error| refuse(&error))?;
    let given = arguments.client_id.clone().filter(|id| !id.trim().is_empty()).map(|id| id.trim().to_owned());
    if let (Some(given), Some(profile)) = (&given, &profile)
        && *given != profile.client_id
    {
        let path = applications.path(name);
        complain(&format!(
            "error: the application `{name}` has another client id than --client-id or CTCT_CLIENT_ID \
             gives\nnext: name another \
             application with --application NAME, or remove {}",
            path.display()
        ));
        return Err(exit_code::CONFIGURATION);
    }
    let secret = secret(arguments)?;
    match (given, profile) {
        (_, Some(profile)) => Ok(Application { client_secret: secret.or(profile.client_secret), ..profile }),
        (Some(client_id), None) => Ok(Application { name: name.clone(), client_id, client_secret: secret }),
        (None, None) if prompt::somebody_is_there() => asked(name, secret),
        (None, None) => {
            complain(&format!(
                "error: the application `{name}` is not known here\nnext: give its client id (API key), from the \
                 vendor's developer portal, with --client-id or in CTCT_CLIENT_ID"
            ));
            Err(exit_code::CONFIGURATION)
        }
    }
}

/// The application that a person types in.
fn asked(name: &str, secret: Option<SecretString>) -> Result<Application, u8> {
    let client_id = prompt::line(&format!("Client id (API key) of the application `{name}`: "))?;
    if client_id.is_empty() {
        complain(
            "error: there is no client id; the vendor's developer portal shows it\nnext: start again, or give it with --client-id",
        );
        return Err(exit_code::CONFIGURATION);
    }
    let secret = match secret {
        None => Some(prompt::secret("Its client secret, empty where it has none: ")?),
        given => given,
    };
    let client_secret = secret.filter(|secret| !secret.expose_secret().is_empty());
    Ok(Application { name: name.to_owned(), client_id, client_secret })
}

/// The secret that the command line or the environment names.
fn secret(arguments: &LoginArguments) -> Result<Option<SecretString>, u8> {
    if let Some(file) = &arguments.client_secret_file {
        return in_file(file).map(Some);
    }
    let variable = arguments.client_secret_env.as_deref();
    match std::env::var(variable.unwrap_or(SECRET)) {
        Ok(secret) if !secret.trim().is_empty() => Ok(Some(secret.trim().into())),
        _ => match variable {
            None => Ok(None),
            Some(variable) => {
                complain(&format!(
                    "error: the environment variable `{variable}` is not set or is empty\nnext: export it, or use --client-secret-file"
                ));
                Err(exit_code::CONFIGURATION)
            }
        },
    }
}

fn in_file(file: &Path) -> Result<SecretString, u8> {
    let refused = |why: &str| {
        complain(&format!(
            "error: the client secret in {}: {why}\nnext: use another file with --client-secret-file",
            file.display()
        ));
        exit_code::CONFIGURATION
    };
    let text = read_secret(file).map(SecretString::from).map_err(|error| refused(&error.to_string()))?;
    match text.expose_secret().trim() {
        "" => Err(refused("the file is empty")),
        secret => Ok(secret.into()),
    }
}
