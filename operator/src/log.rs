//! The log: one line per thing that happened, on standard error, for machines (JSON) or people.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::LogFormat;

/// kube logs every failed request as an error of its own. Ours are logged once, by whoever sent them.
const QUIET: [&str; 2] = [
    "kube_client::client::builder=off",
    "kube_client::client=error",
];

/// Starts the log. Panics are logged too, like everything else. A second call changes nothing.
///
/// # Errors
/// The filter is not one.
pub fn start(format: LogFormat, filter: &str, clock: fn() -> Timestamp) -> Result<(), ParseError> {
    let mut env = EnvFilter::try_new(filter)?;
    for directive in QUIET {
        env = env.add_directive(directive.parse()?);
    }
    let registry = tracing_subscriber::registry().with(env);
    // An error only says that a log was started before.
    let _started = match format {
        LogFormat::Json => registry
            .with(Lines {
                clock,
                write: |line: String| eprint(&line),
            })
            .try_init(),
        LogFormat::Text => registry
            .with(fmt::layer().with_writer(std::io::stderr))
            .try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, text, "Panicked");
    }));
    Ok(())
}

/// One write for the whole line, so that lines of several threads do not mix.
fn eprint(line: &str) {
    use std::io::Write as _;
    // Where nobody reads the log any more there is nobody to tell.
    let _lost = std::io::stderr().lock().write_all(line.as_bytes());
}

/// JSON lines with the keys that Kubernetes components use: `ts`, `level`, `msg`, and the fields of the pass (`namespace`, `name`,
/// `reconcileID`, …) beside them, so that a line can be searched for without knowing what surrounds it.
struct Lines<W> {
    clock: fn() -> Timestamp,
    write: W,
}

/// Fields in the order in which they were recorded.
#[derive(Clone, Debug, Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        let _infallible = write!(text, "{value:?}");
        self.0.insert(field.name().to_owned(), text.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(String) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut own = Fields::default();
        event.record(&mut own);
        let mut line = Map::new();
        line.insert("ts".into(), format!("{:.6}", (self.clock)()).into());
        line.insert(
            "level".into(),
            event
                .metadata()
                .level()
                .as_str()
                .to_ascii_lowercase()
                .into(),
        );
        line.insert("msg".into(), own.0.remove("message").unwrap_or_default());
        line.insert("logger".into(), event.metadata().target().into());
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.extend(fields.0.clone());
            }
        }
        line.extend(own.0);
        (self.write)(format!("{}\n", Value::Object(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_line_has_the_keys_of_kubernetes_and_the_fields_of_its_pass() {
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let write = {
            let lines = Arc::clone(&lines);
            move |line: String| {
                lines
                    .lock()
                    .unwrap()
                    .push(serde_json::from_str(&line).unwrap());
            }
        };
        let clock = || Timestamp::from_second(1_800_000_000).unwrap();
        let subscriber = tracing_subscriber::registry().with(Lines { clock, write });
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(
                "reconcile",
                name = "exporter",
                generation = tracing::field::Empty
            );
            let _entered = span.enter();
            span.record("generation", 7);
            tracing::warn!(
                cause = "Throttled",
                "Failed to reconcile the WindowsHostTask"
            );
        });
        let expected = serde_json::json!({
            "ts": "2027-01-15T08:00:00.000000Z",
            "level": "warn",
            "msg": "Failed to reconcile the WindowsHostTask",
            "logger": "hosttask_operator::log::tests",
            "name": "exporter",
            "generation": 7,
            "cause": "Throttled",
        });
        assert_eq!(*lines.lock().unwrap(), [expected]);
    }
}
