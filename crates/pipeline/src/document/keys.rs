//! Every key that a pipeline file may hold, declared once: the decoder refuses what is not here and the JSON Schema is
//! made from it. The options of the reports are not here; they come from the catalog.

/// A key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: Shape,
    /// One sentence for people; editors show it.
    pub(crate) doc: &'static str,
}

/// What may stand behind a key.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The number 1.
    Version,
    /// Any text.
    Text,
    /// Text for names of runs and folders: letters, digits, `.`, `_` and `-`, 64 at most.
    Name,
    /// A name of the IANA time zone database.
    Timezone,
    /// Text of this form. The decoder has its own check, with a better message.
    Pattern(&'static str),
    /// A whole number within bounds, both included.
    Count { min: u64, max: u64 },
    /// A number above 0, up to `max`.
    Rate { max: f64 },
    /// A number from 0 to 1.
    Share,
    /// True or false.
    Flag,
    /// A date such as 2026-01-31.
    Date,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// `{env: NAME}` or `{file: PATH}`.
    Secret,
    /// Options of an object store, by name.
    StoreOptions,
    /// Headers of a request, by name; each value is a secret.
    Headers,
    /// A mapping with these keys and no others.
    Mapping(&'static [Key]),
    /// A mapping with exactly one of these keys.
    OneKey(&'static [Key]),
    /// Any one of these shapes.
    AnyOf(&'static [Shape]),
    /// This shape, or a list of it.
    OneOrMany(&'static Shape),
    /// A list of reports, at least one.
    Reports,
    /// The name of a report of the catalog.
    Report,
    /// A column of the report's own table.
    Column,
    /// A column of the report's own table that can be hashed.
    HashedColumn,
    /// A column of the report's own table that holds timestamps.
    TimestampColumn,
}

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, required: true, shape, doc }
}

const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, required: false, shape, doc }
}

/// The only version of the format so far.
pub(crate) const VERSION: u64 = 1;

/// The complete file.
pub(crate) const PIPELINE: &[Key] = &[
    required("version", Shape::Version, "Version of this file's format; always 1."),
    required("name", Shape::Name, "Names the run, the commit records and the log lines."),
    optional("description", Shape::Text, "What the data set is, for people."),
    optional("timezone", Shape::Timezone, "IANA time zone that dates and {days_back: N} are read in; UTC by default."),
    required("source", Shape::Mapping(SOURCE), "Where the data comes from."),
    required("destination", Shape::Mapping(DESTINATION), "Where the Parquet files go."),
    required("reports", Shape::Reports, "What to read."),
    optional("retry", Shape::Mapping(RETRY), "How often a failed request is retried."),
    optional(
        "schedule",
        SCHEDULE_SHAPE,
        "When the pipeline is due: a cron expression, {cron: ..., timezone: ...} or {every: 1h}.",
    ),
    optional("metrics", Shape::Mapping(METRICS), "Where the numbers of a run go, for dashboards and alarms."),
    optional("on_failure", Shape::Mapping(ON_FAILURE), "Who is notified when a run fails."),
];

/// `metrics`.
pub(crate) const METRICS: &[Key] = &[
    optional(
        "textfile",
        Shape::Text,
        "Folder of text files that Prometheus' node exporter reads, relative to this file; CTCT_METRICS_TEXTFILE where absent.",
    ),
    optional(
        "otlp",
        Shape::Mapping(OTLP),
        "A collector that takes OTLP over HTTP; CTCT_METRICS_OTLP names its endpoint where absent.",
    ),
];

/// `metrics.otlp`.
pub(crate) const OTLP: &[Key] = &[
    required("endpoint", Shape::Pattern("^https?://"), "Its address, without /v1/metrics."),
    optional("headers", Shape::Headers, "Headers by name, each by {env: NAME} or {file: PATH}."),
];

/// `on_failure`.
pub(crate) const ON_FAILURE: &[Key] = &[required(
    "webhook",
    Shape::AnyOf(&[Shape::Pattern("^https?://"), Shape::Secret]),
    "Gets a POST of JSON after a run that ended with another exit code than 0 and 13; an address, {env: NAME} or {file: PATH}.",
)];

/// `source`.
pub(crate) const SOURCE: &[Key] = &[
    optional(
        "account",
        Shape::Name,
        "The account that `auth login` stored; with access_token or sandbox only a label, which names its folder.",
    ),
    optional(
        "accounts",
        Shape::AnyOf(&[Shape::OneOrMany(&Shape::Name), Shape::Mapping(MATCHING)]),
        "Several stored accounts, each with its own run: a list of names, or {glob: 'franchise-*'}.",
    ),
    optional("access_token", Shape::Secret, "A bearer token, by {env: NAME} or {file: PATH}."),
    optional(
        "refresh_token",
        Shape::Secret,
        "A first refresh token, by {env: NAME} or {file: PATH}; what the API makes of it is stored for the account.",
    ),
    optional("client_id", Shape::Text, "With refresh_token: the API key that it was issued to."),
    optional("client_secret", Shape::Secret, "With refresh_token: the key's secret, where it has one."),
    optional(
        "token_url",
        Shape::Pattern("^https?://"),
        "With refresh_token: another token endpoint than the vendor's.",
    ),
    optional("sandbox", Shape::Mapping(SANDBOX), "The embedded API, started for this run and filled from a seed."),
    optional("base_url", Shape::Pattern("^https?://"), "Another server that speaks the v3 API."),
    optional(
        "allow_http",
        Shape::Flag,
        "Whether `base_url` and the token endpoint may be http:// on another host, where anyone on the network can read the token; false by default.",
    ),
    optional(
        "application",
        Shape::Name,
        "Names the API key whose requests are counted, where an access token does not tell; default by default.",
    ),
    optional(
        "state",
        Shape::AnyOf(&[Shape::Choice(STATE_PLACES), Shape::Mapping(STORE)]),
        "Where sign-ins and the count of requests are kept: host (the default), destination, or a store that hosts share.",
    ),
    optional(
        "requests_per_second",
        Shape::Rate { max: 100_000.0 },
        "The pace (rate limit) in requests per second; 4 by default, which is what one API key may send, or the sandbox's own limit.",
    ),
    optional(
        "daily_requests",
        Shape::Count { min: 1, max: 1_000_000_000 },
        "Requests per day; 10,000 by default, which is what one API key may send, or the sandbox's own limit.",
    ),
    optional(
        "reserve",
        Shape::Count { min: 0, max: 1_000_000_000 },
        "Requests of the day that are left to other pipelines with the same API key; none by default.",
    ),
    optional(
        "count_refused",
        Shape::Flag,
        "Whether requests that the API refused with 429 count against the day; true by default, since the API does not document it.",
    ),
];

/// `source.accounts` where it is a mapping.
pub(crate) const MATCHING: &[Key] =
    &[required("glob", Shape::Text, "A pattern of account names: * matches any characters, ? matches one.")];

/// Places of `source.state` that have a name.
pub(crate) const STATE_PLACES: &[&str] = &["host", "destination"];

/// `source.sandbox`.
pub(crate) const SANDBOX: &[Key] = &[
    optional("contacts", Shape::Count { min: 0, max: 100_000_000 }, "Contacts of the account; 1,000 by default."),
    optional("lists", Shape::Count { min: 0, max: 1_000 }, "Contact lists of the account."),
    optional("campaigns", Shape::Count { min: 0, max: 100_000 }, "Email campaigns of the account."),
    optional("today", Shape::Date, "The day that the account's dates lead up to; the day of the run where absent."),
    optional("seed", Shape::Count { min: 0, max: u64::MAX }, "The same seed makes the same account."),
    optional(
        "requests_per_second",
        Shape::Rate { max: 100_000.0 },
        "Requests per second before it responds with 429 throttled.",
    ),
    optional("burst", Shape::Count { min: 1, max: 100_000 }, "Requests that may come at once."),
    optional(
        "daily_requests",
        Shape::Count { min: 1, max: 1_000_000_000 },
        "Requests per day before it responds with 429 quota exceeded.",
    ),
    optional("reorder", Shape::Flag, "Whether keys, and lists within a record, come in another order at each request."),
    optional("latency_ms", Shape::Count { min: 0, max: 600_000 }, "How long each response takes, in milliseconds."),
    optional(
        "wrong_date",
        Shape::Pattern("^-?[0-9]+[smhd]$"),
        "How far its Date header is off the time, such as 2h or -3d; 0s by default.",
    ),
    optional(
        "unfit",
        Shape::Share,
        "Share of records, from 0 to 1, that have an odd value in an optional field: another type, a date in another form, text that is not Unicode.",
    ),
    optional(
        "faults",
        Shape::Mapping(FAULTS),
        "Share of requests, from 0 to 1, that meet each kind of fault; 1 in all at most.",
    ),
];

/// `source.sandbox.faults`.
pub(crate) const FAULTS: &[Key] = &[
    optional("error_500", Shape::Share, "500 with an array of errors."),
    optional("error_502", Shape::Share, "502 with the object of a bare API gateway."),
    optional("error_503", Shape::Share, "503 with an empty body."),
    optional("error_504", Shape::Share, "504 with an HTML page."),
    optional("throttled", Shape::Share, "429 throttled, although the pace was kept."),
    optional("spurious_401", Shape::Share, "401 for a valid token; the next try works."),
    optional("truncated_body", Shape::Share, "200 whose body stops half-way."),
    optional("html_with_200", Shape::Share, "200 with an HTML page."),
    optional("other_json", Shape::Share, "200 with JSON of another shape."),
    optional("reset", Shape::Share, "The connection is closed without a response."),
];

const URL: Key = required(
    "url",
    Shape::Text,
    "A path, relative to the folder of this file; file://, memory://, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or \
     az://CONTAINER/PREFIX.",
);
const STORE_OPTIONS: Key = optional(
    "options",
    Shape::StoreOptions,
    "Options of the object store, such as endpoint or region. Credentials come from the environment's usual names.",
);

/// `destination`.
pub(crate) const DESTINATION: &[Key] =
    &[URL, STORE_OPTIONS, optional("files", Shape::Mapping(FILES), "How Parquet files are written from now on.")];

/// `source.state` where it is a mapping.
pub(crate) const STORE: &[Key] = &[URL, STORE_OPTIONS];

/// `destination.files`.
pub(crate) const FILES: &[Key] = &[
    optional(
        "compression",
        Shape::Choice(COMPRESSIONS),
        "zstd (the default); snappy, which every reader takes; gzip; or none.",
    ),
    optional(
        "compression_level",
        Shape::Count { min: 0, max: 22 },
        "1 (the default) to 22 for zstd, 0 to 9 (6 by default) for gzip; the others have none.",
    ),
    optional(
        "row_group_bytes",
        Shape::Count { min: 65_536, max: 1 << 30 },
        "Size of a row group in memory, before it is encoded; 8 MiB by default. A run needs at least twice as much memory.",
    ),
    optional(
        "target_bytes",
        Shape::Count { min: 65_536, max: 8 << 30 },
        "Size past which a file is closed and the next one begins; 128 MiB by default. A merged partition is one file of any size.",
    ),
    optional(
        "account_column",
        Shape::Flag,
        "Whether files have the account as a column `_account` too, for readers that take nothing from paths; false by default.",
    ),
];

/// Values of `compression`.
pub(crate) const COMPRESSIONS: &[&str] = &["zstd", "snappy", "gzip", "none"];

/// What every entry of `reports` may hold beside the options of its report.
pub(crate) const REPORT: &[Key] = &[
    required("report", Shape::Report, "The report to read."),
    optional(
        "write_mode",
        Shape::Choice(WRITE_MODES),
        "append (the default) adds rows; merge (upsert) keeps one row per key; replace (full refresh) swaps the table; \
         partition swaps the partitions that get rows.",
    ),
    optional("partition_by", Shape::OneOrMany(PARTITION), "Folders that the rows are split into."),
    optional(
        "history",
        Shape::Flag,
        "With merge: keep replaced versions too (SCD type 2), with _valid_from and _valid_to.",
    ),
    optional(
        "overlap",
        SPAN,
        "How far before the last watermark a run reads again (lookback window), for rows that came late; 10m by default, 2h for events.",
    ),
    optional(
        "reconcile",
        Shape::Mapping(RECONCILE),
        "With merge: read everything now and then, and mark deleted rows.",
    ),
    optional(
        "check_count",
        Shape::Flag,
        "Compare a read of everything with the number of rows that the API counts; true by default.",
    ),
    optional("keep_raw", Shape::Flag, "Keep the API's responses permanently, so that `replay` can rebuild the tables."),
    optional(
        "max_rejected",
        PERCENT,
        "The share of records without a usable key past which nothing is published; 5% by default, and more than 20 records.",
    ),
    optional(
        "max_removed",
        PERCENT,
        "The share of stored rows past which a run that would remove them publishes nothing; 30% by default, and more than 50 \
         rows.",
    ),
];

/// A percentage such as 5%.
const PERCENT: Shape = Shape::Pattern(r"^[0-9]{1,3}(\.[0-9]{1,2})?%$");

/// A span of time such as 10m.
const SPAN: Shape = Shape::Pattern("^[1-9][0-9]*[mhd]$");

/// `reconcile`.
pub(crate) const RECONCILE: &[Key] = &[required("every", SPAN, "How often: a span of time such as 7d.")];

/// Values of `write_mode`.
pub(crate) const WRITE_MODES: &[&str] = &["append", "merge", "replace", "partition"];

/// One entry of `partition_by`.
pub(crate) const PARTITION: &Shape = &Shape::AnyOf(&[Shape::Column, Shape::OneKey(PARTITIONS)]);

/// The forms of a partition that are a mapping.
pub(crate) const PARTITIONS: &[Key] = &[
    optional("year", Shape::TimestampColumn, "By the year of a timestamp column."),
    optional("month", Shape::TimestampColumn, "By the month of a timestamp column, as 2026-01."),
    optional("day", Shape::TimestampColumn, "By the day of a timestamp column, as 2026-01-31."),
    optional("bucket", Shape::Mapping(BUCKET), "By a hash of a column."),
];

/// `{bucket: ...}`.
pub(crate) const BUCKET: &[Key] = &[
    required("column", Shape::HashedColumn, "The column to hash."),
    required("count", Shape::Count { min: 2, max: 4_096 }, "How many buckets."),
];

/// `retry`.
pub(crate) const RETRY: &[Key] = &[
    optional(
        "attempts",
        Shape::Count { min: 1, max: 20 },
        "How often one request is sent at most, including the first time.",
    ),
    optional("budget", Shape::Count { min: 0, max: 1_000_000 }, "How many retries a run may use in all."),
];

const SCHEDULE_SHAPE: Shape = Shape::AnyOf(&[Shape::Pattern(r"^\S+( +\S+){4}$"), Shape::Mapping(SCHEDULE)]);

/// `schedule` where it is a mapping.
pub(crate) const SCHEDULE: &[Key] = &[
    optional(
        "cron",
        Shape::Pattern(r"^\S+( +\S+){4}$"),
        "Five fields: minute, hour, day of month, month, day of week.",
    ),
    optional("timezone", Shape::Timezone, "IANA time zone of the cron expression; the pipeline's by default."),
    optional("every", SPAN, "A whole number of minutes, hours or days: 15m, 1h, 1d."),
];
