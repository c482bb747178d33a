//! A server that answers with bodies of a test's own making: what the sandbox, being faithful, never sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, header};
use futures::stream::{self, StreamExt};
use serde_json::Value;
use tokio::net::TcpListener;

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    body: Vec<u8>,
    /// Promises more than it sends, then closes the connection.
    breaks_off: bool,
    /// What its `Date` header says, where not the time.
    date: Option<&'static str>,
}

impl Answer {
    /// Any body with status 200.
    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), breaks_off: false, date: None }
    }

    /// A page or another JSON value.
    pub fn json(body: &Value) -> Self {
        Self::body(body.to_string())
    }

    /// A refusal in the gateway's shape.
    pub fn refusal(status: u16, key: &str) -> Self {
        Self { status, ..Self::body(format!(r#"{{"error_key":"{key}","error_message":"No."}}"#)) }
    }

    /// The same with another `Date`; a text that is not a date stands for none.
    #[must_use]
    pub fn dated(self, date: &'static str) -> Self {
        Self { date: Some(date), ..self }
    }

    /// The same, but the connection closes before its end.
    #[must_use]
    pub fn breaking_off(self) -> Self {
        Self { breaks_off: true, ..self }
    }
}

/// The responses by path below `/v3`, and what was asked.
#[derive(Debug)]
struct Script {
    answers: HashMap<String, Vec<Answer>>,
    asked: Mutex<Vec<String>>,
}

/// A running server. Each request to a path gets the path's next answer; the last one repeats.
#[derive(Debug)]
pub struct Scripted {
    script: Arc<Script>,
    base_url: String,
}

impl Scripted {
    /// Answers by path below `/v3`.
    pub async fn start<const N: usize>(routes: [(&str, Vec<Answer>); N]) -> Self {
        Self::with(routes.into_iter().map(|(path, answers)| (path.to_owned(), answers)).collect()).await
    }

    /// The same for any number of paths.
    pub async fn with(routes: Vec<(String, Vec<Answer>)>) -> Self {
        let answers = routes.into_iter().map(|(path, answers)| (format!("/v3{path}"), answers)).collect();
        let script = Arc::new(Script { answers, asked: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v3", listener.local_addr().unwrap());
        let service = Router::new().fallback(answer).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { script, base_url }
    }

    /// What a pipeline calls `base_url`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Path and query of every request so far, but for whose account it is where the script does not have that.
    pub fn asked(&self) -> Vec<String> {
        self.script.asked.lock().unwrap().clone()
    }
}

async fn answer(State(script): State<Arc<Script>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    // Whose account it is matters only to tests that say so.
    if path == "/v3/account/summary" && !script.answers.contains_key(&path) {
        return Response::builder().status(404).body(Body::empty()).unwrap();
    }
    let (number, seen) = {
        let mut asked = script.asked.lock().unwrap();
        asked.push(request.uri().to_string());
        let same_path = |uri: &&String| uri.split('?').next() == Some(path.as_str());
        (asked.len(), asked.iter().filter(same_path).count())
    };
    let answers = script.answers.get(&path).map_or(&[][..], Vec::as_slice);
    let answer = answers.get(seen - 1).or(answers.last()).cloned().unwrap_or_else(|| Answer::refusal(404, "not_found"));
    let response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-amzn-requestid", format!("scripted-{number}"));
    let response = match answer.date {
        Some(date) => response.header(header::DATE, date),
        None => response,
    };
    if answer.breaks_off {
        let length = answer.body.len() + 1;
        let closed = stream::once(async {
            // What came before has been sent by now.
            tokio::task::yield_now().await;
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
        });
        let body = Body::from_stream(stream::iter([Ok(answer.body)]).chain(closed));
        response.header(header::CONTENT_LENGTH, length).body(body).unwrap()
    } else {
        response.body(Body::from(answer.body)).unwrap()
    }
}
