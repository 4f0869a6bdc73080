//! What happens without the operator: Kubernetes' controllers, kubelets, users and accidents.

use crate::config::{Config, Edit, Fault, Quality};
use crate::state::{FOREVER, Facts, Job, Lag, Moment, Node, Pod, Set, State};
use crate::words::Words;

/// The watches of these objects of a node may lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Facts(u8),
    Pods(u8),
    Jobs(u8),
    Set(u8),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// One pass of the operator, from the view to the status.
    Pass,
    /// A pass that ends with the operator's death after so many writes; the next process lists everything anew.
    Crash(u8),
    /// A pass in which the answer to this write is lost.
    Lost(u8),
    /// A pass in which this request is carried out twice, and the second answer is the one that arrives.
    Twice(u8),
    /// A pass is planned, and the process stalls.
    Stall,
    /// It goes on.
    Resume,
    /// Another process becomes the leader.
    TakeOver,
    /// The DaemonSet controller looks at the DaemonSet of a wave.
    Controller(u8),
    /// The garbage collector lets the pods of a deleted DaemonSet go, then the DaemonSet.
    Collect(u8),
    /// The kubelet of a node.
    Kubelet(u8),
    /// Kubernetes removes a finished Job whose result is recorded.
    Expire(u8),
    Tick,
    Lag(Watch),
    CatchUp(u8),
    Die(u8),
    Return(u8),
    Reimage(u8),
    Flake(u8),
    UserDelete(u8),
    Relabel(u8),
    Usurp(u8),
    Edit(Edit),
}

impl Step {
    /// Whether it happens by itself, sooner or later, when nothing goes wrong any more.
    pub(crate) fn is_fair(self) -> bool {
        matches!(
            self,
            Self::Pass
                | Self::Resume
                | Self::Controller(_)
                | Self::Collect(_)
                | Self::Kubelet(_)
                | Self::Expire(_)
                | Self::Tick
                | Self::CatchUp(_)
        )
    }
}

/// The accidents and the wishes that may come next.
pub(crate) fn disturbances(config: &Config, state: &State, steps: &mut Vec<Step>) {
    let nodes = 0..u8::try_from(state.nodes.len()).unwrap();
    if state.edits > 0 {
        steps.extend(config.edits.iter().copied().map(Step::Edit));
    }
    for node in nodes.clone() {
        if !state.nodes[usize::from(node)].facts.up {
            steps.push(Step::Return(node));
        }
    }
    if state.faults == 0 {
        return;
    }
    for fault in config.faults {
        let step: fn(u8) -> Step = match fault {
            Fault::LagFacts => |node| Step::Lag(Watch::Facts(node)),
            Fault::LagPods => |node| Step::Lag(Watch::Pods(node)),
            Fault::LagJobs => |node| Step::Lag(Watch::Jobs(node)),
            Fault::LagSet => {
                steps.extend((0..2).map(|wave| Step::Lag(Watch::Set(wave))));
                continue;
            }
            Fault::Die => Step::Die,
            Fault::Reimage => Step::Reimage,
            Fault::Flake => Step::Flake,
            Fault::UserDelete => Step::UserDelete,
            Fault::Relabel => Step::Relabel,
            Fault::Usurp => Step::Usurp,
            // The operator's own.
            Fault::Crash | Fault::Lost | Fault::Twice | Fault::Stall | Fault::TakeOver => continue,
        };
        steps.extend(nodes.clone().map(step));
    }
}

/// Carries out a step of the world.
pub(crate) fn happen(words: &Words, state: &mut State, step: Step) {
    let config = &words.config;
    match step {
        Step::Controller(wave) => daemon_set_controller(config, state, wave),
        Step::Collect(wave) => collect(state, wave),
        Step::Kubelet(node) => kubelet(config, &mut state.nodes[usize::from(node)]),
        Step::Expire(node) => {
            let node = &mut state.nodes[usize::from(node)];
            let ledger = node.ledger;
            let recorded = |job: &Job| ledger.is_some_and(|entry| words.records(entry, job));
            node.jobs.retain(|job| job.end.is_none() || !recorded(job));
        }
        Step::Tick => state.grow_older(),
        Step::Lag(watch) => lag(state, watch),
        Step::CatchUp(at) => drop(state.lags.remove(usize::from(at))),
        Step::Die(node) => power(state, node, false),
        Step::Return(node) => power(state, node, true),
        Step::Reimage(node) => reimage(state, node),
        Step::Flake(node) => {
            let serving = state.nodes[usize::from(node)].pods.iter_mut();
            for pod in serving.filter(|pod| pod.ready.is_some() && !pod.deleting) {
                (pod.ready, pod.unready) = (None, Some(0));
            }
        }
        Step::UserDelete(node) => {
            let node = &mut state.nodes[usize::from(node)];
            node.pods.iter_mut().for_each(|pod| pod.deleting = true);
            node.jobs.retain(|job| job.end.is_some());
        }
        Step::Relabel(node) => {
            let node = &mut state.nodes[usize::from(node)];
            node.facts.pool = 1 - node.facts.pool;
            (node.befallen, node.relabelled) = (true, true);
        }
        Step::Usurp(node) => usurp(state, node),
        Step::Edit(edit) => wish(state, edit),
        Step::Pass
        | Step::Crash(_)
        | Step::Lost(_)
        | Step::Twice(_)
        | Step::Stall
        | Step::Resume
        | Step::TakeOver => unreachable!("a step of the operator"),
    }
}

fn wish(state: &mut State, edit: Edit) {
    let spec = &mut state.spec;
    match edit {
        Edit::Content(content) => {
            if spec.content != content {
                (state.calm, state.soaked) = (None, false);
                state.nodes.iter_mut().for_each(|node| node.proved = false);
            }
            spec.content = content;
        }
        Edit::Layout(layout) => {
            // Who comes first is another question now.
            let excused = spec.layout != layout;
            spec.layout = layout;
            let nodes = state.nodes.iter_mut();
            nodes.for_each(|node| node.befallen |= excused);
        }
        Edit::Pause(paused) => spec.paused = paused,
        Edit::Approve => spec.approved = true,
        Edit::Retry => spec.retry += 1,
        Edit::CloseWindow(closed) => spec.window_closed = closed,
    }
}

/// It works with the template it knows, and then learns the current one.
fn daemon_set_controller(config: &Config, state: &mut State, wave: u8) {
    let Some(set) = &mut state.sets[usize::from(wave)] else {
        return;
    };
    if set.deleting > 0 {
        return;
    }
    for (at, node) in state.nodes.iter_mut().enumerate() {
        for pod in &mut node.pods {
            if pod.owner == Some(wave) && pod.wave != wave {
                pod.owner = None;
            }
            if pod.owner.is_none() && pod.wave == wave && !pod.deleting {
                pod.owner = Some(wave);
            }
        }
        let here = config.wave(set.layout, node.facts.pool) == wave;
        let mine = |pod: &&mut Pod| pod.owner == Some(wave) && !pod.deleting;
        let live = node.pods.iter_mut().filter(mine).count();
        if here && live > 1 {
            let newest = node
                .pods
                .iter_mut()
                .filter(mine)
                .max_by_key(|pod| pod.created);
            newest.unwrap().deleting = true;
        } else if !here && live > 0 {
            node.pods
                .iter_mut()
                .filter(mine)
                .for_each(|pod| pod.deleting = true);
            if !node.relabelled {
                state.broken = Some("division");
            }
        }
        if here && node.pods.iter().all(|pod| pod.owner != Some(wave)) {
            let known = state.lags.iter().filter_map(|lag| match lag {
                Lag::Pods { node, shown, raw } if usize::from(*node) == at => Some((shown, raw)),
                _ => None,
            });
            let known = known.flat_map(|(shown, raw)| shown.iter().chain(raw));
            let held = state.held.iter().flat_map(|held| held.pods(at));
            let mut ids: Vec<u8> = node.pods.iter().chain(known).map(|pod| pod.id).collect();
            ids.extend(held);
            node.pods.push(Pod {
                id: free(&ids),
                content: set.seen.unwrap_or(set.content),
                wave,
                owner: Some(wave),
                deleting: false,
                created: 0,
                ready: None,
                unready: None,
                crashing: false,
            });
        }
    }
    set.seen = Some(set.content);
    set.settled = true;
}

/// The smallest identity that nobody knows.
pub(crate) fn free(ids: &[u8]) -> u8 {
    (0..=u8::MAX).find(|id| !ids.contains(id)).unwrap()
}

fn collect(state: &mut State, wave: u8) {
    let at = usize::from(wave);
    match &mut state.sets[at] {
        Some(Set {
            deleting: it @ 1, ..
        }) => {
            *it = 2;
            let pods = state.nodes.iter_mut().flat_map(|node| &mut node.pods);
            for pod in pods.filter(|pod| pod.owner == Some(wave)) {
                pod.owner = None;
            }
        }
        Some(Set { deleting: 2, .. }) => state.sets[at] = None,
        _ => {}
    }
}

fn kubelet(config: &Config, node: &mut Node) {
    if !node.facts.up {
        return;
    }
    if node.pods.iter().any(|pod| pod.deleting) || node.jobs.iter().any(|job| job.deleting) {
        node.pods.retain(|pod| !pod.deleting);
        node.jobs.retain(|job| !job.deleting);
        return;
    }
    let ready = if config.min_ready > 0 { 0 } else { FOREVER };
    for pod in &mut node.pods {
        let quality = config.contents[usize::from(pod.content)];
        if quality.crashes(node.facts.pool) {
            pod.crashing = true;
        } else if quality != Quality::Hangs {
            pod.ready = pod.ready.or(Some(ready));
            pod.unready = None;
        }
    }
    node.jobs.retain(|job| !job.foreign);
    let machine = node.facts.machine;
    for job in node.jobs.iter_mut().filter(|job| job.end.is_none()) {
        // Whatever machine it was created for.
        let good = !config.contents[usize::from(job.content)].crashes(node.facts.pool);
        job.end = Some((good, 0));
        if good && job.machine == machine {
            node.done = Some(job.content);
        }
    }
}

fn power(state: &mut State, node: u8, up: bool) {
    let node = &mut state.nodes[usize::from(node)];
    if node.facts.up == up {
        return;
    }
    node.befallen = true;
    (node.facts.up, node.facts.changed) = (up, 0);
    for pod in &mut node.pods {
        if pod.ready.take().is_some() {
            pod.unready = Some(0);
        }
    }
}

/// Another machine takes the node's name. Jobs of the former one stay, pinned by that name.
fn reimage(state: &mut State, node: u8) {
    let node = &mut state.nodes[usize::from(node)];
    node.facts = Facts {
        up: true,
        changed: 0,
        machine: node.facts.machine + 1,
        ..node.facts
    };
    node.pods.clear();
    (node.ledger, node.done) = (None, None);
    (node.taken, node.proved, node.befallen) = (false, false, true);
}

fn usurp(state: &mut State, node: u8) {
    let node = &mut state.nodes[usize::from(node)];
    let ids: Vec<u8> = node.jobs.iter().map(|job| job.id).collect();
    if let Some(job) = node.jobs.iter_mut().find(|job| job.end.is_none()) {
        (job.id, job.foreign) = (free(&ids), true);
    }
}

fn lag(state: &mut State, watch: Watch) {
    let lag = match watch {
        Watch::Facts(node) => Lag::Facts {
            node,
            shown: state.nodes[usize::from(node)].facts,
        },
        Watch::Pods(node) => {
            let shown = state.nodes[usize::from(node)].pods.clone();
            let raw = shown.clone();
            Lag::Pods { node, shown, raw }
        }
        Watch::Jobs(node) => {
            let shown = state.nodes[usize::from(node)].jobs.clone();
            let raw = shown.clone();
            Lag::Jobs { node, shown, raw }
        }
        Watch::Set(wave) => {
            let shown = state.sets[usize::from(wave)];
            Lag::Set {
                wave,
                shown,
                raw: shown,
            }
        }
    };
    let same = |other: &Lag| match (&lag, other) {
        (Lag::Facts { node, .. }, Lag::Facts { node: other, .. })
        | (Lag::Pods { node, .. }, Lag::Pods { node: other, .. })
        | (Lag::Jobs { node, .. }, Lag::Jobs { node: other, .. })
        | (Lag::Set { wave: node, .. }, Lag::Set { wave: other, .. }) => node == other,
        _ => false,
    };
    if !state.lags.iter().any(same) {
        state.lags.push(lag);
    }
}

/// Whether a pod serves.
pub(crate) fn serves(pod: &Pod) -> bool {
    !pod.deleting && pod.ready.is_some()
}

/// Whether a node has a pod that serves.
pub(crate) fn is_serving(node: &Node) -> bool {
    node.pods.iter().any(serves)
}

/// What the laws remember of a world that just changed.
pub(crate) fn remember(config: &Config, state: &mut State) {
    let (content, layout) = (state.spec.content, state.spec.layout);
    for node in &mut state.nodes {
        node.taken &= !is_serving(node);
        let asked = |pod: &Pod| serves(pod) && pod.content == content;
        node.proved |= node.pods.iter().any(asked);
    }
    let canary = |node: &&Node| node.facts.up && config.wave(layout, node.facts.pool) == 0;
    let well = |node: &Node| {
        let asked = |pod: &Pod| serves(pod) && pod.content == content;
        node.pods.iter().any(asked)
    };
    if config.soak == 0 || !state.nodes.iter().filter(canary).all(well) {
        state.calm = None;
        return;
    }
    let since: Moment = *state.calm.get_or_insert(0);
    state.soaked |= since <= -Moment::try_from(config.soak).unwrap();
}
