//! The Job controller: how the programs of Jobs end.

use super::super::fault::How;
use super::pods::{exit, trouble};
use super::{Event, World};
use crate::observed::{Exit, JobEnd, PodView};

impl World {
    /// A Job was created: its program ends after a while, or never.
    pub(in crate::simulate) fn start_job(&mut self, name: &str, node: &str, revision: &str) {
        let fault = self.fault(node, revision, true);
        let mut delay = self.pace.run.pick(self.seed, &["run", node, name]);
        let how = fault.as_ref().map(|fault| fault.how);
        if let Some(fault) = &fault {
            delay =
                delay.saturating_add(fault.lasts.filter(|_| fault.how == How::Slow).unwrap_or(0));
            self.hurt(node, fault);
        }
        let deadline = self.desired.job.active_deadline.map(|it| it.as_secs());
        let stuck = matches!(how, Some(How::NeverReady | How::Image));
        let late = deadline.is_some_and(|deadline| stuck || delay > deadline);
        if how == Some(How::Image) {
            self.serial += 1;
            let uid = format!("pod-{}", self.serial);
            let job = self.observed.jobs.iter().find(|job| job.name == name);
            let attempt = job.map(|job| job.attempt);
            self.add_pod(PodView {
                name: name.to_owned(),
                uid,
                node: node.to_owned(),
                revision: revision.to_owned(),
                attempt,
                created: self.now,
                trouble: Some(trouble("ImagePullBackOff", "the image cannot be pulled")),
                ..PodView::default()
            });
        }
        match (late, deadline) {
            (true, Some(deadline)) => self.push(deadline, Event::JobEnds(name.to_owned())),
            _ if stuck => {}
            _ => self.push(delay, Event::JobEnds(name.to_owned())),
        }
        let exit = match (&fault, late) {
            (_, true) => None,
            (Some(fault), false) if fault.how == How::Crash => Some(exit(fault)),
            _ => Some(Exit::default()),
        };
        self.exits.insert(name.to_owned(), exit);
    }

    pub(super) fn job_ends(&mut self, name: &str) {
        let now = self.now;
        let (success, reboot) = (
            self.desired.job.success.clone(),
            self.desired.job.reboot_required.clone(),
        );
        let machines = &self.machines;
        let is_up = |node: &str| machines.get(node).is_some_and(|machine| machine.ready);
        let mut jobs = self
            .observed
            .jobs
            .iter_mut()
            .filter(|job| job.end.is_none());
        let Some(job) = jobs.find(|job| job.name == name && is_up(&job.node)) else {
            return;
        };
        let exit = self.exits.remove(name).flatten();
        let code = exit.as_ref().map(|exit| exit.code);
        let reason = match code {
            None => "DeadlineExceeded",
            Some(0) => "",
            Some(code) if success.contains(&code) || reboot.contains(&code) => "PodFailurePolicy",
            Some(_) => "BackoffLimitExceeded",
        };
        job.end = Some(JobEnd {
            complete: code == Some(0),
            reason: reason.to_owned(),
            message: String::new(),
            time: now,
            exit,
        });
        let (node, revision) = (job.node.clone(), job.revision.clone());
        self.drop_job_pods(&node, &revision);
    }

    /// The pods of a Job end with it.
    pub(in crate::simulate) fn drop_job_pods(&mut self, node: &str, revision: &str) {
        let gone: Vec<String> = self
            .observed
            .pods
            .iter()
            .filter(|pod| pod.attempt.is_some() && pod.node == node && pod.revision == revision)
            .map(|pod| pod.uid.clone())
            .collect();
        for uid in gone {
            self.remove_pod(&uid);
        }
    }
}
