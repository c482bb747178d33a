//! `ctct-etl sandbox`: the embedded API as a server, until Ctrl-C or SIGTERM.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chrono::Utc;
use ctct_sandbox::{Faults, Quirks, RefreshToken, Sandbox, SandboxConfig};

use super::runtime;
use crate::args::{Global, RefreshTokens, SandboxArguments};
use crate::exit_code;
use crate::logging;
use crate::printer::{complain, print};
use crate::reporter;
use crate::stop::StopRequests;

/// Serves until it is stopped.
pub(crate) fn sandbox(global: &Global, arguments: &SandboxArguments) -> u8 {
    logging::start(global, &reporter::canvas(global));
    match runtime() {
        Ok(runtime) => runtime.block_on(serve(arguments)),
        Err(code) => code,
    }
}

async fn serve(arguments: &SandboxArguments) -> u8 {
    let address = arguments.address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)));
    let sandbox = match Sandbox::start(config(arguments), address).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            complain(&format!("error: {error}\nhelp: choose another port with --port, or 0 for a free one"));
            return exit_code::CONFIGURATION;
        }
    };
    let mut requests = StopRequests::listen();
    let code = print(&how_to_use(&sandbox));
    requests.next().await;
    sandbox.stop().await;
    code
}

fn config(arguments: &SandboxArguments) -> SandboxConfig {
    SandboxConfig {
        contacts: arguments.contacts,
        seed: arguments.seed,
        today: arguments.today.unwrap_or_else(|| Utc::now().date_naive()),
        days_later: arguments.days_later,
        requests_per_second: arguments.requests_per_second,
        daily_requests: arguments.daily_requests,
        latency: Duration::from_millis(arguments.latency_ms),
        users: arguments.users,
        unfit: arguments.unfit,
        faults: Faults { error_500: arguments.error_rate, ..Faults::default() },
        quirks: Quirks {
            wrong_date: arguments.wrong_date,
            access_token_lifetime: arguments.token_lifetime,
            refresh_token: match arguments.refresh_tokens {
                RefreshTokens::Rotating => RefreshToken::Rotating,
                RefreshTokens::LongLived => RefreshToken::LongLived,
                RefreshTokens::Omitted => RefreshToken::Omitted,
            },
            reorder: arguments.reorder,
            ..Quirks::default()
        },
        ..SandboxConfig::default()
    }
}

fn how_to_use(sandbox: &Sandbox) -> String {
    format!(
        "The sandbox serves {base}\n\nTry it:\n  curl -H 'Authorization: Bearer {token}' '{base}/contacts?limit=1'\n\n\
         In a pipeline, with the token in CTCT_ACCESS_TOKEN:\n  source:\n    base_url: {base}\n    \
         access_token: {{env: CTCT_ACCESS_TOKEN}}\n\n\
         To sign in, while the sandbox runs:\n  \
         CTCT_CLIENT_ID={client} ctct-etl auth login --account demo --server {server}\n\
         For an application with a secret, also set CTCT_CLIENT_SECRET={secret}.\n\nPress Ctrl-C to stop it.",
        base = sandbox.base_url(),
        token = sandbox.access_token(),
        client = sandbox.client_id(),
        server = sandbox.server_url(),
        secret = sandbox.client_secret(),
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn started_with(arguments: &[&str]) -> SandboxConfig {
        let words = ["ctct-etl", "sandbox"].into_iter().chain(arguments.iter().copied());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Sandbox(arguments) => config(&arguments),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_printed_is_enough_to_read_and_to_sign_in() {
        let sandbox = Sandbox::start(started_with(&[]), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        insta::with_settings!({filters => vec![
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
            (r"Bearer [\w.-]+", "Bearer [token]"),
        ], omit_expression => true}, {
            insta::assert_snapshot!(how_to_use(&sandbox));
        });
    }

    #[test]
    fn options_reach_the_sandbox_and_others_are_refused() {
        let config = started_with(&[]);
        assert_eq!((config.users, config.quirks.access_token_lifetime), (1, Duration::from_hours(24)));
        assert_eq!(config.quirks.refresh_token, RefreshToken::Rotating);
        let config = started_with(&["--users", "3", "--token-lifetime", "90s", "--refresh-tokens", "long-lived"]);
        assert_eq!((config.users, config.quirks.access_token_lifetime), (3, Duration::from_secs(90)));
        assert_eq!(config.quirks.refresh_token, RefreshToken::LongLived);
        assert_eq!(started_with(&["--refresh-tokens", "omitted"]).quirks.refresh_token, RefreshToken::Omitted);
        assert!(!config.quirks.reorder && started_with(&["--reorder"]).quirks.reorder);
        assert_eq!(started_with(&["--today", "2026-01-31"]).today.to_string(), "2026-01-31");
        for wrong in [
            ["--users", "0"],
            ["--token-lifetime", "60"],
            ["--token-lifetime", "-1s"],
            ["--refresh-tokens", "x"],
            ["--today", "2026-02-30"],
        ] {
            assert!(Arguments::try_parse_from(["ctct-etl", "sandbox"].into_iter().chain(wrong)).is_err(), "{wrong:?}");
        }
    }
}
