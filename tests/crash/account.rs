//! The account of all these tests: small, months apart, and run as any pipeline is.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use ctct_catalog::{Catalog, Table};
use ctct_extract::Clock;
use ctct_load::Destination;
use ctct_pipeline::{Context, Environment, Events, Pipeline, Plan, RunSummary, StateStore};
use ctct_sandbox::{Quirks, Sandbox, SandboxConfig};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::truth::{Tables, add};

/// Days that the account lives on from one month to the next.
const MONTH: u32 = 30;
/// Contacts whose events are read.
const FOLLOWED: usize = 4;
/// Rows of a page, few enough that every crawl has several.
const PAGE: usize = 12;

fn first_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
}

fn on<const N: u32>() -> DateTime<Utc> {
    let day = first_day() + chrono::Days::new(u64::from(N * MONTH));
    Utc.from_utc_datetime(&day.and_hms_opt(0, 0, 0).unwrap())
}

/// The server's clock in each month. Nothing happens in the account after it.
const CLOCKS: [fn() -> DateTime<Utc>; 6] = [on::<0>, on::<1>, on::<2>, on::<3>, on::<4>, on::<5>];

/// How many months the account can be seen in.
pub(crate) const MONTHS: usize = CLOCKS.len();

/// The account in one month, served.
pub(crate) struct Account {
    pub(crate) sandbox: Sandbox,
    clock: fn() -> DateTime<Utc>,
    /// Indices of the contacts whose events are read.
    followed: Vec<u64>,
}

impl Account {
    /// The account in a month, counted from 0.
    pub(crate) async fn in_month(month: usize) -> Self {
        // The client's TLS; the second test of a process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = |month: u32| {
            SandboxConfig {
                contacts: 30,
                lists: 3,
                tags: 3,
                custom_fields: 3,
                campaigns: 12,
                sends: 8,
                today: first_day(),
                days_later: month * MONTH,
                clock: CLOCKS[month as usize],
                quirks: Quirks { most_rows: Some(PAGE), ..Quirks::default() },
                ..SandboxConfig::default()
            }
            .unlimited()
        };
        let month = u32::try_from(month).unwrap();
        let first = ctct_sandbox::Account::new(&config(0));
        let followed = (0..first.contacts()).filter(|index| !first.activities(*index).is_empty()).take(FOLLOWED);
        Self {
            followed: followed.collect(),
            sandbox: Sandbox::start(config(month), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap(),
            clock: CLOCKS[month as usize],
        }
    }

    /// What the tables must hold.
    pub(crate) fn truth(&self) -> Tables {
        let account = self.sandbox.account();
        let mut tables: Tables =
            REPORTS.values().copied().flatten().map(|table| (table.name.clone(), vec![])).collect();
        for index in 0..account.contacts() {
            add(&mut tables, "contacts", &account.contact(index), &["contact_id"]);
        }
        for index in &self.followed {
            for activity in account.activities(*index) {
                add(&mut tables, "contact_activity_details", &activity, &["contact_id"]);
            }
        }
        for (list, members) in account.lists().iter().zip(&account.census().lists) {
            let mut list = serde_json::to_value(list).unwrap();
            list["membership_count"] = json!(members.all);
            add(&mut tables, "contact_lists", &list, &["list_id"]);
        }
        tables
    }

    /// The text of a pipeline of three reports with this destination (YAML in one line), and with more keys for each of the
    /// reports.
    pub(crate) fn pipeline(&self, destination: &str, keys: Keys) -> String {
        let ids: Vec<String> = self.followed.iter().map(|index| self.sandbox.account().contact_id(*index)).collect();
        format!(
            "version: 1\nname: test\nsource:\n  account: acme\n  access_token: {{env: TOKEN}}\n  base_url: {}\n  \
             requests_per_second: 100000\n  daily_requests: 100000000\ndestination: {destination}\nreports:\n  - {{report: \
             contacts, {}}}\n  - {{report: contact_lists, {}}}\n  - {{report: contact_activity_details, contact_id: [{}], \
             {}}}\n",
            self.sandbox.base_url(),
            keys.contacts,
            keys.lists,
            ids.join(", "),
            keys.events,
        )
    }

    /// The token that a pipeline takes from the environment.
    pub(crate) fn token(&self) -> (&'static str, String) {
        ("TOKEN", self.sandbox.access_token())
    }

    /// Runs the pipeline in this process.
    pub(crate) async fn run(&self, destination: &Destination, keys: Keys, run_id: &str) -> RunSummary {
        let now = (self.clock)();
        let environment: Environment = [self.token()].into_iter().collect();
        let pipeline = Pipeline::parse(&self.pipeline("{url: memory://}", keys), "test.yaml", &CATALOG, &environment)
            .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let plan = Plan::new(&pipeline, now).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let context = Context {
            clock: Clock::fixed(now),
            run_id: run_id.to_owned(),
            base_dir: PathBuf::from("/"),
            environment,
            events: Events::none(),
            stop: CancellationToken::new(),
            state: StateStore::nowhere(),
            deadline: None,
            destination: Some(destination.clone()),
        };
        ctct_pipeline::run(&plan, &context).await
    }
}

/// YAML keys of the three reports beside those that say what to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    pub(crate) contacts: &'static str,
    pub(crate) lists: &'static str,
    pub(crate) events: &'static str,
}

/// What becomes of a row's older versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Older {
    /// They go.
    Gone,
    /// They stay, told apart by `_commit`.
    ByCommit,
    /// They stay, told apart by the span of time that they held.
    BySpan,
}

impl Keys {
    pub(crate) fn older(&self, report: &str) -> Older {
        let keys = match report {
            "contacts" => self.contacts,
            "contact_lists" => self.lists,
            _ => self.events,
        };
        match keys {
            keys if keys.contains("append") => Older::ByCommit,
            keys if keys.contains("history") => Older::BySpan,
            _ => Older::Gone,
        }
    }
}

/// Every version of a row stays.
pub(crate) const APPEND: Keys =
    Keys { contacts: "write_mode: append", lists: "write_mode: append", events: "write_mode: append" };

/// Each run's rows are the tables.
pub(crate) const REPLACE: Keys = Keys {
    contacts: "write_mode: replace",
    lists: "write_mode: replace",
    events: "write_mode: replace, partition_by: [{bucket: {column: contact_id, count: 2}}]",
};

/// The partitions of each run's rows are replaced.
pub(crate) const PARTITION: Keys = Keys {
    contacts: "write_mode: partition, partition_by: [{bucket: {column: contact_id, count: 2}}]",
    lists: "write_mode: partition, partition_by: [{year: created_at}]",
    events: "write_mode: partition, partition_by: [{bucket: {column: contact_id, count: 2}}]",
};

/// The run's rows take the place of those with the same key.
pub(crate) const MERGE: Keys = Keys {
    contacts: "write_mode: merge, partition_by: [{bucket: {column: contact_id, count: 2}}]",
    lists: "write_mode: merge",
    events: "write_mode: merge",
};

/// The same, and what they take the place of stays too.
pub(crate) const HISTORY: Keys = Keys {
    contacts: "write_mode: merge, history: true",
    lists: "write_mode: merge, history: true",
    events: "write_mode: append, keep_raw: true",
};

/// Modes that go by side in one pipeline.
pub(crate) const MIXED: Keys = Keys { contacts: MERGE.contacts, lists: APPEND.lists, events: REPLACE.events };

/// What the API offers.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap());

/// The tables of each report that the pipeline reads, the parent first.
pub(crate) static REPORTS: LazyLock<BTreeMap<&'static str, &'static [Table]>> = LazyLock::new(|| {
    let names = ["contacts", "contact_lists", "contact_activity_details"];
    names.into_iter().map(|name| (name, CATALOG.get(name).unwrap().tables())).collect()
});
