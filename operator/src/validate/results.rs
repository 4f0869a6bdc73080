//! What stays known of a task that is invalid.

use hosttask_crds::task::{Account, Health, Job, Mode, Rollout};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

use super::found::Found;
use super::{Sections, TaskInput, job, limits, rollout};
use crate::desired::{Content, Desired, Identity};
use crate::placement::compile;

/// As much of an invalid task as the results of its Jobs need: whose they are, and what their ends mean. None for a task that
/// runs no Jobs.
///
/// `stored` is the content of its revision, for the exit codes and the check that the Jobs were made with. What else is said of
/// Jobs is taken from the spec as far as it can be read. Nothing may be started from this.
pub fn for_results(task: &TaskInput<'_>, stored: &Value) -> Option<Desired> {
    let mut ignored = Found::default();
    let found = &mut ignored;
    let section = Sections { spec: task.spec };
    let mode: Mode = section.optional("mode", found)?;
    if mode == Mode::Daemon {
        return None;
    }
    let mut written = task.spec.get("job").and_then(Value::as_object).cloned();
    let written = written.get_or_insert_default();
    for field in ["exitCodes", "check"] {
        written.remove(field);
        if let Some(value) = stored.get(field) {
            written.insert(field.to_owned(), value.clone());
        }
    }
    let written = json!({ "job": written });
    let job: Option<Job> = Sections { spec: &written }.optional("job", found);
    let pace = rollout::rollout(&Rollout::default(), Some(mode), found);
    let verdict = limits::health(&Health::default(), found);
    Some(Desired {
        key: task.key.clone(),
        uid: task.uid.to_owned(),
        generation: task.generation,
        mode,
        suspend: true,
        paused: true,
        placement: compile(None),
        content: Content {
            raw: Value::Null,
            template: PodTemplateSpec::default(),
            run_as: Identity::Account(Account::System),
        },
        max_unavailable: pace.max_unavailable,
        min_ready: pace.min_ready,
        progress_deadline: pace.progress_deadline,
        revision_history_limit: pace.revision_history_limit,
        min_healthy: verdict.min_healthy,
        max_restarts: verdict.max_restarts,
        restart_window: verdict.restart_window,
        start_grace: verdict.start_grace,
        node_conditions: Vec::new(),
        job: job::job(job.as_ref(), Some(mode), found),
        schedule: None,
        waves: pace.waves,
        partition: None,
        order: Vec::new(),
        approved_wave: None,
        failure_policy: None,
        unreachable_after: pace.unreachable_after,
        max_unreachable: None,
        windows: Vec::new(),
        depends_on: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::desired::TaskKey;

    fn read(spec: &Value, stored: &Value) -> Option<Desired> {
        let key = TaskKey {
            namespace: "ops".into(),
            name: "agent".into(),
        };
        let task = TaskInput {
            key: &key,
            uid: "task-1",
            generation: 2,
            spec,
        };
        for_results(&task, stored)
    }

    #[test]
    fn ends_are_judged_by_the_stored_codes_and_retries_by_the_spec() {
        let spec = json!({
            "mode": "RunOnce",
            "job": { "retry": { "limit": 7, "initialSeconds": 5 }, "exitCodes": { "success": [9] } },
        });
        let stored =
            json!({ "exitCodes": { "success": [0, 42] }, "check": { "command": ["look"] } });
        let job = read(&spec, &stored).unwrap().job;
        assert_eq!((job.success, job.retry_limit), (vec![0, 42], 7));
        assert_eq!(job.retry_initial, Duration::from_secs(5));
        assert!(job.check.is_some());
        let job = read(&spec, &json!({})).unwrap().job;
        assert_eq!((job.success, job.check), (vec![0], None), "the defaults");
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let spec =
            json!({ "mode": "Scheduled", "job": { "retry": { "limit": "many" } }, "template": 3 });
        let known = read(&spec, &json!({ "exitCodes": { "success": [5] } })).unwrap();
        assert_eq!((known.job.success, known.job.retry_limit), (vec![5], 3));
        assert!(read(&json!({ "mode": "RunOnce", "job": 5 }), &Value::Null).is_some());
        assert!(read(&json!({ "mode": "Daemon" }), &Value::Null).is_none());
        assert!(read(&json!({ "mode": "Never" }), &Value::Null).is_none());
    }
}
