//! A small account that lives on for three months, and the server that shows it: pages, counts, a record without a key, an id
//! that fails at first.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Rows of a page of contacts.
const PAGE: usize = 5;
/// Contacts whose events are read.
const FOLLOWED: usize = 12;

/// What the server does beside answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// The day's requests are used up after the first page of contacts.
    UsedUp,
    /// No record of a contact has a key.
    Keyless,
}

/// The account, served.
pub(super) struct Account {
    shown: Arc<Mutex<Shown>>,
    pub(super) base_url: String,
}

struct Shown {
    month: u32,
    mood: Mood,
}

impl Account {
    pub(super) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shown = Arc::new(Mutex::new(Shown { month: 0, mood: Mood::Well }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v3", listener.local_addr().unwrap());
        let service = Router::new().fallback(answer).with_state(Arc::clone(&shown));
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { shown, base_url }
    }

    /// Shows the account as it is in a month.
    pub(super) fn show(&self, month: u32, mood: Mood) {
        let mut shown = self.shown.lock().unwrap();
        (shown.month, shown.mood) = (month, mood);
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, self.shown.lock().unwrap().month + 1, 20, 12, 0, 0).unwrap()
    }

    /// The reports of a pipeline in which all is written in this way.
    pub(super) fn reports(contacts: &str, events: &str) -> String {
        let ids: Vec<String> = (0..FOLLOWED).map(id).collect();
        format!(
            "  - {{report: contacts, max_rejected: 50%, {contacts}}}\n  - {{report: contact_activity_details, keep_raw: true, \
             contact_id: [{}], {events}}}\n",
            ids.join(", ")
        )
    }
}

fn id(number: usize) -> String {
    format!("{number:08x}-4752-11e9-9c8a-fa163e6b01c1")
}

/// The contact as it is in a month; every fourth one changes each month.
fn contact(number: usize, month: u32) -> Value {
    let born = u32::try_from(number.saturating_sub(10).div_ceil(3)).unwrap();
    let changed = (born..=month).rev().find(|at| *at == born || number % 4 == *at as usize).unwrap();
    json!({
        "contact_id": id(number), "first_name": format!("in month {changed}"),
        "created_at": format!("2026-{:02}-10T00:00:00Z", born + 1),
        "updated_at": format!("2026-{:02}-10T00:00:00Z", changed + 1),
        "taggings": [id(100 + number), id(200)],
    })
}

/// Contacts of a month that changed after an instant, those that cannot be used too.
fn contacts(month: u32, mood: Mood, after: &str) -> Vec<Value> {
    let mut all: Vec<Value> = (0..=10 + 3 * month as usize).map(|number| contact(number, month)).collect();
    all.push(json!({"contact_id": null, "first_name": "nobody", "updated_at": "2026-01-10T00:00:00Z"}));
    if mood == Mood::Keyless {
        for contact in &mut all {
            contact["contact_id"] = Value::Null;
            contact["updated_at"] = json!(format!("2026-{:02}-20T11:58:00Z", month + 1));
        }
    }
    all.retain(|contact| contact["updated_at"].as_str().unwrap() > after);
    all
}

async fn answer(State(shown): State<Arc<Mutex<Shown>>>, request: Request) -> Response<Body> {
    let (month, mood) = {
        let shown = shown.lock().unwrap();
        (shown.month, shown.mood)
    };
    let query = request.uri().query().unwrap_or_default().replace("%3A", ":");
    let param = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let refusal = |status: u16, key: &str| (status, json!({"error_key": key, "error_message": "No."}));
    let path = request.uri().path().trim_start_matches("/v3/").to_owned();
    let (status, body) = if path == "contacts" {
        let (start, after) = match param("cursor").and_then(|cursor| cursor.split_once('~')) {
            Some((start, after)) => (start.parse().unwrap(), after.to_owned()),
            None => (0_usize, param("updated_after").unwrap_or_default().to_owned()),
        };
        let found = if param("optout_after").is_some() { Vec::new() } else { contacts(month, mood, &after) };
        let mut page = json!({"contacts": found.iter().skip(start).take(PAGE).collect::<Vec<_>>()});
        if param("include_count").is_some() {
            page["contacts_count"] = json!(found.len());
        }
        if start + PAGE < found.len() {
            page["_links"] = json!({"next": {"href": format!("/v3/contacts?cursor={}~{after}", start + PAGE)}});
        }
        if mood == Mood::UsedUp && start > 0 { refusal(429, "quota_exceeded") } else { (200, page) }
    } else if let Some(of) = path.strip_prefix("reports/contact_reports/").and_then(|path| path.split('/').next()) {
        let event = |at: u32| {
            let time = format!("2026-{:02}-10T00:00:00Z", at + 1);
            json!({"contact_id": of, "tracking_activity_type": "em_sends", "created_time": time})
        };
        match (of == id(0), mood) {
            (_, Mood::UsedUp) => refusal(429, "quota_exceeded"),
            (true, _) if month < 2 => refusal(400, "bad"),
            _ => (200, json!({"tracking_activities": (0..=month).rev().map(event).collect::<Vec<_>>()})),
        }
    } else {
        refusal(404, "not_found")
    };
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}
