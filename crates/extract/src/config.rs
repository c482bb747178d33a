//! What a client is told at its start, with defaults that say why they are what they are.

use std::time::Duration;

use url::Url;

use crate::http::transport::is_loopback;
use crate::{Clock, ExtractError, Ledger, Token};

/// What is wrong with a host that a token would reach in clear, and what to do.
pub(crate) const IN_CLEAR: &str = "is not encrypted, and everybody on the way could read the token: use https://, or set `allow_http: true` in `source`";

/// Whether what is sent there can be read on the way: it is not encrypted and leaves this host.
pub fn is_in_clear(url: &Url) -> bool {
    url.scheme() == "http" && !is_loopback(url)
}

/// Everything that a [`Client`](crate::Client) needs to know.
///
/// ```
/// use ctct_extract::{AccessToken, ClientConfig, RateLimit, Token};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = Token::Bearer(AccessToken::new("from the environment"));
/// let config = ClientConfig {
///     pace: RateLimit { requests_per_second: 2.0, ..RateLimit::default() },
///     ..ClientConfig::new("https://api.cc.email/v3".parse()?, token)
/// };
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where the API is, `/v3` included. The token is sent to this scheme, host and port, and nowhere else.
    pub base_url: Url,
    /// Whether a token may go to a host that is not this one without TLS, where everybody on the way can read it.
    pub allow_http: bool,
    /// How requests are signed.
    pub token: Token,
    /// How fast requests go out.
    pub pace: RateLimit,
    /// Where requests are counted and paced, shared with all who use the API key.
    pub ledger: Ledger,
    /// How often a request that failed is retried.
    pub retry: RetrySettings,
    /// How often a request is repeated whose answer is still being worked out (HTTP 202).
    pub pending: Pending,
    /// Time to open a connection.
    pub connect_timeout: Duration,
    /// Time for a request, its body included.
    pub request_timeout: Duration,
    /// Most bytes of a body, after decompression.
    pub max_body_bytes: u64,
    /// Time of day, for the quota and for [`Page::received_at`](crate::Page::received_at).
    pub clock: Clock,
    /// Seed of the jitter between retries. Give every run another, or hosts that failed together retry together.
    pub seed: u64,
}

impl ClientConfig {
    /// The defaults for one server and one token.
    pub fn new(base_url: Url, token: Token) -> Self {
        Self {
            base_url,
            allow_http: false,
            token,
            pace: RateLimit::default(),
            ledger: Ledger::in_memory(),
            retry: RetrySettings::default(),
            pending: Pending::default(),
            // A host that is there answers in milliseconds; ten seconds also covers a lost packet or two.
            connect_timeout: Duration::from_secs(10),
            // The API's gateway gives up after about half a minute and answers 504, so this only ends what hangs.
            request_timeout: Duration::from_mins(1),
            // 500 contacts with all their sub-resources are about 1 MB, a page of long notes perhaps 20.
            max_body_bytes: 64 << 20,
            clock: Clock::system(),
            seed: 0,
        }
    }

    /// Refuses what no client can work with.
    pub(crate) fn check(&self) -> Result<(), ExtractError> {
        let wrong = |key: &'static str, reason: &str| Err(ExtractError::Config { key, reason: reason.to_owned() });
        let urls = [("base_url", Some(&self.base_url)), ("token_url", self.token.url())];
        for (key, url) in urls.into_iter().filter_map(|(key, url)| Some((key, url?))) {
            if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
                return wrong(key, "must be an http or https URL with a host");
            }
            if !url.username().is_empty() || url.password().is_some() {
                return wrong(key, "must hold no user name or password");
            }
        }
        if !self.allow_http && is_in_clear(&self.base_url) {
            return wrong("base_url", IN_CLEAR);
        }
        if self.base_url.query().is_some() || self.base_url.fragment().is_some() {
            return wrong("base_url", "must end with its path, without `?` or `#`");
        }
        // Above a million there is nothing left to space out; below a thousandth a run would wait for ever.
        if !(0.001..=1e6).contains(&self.pace.requests_per_second) {
            return wrong("requests_per_second", "must be between 0.001 and 1000000");
        }
        if self.pace.reserve >= self.pace.daily_requests {
            return wrong("reserve", "must be less than `daily_requests`");
        }
        if self.retry.attempts == 0 {
            return wrong("retry.attempts", "must be 1 at least");
        }
        Ok(())
    }
}

/// How fast requests go out. Both limits belong to the API key: every account that authorized it shares them.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests per second, evenly spaced. 4 unless the vendor granted more (vendor's guide, "Rate limits").
    pub requests_per_second: f64,
    /// Requests a UTC day. 10,000 unless the vendor granted more (vendor's guide, "Rate limits").
    pub daily_requests: u64,
    /// Requests of `daily_requests` that this run leaves to others.
    pub reserve: u64,
    /// Whether a request that was refused with HTTP 429 counts. The vendor does not say; to count it is the safe side.
    pub count_refused: bool,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { requests_per_second: 4.0, daily_requests: 10_000, reserve: 0, count_refused: true }
    }
}

/// How often a request that failed is retried, and how long it waits before.
#[derive(Debug, Clone, Copy)]
pub struct RetrySettings {
    /// Times that one request is sent, the first included. Six reach over half a minute of trouble.
    pub attempts: u32,
    /// Upper end of the wait before the second attempt; doubled for each one after it.
    pub first_backoff: Duration,
    /// Upper end of any wait.
    pub max_backoff: Duration,
    /// Retries in a run, over all of its requests. 200 are 2 % of a day's requests: a storm of errors cannot eat the day.
    pub budget: u32,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { attempts: 6, first_backoff: Duration::from_secs(1), max_backoff: Duration::from_secs(30), budget: 200 }
    }
}

/// How often a request is repeated whose answer is still being worked out (HTTP 202, contacts of a segment).
///
/// The vendor does not say how long that takes. The defaults give it about eight minutes.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Times that one request is repeated.
    pub repeats: u32,
    /// Wait before the first repeat; doubled for each one after it.
    pub first_wait: Duration,
    /// Longest wait.
    pub max_wait: Duration,
}

impl Default for Pending {
    fn default() -> Self {
        Self { repeats: 20, first_wait: Duration::from_secs(2), max_wait: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessToken, Client, RefreshGrant};

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        let good =
            || ClientConfig::new("https://api.cc.email/v3".parse().unwrap(), Token::Bearer(AccessToken::new("a")));
        let base = |url: &str| ClientConfig { base_url: url.parse().unwrap(), ..good() };
        let pace = |requests_per_second| ClientConfig {
            pace: RateLimit { requests_per_second, ..RateLimit::default() },
            ..good()
        };
        let token_url = RefreshGrant {
            token_url: "ftp://authz.example/token".parse().unwrap(),
            client_id: String::new(),
            client_secret: None,
            refresh_token: "b".into(),
        };
        assert!(good().check().is_ok());
        for here in ["http://localhost/v3", "http://127.0.0.1:8080/v3", "http://127.9.9.9/v3", "http://[::1]:8080/v3"] {
            assert!(base(here).check().is_ok(), "{here}");
        }
        assert!(ClientConfig { allow_http: true, ..base("http://api.cc.email/v3") }.check().is_ok());
        let refused = [
            base("file:///etc"),
            base("mailto:a@b.example"),
            base("https://user:s3cr3t@api.cc.email/v3"),
            base("https://api.cc.email/v3?x=s3cr3t"),
            base("http://api.cc.email/v3"),
            base("http://127.0.0.1.example/v3"),
            base("http://localhost.example/v3"),
            base("http://10.0.0.1:8080/v3"),
            pace(0.0),
            pace(f64::NAN),
            pace(-4.0),
            pace(f64::INFINITY),
            ClientConfig { pace: RateLimit { reserve: 10_000, ..RateLimit::default() }, ..good() },
            ClientConfig { retry: RetrySettings { attempts: 0, ..RetrySettings::default() }, ..good() },
            ClientConfig { token: Token::Refresh(token_url), ..good() },
            ClientConfig { token: Token::Bearer(AccessToken::new("s3cr3t\n")), ..good() },
        ];
        let texts = refused.map(|config| Client::new(config).unwrap_err().to_string()).join("\n");
        assert!(!texts.contains("s3cr3t"), "{texts}");
        insta::assert_snapshot!(texts);
    }
}
