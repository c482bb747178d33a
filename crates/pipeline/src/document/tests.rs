use std::fmt::Write;

use ctct_catalog::Catalog;
use ctct_load::{PartitionBy, WriteMode};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

const ID: &str = "1618ae62-4752-11e9-9c8a-fa163e6b01c1";

fn parse(text: &str) -> Result<Pipeline, ConfigErrors> {
    let environment = [("NAME", "from-env"), ("DAY", "2026-01-31"), ("ODD", "not a name"), ("STATUS", "actve")];
    Pipeline::parse(text, "acme.yaml", &Catalog::embedded().unwrap(), &environment.into_iter().collect())
}

/// A complete pipeline around `reports`, which starts on line 5.
fn around(reports: &str) -> String {
    format!("version: 1\nname: acme\nsource: {{account: acme}}\ndestination: {{url: ./data}}\nreports:\n{reports}\n")
}

/// A complete pipeline around `source`.
fn with_source(source: &str) -> String {
    format!(
        "version: 1\nname: acme\nsource:\n{source}\ndestination: {{url: ./data}}\nreports: [{{report: contacts}}]\n"
    )
}

fn with_destination(destination: &str) -> String {
    format!(
        "version: 1\nname: acme\nsource: {{account: acme}}\ndestination: {destination}\nreports: [{{report: contacts}}]\n"
    )
}

fn with_line(line: &str) -> String {
    format!("{}{line}\n", around("  - report: contacts"))
}

/// What is shown for each of the texts; one that is accepted fails the test.
fn shown(cases: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (title, text) in cases {
        let errors = parse(text).expect_err(title);
        writeln!(out, "# {title}\n{}\n", errors.render(false)).unwrap();
    }
    out
}

#[test]
fn errors_of_the_file() {
    let report = "  - report: contacts";
    let whole = around(report);
    let text = shown(&[
        ("not YAML", "version: 1\nname: [acme\nsource: {}\n".to_owned()),
        ("a key twice", format!("name: other\n{whole}")),
        ("an unknown key", format!("{whole}shedule: 1h\n")),
        ("a key that is nowhere near", format!("{whole}parallelism: 4\n")),
        ("nothing at all", String::new()),
        ("a list", "- report: contacts\n".to_owned()),
        ("another version", whole.replace("version: 1", "version: 2")),
        ("a version that is text", whole.replace("version: 1", "version: \"1\"")),
        ("no version", whole.replace("version: 1\n", "")),
        ("a number for a text", whole.replace("name: acme", "name: 2026")),
        ("a name for a folder", whole.replace("name: acme", "name: ../acme")),
        ("no reports", whole.replace("reports:\n  - report: contacts", "reports: []")),
        ("reports that are no list", whole.replace("reports:\n  - report: contacts", "reports: contacts")),
        ("an unknown time zone", format!("timezone: America/New_Yrok\n{whole}")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_metrics_and_notices() {
    let otlp = |more: &str| with_line(&format!("metrics: {{otlp: {{{more}}}}}"));
    let text = shown(&[
        ("no endpoint", otlp("headers: {}")),
        ("no address", otlp("endpoint: collector")),
        ("a user in an address", otlp("endpoint: \"https://user:pass@example.com\"")),
        ("a header in the file", otlp("endpoint: \"https://example.com\", headers: {authorization: Bearer}")),
        (
            "headers in the clear",
            otlp("endpoint: \"http://example.com\", headers: {authorization: {env: CTCT_HEADER}}"),
        ),
        ("no header", otlp("endpoint: \"https://example.com\", headers: {\"a b\": {env: CTCT_HEADER}}")),
        ("an unknown key", with_line("metrics: {prometheus: ./prom}")),
        ("no webhook", with_line("on_failure: {}")),
        ("a webhook in the clear", with_line("on_failure: {webhook: \"http://example.com/hook\"}")),
        ("a webhook that is none", with_line("on_failure: {webhook: \"#alerts\"}")),
    ]);
    insta::assert_snapshot!(text);
    for good in [
        "metrics: {textfile: ./prom, otlp: {endpoint: \"http://127.0.0.1:4318\", headers: {authorization: {env: CTCT_HEADER}}}}",
        "metrics: {otlp: {endpoint: \"http://collector:4318\"}}",
        "on_failure: {webhook: \"http://[::1]:9/hook\"}",
        "on_failure: {webhook: {env: CTCT_NOWHERE}}",
    ] {
        parse(&with_line(good)).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    }
}

#[test]
fn errors_of_the_environment() {
    let text = shown(&[
        ("a variable that is not set", with_line("description: {env: CTCT_NOWHERE}")),
        ("a value that does not fit is not shown", with_line("timezone: {env: ODD}")),
        ("another mapping", with_line("description: {file: ./secret}")),
        ("a file where text stands", with_line("description: {env: NAME, default: x}")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_the_source() {
    let text = shown(&[
        ("no right", with_source("  requests_per_second: 4")),
        ("an inline token", with_source("  access_token: eyJhbGciOiJSUzI1NiJ9")),
        ("an inline token under another name", with_source("  account: acme\n  token: eyJhbGciOiJSUzI1NiJ9")),
        ("a token from nowhere", with_source("  access_token: {vault: ctct}")),
        ("two rights", with_source("  sandbox: {contacts: 10}\n  access_token: {env: T}")),
        ("the sandbox elsewhere", with_source("  sandbox: {contacts: 10}\n  base_url: http://localhost:1")),
        ("an unknown key of the sandbox", with_source("  sandbox: {contact: 10}")),
        ("an unknown fault", with_source("  sandbox: {faults: {error_505: 0.1}}")),
        ("a share above 1", with_source("  sandbox: {faults: {reset: 1.5}}")),
        ("shares above 1 in all", with_source("  sandbox: {faults: {reset: 0.75, throttled: 0.5}}")),
        ("a day that does not exist", with_source("  sandbox: {today: 2026-02-30}")),
        ("no pace", with_source("  account: acme\n  requests_per_second: 0")),
        ("a negative number", with_source("  account: acme\n  daily_requests: -1")),
        ("a fraction", with_source("  account: acme\n  daily_requests: 0.5")),
        ("text for a number", with_source("  account: acme\n  daily_requests: many")),
        ("an address that is none", with_source("  account: acme\n  base_url: api.cc.email/v3")),
        ("another protocol", with_source("  account: acme\n  base_url: ftp://api.cc.email/v3")),
        ("a password in an address", with_source("  account: acme\n  base_url: https://me:hunter2@api.cc.email/v3")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_the_destination() {
    let text = shown(&[
        ("no url", with_destination("{}")),
        ("an empty url", with_destination("{url: \"\"}")),
        ("an unknown scheme", with_destination("{url: \"s4://bucket/x\"}")),
        ("one slash", with_destination("{url: \"s3:/bucket/x\"}")),
        ("no slash", with_destination("{url: \"az:bucket\"}")),
        ("a home folder", with_destination("{url: ~/data}")),
        ("a variable", with_destination("{url: $HOME/data}")),
        ("another variable", with_destination("{url: \"${DATA}\"}")),
        ("no bucket", with_destination("{url: \"s3:///x\"}")),
        ("a key in the url", with_destination("{url: \"s3://id:s3cret@b/x\"}")),
        ("a token in the url", with_destination("{url: \"s3://b/x?token=s3cret\"}")),
        ("a secret in the options", with_destination("{url: \"s3://b/x\", options: {secret_access_key: s3cret}}")),
        ("a sas token", with_destination("{url: \"az://b/x\", options: {sas_token: s3cret}}")),
        ("an unknown option", with_destination("{url: \"s3://b/x\", options: {end_point: \"https://x\"}}")),
        ("another tool's name", with_destination("{url: \"s3://b/x\", options: {aws_region: x}}")),
        ("another store's option", with_destination("{url: \"gs://b/x\", options: {account_name: x}}")),
        ("options of a folder", with_destination("{url: ./data, options: {region: x}}")),
        ("text for a flag", with_destination("{url: \"s3://b/x\", options: {allow_http: \"maybe\"}}")),
        ("a list in the options", with_destination("{url: \"s3://b/x\", options: {region: [a, b]}}")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn options_of_a_store_are_read_and_their_secrets_only_when_they_are_needed() {
    let text = with_destination(
        "{url: \"s3://b/x\", options: {endpoint: {env: NAME}, allow_http: true, timeout: 20s, secret_access_key: {env: LATER}}}",
    );
    let pipeline = parse(&text).unwrap();
    let missing = pipeline.store_options(&Environment::default(), Path::new("/")).unwrap_err().to_string();
    assert!(missing.contains("4:") && missing.contains("`LATER` is not set"), "{missing}");
    let environment = [("LATER", "s3cret"), ("AWS_REGION", "eu")].into_iter().collect();
    let options = format!("{:?}", pipeline.store_options(&environment, Path::new("/")).unwrap());
    for name in ["endpoint", "allow_http", "timeout", "secret_access_key", "AWS_REGION"] {
        assert!(options.contains(name), "{options}");
    }
    assert!(!options.contains("s3cret"), "{options}");
}

#[test]
fn errors_of_reports() {
    let text = shown(&[
        ("an unknown report", around("  - report: contact")),
        ("a report that is nowhere near", around("  - report: orders")),
        ("no report", around("  - contact_status: [all]")),
        ("a bare name", around("  - contacts")),
        ("twice the same", around("  - report: contacts\n  - report: contacts")),
        ("an unknown key", around("  - report: contacts\n    contact_staus: [all]")),
        ("an option of another report", around("  - report: contact_lists\n    contact_status: [all]")),
        ("an option of two other reports", around("  - report: contacts\n    contact_id: x")),
        ("an ignored filter", around("  - report: contact_lists\n    updated_after: 2026-01-01")),
        ("another ignored filter", around("  - report: email_campaigns\n    status: Done")),
        ("a required option", around("  - report: contact_activity_details")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_values() {
    let contacts = |line: &str| around(&format!("  - report: contacts\n    {line}"));
    let details = |line: &str| around(&format!("  - report: contact_activity_details\n    {line}"));
    let ids =
        |count: usize| (0..count).map(|n| format!("1618ae62-4752-11e9-9c8a-{n:012}")).collect::<Vec<_>>().join(", ");
    let text = shown(&[
        ("a value that is none", contacts("contact_status: [all, actve]")),
        ("a value from the environment", contacts("contact_status: {env: STATUS}")),
        ("all beside others", contacts("contact_status: [all, active]")),
        ("none beside others", contacts("include_subresources: [notes, none]")),
        ("twice the same", contacts("contact_status: [active, active]")),
        ("an empty list", contacts("include_subresources: []")),
        ("nothing", contacts("contact_status:")),
        ("a mapping", contacts("contact_status: {is: active}")),
        ("an id that is none", details("contact_id: 12")),
        ("an id without hyphens", details("contact_id: 1618ae62475211e99c8afa163e6b01c1")),
        ("ids of a report that has none", details("contact_id: {from: contact_lists}")),
        ("ids and more", details("contact_id: {from: contacts, where: active}")),
        ("too many", contacts(&format!("list_ids: [{}]", ids(26)))),
        ("a number that is none", contacts("segment_id: all")),
        ("a number out of range", contacts("segment_id: 0")),
        (
            "a parameter that stands alone",
            contacts("segment_id: 7\n    contact_status: [active]\n    updated_after: 2026-01-01"),
        ),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_dates() {
    let contacts = |value: &str| around(&format!("  - report: contacts\n    updated_after: {value}"));
    let summary = |rest: &str| around(&format!("  - report: contact_action_summary\n    contact_id: {ID}\n    {rest}"));
    let text = shown(&[
        ("a day that does not exist", contacts("2026-02-30")),
        ("a date in another form", contacts("31.01.2026")),
        ("a timestamp without offset", contacts("2026-01-31T08:00:00")),
        ("a number", contacts("20260131")),
        ("negative days", contacts("{days_back: -1}")),
        ("days as text", contacts("{days_back: seven}")),
        ("a misspelt form", contacts("{day_back: 7}")),
        ("two forms at once", contacts("{days_back: 7, date: 2026-01-01}")),
        ("no duration", summary("report_date: 2026-01-31")),
        ("an unknown duration", summary("duration: date_rnge")),
        ("no report date", summary("duration: single_date")),
        ("half a range", summary("duration: date_range\n    start_date: 2026-01-01")),
        ("both forms", summary("duration: single_date\n    report_date: 2026-01-31\n    start_date: 2026-01-01")),
        (
            "the other form",
            summary(
                "duration: date_range\n    start_date: 2026-01-01\n    end_date: 2026-01-31\n    report_date: 2026-01-31",
            ),
        ),
        ("start after end", summary("duration: date_range\n    start_date: 2026-02-01\n    end_date: 2026-01-31")),
        (
            "days back the wrong way",
            summary("duration: date_range\n    start_date: {days_back: 5}\n    end_date: {days_back: 10}"),
        ),
        ("a timestamp where a day is wanted", summary("duration: single_date\n    report_date: 2026-01-31T08:00:00Z")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_writing() {
    let contacts = |rest: &str| around(&format!("  - report: contacts\n    {rest}"));
    let text = shown(&[
        ("merge by a column that changes", contacts("write_mode: merge\n    partition_by: [{month: updated_at}]")),
        ("history without merge", contacts("history: true")),
        ("history as text", contacts("write_mode: merge\n    history: yes please")),
        ("overlap of what", contacts("overlap: 10")),
        ("overlap where all is read", around("  - report: contact_lists\n    overlap: 10m")),
        ("reconcile without merge", contacts("reconcile: {every: 7d}")),
        ("reconcile without a span", contacts("write_mode: merge\n    reconcile: {}")),
        (
            "reconcile of a part",
            contacts("write_mode: merge\n    created_after: 2026-01-01\n    reconcile: {every: 7d}"),
        ),
        ("a status that is appended", contacts("contact_status: active")),
        (
            "a status in partitions",
            contacts(
                "contact_status: [active, unsubscribed]\n    write_mode: partition\n    partition_by: {month: created_at}",
            ),
        ),
        ("a list that is merged", contacts("list_ids: 06a9d2c0-2d41-11e7-8fc9-d4ae529a8612\n    write_mode: merge")),
        ("a tag that is appended", contacts("tag_ids: 06a9d2c0-2d41-11e7-8fc9-d4ae529a8612")),
        ("a segment that is merged", contacts("segment_id: 7\n    write_mode: merge")),
        (
            "reconcile since a date",
            contacts("write_mode: merge\n    updated_after: 2026-01-01\n    reconcile: {every: 7d}"),
        ),
        (
            "reconcile uncounted",
            around("  - report: email_campaigns\n    write_mode: merge\n    reconcile: {every: 7d}"),
        ),
        ("an unknown mode", contacts("write_mode: apend")),
        ("partition without partitions", contacts("write_mode: partition")),
        ("an unknown column", contacts("partition_by: create_source_at")),
        ("a misspelt column", contacts("partition_by: [{month: create_at}]")),
        ("a bare timestamp", contacts("partition_by: created_at")),
        ("no timestamp", contacts("partition_by: [{month: first_name}]")),
        ("a nested list", contacts("partition_by: [list_memberships]")),
        ("an unknown form", contacts("partition_by: [{week: created_at}]")),
        ("two forms in one item", contacts("partition_by: [{year: created_at, month: created_at}]")),
        ("one bucket", contacts("partition_by: {bucket: {column: contact_id, count: 1}}")),
        ("a bucket of nothing", contacts("partition_by: {bucket: {count: 16}}")),
        ("a column that child tables have too", contacts("partition_by: update_source")),
        ("twice the same", contacts("partition_by: [birthday_month, birthday_month]")),
        ("an empty list", contacts("partition_by: []")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn errors_of_schedule_and_retry() {
    let text = shown(&[
        ("four fields", with_line("schedule: \"0 6 * *\"")),
        ("a minute that is none", with_line("schedule: {cron: \"60 6 * * *\"}")),
        ("a day that never comes", with_line("schedule: 0 6 30 feb *")),
        ("a span without unit", with_line("schedule: {every: \"15\"}")),
        ("both forms", with_line("schedule: {cron: \"0 6 * * *\", every: 1h}")),
        ("too many attempts", with_line("retry: {attempts: 100}")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn all_that_is_wrong_is_shown_at_once() {
    let text = "version: 3\nname: a b\nsource: {}\ndestination: {url: ./x, option: {}}\nreports:\n  - report: contact\n  - report: contacts\n    updated_after: soon\n    write_mode: marge\n";
    let errors = parse(text).unwrap_err();
    insta::assert_snapshot!(errors);
}

#[test]
fn no_message_holds_a_secret() {
    let secret = "eyJhbGciOiJSUzI1NiJ9";
    for line in
        ["access_token: X", "access_token: [X]", "access_token: {value: X}", "acess_token: X", "client_secret: X"]
    {
        let errors = parse(&with_source(&format!("  account: acme\n  {}", line.replace('X', secret)))).unwrap_err();
        let (plain, rendered) = (errors.to_string(), errors.render(true));
        assert!(
            !plain.contains(secret) && !rendered.contains(secret) && !format!("{errors:?}").contains(secret),
            "{line}"
        );
    }
    let broken = format!("source: {{access_token: {secret}\nname: [\n");
    assert!(!parse(&broken).unwrap_err().render(false).contains(secret));
}

#[test]
fn a_whole_pipeline_is_read_with_its_defaults() {
    let pipeline = parse(&around("  - report: contacts")).unwrap();
    assert_eq!((pipeline.name.as_str(), pipeline.timezone), ("acme", Tz::UTC));
    assert_eq!(pipeline.source.accounts, AccountNames::One("acme".to_owned()));
    assert_eq!(pipeline.source.state, StatePlace::Host);
    assert_eq!(pipeline.source.credentials, Credentials::Stored);
    assert_eq!(
        pipeline.pace(),
        PaceConfig { requests_per_second: 4.0, daily_requests: 10_000, reserve: 0, count_refused: true }
    );
    let report = &pipeline.reports[0];
    assert_eq!((report.write_mode, report.partition_by.len()), (WriteMode::Append, 0));
    assert_eq!(report.option("contact_status").unwrap().setting, Setting::Values(vec!["all".to_owned()]));
}

#[test]
fn accounts_get_a_label_by_their_right() {
    let source = |text: &str| parse(&with_source(text)).unwrap().source;
    assert_eq!(source("  access_token: {env: T}").accounts.label(), "default");
    assert_eq!(source("  sandbox: {}").accounts.label(), "sandbox");
    assert_eq!(source("  {sandbox: {contacts: 5}, account: demo}").accounts.label(), "demo");
    let sandbox = source("  sandbox: {requests_per_second: 50, daily_requests: 70}");
    assert_eq!(
        sandbox.pace,
        PaceConfig { requests_per_second: 50.0, daily_requests: 70, reserve: 0, count_refused: true }
    );
    let slower = source("  {sandbox: {requests_per_second: 50}, requests_per_second: 2.5}");
    assert!((slower.pace.requests_per_second - 2.5).abs() < f64::EPSILON);
}

#[test]
fn several_accounts_are_named_or_fit_a_pattern() {
    let source = |text: &str| parse(&with_source(text)).unwrap().source;
    let several = AccountNames::Several(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(source("  accounts: [a, b]").accounts, several);
    assert_eq!(source("  accounts: a").accounts, AccountNames::Several(vec!["a".to_owned()]));
    let AccountNames::Matching(pattern) = source("  accounts: {glob: 'franchise-*'}").accounts else { panic!() };
    assert!(pattern.matches("franchise-7") && !pattern.matches("franchise"));
}

#[test]
fn a_refresh_token_begins_a_sign_in() {
    let text = "  account: acme\n  refresh_token: {env: R}\n  client_id: abc\n  client_secret: {file: secret}\n  \
                token_url: https://example.com/token\n  state: {url: 's3://bucket/state', options: {region: eu-west-1}}\n  \
                reserve: 2000\n  count_refused: false\n  application: tools";
    let source = parse(&with_source(text)).unwrap().source;
    let Credentials::Seeded(seed) = &source.credentials else { panic!("{:?}", source.credentials) };
    assert_eq!(seed.refresh_token.place, SecretPlace::Variable("R".to_owned()));
    assert_eq!((seed.client_id.as_str(), seed.token_url.as_ref().unwrap().path()), ("abc", "/token"));
    let StatePlace::Store(place) = &source.state else { panic!("{:?}", source.state) };
    assert_eq!((place.url.as_str(), source.application.as_str()), ("s3://bucket/state", "tools"));
    assert_eq!((source.pace.reserve, source.pace.count_refused), (2000, false));
}

#[test]
fn errors_of_accounts_and_their_state() {
    let text = shown(&[
        ("both", with_source("  account: a\n  accounts: [b]")),
        ("no account", with_source("  accounts: []")),
        ("twice", with_source("  accounts: [a, b, a]")),
        ("no name", with_source("  accounts: [a/b]")),
        ("no pattern", with_source("  accounts: {glob: 'a**b['}")),
        ("another pattern", with_source("  accounts: {regex: 'a.*'}")),
        ("one token for several", with_source("  accounts: [a, b]\n  access_token: {env: T}")),
        ("one sandbox for several", with_source("  accounts: [a, b]\n  sandbox: {}")),
        ("a refresh token alone", with_source("  refresh_token: {env: T}")),
        ("a refresh token in plain", with_source("  account: a\n  client_id: x\n  refresh_token: abc")),
        ("a key that means nothing", with_source("  account: a\n  client_secret: {env: T}")),
        ("both tokens", with_source("  account: a\n  access_token: {env: T}\n  refresh_token: {env: R}")),
        ("state in the clouds", with_source("  account: a\n  state: cloud")),
        ("state without an address", with_source("  account: a\n  state: {options: {}}")),
        ("a reserve of everything", with_source("  account: a\n  reserve: 10000")),
    ]);
    insta::assert_snapshot!(text);
}

#[test]
fn the_sandbox_is_set_up_as_the_pipeline_says() {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let config = |text: &str| match parse(&with_source(text)).unwrap().source.credentials {
        Credentials::Sandbox(sandbox) => sandbox.config(now),
        other => panic!("{other:?}"),
    };
    let set = config(
        "  sandbox: {contacts: 5, seed: 9, today: 2026-01-31, latency_ms: 300, burst: 8, unfit: 0.05, faults: {error_500: 0.25}}",
    );
    assert_eq!((set.contacts, set.seed, set.burst, set.latency.as_millis()), (5, 9, 8, 300));
    assert_eq!(set.today.to_string(), "2026-01-31");
    assert!((set.unfit - 0.05).abs() < f64::EPSILON);
    assert!((set.faults.error_500 - 0.25).abs() < f64::EPSILON && set.faults.reset == 0.0);
    let default = config("  sandbox: {}");
    assert_eq!((default.today.to_string(), default.daily_requests), ("2026-11-23".to_owned(), 10_000));
}

#[test]
fn a_variable_stands_wherever_text_does() {
    let text = around("  - report: contacts\n    updated_after: {env: DAY}\n    partition_by: [{env: COLUMN}]")
        .replace("name: acme", "name: {env: NAME}");
    let environment: Environment =
        [("NAME", "from-env"), ("DAY", "2026-01-31"), ("COLUMN", "birthday_month")].into_iter().collect();
    let pipeline = Pipeline::parse(&text, "acme.yaml", &Catalog::embedded().unwrap(), &environment).unwrap();
    assert_eq!(pipeline.name, "from-env");
    assert_eq!(pipeline.reports[0].partition_by, [PartitionBy::Column("birthday_month".to_owned())]);
    let day = When::parse("2026-01-31").unwrap();
    assert_eq!(pipeline.reports[0].option("updated_after").unwrap().setting, Setting::When(day));
}

#[test]
fn partitions_have_four_forms() {
    let forms = "[birthday_month, {year: created_at}, {month: updated_at}, {day: deleted_at}, {bucket: {column: contact_id, count: 16}}]";
    let pipeline = parse(&around(&format!("  - report: contacts\n    partition_by: {forms}"))).unwrap();
    let own = str::to_owned;
    assert_eq!(
        pipeline.reports[0].partition_by,
        [
            PartitionBy::Column(own("birthday_month")),
            PartitionBy::Year(own("created_at")),
            PartitionBy::Month(own("updated_at")),
            PartitionBy::Day(own("deleted_at")),
            PartitionBy::Bucket { column: own("contact_id"), count: 16 },
        ]
    );
}

#[test]
fn schedules_have_three_forms() {
    let schedule = |text: &str| parse(&with_line(text)).unwrap().schedule.unwrap();
    let expression = CronExpression::parse("0 6 * * mon-fri").unwrap();
    assert_eq!(
        schedule("schedule: 0 6 * * mon-fri"),
        Schedule::Cron { expression: expression.clone(), timezone: None }
    );
    assert_eq!(
        schedule("schedule: {cron: 0 6 * * mon-fri, timezone: Europe/Berlin}"),
        Schedule::Cron { expression, timezone: Some(Tz::Europe__Berlin) }
    );
    assert_eq!(schedule("schedule: {every: 15m}"), Schedule::Every(std::time::Duration::from_mins(15)));
}

#[test]
fn a_token_is_read_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "abc123\n").unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let environment: Environment = [("T", "xyz"), ("TWO", "a b")].into_iter().collect();
    let token = |secret: &str| {
        let pipeline = parse(&with_source(&format!("  access_token: {secret}"))).unwrap();
        let Credentials::Token(secret) = &pipeline.source.credentials else {
            panic!("{:?}", pipeline.source.credentials)
        };
        pipeline.secret(secret, &environment, folder.path()).map(|token| token.expose_secret().to_owned())
    };
    assert_eq!(token("{env: T}").unwrap(), "xyz");
    assert_eq!(token("{file: token}").unwrap(), "abc123");
    let mut out = String::new();
    for wrong in ["{env: CTCT_NOWHERE}", "{env: TWO}", "{file: nowhere}", "{file: empty}"] {
        writeln!(out, "{}", token(wrong).unwrap_err()).unwrap();
    }
    insta::assert_snapshot!(out.replace(folder.path().to_str().unwrap(), "/home/acme"));
}

#[test]
fn a_pipelines_folder_is_that_of_its_file_for_every_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap();
    std::fs::create_dir(home.join("sub")).unwrap();
    let text = "version: 1\nname: acme\nsource: {account: acme}\ndestination: {url: \"gs://bucket/x\", options: {service_account: key.json}}\n\
                reports: [{report: contacts}]\n";
    std::fs::write(home.join("sub/acme.yaml"), text).unwrap();
    let catalog = Catalog::embedded().unwrap();
    for spelling in ["sub/acme.yaml", "sub/./acme.yaml", "sub/../sub/acme.yaml", "./sub//acme.yaml"] {
        let pipeline = Pipeline::load(&home.join(spelling), &catalog, &Environment::default()).unwrap();
        assert_eq!(pipeline.folder(), home.join("sub"), "{spelling}");
    }
    // A path among the options of a store is one of the pipeline's too.
    let pipeline = parse(text).unwrap();
    let key = r#"{"private_key": "k", "private_key_id": "i", "client_email": "e", "disable_oauth": true}"#;
    std::fs::write(home.join("key.json"), key).unwrap();
    let opens = |base: &Path| crate::context::open_destination(&pipeline, &Environment::default(), base).is_ok();
    assert_eq!((opens(&home), opens(&home.join("sub"))), (true, false));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let errors = Pipeline::load(Path::new("nowhere.yaml"), &Catalog::embedded().unwrap(), &Environment::default());
    let text = errors.unwrap_err().render(false);
    insta::assert_snapshot!(text);
}

#[test]
fn a_report_more_is_a_file_more() {
    let file = "report: groups\noperation: x\ndoc: Segments.\npath: /segments\nscope: contact_data\nrows: segments\nkey: [segment_id]\n\
        params:\n  - {name: sort_by, type: choice, values: [date, name], doc: Order.}\n\
        options:\n  - {name: order, kind: choice, params: [sort_by], doc: Order of the rows.}\n\
        columns:\n  - {name: segment_id, type: integer, required: true, doc: Id.}\n";
    let catalog = Catalog::embedded().unwrap().with_file("groups.yaml", file).unwrap();
    let text = around("  - report: groups\n    order: name\n    partition_by: segment_id");
    let pipeline = Pipeline::parse(&text, "acme.yaml", &catalog, &Environment::default()).unwrap();
    let plan = crate::Plan::new(&pipeline, chrono::DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(plan.reports[0].params, [("sort_by".to_owned(), "name".to_owned())]);
    let schema = schema(&catalog);
    assert_eq!(schema["$defs"]["report_groups"]["properties"]["order"]["anyOf"][0]["enum"][1], "name");
    let wrong =
        Pipeline::parse(&text.replace("order: name", "order: nme"), "acme.yaml", &catalog, &Environment::default());
    assert_eq!(wrong.unwrap_err().errors()[0].help.as_deref(), Some("did you mean `name`?"));
}

proptest! {
    #[test]
    fn no_text_panics_the_decoder(text in any::<String>()) {
        let _ = parse(&text).map_err(|errors| errors.render(false));
    }

    /// Random damage to a good file: most of it is still YAML, and reaches far into the decoder.
    #[test]
    fn no_damaged_pipeline_panics_the_decoder(at in 0..400usize, len in 0..40usize, with in "[ \\n:{}\\[\\]a-z0-9é'\"*&-]{0,8}") {
        let text = around(&format!(
            "  - report: contacts\n    updated_after: {{days_back: 7}}\n    partition_by: [{{month: created_at}}]\n\
             \x20 - report: contact_action_summary\n    contact_id: [{ID}]\n    duration: date_range\n    start_date: 2026-01-01\n    end_date: {{days_back: 1}}"
        ));
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.floor_char_boundary((start + len).min(text.len()));
        let damaged = format!("{}{with}{}", &text[..start], &text[end..]);
        match parse(&damaged) {
            Ok(pipeline) => { let _ = crate::Plan::new(&pipeline, chrono::DateTime::UNIX_EPOCH).map(|plan| format!("{plan:?}")); }
            Err(errors) => { let _ = (errors.render(true), errors.to_string()); }
        }
    }
}
