//! Log: `tracing` events as one flat JSON object a line, or as text for people.
//!
//! In: events and the fields of the spans around them. Out: `{"level":"info","msg":…,fields…,"time":…}`.
//! Never: nesting, ANSI colours, or a line that is not one JSON object.
//!
//! The stock JSON layer writes `INFO`, `message` and a nested `fields`; operators were promised the shape above,
//! so the layer is our own. It is small because `serde_json` does the escaping.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber, span};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::model::chain;

/// Names the line's own fields have; an event's field of such a name gets `field_` before it.
const RESERVED: [&str; 3] = ["level", "msg", "time"];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for people.
    Text,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error(
        "log filter {filter:?}: {source}; write a level (`info`) or directives (`info,sluice::collect=debug`)"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber was installed before.
    #[error("logging is already set up in this process: {0}")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Installs the process' logging, on standard error: `filter` is a level or a list of directives.
pub fn init(format: LogFormat, filter: &str) -> Result<(), Error> {
    let parsed =
        EnvFilter::try_new(filter).map_err(|source| Error::Filter { filter: filter.to_owned(), source })?;
    let registry = tracing_subscriber::registry().with(quieter(parsed, filter));
    let installed = match format {
        LogFormat::Json => registry.with(JsonLines::new(io::stderr, jiff::Timestamp::now)).try_init(),
        LogFormat::Text => {
            let text = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false);
            registry.with(text.with_writer(io::stderr)).try_init()
        }
    };
    installed.map_err(Error::AlreadySet)
}

/// The client of the API server writes every answer that it cannot read into the log, whole: with every tenant's
/// resources, at every attempt. What is wrong is in its error, which we log ourselves.
fn quieter(parsed: EnvFilter, filter: &str) -> EnvFilter {
    const CLIENT: &str = "kube_client::client";
    match (filter.contains("kube_client"), format!("{CLIENT}=error").parse()) {
        (false, Ok(directive)) => parsed.add_directive(directive),
        _ => parsed,
    }
}

/// The layer that writes JSON lines.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    now: fn() -> jiff::Timestamp,
}

impl<W> JsonLines<W> {
    /// Writes each line to a writer of its own from `writer`, in one call; `now` gives the line's time.
    pub fn new(writer: W, now: fn() -> jiff::Timestamp) -> JsonLines<W> {
        JsonLines { writer, now }
    }
}

/// Fields in order of arrival; a later field of the same name replaces the earlier one.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    rest: Vec<(&'static str, Value)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match self.rest.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.rest.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = Some(format!("{value:?}")),
            _ => self.put(field, Value::String(format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = Some(value.to_owned()),
            _ => self.put(field, Value::from(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    /// JSON has no NaN and no infinity: those are written as text.
    fn record_f64(&mut self, field: &Field, value: f64) {
        let number = serde_json::Number::from_f64(value);
        self.put(field, number.map_or_else(|| Value::String(value.to_string()), Value::Number));
    }

    /// An error is told with all its causes.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, Value::String(chain(value)));
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(outer) = span.extensions().get::<Fields>() {
                for (name, value) in &outer.rest {
                    fields.rest.retain(|(n, _)| n != name);
                    fields.rest.push((name, value.clone()));
                }
            }
        }
        event.record(&mut fields);
        let line = line(event.metadata().level(), &fields, (self.now)());
        // Where a log line cannot be written there is nowhere left to say so.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(line.as_bytes());
    }
}

fn line(level: &tracing::Level, fields: &Fields, now: jiff::Timestamp) -> String {
    let message = Value::from(fields.message.as_deref().unwrap_or_default());
    let mut out = String::with_capacity(160);
    let _ = write!(out, r#"{{"level":"{}","msg":{message}"#, level.as_str().to_ascii_lowercase());
    for (name, value) in &fields.rest {
        let escape = if RESERVED.contains(name) { "field_" } else { "" };
        let _ = write!(out, ",{}:{value}", Value::String(format!("{escape}{name}")));
    }
    let _ = writeln!(out, r#","time":"{now:.3}"}}"#);
    out
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `log` writes, as text.
    fn logged(log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let at = || jiff::Timestamp::from_millisecond(1_435_781_451_781).unwrap();
        let layer = JsonLines::new(move || writer.clone(), at);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_documented_line_has_exactly_the_documented_shape() {
        let line = logged(|| {
            let (namespace, name, count) = ("webapp-team", "webapp-metrics", 1250);
            tracing::info!(
                namespace,
                name,
                count,
                targets_used = 3,
                "Collected metrics for remote write job"
            );
        });
        assert_eq!(
            line,
            concat!(
                r#"{"level":"info","msg":"Collected metrics for remote write job","namespace":"webapp-team","#,
                r#""name":"webapp-metrics","count":1250,"targets_used":3,"time":"2015-07-01T20:10:51.781Z"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn whatever_is_logged_is_one_json_object_on_one_line() {
        let nasty = "a \"quote\", a \\ and\na line break \u{1}";
        let line = logged(|| {
            tracing::error!(nasty, level = "mine", ratio = f64::NAN, half = 0.5, debug = ?Some(1), "{nasty}");
        });
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["field_level"], "mine");
        assert_eq!(value["msg"], nasty);
        assert_eq!(value["nasty"], nasty);
        assert_eq!(value["ratio"], "NaN");
        assert_eq!(value["half"], 0.5);
        assert_eq!(value["debug"], "Some(1)");
    }

    #[test]
    fn fields_of_spans_stand_beside_the_events_own_and_the_inner_one_wins() {
        let line = logged(|| {
            let outer = tracing::info_span!("tenant", namespace = "a", name = "outer").entered();
            let inner = tracing::info_span!("tick", name = "inner", late = tracing::field::Empty).entered();
            inner.record("late", true);
            tracing::warn!(count = 1, "tick not delivered");
            drop((inner, outer));
        });
        let expected = r#""namespace":"a","name":"inner","late":true,"count":1,"time""#;
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn the_api_servers_client_repeats_no_answers_unless_it_is_asked_for() {
        let said = |filter: &str| quieter(EnvFilter::new(filter), filter).to_string();
        assert!(said("info").contains("kube_client::client=error"), "{}", said("info"));
        assert!(!said("kube_client=debug").contains("error"), "{}", said("kube_client=debug"));
    }

    #[test]
    fn an_error_is_logged_with_its_causes() {
        let cause = io::Error::other("connection refused");
        let error = Error::Filter { filter: "x".into(), source: EnvFilter::try_new("a=b=c").unwrap_err() };
        let line = logged(|| tracing::warn!(error = &cause as &(dyn std::error::Error + 'static), "failed"));
        assert!(line.contains(r#""error":"connection refused""#), "{line}");
        assert!(error.to_string().starts_with("log filter \"x\": "));
    }
}
