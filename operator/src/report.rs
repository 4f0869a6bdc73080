//! `report`: writes a task's status when it says something new, and not more often than anybody could read it.
//!
//! The status is written as a JSON merge patch that is the difference to the status it was decided on, guarded by the
//! resource version. A removed field is an explicit null in it, so `failures` and `Stalled` really go away. (Server-side
//! apply would remove them too, but it stores the ownership of every field in the object, twice the size of the status,
//! and has no guard: a status decided on an old spec could overwrite that of a newer one.)

use std::time::Duration;

use hosttask_crds::task::{WindowsHostTask, WindowsHostTaskStatus};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Map, Value, json};

use crate::desired::TaskKey;

/// The shortest time between two writes of a status that differ in counters only.
pub const DEBOUNCE: Duration = Duration::from_secs(5);

/// The status could not be written.
#[expect(
    clippy::error_impl_error,
    reason = "one Error per step; the module is part of its name"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take it.
    #[error("failed to write the status of {key}")]
    Write {
        /// The task.
        key: TaskKey,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Error {
    /// The client's error.
    pub fn client_error(&self) -> &kube::Error {
        match self {
            Self::Write { source, .. } => source,
        }
    }
}

/// What to do about a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It says what is stored.
    Keep,
    /// Write it now.
    Write,
    /// Look again after this time: it can wait.
    Later(Duration),
}

/// What to do about `next`, given what is stored and how long ago it was written by us.
///
/// A change of conditions, generation, revisions or failures is written at once. Mere counters wait for [`DEBOUNCE`].
pub fn decide(
    stored: &WindowsHostTaskStatus,
    next: &WindowsHostTaskStatus,
    since: Option<Duration>,
) -> Verdict {
    let (stored, next) = (comparable(stored), comparable(next));
    if stored == next {
        return Verdict::Keep;
    }
    match since {
        Some(since) if since < DEBOUNCE && telling(stored) == telling(next) => {
            Verdict::Later(DEBOUNCE.saturating_sub(since))
        }
        _ => Verdict::Write,
    }
}

/// The status as JSON without what changes when nothing else does.
fn comparable(status: &WindowsHostTaskStatus) -> Map<String, Value> {
    let Ok(Value::Object(mut map)) = serde_json::to_value(status) else {
        return Map::new();
    };
    let conditions = map.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    map
}

/// The part of a comparable status that somebody may be waiting for.
fn telling(mut status: Map<String, Value>) -> Map<String, Value> {
    status.retain(|field, _| !field.ends_with("Nodes") && field != "lastProgressTime");
    if let Some(wave) = status.get_mut("wave").and_then(Value::as_object_mut) {
        wave.remove("waiting");
    }
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            // messages name counters
            condition.remove("message");
        }
    }
    status
}

/// The merge patch that turns `from` into `to`.
pub fn difference(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Map::new();
    for field in from.keys().filter(|field| !to.contains_key(*field)) {
        patch.insert(field.clone(), Value::Null);
    }
    for (field, value) in to {
        match from.get(field) {
            Some(old) if old == value => {}
            Some(old) => {
                patch.insert(field.clone(), difference(old, value));
            }
            None => {
                patch.insert(field.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

/// What is stored after a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The new resource version of the task.
    pub resource_version: String,
    /// The status as it is stored now.
    pub status: WindowsHostTaskStatus,
}

/// Writes the status of a task whose stored one is `stored` at `resource_version`.
pub async fn write(
    client: &Client,
    key: &TaskKey,
    resource_version: &str,
    stored: &WindowsHostTaskStatus,
    next: &WindowsHostTaskStatus,
) -> Result<Written, Error> {
    let failed = |source| Error::Write {
        key: key.clone(),
        source: Box::new(source),
    };
    let encode =
        |status| serde_json::to_value(status).map_err(|e| failed(kube::Error::SerdeError(e)));
    let change = difference(&encode(stored)?, &encode(next)?);
    let patch = json!({ "metadata": { "resourceVersion": resource_version }, "status": change });
    let api: Api<WindowsHostTask> = Api::namespaced(client.clone(), &key.namespace);
    let task = api
        .patch_status(&key.name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(failed)?;
    Ok(Written {
        resource_version: task.metadata.resource_version.unwrap_or_default(),
        status: task.status.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosttask_crds::task::{NodeFailure, Waiting, WaveStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use proptest::prelude::*;

    fn status(healthy: i32, ready: &str, seconds: i64) -> WindowsHostTaskStatus {
        let time = Time(jiff::Timestamp::from_second(seconds).unwrap());
        let ready = Condition {
            type_: "Ready".into(),
            status: ready.into(),
            reason: "RollingOut".into(),
            message: format!("{healthy} of 5 nodes are healthy"),
            last_transition_time: time.clone(),
            observed_generation: None,
        };
        WindowsHostTaskStatus {
            healthy_nodes: Some(healthy),
            last_progress_time: Some(time),
            conditions: vec![ready],
            ..WindowsHostTaskStatus::default()
        }
    }

    #[test]
    fn an_equal_status_is_not_written_even_if_its_transition_times_differ() {
        let mut later = status(3, "False", 100);
        later.conditions[0].last_transition_time = Time(jiff::Timestamp::from_second(900).unwrap());
        assert_eq!(
            decide(&status(3, "False", 100), &later, None),
            Verdict::Keep
        );
    }

    #[test]
    fn counters_wait_for_the_debounce_and_a_transition_does_not() {
        let just_now = Some(Duration::from_millis(500));
        let stored = status(3, "False", 100);
        let counted = status(4, "False", 101);
        assert_eq!(
            decide(&stored, &counted, just_now),
            Verdict::Later(DEBOUNCE.saturating_sub(Duration::from_millis(500)))
        );
        assert_eq!(decide(&stored, &counted, Some(DEBOUNCE)), Verdict::Write);
        assert_eq!(
            decide(&stored, &counted, None),
            Verdict::Write,
            "never written by us"
        );
        assert_eq!(
            decide(&stored, &status(5, "True", 102), just_now),
            Verdict::Write
        );
        let mut failed = stored.clone();
        failed.failures = vec![NodeFailure {
            node: "a".into(),
            ..NodeFailure::default()
        }];
        assert_eq!(decide(&stored, &failed, just_now), Verdict::Write);
    }

    #[test]
    fn the_wave_and_the_failed_revision_do_not_wait_and_what_is_waited_for_does() {
        let just_now = Some(Duration::from_millis(500));
        let in_wave = |name: &str, waiting| WindowsHostTaskStatus {
            wave: Some(WaveStatus {
                name: name.into(),
                waiting,
                ..WaveStatus::default()
            }),
            ..status(3, "False", 100)
        };
        let stored = in_wave("canary", None);
        let next = in_wave("default", None);
        assert_eq!(decide(&stored, &next, just_now), Verdict::Write);
        let waits = in_wave("canary", Some(Waiting::Budget));
        assert!(matches!(
            decide(&stored, &waits, just_now),
            Verdict::Later(_)
        ));
        let failed = WindowsHostTaskStatus {
            failed_revision: Some("r".into()),
            ..stored.clone()
        };
        assert_eq!(decide(&stored, &failed, just_now), Verdict::Write);
    }

    #[test]
    fn a_field_that_is_gone_is_an_explicit_null() {
        let from = json!({ "failures": [{ "node": "a" }], "wave": { "name": "x", "waiting": "Budget" }, "n": 1 });
        let to = json!({ "wave": { "name": "x" }, "n": 1 });
        assert_eq!(
            difference(&from, &to),
            json!({ "failures": null, "wave": { "waiting": null } })
        );
    }

    /// The merge of RFC 7386, as the API server does it.
    fn merge(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut merged = target.as_object().cloned().unwrap_or_default();
        for (field, value) in patch {
            if value.is_null() {
                merged.remove(field);
            } else {
                let value = merge(merged.get(field).unwrap_or(&Value::Null), value);
                merged.insert(field.clone(), value);
            }
        }
        Value::Object(merged)
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            (0_i32..3).prop_map(Value::from),
            Just(json!([1, 2])),
            Just(json!("x"))
        ];
        let node = leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[a-c]", node, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn merging_the_difference_into_the_old_value_gives_the_new_one(from in tree(), to in tree()) {
            prop_assert_eq!(merge(&from, &difference(&from, &to)), to);
        }
    }
}
