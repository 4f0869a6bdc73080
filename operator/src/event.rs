//! Events on tasks: one per decision, best effort. A failure to publish is logged and never fails a pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hosttask_crds::{GROUP, VERSION};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::desired::TaskKey;
use crate::plan::Note;

/// Who publishes the events.
pub const CONTROLLER: &str = "hosttask.dev/operator";
/// What was being done: the field must not be empty, and nothing shows it.
const ACTION: &str = "Reconcile";
/// The API server's limit for the text of an event, in bytes.
const MAX_NOTE: usize = 1_024;
/// For how long an equal event is counted up instead of published again. The recorder forgets it after the same time.
const SERIES: Duration = Duration::from_mins(6);

/// What makes two events the same, except for their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    task_uid: String,
    reason: &'static str,
    node: Option<String>,
}

struct Series {
    note: String,
    recorder: Recorder,
    last: Instant,
}

/// Publishes events.
///
/// kube's recorder counts an event up when everything but its text is equal, and keeps the first text: the second
/// rollout within minutes would show the revision of the first. So each text has a recorder of its own.
pub struct Events {
    client: Client,
    reporter: Reporter,
    series: Mutex<BTreeMap<Subject, Series>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("reporter", &self.reporter)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Events in the name of this replica.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            client,
            reporter,
            series: Mutex::default(),
        }
    }

    /// Publishes one event on a task.
    pub async fn publish(&self, key: &TaskKey, uid: &str, note: &Note) {
        let text = shorten(&note.note);
        let event = Event {
            type_: if note.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: note.reason.as_str().to_owned(),
            note: Some(text.clone()),
            action: ACTION.to_owned(),
            secondary: note.node.as_deref().map(node_reference),
        };
        let subject = Subject {
            task_uid: uid.to_owned(),
            reason: note.reason.as_str(),
            node: note.node.clone(),
        };
        let recorder = self.recorder(subject, &text, Instant::now());
        if let Err(error) = recorder.publish(&event, &task_reference(key, uid)).await {
            let error = crate::error::chain(&error);
            tracing::warn!(reason = note.reason.as_str(), %error, "Failed to publish an Event");
        }
    }

    /// The recorder that published this text, or a fresh one.
    fn recorder(&self, subject: Subject, text: &str, now: Instant) -> Recorder {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|_, s| now.saturating_duration_since(s.last) < SERIES);
        match series.get_mut(&subject) {
            Some(known) if known.note == text => {
                known.last = now;
                known.recorder.clone()
            }
            _ => {
                let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
                series.insert(
                    subject,
                    Series {
                        note: text.to_owned(),
                        recorder: recorder.clone(),
                        last: now,
                    },
                );
                recorder
            }
        }
    }
}

/// At most [`MAX_NOTE`] bytes, cut between characters.
fn shorten(text: &str) -> String {
    if text.len() <= MAX_NOTE {
        return text.to_owned();
    }
    let mut short = String::with_capacity(MAX_NOTE);
    for c in text.chars() {
        if short.len() + c.len_utf8() + '…'.len_utf8() > MAX_NOTE {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

fn task_reference(key: &TaskKey, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(format!("{GROUP}/{VERSION}")),
        kind: Some("WindowsHostTask".into()),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

fn node_reference(node: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Node".into()),
        name: Some(node.to_owned()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosttask_crds::Reason;
    use http::{Request, Response};
    use kube::client::Body;
    use std::sync::Arc;

    type Log = Arc<Mutex<Vec<(String, serde_json::Value)>>>;

    fn events() -> (Events, Log) {
        let log = Log::default();
        let server = {
            let log = Arc::clone(&log);
            tower::service_fn(move |request: Request<Body>| {
                let log = Arc::clone(&log);
                async move {
                    let method = request.method().to_string();
                    let body = request.into_body().collect_bytes().await?;
                    log.lock()
                        .unwrap()
                        .push((method, serde_json::from_slice(&body).unwrap()));
                    Ok::<_, kube::Error>(Response::new(Body::from(body)))
                }
            })
        };
        (Events::new(Client::new(server, "default"), "pod-1"), log)
    }

    fn note(text: &str, node: Option<&str>) -> Note {
        Note {
            warning: false,
            reason: Reason::RolloutStarted,
            note: text.into(),
            node: node.map(Into::into),
        }
    }

    fn key() -> TaskKey {
        TaskKey {
            namespace: "monitoring".into(),
            name: "exporter".into(),
        }
    }

    #[tokio::test]
    async fn the_same_event_is_counted_up_and_one_with_another_text_or_node_is_published() {
        let (events, log) = events();
        for (text, node) in [
            ("to a", None),
            ("to a", None),
            ("to b", None),
            ("to b", Some("win-1")),
        ] {
            events.publish(&key(), "u1", &note(text, node)).await;
        }
        let log = log.lock().unwrap();
        let seen: Vec<_> = log
            .iter()
            .map(|(method, body)| (method.as_str(), body["note"].as_str().unwrap()))
            .collect();
        assert_eq!(
            seen,
            [
                ("POST", "to a"),
                ("PATCH", "to a"),
                ("POST", "to b"),
                ("POST", "to b")
            ]
        );
        assert_eq!(log[1].1["series"]["count"], 2);
        assert_eq!(log[3].1["related"]["name"], "win-1");
        assert_eq!(log[0].1["regarding"]["uid"], "u1");
    }

    #[test]
    fn a_long_text_is_cut_to_the_limit_in_bytes() {
        let short = shorten(&"ü".repeat(2_000));
        assert!(
            short.len() <= MAX_NOTE && short.len() > MAX_NOTE - 4,
            "{}",
            short.len()
        );
        assert_eq!(shorten("short"), "short");
    }
}
