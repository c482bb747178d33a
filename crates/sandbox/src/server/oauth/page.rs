//! The pages that people see. Elements have ids, so that tests can drive a browser through them.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use super::ACTIVATE_PATH;
use crate::user::User;

/// Asks whether the application may read an account. The form goes to the page's own address, query included.
pub(super) fn consent(users: u32, scopes: &[String]) -> Response {
    let scopes: Vec<String> = scopes.iter().map(|scope| format!("<li>{}</li>\n", escaped(scope))).collect();
    let body = format!(
        "<p>An application asks for:</p>\n<ul id=\"scopes\">\n{}</ul>\n<form method=\"post\">\n{}</form>\n",
        scopes.concat(),
        choice(users)
    );
    page(StatusCode::OK, "Sign in to the sandbox", &body)
}

/// Asks for the code that a device shows.
pub(super) fn activation(users: u32, user_code: &str) -> Response {
    let body = format!(
        "<form method=\"post\" action=\"{ACTIVATE_PATH}\">\n<p><label>Code on the device \
         <input id=\"user_code\" name=\"user_code\" value=\"{}\" autocomplete=\"off\" required></label></p>\n{}</form>\n",
        escaped(user_code),
        choice(users)
    );
    page(StatusCode::OK, "Connect a device to the sandbox", &body)
}

/// Says one thing.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    page(status, title, &format!("<p id=\"message\">{}</p>\n", escaped(text)))
}

/// Who allows it, or not.
fn choice(users: u32) -> String {
    let options: Vec<String> = (0..users)
        .map(|number| format!("<option value=\"{number}\">{}</option>\n", escaped(&User(number).email())))
        .collect();
    format!(
        "<p><label>Account <select id=\"user\" name=\"user\">\n{}</select></label></p>\n\
         <button id=\"allow\" name=\"decision\" value=\"allow\">Allow</button>\n\
         <button id=\"deny\" name=\"decision\" value=\"deny\">Deny</button>\n",
        options.concat()
    )
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escaped(title);
    let text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Text escaped for HTML, attributes included.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
