//! The pod status that a kubelet would report of a state: phase, conditions and container statuses. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::chance::draw;
use super::conditions;
use super::container::{Container, HOOK_FAILED};
use super::life::{End, Life};
use super::machine::surroundings;
use super::pod::{ContainerView, PodView};
use super::refusal::Stage;
use super::script::ImageState;
use super::state::{PodState, World};
use super::timing::Surroundings;

/// The status to report, and when it changes by itself (a container becomes ready, a reason becomes another).
pub(super) fn of(
    world: &World<'_>,
    pod: &PodView,
    state: &mut PodState,
) -> (PodStatus, Option<Timestamp>) {
    let mut wakes = Vec::new();
    let init = statuses(world, pod, state, true, &mut wakes);
    let main = statuses(world, pod, state, false, &mut wakes);
    let phase = phase(pod, state);
    conditions::update(world, pod, state, phase, &init, &main);
    let (reason, message) = match (&state.refused, state.stopping) {
        (Some(refused), _) if refused.stage == Stage::Admission => (
            Some(refused.reason.to_owned()),
            Some(format!("Pod was rejected: {}", refused.message)),
        ),
        // The end is told with its reason once all containers have ended.
        (_, Some(stopping)) if stopping.deadline && phase == "Failed" => (
            Some("DeadlineExceeded".to_owned()),
            Some("Pod was active longer than its activeDeadlineSeconds".to_owned()),
        ),
        _ => (None, None),
    };
    let refused = state
        .refused
        .as_ref()
        .is_some_and(|refused| refused.stage == Stage::Admission);
    let ip = if pod.spec.host_network {
        world.node.ip.clone()
    } else {
        pod_ip(world, pod)
    };
    let has_ip = !refused && state.refused.is_none();
    let status = PodStatus {
        phase: Some(phase.to_owned()),
        reason,
        message,
        observed_generation: pod.generation,
        start_time: Some(Time(state.since)),
        conditions: (!refused).then(|| conditions::of(pod, state)),
        host_ip: Some(world.node.ip.clone()).filter(|_| !refused),
        host_ips: (!refused).then(|| {
            vec![HostIP {
                ip: world.node.ip.clone(),
            }]
        }),
        pod_ip: has_ip.then(|| ip.clone()),
        pod_ips: has_ip.then(|| vec![PodIP { ip }]),
        init_container_statuses: Some(init).filter(|init| !refused && !init.is_empty()),
        container_statuses: (!refused).then_some(main),
        ..PodStatus::default()
    };
    let next = wakes.into_iter().filter(|time| *time > world.now).min();
    (status, next.filter(|_| !state.settled))
}

/// The address of a pod with a network of its own.
fn pod_ip(world: &World<'_>, pod: &PodView) -> String {
    let [a, b, c, ..] = draw(world.seed, &[&pod.uid, "ip"]).to_be_bytes();
    format!("10.{}.{a}.{}", 128 + (b & 0x3f), 1 + c % 254)
}

fn phase(pod: &PodView, state: &PodState) -> &'static str {
    if state
        .refused
        .as_ref()
        .is_some_and(|refused| refused.stage == Stage::Admission)
    {
        return "Failed";
    }
    let mut ends = state
        .init
        .iter()
        .zip(&pod.spec.init_containers)
        .filter(|(_, spec)| spec.restart_policy.is_none());
    if state.settled {
        let good = |container: &Container| container.end().is_some_and(|end| end.code == 0);
        let by_deadline = state.stopping.is_some_and(|stopping| stopping.deadline);
        let all_good = ends.all(|(container, _)| good(container)) && state.main.iter().all(good);
        return if all_good && !by_deadline {
            "Succeeded"
        } else {
            "Failed"
        };
    }
    let is_new = |container: &Container| {
        !container.is_running() && container.end().is_none() && container.last.is_none()
    };
    let initialized = ends.all(|(container, _)| container.end().is_some());
    if initialized && !state.main.iter().any(is_new) {
        "Running"
    } else {
        "Pending"
    }
}

fn statuses(
    world: &World<'_>,
    pod: &PodView,
    state: &PodState,
    init: bool,
    wakes: &mut Vec<Timestamp>,
) -> Vec<ContainerStatus> {
    let (specs, containers) = if init {
        (&pod.spec.init_containers, &state.init)
    } else {
        (&pod.spec.containers, &state.main)
    };
    let one = |(container, spec): (&Container, &ContainerView)| {
        let around = surroundings(world, pod, spec, init, world.now);
        let (started, mut ready, next) = container.readiness(&around);
        wakes.extend(next);
        if init {
            ready = ready && spec.restart_policy.is_some()
                || (spec.restart_policy.is_none()
                    && container.end().is_some_and(|end| end.code == 0));
        }
        let run = u32::try_from(container.restarts).unwrap_or(0);
        let has_run = container.has_container();
        ContainerStatus {
            name: spec.name.clone(),
            image: spec.image.clone(),
            image_id: if has_run {
                image_id(&spec.image)
            } else {
                String::new()
            },
            container_id: has_run.then(|| around.container_id(run)),
            ready,
            started: Some(started),
            restart_count: container.restarts,
            state: Some(live(container, &around, init, wakes)),
            last_state: last_state(container, &around, run),
            ..ContainerStatus::default()
        }
    };
    containers.iter().zip(specs).map(one).collect()
}

/// How the run before the one that is shown ended. A container that waits for its next run shows the latest.
fn last_state(
    container: &Container,
    around: &Surroundings<'_>,
    run: u32,
) -> Option<ContainerState> {
    let before = run.saturating_sub(1);
    let (end, run) = if is_between_runs(container) {
        (&container.earlier, before)
    } else if matches!(container.life, Life::BackOff { .. }) {
        (&container.last, run)
    } else {
        (&container.last, before)
    };
    end.as_ref().map(|end| ended(end, around.container_id(run)))
}

/// Whether the container is started again at once: until then it counts as ended.
fn is_between_runs(container: &Container) -> bool {
    matches!(&container.life, Life::BackOff { delay, start_failed: None, .. } if delay.is_zero())
}

fn image_id(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let name = name
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .map_or(name, |(name, _)| name);
    let part = |word: &str| draw(0, &[image, word]);
    format!(
        "{name}@sha256:{:016x}{:016x}{:016x}{:016x}",
        part("a"),
        part("b"),
        part("c"),
        part("d")
    )
}

fn live(
    container: &Container,
    around: &Surroundings<'_>,
    init: bool,
    wakes: &mut Vec<Timestamp>,
) -> ContainerState {
    let creating = if init || !around.pod.spec.init_containers.is_empty() {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    let image = &around.container.image;
    match &container.life {
        Life::Creating { .. } if container.hook_failed_before() => waiting(HOOK_FAILED, None),
        Life::Queued | Life::NeverRan | Life::Pulling { .. } | Life::Creating { .. } => {
            waiting(creating, None)
        }
        Life::ImageRefused { since, until, .. } => {
            let (backs_off, changes) = Container::pull_backs_off(*since, *until, around.now);
            wakes.push(changes);
            let why = match around.behaviour.image {
                ImageState::Present | ImageState::Missing => "not found",
                ImageState::Denied => "pull access denied, authorization failed",
                ImageState::WrongBuild => "no match for platform in manifest: not found",
            };
            if around.container.image_pull_policy == "Never" {
                let why =
                    format!("Container image \"{image}\" is not present with pull policy of Never");
                waiting("ErrImageNeverPull", Some(why))
            } else if backs_off {
                waiting(
                    "ImagePullBackOff",
                    Some(format!("Back-off pulling image \"{image}\": {why}")),
                )
            } else {
                waiting(
                    "ErrImagePull",
                    Some(format!(
                        "failed to pull and unpack image \"{image}\": {why}"
                    )),
                )
            }
        }
        Life::CreateRefused {
            reason, message, ..
        } => waiting(reason, Some(message.clone())),
        Life::BackOff {
            start_failed: Some((seen, failed)),
            ..
        } if around.now < *seen => {
            wakes.push(*seen);
            waiting(failed.reason, Some(failed.message.clone()))
        }
        Life::BackOff { .. } if is_between_runs(container) => {
            let id = around.container_id(u32::try_from(container.restarts).unwrap_or(0));
            container
                .last
                .as_ref()
                .map_or_else(|| waiting(creating, None), |end| ended(end, id))
        }
        Life::BackOff { delay, .. } => {
            let pod = around.pod;
            let message = format!(
                "back-off {}s restarting failed container={} pod={}_{}({})",
                delay.as_secs(),
                around.container.name,
                pod.name,
                pod.namespace,
                pod.uid
            );
            waiting("CrashLoopBackOff", Some(message))
        }
        Life::Running { since } | Life::Stopping { since, .. } => ContainerState {
            running: Some(ContainerStateRunning {
                started_at: Some(Time(*since)),
            }),
            ..ContainerState::default()
        },
        Life::Ended(end) => ended(
            end,
            around.container_id(u32::try_from(container.restarts).unwrap_or(0)),
        ),
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message,
        }),
        ..ContainerState::default()
    }
}

fn ended(end: &End, id: String) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(id),
            exit_code: end.code,
            finished_at: Some(Time(end.finished)),
            message: end.message.clone(),
            reason: Some(end.reason.clone()),
            started_at: Some(Time(end.started.unwrap_or(end.finished))),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}
