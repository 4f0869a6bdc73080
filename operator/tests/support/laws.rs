//! The laws of what `plan` writes, and of what happens to pods because of it.
//!
//! Longer than 400 lines: the laws of one write, each beside the next.

use std::collections::{BTreeMap, BTreeSet};

use hosttask_crds::label;
use hosttask_crds::task::FailureAction;
use hosttask_operator::desired::{Amount, Desired};
use hosttask_operator::observed::{JobView, NodeView, PodView};
use hosttask_operator::plan::{Action, Plan};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::batch::v1::Job;

use crate::cluster::{Cluster, PodEvent, World};
use crate::controllers::pod_labels;
use crate::truth;
use crate::waves::Waves;

/// What is remembered of a history to judge the next step by.
#[derive(Default)]
pub(crate) struct Laws {
    /// Daemon: nodes whose healthy pod we deleted, until a pod is healthy there again.
    /// With the revision that it was deleted for.
    pub(crate) ours: BTreeMap<String, String>,
    /// RunOnce: what ended well, by machine and revision.
    pub(crate) done: BTreeSet<(String, String)>,
    pub(crate) waves: Waves,
}

/// Where a rollout goes.
#[derive(Clone, Copy, PartialEq)]
enum Course {
    Forward,
    /// The stable revision is brought back.
    Back,
    /// The revision failed, and nothing is to be started.
    Standing,
}

/// Where one pass goes.
struct Way {
    update: String,
    /// The revision that pods are replaced by.
    target: String,
    /// Whether the update revision was rolled out before, or is the one that is known to work.
    free: bool,
    course: Course,
    /// Whether the rollout was over before: nodes that join get what the others have at once.
    finished: bool,
    /// Whether this pass answers the retry annotation.
    retries: bool,
}

impl Way {
    fn of(cluster: &Cluster, plan: &Plan) -> Self {
        let before = &cluster.status;
        let update = plan.status.update_revision.clone().unwrap();
        let stable = before.stable_revision.clone();
        let failed = plan.status.failed_revision.as_ref() == Some(&update);
        let action = cluster.desired.failure_policy.map(|policy| policy.action);
        let stable = stable.filter(|stable| *stable != update);
        // Where another task works on a node that failed, the retry goes on until that one is tried again, too.
        let asked = &cluster.requests.retry;
        let partly = asked.is_some()
            && *asked != before.last_handled_retry
            && before.failed_revision.as_ref() == Some(&update)
            && !cluster.world.grants.busy.is_empty();
        let latched = failed && !partly;
        let course = match (latched, action, &stable) {
            (false, ..) => Course::Forward,
            (true, Some(FailureAction::Rollback), Some(_)) => Course::Back,
            (true, ..) => Course::Standing,
        };
        let target = stable.filter(|_| course == Course::Back);
        Self {
            target: target.unwrap_or_else(|| update.clone()),
            free: before.stable_revision.as_ref() == Some(&update),
            finished: before.stable_revision.as_ref() == Some(&update)
                && before.update_revision.as_ref() == Some(&update)
                && before.wave.is_none(),
            course,
            retries: partly || plan.status.last_handled_retry != before.last_handled_retry,
            update,
        }
    }
}

impl Way {
    fn is_back(&self) -> bool {
        self.course == Course::Back
    }
}

impl Laws {
    /// Judges the writes of a pass.
    pub(crate) fn check(&mut self, cluster: &Cluster, plan: &Plan) {
        let way = Way::of(cluster, plan);
        let desired = &cluster.desired;
        let held = desired.suspend || desired.paused || way.course == Course::Standing;
        let mut after = cluster.seen.clone();
        let mut starts = 0;
        for action in &plan.actions {
            match action {
                Action::DeletePod { uid, node, .. } => {
                    let pod = after
                        .pods
                        .iter()
                        .find(|pod| pod.uid == *uid)
                        .unwrap()
                        .clone();
                    assert!(
                        !desired.suspend && !desired.paused,
                        "a held task starts no node"
                    );
                    if way.retries && pod.revision == way.update && pod.ready_since.is_none() {
                        continue;
                    }
                    assert!(!held, "a failed revision starts no node");
                    self.check_delete(cluster, &mut after, &pod, &way);
                    check_gates(cluster, node, &way);
                    self.check_turn(cluster, node, &way);
                    starts += 1;
                }
                Action::CreateJob(job) => {
                    assert!(!held, "a held task starts no node");
                    let node = self.check_job(cluster, &mut after, job, &way.update);
                    check_gates(cluster, &node, &way);
                    self.check_turn(cluster, &node, &way);
                    starts += 1;
                }
                Action::ApplyDaemonSet(set) => self.check_template(cluster, set, &way),
                Action::UngatePod { node, .. } => check_dependency(cluster, node),
                Action::CheckDaemonSet(_)
                | Action::CheckJob(_)
                | Action::CreateRevision(_)
                | Action::RenumberRevision { .. }
                | Action::DeleteRevision { .. }
                | Action::OrphanDaemonSet { .. }
                | Action::MovePod { .. }
                | Action::DeleteJob { .. }
                | Action::RecordResult { .. }
                | Action::Publish(_) => {}
            }
            if desired.suspend {
                check_suspended(cluster, action);
            }
        }
        let slots = cluster.seen.grants.slots;
        assert!(
            slots.is_none_or(|slots| starts <= slots),
            "{starts} starts, {slots:?} granted"
        );
    }

    /// `after` is what the operator has seen, with the deletes of this pass so far.
    fn check_delete(&mut self, cluster: &Cluster, after: &mut World, pod: &PodView, way: &Way) {
        let Cluster {
            desired,
            seen,
            world,
            status,
            ..
        } = cluster;
        let node = seen
            .nodes
            .iter()
            .find(|node| node.name == pod.node)
            .unwrap();
        assert!(
            !pod.deleting && pod.revision != way.target,
            "{pod:?} needs no replacement"
        );
        // What failed is taken away from a node whatever conditions it lost.
        let is_here =
            |node: &NodeView| node.ready && (way.is_back() || truth::is_reachable(desired, node));
        assert!(is_here(node), "{} does not answer", node.name);
        let wave = truth::wave_of(desired, seen, &node.name);
        assert_eq!(
            cluster.template_of(&desired.waves[wave].name).as_ref(),
            Some(&way.target),
            "the controller would start another template"
        );
        let max = max(desired, seen, wave, way);
        after
            .pods
            .iter_mut()
            .filter(|it| it.uid == pod.uid)
            .for_each(|pod| pod.deleting = true);
        if pod.ready_since.is_some() {
            let disturbed = truth::disturbed(desired, after, wave);
            assert!(
                disturbed <= max,
                "{disturbed} nodes disturbed, {max} allowed"
            );
        } else {
            let flight = truth::in_flight(desired, after, wave, &way.target);
            assert!(flight <= max, "{flight} nodes in flight, {max} allowed");
        }
        // Taking one more serving node is what the budget is about, whatever the watches missed.
        let serving = |it: &PodView| it.uid == pod.uid && it.ready_since.is_some();
        let update = || way.update.clone();
        if world.pods.iter().any(serving)
            && self.ours.insert(node.name.clone(), update()).is_none()
            && status.wave.is_some()
        {
            let is_of_wave = |name: &str| {
                seen.labels.contains_key(name)
                    && truth::is_selected(desired, seen, name)
                    && truth::wave_of(desired, seen, name) == wave
            };
            // A node that fell silent in the rollout of another revision, or lacks a condition, is skipped.
            let holds = |(name, revision): &(&String, &String)| {
                is_of_wave(name)
                    && truth::holds_slot(desired, world, name, **revision == way.update)
            };
            let held = self.ours.iter().filter(holds).count();
            assert!(
                held <= max,
                "we took {held} healthy nodes, {max} allowed: {:?}",
                self.ours
            );
        }
        if way.is_back() {
            for later in wave + 1..desired.waves.len() {
                for other in truth::wave(desired, seen, later) {
                    let failed = after.pods.iter().any(|pod| {
                        pod.node == other.name && !pod.deleting && pod.revision != way.target
                    });
                    assert!(
                        !(failed && is_here(other)),
                        "{} is in a newer wave",
                        other.name
                    );
                }
            }
        }
    }

    /// Returns the node.
    fn check_job(
        &mut self,
        cluster: &Cluster,
        after: &mut World,
        job: &Job,
        update: &str,
    ) -> String {
        let annotations = job.metadata.annotations.as_ref().unwrap();
        let machine = annotations[label::MACHINE].clone();
        let node = annotations[label::NODE].clone();
        assert!(
            !self.done.contains(&(machine.clone(), update.to_owned())),
            "{machine} ran {update} already"
        );
        // What another revision did to the node may have to be done again.
        self.done
            .retain(|(it, revision)| *it != machine || revision == update);
        after.jobs.push(JobView {
            node: node.clone(),
            ..JobView::default()
        });
        let running = after.jobs.iter().filter(|job| job.end.is_none());
        let running: BTreeSet<_> = running.map(|job| &job.node).collect();
        let desired = &cluster.desired;
        let wave = truth::wave_of(desired, &cluster.seen, &node);
        let nodes = truth::wave(desired, after, wave);
        let busy = nodes.filter(|node| running.contains(&node.name)).count();
        let max = budget(desired, wave);
        assert!(busy <= max, "{busy} nodes run a Job, {max} allowed");
        node
    }

    /// Whether it may be the turn of the node's wave.
    fn check_turn(&self, cluster: &Cluster, node: &str, way: &Way) {
        let wave = truth::wave_of(&cluster.desired, &cluster.seen, node);
        if !way.is_back() {
            self.check_wave(cluster, wave, way);
        }
    }

    fn check_wave(&self, cluster: &Cluster, wave: usize, way: &Way) {
        let Cluster {
            desired, seen, now, ..
        } = cluster;
        if way.free {
            return;
        }
        for earlier in 0..wave {
            let mut nodes = truth::wave(desired, seen, earlier);
            let is_empty = !nodes.any(|node| truth::is_reachable(desired, node));
            assert!(
                is_empty || self.waves.passed.contains(&earlier),
                "wave {wave} starts, {earlier} is not passed ({:?} at {now})",
                self.waves.soaked
            );
        }
    }

    /// A template decides what nodes get that join, or lose their pod.
    fn check_template(&self, cluster: &Cluster, set: &DaemonSet, way: &Way) {
        let Cluster {
            desired, seen, now, ..
        } = cluster;
        let labels = pod_labels(set);
        let (name, revision) = (&labels[label::WAVE], &labels[label::REVISION]);
        let wave = desired
            .waves
            .iter()
            .position(|wave| wave.name == *name)
            .unwrap();
        if way.is_back() {
            assert_eq!(
                *revision, way.target,
                "{name} gets another revision than the stable one"
            );
        }
        let known = seen.daemon_sets.iter().find(|set| set.wave == *name);
        let has_pods = || {
            let mut pods = seen.pods.iter();
            pods.any(|pod| pod.wave == *name && pod.revision == *revision)
        };
        // Pods whose DaemonSet was taken away for other waves get one back whatever else holds.
        let returns = known.is_none() && has_pods();
        let begins = *revision == way.update && known.is_none_or(|set| set.revision != way.update);
        if begins && !returns && !way.free {
            assert!(
                !desired.paused && !desired.suspend && way.course != Course::Standing,
                "{name} begins"
            );
            assert!(
                truth::is_open(desired, *now),
                "{name} begins outside the window"
            );
            self.check_wave(cluster, wave, way);
        }
    }
}

/// How many nodes of a wave may be disturbed on this way.
fn max(desired: &Desired, seen: &World, wave: usize, way: &Way) -> usize {
    let quarter = truth::wave(desired, seen, wave).count() / 4;
    let own = budget(desired, wave);
    if way.is_back() {
        own.max(quarter.max(1))
    } else {
        own
    }
}

fn budget(desired: &Desired, wave: usize) -> usize {
    let own = desired.waves[wave].max_unavailable;
    let Amount::Count(max) = own.unwrap_or(desired.max_unavailable) else {
        panic!("the laws count nodes")
    };
    usize::try_from(max).unwrap()
}

fn check_gates(cluster: &Cluster, node: &str, way: &Way) {
    let Cluster {
        desired, seen, now, ..
    } = cluster;
    let busy = &seen.grants.busy;
    assert!(!busy.contains_key(node), "another task works on {node}");
    if !way.is_back() {
        assert!(
            way.finished || truth::is_open(desired, *now),
            "{node} starts outside the window"
        );
        check_dependency(cluster, node);
    }
}

fn check_dependency(cluster: &Cluster, node: &str) {
    let Cluster { desired, seen, .. } = cluster;
    let done = seen
        .dependency
        .as_ref()
        .is_some_and(|done| done.contains(node));
    assert!(
        desired.depends_on.is_empty() || done,
        "{node} waits for another task"
    );
}

/// A suspended task does nothing but finish what would leave pods without a DaemonSet.
fn check_suspended(cluster: &Cluster, action: &Action) {
    let begun = || {
        cluster.seen.daemon_sets.iter().any(|set| set.deleting)
            || cluster.seen.pods.iter().any(|pod| pod.orphan)
    };
    let is_handing_over = matches!(
        action,
        Action::OrphanDaemonSet { .. } | Action::MovePod { .. } | Action::ApplyDaemonSet(_)
    );
    let tells = matches!(action, Action::RecordResult { .. } | Action::Publish(_));
    let finishes = tells || (is_handing_over && begun());
    assert!(finishes, "a suspended task writes {action:?}");
}

/// Only content restarts pods: a controller deletes none, and makes no second one, unless its node changed its label or is
/// selected no longer (or not again since).
pub(crate) fn check_pods(cluster: &mut Cluster) {
    for event in std::mem::take(&mut cluster.events) {
        let may_move = |pod: &PodView| {
            let moved = cluster.moved.get(&pod.node);
            moved.is_some_and(|moved| *moved > cluster.born[&pod.uid])
                || !truth::is_selected(&cluster.desired, &cluster.world, &pod.node)
        };
        let is_late = |pod: &PodView| may_move(pod) || cluster.strays.contains(&pod.node);
        match event {
            PodEvent::Deleted { pod, kept } => assert!(
                may_move(&pod) || kept.iter().any(is_late),
                "{pod:?} is deleted, beside {kept:?}"
            ),
            PodEvent::Made { pod, beside } => assert!(
                beside.iter().all(is_late),
                "{pod:?} is made beside {beside:?}"
            ),
        }
    }
}
