//! A real browser without a window, driven over plain HTTP (W3C `WebDriver`) through `chromedriver`.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use ctct_test_support::skipped;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The name under which `WebDriver` hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one page. It ends with its owner.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    /// Open for as long as the driver may write to it.
    _said: BufReader<ChildStdout>,
    profile: TempDir,
}

impl Browser {
    /// Starts one: `CTCT_TEST_CHROMIUM`, or `chromium` on the path, with `chromedriver`. `None` where either is missing,
    /// which is said.
    pub(crate) async fn start() -> Option<Self> {
        let chromium = std::env::var("CTCT_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let found = |program: &str| {
            let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            asked.is_ok_and(|status| status.success())
        };
        if !found(&chromium) || !found("chromedriver") {
            skipped(&format!("there is no `{chromium}` with `chromedriver`"));
            return None;
        }
        let mut driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(driver.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("successfully on port ") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "chromedriver ended at its start");
        }
        let port: u16 = line.trim().trim_end_matches('.').rsplit(' ').next().unwrap().parse().unwrap();
        let profile = TempDir::new().unwrap();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            _said: said,
            profile,
        };
        let arguments = [
            "--headless=new".to_owned(),
            // Containers have neither the rights for Chromium's own sandbox nor shared memory to speak of.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--no-proxy-server".to_owned(),
            format!("--user-data-dir={}", browser.profile.path().display()),
        ];
        let mut options = json!({"args": arguments});
        if std::env::var_os("CTCT_TEST_CHROMIUM").is_some() {
            options["binary"] = chromium.into();
        }
        let wanted = json!({"browserName": "chrome", "goog:chromeOptions": options, "timeouts": {"implicit": 20_000}});
        let session = browser.post("", &json!({"capabilities": {"alwaysMatch": wanted}})).await;
        browser.session += &format!("/{}", session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    /// Goes to an address.
    pub(crate) async fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url })).await;
    }

    /// Clicks on an element and waits for the page that comes of it.
    pub(crate) async fn click(&self, css: &str) {
        let element = self.element(css).await;
        self.post(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// What an element says.
    pub(crate) async fn text(&self, css: &str) -> String {
        let element = self.element(css).await;
        self.get(&format!("/element/{element}/text")).await.as_str().unwrap().to_owned()
    }

    /// Where it is.
    pub(crate) async fn address(&self) -> String {
        self.get("/url").await.as_str().unwrap().to_owned()
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        drop(self.http.delete(&self.session).send().await);
    }

    async fn element(&self, css: &str) -> String {
        let found = self.post("/element", &json!({"using": "css selector", "value": css})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.answer(self.http.post(format!("{}{path}", self.session)).body(body.to_string())).await
    }

    async fn get(&self, path: &str) -> Value {
        self.answer(self.http.get(format!("{}{path}", self.session))).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Value {
        let response = request.header("content-type", "application/json").send().await.unwrap();
        let ok = response.status().is_success();
        let mut answer: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert!(ok, "{answer}");
        answer["value"].take()
    }
}

/// A test that fails leaves no browser behind.
impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
