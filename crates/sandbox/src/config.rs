//! What a sandbox is made of: the size and seed of the account, its limits, its faults and its quirks.
//!
//! Plain data. Every default is what the live API is documented or recorded to do; a knob exists wherever clients have
//! seen something else, or where nobody knows.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::user::User;

/// How to generate the account and how to serve it.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Contacts of the account on [`today`](Self::today), deleted ones included.
    pub contacts: u64,
    /// Lists of the email channel. Contacts join the first 64 at most.
    pub lists: u32,
    /// Tags. Contacts carry the first 64 at most.
    pub tags: u32,
    /// Custom fields.
    pub custom_fields: u32,
    /// Email campaigns.
    pub campaigns: u32,
    /// Campaigns that go to a contact on average, if it was there for all of them.
    pub sends: u32,
    /// Decides every value of the account and every fault.
    pub seed: u64,
    /// Anchor of all generated dates.
    pub today: NaiveDate,
    /// Days that the account lived on after `today`: contacts come, change, unsubscribe and are deleted, campaigns go out.
    /// What had happened by `today` stays as it was. Nothing in the data is later than `today` plus these days, 00:00 UTC.
    pub days_later: u32,
    /// Refill of the token bucket. Infinite means no limit.
    pub requests_per_second: f64,
    /// Size of the token bucket.
    pub burst: u32,
    /// Requests per UTC day; the next one gets `quota_exceeded`.
    pub daily_requests: u64,
    /// Wait before every answer.
    pub latency: Duration,
    /// People who can sign in, one at least. All of them read the same account, by the one API key and its limits.
    pub users: u32,
    /// Share of records, 0 to 1, that have an odd value in an optional field: another type, a date in another form, text
    /// that is not Unicode, an odd list element.
    pub unfit: f64,
    /// What goes wrong, and how often.
    pub faults: Faults,
    /// How the API behaves where it is not documented or known to vary.
    pub quirks: Quirks,
    /// Tells the time for tokens, cursors, the daily quota and the `Date` header, until
    /// [`Sandbox::set_time`](crate::Sandbox::set_time) says otherwise. The generated data never looks at it.
    pub clock: fn() -> DateTime<Utc>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            contacts: 1_000,
            lists: 20,
            tags: 15,
            custom_fields: 10,
            campaigns: 60,
            sends: 18,
            seed: 7,
            today: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default(),
            days_later: 0,
            requests_per_second: 4.0,
            burst: 4,
            daily_requests: 10_000,
            latency: Duration::ZERO,
            users: 1,
            unfit: 0.0,
            faults: Faults::default(),
            quirks: Quirks::default(),
            clock: Utc::now,
        }
    }
}

impl SandboxConfig {
    /// The same without a rate limit and without a daily quota: for tests that are not about them.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.requests_per_second = f64::INFINITY;
        self.daily_requests = u64::MAX;
        self
    }

    /// The id of the first user's account, as the API encodes it, and its organization.
    pub fn identity(&self) -> (String, String) {
        let user = User(0);
        (user.encoded_account_id(self.seed), user.organization())
    }
}

/// Share of requests, 0 to 1, that meet each kind of fault. A request meets one at most, so the rates add up to 1 at most.
///
/// Which request meets which is decided by the seed and the number of the request among those that the limits let through.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Faults {
    /// 500 with an array of errors.
    pub error_500: f64,
    /// 502 with the object of a bare API gateway.
    pub error_502: f64,
    /// 503 with an empty body.
    pub error_503: f64,
    /// 504 with the HTML page of the content network.
    pub error_504: f64,
    /// 429 `throttled` although the bucket is not empty.
    pub throttled: f64,
    /// 401 for a valid token; the next try works.
    pub spurious_401: f64,
    /// 200 whose body stops half-way.
    pub truncated_body: f64,
    /// 200 with an HTML page.
    pub html_with_200: f64,
    /// 200 with JSON of another shape.
    pub other_json: f64,
    /// The connection is closed and no response comes.
    pub reset: f64,
}

/// Behavior that is undocumented or seen in more than one form. Defaults are the best documented or recorded form.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each knob is its own yes or no")]
pub struct Quirks {
    /// How the last page of a collection says that it is the last.
    pub last_page: LastPage,
    /// Sends `null` for absent keys of contacts and lists. The live API leaves them out.
    pub nulls: bool,
    /// Leaves out requested sub-resources that are empty instead of sending `[]`.
    pub omit_empty_subresources: bool,
    /// Sends a key with every contact that the vendor's description does not know.
    pub unknown_field: bool,
    /// Order of the rows of `/contacts`.
    pub contact_order: ContactOrder,
    /// What the cursor of `/contacts` holds.
    pub cursor: CursorPosition,
    /// How long a cursor is good for; `None` is for ever.
    pub cursor_lifetime: Option<Duration>,
    /// How often a segment answers 202 before it answers 200.
    pub segment_pending: u32,
    /// Bounds such as `updated_after` include the instant itself.
    pub inclusive_bounds: bool,
    /// Answers 400 to a query parameter that the endpoint does not know. The live API was seen to ignore such.
    pub reject_unknown_parameters: bool,
    /// Brings a `limit` that is out of range into it instead of answering 400.
    pub clamp_limit: bool,
    /// Rows per page at most, whatever `limit` asks for; `None` is what `limit` says.
    pub most_rows: Option<usize>,
    /// Compresses answers for clients that accept gzip. On loopback that costs more time than it saves, so it is off.
    pub gzip: bool,
    /// Sends the request ids and the other headers of the gateway.
    pub edge_headers: bool,
    /// Sends `Retry-After` with a 429. The vendor documents none.
    pub retry_after: bool,
    /// Answers 429 with an HTML page.
    pub throttled_as_html: bool,
    /// Whether a 429 counts against the daily quota.
    pub count_throttled: bool,
    /// What the token endpoint does with refresh tokens.
    pub refresh_token: RefreshToken,
    /// How long a rotated refresh token still works.
    pub refresh_grace: Duration,
    /// Using a rotated refresh token revokes the grant with all its tokens.
    pub reuse_revokes_grant: bool,
    /// A refresh revokes the access tokens that were issued before.
    pub refresh_revokes_access: bool,
    /// How long an access token is good for.
    pub access_token_lifetime: Duration,
    /// How long a refresh token is good for since it was issued or last used. 180 days are documented.
    pub refresh_token_lifetime: Duration,
    /// A user who signs in again ends the refresh tokens of earlier sign-ins. So the vendor's words can be read.
    pub sign_in_ends_older: bool,
    /// So many users, the last ones, are campaign creators, who may read neither contacts nor reports. The others own the
    /// account.
    pub campaign_creators: u32,
    /// All users share the account of the first one.
    pub shared_account: bool,
    /// Access tokens say nothing of themselves.
    pub opaque_tokens: bool,
    /// Which clients the application is for.
    pub client: ClientType,
    /// Redirect URIs that are registered; others must be loopback ones, if those count. Compared character by character.
    pub redirect_uris: Vec<String>,
    /// `http://127.0.0.1`, `http://localhost` and `http://[::1]` count as registered, with any port and path. Whether they do
    /// is not documented.
    pub loopback_redirects: bool,
    /// How long an authorization code is good for.
    pub code_lifetime: Duration,
    /// How long a device code is good for.
    pub device_code_lifetime: Duration,
    /// How long a device must wait between two polls, in seconds, without fractions.
    pub device_interval: Duration,
    /// Sends `expires_in` of a token as text. One client expects that.
    pub expires_in_as_text: bool,
    /// What the token endpoint does with its first requests, in their order; with those beyond, what it always does.
    pub token_answers: Vec<TokenAnswer>,
    /// Errors of the token endpoint come as HTML pages.
    pub token_errors_as_html: bool,
    /// How long the token endpoint takes, besides what every answer takes: half of it before it does what is asked, half
    /// after, so that a client that goes away meanwhile may find its token spent or not.
    pub token_latency: Duration,
    /// Limit of the token endpoint; `None` is none. About one per second was reported.
    pub token_requests_per_second: Option<f64>,
    /// Scopes that the application may have. A sign-in gets those of them that it asks for, and a request that needs another
    /// gets 403.
    pub granted_scopes: Vec<String>,
    /// `/emails/{id}` spells a status as `/emails` does: `Draft`, not `DRAFT`.
    pub same_status_case: bool,
    /// Share of contacts, 0 to 1, without an email address.
    pub without_email: f64,
    /// Joining a list moves a contact's `updated_at`. Measured to be so.
    pub list_add_moves_updated_at: bool,
    /// A new tag moves a contact's `updated_at`. Not documented.
    pub tag_change_moves_updated_at: bool,
    /// Deleting or reviving a contact moves its `updated_at`. Not documented.
    pub deletion_moves_updated_at: bool,
    /// Leaving a list moves a contact's `updated_at`. Not documented. Only edits leave a list.
    pub list_removal_moves_updated_at: bool,
    /// Another value of a custom field moves a contact's `updated_at`. Not documented. Only edits change one alone.
    pub custom_field_change_moves_updated_at: bool,
    /// How far the `Date` header is off the server's clock; everything else goes by the clock.
    pub wrong_date: TimeDelta,
    /// Repeats `contacts_count` on later pages. Not documented; without it a client has the harder case.
    pub count_on_every_page: bool,
    /// Keys of objects, and lists within a row such as its tags, come in another order at each request. JSON promises no
    /// order, and none is documented.
    pub reorder: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            last_page: LastPage::default(),
            nulls: false,
            omit_empty_subresources: false,
            unknown_field: false,
            contact_order: ContactOrder::default(),
            cursor: CursorPosition::default(),
            cursor_lifetime: None,
            segment_pending: 1,
            inclusive_bounds: false,
            reject_unknown_parameters: false,
            clamp_limit: false,
            most_rows: None,
            gzip: false,
            edge_headers: true,
            retry_after: false,
            throttled_as_html: false,
            count_throttled: true,
            refresh_token: RefreshToken::default(),
            refresh_grace: Duration::ZERO,
            reuse_revokes_grant: false,
            refresh_revokes_access: false,
            access_token_lifetime: Duration::from_hours(24),
            refresh_token_lifetime: Duration::from_hours(24 * 180),
            sign_in_ends_older: true,
            campaign_creators: 0,
            shared_account: false,
            opaque_tokens: false,
            client: ClientType::default(),
            redirect_uris: vec!["https://localhost".to_owned()],
            loopback_redirects: true,
            code_lifetime: Duration::from_mins(5),
            device_code_lifetime: Duration::from_mins(10),
            device_interval: Duration::from_secs(5),
            expires_in_as_text: false,
            token_answers: Vec::new(),
            token_errors_as_html: false,
            token_latency: Duration::ZERO,
            token_requests_per_second: None,
            granted_scopes: ["contact_data", "campaign_data", "account_read", "offline_access"]
                .map(str::to_owned)
                .into(),
            same_status_case: false,
            without_email: 0.003,
            list_add_moves_updated_at: true,
            tag_change_moves_updated_at: true,
            deletion_moves_updated_at: true,
            list_removal_moves_updated_at: true,
            custom_field_change_moves_updated_at: true,
            wrong_date: TimeDelta::zero(),
            count_on_every_page: false,
            reorder: false,
        }
    }
}

/// Forms of a last page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LastPage {
    /// No `_links` at all. Recorded.
    #[default]
    Absent,
    /// `"_links": {}`. Recorded.
    Empty,
    /// `"_links": {"next": null}`.
    NextNull,
    /// `"_links": {"next": {"href": null}}`. The vendor's prose.
    HrefNull,
}

/// Orders of contacts, both stable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContactOrder {
    /// Newest first. Recorded.
    #[default]
    CreatedDescending,
    /// In no order of any column, as one large export was.
    Shuffled,
}

/// What stands for the next row in a cursor of `/contacts`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CursorPosition {
    /// Its position.
    #[default]
    Offset,
    /// Its contact id.
    Keyset,
}

/// Kinds of refresh tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RefreshToken {
    /// Good for one use: every refresh brings a new one.
    #[default]
    Rotating,
    /// The same one comes back every time.
    LongLived,
    /// Replies hold none, and the old one stays good.
    Omitted,
}

/// Clients that an application is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientType {
    /// Both kinds. The live API wants the application to be set to one.
    #[default]
    Any,
    /// Those that keep a secret, and send it by HTTP Basic.
    Confidential,
    /// Those that cannot, and prove with PKCE that they asked for the code.
    Public,
}

/// What the token endpoint does with one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenAnswer {
    /// What it always does.
    #[default]
    Usual,
    /// Does what is asked, so that a token of one use is spent, and closes the connection without a response.
    Lost,
    /// Closes the connection and does nothing else.
    Reset,
    /// Answers 500, and does nothing else.
    Error500,
    /// Answers 503, and does nothing else.
    Error503,
    /// Answers 429, and does nothing else.
    Throttled,
    /// Answers 200 with an HTML page, and does nothing else.
    HtmlWith200,
}
