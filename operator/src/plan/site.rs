//! `Site`: the Jobs and pods of one node, for the modes that run Jobs: what ended there, what runs, and what is in the way.
//! Pure.

use std::collections::BTreeMap;

use hosttask_crds::node::{LedgerEntry, LedgerState};
use jiff::Timestamp;

use super::failure::Verdict;
use super::outcome::{calls_for_program, ended};
use super::{Action, failure};
use crate::desired::{Desired, RerunOn};
use crate::observed::{JobEnd, JobView, NodeView, Observed, PodView};
use crate::revision::{Run, Step};

/// The Jobs, and the pods that did not end, by node.
#[derive(Debug, Default)]
pub(super) struct Children<'a> {
    jobs: BTreeMap<&'a str, Vec<&'a JobView>>,
    pods: BTreeMap<&'a str, Vec<&'a PodView>>,
}

impl<'a> Children<'a> {
    /// Sorts what was observed.
    pub(super) fn of(observed: &'a Observed) -> Self {
        let mut children = Self::default();
        for job in &observed.jobs {
            children.jobs.entry(&job.node).or_default().push(job);
        }
        for pod in observed.pods.iter().filter(|pod| !pod.finished) {
            children.pods.entry(&pod.node).or_default().push(pod);
        }
        children
    }

    /// What belongs to a node. It is taken out: each node is asked for once.
    pub(super) fn take(&mut self, node: &'a NodeView) -> Site<'a> {
        let name = node.name.as_str();
        let jobs = self.jobs.remove(name).unwrap_or_default();
        // A node that was deleted and registered again did not run what its predecessor ran.
        let is_ours = |job: &&JobView| !jobs_differ(job, node);
        let (jobs, former) = jobs.into_iter().partition(is_ours);
        Site {
            node,
            jobs,
            former,
            pods: self.pods.remove(name).unwrap_or_default(),
        }
    }
}

fn jobs_differ(job: &JobView, node: &NodeView) -> bool {
    // Both parts in place: a fleet of thousands has no text made of each node.
    job.machine.split_once('/') != Some((node.uid.as_str(), node.system_uuid.as_str()))
}

/// One node.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) node: &'a NodeView,
    /// Jobs of this machine.
    jobs: Vec<&'a JobView>,
    /// Jobs of another machine that had the node's name.
    former: Vec<&'a JobView>,
    pods: Vec<&'a PodView>,
}

impl<'a> Site<'a> {
    /// The newest Job that ended since `last` was recorded: of `update`, or of any revision where that is none.
    pub(super) fn ended(
        &self,
        update: Option<&str>,
        last: Option<&LedgerEntry>,
    ) -> Option<(&'a JobView, &'a JobEnd)> {
        self.jobs
            .iter()
            .filter(|job| update.is_none_or(|update| job.revision == update))
            .filter_map(|job| job.end.as_ref().map(|end| (*job, end)))
            .filter(|(job, _)| last.is_none_or(|last| is_later(job, last)))
            .max_by_key(|(job, _)| (run(job), job.created))
    }

    /// The program that is to follow a check: it found something to do, and the program was not started since.
    pub(super) fn follows(&self, end: Option<(&'a JobView, &'a JobEnd)>) -> Option<Run> {
        let (check, _) = end.filter(|(job, end)| job.check && calls_for_program(end))?;
        let program = Run {
            step: Step::Program,
            ..run(check)
        };
        let is_known = |job: &&JobView| run(job) == program && job.revision == check.revision;
        (!self.jobs.iter().any(is_known)).then_some(program)
    }

    /// The Job that runs. It holds its slot even where the node was away before it was created: it runs once the node is
    /// back. Of several (an old revision's beside ours), the newest is the one to report.
    pub(super) fn running(&self, update: &str) -> Option<&'a JobView> {
        self.jobs
            .iter()
            .copied()
            .filter(|job| job.end.is_none())
            .max_by_key(|job| (job.revision == update, run(job)))
    }

    /// The highest attempt at a revision and a time of the schedule that has a Job.
    pub(super) fn tried(&self, update: &str, tick: Option<Timestamp>) -> i32 {
        let of_run =
            |job: &&&JobView| job.tick == tick && (tick.is_some() || job.revision == update);
        let attempts = self.jobs.iter().filter(of_run).map(|job| job.attempt);
        attempts.max().unwrap_or(0)
    }

    /// Deletes Jobs that were created for the former machine: they are pinned by the node's name and would run beside ours.
    /// They go even from a paused task, which starts nothing.
    pub(super) fn strangers(&self) -> impl Iterator<Item = Action> {
        let running = self.former.iter().filter(|job| job.end.is_none());
        running.filter_map(|job| delete(job))
    }

    /// Deletes Jobs of older revisions that never started their program.
    pub(super) fn stuck(&self, update: &str) -> impl Iterator<Item = Action> {
        self.jobs
            .iter()
            .filter(move |job| job.end.is_none() && job.revision != update)
            .filter(|job| {
                let pod = self.pod_of(job);
                pod.is_some_and(failure::is_stuck)
            })
            .filter_map(|job| delete(job))
    }

    /// Deletes the Jobs that run, to make room for the next run.
    pub(super) fn replaced(&self) -> impl Iterator<Item = Action> {
        let running = self.jobs.iter().filter(|job| job.end.is_none());
        running.filter_map(|job| delete(job))
    }

    /// Why the node cannot be started, where nothing but leftovers keeps it.
    pub(super) fn leftover(&self) -> Option<&'static str> {
        if self.former.iter().any(|job| job.end.is_none()) {
            return Some("the Job of its former machine is deleted");
        }
        // A Job is gone before its pod is, and only the end of the pod is the end of the program.
        let has_job = |pod: &PodView| {
            let mut all = self.jobs.iter().chain(&self.former);
            all.any(|job| is_of(pod, job))
        };
        let orphaned = self.pods.iter().any(|pod| !has_job(pod));
        orphaned.then_some("the pod of a deleted Job ends")
    }

    /// How a Job does that did not get so far as to run anything; none where it did, or its node does not answer.
    pub(super) fn judge(
        &self,
        job: &JobView,
        desired: &Desired,
        now: Timestamp,
    ) -> Option<Verdict> {
        let pod = self.pod_of(job);
        let stuck = pod.filter(|pod| self.node.ready && failure::is_stuck(pod))?;
        let mut verdict = failure::judge(stuck, desired, now);
        if let Verdict::Failed { failure, .. } = &mut verdict {
            failure.attempts = Some(job.attempt);
        }
        Some(verdict)
    }

    /// What a Job is at, in a few words.
    pub(super) fn progress(&self, job: &JobView) -> &'a str {
        let pod = self.pod_of(job);
        let trouble = pod.and_then(|pod| pod.trouble.as_ref());
        match trouble.map(|trouble| trouble.reason.as_str()) {
            _ if !self.node.ready => "node not ready",
            Some(trouble) => trouble,
            None if job.check => "being checked",
            None => "running",
        }
    }

    /// The pod that a Job runs.
    fn pod_of(&self, job: &JobView) -> Option<&'a PodView> {
        self.pods.iter().copied().find(|pod| is_of(pod, job))
    }

    /// Whether any pod of the task runs on the node.
    pub(super) fn has_pods(&self) -> bool {
        !self.pods.is_empty()
    }
}

/// Whether the node rebooted since an entry's program ended, and the task is to run again then.
pub(super) fn is_rebooted(rerun: RerunOn, entry: &LedgerEntry, node: &NodeView) -> bool {
    rerun.node_reboot
        && !node.boot_id.is_empty()
        && entry
            .boot_id
            .as_ref()
            .is_some_and(|boot| *boot != node.boot_id)
}

/// Whether the program ended well.
pub(super) fn is_success(entry: &LedgerEntry) -> bool {
    matches!(
        entry.state,
        LedgerState::Succeeded | LedgerState::RebootPending
    )
}

/// Which step an attempt begins with.
pub(super) fn first_step(desired: &Desired) -> Step {
    match desired.job.check {
        Some(_) => Step::Check,
        None => Step::Program,
    }
}

/// Which run a Job is.
pub(super) fn run(job: &JobView) -> Run {
    Run {
        tick: job.tick,
        attempt: job.attempt,
        step: if job.check {
            Step::Check
        } else {
            Step::Program
        },
    }
}

/// Whether a Job ran after an entry. Another revision that ran since is what the node is like now, whether or not its Job is
/// still there: then only what was created later counts.
fn is_later(job: &JobView, last: &LedgerEntry) -> bool {
    if job.tick.is_some() {
        let last = (last.scheduled_time.as_ref().map(|it| it.0), last.attempts);
        return (job.tick, job.attempt) > last;
    }
    if last.revision == job.revision {
        return job.attempt > last.attempts;
    }
    job.created >= ended(last)
}

/// Whether a Job made this pod.
fn is_of(pod: &PodView, job: &JobView) -> bool {
    let known = !pod.job.is_empty() && !job.uid.is_empty();
    if known {
        return pod.job == job.uid;
    }
    // The watch has not shown the Job yet.
    pod.revision == job.revision && pod.attempt.is_none_or(|attempt| attempt == job.attempt)
}

/// Deletes a Job, unless that is under way, or the watch has not shown yet which one it is.
fn delete(job: &JobView) -> Option<Action> {
    (!job.deleting && !job.uid.is_empty()).then(|| Action::DeleteJob {
        name: job.name.clone(),
        uid: job.uid.clone(),
        node: job.node.clone(),
    })
}
