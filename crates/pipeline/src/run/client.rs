//! The source of a run: a client for the API, and the embedded API itself where the pipeline asks for it.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddr};

use ctct_extract::{
    AccessToken, Authority, Client, ClientConfig, ExtractError, Ledger, Pace, RefreshGrant, Retry, SecretString, Token,
    Url,
};

use super::{Context, RunError};
use crate::document::{Access, Seed};
use crate::plan::Plan;

/// Where the vendor serves the API (vendor's OpenAPI description: `host`, `basePath`).
const VENDOR: &str = "https://api.cc.email/v3";

/// A client, and the server behind it where that is our own.
pub(crate) struct Source {
    pub(crate) client: Client,
    sandbox: Option<ctct_sandbox::Sandbox>,
}

impl Source {
    /// Ends the embedded API, where there is one, and sees to it that renewed tokens are stored.
    ///
    /// # Errors
    /// They cannot be stored: nobody will be able to renew them again.
    pub(crate) async fn close(self) -> Result<(), RunError> {
        let settled = self.client.settle().await;
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
        Ok(settled?)
    }
}

/// How requests are signed, and whose quota they count against.
struct Right {
    token: Token,
    /// Names the API key.
    api_key: String,
}

/// Opens the plan's source. Sends nothing to the API.
pub(crate) async fn open(plan: &Plan, context: &Context) -> Result<Source, RunError> {
    let source = &plan.pipeline.source;
    let (base_url, right, sandbox) = match &source.access {
        Access::Stored => (server(plan)?, stored(plan, context).await?, None),
        Access::Seeded(seed) => (server(plan)?, seeded(seed, plan, context).await?, None),
        Access::Token(token) => {
            let token = plan.pipeline.secret(token, &context.environment, &context.base_dir)?;
            let token = AccessToken::from(token);
            let api_key = token.api_key().unwrap_or_else(|| source.application.clone());
            (server(plan)?, Right { token: Token::Bearer(token), api_key }, None)
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
            let right = Right { token: Token::Refresh(grant), api_key: sandbox.client_id().to_owned() };
            (address(&sandbox.base_url())?, right, Some(sandbox))
        }
    };
    let ledger = match &sandbox {
        // Its quota ends with the run, and so does what is counted.
        Some(_) => Ledger::in_memory(),
        None => context.keeping.ledger(&plan.pipeline, context, &base_url, &right.api_key)?,
    };
    let config = ClientConfig {
        pace: pace(source.pace),
        ledger,
        retry: retry(plan),
        clock: context.clock.clone(),
        // The run's id is unique, so two runs that fail together do not retry together.
        seed: RandomState::new().hash_one(&context.run_id),
        ..ClientConfig::new(base_url, right.token)
    };
    Ok(Source { client: Client::new(config)?, sandbox })
}

/// The ledger that the plan's requests will be counted in. `None` for the embedded API, whose quota begins with the run.
pub(crate) async fn ledger(plan: &Plan, context: &Context) -> Result<Option<Ledger>, RunError> {
    let source = &plan.pipeline.source;
    let api_key = match &source.access {
        Access::Sandbox(_) => return Ok(None),
        Access::Stored => stored(plan, context).await?.api_key,
        Access::Seeded(seed) => seed.client_id.clone(),
        Access::Token(token) => {
            // Without the token there is no run, but there can be a plan.
            let token = plan.pipeline.secret(token, &context.environment, &context.base_dir).ok();
            token.and_then(|token| AccessToken::from(token).api_key()).unwrap_or_else(|| source.application.clone())
        }
    };
    context.keeping.ledger(&plan.pipeline, context, &server(plan)?, &api_key).map(Some)
}

/// What `auth login` stored.
async fn stored(plan: &Plan, context: &Context) -> Result<Right, RunError> {
    let account = plan.account.clone();
    let accounts = context.keeping.accounts(&plan.pipeline, context)?;
    let Some(sign_in) = accounts.read(&account).await? else { return Err(RunError::NoToken { account }) };
    Ok(Right { api_key: sign_in.client_id, token: Token::Stored { accounts, account } })
}

/// What has become of the refresh token that the pipeline names.
async fn seeded(seed: &Seed, plan: &Plan, context: &Context) -> Result<Right, RunError> {
    let secret = |secret| plan.pipeline.secret(secret, &context.environment, &context.base_dir);
    let grant = RefreshGrant {
        token_url: seed.token_url.clone().unwrap_or_else(|| Authority::vendor().token_url),
        client_id: seed.client_id.clone(),
        client_secret: seed.client_secret.as_ref().map(secret).transpose()?,
        refresh_token: secret(&seed.refresh_token)?,
    };
    let accounts = context.keeping.accounts(&plan.pipeline, context)?;
    accounts.seed(&plan.account, &plan.pipeline.source.application, &grant, &context.clock).await?;
    let token = Token::Stored { accounts, account: plan.account.clone() };
    Ok(Right { api_key: seed.client_id.clone(), token })
}

fn server(plan: &Plan) -> Result<Url, RunError> {
    plan.pipeline.source.base_url.clone().map_or_else(|| address(VENDOR), Ok)
}

fn pace(pace: crate::document::Pace) -> Pace {
    Pace {
        requests_per_second: pace.requests_per_second,
        daily_requests: u64::from(pace.daily_requests),
        reserve: u64::from(pace.reserve),
        count_refused: pace.count_refused,
    }
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
