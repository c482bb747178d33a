//! `ctct-etl auth login`: a person signs an account in, by one of three ways.

use ctct_extract::{
    Accounts, Applications, Authority, Client, ClientConfig, Clock, ExtractError, Identity, Loopback, RetrySettings,
    SCOPES, SignIn, SignInAttempt, Token,
};
use ctct_pipeline::policy::with_advice;
use ctct_pipeline::with_causes;
use secrecy::ExposeSecret;

use super::{accounts, application, context, prompt, refuse};
use crate::args::{Global, LoginArguments};
use crate::command::runtime;
use crate::printer::{complain, print};
use crate::stop::StopRequests;
use crate::{exit_code, folders};

/// Times that the account summary is asked for: a person is waiting.
const ATTEMPTS: u32 = 2;

/// Signs an account in and says what it may be read with from now on.
pub(super) fn login(global: &Global, arguments: &LoginArguments) -> Result<u8, u8> {
    let runtime = runtime()?;
    let _within = runtime.enter();
    let accounts = accounts(global, &arguments.place)?;
    let applications = Applications::in_folder(folders::config(global)?.join("applications"));
    let application = application::chosen(&applications, arguments)?;
    let authority = match &arguments.server {
        Some(server) => Authority::at(server).map_err(|error| refuse(&error))?,
        None => Authority::vendor(),
    };
    let attempt = SignInAttempt::new(&arguments.account, application.clone(), authority, Clock::system());
    let attempt = attempt.map_err(|error| refuse(&error))?;
    let attempt = if arguments.allow_http { attempt.allowing_http() } else { attempt };
    let attempt = match &arguments.base_url {
        Some(api) => attempt.for_api(api.clone()),
        None => attempt,
    };
    let login = Login { global, arguments, attempt, accounts };
    let sign_in = if arguments.paste {
        // Whoever is asked may take any time, and Ctrl-C ends the question.
        let (authorization, pasted) = login.pasted()?;
        runtime.block_on(until_stopped(async {
            let code = authorization.code_in(pasted.expose_secret())?;
            login.keep(login.attempt.redeem(authorization, code).await?).await
        }))?
    } else if arguments.device {
        runtime.block_on(until_stopped(login.by_device()))?
    } else {
        runtime.block_on(until_stopped(login.by_browser()))?
    };
    applications.write(&application).map_err(|error| refuse(&error))?;
    warn_of_gaps(&sign_in);
    Ok(print(&welcome(&sign_in, arguments.place.state.as_deref())))
}

/// What signing in takes.
struct Login<'a> {
    global: &'a Global,
    arguments: &'a LoginArguments,
    attempt: SignInAttempt,
    accounts: Accounts,
}

impl Login<'_> {
    /// The redirect URI that was asked for.
    fn redirect_uri(&self) -> String {
        let LoginArguments { redirect_uri, port, .. } = self.arguments;
        redirect_uri.clone().unwrap_or_else(|| format!("http://127.0.0.1:{port}/callback"))
    }

    async fn by_browser(&self) -> Result<SignIn, ExtractError> {
        let loopback = Loopback::listen(&self.redirect_uri()).await?;
        let authorization = self.attempt.authorize(loopback.redirect_uri())?;
        say_redirect_uri(loopback.redirect_uri());
        let url = authorization.url().as_str();
        let opened = !self.arguments.no_browser && open::that_detached(url).is_ok();
        let how =
            if opened { "Opening a browser. If it does not open, go to:" } else { "Open this address in a browser:" };
        complain(&format!("{how}\n  {url}\nWaiting for sign-in (up to 5 minutes). Press Ctrl-C to cancel."));
        let visitor = loopback.visitor(&authorization).await?;
        let sign_in = match self.attempt.redeem(authorization, visitor.code()).await {
            Ok(sign_in) => self.keep(sign_in).await,
            Err(error) => Err(error),
        };
        match &sign_in {
            Ok(_) => {
                let account = &self.arguments.account;
                visitor.welcome(&format!("Account {account} is signed in. You can close this page.")).await;
            }
            Err(error) => visitor.turn_away(&with_causes(error)).await,
        }
        sign_in
    }

    async fn by_device(&self) -> Result<SignIn, ExtractError> {
        let code = self.attempt.device_code().await?;
        let minutes = code.expires_in().as_secs().div_ceil(60);
        let mut text = format!("Go to {} and enter this code: {}\n", code.verification_uri(), code.user_code());
        if let Some(uri) = code.verification_uri_complete() {
            text += &format!("Or open {uri}\n");
        }
        complain(&format!("{text}Waiting for sign-in (up to {minutes} minutes). Press Ctrl-C to cancel."));
        self.keep(self.attempt.confirmed(&code).await?).await
    }

    /// What a person pastes once a browser, wherever it is, has been to the authorization server.
    fn pasted(&self) -> Result<(ctct_extract::Authorization, secrecy::SecretString), u8> {
        let redirect_uri = self.redirect_uri();
        let authorization = self.attempt.authorize(&redirect_uri).map_err(|error| refuse(&error))?;
        say_redirect_uri(&redirect_uri);
        complain(&format!(
            "Open this address in any browser and sign in:\n  {}\nThe last page may not load. Copy its complete address and \
             paste it here; it is not shown.",
            authorization.url()
        ));
        Ok((authorization, prompt::secret("Address: ")?))
    }

    /// Stores a sign-in with whose account it is, durably, and gives it back.
    async fn keep(&self, sign_in: SignIn) -> Result<SignIn, ExtractError> {
        let sign_in = SignIn { identity: self.whose(&sign_in).await, ..sign_in };
        if self.arguments.replace {
            self.accounts.store(sign_in.clone()).await?;
        } else {
            self.accounts.store_same(sign_in.clone()).await?;
        }
        Ok(sign_in)
    }

    /// Asks whose account it is. The sign-in stands where nothing tells; the first run asks again then.
    async fn whose(&self, sign_in: &SignIn) -> Identity {
        let Some(token) = sign_in.access_token.clone() else { return Identity::default() };
        let (server, context) = (sign_in.api_url(), context(self.global));
        // The request counts like those of runs.
        let place = self.arguments.place.state.as_deref();
        let ledger = context.ledger_at(place, &server, &sign_in.client_id);
        let asked = async {
            let ledger = ledger.map_err(|error| with_causes(&error))?;
            let retry = RetrySettings { attempts: ATTEMPTS, ..RetrySettings::default() };
            let config = ClientConfig {
                ledger,
                retry,
                allow_http: self.arguments.allow_http,
                ..ClientConfig::new(server, Token::Bearer(token))
            };
            let client = Client::new(config).map_err(|error| with_causes(&error))?;
            client.identify().await.map_err(|error| with_advice(&error))
        };
        let asked = asked.await;
        context.state.release(&context.clock).await;
        asked.unwrap_or_else(|error: String| {
            complain(&format!("warning: cannot get the account's owner yet: {error}"));
            Identity::default()
        })
    }
}

/// Waits for what a person does, or for Ctrl-C.
async fn until_stopped(work: impl Future<Output = Result<SignIn, ExtractError>>) -> Result<SignIn, u8> {
    let mut requests = StopRequests::listen();
    tokio::select! {
        signed_in = work => signed_in.map_err(|error| refuse(&error)),
        () = requests.next() => {
            complain("error: stopped before the sign-in was complete\nhelp: run `ctct-etl auth login` again");
            Err(exit_code::TRANSIENT)
        }
    }
}

fn say_redirect_uri(redirect_uri: &str) {
    complain(&format!("Register exactly this redirect URI for your application: {redirect_uri}"));
}

/// What was asked for and not granted.
pub(super) fn missing(sign_in: &SignIn) -> Vec<&'static str> {
    SCOPES.into_iter().filter(|scope| !sign_in.scopes.iter().any(|granted| granted == scope)).collect()
}

fn warn_of_gaps(sign_in: &SignIn) {
    // Without a refresh token nobody needs to be told that the scope for one is missing too.
    let missing: Vec<_> = missing(sign_in).into_iter().filter(|scope| *scope != "offline_access").collect();
    if !missing.is_empty() {
        complain(&format!(
            "warning: scopes not granted: {}; reports that need them cannot be read; check the application in the developer portal",
            missing.join(", ")
        ));
    }
    if sign_in.refresh_token.is_none() {
        complain(
            "warning: there is no refresh token, so the sign-in expires with its access token; check that the application has the \
             scope `offline_access`",
        );
    }
}

fn welcome(sign_in: &SignIn, state: Option<&str>) -> String {
    let SignIn { account, application, .. } = sign_in;
    let renewed = if sign_in.refresh_token.is_some() { " and is renewed automatically" } else { "" };
    let ends = match sign_in.expires_at {
        Some(at) => format!("The access token expires {}{renewed}.", at.format("%Y-%m-%d %H:%M UTC")),
        None => format!("The access token expires at an unknown time{renewed}."),
    };
    let whose = match &sign_in.identity.account {
        Some(_) => format!("It is {}.", sign_in.identity),
        None => "The owner of the account is unknown without the scope `account_read`.".to_owned(),
    };
    let state = state.map(|url| format!("\n    state: {{url: '{}'}}", url.replace('\'', "''"))).unwrap_or_default();
    format!(
        "Account {account} is signed in with the application `{application}`. {whose} {ends}\n\nIn a pipeline:\n  source:\n    \
         account: {account}{state}"
    )
}
