//! Signing in, with the real program, against the sandbox's authorisation server and in a real browser.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ctct_sandbox::{ClientType, Quirks, Sandbox, SandboxConfig};
use serde_json::Value;
use tempfile::TempDir;

use crate::browser::Browser;
use crate::harness::{sandbox_of, start};
use crate::program::{self, Running, Said, said};

/// A server that people can sign in at, and a home for the program.
struct Host {
    sandbox: Sandbox,
    server: String,
    folder: TempDir,
}

impl Host {
    async fn new(quirks: Quirks) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = start(SandboxConfig { users: 2, quirks, clock: chrono::Utc::now, ..sandbox_of(5) }).await;
        let server = sandbox.base_url().trim_end_matches("/v3").to_owned();
        Self { sandbox, server, folder: TempDir::new().unwrap() }
    }

    /// `ctct-etl auth ...` with this host's folders.
    fn auth(&self, arguments: &[&str]) -> Command {
        auth(self.folder.path(), arguments)
    }

    /// `ctct-etl auth login --account acme ...` at the sandbox.
    fn login(&self, arguments: &[&str]) -> Command {
        self.auth(&[&["login", "--account", "acme", "--server", &self.server], arguments].concat())
    }

    /// Signs `acme` in.
    async fn sign_in(&self) {
        let mut login = self.login(&["--no-browser", "--port", "0"]);
        let mut running = Running::start(login.env("CTCT_CLIENT_ID", self.sandbox.client_id()));
        let back = allowed(&url(&mut running), 0).await;
        visit(&back).await;
        let said = running.end();
        assert_eq!(said.code, Some(0), "{said:?}");
    }

    /// A snapshot of what was said, without what differs from host to host.
    fn snapshot(&self, name: &str, said: &Said) {
        filtered(name, &shown(said, self.folder.path(), self.sandbox.client_id()));
    }
}

fn auth(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program::command(folder, &[&["auth"], arguments].concat());
    for name in ["CTCT_CLIENT_ID", "CTCT_CLIENT_SECRET", "CTCT_TOKEN_KEY"] {
        command.env_remove(name);
    }
    command
}

fn shown(said: &Said, folder: &Path, client_id: &str) -> String {
    let code = said.code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
    format!("exit code {code}\n--- stdout\n{}\n--- stderr\n{}", said.stdout, said.stderr)
        .replace(folder.to_str().unwrap(), "[folder]")
        .replace(client_id, "[client id]")
}

fn filtered(name: &str, text: &str) {
    insta::with_settings!({filters => vec![
        (r"ctct-etl-under-test", "ctct-etl"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "[time]"),
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[time]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "[time]"),
        (r"127.0.0.1:\d+", "127.0.0.1:[port]"),
        (r"127.0.0.1%3A\d+", "127.0.0.1%3A[port]"),
        (r"(state|code_challenge)=[\w-]+", "$1=[random]"),
        (r"(enter this code: |user_code=)[A-Z]{8}", "$1[code]"),
        (r"(request|tracking) id [0-9a-f-]{36}", "$1 id [id]"),
        (r" +│", " │"),
        (r"[─═]{5,}", "────"),
    ], omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

/// The address that the program asks a person to open.
fn url(running: &mut Running) -> String {
    running.wait_for("/oauth2/default/v1/authorize?").trim().to_owned()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// Where a browser is sent back to once a person has pressed a button.
async fn decided(url: &str, form: String) -> String {
    let post = http().post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = post.send().await.unwrap();
    response.headers()["location"].to_str().unwrap().to_owned()
}

async fn allowed(url: &str, user: u32) -> String {
    decided(url, format!("decision=allow&user={user}")).await
}

/// What a browser shows of an address.
async fn visit(url: &str) -> String {
    http().get(url).send().await.unwrap().text().await.unwrap()
}

#[test]
fn help_shows_every_command_with_examples() {
    let folder = TempDir::new().unwrap();
    for command in ["", "login", "list", "status", "logout", "key"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let said = said(&mut auth(folder.path(), &arguments));
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(said.stdout.contains("Examples:"), "{command}");
        filtered(format!("help_auth_{command}").trim_end_matches('_'), &said.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_signed_in_once_and_shown_from_then_on() {
    let host = Host::new(Quirks { shared_account: true, ..Quirks::default() }).await;
    host.snapshot("list_of_none", &said(&mut host.auth(&["list"])));
    host.snapshot("status_of_none", &said(&mut host.auth(&["status"])));

    let mut login = host.login(&["--no-browser", "--port", "0"]);
    let mut running = Running::start(login.env("CTCT_CLIENT_ID", host.sandbox.client_id()));
    let back = allowed(&url(&mut running), 0).await;
    let page = visit(&back).await;
    assert!(page.contains("Account acme is signed in."), "{page}");
    host.snapshot("login", &running.end());

    host.snapshot("list", &said(&mut host.auth(&["list"])));
    host.snapshot("list_as_json", &said(&mut host.auth(&["list", "--output", "json"])));
    host.snapshot("status", &said(&mut host.auth(&["status"])));
    host.snapshot("status_as_json", &said(&mut host.auth(&["status", "--account", "acme", "--output", "json"])));
    let requests = host.sandbox.requests().total;
    host.snapshot("status_offline", &said(&mut host.auth(&["status", "--offline"])));
    assert_eq!(host.sandbox.requests().total, requests, "nothing is sent");

    // The application is known now, and another person signs in to the same account.
    let mut running = Running::start(&mut host.login(&["--no-browser", "--port", "0"]));
    visit(&allowed(&url(&mut running), 1).await).await;
    assert_eq!(running.end().code, Some(0));
    let status = said(&mut host.auth(&["status", "--output", "json"]));
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status[0]["generation"], 2);

    host.snapshot("logout", &said(&mut host.auth(&["logout", "--account", "acme"])));
    host.snapshot("logout_again", &said(&mut host.auth(&["logout", "--account", "acme"])));
    assert_eq!(said(&mut host.auth(&["status", "--account", "acme"])).code, Some(10));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_sign_in_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new(Quirks::default()).await;
    host.sign_in().await;
    let config = host.folder.path().join(".host/config");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (folder, file) in [("accounts", "acme.json"), ("applications", "default.json")] {
        assert_eq!(mode(&config.join(folder)), 0o700, "{folder}");
        assert_eq!(mode(&config.join(folder).join(file)), 0o600, "{file}");
    }
    let file = config.join("accounts/acme.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    host.snapshot("open_to_others", &said(&mut host.auth(&["status"])));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "{").unwrap();
    host.snapshot("damaged", &said(&mut host.auth(&["list"])));
    host.sign_in().await;
    assert_eq!(said(&mut host.auth(&["status"])).code, Some(0), "signing in mends it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_says_no_is_not_signed_in() {
    let host = Host::new(Quirks::default()).await;
    let mut login = host.login(&["--no-browser", "--port", "0", "--client-id", host.sandbox.client_id()]);
    let mut running = Running::start(&mut login);
    let back = decided(&url(&mut running), "decision=deny".to_owned()).await;
    let page = visit(&back).await;
    assert!(page.contains("Not signed in") && page.contains("access_denied"), "{page}");
    host.snapshot("denied", &running.end());
    assert!(!host.folder.path().join(".host/config/applications").exists(), "only an application that worked is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_pasted_where_no_browser_can_come_back() {
    let host = Host::new(Quirks { client: ClientType::Confidential, ..Quirks::default() }).await;
    let login = || {
        let mut login =
            host.login(&["--paste", "--redirect-uri", "https://localhost", "--client-secret-env", "SECRET"]);
        login.env("CTCT_CLIENT_ID", host.sandbox.client_id()).env("SECRET", host.sandbox.client_secret());
        login.stdin(Stdio::piped());
        login
    };
    let mut running = Running::start(&mut login());
    let back = allowed(&url(&mut running), 0).await;
    assert!(back.starts_with("https://localhost/?code="), "{back}");
    running.type_in(&format!("{back}\n"));
    host.snapshot("login_by_paste", &running.end());

    for (name, pasted) in [
        ("paste_of_another_state", format!("{}x\n", back.replace("state=", "state=x"))),
        ("paste_of_nothing", String::new()),
        ("paste_of_a_code_of_before", back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()),
    ] {
        let mut running = Running::start(&mut login());
        url(&mut running);
        running.type_in(&pasted);
        host.snapshot(name, &running.end());
    }
    // The secret is in the profile by now; a wrong one is not taken for right.
    let mut wrong = Running::start(login().env("SECRET", "wrong"));
    let back = allowed(&url(&mut wrong), 0).await;
    wrong.type_in(&back);
    host.snapshot("wrong_secret", &wrong.end());
    let mut from_profile = host.login(&["--paste", "--redirect-uri", "https://localhost"]);
    let mut running = Running::start(from_profile.stdin(Stdio::piped()));
    let back = allowed(&url(&mut running), 0).await;
    running.type_in(&back);
    assert_eq!(running.end().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_typed_in_elsewhere() {
    let host = Host::new(Quirks { device_interval: Duration::ZERO, ..Quirks::default() }).await;
    let login = || host.login(&["--device", "--client-id", host.sandbox.client_id()]);
    for (decision, name) in [("allow", "login_by_device"), ("deny", "device_denied")] {
        let mut running = Running::start(&mut login());
        let line = running.wait_for("and enter this code: ");
        let (page, code) = line.trim().trim_start_matches("Go to ").split_once(" and enter this code: ").unwrap();
        let form = format!("user_code={code}&decision={decision}&user=0");
        let post = http().post(page).header("content-type", "application/x-www-form-urlencoded").body(form);
        assert!(post.send().await.unwrap().status().is_success());
        host.snapshot(name, &running.end());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_granted_is_told() {
    let granted = vec!["contact_data".to_owned()];
    let host = Host::new(Quirks { granted_scopes: granted, ..Quirks::default() }).await;
    let mut login = host.login(&["--no-browser", "--port", "0", "--client-id", host.sandbox.client_id()]);
    let mut running = Running::start(&mut login);
    visit(&allowed(&url(&mut running), 0).await).await;
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warnings: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    filtered("gaps", &format!("{}\n{}", ended.stdout, warnings.join("\n")));
    host.snapshot("status_with_gaps", &said(&mut host.auth(&["status", "--offline"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_ended_is_told_with_10() {
    let host = Host::new(Quirks::default()).await;
    host.sign_in().await;
    host.sandbox.expire_access_tokens();
    let renewed = said(&mut host.auth(&["status", "--output", "json"]));
    assert_eq!(renewed.code, Some(0), "it is renewed: {renewed:?}");
    assert_eq!(serde_json::from_str::<Value>(&renewed.stdout).unwrap()[0]["generation"], 2);
    host.sandbox.revoke(0);
    host.snapshot("status_of_a_revoked_one", &said(&mut host.auth(&["status"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_share_a_store_share_its_sign_ins_and_none_reads_them_without_the_key() {
    let host = Host::new(Quirks::default()).await;
    let key = said(&mut host.auth(&["key"])).stdout.trim().to_owned();
    let shared = |arguments: &[&str]| host.auth(&[arguments, &["--state", "./shared"]].concat());
    let with_key = |arguments: &[&str]| said(shared(arguments).env("CTCT_TOKEN_KEY", &key));
    host.snapshot("shared_without_a_key", &said(&mut shared(&["list"])));
    host.snapshot("shared_with_no_key", &said(shared(&["list"]).env("CTCT_TOKEN_KEY", "no-key")));

    let mut login = host.login(&["--no-browser", "--port", "0", "--state", "./shared"]);
    login.env("CTCT_TOKEN_KEY", &key).env("CTCT_CLIENT_ID", host.sandbox.client_id());
    let mut running = Running::start(&mut login);
    visit(&allowed(&url(&mut running), 0).await).await;
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    host.sandbox.expire_access_tokens();
    let status = with_key(&["status", "--output", "json"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert_eq!(serde_json::from_str::<Value>(&status.stdout).unwrap()[0]["generation"], 2, "it was renewed there");
    assert!(said(&mut host.auth(&["list"])).stdout.starts_with("No account"), "this host's folder has none");

    let another = said(&mut host.auth(&["key"])).stdout;
    let unread = said(shared(&["status", "--offline"]).env("CTCT_TOKEN_KEY", another.trim()));
    assert_eq!((unread.code, unread.stdout.as_str()), (Some(2), ""), "{unread:?}");
    assert!(unread.stderr.contains("cannot be decrypted with this token key"), "{}", unread.stderr);
    let refresh_token = host.sandbox.refresh_token_of(0).unwrap();
    assert!(!holds(&host.folder.path().join("shared"), &refresh_token), "it is encrypted");
    assert_eq!(with_key(&["logout", "--account", "acme"]).code, Some(0));
    assert_eq!(with_key(&["status"]).code, Some(10));
}

/// Whether a text is in any file of a folder.
fn holds(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, text);
        }
        fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_before_a_person_is_asked() {
    let host = Host::new(Quirks::default()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let id = ["--client-id", "an-id"];
    let mut refusals = String::new();
    for arguments in [
        &[][..],
        &["--client-id", ""],
        &[&id[..], &["--client-secret-env", "NOT_SET"]].concat(),
        &[&id[..], &["--client-secret-file", "missing"]].concat(),
        &[&id[..], &["--redirect-uri", "https://localhost"]].concat(),
        &[&id[..], &["--redirect-uri", "nonsense", "--paste"]].concat(),
        &[&id[..], &["--port", &port]].concat(),
        &[&id[..], &["--device"]].concat(),
        &["--device", "--paste"],
        &["--device", "--port", "1"],
        &["--application", "../default"],
    ] {
        let said = said(&mut host.login(arguments));
        assert_eq!(said.stdout, "", "{arguments:?}");
        refusals += &format!("$ auth login --account acme {}\n", arguments.join(" ").replace(&port, "[port]"));
        refusals += &format!("exit code {}\n{}\n", said.code.unwrap(), said.stderr.replace(&port, "[port]"));
    }
    let elsewhere = ["login", "--account", "acme", "--client-id", "an-id", "--server", "ftp://authz.example"];
    refusals += &format!("$ auth {}\n{}\n", elsewhere.join(" "), said(&mut host.auth(&elsewhere)).stderr);
    filtered("refused", &refusals.replace(host.folder.path().to_str().unwrap(), "[folder]"));

    host.sign_in().await;
    host.snapshot("another_application", &said(&mut host.login(&["--client-id", "another"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_to_wait_for_a_browser_to_the_end() {
    let host = Host::new(Quirks::default()).await;
    let mut login = host.login(&["--no-browser", "--port", "0", "--client-id", host.sandbox.client_id()]);
    let mut running = Running::start(&mut login);
    running.wait_for("Press Ctrl-C to cancel");
    running.terminate();
    let ended = running.end();
    assert_eq!(ended.code, Some(12), "{ended:?}");
    assert!(ended.stderr.contains("\nerror: stopped before the sign-in was complete\nhelp: "), "{}", ended.stderr);
}

#[test]
fn every_key_is_another_and_nothing_but_a_key() {
    let folder = TempDir::new().unwrap();
    let keys = [0, 1].map(|_| said(&mut auth(folder.path(), &["key"])).stdout);
    assert_ne!(keys[0], keys[1]);
    for key in keys {
        assert_eq!((key.len(), key.lines().count()), (45, 1), "32 bytes in base64");
    }
}

/// Whatever opens addresses on this system, it gets the one that the person is told.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_opened_by_itself() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new(Quirks::default()).await;
    let (programs, opened) = (host.folder.path().join("programs"), host.folder.path().join("opened"));
    fs::create_dir(&programs).unwrap();
    let script = programs.join("xdg-open");
    fs::write(&script, format!("#!/bin/sh\necho \"$1\" > {}\n", opened.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut login = host.login(&["--port", "0", "--client-id", host.sandbox.client_id()]);
    let mut running = Running::start(login.env("PATH", format!("{}:/usr/bin:/bin", programs.display())));
    running.wait_for("Opening a browser.");
    let url = url(&mut running);
    visit(&allowed(&url, 0).await).await;
    assert_eq!(running.end().code, Some(0));
    assert_eq!(fs::read_to_string(&opened).unwrap().trim(), url);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_signs_in_says_no_and_confirms_a_device() {
    let host = Host::new(Quirks { device_interval: Duration::ZERO, ..Quirks::default() }).await;
    let Some(browser) = Browser::start().await else { return };
    let login = || host.login(&["--no-browser", "--port", "0", "--client-id", host.sandbox.client_id()]);

    let mut running = Running::start(&mut login());
    browser.go(&url(&mut running)).await;
    assert!(browser.text("#scopes").await.contains("offline_access"));
    browser.click("#allow").await;
    assert_eq!(browser.text("#title").await, "Signed in");
    assert!(browser.address().await.contains("/callback?code="));
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let mut running = Running::start(&mut login());
    browser.go(&url(&mut running)).await;
    browser.click("#deny").await;
    assert_eq!(browser.text("#title").await, "Not signed in");
    assert!(browser.text("#text").await.contains("access_denied"));
    assert_eq!(running.end().code, Some(10));

    let mut device = host.login(&["--device", "--client-id", host.sandbox.client_id()]);
    let mut running = Running::start(&mut device);
    let line = running.wait_for("Or open ");
    browser.go(line.trim().trim_start_matches("Or open ")).await;
    browser.click("#allow").await;
    assert!(browser.text("#message").await.contains("connected"));
    assert_eq!(running.end().code, Some(0));

    let status = said(&mut host.auth(&["status"]));
    assert_eq!(status.code, Some(0), "{status:?}");
    browser.close().await;
}

/// Signs in as a user, and gives what the program said.
async fn signed_in(host: &Host, user: u32, arguments: &[&str]) -> Said {
    let mut login = host.login(&[&["--no-browser", "--port", "0"], arguments].concat());
    let mut running = Running::start(login.env("CTCT_CLIENT_ID", host.sandbox.client_id()));
    let back = allowed(&url(&mut running), user).await;
    visit(&back).await;
    running.end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_keeps_its_account_unless_somebody_says_so() {
    let host = Host::new(Quirks::default()).await;
    let said = signed_in(&host, 0, &[]).await;
    assert!(said.stdout.contains("It is Sandbox (p07e0000000007)."), "{said:?}");
    let said = signed_in(&host, 1, &[]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    for named in ["Sandbox (p07e0000000007)", "Sandbox 2 (p07e0100000007)", "--replace"] {
        assert!(said.stderr.contains(named), "{named}: {said:?}");
    }
    let whose = || {
        let said = crate::program::said(&mut host.auth(&["status", "--offline", "--output", "json"]));
        let status: Value = serde_json::from_str(&said.stdout).unwrap();
        (status[0]["who"]["encoded_account_id"].clone(), status[0]["server"].clone())
    };
    assert_eq!(whose(), ("p07e0000000007".into(), host.sandbox.base_url().into()), "nothing was overwritten");
    let said = signed_in(&host, 0, &[]).await;
    assert_eq!(said.code, Some(0), "the same account may sign in again: {said:?}");
    let said = signed_in(&host, 1, &["--replace"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(whose().0, "p07e0100000007");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_stands_where_the_account_cannot_be_told() {
    let granted_scopes = ["contact_data", "offline_access"].map(str::to_owned).to_vec();
    let host = Host::new(Quirks { granted_scopes, ..Quirks::default() }).await;
    for user in [0, 1] {
        let said = signed_in(&host, user, &[]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("The owner of the account is unknown"), "{said:?}");
    }
}

/// Runs a pipeline whose `source` is what a login printed, with `more` below it.
fn run_as_printed(host: &Host, said: &Said, more: &str) -> Said {
    let (_, source) = said.stdout.split_once("In a pipeline:\n").unwrap();
    let source: Vec<&str> = source.lines().map(|line| line.strip_prefix("  ").unwrap()).collect();
    let source = source.join("\n") + "\n";
    let text = format!(
        "version: 1\nname: job\n{source}{more}destination: {{url: ./out}}\nreports:\n  - report: contact_lists\n"
    );
    fs::write(host.folder.path().join("job.yaml"), text).unwrap();
    program::run(host.folder.path(), &["run", "job.yaml"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_the_server_that_its_account_signed_in_at() {
    let host = Host::new(Quirks::default()).await;
    let login = signed_in(&host, 0, &[]).await;
    let before = host.sandbox.requests().total;
    let said = run_as_printed(&host, &login, "");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(host.sandbox.requests().total, before + 1, "one page, and nothing to learn about the account");
    let own = format!("  base_url: {}\n", host.sandbox.base_url());
    assert_eq!(run_as_printed(&host, &login, &own).code, Some(0));
    let before = host.sandbox.requests().total;
    for other in ["https://api.cc.email/v3", "http://127.0.0.1:9/v3"] {
        let said = run_as_printed(&host, &login, &format!("  base_url: {other}\n"));
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.stderr.contains(other) || said.stdout.contains(other), "{said:?}");
        assert!(format!("{said:?}").contains(&host.sandbox.base_url()), "{said:?}");
    }
    assert_eq!(host.sandbox.requests().total, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_company_under_the_same_name_is_not_mixed_in_by_a_new_login() {
    let host = Host::new(Quirks::default()).await;
    let login = signed_in(&host, 0, &[]).await;
    assert_eq!(run_as_printed(&host, &login, "").code, Some(0));
    let login = signed_in(&host, 1, &["--replace"]).await;
    let said = run_as_printed(&host, &login, "");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(format!("{said:?}").contains("Sandbox 2 (p07e0100000007)"), "{said:?}");
    let adopted = program::run(host.folder.path(), &["state", "adopt", "job.yaml"]);
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    assert!(
        adopted.stdout.contains("contact_lists: from Sandbox (p07e0000000007) to Sandbox 2 (p07e0100000007), commit 2"),
        "{adopted:?}"
    );
    let said = run_as_printed(&host, &login, "");
    assert_eq!(said.code, Some(0), "{said:?}");
}
