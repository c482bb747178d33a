//! The source of a run: a client for the API, and the embedded API itself where the pipeline asks for it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddr};

use ctct_extract::{
    AccessToken, Client, ClientConfig, ExtractError, Pace, RefreshGrant, Retry, SecretString, Token, Url,
};
use secrecy::ExposeSecret;

use super::{Context, RunError};
use crate::document::Access;
use crate::plan::Plan;

/// Where the vendor serves the API (vendor's OpenAPI description: `host`, `basePath`).
const VENDOR: &str = "https://api.cc.email/v3";

/// A client, and the server behind it where that is our own.
pub(crate) struct Source {
    pub(crate) client: Client,
    sandbox: Option<ctct_sandbox::Sandbox>,
}

impl Source {
    /// Ends the embedded API, where there is one.
    pub(crate) async fn close(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// Opens the plan's source. Sends nothing to the API.
pub(crate) async fn open(plan: &Plan, context: &Context) -> Result<Source, RunError> {
    let source = &plan.pipeline.source;
    let (base_url, token, sandbox) = match &source.access {
        Access::Stored => return Err(RunError::NoToken { account: source.account.clone() }),
        Access::Token(_) => {
            let token = plan.pipeline.access_token(&context.environment, &context.base_dir)?;
            let token = token.ok_or_else(|| RunError::NoToken { account: source.account.clone() })?;
            let base_url = source.base_url.clone().map_or_else(|| address(VENDOR), Ok)?;
            (base_url, Token::Bearer(AccessToken::new(token.expose_secret())), None)
        }
        Access::Sandbox(spec) => {
            let address_of = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let sandbox = ctct_sandbox::Sandbox::start(spec.config(context.clock.now()), address_of).await?;
            let grant = RefreshGrant {
                token_url: address(&sandbox.token_url())?,
                client_id: sandbox.client_id().to_owned(),
                client_secret: None,
                refresh_token: SecretString::from(sandbox.refresh_token()),
            };
            (address(&sandbox.base_url())?, Token::Refresh(grant), Some(sandbox))
        }
    };
    let config = ClientConfig {
        pace: Pace {
            requests_per_second: source.pace.requests_per_second,
            daily_requests: u64::from(source.pace.daily_requests),
        },
        retry: retry(plan),
        clock: context.clock.clone(),
        // The run's id is unique, so two runs that fail together do not retry together.
        seed: RandomState::new().hash_one(&context.run_id),
        ..ClientConfig::new(base_url, token)
    };
    Ok(Source { client: Client::new(config)?, sandbox })
}

fn retry(plan: &Plan) -> Retry {
    let (limits, default) = (&plan.pipeline.retry, Retry::default());
    Retry {
        attempts: limits.attempts.unwrap_or(default.attempts),
        budget: limits.budget.unwrap_or(default.budget),
        ..default
    }
}

fn address(text: &str) -> Result<Url, RunError> {
    Url::parse(text).map_err(|_| ExtractError::Config { key: "base_url", reason: "is no address".to_owned() }.into())
}
