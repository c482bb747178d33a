//! The source of a run: a client for the API, and the embedded API itself where the pipeline asks for it.

pub(crate) mod identity;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, SocketAddr};

use chrono::{DateTime, Utc};
use ctct_extract::{
    AccessToken, Authority, Client, ClientConfig, ExtractError, Identity, Ledger, RateLimit, RefreshGrant,
    RetrySettings, SecretString, SignIn, Token, Url,
};

use crate::context::Context;
use crate::document::{AccountNames, Credentials, Seed};
use crate::plan::{Plan, Shard};
use crate::run_error::RunError;

/// Where the vendor serves the API (vendor's OpenAPI description: `host`, `basePath`).
const VENDOR: &str = "https://api.cc.email/v3";

/// A client, and the server behind it where that is our own.
pub(crate) struct OpenSource {
    pub(crate) client: Client,
    facts: SourceFacts,
    sandbox: Option<ctct_sandbox::Sandbox>,
}

/// What a source tells of itself without a request.
#[derive(Debug, Default)]
pub(crate) struct SourceFacts {
    /// Whose account it is, where the sign-in or the embedded API says so.
    pub(crate) identity: Identity,
    /// What the access token says of itself, where there is one already.
    pub(crate) of_token: Option<Identity>,
    /// When a person signed in, for a stored sign-in.
    pub(crate) signed_in_at: Option<DateTime<Utc>>,
    /// The server that is asked, but for the embedded one.
    pub(crate) server: Option<Url>,
}

impl OpenSource {
    /// What it tells of itself.
    pub(crate) fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    /// Whether it is the embedded API.
    pub(crate) fn is_embedded(&self) -> bool {
        self.sandbox.is_some()
    }

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

impl Plan {
    /// A plan for each account that the pipeline reads, or for those in a part of them, in the order of the pipeline;
    /// those that fit a pattern by name.
    ///
    /// # Errors
    /// The sign-ins cannot be listed, or no stored account fits the pattern.
    pub async fn by_account(&self, shard: Option<Shard>, context: &Context) -> Result<Vec<Self>, RunError> {
        let names = match &self.pipeline.source.accounts {
            AccountNames::One(name) => vec![name.clone()],
            AccountNames::Several(names) => names.clone(),
            AccountNames::Matching(pattern) => {
                let mut names = context.accounts(&self.pipeline)?.names().await?;
                names.retain(|name| pattern.matches(name));
                if names.is_empty() {
                    return Err(RunError::NoAccounts { pattern: pattern.as_str().to_owned() });
                }
                names
            }
        };
        let mine = names.into_iter().filter(|name| shard.is_none_or(|shard| shard.holds(name)));
        Ok(mine.map(|account| Self { account, ..self.clone() }).collect())
    }
}

/// How requests are signed, and whose quota they count against.
struct OpenedCredentials {
    token: Token,
    /// Names the API key.
    api_key: String,
    facts: SourceFacts,
}

/// Opens the plan's source. Sends nothing to the API.
pub(crate) async fn open(plan: &Plan, context: &Context) -> Result<OpenSource, RunError> {
    let source = &plan.pipeline.source;
    let (base_url, opened, sandbox) = match &source.credentials {
        Credentials::Stored => {
            let opened = stored(plan, context).await?;
            (opened.facts.server.clone().map_or_else(|| server(plan), Ok)?, opened, None)
        }
        Credentials::Seeded(seed) => (server(plan)?, seeded(seed, plan, context).await?, None),
        Credentials::Token(token) => {
            let token = plan.pipeline.secret(token, &context.environment, &context.base_dir)?;
            let token = AccessToken::from(token);
            let api_key = token.api_key().unwrap_or_else(|| source.application.clone());
            (
                server(plan)?,
                OpenedCredentials { token: Token::Bearer(token), api_key, facts: SourceFacts::default() },
                None,
            )
        }
        Credentials::Sandbox(spec) => {
            let address_of = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let sandbox = {
                let clock = context.clock.clone();
                let config = spec.config(clock.now());
                // Its time is the run's, so that what it dates is neither ahead nor behind.
                ctct_sandbox::Sandbox::start_by(move || clock.now(), config, address_of).await?
            };
            let grant = RefreshGrant {
                token_url: address(&sandbox.token_url())?,
                client_id: sandbox.client_id().to_owned(),
                client_secret: None,
                refresh_token: SecretString::from(sandbox.refresh_token()),
            };
            let (api_key, facts) = (sandbox.client_id().to_owned(), of_sandbox(sandbox.identity()));
            let opened = OpenedCredentials { token: Token::Refresh(grant), api_key, facts };
            (address(&sandbox.base_url())?, opened, Some(sandbox))
        }
    };
    let ledger = match &sandbox {
        // Its quota ends with the run, and so does what is counted.
        Some(_) => Ledger::in_memory(),
        None => context.ledger(&plan.pipeline, &base_url, &opened.api_key)?,
    };
    let config = ClientConfig {
        pace: pace(source.pace),
        ledger,
        retry: retry(plan),
        clock: context.clock.clone(),
        allow_http: source.allow_http,
        // The run's id is unique, so two runs that fail together do not retry together.
        seed: RandomState::new().hash_one(&context.run_id),
        ..ClientConfig::new(base_url, opened.token)
    };
    Ok(OpenSource { client: Client::new(config)?, facts: opened.facts, sandbox })
}

/// The ledger that the plan's requests will be counted in. `None` for the embedded API, whose quota begins with the run.
pub(crate) async fn ledger(plan: &Plan, context: &Context) -> Result<Option<Ledger>, RunError> {
    let source = &plan.pipeline.source;
    let (server, api_key) = match &source.credentials {
        Credentials::Sandbox(_) => return Ok(None),
        Credentials::Stored => {
            let OpenedCredentials { api_key, facts, .. } = stored(plan, context).await?;
            (facts.server.map_or_else(|| server(plan), Ok)?, api_key)
        }
        Credentials::Seeded(seed) => (server(plan)?, seed.client_id.clone()),
        Credentials::Token(token) => {
            // Without the token there is no run, but there can be a plan.
            let token = plan.pipeline.secret(token, &context.environment, &context.base_dir).ok();
            let api_key = token.and_then(|token| AccessToken::from(token).api_key());
            (server(plan)?, api_key.unwrap_or_else(|| source.application.clone()))
        }
    };
    context.ledger(&plan.pipeline, &server, &api_key).map(Some)
}

/// What the plan's source will tell of itself. Sends and changes nothing.
pub(crate) async fn facts(plan: &Plan, context: &Context) -> Result<SourceFacts, RunError> {
    match &plan.pipeline.source.credentials {
        Credentials::Sandbox(spec) => Ok(of_sandbox(spec.config(context.clock.now()).identity())),
        Credentials::Stored => Ok(stored(plan, context).await?.facts),
        // A new refresh token in the pipeline begins a new sign-in, which only the run can tell.
        Credentials::Seeded(_) => Ok(SourceFacts { server: Some(server(plan)?), ..SourceFacts::default() }),
        Credentials::Token(token) => {
            let token = plan.pipeline.secret(token, &context.environment, &context.base_dir)?;
            let of_token = Some(Identity::of_token(&AccessToken::from(token)));
            Ok(SourceFacts { of_token, server: Some(server(plan)?), ..SourceFacts::default() })
        }
    }
}

fn of_sandbox((account, name): (String, String)) -> SourceFacts {
    let identity = Identity { account: Some(account), name: Some(name), ..Identity::default() };
    SourceFacts { identity, ..SourceFacts::default() }
}

/// The server that an account signed in at. Its token goes to no other.
fn own_server(plan: &Plan, sign_in: &SignIn) -> Result<Url, RunError> {
    match (&plan.pipeline.source.base_url, &sign_in.server) {
        (Some(wanted), Some(own)) if wanted.origin() != own.origin() => Err(RunError::OtherServer {
            account: plan.account.clone(),
            signed_in: own.to_string(),
            wanted: wanted.to_string(),
        }),
        (Some(wanted), _) => Ok(wanted.clone()),
        (None, _) => Ok(sign_in.api_url()),
    }
}

/// What `auth login` stored.
async fn stored(plan: &Plan, context: &Context) -> Result<OpenedCredentials, RunError> {
    let account = plan.account.clone();
    let accounts = context.accounts(&plan.pipeline)?;
    let Some(sign_in) = accounts.read(&account).await? else { return Err(RunError::NoToken { account }) };
    let ended = sign_in.expires_at.is_some_and(|end| end <= context.clock.now());
    let facts = SourceFacts {
        server: Some(own_server(plan, &sign_in)?),
        of_token: sign_in.access_token.as_ref().filter(|_| !ended).map(Identity::of_token),
        signed_in_at: Some(sign_in.signed_in_at),
        identity: sign_in.identity,
    };
    Ok(OpenedCredentials { api_key: sign_in.client_id, token: Token::Stored { accounts, account }, facts })
}

/// What has become of the refresh token that the pipeline names.
async fn seeded(seed: &Seed, plan: &Plan, context: &Context) -> Result<OpenedCredentials, RunError> {
    let secret = |secret| plan.pipeline.secret(secret, &context.environment, &context.base_dir);
    let grant = RefreshGrant {
        token_url: seed.token_url.clone().unwrap_or_else(|| Authority::vendor().token_url),
        client_id: seed.client_id.clone(),
        client_secret: seed.client_secret.as_ref().map(secret).transpose()?,
        refresh_token: secret(&seed.refresh_token)?,
    };
    let accounts = context.accounts(&plan.pipeline)?;
    accounts.seed(&plan.account, &plan.pipeline.source.application, &grant, &context.clock).await?;
    let token = Token::Stored { accounts, account: plan.account.clone() };
    Ok(OpenedCredentials { api_key: seed.client_id.clone(), token, facts: SourceFacts::default() })
}

fn server(plan: &Plan) -> Result<Url, RunError> {
    plan.pipeline.source.base_url.clone().map_or_else(|| address(VENDOR), Ok)
}

fn pace(pace: crate::document::PaceConfig) -> RateLimit {
    RateLimit {
        requests_per_second: pace.requests_per_second,
        daily_requests: u64::from(pace.daily_requests),
        reserve: u64::from(pace.reserve),
        count_refused: pace.count_refused,
    }
}

fn retry(plan: &Plan) -> RetrySettings {
    let (limits, default) = (&plan.pipeline.retry, RetrySettings::default());
    RetrySettings {
        attempts: limits.attempts.unwrap_or(default.attempts),
        budget: limits.budget.unwrap_or(default.budget),
        ..default
    }
}

fn address(text: &str) -> Result<Url, RunError> {
    Url::parse(text)
        .map_err(|_| ExtractError::Config { key: "base_url", reason: "is not a valid address".to_owned() }.into())
}
