//! Whose account a run reads: the rows of two companies never end up under one name, whatever a run is for.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ctct_pipeline::document::Credentials;
use ctct_pipeline::{Context, Environment, Outcome, RunSummary};
use ctct_sandbox::{Quirks, SandboxConfig};
use serde_json::{Value, json};

use crate::harness::{Harness, pipeline_at, report, sandbox_of};
use crate::scripted::{Answer, Scripted};

const LISTS: &str = "  - report: contact_lists\n";
const TAGS: &str = "  - report: contact_tags\n";

/// A server with two users, and runs with either's token.
struct Users(Harness);

impl Users {
    async fn new(quirks: Quirks) -> Self {
        Self(Harness::with(SandboxConfig { users: 2, quirks, ..sandbox_of(20) }).await)
    }

    fn token(&self, user: u32) -> String {
        self.0.sandbox.access_token_of(user).unwrap()
    }

    /// Runs a pipeline of these reports with a token; says how often whose account it is was asked for.
    async fn run(&self, token: &str, reports: &str) -> (RunSummary, u64) {
        let plan = self.0.plan(&self.0.pipeline(reports));
        let before = self.asked();
        let summary = ctct_pipeline::run(&plan, &self.context(token)).await;
        (summary, self.asked() - before)
    }

    fn context(&self, token: &str) -> Context {
        with_token(&self.0, token)
    }

    fn asked(&self) -> u64 {
        let log = self.0.sandbox.requests();
        log.latest.iter().filter(|request| request.target.starts_with("/v3/account/summary")).count() as u64
    }

    /// Every file of the destination that a reader sees, with its bytes.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.0.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet")
                    && !path.to_string_lossy().contains("_runs")
                {
                    files.push((path.display().to_string(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

/// The runs of these tests, each with a name of its own.
static RUNS: AtomicU32 = AtomicU32::new(0);

fn with_token(harness: &Harness, token: &str) -> Context {
    let environment: Environment = [("TOKEN", token.to_owned())].into_iter().collect();
    Context { environment, ..harness.context(&format!("run-{}", RUNS.fetch_add(1, Relaxed))) }
}

fn opaque() -> Quirks {
    Quirks { opaque_tokens: true, ..Quirks::default() }
}

fn error(summary: &RunSummary) -> &str {
    summary.error.as_ref().map_or_else(|| panic!("no error in {summary:#?}"), |error| error.message.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_companies_never_share_a_name() {
    for (quirks, modes) in [(Quirks::default(), &["append", "merge", "replace"][..]), (opaque(), &["merge"])] {
        for mode in modes {
            let first = format!("  - {{report: contacts, write_mode: {mode}}}\n");
            // The same report, another one that is not stored yet, and both.
            for second in [first.clone(), LISTS.to_owned(), format!("{LISTS}{first}")] {
                let users = Users::new(quirks.clone()).await;
                let (summary, asked) = users.run(&users.token(0), &first).await;
                assert_eq!((summary.exit_code, asked), (0, 1), "{summary:#?}");
                let files = users.files();
                let (summary, asked) = users.run(&users.token(1), &second).await;
                assert_eq!((summary.outcome, summary.exit_code), (Outcome::Configuration, 2), "{summary:#?}");
                assert_eq!((asked, summary.api.requests), (1, 1), "nothing but whose account it is was asked");
                for named in ["Sandbox (p07e0000000007)", "Sandbox 2 (p07e0100000007)"] {
                    assert!(error(&summary).contains(named), "{summary:#?}");
                }
                assert!(summary.error.as_ref().unwrap().advice.contains("ctct-etl state adopt test.yaml"));
                assert_eq!(users.files(), files, "{mode} {second}");
                let (summary, _) = users.run(&users.token(0), &second).await;
                assert_eq!(summary.exit_code, 0, "{summary:#?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_token_is_asked_about_only_where_it_does_not_name_its_user() {
    for (quirks, expected) in [(Quirks::default(), 0), (opaque(), 1)] {
        let users = Users::new(quirks).await;
        let (_, asked) = users.run(&users.token(0), LISTS).await;
        assert_eq!(asked, 1);
        let renewed = users.token(0);
        let (summary, asked) = users.run(&renewed, LISTS).await;
        assert_eq!((summary.exit_code, asked), (0, expected), "{summary:#?}");
        let (summary, asked) = users.run(&renewed, &format!("{LISTS}{TAGS}")).await;
        assert_eq!((summary.exit_code, asked), (0, 0), "{summary:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_of_one_company_share_a_name() {
    for quirks in [Quirks::default(), opaque()] {
        let users = Users::new(Quirks { shared_account: true, ..quirks }).await;
        for user in [0, 1, 1, 0] {
            let (summary, _) = users.run(&users.token(user), LISTS).await;
            assert_eq!((summary.exit_code, summary.warnings.len()), (0, 0), "{summary:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_tells_the_run_goes_on_and_says_so() {
    let refusal = Answer::refusal;
    for answer in [
        refusal(403, "unauthorized"),
        refusal(404, "not_found"),
        Answer::body("<html><body>Sign in</body></html>"),
        Answer::body(""),
        Answer::json(&json!({})),
        Answer::json(&json!([])),
        Answer::json(&json!({"encoded_account_id": null, "organization_name": "Acme"})),
        Answer::json(&json!({"encoded_account_id": " "})),
        Answer::json(&json!({"encoded_account_id": {"id": 7}})),
    ] {
        let harness = Harness::new(1).await;
        let told = Answer::json(&json!({"encoded_account_id": "a07e1", "organization_name": [17]}));
        let routes = [("/account/summary", vec![answer, told]), ("/contact_lists", vec![lists(1, None)])];
        let server = Scripted::start(routes).await;
        let plan = harness.plan(&pipeline_at(server.base_url(), LISTS));
        let asked = || server.asked().iter().filter(|target| target.contains("/account/summary")).count();
        for (token, warnings, requests) in [("one", 1, 1), ("one", 1, 1), ("two", 0, 2), ("one", 0, 2)] {
            let summary = ctct_pipeline::run(&plan, &with_token(&harness, token)).await;
            assert_eq!((summary.exit_code, summary.warnings.len()), (0, warnings), "{token} {summary:#?}");
            assert_eq!(asked(), requests, "{token}");
            if token == "two" {
                break;
            }
        }
        let state = ctct_pipeline::maintain::state(&plan, &with_token(&harness, "two")).await;
        assert_eq!(state.reports[0].owner.as_deref(), Some("a07e1"), "what is known now is taken over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_known_stays_known_where_a_later_token_does_not_tell() {
    let harness = Harness::new(1).await;
    let who = |account: &str| Answer::json(&json!({"encoded_account_id": account}));
    let answers = vec![who("a07e1"), Answer::refusal(403, "unauthorized"), who("a07e2")];
    let server = Scripted::start([("/account/summary", answers), ("/contact_lists", vec![lists(1, None)])]).await;
    let plan = harness.plan(&pipeline_at(server.base_url(), LISTS));
    for (token, code) in [("one", 0), ("two", 0), ("three", 2), ("one", 0)] {
        let summary = ctct_pipeline::run(&plan, &with_token(&harness, token)).await;
        assert_eq!(summary.exit_code, code, "{token}: {summary:#?}");
    }
}

fn lists(number: u32, next: Option<&str>) -> Answer {
    let list: Value = json!({"list_id": format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1"), "name": "News"});
    let links = next.map(|next| json!({"next": {"href": next}}));
    Answer::json(&json!({"lists": [list], "_links": links}))
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_a_run_of_one_company_kept_are_not_committed_with_those_of_another() {
    for unknown in [false, true] {
        let harness = Harness::new(1).await;
        let who = |account: &str| {
            if unknown {
                Answer::refusal(403, "unauthorized")
            } else {
                Answer::json(&json!({"encoded_account_id": account}))
            }
        };
        let next = "/v3/contact_lists?cursor=2";
        let pages = vec![lists(1, Some(next)), Answer::refusal(401, "unauthorized"), lists(2, None), lists(3, None)];
        let server =
            Scripted::start([("/account/summary", vec![who("a07e1"), who("a07e2")]), ("/contact_lists", pages)]).await;
        let plan = harness.plan(&pipeline_at(server.base_url(), LISTS));
        let summary = ctct_pipeline::run(&plan, &with_token(&harness, "one")).await;
        assert_eq!(summary.exit_code, 10, "{summary:#?}");
        let summary = ctct_pipeline::run(&plan, &with_token(&harness, "two")).await;
        assert_eq!(summary.exit_code, 0, "{summary:#?}");
        assert_eq!(report(&summary, "contact_lists").resumed_pages, 0);
        assert_eq!(harness.rows("contact_lists").len(), 1, "only the second company's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adopting_puts_one_account_in_the_place_of_another() {
    let users = Users::new(Quirks::default()).await;
    let both = format!("{LISTS}{TAGS}");
    let (summary, _) = users.run(&users.token(0), &both).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
    let (plan, files) = (users.0.plan(&users.0.pipeline(LISTS)), users.files());
    let other = users.context(&users.token(1));

    let foreseen = ctct_pipeline::forecast::forecast(&plan, &other, false).await;
    assert_eq!((foreseen.exit_code, foreseen.sent), (0, 0), "a new token is asked about by the run only");
    assert_eq!(foreseen.cost.least.requests, 2);

    let adopted = ctct_pipeline::maintain::adopt(&plan, &other, false).await;
    let of = |adopted: &ctct_pipeline::maintain::AdoptSummary| -> Vec<(String, Option<i64>)> {
        adopted.reports.iter().map(|report| (report.report.clone(), report.version)).collect()
    };
    assert_eq!(of(&adopted), [("contact_lists".to_owned(), Some(2))], "{adopted:#?}");
    assert_eq!(adopted.reports[0].from.as_deref(), Some("Sandbox (p07e0000000007)"));
    assert_eq!(users.files(), files, "nothing but the log changed");
    let (summary, _) = users.run(&users.token(1), LISTS).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
    let (summary, _) = users.run(&users.token(1), TAGS).await;
    assert_eq!(summary.exit_code, 2, "{summary:#?}");

    let adopted = ctct_pipeline::maintain::adopt(&plan, &users.context(&users.token(1)), true).await;
    let expected = [("contact_lists".to_owned(), None), ("contact_tags".to_owned(), Some(2))];
    assert_eq!(of(&adopted), expected, "{adopted:#?}");
    let (summary, _) = users.run(&users.token(1), &both).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
    let (summary, _) = users.run(&users.token(0), &both).await;
    assert_eq!(summary.exit_code, 2, "{summary:#?}");

    let both = users.0.plan(&users.0.pipeline(&both));
    let verified = ctct_pipeline::maintain::verify(&both, &users.context(&users.token(1)), false).await;
    assert_eq!(verified.exit_code, 0, "files from before were adopted too: {verified:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_api_is_another_account_with_another_seed() {
    let harness = Harness::new(1).await;
    let text = |seed: u32| {
        format!(
            "version: 1\nname: test\nsource: {{sandbox: {{contacts: 20, seed: {seed}}}}}\ndestination: {{url: .}}\n\
             reports:\n{LISTS}"
        )
    };
    assert!(matches!(harness.plan(&text(1)).pipeline.source.credentials, Credentials::Sandbox(_)));
    for (seed, code) in [(1, 0), (1, 0), (2, 2), (1, 0)] {
        let plan = harness.plan(&text(seed));
        let foreseen = ctct_pipeline::forecast::forecast(&plan, &harness.context("plan"), false).await;
        assert_eq!(foreseen.exit_code, code, "seed {seed}: a plan sees it without a request: {foreseen:#?}");
        let summary = ctct_pipeline::run(&plan, &with_token(&harness, "")).await;
        assert_eq!(summary.exit_code, code, "seed {seed}: {summary:#?}");
        if code == 0 {
            assert_eq!(summary.api.requests, summary.reports[0].api.requests, "nothing but pages was asked for");
        }
    }
    let summary = ctct_pipeline::maintain::adopt(&harness.plan(&text(2)), &with_token(&harness, ""), true).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
    let summary = ctct_pipeline::run(&harness.plan(&text(2)), &with_token(&harness, "")).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_log_still_knows_whose_rows_they_are() {
    let users = Users::new(Quirks::default()).await;
    users.run(&users.token(0), LISTS).await;
    fs::remove_dir_all(users.0.folder().join("_ctct/acme/contact_lists")).unwrap();
    let plan = users.0.plan(&users.0.pipeline(LISTS));
    let rebuilt = ctct_pipeline::maintain::rebuild(&plan, &users.context(&users.token(0)), false).await;
    assert_eq!(rebuilt.exit_code, 0, "{rebuilt:#?}");
    let (summary, _) = users.run(&users.token(1), LISTS).await;
    assert_eq!(summary.exit_code, 2, "{summary:#?}");
    let (summary, _) = users.run(&users.token(0), LISTS).await;
    assert_eq!(summary.exit_code, 0, "{summary:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_about_the_account_ends_the_run_before_its_first_page() {
    let users = Users::new(Quirks::default()).await;
    users.0.sandbox.revoke(0);
    let (summary, _) = users.run("revoked", LISTS).await;
    assert_eq!((summary.exit_code, summary.reports.len()), (10, 0), "{summary:#?}");
    assert!(summary.error.is_some());
}
