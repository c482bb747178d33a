//! Everything that the program can do, at its most talkative, and no secret in what it says or leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctct_pipeline::after_run::RUNS_TABLE;
use ctct_sandbox::{Faults, Sandbox, SandboxConfig};
use tempfile::TempDir;

use crate::harness::{Harness, pipeline_at, sandbox_of};
use crate::listener::{Answer, Listener};
use crate::program::{Running, Said, command, said};
use crate::tables;

const REPORTS: &str = "
  - report: contacts
    updated_after: {days_back: 9000}
  - report: contact_lists
  - report: email_campaigns
    write_mode: replace
  - report: contact_activity_details
    contact_id: {from: contacts}
";

/// A folder of pipelines, all that was said in it, and the tokens that were given to the program.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) said: Vec<(String, Said)>,
    tokens: BTreeSet<String>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), said: Vec::new(), tokens: BTreeSet::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    /// The program at TRACE, its libraries included, with a home of its own and a token.
    pub(crate) fn command(&mut self, token: &str, arguments: &[&str]) -> Command {
        self.tokens.insert(token.to_owned());
        let home = self.path().join("home");
        let mut command = command(self.path(), arguments);
        command.env("CTCT_LOG", "trace").env("RUST_BACKTRACE", "full").env("TOKEN", token).env("HOME", &home);
        for (name, folder) in [("CTCT_CONFIG_DIR", "config"), ("CTCT_STATE_DIR", "state")] {
            command.env(name, home.join(folder));
        }
        command
    }

    /// Runs the program to its end and keeps what it says. The exit code comes back.
    pub(crate) fn call(&mut self, token: &str, arguments: &[&str]) -> Option<i32> {
        let said = said(&mut self.command(token, arguments));
        let code = said.code;
        self.said.push((arguments.join(" "), said));
        code
    }

    fn must(&mut self, code: i32, token: &str, arguments: &[&str]) {
        let found = self.call(token, arguments);
        let (_, said) = self.said.last().unwrap();
        assert_eq!(found, Some(code), "{arguments:?}: {}", tail(&said.stderr));
    }

    /// Takes the tokens that the program holds now from where it keeps them, which is the one place for them.
    fn collect_tokens(&mut self) {
        for file in files(&self.path().join("home/config/accounts")) {
            let text = fs::read_to_string(file).unwrap();
            self.tokens
                .extend(text.split('"').filter(|word| word.len() > 42 && !word.contains(':')).map(str::to_owned));
        }
    }

    /// Looks for secrets in all that was said, and in every file that is left.
    pub(crate) fn assert_silent(&self, secrets: &[String]) {
        let tokens: Vec<String> = self.tokens.iter().flat_map(|token| parts(token)).collect();
        let secrets: BTreeSet<&String> = secrets.iter().chain(&tokens).collect();
        assert!(secrets.iter().all(|secret| secret.len() > 10), "what is short would be found by chance");
        for (what, said) in &self.said {
            for (stream, text) in [("stdout", &said.stdout), ("stderr", &said.stderr)] {
                for secret in &secrets {
                    let line = text.lines().find(|line| line.contains(secret.as_str()));
                    assert!(line.is_none(), "`{secret}` on {stream} of `{what}`: {line:?}");
                }
            }
        }
        for file in files(self.path()).iter().filter(|file| !file.starts_with(self.path().join("home/config"))) {
            let bytes = fs::read(file).unwrap();
            // Addresses belong into tables, but not into what is recorded of them.
            let record = file.extension().is_none_or(|extension| extension != "parquet");
            for secret in &secrets {
                let found = (record || tokens.contains(secret)) && contains(&bytes, secret);
                assert!(!found, "`{secret}` is in {}", file.display());
            }
        }
        // Compressed, so it is read; addresses do not belong there either.
        let told = self.path().join("out").join(RUNS_TABLE);
        if told.exists() {
            for row in tables::rows(&told) {
                let row = serde_json::to_string(&row).unwrap();
                assert!(!secrets.iter().any(|secret| row.contains(secret.as_str())), "{row}");
            }
        }
    }
}

/// A token and those parts of it that are its own: a line that shows a piece of it shows it too.
fn parts(token: &str) -> Vec<String> {
    let pieces = token.split('.').skip(1).filter(|piece| piece.len() > 40).map(|piece| piece[..40].to_owned());
    pieces.chain([token.to_owned()]).collect()
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

pub(crate) fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(2_000);
    &text[text.ceil_char_boundary(start)..]
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// What must not be said of a server's account: tokens, the application's secret, the addresses of contacts.
fn secrets(sandbox: &Sandbox) -> Vec<String> {
    let account = sandbox.account();
    let contacts = (0..account.contacts()).map(|index| serde_json::to_value(account.contact(index)).unwrap());
    let addresses = contacts.filter_map(|contact| Some(contact["email_address"]["address"].as_str()?.to_owned()));
    addresses.chain([sandbox.refresh_token(), sandbox.client_secret().to_owned()]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_says_or_keeps_a_secret() {
    let harness = Harness::new(40).await;
    let (token, mut scene) = (harness.sandbox.access_token(), Scene::new());
    let destination = "destination:\n  url: ./out\nmetrics:\n  textfile: prom\n";
    fs::create_dir(scene.path().join("prom")).unwrap();
    scene.write("p.yaml", &harness.pipeline(REPORTS).replace("destination:\n  url: .\n", destination));
    assert!(secrets(&harness.sandbox).len() > 30, "most contacts have an address");
    for arguments in [
        &["validate", "p.yaml"][..],
        &["plan", "p.yaml"],
        &["schema", "p.yaml", "--output", "json"],
        &["schema", "--editor"],
        &["reports"],
        &["reports", "contacts"],
        &["run", "p.yaml", "--dry-run"],
        &["run", "p.yaml", "--keep-raw", "--output", "json"],
        &["replay", "p.yaml", "--report", "contacts"],
        &["run", "p.yaml", "--log-format", "json"],
        &["run", "p.yaml", "--report", "contacts", "--from", "2026-01-01", "--to", "2026-02-01"],
        &["run", "p.yaml", "--full-refresh", "--keep-raw"],
        &["state", "p.yaml"],
        &["state", "p.yaml", "--output", "json"],
        &["status", "p.yaml"],
        &["status", "p.yaml", "--max-age", "2d", "--output", "json"],
        &["verify", "p.yaml", "--counts"],
        &["verify", "p.yaml", "--output", "json"],
        &["compact", "p.yaml", "--dry-run"],
        &["compact", "p.yaml"],
    ] {
        scene.must(0, &token, arguments);
    }
    assert!(tables::rows(&scene.path().join("out/contacts")).len() > 30, "the runs read the account");
    fs::remove_dir_all(scene.path().join("out/_ctct/acme/contact_lists")).unwrap();
    scene.must(15, &token, &["run", "p.yaml"]);
    scene.must(0, &token, &["state", "rebuild", "p.yaml"]);

    let said: String = scene.said.iter().map(|(_, said)| said.stderr.as_str()).collect();
    assert!(said.contains("TRACE") && said.contains("DEBUG"), "the capture works: {}", tail(&said));
    assert!(said.contains("hyper"), "and the libraries speak too");
    scene.assert_silent(&secrets(&harness.sandbox));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_of_a_run_learns_no_secret_and_is_none() {
    let (webhook, header) = ("a-path-that-is-a-secret", "a-header-that-is-a-secret");
    let listener = Listener::start(&[Answer::Status(500), Answer::Status(200)]).await;
    let faults = Faults { truncated_body: 0.5, other_json: 0.5, ..Faults::default() };
    let harness = Harness::with(SandboxConfig { faults, ..sandbox_of(20) }).await;
    let (token, mut scene) = (harness.sandbox.access_token(), Scene::new());
    let told = format!(
        "metrics:\n  otlp:\n    endpoint: {}\n    headers: {{authorization: {{env: HEADER}}}}\non_failure:\n  webhook: {{env: HOOK}}\n",
        listener.url("/metrics")
    );
    let text = harness.pipeline("  - report: contacts\n").replace("  url: .\n", &format!("  url: ./out\n{told}"));
    scene.write("p.yaml", &(text + "retry: {attempts: 1}\n"));
    for arguments in [&["run", "p.yaml"][..], &["run", "p.yaml", "--log-format", "json"]] {
        let mut command = scene.command(&token, arguments);
        let end = said(command.env("HEADER", header).env("HOOK", listener.url(&format!("/{webhook}"))));
        assert_eq!(end.code, Some(12), "{}", tail(&end.stderr));
        scene.said.push((arguments.join(" "), end));
    }
    assert_eq!(scene.call(&token, &["status", "p.yaml"]), Some(20));
    let mut secrets = secrets(&harness.sandbox);
    let received = listener.received();
    let at = |path: &str| received.iter().filter(|received| received.path.contains(path)).count();
    assert!(at(webhook) > 1 && at("/metrics") > 1, "both were told: {}", received.len());
    for received in &received {
        for secret in secrets.iter().chain([&token]) {
            assert!(!contains(&received.body, secret), "`{secret}` was told to {}", received.path);
        }
    }
    secrets.extend([webhook, header].map(str::to_owned));
    scene.assert_silent(&secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_of_a_sign_in_and_its_renewals() {
    let harness = Harness::with(SandboxConfig { clock: chrono::Utc::now, ..sandbox_of(20) }).await;
    let (sandbox, mut scene) = (&harness.sandbox, Scene::new());
    scene.tokens.extend([sandbox.refresh_token(), sandbox.client_secret().to_owned()]);
    let server = sandbox.server_url();
    let login = ["auth", "login", "--account", "acme", "--server", &server, "--no-browser", "--port", "0"];
    let mut login = scene.command("unused-token", &login);
    login.env("CTCT_CLIENT_ID", sandbox.client_id()).env("CTCT_CLIENT_SECRET", sandbox.client_secret());
    let mut running = Running::start(&mut login);
    let url = running.wait_for("/oauth2/default/v1/authorize?").trim().to_owned();
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let allowed = http.post(&url).body("decision=allow&user=0").send().await.unwrap();
    let back = allowed.headers()["location"].to_str().unwrap().to_owned();
    let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    http.get(&back).send().await.unwrap();
    let end = running.end();
    assert_eq!(end.code, Some(0), "{}", tail(&end.stderr));
    scene.said.push(("auth login".to_owned(), end));
    scene.collect_tokens();

    let text = harness.pipeline("  - report: contacts\n").replace("  access_token: {env: TOKEN}\n", "");
    scene.write("p.yaml", &text.replace("destination:\n  url: .\n", "destination:\n  url: ./out\n"));
    for _ in 0..2 {
        scene.must(0, "unused-token", &["run", "p.yaml"]);
        scene.collect_tokens();
        sandbox.expire_access_tokens();
    }
    for arguments in [&["auth", "list"][..], &["auth", "list", "--output", "json"], &["auth", "status"]] {
        scene.must(0, "unused-token", arguments);
        scene.collect_tokens();
    }
    assert!(sandbox.token_requests().refresh_token > 0, "tokens were renewed");
    sandbox.revoke(0);
    scene.must(10, "unused-token", &["run", "p.yaml"]);
    scene.must(0, "unused-token", &["auth", "logout", "--account", "acme"]);
    assert!(scene.tokens.len() > 6, "the tokens of several generations");
    scene.assert_silent(&[code]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_says_a_secret() {
    let mut scene = Scene::new();
    let (none, rate) = (Faults::default(), 0.3);
    for faults in [
        Faults { error_500: rate, ..none },
        Faults { error_503: rate, ..none },
        Faults { throttled: rate, ..none },
        Faults { spurious_401: rate, ..none },
        Faults { truncated_body: rate, ..none },
        Faults { html_with_200: rate, ..none },
        Faults { other_json: rate, ..none },
        Faults { reset: rate, ..none },
    ] {
        let harness = Harness::with(SandboxConfig { faults, ..sandbox_of(20) }).await;
        scene.write("p.yaml", &harness.pipeline("  - report: contacts\n"));
        scene.call(&harness.sandbox.access_token(), &["run", "p.yaml"]);
        scene.assert_silent(&secrets(&harness.sandbox));
    }

    let harness = Harness::new(20).await;
    let token = harness.sandbox.access_token();
    scene.write("p.yaml", &harness.pipeline("  - report: contacts\n"));
    harness.sandbox.expire_access_tokens();
    scene.must(10, &token, &["run", "p.yaml"]);
    // What is no header, and what stands in the file itself, where it does not belong.
    scene.must(2, "s3cr3t-with-a\nline-break", &["run", "p.yaml"]);
    for key in ["access_token", "client_secret", "refresh_token"] {
        let text = format!(
            "version: 1\nname: t\nsource: {{{key}: s3cr3t-in-the-file}}\ndestination: {{url: .}}\nreports: [contacts]\n"
        );
        scene.write("literal.yaml", &text);
        for command in ["validate", "plan", "run"] {
            scene.must(2, &token, &[command, "literal.yaml"]);
        }
    }
    // The pipeline holds it, the test put it there.
    fs::remove_file(scene.path().join("literal.yaml")).unwrap();
    let mut secrets = secrets(&harness.sandbox);
    secrets.extend(["s3cr3t-with-a", "s3cr3t-in-the-file"].map(str::to_owned));
    scene.assert_silent(&secrets);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_says_its_secrets_on_stdout_alone() {
    let mut scene = Scene::new();
    let mut sandbox =
        Running::start(&mut scene.command("unused-token", &["sandbox", "--port", "0", "--contacts", "20"]));
    let line = sandbox.line_with("The sandbox serves http://127.0.0.1:");
    let base_url = line.trim().rsplit(' ').next().unwrap().to_owned();
    let line = sandbox.line_with("Authorization: Bearer ");
    let token = line.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    scene.write("p.yaml", &pipeline_at(&base_url, "  - report: contact_lists\n"));
    scene.must(0, &token, &["run", "p.yaml"]);
    // In the address, where the vendor's examples put them.
    let server = base_url.trim_end_matches("/v3");
    let query = "grant_type=refresh_token&refresh_token=wrong-but-secret";
    // The client's TLS; the second test of a process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = reqwest::Client::new().post(format!("{server}/oauth2/default/v1/token?{query}"));
    assert_eq!(request.basic_auth("wrong", Some("sandbox-secret")).send().await.unwrap().status(), 401);
    sandbox.terminate();
    let end = sandbox.end();
    assert_eq!(end.code, Some(0));
    scene.said.push(("sandbox".to_owned(), Said { stdout: String::new(), ..end }));
    scene.assert_silent(&["wrong-but-secret".to_owned(), "sandbox-secret".to_owned()]);
}

/// A token that needs every kind of escape.
pub(crate) const ECHOED: &str = "Fixture.secret~token_0123456789-abcdef+/XYZ.for.echoes";

/// The ways in which a server may say a token again.
pub(crate) fn said_again(token: &str) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let escaped = |escape: fn(u8) -> String| token.bytes().map(escape).collect::<String>();
    [
        token.to_owned(),
        escaped(|byte| format!("%{byte:02X}")),
        token.replace('+', "%2B").replace('/', "%2f"),
        escaped(|byte| format!("\\u{byte:04x}")),
        token.replace('/', "\\/"),
        STANDARD.encode(token),
        STANDARD.encode(format!("client:{token}")),
        URL_SAFE.encode(token),
        token.to_ascii_lowercase(),
        token[..30].to_owned(),
        token[20..].to_owned(),
    ]
    .into_iter()
    // Behind one, two and three other bytes: base64 has three ways to write it.
    .chain((1..4).map(|before| STANDARD.encode(format!("{}{token}~~", "x".repeat(before)))))
    .collect()
}

/// What must not be found of a token: all of that, and what base64 makes of it whatever stands before and behind it.
pub(crate) fn looked_for(token: &str) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let encoded = (0..3).flat_map(|before| {
        let text = format!("{}{token}", "x".repeat(before));
        [STANDARD.encode(&text), URL_SAFE.encode(&text)].map(|text| text[4..text.len() - 4].to_owned())
    });
    said_again(token).into_iter().chain(encoded).collect()
}

/// An answer that says the token in one of its places.
type Echo = fn(&str) -> axum::http::Response<String>;

fn answered(status: u16) -> axum::http::response::Builder {
    axum::http::Response::builder().status(status).header("x-amzn-requestid", "echo-1")
}

fn refusal(status: u16, said: &str) -> axum::http::Response<String> {
    let body = serde_json::json!({
        "error_key": format!("no.{said}"),
        "error_message": format!("Bearer {said} is not good; access_token={said}"),
    })
    .to_string();
    answered(status).body(body).unwrap()
}

/// What a gateway gives to tell its clients apart.
const COOKIE: &str = "gateway=c00kie-of-the-gateway-that-is-a-secret";

const ECHOES: [(&str, Echo); 10] = [
    ("rejected", |said| refusal(400, said)),
    ("not signed in", |said| refusal(401, said)),
    ("forbidden", |said| refusal(403, said)),
    ("trouble", |said| refusal(500, said)),
    ("throttled", |said| refusal(429, said)),
    ("its ids", |said| {
        let response = axum::http::Response::builder().status(404);
        response.header("x-amzn-requestid", said).header("x-eig-tracking-id", said).body(String::new()).unwrap()
    }),
    ("a redirect", |said| {
        let place = format!(
            "https://{}.example/{said}?access_token={said}",
            said.replace(['+', '/', '~', '_', '%', '\\', '='], "")
        );
        answered(302).header("location", place).body(String::new()).unwrap()
    }),
    ("a link", |said| {
        let place = format!("https://{}.example/?a={said}", said.replace(['+', '/', '~', '_', '%', '\\', '='], ""));
        let body = serde_json::json!({"contacts": [], "_links": {"next": {"href": place}}});
        answered(200).body(body.to_string()).unwrap()
    }),
    ("a cookie", |said| {
        let cookie = format!("session={}; {COOKIE}", said.replace(' ', "&"));
        let body = r#"{"error_key":"x","error_message":"y"}"#.to_owned();
        answered(400).header("set-cookie", &cookie).header("x-echo", cookie).body(body).unwrap()
    }),
    ("HTML", |said| answered(200).body(format!("<html>{said}</html>")).unwrap()),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_server_that_repeats_the_token_gets_it_said_or_kept() {
    let listener = Listener::start(&[Answer::Status(200)]).await;
    let mut scene = Scene::new();
    fs::create_dir(scene.path().join("prom")).unwrap();
    let hook = listener.url("/a-path-that-is-a-secret-too");
    for (number, (what, echo)) in ECHOES.into_iter().enumerate() {
        // All forms at once, and each place once.
        let said = if matches!(what, "its ids" | "a redirect" | "a link") {
            vec![ECHOED.to_owned()]
        } else {
            said_again(ECHOED)
        };
        let answer = move || async move { echo(&said.join(" ")) };
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v3", server.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(server, axum::Router::new().fallback(answer)).await });
        let told = "retry:\n  attempts: 1\nmetrics:\n  textfile: prom\non_failure:\n  webhook: {env: HOOK}\n";
        let text =
            pipeline_at(&base_url, "  - report: contacts\n").replace("  url: .\n", &format!("  url: ./out\n{told}"));
        scene.write("p.yaml", &text);
        for more in [&[][..], &["--log-format", "json", "--output", "json"]].iter().take(1 + number % 2) {
            let arguments = [&["run", "p.yaml"][..], more].concat();
            let end = said_by(&mut scene, &arguments, &hook);
            assert_ne!(end, Some(0), "{what}");
        }
        scene.call(ECHOED, &["plan", "p.yaml", "--probe"]);
        scene.call(ECHOED, &["status", "p.yaml"]);
        serving.abort();
    }
    scene.call(ECHOED, &["state", "p.yaml", "--output", "json"]);
    let said: String = scene.said.iter().map(|(_, said)| said.stdout.clone() + &said.stderr).collect();
    assert!(said.contains("[hidden]"), "it was repeated: {}", tail(&said));
    let mut secrets = looked_for(ECHOED);
    secrets.push(COOKIE.split_once('=').unwrap().1.to_owned());
    secrets.push("a-path-that-is-a-secret-too".to_owned());
    let received = listener.received();
    assert!(!received.is_empty());
    for received in &received {
        for secret in &secrets[..secrets.len() - 1] {
            assert!(!contains(&received.body, secret), "`{secret}` was told to the webhook");
        }
    }
    scene.assert_silent(&secrets);
}

/// Runs the program with a webhook.
fn said_by(scene: &mut Scene, arguments: &[&str], hook: &str) -> Option<i32> {
    let end = said(scene.command(ECHOED, arguments).env("HOOK", hook));
    let code = end.code;
    scene.said.push((arguments.join(" "), end));
    code
}
