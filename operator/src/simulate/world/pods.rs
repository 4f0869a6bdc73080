//! The DaemonSet controller and the kubelets: how daemon pods come, run and go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::fault::{Fault, How};
use super::{Event, World};
use crate::observed::{Exit, PodView, Trouble};

impl World {
    pub(in crate::simulate) fn pod(&mut self, uid: &str) -> Option<&mut PodView> {
        self.observed.pods.get_mut(*self.pods.get(uid)?)
    }

    pub(in crate::simulate) fn add_pod(&mut self, pod: PodView) {
        self.pods.insert(pod.uid.clone(), self.observed.pods.len());
        self.observed.pods.push(pod);
    }

    pub(super) fn remove_pod(&mut self, uid: &str) -> Option<PodView> {
        let at = self.pods.remove(uid)?;
        let pod = self.observed.pods.swap_remove(at);
        if let Some(moved) = self.observed.pods.get(at) {
            self.pods.insert(moved.uid.clone(), at);
        }
        Some(pod)
    }

    /// Deletes a pod: it is gone after a while.
    pub(in crate::simulate) fn delete_pod(&mut self, uid: &str) {
        let Some(pod) = self.pod(uid).filter(|pod| !pod.deleting) else {
            return;
        };
        pod.deleting = true;
        let node = pod.node.clone();
        let delay = self.pace.stop.pick(self.seed, &["stop", &node, uid]);
        self.push(delay, Event::PodGone(uid.to_owned()));
    }

    /// Creates a daemon pod. Returns whether the operator has to look at it before it runs.
    pub(super) fn create_pod(&mut self, node: &str, wave: &str, revision: &str) -> bool {
        self.serial += 1;
        let uid = format!("pod-{}", self.serial);
        let gated = !self.desired.depends_on.is_empty();
        self.add_pod(PodView {
            name: uid.clone(),
            uid: uid.clone(),
            resource_version: "1".to_owned(),
            node: node.to_owned(),
            revision: revision.to_owned(),
            wave: wave.to_owned(),
            gated,
            created: self.now,
            ..PodView::default()
        });
        if gated {
            return true;
        }
        // Until the program runs there is nothing to decide, unless it comes too late or not at all.
        self.start_pod(&uid) || self.fault(node, revision, false).is_some()
    }

    /// Lets the program of a pod start after a while. Returns whether that is longer than the task grants.
    pub(in crate::simulate) fn start_pod(&mut self, uid: &str) -> bool {
        let Some(pod) = self.pod(uid) else {
            return false;
        };
        let (node, revision) = (pod.node.clone(), pod.revision.clone());
        let mut delay = self
            .pace
            .start
            .pick(self.seed, &["start", &node, &revision]);
        if let Some(fault) = self
            .fault(&node, &revision, false)
            .filter(|it| it.how == How::Slow)
        {
            delay = delay.saturating_add(fault.lasts.unwrap_or(0));
        }
        self.push(delay, Event::PodRuns(uid.to_owned()));
        Duration::from_secs(delay) >= self.desired.start_grace
    }

    pub(super) fn pod_gone(&mut self, uid: &str) -> bool {
        let Some(node) = self.pod(uid).map(|pod| pod.node.clone()) else {
            return false;
        };
        if !self.is_up(&node) {
            return false;
        }
        self.remove_pod(uid);
        let Some(view) = self.node(&node) else {
            return true;
        };
        let Some(wave) = self
            .desired
            .waves
            .get(view.wave)
            .map(|wave| wave.name.clone())
        else {
            return true;
        };
        let is_there =
            |pod: &PodView| pod.node == node && pod.wave == wave && pod.attempt.is_none();
        if self.observed.pods.iter().any(is_there) {
            return true;
        }
        let set = self
            .observed
            .daemon_sets
            .iter()
            .find(|it| it.wave == wave && !it.deleting);
        let template = set.and_then(|set| self.templates.get(&set.name)).cloned();
        match template {
            Some(revision) => self.create_pod(&node, &wave, &revision),
            None => true,
        }
    }

    /// The DaemonSet controller sees a template: it adopts, removes and creates pods.
    pub(super) fn template_seen(&mut self, name: &str) {
        let sets = &mut self.observed.daemon_sets;
        let Some(set) = sets.iter_mut().find(|it| it.name == name && !it.deleting) else {
            return;
        };
        set.settled = true;
        let (wave, revision) = (set.wave.clone(), set.revision.clone());
        self.templates.insert(name.to_owned(), revision.clone());
        let position = self.desired.waves.iter().position(|it| it.name == wave);
        let wanted: BTreeSet<String> = self
            .observed
            .nodes
            .iter()
            .filter(|node| Some(node.wave) == position)
            .map(|node| node.name.clone())
            .collect();
        let mut missing = wanted.clone();
        let mut surplus = Vec::new();
        for pod in self.observed.pods.iter_mut().filter(|pod| pod.wave == wave) {
            pod.orphan = false;
            missing.remove(&pod.node);
            if !wanted.contains(&pod.node) {
                surplus.push(pod.uid.clone());
            }
        }
        for uid in &surplus {
            self.delete_pod(uid);
        }
        for node in missing {
            self.create_pod(&node, &wave, &revision);
        }
    }

    pub(super) fn pod_runs(&mut self, uid: &str) {
        let Some(pod) = self.pod(uid).filter(|pod| !pod.deleting) else {
            return;
        };
        let (node, revision) = (pod.node.clone(), pod.revision.clone());
        if !self.is_up(&node) {
            return;
        }
        let fault = self.fault(&node, &revision, true);
        let now = self.now;
        let Some(pod) = self.pod(uid) else { return };
        let Some(fault) = fault else {
            pod.started = true;
            pod.ready_since.get_or_insert(now);
            return;
        };
        pod.started = fault.how != How::Image;
        match fault.how {
            How::Crash => {
                pod.recent_restarts = 1;
                pod.trouble = Some(trouble(
                    "CrashLoopBackOff",
                    "back-off restarting failed container",
                ));
                pod.exit = Some(exit(&fault));
            }
            How::Image => {
                pod.trouble = Some(trouble("ImagePullBackOff", "the image cannot be pulled"));
            }
            How::NeverReady => {}
            How::Slow | How::Breaks | How::NodeLost | How::Condition | How::Dead => {
                pod.ready_since.get_or_insert(now);
            }
        }
        let after = fault.after.unwrap_or(0);
        if fault.how == How::Breaks {
            self.push(after, Event::PodBreaks(uid.to_owned()));
        }
        self.hurt(&node, &fault);
    }

    /// What a fault does to the node under the program.
    pub(super) fn hurt(&mut self, node: &str, fault: &Fault) {
        let after = fault.after.unwrap_or(0);
        if fault.how == How::Condition {
            self.push(after, Event::ConditionLost(node.to_owned()));
        } else if fault.how == How::NodeLost {
            self.push(after, Event::NodeDown(node.to_owned()));
            if let Some(lasts) = fault.lasts {
                self.push(after.saturating_add(lasts), Event::NodeUp(node.to_owned()));
            }
        }
    }
}

pub(super) fn trouble(reason: &str, message: &str) -> Trouble {
    Trouble {
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

pub(super) fn exit(fault: &Fault) -> Exit {
    Exit {
        code: fault.code,
        reason: "Error".to_owned(),
        message: fault.message.clone(),
    }
}
