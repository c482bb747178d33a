//! What pacing and counting cost a request when nobody else is there: in memory, and in a file that processes share.
//!
//! Each is the median over many requests whose slot is free, against one HTTP request over loopback in the same run.
//!
//! `cargo bench -p ctct-benches --bench ledger`

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a benchmark prints its result and may stop")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ctct_extract::{AccessToken, Client, ClientConfig, Clock, Ledger, RateLimit, Token};
use ctct_sandbox::{Sandbox, SandboxConfig};

const REQUESTS: usize = 20_000;

/// Faster than a ledger can count, so that hardly a request waits.
const PACE: RateLimit =
    RateLimit { requests_per_second: 1e6, daily_requests: u64::MAX, reserve: 0, count_refused: true };

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let http = http_request().await;
    println!("one HTTP request over loopback: {:.1} us", micros(http));
    for (name, ledger) in [("in memory", Ledger::in_memory()), ("in a file", Ledger::in_folder(folder.path(), "key"))] {
        let cost = request(&ledger).await;
        let ratio = cost.as_secs_f64() / http.as_secs_f64();
        println!("paced and counted {name}: {:.1} us, {ratio:.3} of it  (bound: less than 50 us)", micros(cost));
    }
}

async fn request(ledger: &Ledger) -> Duration {
    let clock = Clock::system();
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let start = Instant::now();
        ledger.take(&PACE, &clock).await.expect("a request is left");
        times.push(start.elapsed());
    }
    median(times)
}

async fn http_request() -> Duration {
    let config = SandboxConfig {
        contacts: 1,
        requests_per_second: f64::INFINITY,
        daily_requests: u64::MAX,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a sandbox");
    let base_url = sandbox.base_url().parse().expect("a URL");
    let config = ClientConfig { pace: PACE, ..ClientConfig::new(base_url, Token::Bearer(AccessToken::new("none"))) };
    let client = Client::new(config).expect("a client");
    let mut times = Vec::with_capacity(REQUESTS / 10);
    for _ in 0..REQUESTS / 10 {
        let start = Instant::now();
        client.server_time().await.expect("a response");
        times.push(start.elapsed());
    }
    median(times)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
