//! Servers that say again whatever secret they are sent, in every place of an answer: the authorization server and the object
//! store. The API's own server and whoever is told of a run are in `secrets`.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::pipeline_at;
use crate::program::{Running, said};
use crate::secrets::{Scene, contains, looked_for, said_again, tail};

/// What a server is given to know, besides what it hears.
const ACCESS: &str = "Access.token~given_by+the/parrot-0123456789-abcdefghijkl";
const REFRESH: &str = "Refresh.token~given_by+the/parrot-9876543210-lkjihgfedcba";
const DEVICE: &str = "Device.code~given_by+the/parrot-5566778899-zyxwvutsrq";
const CLIENT: &str = "Client.secret~of_the+application/0123456789-mnopqrstuv";
const CODE: &str = "Code.of~the-browser_0123456789-ABCDEFGHIJKLMNOPQR";
const STORE: &str = "Secret/of+the/store0123456789abcdefghijklMNOP";
const SESSION: &str = "Session/of+the/store/9876543210ABCDEFGHIJklmnop==";

/// How a token endpoint, the API or a store answers.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// With tokens that have expired once they are used.
    Tokens,
    /// With this status and the error of the protocol.
    Refuses(u16),
    /// With this status, and a page that is none of the protocol.
    Html(u16),
    /// Elsewhere.
    Redirects,
    /// With an error of an object store.
    Xml(u16, &'static str),
}

/// A server that repeats what it hears.
struct Parrot {
    url: String,
    heard: Arc<Heard>,
}

struct Heard {
    manner: Mutex<Manner>,
    secrets: Mutex<BTreeSet<String>>,
    /// Those that are said again: a later process cannot know what an earlier one has used up.
    repeated: Mutex<BTreeSet<String>>,
}

impl Parrot {
    async fn start() -> Self {
        let heard = Arc::new(Heard {
            manner: Mutex::new(Manner::Tokens),
            secrets: Mutex::default(),
            repeated: Mutex::default(),
        });
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&heard));
        tokio::spawn(async move { axum::serve(socket, router).await });
        Self { url, heard }
    }

    fn answers(&self, manner: Manner) {
        *self.heard.manner.lock().unwrap() = manner;
        self.heard.repeated.lock().unwrap().clear();
    }

    /// Whether it has heard a secret, and so said it again.
    fn has_heard(&self, secret: &str) -> bool {
        self.heard.secrets.lock().unwrap().contains(secret)
    }

    /// Everything that must not be found.
    fn secrets(&self) -> Vec<String> {
        self.heard.secrets.lock().unwrap().iter().flat_map(|secret| looked_for(secret)).collect()
    }
}

async fn answer(State(heard): State<Arc<Heard>>, uri: Uri, headers: HeaderMap, body: String) -> Response<String> {
    let new = secrets_of(&headers, &body);
    let all = {
        let mut repeated = heard.repeated.lock().unwrap();
        repeated.extend(new);
        heard.secrets.lock().unwrap().extend(repeated.iter().cloned());
        repeated.clone()
    };
    let path = uri.path();
    if path.ends_with("/device/authorize") {
        let body = serde_json::json!({
            "device_code": DEVICE, "user_code": "ABCDEFGH", "verification_uri": "http://127.0.0.1/activate",
            "expires_in": 600, "interval": 0,
        });
        heard.repeated.lock().unwrap().insert(DEVICE.to_owned());
        return Response::new(body.to_string());
    }
    let forms: Vec<String> = all.iter().flat_map(|secret| said_again(secret)).collect();
    let manner = *heard.manner.lock().unwrap();
    let manner = match manner {
        // Nobody is told whose account it is.
        Manner::Tokens if !path.ends_with("/token") => Manner::Refuses(403),
        manner => manner,
    };
    let echo = forms.join(" ");
    let status = |status: u16| {
        let response = Response::builder().status(status).header("x-amzn-requestid", &forms.join("-"));
        response.header("x-echo", &echo).header("set-cookie", format!("s={echo}")).header("www-authenticate", &echo)
    };
    match manner {
        Manner::Tokens => {
            heard.repeated.lock().unwrap().extend([ACCESS, REFRESH].map(str::to_owned));
            let body = serde_json::json!({
                "access_token": ACCESS, "refresh_token": REFRESH, "token_type": "Bearer", "expires_in": 1,
                "scope": "contact_data campaign_data account_read offline_access", "echo": echo,
            });
            status(200).body(body.to_string()).unwrap()
        }
        Manner::Refuses(code) => {
            let body = serde_json::json!({
                "error": "invalid_request", "error_description": echo, "error_uri": format!("https://a.example/{echo}"),
                "error_key": echo, "error_message": echo, "more": {"deep": forms},
            });
            status(code).body(body.to_string()).unwrap()
        }
        Manner::Html(code) => status(code).body(format!("<html>{echo}</html>")).unwrap(),
        Manner::Redirects => {
            let first = all.iter().next().map(String::as_str).unwrap_or_default();
            let place =
                format!("https://{}.example/{first}?token={first}", first.replace(['+', '/', '~', '_', '='], ""));
            status(302).header("location", place).body(String::new()).unwrap()
        }
        Manner::Xml(code, what) => {
            let body = format!(
                "<?xml version=\"1.0\"?><Error><Code>{what}</Code><Message>{echo}</Message><StringToSign>{echo}\
                 </StringToSign><Resource>{echo}</Resource><RequestId>{echo}</RequestId></Error>"
            );
            status(code).body(body).unwrap()
        }
    }
}

/// The secrets of a request: of a form, of its `Authorization`, and of a store's client.
fn secrets_of(headers: &HeaderMap, body: &str) -> BTreeSet<String> {
    let form = reqwest::Url::parse(&format!("http://form/?{body}")).unwrap();
    let names = ["code", "code_verifier", "refresh_token", "client_secret", "device_code"];
    let fields = form.query_pairs().filter(|(name, _)| names.contains(&name.as_ref()));
    let mut secrets: BTreeSet<String> = fields.map(|(_, value)| value.into_owned()).collect();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let authorization = header("authorization");
    if let Some(basic) = authorization.strip_prefix("Basic ") {
        let pair = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
        let password = pair.split_once(':').unwrap().1;
        let decoded = reqwest::Url::parse(&format!("http://form/?p={password}")).unwrap();
        secrets.extend(decoded.query_pairs().map(|(_, value)| value.into_owned()));
    }
    secrets.extend(authorization.strip_prefix("Bearer ").map(str::to_owned));
    if authorization.starts_with("AWS4") {
        // The key itself is not sent; a gateway that knows it may say it.
        secrets.extend([STORE.to_owned(), header("x-amz-security-token")]);
    }
    secrets.into_iter().filter(|secret| secret.len() > 30).collect()
}

/// The ways in which a token endpoint sends a person or a run away.
const REFUSALS: [Manner; 7] = [
    Manner::Refuses(401),
    Manner::Refuses(403),
    Manner::Html(200),
    Manner::Html(404),
    Manner::Redirects,
    Manner::Refuses(200),
    Manner::Refuses(400),
];

fn login(scene: &mut Scene, parrot: &Parrot, more: &[&str]) -> Command {
    let arguments = [&["auth", "login", "--account", "acme", "--server", &parrot.url, "--client-id", "an-id"], more];
    scene.command("unused-token", &arguments.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_authorization_server_that_repeats_a_secret_gets_it_said_or_kept() {
    let (parrot, mut scene) = (Parrot::start().await, Scene::new());
    // A code that is typed in elsewhere.
    for manner in REFUSALS {
        parrot.answers(manner);
        let end = said(&mut login(&mut scene, &parrot, &["--device"]));
        assert_ne!(end.code, Some(0), "{manner:?}: {}", tail(&end.stderr));
        scene.said.push((format!("login --device, {manner:?}"), end));
    }
    assert!(parrot.has_heard(DEVICE));
    // An address that is pasted, for an application with a secret.
    let paste = ["--paste", "--redirect-uri", "https://localhost", "--client-secret-env", "SECRET"];
    for manner in REFUSALS.into_iter().chain([500, 429].map(Manner::Refuses)).chain([Manner::Tokens]) {
        parrot.answers(manner);
        let mut command = login(&mut scene, &parrot, &paste);
        let mut running = Running::start(command.env("SECRET", CLIENT).stdin(Stdio::piped()));
        let url = running.wait_for("/oauth2/default/v1/authorize?").trim().to_owned();
        let state = url.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        running.type_in(&format!("https://localhost/?code={CODE}&state={state}\n"));
        let end = running.end();
        assert_eq!(end.code == Some(0), matches!(manner, Manner::Tokens), "{manner:?}: {}", tail(&end.stderr));
        scene.said.push((format!("login --paste, {manner:?}"), end));
    }
    assert!([CODE, CLIENT, ACCESS].iter().all(|secret| parrot.has_heard(secret)), "all of them were said again");
    // Its renewal, in a run and where somebody looks.
    let text = pipeline_at(&format!("{}/v3", parrot.url), "  - report: contacts\n");
    let text = text.replace("  access_token: {env: TOKEN}\n", "").replace("  url: .\n", "  url: ./out\n");
    scene.write("p.yaml", &(text + "retry: {attempts: 1}\n"));
    for manner in REFUSALS.into_iter().chain([Manner::Refuses(500)]) {
        parrot.answers(manner);
        for arguments in [&["run", "p.yaml"][..], &["plan", "p.yaml", "--probe"], &["auth", "status"]] {
            let code = scene.call("unused-token", arguments);
            let end = &scene.said.last().unwrap().1.stderr;
            assert!(arguments[0] != "run" || code != Some(0), "{manner:?}: {}", tail(end));
        }
    }
    assert!(parrot.has_heard(REFRESH), "a run asked for another token");
    let told: String = scene.said.iter().map(|(_, said)| said.stderr.as_str()).collect();
    assert!(told.contains("[hidden]") && told.contains("TRACE"), "it was repeated: {}", tail(&told));
    scene.assert_silent(&parrot.secrets());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_object_store_that_repeats_a_secret_gets_it_said_or_kept() {
    let (parrot, mut scene) = (Parrot::start().await, Scene::new());
    let store = format!("  url: s3://bucket/place\n  options: {{endpoint: '{}', allow_http: true}}\n", parrot.url);
    let text = pipeline_at(&format!("{}/v3", parrot.url), "  - report: contacts\n").replace("  url: .\n", &store);
    scene.write("p.yaml", &text);
    let all = [&["run", "p.yaml"][..], &["verify", "p.yaml"], &["state", "p.yaml"], &["compact", "p.yaml"]];
    for (number, manner) in [
        Manner::Xml(403, "SignatureDoesNotMatch"),
        Manner::Xml(403, "AccessDenied"),
        Manner::Xml(400, "ExpiredToken"),
        Manner::Xml(404, "NoSuchBucket"),
        Manner::Xml(409, "Odd"),
        Manner::Xml(200, "Odd"),
        Manner::Html(200),
        Manner::Html(400),
        Manner::Redirects,
    ]
    .into_iter()
    .enumerate()
    {
        parrot.answers(manner);
        for arguments in [all[0], all[1 + number % 3]] {
            let mut command = scene.command("unused-token", arguments);
            command.env("AWS_ACCESS_KEY_ID", "AKIA-not-a-secret").env("AWS_SECRET_ACCESS_KEY", STORE);
            let end = said(command.env("AWS_SESSION_TOKEN", SESSION));
            // What is no list of a store may look like an empty one to those who only look.
            assert!(arguments[0] != "run" || end.code != Some(0), "{manner:?}: {}", tail(&end.stderr));
            scene.said.push((format!("{arguments:?}, {manner:?}"), end));
        }
    }
    assert!(parrot.has_heard(SESSION) && parrot.has_heard(STORE), "the store was asked with both");
    let told: String = scene.said.iter().map(|(_, said)| said.stderr.as_str()).collect();
    assert!(told.contains("[hidden]"), "it was repeated: {}", tail(&told));
    scene.assert_silent(&parrot.secrets());
}

#[test]
fn what_is_looked_for_is_found_wherever_it_stands_in_base64() {
    for before in 0..7 {
        let text = STANDARD.encode(format!("{}{ACCESS} and more", &"abcdefg"[..before]));
        let found = looked_for(ACCESS).iter().any(|form| contains(text.as_bytes(), form));
        assert!(found, "behind {before} bytes");
    }
}
