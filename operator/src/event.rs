//! Events on tasks: one per decision, best effort. A failure to publish is logged and never fails a pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hosttask_crds::{GROUP, VERSION};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::desired::TaskKey;
use crate::plan::Note;

/// Who publishes the events.
pub const CONTROLLER: &str = "hosttask.dev/operator";
/// What was being done: the field must not be empty, and nothing shows it.
const ACTION: &str = "Reconcile";
/// The API server's limit for the text of an event, in bytes.
const MAX_NOTE: usize = 1_024;
/// The API server's limit for the name of an object.
const MAX_NAME: usize = 253;
/// For how long an equal event is counted up instead of published again.
const SERIES: Duration = Duration::from_mins(6);

/// What makes two events the same, except for their text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    task_uid: String,
    reason: &'static str,
    node: Option<String>,
}

/// An event that was published: an equal one within [`SERIES`] is counted up in it.
#[derive(Clone, Debug)]
struct Series {
    note: String,
    /// The name of the Event object.
    name: String,
    count: i32,
    last: Instant,
}

/// Publishes events.
///
/// By hand, not with kube's recorder: that one names each event after the whole name of the task, which leaves none for a task
/// whose name has more than 236 characters, and it keeps the first text of events that differ only in their text.
pub struct Events {
    client: Client,
    instance: String,
    clock: fn() -> Timestamp,
    series: Mutex<BTreeMap<Subject, Series>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// Events in the name of this replica. `clock` tells the time of day.
    pub fn new(client: Client, instance: &str, clock: fn() -> Timestamp) -> Self {
        Self {
            client,
            instance: instance.to_owned(),
            clock,
            series: Mutex::default(),
        }
    }

    /// Publishes one event on a task.
    pub async fn publish(&self, key: &TaskKey, uid: &str, note: &Note) {
        if let Err(error) = self.try_publish(key, uid, note).await {
            let error = crate::error::chain(&error);
            tracing::warn!(reason = note.reason.as_str(), %error, "Failed to publish an Event");
        }
    }

    async fn try_publish(&self, key: &TaskKey, uid: &str, note: &Note) -> Result<(), kube::Error> {
        let (text, now) = (shorten(&note.note), (self.clock)());
        let subject = Subject {
            task_uid: uid.to_owned(),
            reason: note.reason.as_str(),
            node: note.node.clone(),
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &key.namespace);
        if let Some((name, count)) = self.again(&subject, &text) {
            let series =
                json!({ "series": { "count": count, "lastObservedTime": MicroTime(now) } });
            match api
                .patch(&name, &PatchParams::default(), &Patch::Merge(series))
                .await
            {
                // Kubernetes keeps events for an hour, or for less.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                result => return result.map(drop),
            }
        }
        let name = event_name(&key.name, now);
        let event = self.event(&name, key, uid, note, &text, now);
        api.create(&PostParams::default(), &event).await?;
        let published = Series {
            note: text,
            name,
            count: 1,
            last: Instant::now(),
        };
        self.series().insert(subject, published);
        Ok(())
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<Subject, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event that published this text already, and how often it was with this time.
    fn again(&self, subject: &Subject, text: &str) -> Option<(String, i32)> {
        let (now, mut all) = (Instant::now(), self.series());
        all.retain(|_, series| now.saturating_duration_since(series.last) < SERIES);
        let known = all.get_mut(subject).filter(|known| known.note == text)?;
        known.count = known.count.saturating_add(1);
        known.last = now;
        Some((known.name.clone(), known.count))
    }

    fn event(
        &self,
        name: &str,
        key: &TaskKey,
        uid: &str,
        note: &Note,
        text: &str,
        now: Timestamp,
    ) -> Event {
        Event {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(ACTION.to_owned()),
            reason: Some(note.reason.as_str().to_owned()),
            note: Some(text.to_owned()),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(task_reference(key, uid)),
            related: note.node.as_deref().map(node_reference),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }
}

/// The name of an event on a task: as much of the task's name as there is room for, and the time.
fn event_name(task: &str, now: Timestamp) -> String {
    let time = format!("{:x}", now.as_nanosecond());
    let room = MAX_NAME.saturating_sub(time.len() + 1);
    // The name of a task has nothing but ASCII characters.
    let kept = task
        .get(..room)
        .unwrap_or(task)
        .trim_end_matches(['.', '-']);
    format!("{kept}.{time}")
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
        (
            Events::new(Client::new(server, "default"), "pod-1", Timestamp::now),
            log,
        )
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
            .map(|(method, body)| (method.as_str(), body["note"].as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("POST", Some("to a")),
                ("PATCH", None),
                ("POST", Some("to b")),
                ("POST", Some("to b"))
            ]
        );
        assert_eq!(log[1].1["series"]["count"], 2);
        assert_eq!(log[3].1["related"]["name"], "win-1");
        assert_eq!(log[0].1["regarding"]["uid"], "u1");
    }

    #[test]
    fn the_name_of_an_event_has_room_for_the_longest_name_of_a_task() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(event_name("exporter", now), "exporter.18fae27693b40000");
        let mut long = "a".repeat(235);
        long.push('.');
        long.push_str(&"b".repeat(17));
        let name = event_name(&long, now);
        assert_eq!(name.len(), 252, "the dot at the end is gone");
        assert!(crate::validate::name::is_subdomain(&name), "{name}");
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
