//! The log: one line per thing that happened, on standard error, for machines (JSON) or people.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::args::LogFormat;

/// kube logs every failed request as an error of its own. Ours are logged once, by whoever sent them.
const QUIET: [&str; 3] = [
    "kube_client::client::builder=off",
    "kube_client::client=error",
    "kube_runtime::watcher=error",
];

/// Starts the log. Panics are logged too, like everything else.
///
/// # Errors
/// The filter is not one; call it once only, a second call changes nothing.
pub fn start(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let mut env = EnvFilter::try_new(filter)?;
    for directive in QUIET {
        env = env.add_directive(directive.parse()?);
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(env)
        .with_writer(std::io::stderr);
    // An error only says that a log was started before.
    let _started = match format {
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
        LogFormat::Text => log.try_init(),
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
