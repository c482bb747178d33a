//! Log lines as JSON: one flat object per line. The fields of a line are its own and those of every span around it, the
//! run's, the report's and the page's, each once; where two have the same name, the inner one holds.

use std::fmt;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as flat JSON. Goes with [`JsonFields`], in which the fields of spans are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatJson;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for FlatJson {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = begun(event.metadata().level().as_str());
        line.insert("target".to_owned(), event.metadata().target().into());
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            // What the formatter wrote is an object; a span without fields has none.
            let fields = fields.and_then(|fields| serde_json::from_str::<Map<String, Value>>(&fields.fields).ok());
            line.extend(fields.unwrap_or_default());
        }
        event.record(&mut Fields(&mut line));
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// A line with its time and level.
fn begun(level: &str) -> Map<String, Value> {
    let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let fields = [("timestamp", timestamp.as_str()), ("level", level)];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// A line of this program that is none of its log's, in the same form.
pub(crate) fn line(level: &str, message: &str, fields: impl IntoIterator<Item = (&'static str, Value)>) -> String {
    let mut line = begun(level);
    line.insert("message".to_owned(), message.into());
    line.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(line).to_string()
}

/// Adds the fields of an event to a line.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{error_span, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn fields_of_spans_are_flat_and_stand_once() {
        let captured = Captured::default();
        let writer = captured.clone();
        let lines = tracing_subscriber::fmt().fmt_fields(JsonFields::new()).event_format(FlatJson);
        let lines = lines.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(lines, || {
            let run = error_span!("run", run_id = "r1", account = "acme").entered();
            let report = error_span!("report", report = "contacts", window_from = tracing::field::Empty);
            report.record("window_from", "2026-01-01T00:00:00Z");
            report.in_scope(|| {
                info!(report = "contacts", rows = 3_u64, "read");
                error_span!("page", page = 2_u32).in_scope(|| warn!(ok = false, said = ?"a \"b\"", "odd\nline"));
            });
            drop(run);
            info!("outside");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [read, odd, outside] = lines.as_slice() else { panic!("{text}") };
        let shown = |line: &str| {
            let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
            let timestamp = line.remove("timestamp").unwrap();
            assert!(timestamp.as_str().unwrap().parse::<chrono::DateTime<Utc>>().is_ok(), "{timestamp}");
            line.remove("target");
            Value::Object(line)
        };
        assert_eq!(read.matches("\"report\"").count(), 1);
        assert_eq!(
            shown(read),
            serde_json::json!({
                "level": "INFO", "run_id": "r1", "account": "acme", "report": "contacts",
                "window_from": "2026-01-01T00:00:00Z", "rows": 3, "message": "read",
            })
        );
        assert_eq!(
            shown(odd),
            serde_json::json!({
                "level": "WARN", "run_id": "r1", "account": "acme", "report": "contacts",
                "window_from": "2026-01-01T00:00:00Z", "page": 2, "ok": false, "said": "\"a \\\"b\\\"\"",
                "message": "odd\nline",
            })
        );
        assert_eq!(shown(outside), serde_json::json!({"level": "INFO", "message": "outside"}));
    }
}
