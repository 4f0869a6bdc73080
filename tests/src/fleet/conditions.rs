//! The conditions of a pod that a kubelet reports, each with the time of its last change. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::container::Container;
use super::pod::PodView;
use super::state::{Condition, PodState, World};

/// Brings the conditions of `state` up to date with its container statuses.
pub(super) fn update(
    world: &World<'_>,
    pod: &PodView,
    state: &mut PodState,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) {
    let told = [
        ("PodReadyToStartContainers", sandbox(state, phase)),
        ("Initialized", initialized(pod, state, phase, init)),
        ("ContainersReady", ready(pod, state, phase, init, main)),
        ("Ready", ready(pod, state, phase, init, main)),
    ];
    for (type_, told) in told {
        let known = state.conditions.get(type_);
        let since = known.filter(|known| known.holds == told.holds);
        let since = since.map_or(world.now, |known| known.since);
        let condition = Condition {
            holds: told.holds,
            since,
            reason: told.reason,
            message: told.message,
        };
        state.conditions.insert(type_, condition);
    }
}

/// A condition without its time.
struct Told {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Told {
    fn yes() -> Self {
        Self::with(true, "", String::new())
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self::with(false, reason, message.into())
    }

    fn with(holds: bool, reason: &'static str, message: String) -> Self {
        Self {
            holds,
            reason,
            message,
        }
    }
}

fn is_over(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// The sandbox is there from the first report of a container until the pod is over.
fn sandbox(state: &PodState, phase: &str) -> Told {
    let mut all = state.init.iter().chain(&state.main);
    let has_begun = state.refused.is_none() && all.any(Container::has_begun);
    if has_begun && !is_over(phase) {
        return Told::yes();
    }
    let message = if has_begun {
        "pod sandbox is not ready"
    } else {
        "no pod sandbox exists"
    };
    Told::no("PodSandboxNotReady", message)
}

/// A pod that was initialized stays so, also while a sidecar is started again.
fn initialized(pod: &PodView, state: &PodState, phase: &str, init: &[ContainerStatus]) -> Told {
    if phase == "Succeeded" {
        return Told::with(true, "PodCompleted", String::new());
    }
    let incomplete: Vec<&str> = init
        .iter()
        .zip(&pod.spec.init_containers)
        .filter(|(status, spec)| match spec.restart_policy {
            Some(_) => status.started != Some(true),
            None => !status.ready,
        })
        .map(|(status, _)| status.name.as_str())
        .collect();
    let known = state.conditions.get("Initialized");
    if incomplete.is_empty() || known.is_some_and(|known| known.holds) {
        return Told::yes();
    }
    let message = format!(
        "containers with incomplete status: [{}]",
        incomplete.join(" ")
    );
    Told::no("ContainersNotInitialized", message)
}

/// A pod is ready while its sidecars and regular containers are.
fn ready(
    pod: &PodView,
    state: &PodState,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Told {
    // The conditions of a pod that is deleted before it ran stay as they were; only its phase is set.
    let by_deletion = state.stopping.is_some_and(|stopping| !stopping.deadline);
    let was_given_up = by_deletion && state.main.iter().any(Container::was_given_up);
    match phase {
        "Succeeded" => return Told::no("PodCompleted", ""),
        "Failed" if !was_given_up => return Told::no("PodFailed", ""),
        _ => {}
    }
    let sidecars = init.iter().zip(&pod.spec.init_containers);
    let sidecars = sidecars.filter(|(_, spec)| spec.restart_policy.is_some());
    let all = sidecars.map(|(status, _)| status).chain(main);
    let unready = all.filter(|status| !status.ready);
    let unready: Vec<&str> = unready.map(|status| status.name.as_str()).collect();
    if unready.is_empty() && state.refused.is_none() {
        return Told::yes();
    }
    let message = format!("containers with unready status: [{}]", unready.join(" "));
    Told::no("ContainersNotReady", message)
}

/// The conditions as they are reported.
pub(super) fn of(pod: &PodView, state: &PodState) -> Vec<PodCondition> {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    // The scheduler's own condition keeps its time; a pod that was bound without the scheduler has none yet.
    let bound = pod
        .report
        .conditions
        .iter()
        .find(|known| known.type_ == "PodScheduled" && known.status == "True");
    let scheduled = PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(Time(
            bound
                .and_then(|known| known.last_transition_time)
                .unwrap_or(state.since),
        )),
        observed_generation: pod.generation,
        ..PodCondition::default()
    };
    let own = state
        .conditions
        .iter()
        .map(|(type_, condition)| PodCondition {
            type_: (*type_).to_owned(),
            status: if condition.holds { "True" } else { "False" }.to_owned(),
            last_transition_time: Some(Time(condition.since)),
            reason: text(condition.reason),
            message: text(&condition.message),
            observed_generation: pod.generation,
            ..PodCondition::default()
        });
    own.chain([scheduled]).collect()
}
