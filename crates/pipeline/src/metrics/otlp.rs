//! Metrics to a collector by OTLP over HTTP, in protobuf, pushed once at the end of a run (OpenTelemetry specification,
//! OTLP 1.x: `POST <endpoint>/v1/metrics`, `application/x-protobuf`).

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric as OtlpMetric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use url::Url;

use super::{Sample, samples};
use crate::document::Otlp;
use crate::push::{PushError, post};
use crate::run::Context;
use crate::summary::RunSummary;

/// Names this program to collectors.
const SERVICE: &str = "ctct-etl";

/// Sends the numbers of a run.
///
/// # Errors
/// They did not arrive, or a header's value is not to be had.
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
    let body = Bytes::from(request(summary, context.clock.now()).encode_to_vec());
    post(&metrics_url(&collector.endpoint), "application/x-protobuf", headers, body).await
}

/// `<endpoint>/v1/metrics`.
fn metrics_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    url.set_path(&format!("{}/v1/metrics", endpoint.path().trim_end_matches('/')));
    url
}

fn request(summary: &RunSummary, now: chrono::DateTime<chrono::Utc>) -> ExportMetricsServiceRequest {
    let time_unix_nano = now.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default();
    let point = |Sample { report, value }: Sample| {
        let mut attributes = vec![text("pipeline", &summary.pipeline), text("account", &summary.account)];
        attributes.extend(report.map(|report| text("report", &report)));
        let value = Some(number_data_point::Value::AsDouble(value));
        NumberDataPoint { attributes, time_unix_nano, value, ..NumberDataPoint::default() }
    };
    let metrics = samples(summary).into_iter().filter(|(_, samples)| !samples.is_empty()).map(|(metric, samples)| {
        let data_points = samples.into_iter().map(point).collect();
        OtlpMetric {
            name: metric.name.to_owned(),
            description: metric.help.to_owned(),
            unit: metric.unit.to_owned(),
            data: Some(metric::Data::Gauge(Gauge { data_points })),
            ..OtlpMetric::default()
        }
    });
    let version = env!("CARGO_PKG_VERSION");
    let scope = InstrumentationScope {
        name: SERVICE.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope), metrics: metrics.collect(), ..ScopeMetrics::default() }];
    let attributes = vec![text("service.name", SERVICE), text("service.version", version)];
    let resource = Some(Resource { attributes, ..Resource::default() });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}
