//! One pod on one node: the order of its containers, its deadline, its deletion and its end. Pure: a step is a function
//! of the time, the node, the pod, the script and the state before.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;

use super::container::Container;
use super::life::{Life, Note};
use super::pod::{ContainerView, PodView, RestartPolicy};
use super::refusal::{self, Stage};
use super::script::Behaviour;
use super::state::{PodState, Step, Stopping, World};
use super::status;
use super::timing::{Surroundings, later};

/// The pod's next step.
pub(super) fn step(world: &World<'_>, pod: &PodView, state: Option<PodState>) -> Step {
    let mut notes = Vec::new();
    let mut state = state.unwrap_or_else(|| PodState::admit(world, pod, &mut notes));
    if state.settled {
        let status = state
            .refused
            .is_some()
            .then(|| status::of(world, pod, &mut state).0);
        return Step {
            state,
            status,
            delete: pod.deleted,
            wake: None,
            notes,
        };
    }
    state.notice_the_end(world, pod);
    let mut wake = state.advance(world, pod, &mut notes);
    if state.is_over() {
        state.settled = true;
        wake = None;
    }
    state.seen = world.now;
    let (status, next) = status::of(world, pod, &mut state);
    let wake = [wake, next].into_iter().flatten().min();
    let delete = state.settled && pod.deleted;
    Step {
        state,
        status: Some(status),
        delete,
        wake,
        notes,
    }
}

/// The pod after its machine was restarted or replaced: what ran is gone. `code` and `reason` are what the runtime says of
/// the lost containers.
pub(super) fn after_loss(
    world: &World<'_>,
    pod: &PodView,
    mut state: PodState,
    code: i32,
    reason: &str,
) -> PodState {
    if state.settled || state.refused.is_some() {
        return state;
    }
    let policy = pod.spec.restart_policy;
    for (container, spec) in state.main.iter_mut().zip(&pod.spec.containers) {
        *container = container.lost(
            world.now,
            code,
            reason,
            spec.restart_policy.unwrap_or(policy),
        );
    }
    for (container, spec) in state.init.iter_mut().zip(&pod.spec.init_containers) {
        *container = container.lost(world.now, code, reason, init_policy(spec, policy));
        if policy != RestartPolicy::Never {
            // The new sandbox is empty: every init container has to run again.
            container.life = Life::Queued;
        }
    }
    state.resumed = world.now;
    state.seen = world.now;
    state
}

/// The pod after its node was silent: a condition that others have changed meanwhile holds again since `now`.
pub(super) fn reassert(state: &mut PodState, pod: &PodView, now: Timestamp) {
    for reported in &pod.report.conditions {
        let known = state.conditions.get_mut(reported.type_.as_str());
        if let Some(known) = known.filter(|known| known.holds != (reported.status == "True")) {
            known.since = now;
        }
    }
}

fn init_policy(spec: &ContainerView, pod: RestartPolicy) -> RestartPolicy {
    match (spec.restart_policy, pod) {
        (Some(RestartPolicy::Always), _) => RestartPolicy::Always,
        (_, RestartPolicy::Never) => RestartPolicy::Never,
        (_, RestartPolicy::Always | RestartPolicy::OnFailure) => RestartPolicy::OnFailure,
    }
}

fn is_sidecar(spec: &ContainerView) -> bool {
    spec.restart_policy == Some(RestartPolicy::Always)
}

/// Which containers may have run.
#[derive(Clone, Copy)]
struct Due {
    /// How many of the init containers.
    init: usize,
    /// Whether the regular containers.
    main: bool,
}

static AS_ALWAYS: LazyLock<Behaviour> = LazyLock::new(Behaviour::default);

impl PodState {
    fn admit(world: &World<'_>, pod: &PodView, notes: &mut Vec<Note>) -> Self {
        let since = pod.report.start_time.unwrap_or(world.now);
        let mut state = Self {
            since,
            init: vec![Container::default(); pod.spec.init_containers.len()],
            main: vec![Container::default(); pod.spec.containers.len()],
            refused: refusal::of_pod(pod),
            stopping: None,
            conditions: BTreeMap::new(),
            settled: matches!(pod.report.phase.as_deref(), Some("Succeeded" | "Failed")),
            resumed: world.now,
            seen: world.now,
        };
        if state.settled {
            state.refused = None;
            return state;
        }
        if let Some(refused) = &state.refused {
            state.settled = refused.stage == Stage::Admission;
            notes.push(Note::Refused(refused.reason, refused.message.clone()));
        }
        if pod.report.phase.as_deref() == Some("Running") {
            // Another process played this node before. What ran there is lost, as with a re-imaged machine.
            for (container, spec) in state.main.iter_mut().zip(&pod.spec.containers) {
                let reported = pod
                    .report
                    .container_statuses
                    .iter()
                    .find(|reported| reported.name == spec.name);
                container.restarts = reported.map_or(0, |reported| reported.restart_count);
                container.life = Life::Running { since };
            }
            state = after_loss(world, pod, state, 137, "ContainerStatusUnknown");
        }
        state
    }

    fn notice_the_end(&mut self, world: &World<'_>, pod: &PodView) {
        let deadline = self.deadline(pod).filter(|deadline| *deadline <= world.now);
        if self.stopping.is_none() {
            let since = deadline.map(|deadline| deadline.max(self.seen));
            self.stopping = since.map(|since| Stopping {
                since,
                deadline: true,
            });
        }
        if pod.deleted && self.stopping.is_none_or(|stopping| !stopping.deadline) {
            let since = self.stopping.map_or(world.now, |stopping| stopping.since);
            self.stopping = Some(Stopping {
                since,
                deadline: false,
            });
        }
    }

    fn deadline(&self, pod: &PodView) -> Option<Timestamp> {
        let seconds = u64::try_from(pod.spec.active_deadline_seconds?).ok()?;
        Some(later(self.since, Duration::from_secs(seconds)))
    }

    fn advance(
        &mut self,
        world: &World<'_>,
        pod: &PodView,
        notes: &mut Vec<Note>,
    ) -> Option<Timestamp> {
        if self.stopping.is_none() && self.refused.is_some() {
            return self.deadline(pod);
        }
        // Each turn ends with every container waiting for a time to come; a turn that let one begin is followed by another.
        loop {
            let stopping = self.stopping.is_some();
            let grace = self.grace(pod);
            let work_is_done = self.is_work_done(pod);
            let due = self.due(pod);
            let floor = self.seen.min(world.now);
            let mut wake: Option<Timestamp> = None;
            for (init, index) in (0..self.init.len())
                .map(|i| (true, i))
                .chain((0..self.main.len()).map(|i| (false, i)))
            {
                let (specs, containers) = if init {
                    (&pod.spec.init_containers, &mut self.init)
                } else {
                    (&pod.spec.containers, &mut self.main)
                };
                let (Some(spec), Some(container)) = (specs.get(index), containers.get_mut(index))
                else {
                    continue;
                };
                let around = surroundings(world, pod, spec, init, floor);
                if let Some(stop) = self.stopping {
                    let is_due = if init { index < due.init } else { due.main };
                    container.stop(stop.since, grace, &around, is_due);
                } else if let Some(since) = work_is_done.filter(|_| init && is_sidecar(spec)) {
                    container.stop(since, grace, &around, true);
                }
                let next = container.advance(&around, stopping || work_is_done.is_some(), notes);
                wake = [wake, next].into_iter().flatten().min();
            }
            let began =
                !stopping && work_is_done.is_none() && self.begin_the_next(world, pod, floor);
            let just_done = !stopping && work_is_done.is_none() && self.is_work_done(pod).is_some();
            if !began && (!just_done || self.is_over()) {
                let deadline = self.deadline(pod).filter(|_| !stopping);
                return [wake, deadline].into_iter().flatten().min();
            }
        }
    }

    /// Which containers the kubelet takes for ones that may have run: the first init container and all before one that ran,
    /// and once the pod was initialized the regular ones.
    fn due(&self, pod: &PodView) -> Due {
        let last = self.init.iter().rposition(Container::has_run);
        let end = self.init.last().zip(pod.spec.init_containers.last());
        let is_initialized = end.is_none_or(|(container, spec)| {
            container.end().is_some_and(|end| end.code == 0)
                || (is_sidecar(spec) && container.is_running())
        });
        Due {
            init: last.map_or(1, |last| last + 1),
            main: is_initialized || self.main.iter().any(Container::has_run),
        }
    }

    fn grace(&self, pod: &PodView) -> Duration {
        let seconds = match self.stopping {
            Some(Stopping {
                deadline: false, ..
            }) => pod.grace_seconds,
            Some(Stopping { deadline: true, .. }) | None => {
                pod.spec.termination_grace_period_seconds.unwrap_or(30)
            }
        };
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// Lets the containers begin whose turn it is. Returns whether there was one.
    fn begin_the_next(&mut self, world: &World<'_>, pod: &PodView, floor: Timestamp) -> bool {
        let mut at = self.resumed;
        for (container, spec) in self.init.iter_mut().zip(&pod.spec.init_containers) {
            let around = surroundings(world, pod, spec, true, floor);
            if container.life == Life::Queued {
                container.begin(at, &around);
                return true;
            }
            match (&container.life, container.end()) {
                (_, Some(end)) if end.code == 0 => at = at.max(end.finished),
                (Life::Running { since }, _)
                    if is_sidecar(spec) && container.readiness(&around).0 =>
                {
                    at = at.max(*since);
                }
                _ => return false,
            }
        }
        let mut began = false;
        for (container, spec) in self.main.iter_mut().zip(&pod.spec.containers) {
            if container.life == Life::Queued {
                container.begin(at, &surroundings(world, pod, spec, false, floor));
                began = true;
            }
        }
        began
    }

    /// Whether nothing but sidecars is left to run, and since when.
    fn is_work_done(&self, pod: &PodView) -> Option<Timestamp> {
        let failed_init =
            self.init
                .iter()
                .zip(&pod.spec.init_containers)
                .find_map(|(container, spec)| {
                    container
                        .end()
                        .filter(|end| end.code != 0 && !is_sidecar(spec))
                });
        if let Some(end) = failed_init {
            return Some(end.finished);
        }
        let ends: Option<Vec<Timestamp>> = self
            .main
            .iter()
            .map(|container| container.end().map(|end| end.finished))
            .collect();
        ends?.into_iter().max()
    }

    /// Whether no container will ever run again.
    fn is_over(&self) -> bool {
        let none_left = |containers: &[Container]| {
            let mut all = containers.iter();
            all.all(|container| container.end().is_some() || container.life == Life::NeverRan)
        };
        let failed = self
            .init
            .iter()
            .any(|container| container.end().is_some_and(|end| end.code != 0));
        let idle = self
            .init
            .iter()
            .all(|container| container.end().is_some() || container.life == Life::Queued);
        (none_left(&self.init) && none_left(&self.main))
            || (failed && idle && !self.main.iter().any(Container::is_running))
    }
}

/// The surroundings of one container of the pod. `floor` is the time of the step before.
pub(super) fn surroundings<'a>(
    world: &World<'a>,
    pod: &'a PodView,
    container: &'a ContainerView,
    init: bool,
    floor: Timestamp,
) -> Surroundings<'a> {
    let policy = pod.spec.restart_policy;
    let restart = if init {
        init_policy(container, policy)
    } else {
        container.restart_policy.unwrap_or(policy)
    };
    Surroundings {
        now: world.now,
        floor,
        seed: world.seed,
        speed: world.speed,
        node: &world.node.name,
        local_groups: &world.node.local_groups,
        pod,
        container,
        behaviour: world
            .script
            .behaviour(&world.node.name, pod, container, init)
            .unwrap_or(&AS_ALWAYS),
        restart,
        runs_to_end: restart != RestartPolicy::Always,
    }
}
