//! `ctct-etl sandbox`: the embedded API as a server, until Ctrl-C or SIGTERM.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chrono::Utc;
use ctct_sandbox::{Faults, Sandbox, SandboxConfig};

use super::runtime;
use crate::args::{Global, SandboxArguments};
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
            complain(&format!("error: {error}\nnext: choose another port with --port, or 0 for a free one"));
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
        today: Utc::now().date_naive(),
        days_later: arguments.days_later,
        requests_per_second: arguments.requests_per_second,
        daily_requests: arguments.daily_requests,
        latency: Duration::from_millis(arguments.latency_ms),
        faults: Faults { error_500: arguments.error_rate, ..Faults::default() },
        ..SandboxConfig::default()
    }
}

fn how_to_use(sandbox: &Sandbox) -> String {
    format!(
        "The sandbox serves {base}\n\nTry it:\n  curl -H 'Authorization: Bearer {token}' '{base}/contacts?limit=1'\n\n\
         In a pipeline, with the token in CTCT_ACCESS_TOKEN:\n  source:\n    base_url: {base}\n    \
         access_token: {{env: CTCT_ACCESS_TOKEN}}\n\nCtrl-C stops it.",
        base = sandbox.base_url(),
        token = sandbox.access_token(),
    )
}
