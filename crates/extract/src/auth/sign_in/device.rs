//! Signing in from a host without a browser: a code that a person types in elsewhere (RFC 8628; vendor's guide, "Device
//! flow").

use std::time::Duration;

use oauth2::{DeviceCodeErrorResponseType, RequestTokenError, StandardDeviceAuthorizationResponse};
use tokio::time::{Instant, sleep};

use super::attempt::scopes;
use super::endpoint::SignInEndpoint;
use super::{SignInAttempt, SignInFailure};
use crate::scrub::{hide, printable};
use crate::{ApiError, ExtractError, SignIn};

/// Longest wait between two polls while the server cannot be reached.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// A code to type in, and where.
#[derive(Debug)]
pub struct DeviceCode(StandardDeviceAuthorizationResponse);

impl DeviceCode {
    /// Where to type it in.
    pub fn verification_uri(&self) -> String {
        printable(self.0.verification_uri())
    }

    /// Where nothing needs to be typed in any more.
    pub fn verification_uri_complete(&self) -> Option<String> {
        self.0.verification_uri_complete().map(|uri| printable(uri.secret()))
    }

    /// The code.
    pub fn user_code(&self) -> String {
        printable(self.0.user_code().secret())
    }

    /// How long it works.
    pub fn expires_in(&self) -> Duration {
        self.0.expires_in()
    }
}

impl SignInAttempt {
    /// Asks for a code to type in. Applications that sign in on devices have no secret, so none is sent.
    ///
    /// # Errors
    /// [`SignInFailure::Refused`], [`ExtractError::Transient`], or the reply is no code.
    pub async fn device_code(&self) -> Result<DeviceCode, ExtractError> {
        let endpoint = SignInEndpoint::new(&self.transport);
        let client = self.client(None);
        let asked = client.exchange_device_code().add_scopes(scopes()).add_extra_param("response_type", "code");
        match asked.request_async(&endpoint).await {
            Ok(details) => {
                // Whoever has it gets the tokens once the other code was typed in.
                hide(details.device_code().secret());
                Ok(DeviceCode(details))
            }
            Err(_) => Err(endpoint.failure("device code", &self.authority.device_url, "code to type in")),
        }
    }

    /// Waits until the code was typed in, asking as often as the server allows. Troubles on the way pass.
    ///
    /// # Errors
    /// [`SignInFailure::Denied`], [`SignInFailure::DeviceCodeEnded`], [`SignInFailure::Refused`],
    /// [`ExtractError::Transient`], or the reply is no token.
    pub async fn confirmed(&self, code: &DeviceCode) -> Result<SignIn, ExtractError> {
        self.polled(code, sleep).await
    }

    /// The same with another way of waiting, so that tests need not wait.
    pub(crate) async fn polled<F: Future<Output = ()>>(
        &self,
        code: &DeviceCode,
        wait: impl Fn(Duration) -> F,
    ) -> Result<SignIn, ExtractError> {
        let endpoint = SignInEndpoint::new(&self.transport);
        let client = self.client(None);
        // The time of the wait is tokio's, as everywhere.
        let (began, start) = (self.clock.now(), Instant::now());
        let reply = client
            .exchange_device_access_token(&code.0)
            .set_time_fn(move || began + start.elapsed())
            .set_max_backoff_interval(LONGEST_WAIT)
            .request_async(&endpoint, wait, None)
            .await;
        let error = match reply {
            Ok(reply) => return Ok(self.signed_in(reply, None)),
            Err(error) => error,
        };
        if let RequestTokenError::ServerResponse(said) = &error {
            match said.error() {
                DeviceCodeErrorResponseType::ExpiredToken if !endpoint.troubled() => {
                    return Err(SignInFailure::DeviceCodeEnded.into());
                }
                DeviceCodeErrorResponseType::AccessDenied => {
                    let message = said.error_description().map(|text| printable(text)).unwrap_or_default();
                    let denied = ApiError { key: "access_denied".to_owned(), message };
                    return Err(SignInFailure::Denied(denied).into());
                }
                _ => {}
            }
        }
        Err(endpoint.failure("sign-in", &self.authority.token_url, "access token"))
    }
}
