//! A destination in memory that can be copied, damaged and put to work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use ctct_catalog::{Catalog, Report};
use ctct_extract::Clock;
use ctct_load::Destination;
use ctct_pipeline::maintain::Expectation;
use ctct_pipeline::plan::Scope;
use ctct_pipeline::{Context, Environment, Events, Pipeline, Plan, StateStore};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use crate::harness::pipeline_at;
use crate::tables::{Row, rows_in};
use crate::truth::comparable;

/// What the API offers.
pub(super) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::embedded().unwrap());

/// Files by path.
pub(super) type Files = BTreeMap<String, Bytes>;

/// One way to write the account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    pub(super) name: &'static str,
    pub(super) contacts: &'static str,
    pub(super) events: &'static str,
}

/// A destination and the pipeline that writes it.
pub(super) struct Place<'a> {
    pub(super) account: &'a Account,
    pub(super) mode: Mode,
    /// The account's label.
    pub(super) label: &'static str,
    store: Arc<InMemory>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: u64,
    /// All that it tells, as JSON.
    pub(super) told: Value,
}

impl fmt::Display for Said {
    /// What went wrong, by what it tells.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn told(value: &Value, key: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match value {
                Value::Object(object) => object.iter().try_for_each(|(key, value)| told(value, key, f)),
                Value::Array(array) => array.iter().try_for_each(|value| told(value, key, f)),
                Value::String(text) if ["message", "advice", "what", "path", "reason", "error"].contains(&key) => {
                    write!(f, "\n  {key}: {text}")
                }
                _ => Ok(()),
            }
        }
        write!(f, "exit code {}", self.code)?;
        told(&self.told, "", f)
    }
}

impl Said {
    /// How it ended for one report; as a whole where it tells nothing of reports.
    pub(super) fn of(&self, report: &str) -> &str {
        let mut reports = self.told["reports"].as_array().into_iter().flatten();
        let own = reports.find(|of| of["report"] == report).and_then(|of| of["outcome"].as_str());
        own.unwrap_or_else(|| self.told["outcome"].as_str().unwrap_or_default())
    }
}

impl<'a> Place<'a> {
    pub(super) fn new(account: &'a Account, mode: Mode, label: &'static str) -> Self {
        Self { account, mode, label, store: Arc::default() }
    }

    pub(super) async fn holding(self, files: &Files) -> Self {
        let place = self;
        for (path, bytes) in files {
            place.put(path, bytes.clone()).await;
        }
        place
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) {
        self.store.put(&path.into(), bytes.into()).await.unwrap();
    }

    pub(super) async fn files(&self) -> Files {
        let mut files = Files::new();
        for object in self.store.list(None).try_collect::<Vec<_>>().await.unwrap() {
            let bytes = self.store.get(&object.location).await.unwrap().bytes().await.unwrap();
            files.insert(object.location.to_string(), bytes);
        }
        files
    }

    fn destination(&self) -> Destination {
        Destination::with_store(Arc::clone(&self.store) as Arc<dyn ObjectStore>, "memory://")
    }

    /// Carries out a command as the page or a user writes it.
    pub(super) async fn does(&self, command: &str, run_id: &str) -> Said {
        let environment: Environment = [("TOKEN", "token".to_owned())].into_iter().collect();
        let text = pipeline_at(&self.account.base_url, &Account::reports(self.mode.contacts, self.mode.events));
        let text = text.replace("account: acme", &format!("account: {}", self.label)) + "retry: {attempts: 1}\n";
        let pipeline = Pipeline::parse(&text, "p.yaml", &CATALOG, &environment)
            .unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let now = self.account.now();
        let mut plan = Plan::new(&pipeline, now).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
        let context = Context {
            clock: Clock::fixed(now),
            run_id: run_id.to_owned(),
            base_dir: PathBuf::from("/"),
            environment,
            events: Events::none(),
            stop: CancellationToken::new(),
            state: StateStore::nowhere(),
            deadline: None,
            destination: Some(self.destination()),
        };
        let told = match command {
            "run" => serde_json::to_value(ctct_pipeline::run(&plan, &context).await),
            "run --full-refresh" => {
                plan.reports.iter_mut().for_each(|report| report.scope = Scope::Everything);
                serde_json::to_value(ctct_pipeline::run(&plan, &context).await)
            }
            "compact" => match ctct_pipeline::maintain::compact(&plan, &context, false).await {
                Ok(summary) => {
                    Ok(json!({"exit_code": summary.outcome().policy().exit_code, "told": format!("{summary:?}")}))
                }
                Err(error) => Ok(json!({"exit_code": error.outcome().policy().exit_code, "error": error.to_string()})),
            },
            "replay" => serde_json::to_value(ctct_pipeline::run::replay(&plan, &context).await),
            "replay --dead-letters" => {
                serde_json::to_value(ctct_pipeline::run::replay_dead_letters(&plan, &context).await)
            }
            "state rebuild" => serde_json::to_value(ctct_pipeline::maintain::rebuild(&plan, &context, false).await),
            "state rebuild --dry-run" => {
                serde_json::to_value(ctct_pipeline::maintain::rebuild(&plan, &context, true).await)
            }
            "verify" => serde_json::to_value(ctct_pipeline::maintain::verify(&plan, &context, false).await),
            "state" => serde_json::to_value(ctct_pipeline::maintain::state(&plan, &context).await),
            "status" => serde_json::to_value(
                ctct_pipeline::maintain::status(
                    &plan,
                    &context,
                    Expectation { max_age: None, grace: Duration::from_hours(1) },
                )
                .await,
            ),
            "plan" => serde_json::to_value(ctct_pipeline::forecast::forecast(&plan, &context, false).await),
            other => panic!("no command: {other}"),
        };
        let told = told.unwrap();
        Said { code: told["exit_code"].as_u64().unwrap_or_default(), told }
    }

    /// The same, and where a run went on after pages of an earlier one, which show the account as it was then, once more.
    pub(super) async fn does_all(&self, command: &str, run_id: &str) -> Said {
        let mut said = self.does(command, run_id).await;
        for again in 0..3 {
            let resumed = said.told["reports"].as_array().into_iter().flatten();
            if said.code != 0 || !resumed.clone().any(|report| report["resumed_pages"].as_u64() > Some(0)) {
                break;
            }
            said = self.does("run", &format!("{run_id}-{again}")).await;
        }
        said
    }

    /// What readers see of a report's tables.
    pub(super) async fn seen(&self, report: &Report) -> Seen {
        let files = self.files().await;
        let mut seen = Seen { current: BTreeMap::new(), versions: BTreeSet::new(), wrong: Vec::new() };
        let rows = |table: &str| -> Vec<Row> {
            let start = format!("{table}/account={}/", self.label);
            let own = files.iter().filter(|(path, _)| path.starts_with(&start));
            own.flat_map(|(_, bytes)| rows_in(bytes.clone())).collect()
        };
        let appends = if report.name == "contacts" { self.mode.contacts } else { self.mode.events }.contains("append");
        let parent = &report.tables()[0];
        let key = |row: &Row| -> String {
            parent.key.iter().map(|column| format!("{:?}", row.get(column))).collect::<Vec<_>>().join(" ")
        };
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        let commit = |row: &Row| row["_commit"].as_i64().unwrap();
        let parents: BTreeSet<(String, i64)> = rows(&parent.name).iter().map(|row| (key(row), commit(row))).collect();
        for (key, commit) in &parents {
            newest.insert(key.clone(), *commit);
        }
        for table in report.tables() {
            let (mut current, mut once) = (Vec::new(), BTreeSet::new());
            for mut row in rows(&table.name) {
                let of = (key(&row), commit(&row));
                if appends && !parents.contains(&of) {
                    seen.wrong.push(format!("{}: without its parent: {row:?}", table.name));
                }
                let ended = row.remove("_valid_to").is_some();
                row.remove("_valid_from");
                let shown = format!("{} {}", table.name, comparable(std::slice::from_ref(&row))[0]);
                // Events may be equal.
                let number = row.get("_occurrence").map(Value::to_string);
                let version = if table.name == parent.name { 0 } else { of.1 };
                if !once.insert((shown.clone(), version, ended, number)) {
                    seen.wrong.push(format!("twice: {shown}"));
                }
                seen.versions.insert(shown.clone());
                let is_current = if appends { newest.get(&of.0) == Some(&of.1) } else { !ended };
                if is_current {
                    current.push(shown);
                }
            }
            current.sort();
            seen.current.insert(table.name.clone(), current);
        }
        seen
    }
}

/// What readers see.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    /// The newest version of each row, by table.
    pub(super) current: BTreeMap<String, Vec<String>>,
    /// Every version.
    pub(super) versions: BTreeSet<String>,
    /// Rows that stand twice or without their parents.
    pub(super) wrong: Vec<String>,
}

impl Seen {
    /// Everything is there that is there without the damage, but for older versions, and nothing else or twice.
    pub(super) fn is_whole(&self, twin: &Self, told: &str) {
        assert!(self.wrong.is_empty(), "{told}: {:#?}", self.wrong);
        assert!(self.current == twin.current, "{told}: {:#?}\nnot\n{:#?}", self.current, twin.current);
        self.invents_nothing(twin, told);
    }

    /// Nothing is there that never was, and nothing twice.
    pub(super) fn invents_nothing(&self, twin: &Self, told: &str) {
        assert!(self.wrong.is_empty(), "{told}: {:#?}", self.wrong);
        let invented: Vec<_> = self.versions.difference(&twin.versions).collect();
        assert!(invented.is_empty(), "{told}: {invented:#?}");
    }
}
