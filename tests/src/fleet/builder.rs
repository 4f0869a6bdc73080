//! Pods and nodes for the unit tests of the state machine, and a clock that jumps from wake-up to wake-up.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use serde_json::{Value, json};

use super::machine;
use super::options::FleetOptions;
use super::pod::{PodView, WatchedPod};
use super::script::Script;
use super::state::{NodeFacts, PodState, World};

/// A HostProcess pod of the task `agent` as the operator makes them, with `spec` merged over it.
pub(super) fn pod(spec: Value) -> PodView {
    let mut whole = json!({
        "metadata": {
            "name": "agent-x1", "namespace": "default", "uid": "5d1f", "generation": 1,
            "labels": {"hosttask.dev/task": "agent", "hosttask.dev/revision": "agent-7f", "hosttask.dev/attempt": "1"},
        },
        "spec": {
            "nodeName": "win-0001",
            "hostNetwork": true,
            "os": {"name": "windows"},
            "securityContext": {"windowsOptions": {"hostProcess": true, "runAsUserName": "NT AUTHORITY\\SYSTEM"}},
            "containers": [{"name": "main", "image": "example.com/agent:1"}],
        },
    });
    if let (Some(target), Value::Object(spec)) = (whole["spec"].as_object_mut(), spec) {
        target.extend(spec);
    }
    PodView::from(serde_json::from_value::<WatchedPod>(whole).unwrap())
}

/// One pod on one node in virtual time.
pub(super) struct Bench {
    pub(super) pod: PodView,
    pub(super) script: Script,
    pub(super) seed: u64,
    pub(super) speed: f64,
    pub(super) now: Timestamp,
    pub(super) node: NodeFacts,
    pub(super) state: Option<PodState>,
    pub(super) status: PodStatus,
    /// Every different status, with the milliseconds since the start.
    pub(super) history: Vec<(i64, PodStatus)>,
    pub(super) starts: Vec<String>,
    pub(super) refusals: Vec<String>,
    pub(super) deleted: bool,
    wake: Option<Timestamp>,
}

/// When virtual time begins.
pub(super) const START: Timestamp = Timestamp::UNIX_EPOCH;

impl Bench {
    pub(super) fn new(pod: PodView, script: &str) -> Self {
        let node = NodeFacts {
            name: "win-0001".to_owned(),
            ip: "10.64.0.1".to_owned(),
            local_groups: FleetOptions::default().local_groups,
        };
        Self {
            pod,
            script: Script::parse(script).unwrap(),
            seed: 7,
            speed: 1.0,
            now: START,
            node,
            state: None,
            status: PodStatus::default(),
            history: Vec::new(),
            starts: Vec::new(),
            refusals: Vec::new(),
            deleted: false,
            wake: None,
        }
    }

    /// Steps once, now.
    pub(super) fn step(&mut self) {
        let script = self.script.clone();
        let node = self.node.clone();
        let world = World {
            now: self.now,
            seed: self.seed,
            speed: self.speed,
            script: &script,
            node: &node,
        };
        let step = machine::step(&world, &self.pod, self.state.take());
        self.state = Some(step.state);
        self.wake = step.wake;
        self.deleted |= step.delete;
        for note in step.notes {
            match note {
                super::life::Note::Started(name) => self.starts.push(name),
                super::life::Note::Refused(reason, message) => {
                    self.refusals.push(format!("{reason}: {message}"));
                }
            }
        }
        if let Some(status) = step.status
            && status != self.status
        {
            self.history
                .push((self.now.as_millisecond(), status.clone()));
            self.status = status;
        }
    }

    /// Lets `seconds` go by, waking exactly when the pod asks for it.
    pub(super) fn run(&mut self, seconds: f64) {
        let end = super::timing::later(self.now, Duration::from_secs_f64(seconds));
        self.step();
        let mut last = self.now;
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            assert!(wake > last, "the pod must ask for a later time than {last}");
            last = wake;
            self.now = wake;
            self.step();
        }
        self.now = end;
    }

    /// The node loses what ran.
    pub(super) fn lose(&mut self, code: i32, reason: &str) {
        let world = World {
            now: self.now,
            seed: self.seed,
            speed: self.speed,
            script: &self.script,
            node: &self.node,
        };
        let state =
            machine::after_loss(&world, &self.pod, self.state.take().unwrap(), code, reason);
        self.state = Some(state);
    }

    pub(super) fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }

    pub(super) fn main(&self) -> &ContainerStatus {
        &self.status.container_statuses.as_ref().unwrap()[0]
    }

    /// `running`, the waiting reason, or the end as `Reason(code)`.
    pub(super) fn doing(&self) -> String {
        doing(self.main())
    }

    /// Whether the condition holds, and since which second.
    pub(super) fn condition(&self, type_: &str) -> (String, i64) {
        let all = self.status.conditions.as_ref().unwrap();
        let one = all
            .iter()
            .find(|condition| condition.type_ == type_)
            .unwrap();
        (
            one.status.clone(),
            one.last_transition_time.as_ref().unwrap().0.as_second(),
        )
    }
}

pub(super) fn doing(status: &ContainerStatus) -> String {
    let state = status.state.as_ref().unwrap();
    if state.running.is_some() {
        "running".to_owned()
    } else if let Some(waiting) = &state.waiting {
        waiting.reason.clone().unwrap()
    } else {
        let end = state.terminated.as_ref().unwrap();
        format!("{}({})", end.reason.as_deref().unwrap(), end.exit_code)
    }
}
