//! What the operator sees, in the words of the model and in those of the shipped plan.

use hosttask_operator::desired::Desired;
use hosttask_operator::observed::{
    DaemonSetState, Exit, JobEnd, JobView, NodeView, Observed, PodView, RevisionView, Trouble,
};
use hosttask_operator::revision;
use jiff::Timestamp;

use crate::config::{TICK, WAVES};
use crate::state::{Document, FOREVER, Facts, Job, Moment, Pod, Set, Spec};
use crate::words::Words;

/// The moment that is always now.
pub(crate) const NOW: i64 = 1_699_999_980;

/// What the operator sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub(crate) spec: Spec,
    pub(crate) facts: Vec<Facts>,
    pub(crate) pods: Vec<Vec<Pod>>,
    pub(crate) jobs: Vec<Vec<Job>>,
    pub(crate) ledger: Vec<Option<Document>>,
    pub(crate) sets: [Option<Set>; 2],
    pub(crate) history: Vec<u8>,
    pub(crate) status: Document,
}

impl Words {
    /// What the shipped plan is given.
    pub(crate) fn observed(&self, view: &View, desired: &Desired) -> Observed {
        let mut observed = Observed {
            status: self.status(view.status),
            created: time(-100),
            ..Observed::default()
        };
        observed.requests.retry = (view.spec.retry > 0).then(|| view.spec.retry.to_string());
        for (at, facts) in view.facts.iter().enumerate() {
            observed.nodes.push(NodeView {
                name: node_name(at),
                uid: format!("uid-{at}-{}", facts.machine),
                ready: facts.up,
                ready_changed: Some(time(facts.changed)),
                system_uuid: format!("machine-{at}-{}", facts.machine),
                boot_id: "boot".into(),
                wave: self.positions[usize::from(view.spec.layout)][usize::from(facts.pool)],
                topology: vec![None; desired.order.len()],
                ..NodeView::default()
            });
            let pods = view.pods[at].iter();
            observed.pods.extend(pods.map(|pod| self.pod(at, pod)));
            let jobs = view.jobs[at].iter().filter(|job| !job.foreign);
            observed.jobs.extend(jobs.map(|job| self.job(at, job)));
            if let Some(entry) = view.ledger[at] {
                observed.ledger.insert(node_name(at), self.entry(entry));
            }
        }
        for (wave, set) in view.sets.iter().enumerate() {
            let Some(set) = set else { continue };
            observed.daemon_sets.push(DaemonSetState {
                name: revision::daemon_set_name("agent", WAVES[wave]),
                uid: format!("set-{wave}-{}", set.id),
                applied: self.applied(set.applied),
                revision: self.revisions[usize::from(set.content)].clone(),
                settled: set.settled,
                deleting: set.deleting > 0,
                wave: WAVES[wave].into(),
                layout: self.layouts[usize::from(set.layout)].clone(),
            });
        }
        observed.daemon_sets.sort_by(|a, b| a.name.cmp(&b.name));
        for (at, content) in view.history.iter().enumerate() {
            observed.revisions.push(RevisionView {
                name: self.revisions[usize::from(*content)].clone(),
                uid: format!("revision-{content}"),
                number: i64::try_from(at).unwrap() + 1,
                digest: self.contents[usize::from(*content)].1.clone(),
                ours: true,
            });
        }
        let stable = observed.status.stable_revision.as_ref();
        observed.stable_content = stable
            .and_then(|name| self.content_of(name))
            .map(|it| self.contents[usize::from(it)].0.clone());
        observed
    }

    fn pod(&self, node: usize, pod: &Pod) -> PodView {
        PodView {
            name: format!("pod-{node}-{}", pod.id),
            uid: format!("uid-{node}-{}", pod.id),
            resource_version: "1".into(),
            node: node_name(node),
            revision: self.revisions[usize::from(pod.content)].clone(),
            wave: WAVES[usize::from(pod.wave)].into(),
            orphan: pod.owner.is_none(),
            created: time(pod.created),
            ready_since: pod.ready.map(time),
            unready_since: pod.unready.map(time),
            deleting: pod.deleting,
            started: true,
            recent_restarts: if pod.crashing { 5 } else { 0 },
            trouble: pod.crashing.then(|| Trouble {
                reason: "CrashLoopBackOff".into(),
                message: "back-off".into(),
            }),
            ..PodView::default()
        }
    }

    fn job(&self, node: usize, job: &Job) -> JobView {
        let revision = self.revisions[usize::from(job.content)].clone();
        let machine = format!("uid-{node}-{0}/machine-{node}-{0}", job.machine);
        let attempt = i32::from(job.attempt);
        let name = revision::job_name("agent", "task-uid", &revision, &machine, attempt);
        JobView {
            name: format!("{name}{}", ["", "-x", "-y", "-z"][usize::from(job.salt)]),
            uid: if job.known {
                format!("job-{node}-{}", job.id)
            } else {
                String::new()
            },
            node: node_name(node),
            machine,
            revision,
            attempt,
            created: time(job.created),
            deleting: job.deleting,
            end: job.end.map(|(good, ended)| JobEnd {
                complete: good,
                time: time(ended),
                exit: Some(Exit {
                    code: if good { 0 } else { 1603 },
                    ..Exit::default()
                }),
                ..JobEnd::default()
            }),
            ..JobView::default()
        }
    }
}

fn node_name(node: usize) -> String {
    format!("win-{node}")
}

/// A moment as the plan reads it.
pub(crate) fn time(moment: Moment) -> Timestamp {
    let ticks = if moment == FOREVER {
        -200
    } else {
        moment.into()
    };
    Timestamp::from_second(NOW + i64::from(ticks) * TICK).unwrap()
}
