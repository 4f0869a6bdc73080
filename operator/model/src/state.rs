//! The state of the model: small, hashable, and without an absolute clock.
//!
//! Times are ticks relative to now, so that a world that only grew older is the same state again. What is older than every
//! delay of the configuration keeps its order and nothing else.

/// Ticks from now: 0 is now, negative is past, positive is to come.
pub(crate) type Moment = i8;
/// Before everything the model looks at.
pub(crate) const FOREVER: Moment = i8::MIN;
/// More ticks than any delay of a configuration.
const HORIZON: i8 = 5;

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spec {
    /// The content, by its position in the configuration's list.
    pub(crate) content: u8,
    /// The division of the fleet, by its position in the configuration's list.
    pub(crate) layout: u8,
    pub(crate) paused: bool,
    pub(crate) approved: bool,
    pub(crate) window_closed: bool,
    /// How often a retry was asked for.
    pub(crate) retry: u8,
}

/// A Windows node, as the API server has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) up: bool,
    pub(crate) changed: Moment,
    /// The value of the label that the waves select by.
    pub(crate) pool: u8,
    /// Which machine it is.
    pub(crate) machine: u8,
}

/// A daemon pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pod {
    /// Its identity among all pods of its node that anybody still knows.
    pub(crate) id: u8,
    pub(crate) content: u8,
    /// The wave of its label.
    pub(crate) wave: u8,
    /// The wave of the DaemonSet that controls it.
    pub(crate) owner: Option<u8>,
    pub(crate) deleting: bool,
    pub(crate) created: Moment,
    pub(crate) ready: Option<Moment>,
    pub(crate) unready: Option<Moment>,
    pub(crate) crashing: bool,
}

/// A Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Job {
    /// Its identity among all Jobs of its node that anybody still knows.
    pub(crate) id: u8,
    /// Nonzero where its name was generated.
    pub(crate) salt: u8,
    pub(crate) content: u8,
    pub(crate) attempt: u8,
    pub(crate) machine: u8,
    pub(crate) created: Moment,
    /// Whether the watch has shown it: the UID is known.
    pub(crate) known: bool,
    pub(crate) deleting: bool,
    pub(crate) end: Option<(bool, Moment)>,
    /// Somebody else's Job under the name of one of ours.
    pub(crate) foreign: bool,
}

/// A document of the API that is told apart by a number, and its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Document {
    pub(crate) number: u16,
    pub(crate) times: [Option<Moment>; 4],
}

/// The DaemonSet of a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Set {
    pub(crate) id: u8,
    pub(crate) layout: u8,
    pub(crate) content: u8,
    /// The hash of what was applied, by number.
    pub(crate) applied: u16,
    /// The template that its controller has seen.
    pub(crate) seen: Option<u8>,
    pub(crate) settled: bool,
    /// Deleted with its pods orphaned: 1 as asked for, 2 with the pods let go.
    pub(crate) deleting: u8,
}

/// A node, what is on it, and what the laws remember of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) facts: Facts,
    pub(crate) pods: Vec<Pod>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) ledger: Option<Document>,
    /// We deleted a pod here, and none has served since.
    pub(crate) taken: bool,
    /// The content asked for has served here.
    pub(crate) proved: bool,
    /// Something befell the node that excuses it from its wave: it was away, is another machine or was relabelled.
    pub(crate) befallen: bool,
    /// It was relabelled: Kubernetes itself may restart its pod.
    pub(crate) relabelled: bool,
    /// The content that a Job ran to a good end on this machine.
    pub(crate) done: Option<u8>,
}

/// An object whose watch lags: what the operator sees instead of the truth.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lag {
    Facts {
        node: u8,
        shown: Facts,
    },
    Pods {
        node: u8,
        shown: Vec<Pod>,
        raw: Vec<Pod>,
    },
    Jobs {
        node: u8,
        shown: Vec<Job>,
        raw: Vec<Job>,
    },
    Set {
        wave: u8,
        shown: Option<Set>,
        raw: Option<Set>,
    },
}

/// One write of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// A dry run.
    Check,
    CreateRevision {
        content: u8,
    },
    Renumber {
        content: u8,
    },
    DeleteRevision {
        content: u8,
    },
    Apply {
        wave: u8,
        layout: u8,
        content: u8,
        applied: u16,
    },
    Orphan {
        wave: u8,
        id: u8,
    },
    Move {
        node: u8,
        id: u8,
        wave: u8,
    },
    Ungate,
    /// `pod` is what the operator saw: the precondition on UID and resource version.
    DeletePod {
        node: u8,
        pod: Pod,
        up: bool,
    },
    CreateJob {
        node: u8,
        machine: u8,
        content: u8,
        attempt: u8,
    },
    DeleteJob {
        node: u8,
        id: u8,
        salt: u8,
        content: u8,
        attempt: u8,
        machine: u8,
    },
    Record {
        node: u8,
        machine: u8,
        entry: Document,
    },
}

/// A pass that was planned and has not written yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) acts: Vec<Act>,
    /// The status to write, and the one it was planned on.
    pub(crate) status: Document,
    pub(crate) before: Document,
    pub(crate) spec: Spec,
    /// The process that planned it is no longer the leader.
    pub(crate) deposed: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) spec: Spec,
    pub(crate) nodes: Vec<Node>,
    /// By wave name: `canary` and `default`.
    pub(crate) sets: [Option<Set>; 2],
    /// The `ControllerRevisions`, oldest first.
    pub(crate) history: Vec<u8>,
    pub(crate) status: Document,
    pub(crate) lags: Vec<Lag>,
    pub(crate) held: Option<Held>,
    /// How many faults may still happen.
    pub(crate) faults: u8,
    /// How many times the user may still change something.
    pub(crate) edits: u8,
    /// Since when the wave `canary` has been well without a break.
    pub(crate) calm: Option<Moment>,
    /// Whether it was so for the whole soak.
    pub(crate) soaked: bool,
    pub(crate) broken: Option<&'static str>,
}

impl State {
    /// One tick passes.
    pub(crate) fn grow_older(&mut self) {
        let mut moments = Vec::new();
        each_moment(self, &mut |moment| {
            *moment -= 1;
            moments.push(*moment);
        });
        moments.sort_unstable();
        moments.dedup();
        let mut renamed: Vec<(Moment, Moment)> = Vec::new();
        let (mut from, mut to) = (0, 0);
        for moment in moments.into_iter().rev().filter(|moment| *moment < 0) {
            let gap = from - moment;
            let exact = to - gap;
            to = exact.max(-HORIZON).min(to - gap.min(1));
            from = moment;
            renamed.push((moment, to));
        }
        each_moment(self, &mut |moment| {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| from == moment) {
                *moment = *to;
            }
        });
    }
}

/// Calls `visit` with every moment that is not [`FOREVER`].
fn each_moment(state: &mut State, visit: &mut impl FnMut(&mut Moment)) {
    let mut visit = |moment: &mut Moment| {
        if *moment != FOREVER {
            visit(moment);
        }
    };
    let document = |document: &mut Document, visit: &mut dyn FnMut(&mut Moment)| {
        document.times.iter_mut().flatten().for_each(visit);
    };
    let pod = |pod: &mut Pod, visit: &mut dyn FnMut(&mut Moment)| {
        visit(&mut pod.created);
        pod.ready.iter_mut().for_each(&mut *visit);
        pod.unready.iter_mut().for_each(&mut *visit);
    };
    let job = |job: &mut Job, visit: &mut dyn FnMut(&mut Moment)| {
        visit(&mut job.created);
        job.end.iter_mut().for_each(|(_, time)| visit(time));
    };
    for node in &mut state.nodes {
        visit(&mut node.facts.changed);
        node.pods.iter_mut().for_each(|it| pod(it, &mut visit));
        node.jobs.iter_mut().for_each(|it| job(it, &mut visit));
        node.ledger
            .iter_mut()
            .for_each(|it| document(it, &mut visit));
    }
    for lag in &mut state.lags {
        match lag {
            Lag::Facts { shown, .. } => visit(&mut shown.changed),
            Lag::Pods { shown, raw, .. } => {
                let all = shown.iter_mut().chain(raw);
                all.for_each(|it| pod(it, &mut visit));
            }
            Lag::Jobs { shown, raw, .. } => {
                let all = shown.iter_mut().chain(raw);
                all.for_each(|it| job(it, &mut visit));
            }
            Lag::Set { .. } => {}
        }
    }
    document(&mut state.status, &mut visit);
    if let Some(held) = &mut state.held {
        document(&mut held.status, &mut visit);
        document(&mut held.before, &mut visit);
        for act in &mut held.acts {
            match act {
                Act::DeletePod { pod: it, .. } => pod(it, &mut visit),
                Act::Record { entry, .. } => document(entry, &mut visit),
                _ => {}
            }
        }
    }
    state.calm.iter_mut().for_each(visit);
}
