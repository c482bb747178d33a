//! Metrics to a collector by OTLP over HTTP, in JSON, pushed once at the end of a run (OpenTelemetry specification,
//! OTLP 1.x: `POST <endpoint>/v1/metrics`, `application/json`; keys in camel case, 64-bit integers as text).

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use url::Url;

use super::{Sample, samples};
use crate::after_run::push::{PushError, post};
use crate::context::Context;
use crate::document::Otlp;
use crate::summary::RunSummary;

/// Names this program to collectors.
const SERVICE: &str = "ctct-etl";

/// Sends the numbers of a run.
///
/// # Errors
/// The collector did not take them, or a header has no value that can be sent.
pub(super) async fn push(collector: &Otlp, context: &Context, summary: &RunSummary) -> Result<(), PushError> {
    let setup = |reason: &str| PushError::Setup(reason.to_owned());
    let named = collector.headers(&context.environment, &context.base_dir);
    let mut headers = HeaderMap::new();
    for (name, value) in named.map_err(|error| setup(&error.to_string()))? {
        let name = HeaderName::try_from(&name).map_err(|_| setup("a header's name cannot be sent"))?;
        let value = HeaderValue::from_str(value.expose_secret());
        let mut value = value.map_err(|_| setup("a header's value cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let body = Bytes::from(request(summary, context.clock.now()).to_string());
    post(&metrics_url(&collector.endpoint), "application/json", headers, body).await
}

/// `<endpoint>/v1/metrics`.
fn metrics_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}/v1/metrics", endpoint.path().trim_end_matches('/')));
    url
}

/// An `ExportMetricsServiceRequest`. All metrics are gauges.
fn request(summary: &RunSummary, now: chrono::DateTime<chrono::Utc>) -> Value {
    let time = now.timestamp_nanos_opt().unwrap_or_default().to_string();
    let point = |Sample { report, value }: Sample| {
        let mut attributes = vec![text("pipeline", &summary.pipeline), text("account", &summary.account)];
        attributes.extend(report.map(|report| text("report", &report)));
        json!({"attributes": attributes, "timeUnixNano": time, "asDouble": value})
    };
    let metrics = samples(summary).into_iter().filter(|(_, samples)| !samples.is_empty()).map(|(metric, samples)| {
        let points: Vec<Value> = samples.into_iter().map(point).collect();
        json!({
            "name": metric.name, "description": metric.help, "unit": metric.unit, "gauge": {"dataPoints": points},
        })
    });
    let metrics: Vec<Value> = metrics.collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({"resourceMetrics": [{
        "resource": {"attributes": [text("service.name", SERVICE), text("service.version", version)]},
        "scopeMetrics": [{"scope": {"name": SERVICE, "version": version}, "metrics": metrics}],
    }]})
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
