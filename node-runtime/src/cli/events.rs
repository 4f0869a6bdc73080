//! `events`: what happens to a container until it is deleted.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::arguments::{Events, Output};
use super::context::Context;
use super::error::CommandError;
use super::output;
use crate::id::Id;
use crate::keeper::client::Client;
use crate::keeper::protocol::{LONGEST_WAIT_MS, Request};

/// A line, as OCI runtimes print events.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// What it is: the kind of an event, or `stats`.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The container.
    id: &'a Id,
    /// The whole event, or what was used.
    data: &'a Value,
}

/// `events`. Ends when the container is deleted, or when nobody reads.
pub(super) fn events(context: &Context, command: &Events) -> Result<u32, CommandError> {
    let mut client = context.keeper(&command.id)?;
    if command.stats {
        show_usage(context, &mut client, &command.id)?;
        return Ok(0);
    }
    let interval = command
        .interval
        .map(|it| it.0.max(Duration::from_millis(100)));
    let mut due = interval.map(|_| Instant::now());
    loop {
        if due.is_some_and(|at| at <= Instant::now()) {
            show_usage(context, &mut client, &command.id)?;
            due = interval.map(|interval| Instant::now() + interval);
        }
        let round = Duration::from_millis(LONGEST_WAIT_MS);
        let left = due.map(|it| it.saturating_duration_since(Instant::now()));
        let wait = left.map_or(round, |left| left.min(round));
        let request = Request::NextEvent {
            timeout_ms: u64::try_from(wait.as_millis()).unwrap_or(LONGEST_WAIT_MS),
        };
        let event: Option<Value> = client.ask(&request, wait)?;
        let Some(event) = event else { continue };
        let kind = event.get("kind").and_then(Value::as_str).unwrap_or("event");
        show(context, &command.id, kind, &event)?;
        if kind == "deleted" {
            return Ok(0);
        }
    }
}

fn show_usage(context: &Context, client: &mut Client, id: &Id) -> Result<(), CommandError> {
    let usage: Value = client.ask_now(&Request::Usage)?;
    show(context, id, "stats", &usage)
}

fn show(context: &Context, id: &Id, kind: &str, data: &Value) -> Result<(), CommandError> {
    let shown = match context.output(Output::Json) {
        Output::Json => output::json_line(&Line { kind, id, data }),
        Output::Table => {
            let at = data.get("at").and_then(Value::as_str).unwrap_or_default();
            output::stream_line(&format!("{at} {kind} {}", details(data)))
        }
    };
    shown.map_err(CommandError::Print)
}

/// What else an event says, as `name=value`.
fn details(data: &Value) -> String {
    let fields = data.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !matches!(name.as_str(), "at" | "kind"));
    let words: Vec<String> = fields
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_says_what_it_has_beside_its_time_and_kind() {
        let event = json!({"at": "now", "kind": "started", "pid": 7});
        assert_eq!(details(&event), "pid=7");
    }
}
